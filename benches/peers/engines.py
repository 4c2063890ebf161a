"""One turn of each engine: crane as a process a turn, the peers as servers over lines (see protocol.py)."""

import argparse
import dataclasses
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

HERE = pathlib.Path(__file__).resolve().parent
PROMPT = 512
TEXT = " the" * PROMPT  # one token a word in each of these vocabularies
IDLE_SECONDS, IDLE_SHARE = 1.0, 0.05


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
