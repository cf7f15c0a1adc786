"""An agent at work: real programs under `seks run`, and what is asked of every one of them."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seks_addon.home import Home
from seks_addon.tokens import find_lookalikes
from tests.clients.gate import Gate
from tests.support.proxy import PATIENCE, Proxy, wait_for
from tests.support.site import Site
from tests.support.upstream import Received, Upstream

SEKS = Path(sys.executable).with_name("seks")
PROGRAMS = Path(__file__).with_name("programs")
HOSTS = {"openai": "api.openai.com", "anthropic": "api.anthropic.com", "github": "api.github.com"}
"""The secrets, and where most of their clients go."""


def clean_environment(home: Path) -> dict[str, str]:
    """What `env -i` leaves, with a home folder: no certificate, proxy or key of this machine is in it."""
    return {"PATH": os.environ["PATH"], "HOME": str(home)}


def python(program: str, *arguments: str) -> list[str]:
    """The command that runs one of the Python programs."""
    return [sys.executable, str(PROGRAMS / f"{program}.py"), *arguments]


class Office(Site):
    """A home made and filled by the command line alone, as an operator does it."""

    def __init__(self, root: Path) -> None:
        """Run `seks init`, and `seks vault add` for every secret."""
        self.home = Home(root)
        self.keys: dict[str, str] = {}
        self.tokens: dict[str, str] = {}
        self.seks("init")
        for number, name in enumerate(HOSTS):
            self.keys[name] = f"sk-FAKE-not-a-real-key-{name}-{number:04}"
            self.tokens[name] = self.seks("vault", "add", name, "--stdin", given=self.keys[name]).splitlines()[-1]
        self.credentials = list(self.keys.values())

    def command(self, *words: str) -> list[str]:
        """A `seks` command for this home."""
        return [str(SEKS), "--home", str(self.home.root), *words]

    def seks(self, *words: str, given: str = "") -> str:
        """Run `seks` and give what it prints."""
        result = subprocess.run(
            self.command(*words),
            env=clean_environment(self.home.root.parent),
            input=given,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout


@dataclass
class Agent:
    """One test's agent. `folder` is its HOME; what came before it is not in sight."""

    office: Office
    proxy: Proxy
    upstream: Upstream
    folder: Path
    mark: int = field(init=False)
    errors: str = field(init=False, default="")
    """What the last command wrote to stderr."""

    def __post_init__(self) -> None:
        self.upstream.clear()
        self.mark = self.proxy.mark()

    def run(self, *command: str, parent: dict[str, str] | None = None) -> str:
        """Run a command with `seks run` in an otherwise clean environment, or with `parent` added to that.

        It ends well; what it prints is returned, and holds no real key.
        """
        return self._run(self.office.command("run", "--", *command), parent or {})

    def run_bare(self, *command: str) -> str:
        """Run a command without `seks run`: it gets its variables elsewhere."""
        return self._run(command, {})

    def stream(self, gate: Gate, *command: str) -> list[Any]:
        """Run a command that prints lines of JSON; the gate opens as soon as the first is there."""
        output = self._run(self.office.command("run", "--", *command), {}, gate)
        assert gate.passed, "nothing came through until the upstream had sent all"
        return [json.loads(line) for line in output.splitlines()]

    def used(self, secret: str, *, host: str = "", times: int = 1, status: int = 200) -> list[Received]:
        """Assert that all that the upstream received has a secret in its token's place, and that it is on record."""
        host = host or HOSTS[secret]
        requests = self.upstream.requests
        assert [received.sni for received in requests] == [host] * times
        for received in requests:
            assert received.raw_head.count(self.office.keys[secret].encode()) == 1
            assert not find_lookalikes(received.raw_head.decode("latin-1"))
        self.recorded(secret, host=host, times=times, status=status)
        return requests

    def recorded(self, secret: str, *, host: str, times: int = 1, status: int = 200) -> None:
        """Assert that `seks audit list` has so many uses of a secret since the start, and nothing else."""
        wait_for(lambda: len(self.office.records(self.mark)) >= 2 * times, "a record of every use")
        records = json.loads(self.office.seks("audit", "list", "--json"))
        new = [record for record in records if record["seq"] > self.mark]
        common = {"client": "default", "agent": "default", "secret": secret, "host": host}
        assert sorted(record["event"] for record in new) == ["intent"] * times + ["outcome"] * times
        for record in new:
            assert record.items() >= {**common, "outcome": "allowed", "reason": None}.items()
            assert record["status"] == (status if record["event"] == "outcome" else None)

    def _run(self, command: Sequence[str], parent: dict[str, str], gate: Gate | None = None) -> str:
        stderr = self.folder / "stderr"
        with (
            stderr.open("wb") as errors,
            subprocess.Popen(
                command,
                env={**clean_environment(self.folder), **parent},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            ) as process,
        ):
            patience = threading.Timer(PATIENCE, process.kill)
            patience.start()
            try:
                assert process.stdout is not None
                output = process.stdout.readline()
                if gate is not None:
                    gate.open()
                output += process.stdout.read()
                process.wait()
            finally:
                patience.cancel()
        self.errors = stderr.read_text("utf-8", "replace")
        assert process.returncode == 0, f"exit code {process.returncode}:\n{self.errors}"
        self.office.assert_no_leak(output.encode(), self.errors.encode())
        return output
