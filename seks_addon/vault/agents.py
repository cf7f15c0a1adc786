"""Agents: who uses tokens. Each belongs to one client and has a password for the proxy."""

from __future__ import annotations

import builtins
import hmac
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from seks_addon.errors import ExistsError, NotFoundError
from seks_addon.timing import now, timestamp
from seks_addon.tokens import new_id, new_password, redact
from seks_addon.vault.clients import DEFAULT, check_name
from seks_addon.vault.consistent import retried
from seks_addon.vault.damage import DamagedRow, Sifted, pick, remove_row, require_text, sift

if TYPE_CHECKING:
    from seks_addon.vault.clients import Client
    from seks_addon.vault.envelope import Key
    from seks_addon.vault.store import Row, Vault

_SELECT: Final = "SELECT agents.*, clients.name AS client FROM agents JOIN clients ON clients.id = agents.client_id"
#: With those whose client is gone.
_ALL: Final = _SELECT.replace("JOIN", "LEFT JOIN")


@dataclass(frozen=True, slots=True)
class Agent:
    """Who makes requests. `user` is how it names itself to the proxy."""

    id: str
    client_id: str
    client: str
    name: str
    enabled: bool
    created: str

    @property
    def user(self) -> str:
        return self.name if self.client == DEFAULT else f"{self.client}/{self.name}"

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "client": self.client, "enabled": self.enabled, "created": self.created}


class Agents:
    """The table of agents."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def add(self, client: Client, name: str) -> tuple[Agent, str]:
        """Make an agent; gives it and its proxy password."""
        check_name("agent", name)
        agent = Agent(new_id("agt"), client.id, client.name, name, True, timestamp(now()))
        password = new_password()
        with self._vault.change():
            if self.find(client, name):
                raise ExistsError(f"the client {client.name!r} has an agent {name!r} already")
            sealed = self._vault.clients.key(client.id).seal(password.encode(), self._context(agent))
            self._vault.write(
                "INSERT INTO agents (id, client_id, name, enabled, password, created, mac) VALUES (?,?,?,?,?,?,?)",
                (agent.id, client.id, name, 1, sealed, agent.created, self._vault.mac("agents", _fields(agent))),
            )
        return agent, password

    @retried
    def find(self, client: Client, name: str) -> Agent | None:
        row = self._vault.row(f"{_SELECT} WHERE agents.client_id = ? AND agents.name = ?", (client.id, name))
        return self._agent(row) if row else None

    def get(self, client: Client, name: str) -> Agent:
        """The client's agent of that name; raises `NotFoundError`."""
        if agent := self.find(client, name):
            return agent
        raise NotFoundError(
            f"the client {client.name!r} has no agent {redact(name)!r}", hint="see `seks agent list`, or add one"
        )

    @retried
    def by_id(self, agent_id: str) -> Agent | None:
        row = self._vault.row(f"{_SELECT} WHERE agents.id = ?", (agent_id,))
        return self._agent(row) if row else None

    def require(self, agent_id: str) -> Agent:
        """The agent of that id; raises `NotFoundError`."""
        if agent := self.by_id(agent_id):
            return agent
        raise NotFoundError("the agent is gone")

    @retried
    def by_user(self, user: str) -> Agent | None:
        """Find an agent as it names itself to the proxy: `AGENT`, or `CLIENT/AGENT`."""
        client, slash, name = user.rpartition("/")
        row = self._vault.row(
            f"{_SELECT} WHERE clients.name = ? AND agents.name = ?", (client if slash else DEFAULT, name)
        )
        return self._agent(row) if row else None

    def list(self, client: Client | None = None) -> list[Agent]:
        """All agents, or one client's."""
        return [self._agent(row) for row in self._rows(_SELECT, client)]

    def survey(self, client: Client | None = None) -> Sifted[Agent]:
        """All agents, or one client's; damaged rows apart."""
        return sift("agent", self._rows(_ALL, client), self._agent)

    def locate(self, client: Client, name: str) -> Agent | DamagedRow:
        """The client's agent of that name, or a damaged one of that name or id; raises `NotFoundError`."""
        rows = self._vault.rows(
            f"{_ALL} WHERE agents.client_id = ? AND agents.name = ? OR agents.id = ?", (client.id, name, name)
        )
        return pick(sift("agent", rows, self._agent), name) or self.get(client, name)

    def set_enabled(self, client: Client, name: str, enabled: bool) -> Agent:
        """Let an agent in, or shut it out; holds from its next request."""
        with self._vault.change():
            old = self.get(client, name)
            agent = replace(old, enabled=enabled)
            self._vault.write(
                "UPDATE agents SET enabled = ?, mac = ? WHERE id = ?",
                (int(enabled), self._vault.mac("agents", _fields(agent)), agent.id),
            )
        return agent

    def remove(self, client: Client, name: str) -> Agent | DamagedRow:
        """Remove an agent, or a damaged row that `locate` finds, with its tokens."""
        with self._vault.change():
            agent = self.locate(client, name)
            remove_row(self._vault, "agent", agent.id)
        return agent

    @retried
    def password(self, agent: Agent) -> str:
        """The agent's proxy password, for its proxy URL."""
        row = self._vault.row("SELECT password FROM agents WHERE id = ?", (agent.id,))
        if row is None:
            raise NotFoundError("the agent is gone")
        return self._vault.clients.key(agent.client_id).open(row["password"], self._context(agent)).decode()

    def authenticate(self, user: str, password: str) -> Agent | None:
        """The agent of that name and password, enabled or not; None for a wrong pair, whichever half is wrong."""
        agent = self.by_user(user)
        # An unknown name costs about what a known one does, and both say the same.
        expected = self.password(agent) if agent else new_password()
        return agent if hmac.compare_digest(expected.encode(), password.encode()) and agent else None

    def reseal(self, agent: Agent, old: Key, new: Key) -> None:
        """Seal the password under another data key, and the row under the present vault key."""
        row = self._vault.row("SELECT password FROM agents WHERE id = ?", (agent.id,))
        password = old.open(row["password"], self._context(agent)) if row else b""
        self._write_password(agent, new, password)

    def renew_password(self, agent: Agent, key: Key) -> str:
        """Give the agent another proxy password, sealed under `key`."""
        password = new_password()
        self._write_password(agent, key, password.encode())
        return password

    def _write_password(self, agent: Agent, key: Key, password: bytes) -> None:
        self._vault.write(
            "UPDATE agents SET password = ?, mac = ? WHERE id = ?",
            (key.seal(password, self._context(agent)), self._vault.mac("agents", _fields(agent)), agent.id),
        )

    def _rows(self, select: str, client: Client | None) -> builtins.list[Row]:
        where, parameters = (" WHERE agents.client_id = ?", (client.id,)) if client else ("", ())
        return self._vault.rows(f"{select}{where} ORDER BY client, agents.name", parameters)

    def _context(self, agent: Agent) -> dict[str, Any]:
        return self._vault.context("agent password", client=agent.client_id, agent=agent.id)

    def _agent(self, row: Row) -> Agent:
        require_text(row, "client", "created")
        agent = Agent(row["id"], row["client_id"], row["client"], row["name"], bool(row["enabled"]), row["created"])
        # Whatever else stands there shall not pass for one of the two.
        enabled = {0: False, 1: True}.get(row["enabled"])
        self._vault.check_mac("agents", {**_fields(agent), "enabled": enabled}, row["mac"])
        return agent


def _fields(agent: Agent) -> dict[str, Any]:
    return {"id": agent.id, "client": agent.client_id, "name": agent.name, "enabled": agent.enabled}
