"""The master key as one line of text: labelled, with a checksum, so that a wrong or damaged one is recognised."""

import base64
import binascii
import hashlib
from typing import Final

from seks_addon.errors import MasterKeyError
from seks_addon.vault.envelope import KEY_BYTES, Key

_LABEL: Final = "seks-master-key-v1"


def encode(key: Key) -> str:
    """Write a key as `seks-master-key-v1:BASE64URL:CHECKSUM`."""
    return f"{_LABEL}:{base64.urlsafe_b64encode(key.material).decode()}:{_checksum(key.material)}"


def decode(text: bytes, where: str) -> Key:
    """Read the key from a text that holds nothing else but lines of comment, which begin with `#`."""
    try:
        lines = [line.strip() for line in text.decode("ascii").splitlines()]
        (line,) = (line for line in lines if line and not line.startswith("#"))
        label, encoded, checksum = line.split(":")
        material = base64.b64decode(encoded, altchars=b"-_", validate=True)
    except (UnicodeDecodeError, ValueError, binascii.Error):
        raise _damaged(where) from None
    if label != _LABEL or len(material) != KEY_BYTES or checksum != _checksum(material):
        raise _damaged(where)
    return Key.from_material(material)


def _checksum(material: bytes) -> str:
    return hashlib.sha256(b"seks master key checksum" + material).hexdigest()[:8]


def _damaged(where: str) -> MasterKeyError:
    return MasterKeyError(f"{where} is no master key, or a damaged one", hint="put back your copy of it")
