"""New keys for a vault: another master key, other data keys, or none at all."""

import json
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import Final, NamedTuple

from seks_addon.errors import HomeError, MasterKeyError, SeksError, VaultError
from seks_addon.vault import keysource
from seks_addon.vault.clients import Client
from seks_addon.vault.damage import DamagedRow, Sifted
from seks_addon.vault.envelope import Key
from seks_addon.vault.keysource import KeyFile, KeySource
from seks_addon.vault.store import Vault

#: Told how many of how many records are done.
Progress = Callable[[int, int], None]
_ANOTHER: Final = "a rekey to it that was cut off is done; for a new key, name another, or a new key file"
#: Rows whose owners somebody took away.
_LEFTOVERS: Final = (
    "DELETE FROM secret_values",
    "DELETE FROM secret_hosts",
    "DELETE FROM tokens",
    "DELETE FROM agents WHERE client_id NOT IN (SELECT id FROM clients)",
)
_OTHERS: Final = "DELETE FROM agents WHERE client_id = ? AND id NOT IN (SELECT value FROM json_each(?))"


def rekey(vault: Vault, source: KeySource, record: Callable[[], object] = lambda: None) -> None:
    """Put the vault under a new master key from `source`: every data key is wrapped anew, no value is touched.

    The new key lies in its place, beside the old one, before the vault takes it; after a crash in between, opening
    the vault finds the right one of the two. `record` is called when all is ready, right before the vault takes it.
    """
    # Two at once would take each other's new key for their own.
    with source.reserved(), vault.home.exclusive():
        _rekey(vault, source, record)


def _rekey(vault: Vault, source: KeySource, record: Callable[[], object]) -> None:
    before = vault.master_key_id
    if isinstance(source, KeyFile):
        source.require_own(vault.home)
    # Where a killed one left the vault's only key, this one is going to put its own.
    keysource.finish(vault.home, vault.id, before, vault.source)
    try:
        master = source.create(vault.id)
        if master.id == before:
            raise MasterKeyError("that is the master key that the vault has", hint=_ANOTHER)
        keysource.remember(vault.home, source, staged=True)
        keysource.confirm(vault.home, source, vault.id, master.id, staged=True)
        with vault.change():
            vault.replace_master(master, {"kind": source.kind, **source.public()})
            record()
    except BaseException:
        # What fails after the commit must not take the only key away.
        if vault.master_key_id == before:
            source.discard()
            keysource.forget_staged(vault.home)
        raise
    keysource.settle(vault.home, source)


def reencrypt(vault: Vault, progress: Progress) -> None:
    """Give every client another data key, and the vault another key for lookups and rows: everything is sealed anew.

    Raises `VaultError`, and changes nothing, where a row is damaged: sealed anew, it would pass for one of SEKS's own.
    """
    with vault.change():
        clients, agents = _sound(vault.clients.survey()), _sound(vault.agents.survey())
        secrets, tokens = _sound(vault.secrets.survey()), _sound(vault.tokens.survey())
        old = {client.id: vault.clients.key(client.id) for client in clients}
        new = {client.id: Key.generate() for client in clients}
        vault.replace_vault_key(Key.generate())
        for client in clients:
            vault.clients.set_key(client, new[client.id])
        total = len(agents) + len(secrets) + len(tokens)
        steps = chain(
            ((DamagedRow("agent", a.id, a.name), partial(vault.agents.reseal, a), a.client_id) for a in agents),
            ((DamagedRow("secret", s.id, s.name), partial(vault.secrets.reseal, s), s.client_id) for s in secrets),
            ((DamagedRow("token", t.id), partial(vault.tokens.reseal, t), t.client_id) for t in tokens),
        )
        for done, (row, reseal, client_id) in enumerate(steps, 1):
            try:
                reseal(old[client_id], new[client_id])
            except VaultError:
                raise _refusal(row) from None
            progress(done, total)
    compact(vault)


def _sound[T](sifted: Sifted[T]) -> list[T]:
    for row in sifted.damaged:
        raise _refusal(row)
    return sifted.sound


def _refusal(row: DamagedRow) -> VaultError:
    return VaultError(f"{row} was changed outside of SEKS; nothing is encrypted again", hint=row.way_out)


class Destroyed(NamedTuple):
    """How many secrets are gone, the agents' new passwords by how they are called, and the damaged rows removed."""

    secrets: int
    passwords: dict[str, str]
    removed: list[DamagedRow]


def destroy(vault: Vault, clients: Sequence[Client] | None = None) -> Destroyed:
    """Throw the data keys of `clients`, or of all, away: their secrets and tokens are gone for good, damaged ones too.

    The agents stay, with new passwords; but for damaged ones: sealed anew, they would pass for SEKS's own. Where all
    are meant, a client that can't be named goes too. A backup from before still has it all, and so has who kept the
    old file and the master key; `erase_remnants` comes next.
    """
    passwords: dict[str, str] = {}
    removed: list[DamagedRow] = []
    with vault.change():
        if clients is None:
            count = vault.write("DELETE FROM secrets")
            for statement in _LEFTOVERS:
                vault.write(statement)
            removed += vault.clients.remove_unreadable()
            clients = vault.clients.list()
        else:
            count = sum(vault.write("DELETE FROM secrets WHERE client_id = ?", (client.id,)) for client in clients)
        for client in clients:
            vault.clients.set_key(client, key := Key.generate())
            agents = vault.agents.survey(client)
            for agent in agents.sound:
                passwords[agent.user] = vault.agents.renew_password(agent, key)
            # Whatever the ids of the others are, and whether or not they are text.
            vault.write(_OTHERS, (client.id, json.dumps([agent.id for agent in agents.sound])))
            removed += agents.damaged
    return Destroyed(count, passwords, removed)


def erase_remnants(vault: Vault) -> bool:
    """Compact the database, and remove the damaged one that a `restore` put aside; tells whether there was one.

    Raises `SeksError`, when all else is done, where something of before may be left.
    """
    damaged = vault.home.damaged_vault
    try:
        damaged.unlink()
        found = True
    except FileNotFoundError:
        found = False
    except OSError as error:
        compact(vault)
        raise HomeError(
            f"can't remove {damaged}: {error.strerror}", hint="remove it yourself: it is a copy of before"
        ) from None
    compact(vault)
    return found


def compact(vault: Vault) -> None:
    """Write the database anew and empty its log, so that no page of before is left in either."""
    try:
        vault.connection.execute("VACUUM")
        emptied = empty_log(vault)
    except sqlite3.Error:
        emptied = False
    if not emptied:
        raise SeksError(
            "the change is made, but remnants of before may be in the database's files",
            hint="end the programs that use the vault, then run `seks vault reencrypt`",
        )


def empty_log(vault: Vault) -> bool:
    """Move what is in the database's log into its file, and empty it; tells whether nobody was in the way."""
    try:
        # It doesn't raise where a reader is in the way, but says so.
        return not vault.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    except sqlite3.Error:
        return False
