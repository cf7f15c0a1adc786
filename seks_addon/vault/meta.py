"""What a vault says of itself: the rows of the table `meta`, which everything else in it is read by."""

import contextlib
import hmac
import json
from collections.abc import Mapping
from typing import Any, Final

from seks_addon.canonical import canonical_json
from seks_addon.errors import VaultError
from seks_addon.timing import now, timestamp
from seks_addon.vault.envelope import Key

FORMAT: Final = "1"
#: The keys of all rows.
KEYS: Final = frozenset({"format", "vault_id", "created", "source", "vault_key", "epoch"})

_RESTORE: Final = "restore the vault from a backup"


def new(vault_id: str, source: Mapping[str, Any], master: Key) -> dict[str, bytes]:
    """The rows of a new vault, by their keys."""
    vault_key = Key.generate()
    return {
        "format": FORMAT.encode(),
        "vault_id": vault_id.encode(),
        "created": timestamp(now()).encode(),
        "source": canonical_json(source),
        "vault_key": wrap(vault_key, master, vault_id, source),
        "epoch": write_epoch(0, vault_key.derive("row mac")),
    }


def wrap(vault_key: Key, master: Key, vault_id: str, source: Mapping[str, Any]) -> bytes:
    """Seal the vault key under the master key."""
    return master.seal(vault_key.pack(), _context(vault_id, source))


def unwrap(wrapped: bytes, master: Key, vault_id: str, source: Mapping[str, Any]) -> Key:
    """Open what `wrap` sealed; raises `VaultError`."""
    return Key.unpack(master.open(wrapped, _context(vault_id, source)))


def _context(vault_id: str, source: Mapping[str, Any]) -> dict[str, Any]:
    # With the format and the source in it, nobody lowers the one or changes the other's parameters unnoticed.
    return {"kind": "vault key", "vault": vault_id, "format": FORMAT, "source": dict(source)}


def read_source(content: bytes) -> dict[str, Any]:
    """The kind of the key source, and what it keeps in the vault; raises `VaultError`."""
    with contextlib.suppress(ValueError, RecursionError):
        source = json.loads(content)
        if isinstance(source, dict) and isinstance(source.get("kind"), str):
            # What isn't JSON, or isn't text, can't have been authenticated.
            canonical_json(source)
            return source
    raise VaultError("the vault's key source is damaged", hint=_RESTORE)


def write_epoch(number: int, mac_key: bytes) -> bytes:
    """An epoch as it is stored, with its MAC."""
    return f"{number}:{mac(mac_key, 'meta', {'epoch': number}).hex()}".encode()


def read_epoch(content: bytes) -> tuple[int, bytes]:
    """A stored epoch and the MAC that it must have; raises `VaultError`."""
    try:
        number, _, given = content.decode().partition(":")
        return int(number), bytes.fromhex(given)
    except ValueError:
        raise VaultError("the vault's epoch is damaged", hint=_RESTORE) from None


def mac(key: bytes, table: str, fields: Mapping[str, Any]) -> bytes:
    """Authenticate a row that is kept in clear."""
    return hmac.digest(key, canonical_json({"table": table, **fields}), "sha256")
