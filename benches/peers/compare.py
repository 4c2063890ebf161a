"""crane beside its peers, interleaved in one run, as one Markdown table.

    python compare.py MODELS --crane PATH/TO/crane [--torch] [--rows q8_0,q4_0] [--threads 2,1] [--rounds 5]

MODELS is the folder that make_models.py filled, with the real files beside. In every round each engine measures every
test once, one after the other, the order turned round each time; the table shows medians. The peers stay loaded between
their turns and sleep; `crane bench` is started for every turn and does not count its load. Before a turn the machine
has to come to rest, and a turn during which other processes took more than a tenth of a core is repeated (Linux).
Without --crane only the peers are measured. Progress goes to stderr.
"""

import argparse
import json
import pathlib
import statistics
import sys
from collections.abc import Callable

from engines import HERE, Samples, Server, Test, cold_crane, cold_llama, note, run_crane, run_server
from machine import Machine

SYNTHETIC = "qwen2.5-0.5b"
ROWS = {kind: f"{SYNTHETIC}-{kind}.gguf" for kind in ("f32", "bf16", "f16", "q8_0", "q4_0", "q4_k_m")} | {
    "smollm2-135m": "SmolLM2-135M-Instruct.Q4_1.gguf",
    "coder-0.5b": "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
    "coder-1.5b": "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
}
TORCH_FOLDERS = {"f32": "f32", "bf16": "bf16", "f16": "f32"}  # row → the folder that torch reads


def by_depth(tests: list[Test]) -> dict[int, list[Test]]:
    groups: dict[int, list[Test]] = {}
    for test in tests:
        groups.setdefault(test.depth, []).append(test)
    return groups


def start_peers(row: str, args: argparse.Namespace) -> list[Server]:
    longest = max(t.depth + t.n for t in args.tests)
    model = str(args.models / ROWS[row])
    command = [sys.executable, str(HERE / "llama.py"), model, "--ctx", str(longest), "--flash-attn", args.flash_attn]
    servers = [Server("llama.cpp", command)]
    if args.torch and row in TORCH_FOLDERS:
        folder = args.models / f"{SYNTHETIC}-{TORCH_FOLDERS[row]}"
        torch = [sys.executable, str(HERE / "torch_peer.py"), str(folder), "--dtype", row]
        servers.append(Server("PyTorch", torch + (["--compile"] if args.torch_compile else [])))
    return servers


def turns(
    row: str, args: argparse.Namespace, servers: list[Server], samples: Samples
) -> list[Callable[[Samples], None]]:
    """One round: every engine with every test, engines side by side."""
    acts: list[Callable[[Samples], None]] = []
    for threads in args.threads:
        for tests in by_depth(args.tests).values():
            for server in servers:
                able = [test for test in tests if (server.name, test) not in samples.errors]
                acts += [lambda out, s=server, x=test, t=threads: run_server(s, x, t, out) for test in able]
            if args.crane:
                model = args.models / ROWS[row]
                acts.append(lambda out, x=tests, t=threads: run_crane(args.crane, model, x, t, out))
    return acts


def cold_turns(row: str, args: argparse.Namespace) -> list[Callable[[Samples], None]]:
    model, acts = args.models / ROWS[row], []
    for threads in args.threads:
        if args.crane:
            acts.append(lambda out, t=threads: cold_crane(args.crane, model, t, out))
        acts.append(lambda out, t=threads: cold_llama(args, model, t, out))
    return acts


def measure_row(row: str, args: argparse.Namespace) -> Samples:
    samples, servers = Samples(), start_peers(row, args)
    machine = Machine(servers)
    for round_number in range(args.rounds):
        note(f"{row}, round {round_number + 1} of {args.rounds}")
        acts = turns(row, args, servers, samples)
        for act in acts if round_number % 2 == 0 else reversed(acts):
            machine.turn(args, samples, act)
        if round_number == 0:
            for server in servers:
                server.check_idle()
    for server in servers:
        server.close()
    machine = Machine([])
    for _ in range(args.cold_rounds):
        for act in cold_turns(row, args):
            machine.turn(args, samples, act)
    return samples


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def ratio(ours: float | None, theirs: float | None) -> str:
    return "–" if ours is None or theirs is None else f"{ours / theirs:.2f}"


def pair(left: str, right: str) -> str:
    return "–" if (left, right) == ("–", "–") else f"{left} / {right}"


def megabytes(value: int | None) -> str:
    return f"{value / 1e6:.0f}" if value else "–"


def share(samples: Samples, test: Test | None, threads: int) -> str:
    values = samples.shares.get((test, threads)) if test else None
    return f"{100 * statistics.median(values):.0f} %" if values else "–"


def cold_cells(samples: Samples, threads: int) -> list[str]:
    got = {engine: samples.cold.get((engine, threads)) for engine in ("crane", "llama.cpp")}
    medians = {engine: statistics.median(values) if values else None for engine, values in got.items()}
    ours, theirs = medians["crane"], medians["llama.cpp"]
    return [pair(number(ours), number(theirs)), ratio(ours, theirs)]


def table_lines(row: str, samples: Samples, args: argparse.Namespace) -> list[str]:
    """One line for each number of threads and each depth."""
    lines = []
    for threads in args.threads:
        for depth, tests in by_depth(args.tests).items():
            pp = next((t for t in tests if t.kind == "pp"), None)
            tg = next((t for t in tests if t.kind == "tg"), None)
            speed = {e: [samples.median(e, t, threads) for t in (pp, tg)] for e in ("crane", "llama.cpp", "PyTorch")}
            cells = [row, str(threads), str(depth)]
            cells += [pair(*map(number, speed["crane"])), pair(*map(number, speed["llama.cpp"]))]
            cells.append(pair(*map(ratio, speed["crane"], speed["llama.cpp"])))
            cells += [pair(*map(number, speed["PyTorch"])), pair(*map(ratio, speed["crane"], speed["PyTorch"]))]
            cells.append(pair(share(samples, pp, threads), share(samples, tg, threads)))
            cells += cold_cells(samples, threads) if depth == 0 else ["", ""]
            cells.append(memory_cell(row, samples, args, depth, threads))
            lines.append("| " + " | ".join(cells) + " |")
    return lines


def memory_cell(row: str, samples: Samples, args: argparse.Namespace, depth: int, threads: int) -> str:
    """At depth 0 of the cold start, where nothing but the model is in memory; else of the bench."""
    size = (args.models / ROWS[row]).stat().st_size
    if depth:
        return pair(megabytes(samples.peaks.get((depth, threads))), "–") + f" / {megabytes(size)}"
    peaks = samples.cold_peak
    return f"{megabytes(peaks.get('crane'))} / {megabytes(peaks.get('llama.cpp'))} / {megabytes(size)}"


HEADER = [
    "| row | threads | depth | crane | llama.cpp | ratio | PyTorch | ratio | of the limit "
    "| first token, ms: crane / llama.cpp | ratio | peak MB: crane / llama.cpp / file |",
    "|" + " --- |" * 12,
]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=pathlib.Path, metavar="MODELS")
    parser.add_argument("--crane", help="the crane binary; without it only the peers are measured")
    parser.add_argument("--rows", default=",".join(ROWS), help=f"of {', '.join(ROWS)} (all)")
    parser.add_argument("--tests", default="pp512,tg128", help="such as pp512,tg32,pp512@d4096,tg32@d4096 (pp512,tg128)")
    parser.add_argument("--threads", "-t", default="2", help="such as 2,1 (2)")
    parser.add_argument("--rounds", "-r", type=int, default=5)
    parser.add_argument("--cold-rounds", type=int, default=3, help="cold starts of each engine; 0 leaves them out (3)")
    parser.add_argument("--patience", type=float, default=60, help="seconds to wait for the machine to rest (60)")
    parser.add_argument("--retries", type=int, default=2, help="how often a disturbed turn is repeated (2)")
    parser.add_argument("--flash-attn", choices=("auto", "off", "on"), default="auto", help="of llama.cpp (auto)")
    parser.add_argument("--torch", action="store_true", help="PyTorch as well, in the rows f32, bf16 and f16")
    parser.add_argument("--torch-compile", action="store_true", help="with torch.compile and a static cache")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="every single measurement")
    args = parser.parse_args()
    args.rows = args.rows.split(",")
    args.tests = [Test.parse(t) for t in args.tests.split(",")]
    args.threads = [int(t) for t in args.threads.split(",")]
    for row in args.rows:
        if row not in ROWS or not (args.models / ROWS[row]).exists():
            parser.error(f"no row {row!r}, or its file is not in {args.models}")
    return args


def main() -> None:
    args = arguments()
    lines, everything = list(HEADER), {}
    for row in args.rows:
        samples = measure_row(row, args)
        lines += table_lines(row, samples, args)
        everything[row] = samples.as_json()
        if args.json:
            args.json.write_text(json.dumps(everything, indent=1) + "\n")
        note(lines[-1] + (f" {samples.disturbed} turns were disturbed" if samples.disturbed else ""))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
