"""The terminal, lent to a command that may ask somebody: what a shell does with a job in the foreground.

A key command has a process group of its own, so that all of it can be ended. Without the terminal, one that reads
from it would be stopped.
"""

import contextlib
import os
import signal
from collections.abc import Iterator


@contextlib.contextmanager
def lent(group: int) -> Iterator[None]:
    """Give a process group the terminal for as long as the block takes, where there is one and it is ours to give."""
    with contextlib.ExitStack() as back:
        with contextlib.suppress(OSError):
            terminal = os.open("/dev/tty", os.O_RDWR)
            back.callback(os.close, terminal)
            ours = os.getpgrp()
            if os.tcgetpgrp(terminal) == ours:
                back.callback(_give, terminal, ours)
                _give(terminal, group)
                # It may have been quicker, and been stopped.
                os.killpg(group, signal.SIGCONT)
        yield


def _give(terminal: int, group: int) -> None:
    # Who gives it back is in the background, and would be stopped for it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
    try:
        with contextlib.suppress(OSError):
            os.tcsetpgrp(terminal, group)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
