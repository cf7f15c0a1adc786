"""A WebSocket ends when the agent, or a token that was used on it, does."""

import contextlib
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection

from tests.e2e.websocket.conftest import GATEWAY, UNBOUND, Bench
from tests.e2e.websocket.test_messages import ended
from tests.support.bench import HOST
from tests.support.proxy import wait_for
from tests.support.site import Site


@contextlib.contextmanager
def disabled_agent(site: Site) -> Iterator[None]:
    """The agent is disabled meanwhile."""
    with site.vault() as vault:
        client = vault.clients.get("default")
        vault.agents.set_enabled(client, "default", False)
    yield
    with site.vault() as vault:
        vault.agents.set_enabled(client, "default", True)


@pytest.mark.parametrize("by_host", [True, False])
def test_revoked_token_ends_the_socket(bench: Bench, by_host: bool) -> None:
    """Nothing passes in either direction after the token was revoked."""
    go = threading.Event()

    def talk(connection: ServerConnection) -> None:
        go.wait(10)
        connection.send("from the host")

    if by_host:
        bench.host.talk = talk
    with bench.with_token() as socket:
        bench.site.revoke(bench.token)
        go.set()
        if not by_host:
            socket.send("from the agent")
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv()

    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "refused by the proxy: token_revoked")
    assert bench.host.heard == []
    _, outcome = bench.records()
    assert (outcome["outcome"], outcome["reason"], outcome["status"]) == ("failed", "token_revoked", 101)


def test_revoked_token_of_a_message(bench: Bench) -> None:
    """The same for a token that a message carried."""
    with bench.connect(GATEWAY) as socket:
        socket.send(json.dumps({"d": {"token": bench.gateway_token}}))
        socket.recv()
        bench.site.revoke(bench.gateway_token)
        assert ended(socket) == (1008, "refused by the proxy: token_revoked")

    assert len(bench.host.heard) == 1
    bench.records()


def test_expired_token_ends_the_socket(bench: Bench) -> None:
    """The same at a token's end, without any change of the vault."""
    end = datetime.now(UTC) + timedelta(seconds=3)
    token = bench.site.token("openai", expires=end)
    with bench.connect(additional_headers={"Authorization": f"Bearer {token}"}) as socket:
        socket.send("in time")
        socket.recv()
        wait_for(lambda: datetime.now(UTC) >= end)
        assert ended(socket) == (1008, "refused by the proxy: token_expired")

    assert bench.host.heard == ["in time"]
    bench.records()


@pytest.mark.parametrize("name", [HOST, UNBOUND])
def test_disabled_agent(bench: Bench, name: str) -> None:
    """An agent that is disabled talks to nobody any more, with a credential or without."""
    with bench.connect(name) as socket, disabled_agent(bench.site):
        assert ended(socket) == (1008, "refused by the proxy: agent_disabled")

    assert bench.host.heard == []


def test_removed_secret(bench: Bench) -> None:
    """A secret that is removed takes its sockets with it."""
    bench.site.secret("passing", (GATEWAY, "bearer"))
    token = bench.site.token("passing")
    with bench.connect(GATEWAY, additional_headers={"Authorization": f"Bearer {token}"}) as socket:
        socket.send("hello")
        socket.recv()
        with bench.site.vault() as vault:
            vault.secrets.remove(vault.clients.get("default"), "passing")
        assert ended(socket) == (1008, "refused by the proxy: token_unknown")

    bench.records()
