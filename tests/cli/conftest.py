"""Running `seks` as its users do: words, standard input and variables in; exit code and both outputs out."""

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from seks_addon.home import Home
from seks_addon.vault.envelope import Key
from seks_addon.vault.keysource import passphrase
from seks_addon.vault.keysource.encoding import encode
from seks_cli import main

ROOT = Path(__file__).parents[2]

#: What decides how a command behaves and must not come from the machine that the tests run on.
FOREIGN = ("SEKS_", "NO_COLOR", "NODE_", "SSL_CERT", "REQUESTS_CA", "CURL_CA", "AWS_CA", "_SEKS")


@dataclass(frozen=True)
class Result:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def last(self) -> str:
        return self.out.splitlines()[-1]


Seks = Callable[..., Result]

WORDS = "four obviously fake words"

#: Key sources, as `options` takes them.
KINDS = ["keyfile", "elsewhere", "passphrase", "command"]


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith(FOREIGN):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Where the home of this test is, or will be."""
    return Home(tmp_path / "home")


@pytest.fixture
def seks(home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Seks:
    """Run a command line of `seks` in this process."""
    monkeypatch.setenv("SEKS_HOME", str(home.root))

    def run(*words: str, stdin: str | bytes = b"") -> Result:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr(sys, "argv", ["seks", *words])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main.main()
        out, err = capsys.readouterr()
        return Result(int(exit_.value.code or 0), out, err)

    return run


@pytest.fixture(scope="session")
def _initialised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from seks_addon.vault.keysource import KeyFile
    from seks_cli.init import initialise

    made = Home(tmp_path_factory.mktemp("initialised") / "home")
    initialise(made, KeyFile(made.master_key))
    return made.root


@pytest.fixture
def ready(seks: Seks, home: Home, _initialised: Path) -> Seks:
    """`seks` with an initialised home."""
    shutil.copytree(_initialised, home.root)
    return seks


@pytest.fixture
def add(ready: Seks) -> Callable[..., str]:
    """Store a secret; gives its token."""

    def store(name: str, value: str, *words: str) -> str:
        return ready("vault", "add", name, "--stdin", "--json", *words, stdin=value).json["token"]

    return store


@pytest.fixture
def process(home: Home) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `seks` as a process of its own, for what replaces the process or looks at its files."""

    def run(*words: str, env: Mapping[str, str] = {}, **more: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*words),
            env={**os.environ, **environment(home), **env},
            text=True,
            timeout=60,
            check=False,
            **{"stdin": subprocess.DEVNULL, "capture_output": True, **more},
        )

    return run


@pytest.fixture
def killed(home: Home, tmp_path: Path) -> Callable[..., None]:
    """Run `seks` and kill it at the instant that `find` finds among those of a run in another home.

    `{run}` in a word is `whole` for that one, and `killed` for the other.
    """

    def run(find: Callable[[list[str]], int], *words: str) -> None:
        instants, whole = tmp_path / "instants", tmp_path / "whole"
        if home.root.exists():
            shutil.copytree(home.root, whole)
        number = 0
        for name, root in (("whole", whole), ("killed", home.root)):
            given = ["--home", str(root), *(word.format(run=name) for word in words)]
            done = subprocess.run(
                [sys.executable, "-m", "tests.support.dying", str(number), str(instants), *given],
                env={**os.environ, **environment(home)},
                stdin=subprocess.DEVNULL,
                check=False,
            )
            assert done.returncode == (-signal.SIGKILL if number else 0)
            number = find(instants.read_text().splitlines()) + 1

    return run


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A passphrase from a file, and Argon2id cheaper than it may be."""
    (tmp_path / "words").touch(0o600)
    (tmp_path / "words").write_text(f"{WORDS}\n")
    monkeypatch.setenv("SEKS_PASSPHRASE_FILE", str(tmp_path / "words"))
    monkeypatch.setattr(passphrase, "_FLOOR", (1, 8192))
    monkeypatch.setattr(passphrase.Passphrase.__init__, "__defaults__", ((1, 8192),))


@pytest.fixture
def key_command(tmp_path: Path) -> str:
    """A command that prints a master key."""
    path = tmp_path / "printed.key"
    path.write_text(encode(Key.from_material(bytes(range(32)))))
    return f"cat '{path}'"


def command(*words: str) -> list[str]:
    """The words that start `seks` as a process of its own."""
    return [sys.executable, "-m", "seks_cli.main", *words]


def environment(home: Home) -> dict[str, str]:
    """The variables that such a process needs."""
    return {"SEKS_HOME": str(home.root), "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "cli")))}


@pytest.fixture
def port() -> Iterator[int]:
    """A port that accepts connections, as a running proxy's does."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def records(seks: Seks) -> list[dict[str, Any]]:
    """All audit records."""
    return seks("audit", "list", "--json").json


def acts(seks: Seks) -> list[str]:
    """The administrative acts in the audit log, in their order."""
    return [record["reason"] for record in records(seks) if record["event"] == "admin"]


def options(kind: str, tmp_path: Path, key_command: str) -> list[str]:
    """How the key source is named on the command line."""
    match kind:
        case "elsewhere":
            return ["--key-file", str(tmp_path / "elsewhere.key")]
        case "command":
            return ["--key-command", key_command]
        case _:
            return ["--key-source", kind]


def assert_refused(result: Result, says: str, code: int = 1) -> None:
    """One line of error, perhaps one of hint, nothing else."""
    lines = result.err.splitlines()
    assert (result.code, result.out) == (code, ""), result
    assert lines[0].startswith("seks: error: ")
    assert all(line.startswith("seks: hint: ") for line in lines[1:])
    assert len(lines) <= 2
    assert says in result.err
    assert "internal error" not in result.err


def value(seks: Seks, name: str = "openai") -> str:
    """What is stored, read as `seks run` would."""
    from seks_cli.workplace import Workplace

    workplace = Workplace()
    with workplace.vault() as vault:
        owner = vault.clients.get("default")
        return vault.secrets.reveal(vault.secrets.get(owner, name).id, owner.id).reveal()
