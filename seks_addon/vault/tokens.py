"""Tokens: each stands for one secret in the hands of one agent."""

from __future__ import annotations

import builtins
import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from seks_addon.binding import Binding
from seks_addon.canonical import canonical_json
from seks_addon.errors import InputError, NotFoundError
from seks_addon.policy import Policy
from seks_addon.timing import now, timestamp
from seks_addon.tokens import is_token, new_id, new_token
from seks_addon.vault.consistent import retried
from seks_addon.vault.damage import Sifted, reading, require_text, sift

if TYPE_CHECKING:
    from seks_addon.vault.agents import Agent
    from seks_addon.vault.envelope import Key
    from seks_addon.vault.secrets import StoredSecret
    from seks_addon.vault.store import Row, Vault

_SELECT: Final = (
    "SELECT tokens.*, secrets.name AS secret, secrets.provider, secrets.env, agents.name AS agent,"
    " secrets.client_id, clients.name AS client FROM tokens JOIN secrets ON secrets.id = tokens.secret_id"
    " JOIN agents ON agents.id = tokens.agent_id JOIN clients ON clients.id = secrets.client_id"
)
#: With those whose secret, agent or client is gone.
_ALL: Final = _SELECT.replace("JOIN", "LEFT JOIN")
_RESOLVE: Final = "SELECT * FROM tokens WHERE lookup = ?"


@dataclass(frozen=True, slots=True)
class Token:
    """All about a token but its text. `id` names it and opens nothing."""

    id: str
    secret_id: str
    secret: str
    provider: str | None
    env: tuple[str, ...]
    agent_id: str
    agent: str
    client_id: str
    client: str
    policy: Policy
    expires: str | None
    revoked: str | None
    created: str

    @property
    def state(self) -> str:
        """`live`, `revoked` or `expired`, at this moment."""
        if self.revoked:
            return "revoked"
        return "expired" if self.expires and self.expires <= timestamp(now()) else "live"

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "secret": self.secret,
            "provider": self.provider,
            "agent": self.agent,
            "client": self.client,
            "state": self.state,
            "policy": self.policy.to_json(),
            "expires": self.expires,
            "revoked": self.revoked,
            "created": self.created,
        }


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token stands for, as the path of a request needs it."""

    token_id: str
    agent_id: str
    secret_id: str
    secret: str
    provider: str | None
    client_id: str
    client: str
    binding: Binding
    policy: Policy
    expires: str | None
    secret_expires: str | None
    revoked: bool

    @property
    def policies(self) -> tuple[tuple[str, str, Policy], ...]:
        """The secret's policy and the token's, each behind the id and the name of whose it is."""
        return (
            (self.secret_id, f"the secret {self.secret!r}", self.binding.policy),
            (self.token_id, f"the token for the secret {self.secret!r}", self.policy),
        )


class Tokens:
    """The table of tokens."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def issue(
        self, secret: StoredSecret, agent: Agent, *, policy: Policy | None = None, expires: datetime | None = None
    ) -> tuple[Token, str]:
        """Make a token for an agent of the secret's client; gives it and its text."""
        if secret.client_id != agent.client_id:
            raise NotFoundError(f"the agent {agent.name!r} is not one of the client {secret.client!r}")
        policy = policy or Policy()
        if strays := set(policy.hosts).difference(secret.binding.hosts):
            raise InputError(
                f"the secret {secret.name!r} is not bound to {', '.join(sorted(strays))}",
                hint=f"it is bound to {', '.join(secret.binding.hosts)}",
            )
        text = new_token(secret.provider or "custom")
        token = Token(
            new_id("tok"),
            secret.id,
            secret.name,
            secret.provider,
            secret.env,
            agent.id,
            agent.name,
            secret.client_id,
            secret.client,
            policy,
            timestamp(expires) if expires else None,
            None,
            timestamp(now()),
        )
        with self._vault.change():
            sealed = self._vault.clients.key(token.client_id).seal(text.encode(), self._context(token))
            self._vault.write(
                "INSERT INTO tokens (id, lookup, secret_id, agent_id, token, policy, expires, revoked, created, mac)"
                " VALUES (?,?,?,?,?,?,?,?,?,?)",
                (
                    token.id,
                    lookup := self._vault.lookup(text),
                    token.secret_id,
                    token.agent_id,
                    sealed,
                    canonical_json(token.policy.to_json()).decode(),
                    token.expires,
                    None,
                    token.created,
                    self._mac(token, lookup),
                ),
            )
        return token, text

    @retried
    def resolve(self, text: str) -> Grant | None:
        """What the token `text` stands for, live or not; None where it is none of this vault's."""
        row = self._vault.row(_RESOLVE, (self._vault.lookup(text),))
        if row is None:
            return None
        self._check(row)
        secret = self._vault.secrets.by_id(row["secret_id"])
        return Grant(
            row["id"],
            row["agent_id"],
            secret.id,
            secret.name,
            secret.provider,
            secret.client_id,
            secret.client,
            secret.binding,
            Policy.from_json(json.loads(row["policy"])),
            row["expires"],
            secret.expires,
            row["revoked"] is not None,
        )

    def get(self, id_or_text: str) -> Token:
        """The token of that id, or the token itself; raises `NotFoundError`."""
        return self._token(self._named(_SELECT, id_or_text))

    def locate(self, id_or_text: str) -> Sifted[Token]:
        """As `get`, but one that may be damaged."""
        return sift("token", [self._named(_ALL, id_or_text)], self._token)

    @retried
    def list(
        self, *, agent: Agent | None = None, secret: StoredSecret | None = None, client_id: str | None = None
    ) -> builtins.list[Token]:
        """Tokens, oldest first, of one agent, secret or client where they are given."""
        return [self._token(row) for row in self._rows(_SELECT, agent, secret, client_id)]

    def survey(
        self, *, agent: Agent | None = None, secret: StoredSecret | None = None, client_id: str | None = None
    ) -> Sifted[Token]:
        """As `list`; damaged rows apart."""
        return sift("token", self._rows(_ALL, agent, secret, client_id), self._token)

    @retried
    def newest(self, agent: Agent, secret: StoredSecret) -> Token:
        """The newest token that an agent has for a secret, one that wasn't revoked first; raises `NotFoundError`."""
        row = self._vault.row(
            f"{_SELECT} WHERE tokens.agent_id = ? AND tokens.secret_id = ?"
            " ORDER BY tokens.revoked IS NOT NULL, tokens.created DESC, tokens.id LIMIT 1",
            (agent.id, secret.id),
        )
        if row is None:
            raise NotFoundError(f"the agent {agent.name!r} has no token for the secret {secret.name!r}")
        return self._token(row)

    @retried
    def text(self, token: Token) -> str:
        """The token itself."""
        row = self._vault.row("SELECT token FROM tokens WHERE id = ?", (token.id,))
        if row is None:
            raise NotFoundError("the token is gone")
        return self._vault.clients.key(token.client_id).open(row["token"], self._context(token)).decode()

    def revoke(self, token: Token) -> Token:
        """End a token for good; holds from the next request. One that is revoked already stays as it is."""
        with self._vault.change():
            row = self._vault.row(f"{_SELECT} WHERE tokens.id = ?", (token.id,))
            if row is None or row["revoked"]:
                return self._token(row) if row else token
            revoked = replace(self._token(row), revoked=timestamp(now()))
            self._vault.write(
                "UPDATE tokens SET revoked = ?, mac = ? WHERE id = ?",
                (revoked.revoked, self._mac(revoked, row["lookup"]), token.id),
            )
        return revoked

    def regenerate(self, token: Token, secret: StoredSecret, agent: Agent) -> tuple[Token, str]:
        """Revoke a token and issue one of the same kind."""
        with self._vault.change():
            self.revoke(token)
            expires = datetime.fromisoformat(token.expires) if token.expires else None
            return self.issue(secret, agent, policy=token.policy, expires=expires)

    def reseal(self, token: Token, old: Key, new: Key) -> None:
        """Seal the token under another data key; its lookup and its row hang from the present vault key."""
        row = self._vault.row("SELECT token FROM tokens WHERE id = ?", (token.id,))
        text = old.open(row["token"], self._context(token)) if row else b""
        lookup = self._vault.lookup(text.decode())
        self._vault.write(
            "UPDATE tokens SET token = ?, lookup = ?, mac = ? WHERE id = ?",
            (new.seal(text, self._context(token)), lookup, self._mac(token, lookup), token.id),
        )

    def _rows(
        self, select: str, agent: Agent | None, secret: StoredSecret | None, client_id: str | None
    ) -> builtins.list[Row]:
        wanted = {
            "tokens.agent_id": agent.id if agent else None,
            "tokens.secret_id": secret.id if secret else None,
            "secrets.client_id": client_id,
        }
        given = {column: value for column, value in wanted.items() if value is not None}
        where = " WHERE " + " AND ".join(f"{column} = ?" for column in given) if given else ""
        return self._vault.rows(f"{select}{where} ORDER BY tokens.created, tokens.id", tuple(given.values()))

    def _named(self, select: str, id_or_text: str) -> Row:
        if is_token(id_or_text):
            row = self._vault.row(f"{select} WHERE tokens.lookup = ?", (self._vault.lookup(id_or_text),))
            name = "that token"
        else:
            row = self._vault.row(f"{select} WHERE tokens.id = ?", (id_or_text,))
            name = f"a token {id_or_text!r}" if id_or_text.startswith("tok_") else "a token of that id"
        if row is None:
            raise NotFoundError(f"the vault doesn't have {name}", hint="see `seks token list`")
        return row

    def _context(self, token: Token) -> dict[str, Any]:
        return self._vault.context(
            "token", client=token.client_id, token=token.id, secret=token.secret_id, agent=token.agent_id
        )

    def _mac(self, token: Token, lookup: bytes) -> bytes:
        return self._vault.mac(
            "tokens",
            _fields(
                {
                    "id": token.id,
                    "lookup": lookup,
                    "secret_id": token.secret_id,
                    "agent_id": token.agent_id,
                    "policy": canonical_json(token.policy.to_json()).decode(),
                    "expires": token.expires,
                    "revoked": token.revoked,
                }
            ),
        )

    def _check(self, row: Row) -> None:
        with reading():
            self._vault.check_mac("tokens", _fields(row), row["mac"])

    def _token(self, row: Row) -> Token:
        self._check(row)
        require_text(row, "client", "secret", "agent", "created")
        with reading():
            env = tuple(json.loads(row["env"]))
        return Token(
            row["id"],
            row["secret_id"],
            row["secret"],
            row["provider"],
            env,
            row["agent_id"],
            row["agent"],
            row["client_id"],
            row["client"],
            Policy.from_json(json.loads(row["policy"])),
            row["expires"],
            row["revoked"],
            row["created"],
        )


def _fields(row: Row) -> dict[str, Any]:
    names = ("id", "secret_id", "agent_id", "policy", "expires", "revoked")
    return {"lookup": row["lookup"].hex(), **{name: row[name] for name in names}}
