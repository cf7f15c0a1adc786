"""Sealing one value: a key for it alone, a commitment to that key, AES-256-GCM bound to where the value lies.

A sealed record is, in bytes:

    1    format version, 1
    8    id of the key that it is sealed under
    32   salt
    12   nonce
    32   commitment
    n    ciphertext, and the 16 bytes of its tag

`HKDF-SHA-256(key, salt, info = "seks record v1" ‖ 0 ‖ context)` gives 64 bytes: the AES key and the commitment.
GCM alone doesn't commit to its key: a ciphertext can be made that opens under two (Dodis et al., CRYPTO 2018), so
the commitment is compared first. The associated data is the first nine bytes and the context. The context is
canonical JSON that says what the record is and where it belongs.
"""

import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from seks_addon.canonical import canonical_json
from seks_addon.errors import VaultError

VERSION: Final = 1
KEY_BYTES: Final = 32
KEY_ID_BYTES: Final = 8
_SALT, _NONCE, _COMMITMENT, _TAG = 32, 12, 32, 16
_HEAD: Final = 1 + KEY_ID_BYTES
_MINIMUM: Final = _HEAD + _SALT + _NONCE + _COMMITMENT + _TAG

_RESTORE: Final = "restore the database from a backup, or add the secret again"
Context = Mapping[str, Any]


@dataclass(frozen=True, slots=True, repr=False)
class Key:
    """A 256-bit key and its public id."""

    id: bytes
    material: bytes

    @classmethod
    def generate(cls) -> "Key":
        return cls(os.urandom(KEY_ID_BYTES), os.urandom(KEY_BYTES))

    @classmethod
    def from_material(cls, material: bytes) -> "Key":
        """A key whose id follows from its material, as the master key's does."""
        return cls(_expand(material, b"", b"seks key id v1", KEY_ID_BYTES), material)

    def pack(self) -> bytes:
        """The key as it is sealed under another."""
        return self.id + self.material

    @classmethod
    def unpack(cls, packed: bytes) -> "Key":
        return cls(packed[:KEY_ID_BYTES], packed[KEY_ID_BYTES:])

    def derive(self, purpose: str, salt: bytes = b"") -> bytes:
        """Give 32 bytes that are good for one purpose only."""
        return _expand(self.material, salt, b"seks derive v1\0" + purpose.encode(), KEY_BYTES)

    def seal(self, plaintext: bytes, context: Context) -> bytes:
        """Encrypt `plaintext` as the value that `context` describes."""
        head = bytes([VERSION]) + self.id
        salt, nonce = os.urandom(_SALT), os.urandom(_NONCE)
        aad = canonical_json(context)
        key, commitment = self._record_keys(salt, aad)
        return head + salt + nonce + commitment + AESGCM(key).encrypt(nonce, plaintext, head + aad)

    def open(self, record: bytes, context: Context) -> bytes:
        """Decrypt; raises `VaultError` where the record isn't what `context` says, unchanged, under this key."""
        what = context.get("kind", "record")
        if not isinstance(record, bytes):
            raise VaultError(f"a {what} in the vault is of another type", hint=_RESTORE)
        if len(record) < _MINIMUM:
            raise VaultError(f"a {what} in the vault is cut short", hint=_RESTORE)
        if record[0] != VERSION:
            raise VaultError(f"a {what} in the vault has the unknown format {record[0]}", hint="use a newer SEKS")
        head, rest = record[:_HEAD], record[_HEAD:]
        if head[1:] != self.id:
            raise VaultError(f"a {what} in the vault is sealed under another key", hint=_RESTORE)
        salt, nonce, sent, ciphertext = (
            rest[:_SALT],
            rest[_SALT : _SALT + _NONCE],
            rest[_SALT + _NONCE : _SALT + _NONCE + _COMMITMENT],
            rest[_SALT + _NONCE + _COMMITMENT :],
        )
        aad = canonical_json(context)
        key, commitment = self._record_keys(salt, aad)
        if not hmac.compare_digest(sent, commitment):
            raise VaultError(f"a {what} in the vault was changed, moved, or bound to something else", hint=_RESTORE)
        try:
            return AESGCM(key).decrypt(nonce, ciphertext, head + aad)
        except InvalidTag:
            raise VaultError(f"a {what} in the vault was changed", hint=_RESTORE) from None

    def _record_keys(self, salt: bytes, aad: bytes) -> tuple[bytes, bytes]:
        keys = _expand(self.material, salt, b"seks record v1\0" + aad, KEY_BYTES + _COMMITMENT)
        return keys[:KEY_BYTES], keys[KEY_BYTES:]


def key_id_of(record: bytes) -> bytes:
    """The id of the key that a record is sealed under."""
    return record[1:_HEAD]


def _expand(material: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(material)
