"""Watches that an engine has the machine to itself while it is measured."""

import argparse
import os
import resource
import time
from collections.abc import Callable

from engines import IDLE_SECONDS, Samples, Server, note

DISTURBED = 0.1  # of a core


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


Times = dict[str, list[float]]


def turn(machine: Machine, args: argparse.Namespace, name: str, act: Callable[[Times], None], out: Times) -> None:
    """Lets an engine measure, again up to `args.retries` times if it was disturbed; the least disturbed attempt counts."""
    best: tuple[float, Times] | None = None
    for _ in range(args.retries + 1):
        machine.rest(args.patience)
        part: Times = {}
        share = machine.share(lambda: act(part))
        if best is None or share < best[0]:
            best = share, part
        if share <= DISTURBED:
            break
        note(f"  {name} disturbed: other processes took {100 * share:.0f} % of a core")
    for test, times in best[1].items():
        out.setdefault(test, []).extend(times)
