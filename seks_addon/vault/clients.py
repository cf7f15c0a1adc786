"""Clients: tenants, each with a data key of its own."""

from __future__ import annotations

import builtins
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from seks_addon.errors import ExistsError, InputError, NotFoundError
from seks_addon.timing import now, timestamp
from seks_addon.tokens import new_id, redact
from seks_addon.vault.damage import DamagedRow, Sifted, require_text, sift
from seks_addon.vault.envelope import Key

if TYPE_CHECKING:
    from seks_addon.vault.store import Row, Vault

#: What the first client is called, and the first agent of each.
DEFAULT: Final = "default"

# No slash and no colon: `CLIENT/AGENT:PASSWORD` names an agent to the proxy.
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

#: The columns that are used as they stand there, and whether one of them can't be.
_TEXTS: Final = ("id", "name", "created")
_UNREADABLE: Final = "FROM clients WHERE " + " OR ".join(f"typeof({column}) != 'text'" for column in _TEXTS)


def check_name(kind: str, name: str) -> str:
    """Raise `InputError` unless `name` can name a client, an agent or a secret."""
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{redact(name)!r} can't name {'an' if kind[0] in 'aeiou' else 'a'} {kind}",
            hint="use up to 64 letters, digits, dots, dashes and underscores, beginning with a letter or digit",
        )
    return name


@dataclass(frozen=True, slots=True)
class Client:
    """A tenant."""

    id: str
    name: str
    created: str

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "created": self.created}


class Clients:
    """The table of clients."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def add(self, name: str) -> Client:
        """Make a client with a new data key."""
        check_name("client", name)
        client = Client(new_id("cli"), name, timestamp(now()))
        with self._vault.change():
            if self.find(name):
                raise ExistsError(f"there is a client {name!r} already")
            self._vault.write(
                "INSERT INTO clients (id, name, data_key, created) VALUES (?, ?, ?, ?)",
                (client.id, client.name, self._vault.wrap_data_key(client.id, name, Key.generate()), client.created),
            )
        return client

    def find(self, name: str) -> Client | None:
        row = self._vault.row("SELECT * FROM clients WHERE name = ?", (name,))
        return _client(row) if row else None

    def get(self, name: str) -> Client:
        """The client of that name; raises `NotFoundError`."""
        if client := self.find(name):
            return client
        raise NotFoundError(f"there is no client {redact(name)!r}", hint="see `seks client list`")

    def list(self) -> list[Client]:
        return [_client(row) for row in self._vault.rows("SELECT * FROM clients ORDER BY name")]

    def survey(self) -> Sifted[Client]:
        """All clients; those apart whose data key doesn't open: they were renamed or changed outside of SEKS."""
        return sift("client", self._vault.rows("SELECT * FROM clients ORDER BY name"), self._checked)

    def remove(self, name: str) -> Client:
        """Remove a client with its agents, secrets, tokens and data key: its values can't be read again."""
        with self._vault.change():
            client = self.get(name)
            self._vault.write("DELETE FROM clients WHERE id = ?", (client.id,))
        return client

    def remove_unreadable(self) -> builtins.list[DamagedRow]:
        """Remove the clients that can't even be named, with all that they own: a column that must be text isn't."""
        rows = self._vault.rows(f"SELECT id, name {_UNREADABLE}")
        self._vault.write(f"DELETE {_UNREADABLE}")
        return [DamagedRow("client", row["id"], row["name"]) for row in rows]

    def set_key(self, client: Client, key: Key) -> None:
        """Give the client another data key; what is sealed under the one of before is lost, unless it is resealed."""
        wrapped = self._vault.wrap_data_key(client.id, client.name, key)
        self._vault.write("UPDATE clients SET data_key = ? WHERE id = ?", (wrapped, client.id))

    def key(self, client_id: str) -> Key:
        """The client's data key, unwrapped."""
        row = self._vault.row("SELECT id, name, data_key FROM clients WHERE id = ?", (client_id,))
        if row is None:
            raise NotFoundError("the client is gone")
        require_text(row, "id", "name")
        return self._vault.data_key(client_id, row["name"], row["data_key"])

    def _checked(self, row: Row) -> Client:
        client = _client(row)
        self.key(client.id)
        return client


def _client(row: Row) -> Client:
    require_text(row, *_TEXTS)
    return Client(row["id"], row["name"], row["created"])
