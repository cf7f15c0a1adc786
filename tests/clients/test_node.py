"""What Node brings along; the SDKs on top of it are in `test_sdks`."""

import json

import pytest

from tests.clients.agent import Agent
from tests.clients.conftest import NODE
from tests.support import vendors

pytestmark = pytest.mark.clients


@pytest.mark.parametrize("client", ["fetch", "https"])
def test_get(agent: Agent, node: str, client: str) -> None:
    """One request is answered, with the credential in it."""
    answer = agent.run(node, str(NODE / "builtin.mjs"), client)

    assert json.loads(answer) == vendors.models({})
    agent.used("openai")
