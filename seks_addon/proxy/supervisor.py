"""Starting the proxy: one process, or a parent with several workers on one socket."""

import contextlib
import logging
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Final

from seks_addon.errors import ProxyError, SeksError
from seks_addon.proxy import listen
from seks_addon.proxy.worker import GRACE, run_worker
from seks_addon.settings import Settings
from seks_addon.vault import Vault
from seks_addon.vault.envelope import Key
from seks_addon.vault.keysource import Ask

logger = logging.getLogger("seks.proxy")

#: A worker that dies sooner than this after its start, in seconds, is replaced only after as long.
RESTART_PAUSE: Final = 1.0


def serve(
    settings: Settings,
    host: str,
    port: int,
    *,
    workers: int = 1,
    ready_file: Path | None = None,
    say: Callable[[str], None] = print,
    ask: Ask | None = None,
) -> None:
    """Run the proxy in the foreground until SIGINT or SIGTERM; raises `SeksError` where it can't start.

    The vault is unlocked here, once, with `ask` for a passphrase: workers can't ask anybody.
    """
    with Vault.open(settings.home, ask=ask) as vault:
        key = vault.master_key
    listener = listen.bind(host, port)
    files = [listen.announced_at(settings.home), *([ready_file] if ready_file else [])]
    content = listen.announcement(
        settings.home, listener, workers=workers, require_agent_auth=settings.require_agent_auth
    )

    def ready() -> None:
        # Who waits for the file finds the line said.
        say(f"seks-proxy listens on {content['listen']}")
        listen.forget_killed(settings.home)
        listen.announce(files, content)

    try:
        if workers == 1:
            run_worker(settings, listener, key, ready)
        else:
            _Supervisor(settings, listener, key, workers).run(ready)
    finally:
        listen.withdraw(files)
        listener.close()


class _Supervisor:
    """The parent: it serves nobody, and keeps as many workers as were asked for."""

    def __init__(self, settings: Settings, listener: socket.socket, key: Key, workers: int) -> None:
        self._settings = settings
        self._listener = listener
        self._key = key
        self._wanted = workers
        self._started: dict[int, float] = {}
        self._stopping = False
        # Workers watch the read end: when this process is gone, however it went, they end.
        self._lifeline, self._held = os.pipe()

    def run(self, ready: Callable[[], None]) -> None:
        with self._signals():
            pipes = [self._start() for _ in range(self._wanted)]
            try:
                for pipe in pipes:
                    self._await_ready(pipe)
                if not self._stopping:
                    ready()
                while not self._stopping:
                    self._replace_dead()
                    time.sleep(0.2)
            finally:
                self._stop()

    def _start(self) -> int:
        readable, writable = os.pipe()
        pid = os.fork()
        if pid:
            os.close(writable)
            self._started[pid] = time.monotonic()
            return readable
        # The worker. It must never return into the parent's code.
        code = 1
        try:
            os.close(readable)
            os.close(self._held)
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            run_worker(self._settings, self._listener, self._key, lambda: _tell(writable), lifeline=self._lifeline)
            code = 0
        except SeksError as error:
            logger.error("a worker can't start: %s", error.message)
        except BaseException as error:  # noqa: BLE001 - os._exit below would swallow it
            place = traceback.extract_tb(error.__traceback__)[-1]
            logger.error("a worker failed: %s in %s:%s", type(error).__name__, place.name, place.lineno)
        finally:
            sys.stderr.flush()
            os._exit(code)

    @staticmethod
    def _await_ready(pipe: int) -> None:
        with os.fdopen(pipe, "rb") as file:
            if file.read(1) != b"1":
                raise ProxyError("a worker could not start", hint="the log above says why")

    def _replace_dead(self) -> None:
        for pid in list(self._started):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended and not self._stopping:
                lived = time.monotonic() - self._started.pop(pid)
                logger.error("worker %d ended with status %d; starting another", pid, os.waitstatus_to_exitcode(status))
                if lived < RESTART_PAUSE:
                    time.sleep(RESTART_PAUSE)
                os.close(self._start())

    def _stop(self) -> None:
        self._stopping = True
        # As long as it is open here, connections would queue up for nobody.
        self._listener.close()
        for pid in self._started:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + GRACE + 5
        for pid in list(self._started):
            while os.waitpid(pid, os.WNOHANG) == (0, 0):
                if time.monotonic() > deadline:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                    break
                time.sleep(0.05)
        self._started.clear()
        os.close(self._lifeline)
        os.close(self._held)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        def stop(_number: int, _frame: FrameType | None) -> None:
            self._stopping = True

        numbers = (signal.SIGINT, signal.SIGTERM)
        before: list[Any] = [signal.signal(number, stop) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)


def _tell(pipe: int) -> None:
    # Nobody waits for a worker that replaces another.
    with contextlib.suppress(BrokenPipeError):
        os.write(pipe, b"1")
    os.close(pipe)
