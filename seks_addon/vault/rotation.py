"""New keys for a vault: another master key, other data keys, or none at all."""

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain

from seks_addon.errors import MasterKeyError, SeksError
from seks_addon.vault import keysource
from seks_addon.vault.clients import Client
from seks_addon.vault.envelope import Key
from seks_addon.vault.keysource import KeyFile, KeySource
from seks_addon.vault.store import Vault

#: Told how many of how many records are done.
Progress = Callable[[int, int], None]


def rekey(vault: Vault, source: KeySource, record: Callable[[], object] = lambda: None) -> None:
    """Put the vault under a new master key from `source`: every data key is wrapped anew, no value is touched.

    The new key lies in its place, beside the old one, before the vault takes it; after a crash in between, opening
    the vault finds the right one of the two. `record` is called when all is ready, right before the vault takes it.
    """
    # Two at once would take each other's new key for their own.
    with vault.home.exclusive():
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
            raise MasterKeyError("that is the master key that the vault has", hint="name another, or a new key file")
        keysource.remember(vault.home, source, staged=True)
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
    """Give every client another data key, and the vault another key for lookups and rows: everything is sealed anew."""
    with vault.change():
        clients = vault.clients.list()
        agents, secrets, tokens = vault.agents.list(), vault.secrets.list(), vault.tokens.list()
        old = {client.id: vault.clients.key(client.id) for client in clients}
        new = {client.id: Key.generate() for client in clients}
        vault.replace_vault_key(Key.generate())
        for client in clients:
            vault.clients.set_key(client, new[client.id])
        total = len(agents) + len(secrets) + len(tokens)
        steps = chain(
            ((partial(vault.agents.reseal, agent), agent.client_id) for agent in agents),
            ((partial(vault.secrets.reseal, secret), secret.client_id) for secret in secrets),
            ((partial(vault.tokens.reseal, token), token.client_id) for token in tokens),
        )
        for done, (reseal, client_id) in enumerate(steps, 1):
            reseal(old[client_id], new[client_id])
            progress(done, total)
    compact(vault)


def destroy(vault: Vault, clients: Sequence[Client]) -> dict[str, str]:
    """Throw the clients' data keys away: their secrets and tokens are gone for good.

    A backup from before still has them, and so has who kept the old file and the master key. The agents stay, with
    new passwords; gives those, by how the agents are called.
    """
    passwords = {}
    with vault.change():
        for client in clients:
            # Damaged ones too, which nothing else could read.
            vault.write("DELETE FROM secrets WHERE client_id = ?", (client.id,))
            key = Key.generate()
            vault.clients.set_key(client, key)
            for agent in vault.agents.list(client):
                passwords[agent.user] = vault.agents.renew_password(agent, key)
    compact(vault)
    return passwords


def compact(vault: Vault) -> None:
    """Write the database anew and empty its log, so that no page of before is left in either."""
    try:
        vault.connection.execute("VACUUM")
        # It doesn't raise where a reader is in the way, but says so.
        busy = vault.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    except sqlite3.Error:
        busy = True
    if busy:
        raise SeksError(
            "the change is made, but remnants of before may be in the database's files",
            hint="end the programs that use the vault, then run `seks vault reencrypt`",
        )
