"""What is printed once, where standard output can't be written: it is said, with the way to see it again."""

import os
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE, CompletedProcess
from typing import Any

import pytest

from seks_addon.home import Home
from seks_addon.vault import Vault
from tests.cli.conftest import Seks
from tests.samples import KEY

type Process = Callable[..., CompletedProcess[str]]

#: Commands, what they say that they did, and what they say to do.
COMMANDS = [
    (("vault", "add", "groq", "--from-env", "GIVEN"), "the secret groq is stored", "`seks env`"),
    (("vault", "add", "groq", "--from-env", "GIVEN", "--json"), "the secret groq is stored", "token regenerate tok_"),
    (("agent", "add", "second"), "the agent second is made", "`seks env --agent second`"),
    (("token", "issue", "openai", "--agent", "ci"), "the token tok_", "`seks env --agent ci`"),
    (("token", "regenerate", "ID"), "the token tok_", "`seks env`"),
    (("vault", "destroy", "--yes"), "the secrets are destroyed", "`seks env --agent NAME`"),
]


@pytest.fixture
def token(ready: Seks) -> str:
    ready("agent", "add", "ci")
    return str(ready("vault", "add", "openai", "--stdin", "--json", stdin=KEY).json["token_id"])


@pytest.mark.parametrize("where", ["full", "closed", "gone"])
@pytest.mark.parametrize(("words", "done", "way_out"), COMMANDS, ids=lambda value: " ".join(value[:2]))
def test_output_that_is_lost(
    home: Home, process: Process, token: str, words: tuple[str, ...], done: str, way_out: str, where: str
) -> None:
    """On a full disk, closed, or with nobody at the pipe's other end."""
    result = run(process, where, [token if word == "ID" else word for word in words])

    error, hint = result.stderr.splitlines()[-2:]
    assert result.returncode == 1
    assert error.startswith("seks: error: ")
    assert done in error
    assert "standard output can't be written" in error
    assert hint.startswith("seks: hint: ")
    assert way_out in hint
    with Vault.open(home) as vault:
        # What it says is so: the change is made.
        assert {
            "groq": lambda: vault.secrets.get(vault.clients.get("default"), "groq"),
            "second": lambda: vault.agents.get(vault.clients.get("default"), "second"),
            "--yes": lambda: not vault.secrets.list(),
        }.get(words[2], lambda: len(vault.tokens.list()) == 2)()


#: Commands, and whether they print what no other prints again.
UNHEARD = [
    *((words, True) for words, _, _ in COMMANDS),
    (("vault", "rotate", "openai", "--from-env", "GIVEN"), False),
    (("vault", "check"), True),
    (("vault", "list"), True),
    (("vault", "backup", "COPY2"), False),
    (("vault", "reencrypt"), False),
    (("vault", "restore", "COPY"), False),
    (("--home", "OTHER", "init", "--from-backup", "COPY", "--key-file", "KEY"), False),
    (("audit", "verify"), True),
]


@pytest.mark.parametrize("where", ["full", "closed", "gone"])
@pytest.mark.parametrize(("words", "prints"), UNHEARD, ids=str)
def test_nobody_to_tell(
    home: Home, process: Process, token: str, tmp_path: Path, words: tuple[str, ...], prints: bool, where: str
) -> None:
    """Standard error that can't be written is no reason to fail, or to keep what was made from who asked for it."""
    places = {"COPY": tmp_path / "copy", "COPY2": tmp_path / "copy2", "OTHER": tmp_path / "other"}
    assert process("vault", "backup", str(places["COPY"])).returncode == 0
    chosen = {"ID": token, "KEY": home.master_key, **places}

    result = run(process, where, [str(chosen.get(word, word)) for word in words], lost="stderr")

    assert result.returncode == 0
    assert bool(result.stdout) == prints


@pytest.mark.parametrize("where", ["full", "closed", "gone"])
def test_nobody_to_tell_of_an_error(process: Process, token: str, where: str) -> None:
    """The exit code says it still."""
    assert run(process, where, ["vault", "show", "nothing"], lost="stderr").returncode == 1
    assert run(process, where, ["vault", "show"], lost="stderr").returncode == 2
    assert run(process, where, ["vault"], lost="stderr").returncode == 2


def run(process: Process, where: str, words: list[str], lost: str = "stdout") -> CompletedProcess[str]:
    options: dict[str, Any] = {
        "env": {"GIVEN": KEY},
        "capture_output": False,
        ("stderr" if lost == "stdout" else "stdout"): PIPE,
    }
    match where:
        case "full":
            with Path("/dev/full").open("w") as full:
                return process(*words, **{lost: full}, **options)
        case "closed":
            return process(*words, preexec_fn=lambda: os.close(1 if lost == "stdout" else 2), **options)
        case _:
            reader, writer = os.pipe()
            os.close(reader)
            try:
                return process(*words, **{lost: writer}, **options)
            finally:
                os.close(writer)
