"""crane's image encoding beside PyTorch's, in turn, as one Markdown table.

    python vision.py [--crane PATH/TO/crane] [--models qwen2.5-vl-3b namo-500m] [--dtypes f32 bf16] [--size 1024 768]
        [--threads 2] [--rounds 3]

In every round each engine is started and measures a model in one type behind its own warm-up, the order turned round each
time; the table shows medians of the rounds in milliseconds, the arithmetic limit that crane measured and its share of it. A
ratio above 1 is crane's gain. Both have random weights in the published sizes. Before a turn the machine has to come to
rest, and a turn during which other processes took more than a tenth of a core is repeated (Linux).
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
from collections.abc import Callable
from functools import partial

from engines import HERE, note
from machine import Machine, Times, turn

MODELS = ["qwen2.5-vl-3b", "namo-500m"]
TESTS = ["encode", "preprocess"]
Engine = Callable[[argparse.Namespace, str, str, Times], None]


def crane(args: argparse.Namespace, model: str, dtype: str, out: Times) -> None:
    width, height = args.size
    command = [str(args.crane), "bench", "--task", "vision", "--synthetic", model, "--dtype", dtype,
               "-t", str(args.threads), "-r", "1", "--encoder-only", "--image-size", f"{width}x{height}",
               "--format", "json", "-q"]
    for row in json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout):
        if row["error"]:
            raise SystemExit(f"crane, {model} {dtype}: {row['error']}")
        out.setdefault(row["test"], []).append(row["median_ms"])
        if row["limit_share"]:
            out.setdefault("share", []).append(row["limit_share"])


def torch(args: argparse.Namespace, model: str, dtype: str, out: Times) -> None:
    command = [sys.executable, str(HERE / "vision_torch.py"), "--models", model, "--dtypes", dtype,
               "--threads", str(args.threads), "--rounds", "1", "--size", *map(str, args.size)]
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in filter(None, found.splitlines()):
        row = json.loads(line)
        if "test" in row:
            out.setdefault(row["test"], []).append(row["ms"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crane", type=pathlib.Path, default=HERE.parents[1] / "target/release/crane")
    parser.add_argument("--models", nargs="*", choices=MODELS, default=MODELS)
    parser.add_argument("--dtypes", nargs="*", choices=["f32", "bf16"], default=["f32", "bf16"])
    parser.add_argument("--size", nargs=2, type=int, default=(1024, 768), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--patience", type=float, default=60, help="seconds to wait for the machine to rest")
    parser.add_argument("--retries", type=int, default=1, help="repetitions of a disturbed turn")
    args = parser.parse_args()
    machine = Machine([])
    print("| model | type | test | crane ms | PyTorch ms | ratio | of limit |")
    print("| --- | --- | --- | ---: | ---: | ---: | ---: |", flush=True)
    for model, dtype in [(model, dtype) for model in args.models for dtype in args.dtypes]:
        found: dict[str, Times] = {"crane": {}, "torch": {}}
        for i in range(args.rounds):
            engines: list[Engine] = [crane, torch]
            for engine in engines if i % 2 == 0 else reversed(engines):
                note(f"{model} {dtype}, round {i + 1}: {engine.__name__}")
                act = partial(engine, args, model, dtype)
                turn(machine, args, engine.__name__, act, found[engine.__name__])
        ours, theirs = found["crane"], found["torch"]
        for test in (test for test in TESTS if test in ours and test in theirs):
            a, b = statistics.median(ours[test]), statistics.median(theirs[test])
            share = f"{100 * statistics.median(ours['share']):.0f} %" if test == "encode" else ""
            print(f"| {model} | {dtype} | {test} | {a:.1f} | {b:.1f} | {b / a:.2f} | {share} |", flush=True)


if __name__ == "__main__":
    main()
