"""crane's speech synthesis beside PyTorch's, in turn, as one Markdown table.

    python spark.py FOLDER [--crane PATH/TO/crane] [--dtypes f32 bf16] [--threads 2] [--rounds 3]

FOLDER is a Spark-TTS folder (spark_torch.py says which). In every round each engine is started and measures everything
once behind its own warm-up, the order turned round each time; the table shows medians of the rounds in milliseconds. A
ratio above 1 is crane's gain. PyTorch's codec is the faster one, with its weight norm folded, and its wav2vec2 computes the
layers that are read. The encoders of crane compute in f32 whatever the type. Before a turn the machine has to come to rest,
and a turn during which other processes took more than a tenth of a core is repeated (Linux).
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

# Name in the table, test or part of crane's, test of PyTorch's.
ROWS = [
    ("codec, 5 s", "codec", "detokenise 250"),
    ("wav2vec2, 6 s", "wav2vec2", "wav2vec2 16 layers"),
    ("semantic tokens, 6 s", "semantic", "semantic tokens"),
    ("mel, 6 s", "mel", "mel"),
    ("global tokens, 6 s", "global", "global tokens"),
]
Engine = Callable[[argparse.Namespace, str, Times], None]


def crane(args: argparse.Namespace, dtype: str, out: Times) -> None:
    command = [str(args.crane), "bench", "--task", "tts", str(args.folder), "--dtype", dtype, "-t", str(args.threads),
               "-r", "1", "--format", "json", "-q"]
    for row in json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout):
        if row["error"]:
            raise SystemExit(f"crane, {row['test']}: {row['error']}")
        for part in [{"name": row["test"], **row}, *row["parts"]]:
            out.setdefault(part["name"], []).append(part["median_ms"])


def torch(args: argparse.Namespace, dtype: str, out: Times) -> None:
    command = [sys.executable, str(HERE / "spark_torch.py"), str(args.folder), "--dtypes", dtype,
               "--threads", str(args.threads), "--rounds", "1"]
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in filter(None, found.splitlines()):
        row = json.loads(line)
        if "seconds" in row and row.get("weights", "folded") == "folded":
            out.setdefault(row["test"], []).append(1e3 * row["seconds"])


def line(name: str, dtype: str, ours: list[float], theirs: list[float]) -> str:
    if not ours or not theirs:
        return f"| {name} | {dtype} | | | |"
    a, b = statistics.median(ours), statistics.median(theirs)
    return f"| {name} | {dtype} | {a:.1f} | {b:.1f} | {b / a:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, metavar="FOLDER")
    parser.add_argument("--crane", type=pathlib.Path, default=HERE.parents[1] / "target" / "release" / "crane")
    parser.add_argument("--dtypes", nargs="*", choices=["f32", "bf16"], default=["f32", "bf16"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--patience", type=float, default=120, metavar="SECONDS", help="waited for rest at most")
    parser.add_argument("--retries", type=int, default=2)
    args = parser.parse_args()
    machine = Machine([])
    print("| test | type | crane ms | PyTorch ms | ratio |\n| --- | --- | ---: | ---: | ---: |")
    for dtype in args.dtypes:
        ours: Times = {}
        theirs: Times = {}
        turns = [(crane, ours), (torch, theirs)]
        for number in range(args.rounds):
            note(f"{dtype}, round {number + 1} of {args.rounds}")
            for engine, out in turns if number % 2 == 0 else reversed(turns):
                turn(machine, args, engine.__name__, partial(engine, args, dtype), out)
        for name, own, other in ROWS:
            print(line(name, dtype, ours.get(own, []), theirs.get(other, [])), flush=True)
        speech = statistics.median(ours["speech"]) / 1e3
        print(f"| whole, real-time factor | {dtype} | {speech:.3f} | | |", flush=True)


if __name__ == "__main__":
    main()
