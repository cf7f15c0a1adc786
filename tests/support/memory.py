"""How much memory a process needs."""

import contextlib
import threading
from collections.abc import Iterator

import psutil

MIB = 1 << 20
ROOM = 64 * MIB
"""How much a proxy may grow, whatever passes through it."""


@contextlib.contextmanager
def flat_memory(pid: int | None) -> Iterator[None]:
    """Assert that a process and its children don't grow meanwhile."""
    process = psutil.Process(pid)
    before = peak = resident(process)
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.02):
            peak = max(peak, resident(process))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
    assert peak - before < ROOM, f"the proxy grew by {(peak - before) / MIB:.0f} MiB"


def resident(process: psutil.Process) -> int:
    """What a process and its children have in memory, in bytes."""
    return sum(int(each.memory_info().rss) for each in (process, *process.children(recursive=True)))
