"""crane beside its peers, interleaved in one run, as one Markdown table.

    python compare.py MODELS --crane PATH/TO/crane [--torch] [--rows q8_0,q4_0] [--threads 2,1] [--rounds 5]

MODELS is the folder that make_models.py filled, with the real files beside. In every round each engine measures every
test once, one after the other, the order turned round each time; the table shows medians. The peers stay loaded between
their turns and sleep; `crane bench` is started for every turn and does not count its load. Before a turn the machine
has to come to rest, and a turn during which other processes took more than a tenth of a core is repeated (Linux).
Without --crane only the peers are measured. Progress goes to stderr.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

HERE = pathlib.Path(__file__).resolve().parent
SYNTHETIC = "qwen2.5-0.5b"
ROWS = {kind: f"{SYNTHETIC}-{kind}.gguf" for kind in ("f32", "bf16", "f16", "q8_0", "q4_0", "q4_k_m")} | {
    "smollm2-135m": "SmolLM2-135M-Instruct.Q4_1.gguf",
    "coder-0.5b": "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
    "coder-1.5b": "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
}
TORCH_FOLDERS = {"f32": "f32", "bf16": "bf16", "f16": "f32"}  # row → the folder that torch reads
PROMPT = 512
TEXT = " the" * PROMPT  # one token a word in each of these vocabularies
IDLE_SECONDS, IDLE_SHARE = 1.0, 0.05
DISTURBED = 0.1  # of a core


@dataclasses.dataclass(frozen=True)
class Test:
    """`pp512` or `tg128`, at a depth: `pp512@d4096`."""

    kind: str
    n: int
    depth: int

    @staticmethod
    def parse(text: str) -> "Test":
        found = re.fullmatch(r"(pp|tg)(\d+)(?:@d(\d+))?", text)
        if not found:
            raise argparse.ArgumentTypeError(f"{text!r} is not of the form pp512 or tg128@d4096")
        return Test(found[1], int(found[2]), int(found[3] or 0))

    def __str__(self) -> str:
        return f"{self.kind}{self.n}" + (f"@d{self.depth}" if self.depth else "")


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Server:
    """A peer's process, which answers one request at a time and sleeps in between."""

    def __init__(self, name: str, command: list[str]):
        self.name = name
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if "ready" not in self.read():
            raise SystemExit(f"{name} did not start")

    def read(self) -> dict[str, Any]:
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended with status {self.process.wait()}")
        return json.loads(line)

    def measure(self, test: Test, threads: int) -> dict[str, Any]:
        request = {"test": test.kind, "n": test.n, "d": test.depth, "t": threads}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self.read()

    def cpu_seconds(self) -> float | None:
        """Processor time of all its threads so far (Linux)."""
        try:
            fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def check_idle(self) -> None:
        before = self.cpu_seconds()
        time.sleep(IDLE_SECONDS)
        after = self.cpu_seconds()
        if before is not None and after is not None and after - before > IDLE_SHARE * IDLE_SECONDS:
            note(f"warning: {self.name} used {after - before:.2f} s of processor time in an idle second")

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


class Samples:
    """Everything that was measured, by engine, test and threads."""

    def __init__(self) -> None:
        self.speeds: dict[tuple[str, Test, int], list[float]] = {}
        self.shares: dict[tuple[Test, int], list[float]] = {}
        self.peaks: dict[tuple[int, int], int] = {}  # of crane bench, by depth and threads
        self.cold: dict[tuple[str, int], list[float]] = {}  # milliseconds
        self.cold_peak: dict[str, int] = {}
        self.errors: dict[tuple[str, Test], str] = {}
        self.disturbed = 0  # turns that never had the machine to themselves

    def add(self, engine: str, test: Test, threads: int, tps: float) -> None:
        self.speeds.setdefault((engine, test, threads), []).append(tps)
        note(f"  {engine} {test} t{threads}: {tps:.1f}")

    def fail(self, engine: str, test: Test, reason: str) -> None:
        self.errors[engine, test] = reason
        note(f"  {engine} {test}: {reason}")

    def merge(self, other: "Samples") -> None:
        for mine, theirs in ((self.speeds, other.speeds), (self.shares, other.shares), (self.cold, other.cold)):
            for key, values in theirs.items():
                mine.setdefault(key, []).extend(values)
        for mine, theirs in ((self.peaks, other.peaks), (self.cold_peak, other.cold_peak)):
            for key, value in theirs.items():
                mine[key] = max(mine.get(key, 0), value)
        self.errors |= other.errors

    def median(self, engine: str, test: Test | None, threads: int) -> float | None:
        values = self.speeds.get((engine, test, threads)) if test else None
        return statistics.median(values) if values else None

    def as_json(self) -> dict[str, Any]:
        speeds = [
            {"engine": engine, "test": str(test), "threads": threads, "tps": [round(v, 2) for v in values]}
            for (engine, test, threads), values in self.speeds.items()
        ]
        shares = [{"test": str(test), "threads": t, "limit_share": v} for (test, t), v in self.shares.items()]
        cold = [{"engine": e, "threads": t, "first_token_ms": v} for (e, t), v in self.cold.items()]
        found = {"speeds": speeds, "limit": shares, "cold": cold}
        return found | {"cold_peak_bytes": self.cold_peak, "disturbed": self.disturbed}


class Machine:
    """Says how much of the processors others take: everything that neither `servers` nor finished children used."""

    def __init__(self, servers: list[Server]):
        self.servers = servers

    def others(self) -> float:
        """Seconds so far, over all cores; what a hypervisor kept back counts too. 0 where the system does not say."""
        try:
            with open("/proc/stat") as stat:
                user, nice, system, _idle, _wait, irq, soft, steal = map(int, stat.readline().split()[1:9])
        except OSError:
            return 0.0
        busy = (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")
        ours = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return busy - sum(r.ru_utime + r.ru_stime for r in ours) - sum(s.cpu_seconds() or 0.0 for s in self.servers)

    def share(self, act: Callable[[], None]) -> float:
        """Which share of one core others took while `act` ran."""
        before, start = self.others(), time.perf_counter()
        act()
        return (self.others() - before) / (time.perf_counter() - start)

    def rest(self, patience: float) -> None:
        end = time.monotonic() + patience
        while self.share(lambda: time.sleep(IDLE_SECONDS)) > DISTURBED and time.monotonic() < end:
            pass

    def turn(self, args: argparse.Namespace, samples: Samples, act: Callable[[Samples], None]) -> None:
        """Lets one engine measure, again if it was disturbed; the least disturbed attempt counts."""
        best = None
        for _ in range(args.retries + 1):
            self.rest(args.patience)
            part = Samples()
            share = self.share(lambda: act(part))
            if best is None or share < best[0]:
                best = share, part
            if share <= DISTURBED:
                break
            note(f"  disturbed: other processes took {100 * share:.0f} % of a core")
        samples.merge(best[1])
        samples.disturbed += best[0] > DISTURBED


def by_depth(tests: list[Test]) -> dict[int, list[Test]]:
    groups: dict[int, list[Test]] = {}
    for test in tests:
        groups.setdefault(test.depth, []).append(test)
    return groups


def run_crane(crane: str, model: pathlib.Path, tests: list[Test], threads: int, samples: Samples) -> None:
    """One turn of crane: all tests of one depth in one process."""
    sizes = {kind: ",".join(str(t.n) for t in tests if t.kind == kind) or "0" for kind in ("pp", "tg")}
    command = [crane, "bench", str(model), "-p", sizes["pp"], "-n", sizes["tg"], "-d", str(tests[0].depth)]
    command += ["-t", str(threads), "-r", "1", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
        for test in tests:
            samples.fail("crane", test, reason)
        return
    rows = json.loads(done.stdout)
    for test in tests:
        field = "n_prompt" if test.kind == "pp" else "n_gen"
        other = "n_gen" if test.kind == "pp" else "n_prompt"
        row = next((r for r in rows if r.get(field) == test.n and not r.get(other)), None)
        if row is None or not row.get("avg_ts"):
            samples.fail("crane", test, str((row or {}).get("error") or (row or {}).get("reason") or "no such row"))
            continue
        samples.add("crane", test, threads, row.get("median_ts") or row["avg_ts"])
        if row.get("limit_share") is not None:
            samples.shares.setdefault((test, threads), []).append(row["limit_share"])
        key = test.depth, threads
        samples.peaks[key] = max(samples.peaks.get(key, 0), row.get("peak_memory_bytes") or 0)


def run_server(server: Server, test: Test, threads: int, samples: Samples) -> None:
    """One turn of a peer."""
    got = server.measure(test, threads)
    if "error" in got:
        samples.fail(server.name, test, got["error"])
    else:
        samples.add(server.name, test, threads, got["tps"])


def spawn_for_output(command: list[str], stdin: Any = None) -> tuple[float, int]:
    """Milliseconds from the start of a process to its first byte of output (or its end), and its peak memory."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.read(1)
    took = 1000 * (time.perf_counter() - start)
    process.stdout.read()
    problem = process.stderr.read().decode(errors="replace")
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError((problem.strip().splitlines() or [f"status {process.returncode}"])[-1])
    return took, usage.ru_maxrss * 1024


def cold_crane(crane: str, model: pathlib.Path, threads: int, samples: Samples) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(TEXT)
        file.flush()
        command = [crane, "run", str(model), "--raw", "-f", file.name, "-n", "1", "--temp", "0"]
        command += ["-c", str(PROMPT + 128), "-t", str(threads)]
        try:
            took, peak = spawn_for_output(command, subprocess.DEVNULL)
        except RuntimeError as error:
            note(f"  crane cold start: {error}")
            return
    samples.cold.setdefault(("crane", threads), []).append(took)
    samples.cold_peak["crane"] = max(samples.cold_peak.get("crane", 0), peak)
    note(f"  crane cold start t{threads}: {took:.0f} ms")


def cold_llama(args: argparse.Namespace, model: pathlib.Path, threads: int, samples: Samples) -> None:
    command = [sys.executable, str(HERE / "llama.py"), str(model), "--ctx", str(PROMPT + 128), "-t", str(threads)]
    command += ["--flash-attn", args.flash_attn, "--first-token", TEXT]
    got = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    samples.cold.setdefault(("llama.cpp", threads), []).append(got["first_token_ms"])
    samples.cold_peak["llama.cpp"] = max(samples.cold_peak.get("llama.cpp", 0), got["peak_memory_bytes"] or 0)
    note(f"  llama.cpp cold start t{threads}: {got['first_token_ms']:.0f} ms")


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
