"""The real proxy, as a process of its own."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.raw import Answer, Wire
from tests.support.site import Site

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0
"""How long anything may take, in seconds."""


class Proxy:
    """`seks-proxy run`, from ready to a clean end. Its log never holds a credential: that is checked at the end."""

    def __init__(self, site: Site, *options: str, module: str = "seks_cli.proxy", env: dict[str, str] | None = None):
        """`module` is what to run instead, with the same arguments."""
        self.site = site
        self.ready: dict[str, Any] = {}
        self.workers = 1
        self._folder = site.home.root.parent / f"{site.home.root.name}-proxy"
        self._folder.mkdir(exist_ok=True)
        self.ready_file = self._folder / "ready.json"
        self._output = self._folder / "output"
        command = [
            "run",
            "--home",
            str(site.home.root),
            "--listen",
            "127.0.0.1:0",
            "--ready-file",
            str(self.ready_file),
        ]
        self._command = [sys.executable, "-m", module, *command, *options]
        self._env = {**os.environ, **(env or {})}
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.kill()
            return
        code = self.stop()
        assert code == 0, f"exit code {code}:\n{self.log}"
        self.site.assert_no_leak(self.output())

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        self.ready_file.unlink(missing_ok=True)
        with self._output.open("ab") as output:
            self.process = subprocess.Popen(self._command, env=self._env, cwd=ROOT, stdout=output, stderr=output)
        wait_for(lambda: self.ready_file.exists() or self.pid is None)
        assert self.ready_file.exists(), f"the proxy didn't start:\n{self.log}"
        self.ready = json.loads(self.ready_file.read_bytes())

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end; returns its exit code. What ended already stays as it is."""
        assert self.process is not None
        self.process.send_signal(number)
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        """End it as a crash would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(PATIENCE)

    @property
    def pid(self) -> int | None:
        """Its process id, or None where it has ended."""
        return self.process.pid if self.process is not None and self.process.poll() is None else None

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        return int(self.ready["listen"].rpartition(":")[2])

    @property
    def log(self) -> str:
        """All that it printed up to now."""
        return self.output().decode()

    def output(self) -> bytes:
        """The same, as it was written."""
        return self._output.read_bytes()

    def forget_output(self) -> None:
        """Begin anew with what it prints."""
        os.truncate(self._output, 0)

    def wire(self) -> Wire:
        """A new connection to it."""
        return Wire(self.port)

    @contextlib.contextmanager
    def tunnel(
        self, host: str, *, user: str | None = None, server_name: str | None = "", ca: Path | None = None
    ) -> Iterator[Wire]:
        """A tunnel to `host` with TLS in it; `server_name` None sends no SNI, the default is the host."""
        with self.wire() as wire:
            answer = wire.connect(host if ":" in host else f"{host}:443", user)
            assert answer.status == 200, answer.text()
            name = host.partition(":")[0] if server_name == "" else server_name
            wire.start_tls(ca or self.site.home.ca_cert, name)
            yield wire

    def get(self, host: str, path: str, *headers: tuple[str, str], user: str | None = None) -> Answer:
        """One request over a connection of its own."""
        with self.tunnel(host, user=user) as wire:
            return wire.request("GET", path, *headers, host=host)

    def mark(self) -> int:
        """The number of the last audit record."""
        last = self.site.last_record()
        return last["seq"] if last else 0

    def records(self, after: int, count: int) -> list[dict[str, Any]]:
        """Exactly `count` audit records behind the number `after`: waits for them, and for no more."""
        wait_for(lambda: len(self.site.records(after)) >= count)
        records = self.site.records(after)
        assert len(records) == count, records
        return records


def wait_for(happened: Callable[[], object], what: str = "it") -> None:
    """Wait for what another process or thread does."""
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline, f"{what} didn't happen"
        time.sleep(0.01)
