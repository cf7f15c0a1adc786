"""The vendors' SDKs, with nothing but what `seks run` put into the environment."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.agent import Agent, python
from tests.clients.gate import Gate
from tests.support import vendors
from tests.support.vendors import TEXT, WORDS

pytestmark = pytest.mark.clients

CHAT = ("/v1/chat/completions", vendors.chat_completions({"stream": True}), 2)
RESPONSES = ("/v1/responses", vendors.responses({"stream": True}), 2)
MESSAGES = ("/v1/messages", vendors.messages({"stream": True}), 4)
"""Path and events of the streamed answers, and how many events it takes to the end of the first word."""


@pytest.mark.parametrize(
    ("program", "call", "answers"),
    [
        ("openai", "chat", [TEXT]),
        ("openai", "concurrent", [TEXT, TEXT]),
        ("openai", "responses", [TEXT]),
        ("openai", "models", [["gpt-test", "claude-test"]]),
        ("anthropic", "message", [TEXT]),
        ("anthropic", "concurrent", [TEXT, TEXT]),
    ],
)
def test_python(agent: Agent, program: str, call: str, answers: list[object]) -> None:
    """A call is answered, with the credential in it."""
    output = agent.run(*python(f"{program}_sdk", call))

    assert [json.loads(line) for line in output.splitlines()] == answers
    agent.used(program, times=1 if call == "models" else len(answers))


@pytest.mark.parametrize(
    ("program", "call", "streamed"),
    [("openai", "stream", CHAT), ("openai", "responses_stream", RESPONSES), ("anthropic", "stream", MESSAGES)],
)
def test_python_stream(
    agent: Agent, hold: Callable[..., Gate], program: str, call: str, streamed: tuple[str, list[bytes], int]
) -> None:
    """The first word arrives before the second was sent."""
    path, events, before = streamed
    gate = hold(path, events, before=before)

    words = agent.stream(gate, *python(f"{program}_sdk", call))

    assert words == list(WORDS)
    agent.used(program)


def test_error(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host's own 401 reaches the SDK as its AuthenticationError, and is on record."""
    monkeypatch.setattr(agent.upstream, "require_auth", lambda received: False)

    error = json.loads(agent.run(*python("openai_sdk", "error")))

    assert error == {"status": 401, "code": "invalid_api_key", "request": "api.openai.com"}
    agent.used("openai", status=401)


@pytest.mark.parametrize("program", ["openai", "anthropic"])
def test_node(agent: Agent, node: str, sdks: Path, program: str) -> None:
    """A call is answered, with the credential in it."""
    answer = agent.run(node, str(sdks / f"{program}.mjs"))

    assert json.loads(answer) == TEXT
    agent.used(program)


@pytest.mark.parametrize(("program", "streamed"), [("openai", CHAT), ("anthropic", MESSAGES)])
def test_node_stream(
    agent: Agent,
    node: str,
    sdks: Path,
    hold: Callable[..., Gate],
    program: str,
    streamed: tuple[str, list[bytes], int],
) -> None:
    """The first word arrives before the second was sent."""
    path, events, before = streamed
    gate = hold(path, events, before=before)

    words = agent.stream(gate, node, str(sdks / f"{program}.mjs"), "stream")

    assert words == list(WORDS)
    agent.used(program)
