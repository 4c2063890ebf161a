"""What the peers have in common: requests and answers as JSON, a line each, over stdin and stdout.

    {"test": "pp", "n": 512, "d": 0, "t": 2}   →   {"test": "pp", "n": 512, "d": 0, "t": 2, "tps": 301.2}

`pp` reads a prompt of n tokens into a cache that holds d, `tg` decodes n tokens one by one behind d; t threads.
A peer prints {"ready": …} when it has loaded, and ends with its stdin.
"""

import json
import sys
from typing import Protocol


class Peer(Protocol):
    def seconds(self, test: str, n: int, depth: int, threads: int) -> float:
        """How long the test took; filling the cache to `depth` not counted."""


def answer(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


def serve(peer: Peer, about: str) -> None:
    answer(ready=about)
    for line in sys.stdin:
        request = json.loads(line)
        n = request["n"]
        try:
            took = peer.seconds(request["test"], n, request.get("d", 0), request.get("t", 2))
        except (RuntimeError, ValueError) as error:
            answer(**request, error=str(error))
        else:
            answer(**request, tps=n / took)


def peak_memory() -> int | None:
    """The most memory this process has held, in bytes (Linux: VmHWM)."""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return None
