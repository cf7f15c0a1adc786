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


def run(process: Process, where: str, words: list[str]) -> CompletedProcess[str]:
    options: dict[str, Any] = {"env": {"GIVEN": KEY}, "capture_output": False, "stderr": PIPE}
    match where:
        case "full":
            with Path("/dev/full").open("w") as full:
                return process(*words, stdout=full, **options)
        case "closed":
            return process(*words, preexec_fn=lambda: os.close(1), **options)
        case _:
            reader, writer = os.pipe()
            os.close(reader)
            try:
                return process(*words, stdout=writer, **options)
            finally:
                os.close(writer)
