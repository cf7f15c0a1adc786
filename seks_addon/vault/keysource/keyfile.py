"""The master key in a file that only its owner can read."""

import base64
import binascii
import hashlib
from pathlib import Path
from typing import Final

from seks_addon.errors import MasterKeyError
from seks_addon.home import require_private, write_new
from seks_addon.vault.envelope import KEY_BYTES, Key

NAME: Final = "keyfile"

_LABEL = "seks-master-key-v1"
_COMMENT = "# Whoever holds this file and vault.db can read every secret. Without it they are lost. Keep a copy.\n"


def create(path: Path) -> Key:
    """Make a key and write it to `path`, which must not exist."""
    key = Key.from_material(Key.generate().material)
    encoded = base64.urlsafe_b64encode(key.material).decode()
    write_new(path, f"{_COMMENT}{_LABEL}:{encoded}:{_checksum(key.material)}\n".encode())
    return key


def load(path: Path) -> Key:
    """Read the key; the message of `MasterKeyError` never quotes the file."""
    if not path.exists():
        raise MasterKeyError(
            f"the master key {path} is missing",
            hint="put back your copy of it; without it the secrets can't be read",
        )
    require_private(path)
    try:
        lines = path.read_text("ascii").splitlines()
        line = next(line for line in lines if line and not line.startswith("#"))
        label, encoded, checksum = line.strip().split(":")
        material = base64.urlsafe_b64decode(encoded)
    except (OSError, UnicodeDecodeError, StopIteration, ValueError, binascii.Error):
        raise _damaged(path) from None
    if label != _LABEL or len(material) != KEY_BYTES or checksum != _checksum(material):
        raise _damaged(path)
    return Key.from_material(material)


def _checksum(material: bytes) -> str:
    return hashlib.sha256(b"seks master key checksum" + material).hexdigest()[:8]


def _damaged(path: Path) -> MasterKeyError:
    return MasterKeyError(f"{path} is no master key, or a damaged one", hint="put back your copy of it")
