"""Python's HTTP clients."""

import json
from collections.abc import Callable

import pytest

from tests.clients.agent import Agent, python
from tests.clients.gate import Gate
from tests.support import vendors

pytestmark = pytest.mark.clients

MODELS = vendors.models({})


@pytest.mark.parametrize("command", [("requests_client", "get"), ("httpx_client", "sync"), ("urllib_client",)])
def test_get(agent: Agent, command: tuple[str, ...]) -> None:
    """One request is answered, with the credential in it."""
    answer = agent.run(*python(*command))

    assert json.loads(answer) == MODELS
    (received,) = agent.used("openai")
    assert received.authorization == f"Bearer {agent.office.keys['openai']}"


def test_requests_session(agent: Agent) -> None:
    """A session's requests share a connection, and each has the credential."""
    answers = agent.run(*python("requests_client", "session")).splitlines()

    first, second = agent.used("openai", times=2)
    assert json.loads(answers[0]) == MODELS
    assert json.loads(json.loads(answers[1])["body"]) == {"say": "hello"}
    assert second.json() == {"say": "hello"}
    assert first.connection == second.connection


def test_httpx_concurrent(agent: Agent) -> None:
    """Requests at the same time are all answered."""
    answers = agent.run(*python("httpx_client", "concurrent")).splitlines()

    agent.used("openai", times=3)
    assert [answer.split()[0] for answer in answers] == ["200"] * 3
    assert answers[2] == "200 100000"


def test_httpx_stream(agent: Agent, hold: Callable[..., Gate]) -> None:
    """The first event arrives before the last was sent."""
    events = vendors.chat_completions({"stream": True})
    gate = hold("/v1/chat/completions", events, before=1)

    lines = agent.stream(gate, *python("httpx_client", "stream"))

    assert "".join(f"{line}\n\n" for line in lines).encode() == b"".join(events)
    agent.used("openai")
