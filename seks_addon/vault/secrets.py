"""Secrets: real credentials, sealed with what they are bound to."""

from __future__ import annotations

import builtins
import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from seks_addon.binding import Binding
from seks_addon.canonical import canonical_json, digest
from seks_addon.destination.host import Origin
from seks_addon.destination.wildcard import covering
from seks_addon.errors import ExistsError, NotFoundError, VaultError
from seks_addon.secret import Secret
from seks_addon.timing import now, timestamp
from seks_addon.tokens import new_id, redact
from seks_addon.vault.clients import check_name
from seks_addon.vault.consistent import retried
from seks_addon.vault.damage import DamagedRow, Sifted, pick, reading, remove_row, require_text, sift

if TYPE_CHECKING:
    from seks_addon.placements import Placement
    from seks_addon.vault.agents import Agent
    from seks_addon.vault.clients import Client
    from seks_addon.vault.envelope import Key
    from seks_addon.vault.store import Row, Vault

#: Agents and hosts whose secrets are remembered.
_MAX_HELD: Final = 4096
_SELECT: Final = "SELECT secrets.*, clients.name AS client FROM secrets JOIN clients ON clients.id = secrets.client_id"
#: With those whose client is gone.
_ALL: Final = _SELECT.replace("JOIN", "LEFT JOIN")


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """All about a secret but its value. `env`: variables that clients read it from."""

    id: str
    client_id: str
    client: str
    name: str
    provider: str | None
    binding: Binding
    env: tuple[str, ...]
    version: int
    expires: str | None
    created: str
    rotated: str | None

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "client": self.client,
            "provider": self.provider,
            "hosts": self.binding.hosts,
            "binding": self.binding.to_json(),
            "env": list(self.env),
            "version": self.version,
            "expires": self.expires,
            "created": self.created,
            "rotated": self.rotated,
        }


class Secrets:
    """The tables of secrets and their values."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        # Which secrets an agent has at a host: asked once, until the database changes.
        self._held: dict[tuple[str, str], builtins.list[str]] = {}
        self._held_version = -1

    def add(
        self,
        client: Client,
        name: str,
        value: Secret,
        binding: Binding,
        *,
        provider: str | None = None,
        env: tuple[str, ...] = (),
        expires: str | None = None,
    ) -> StoredSecret:
        """Seal a new secret."""
        stored = StoredSecret(
            new_id("sec"), client.id, client.name, name, provider, binding, env, 1, expires, timestamp(now()), None
        )
        with self._vault.change():
            self.check_free(client, name)
            self._vault.write(
                "INSERT INTO secrets (id, client_id, name, provider, binding, env, version, expires, created,"
                " rotated, mac) VALUES (?,?,?,?,?,?,?,?,?,?,?)",
                (
                    stored.id,
                    client.id,
                    name,
                    provider,
                    canonical_json(binding.to_json()).decode(),
                    json.dumps(env),
                    1,
                    expires,
                    stored.created,
                    None,
                    self._vault.mac("secrets", _fields(stored)),
                ),
            )
            self._write_value(stored, value)
            for endpoint in binding.endpoints:
                self._vault.write(
                    "INSERT OR IGNORE INTO secret_hosts (host, port, secret_id) VALUES (?, ?, ?)",
                    (endpoint.origin.host, endpoint.origin.port, stored.id),
                )
        return stored

    def rotate(self, client: Client, name: str, value: Secret) -> StoredSecret:
        """Replace the value; every token goes on working, with the new one. The old value is gone."""
        with self._vault.change():
            old = self.get(client, name)
            stored = replace(old, version=old.version + 1, rotated=timestamp(now()))
            self._vault.write("DELETE FROM secret_values WHERE secret_id = ?", (old.id,))
            self._vault.write(
                "UPDATE secrets SET version = ?, rotated = ?, mac = ? WHERE id = ?",
                (stored.version, stored.rotated, self._vault.mac("secrets", _fields(stored)), stored.id),
            )
            self._write_value(stored, value)
        return stored

    def remove(self, client: Client, name: str) -> StoredSecret | DamagedRow:
        """Remove a secret, or a damaged row that `locate` finds, with its value and tokens."""
        with self._vault.change():
            stored = self.locate(client, name)
            remove_row(self._vault, "secret", stored.id)
        return stored

    def check_free(self, client: Client, name: str) -> None:
        """Raise `InputError` or `ExistsError` where a new secret can't be called `name`."""
        check_name("secret", name)
        if self.find(client, name):
            raise ExistsError(
                f"the client {client.name!r} has a secret {name!r} already",
                hint="replace its value with `seks vault rotate`, or choose another name",
            )

    def find(self, client: Client, name: str) -> StoredSecret | None:
        row = self._vault.row(f"{_SELECT} WHERE secrets.client_id = ? AND secrets.name = ?", (client.id, name))
        return self._stored(row) if row else None

    def get(self, client: Client, name: str) -> StoredSecret:
        """The client's secret of that name; raises `NotFoundError`."""
        if stored := self.find(client, name):
            return stored
        raise NotFoundError(f"the client {client.name!r} has no secret {redact(name)!r}", hint="see `seks vault list`")

    @retried
    def by_id(self, secret_id: str) -> StoredSecret:
        """The secret of that id; raises `NotFoundError`."""
        row = self._vault.row(f"{_SELECT} WHERE secrets.id = ?", (secret_id,))
        if row is None:
            raise NotFoundError("the secret is gone")
        return self._stored(row)

    def list(self, client: Client | None = None) -> list[StoredSecret]:
        """All secrets, or one client's."""
        return [self._stored(row) for row in self._rows(_SELECT, client)]

    def survey(self, client: Client | None = None) -> Sifted[StoredSecret]:
        """All secrets, or one client's; damaged rows apart."""
        return sift("secret", self._rows(_ALL, client), self._stored)

    def count(self, client: Client | None = None) -> int:
        """How many there are, damaged ones too."""
        return len(self._rows(_ALL, client))

    def locate(self, client: Client, name: str) -> StoredSecret | DamagedRow:
        """The client's secret of that name, or a damaged one of that name or id; raises `NotFoundError`."""
        rows = self._vault.rows(
            f"{_ALL} WHERE secrets.client_id = ? AND secrets.name = ? OR secrets.id = ?", (client.id, name, name)
        )
        return pick(sift("secret", rows, self._stored), name) or self.get(client, name)

    def bound_to(self, origin: Origin) -> bool:
        """Tell whether any secret of any client is bound to `origin`."""
        return self._any_bound(origin.host, lambda binding: binding.at(origin) is not None, port=origin.port)

    def bound_to_host(self, host: str) -> bool:
        """Tell whether any secret of any client is bound to `host`, at any port: it may tell what it knows at each."""
        return self._any_bound(host, lambda binding: binding.reaches(host))

    def _any_bound(self, host: str, fits: Callable[[Binding], bool], *, port: int | None = None) -> bool:
        hosts = [wider.host for wider in covering(Origin(host, 443))]
        where, parameters = (" AND port = ?", (port,)) if port is not None else ("", ())
        rows = self._vault.rows(
            f"SELECT secret_id FROM secret_hosts WHERE host IN ({', '.join('?' * len(hosts))}){where} LIMIT 8",  # noqa: S608
            (*hosts, *parameters),
        )
        # The list only finds them; what a secret is bound to, its own row says, and that is authenticated. One is
        # enough: the cost doesn't grow with their number.
        for row in rows:
            # Where somebody touched one, others at the same host go on.
            with contextlib.suppress(VaultError, NotFoundError):
                if fits(self.by_id(row["secret_id"]).binding):
                    return True
        return False

    def held_at(self, host: str, agent: Agent) -> builtins.list[StoredSecret]:
        """The secrets bound to `host` that an agent has, or had, a token for; without those that were touched.

        At any port: what a host knows from one, it may tell at another.
        """
        found = []
        for secret_id in self._ids_held_at(host, agent):
            with contextlib.suppress(VaultError, NotFoundError):
                if (stored := self.by_id(secret_id)).binding.reaches(host):
                    found.append(stored)
        return found

    def _ids_held_at(self, host: str, agent: Agent) -> builtins.list[str]:
        if self._held_version != self._vault.version or not self._vault.is_current:
            self._held_version = self._vault.version
            self._held.clear()
        key = (agent.id, host)
        if key not in self._held:
            if len(self._held) >= _MAX_HELD:
                self._held.clear()
            hosts = [wider.host for wider in covering(Origin(host, 443))]
            rows = self._vault.rows(
                "SELECT DISTINCT secret_id FROM (SELECT DISTINCT secret_id FROM tokens WHERE agent_id = ?)"  # noqa: S608
                " CROSS JOIN secret_hosts USING (secret_id)"
                f" WHERE host IN ({', '.join('?' * len(hosts))})",
                (agent.id, *hosts),
            )
            self._held[key] = [row["secret_id"] for row in rows]
        return self._held[key]

    def placements_at(self, host: str, client_id: str) -> Sequence[Placement] | None:
        """Where a client's secrets may stand in a request to `host`, at any port; None where none is bound to it."""
        hosts = [wider.host for wider in covering(Origin(host, 443))]
        rows = self._vault.rows(
            "SELECT min(secrets.id) AS id FROM secret_hosts JOIN secrets ON secrets.id = secret_hosts.secret_id"  # noqa: S608
            f" WHERE host IN ({', '.join('?' * len(hosts))}) AND client_id = ? GROUP BY binding",
            (*hosts, client_id),
        )
        places: dict[Placement, None] = {}
        for row in rows:
            # One that somebody touched binds its host all the same, with the places that are known without it.
            with contextlib.suppress(VaultError, NotFoundError):
                endpoints = self.by_id(row["id"]).binding.endpoints
                places.update(dict.fromkeys(p for e in endpoints if e.origin.host in hosts for p in e.placements))
        return list(places) if rows else None

    @retried
    def reveal(self, secret_id: str, client_id: str) -> Secret:
        """Decrypt the live value; raises `VaultError` where it or its binding was touched."""
        row = self._vault.row(
            "SELECT secrets.binding, secrets.version, secrets.expires, secret_values.record, clients.data_key,"
            " clients.name AS client"
            " FROM secrets JOIN clients ON clients.id = secrets.client_id"
            " LEFT JOIN secret_values ON secret_values.secret_id = secrets.id"
            " AND secret_values.version = secrets.version WHERE secrets.id = ? AND secrets.client_id = ?",
            (secret_id, client_id),
        )
        if row is None or row["record"] is None:
            raise VaultError("the secret's value is gone", hint="add it again with `seks vault rotate`")
        key = self._vault.data_key(client_id, row["client"], row["data_key"])
        with reading():
            binding = digest(json.loads(row["binding"]))
        context = self._context(client_id, secret_id, row["version"], binding, row["expires"])
        return Secret(key.open(row["record"], context).decode())

    def reseal(self, stored: StoredSecret, old: Key, new: Key) -> None:
        """Seal the value under another data key, and the row under the present vault key."""
        row = self._vault.row(
            "SELECT record FROM secret_values WHERE secret_id = ? AND version = ?", (stored.id, stored.version)
        )
        if row is None:
            raise VaultError(f"the value of the secret {stored.name!r} is gone", hint="remove it, and add it again")
        context = self._context_of(stored)
        self._vault.write(
            "UPDATE secret_values SET record = ? WHERE secret_id = ? AND version = ?",
            (new.seal(old.open(row["record"], context), context), stored.id, stored.version),
        )
        self._vault.write(
            "UPDATE secrets SET mac = ? WHERE id = ?", (self._vault.mac("secrets", _fields(stored)), stored.id)
        )

    def _rows(self, select: str, client: Client | None) -> builtins.list[Row]:
        where, parameters = (" WHERE secrets.client_id = ?", (client.id,)) if client else ("", ())
        return self._vault.rows(f"{select}{where} ORDER BY client, secrets.name", parameters)

    def _write_value(self, stored: StoredSecret, value: Secret) -> None:
        stored.binding.check_value(value.reveal())
        key = self._vault.clients.key(stored.client_id)
        record = key.seal(value.reveal().encode(), self._context_of(stored))
        self._vault.write(
            "INSERT INTO secret_values (secret_id, version, record, created) VALUES (?, ?, ?, ?)",
            (stored.id, stored.version, record, timestamp(now())),
        )

    def _context_of(self, stored: StoredSecret) -> dict[str, Any]:
        return self._context(stored.client_id, stored.id, stored.version, stored.binding.digest, stored.expires)

    def _context(
        self, client_id: str, secret_id: str, version: int, binding: str, expires: str | None
    ) -> dict[str, Any]:
        return self._vault.context(
            "secret", client=client_id, secret=secret_id, version=version, binding=binding, expires=expires
        )

    def _stored(self, row: Row) -> StoredSecret:
        require_text(row, "client", "created", *(["rotated"] if row["rotated"] is not None else []))
        with reading():
            stored = StoredSecret(
                row["id"],
                row["client_id"],
                row["client"],
                row["name"],
                row["provider"],
                _read_binding(row["binding"]),
                tuple(json.loads(row["env"])),
                row["version"],
                row["expires"],
                row["created"],
                row["rotated"],
            )
            self._vault.check_mac("secrets", _fields(stored), row["mac"])
        return stored


@lru_cache(maxsize=1024)
def _read_binding(text: str) -> Binding:
    """Read a stored binding. Cached: the text is the whole of what it depends on."""
    return Binding.from_json(json.loads(text))


def _fields(stored: StoredSecret) -> dict[str, Any]:
    return {
        "id": stored.id,
        "client": stored.client_id,
        "name": stored.name,
        "provider": stored.provider,
        "binding": stored.binding.digest,
        "env": list(stored.env),
        "version": stored.version,
        "expires": stored.expires,
    }
