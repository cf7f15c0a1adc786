"""Handing a secret over without anybody in between seeing it: encrypted to the vault's public key.

A libsodium sealed box (X25519, XSalsa20-Poly1305), so that whoever has the public key can make one with any NaCl
library. The key pair hangs from the vault key: after `reencrypt` there is another one.
"""

import base64
import binascii
import hashlib
from typing import Final

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox

from seks_addon.errors import InputError
from seks_addon.secret import MAX_BYTES, Secret
from seks_addon.vault.store import Vault

_KEY_LABEL: Final = "seks-seal-key-v1"
_VALUE_LABEL: Final = "seks-sealed-v1"


def public_key(vault: Vault) -> str:
    """The public key as one line: `seks-seal-key-v1:BASE64URL:CHECKSUM`."""
    raw = bytes(_private_key(vault).public_key)
    return f"{_KEY_LABEL}:{base64.urlsafe_b64encode(raw).decode()}:{_checksum(raw)}"


def seal(value: Secret, key: str) -> str:
    """Encrypt a secret to a public key; raises `InputError` where that is none."""
    hint = "ask for the whole line that `seks vault seal-key` prints"
    try:
        label, encoded, checksum = key.strip().split(":")
        raw = base64.b64decode(encoded, altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise InputError("that is no vault's public key", hint=hint) from None
    if label != _KEY_LABEL or len(raw) != PublicKey.SIZE or checksum != _checksum(raw):
        raise InputError("that is no vault's public key, or a damaged one", hint=hint)
    try:
        box = SealedBox(PublicKey(raw)).encrypt(value.reveal().encode())
    except CryptoError:
        raise InputError("that is no vault's public key", hint=hint) from None
    return f"{_VALUE_LABEL}:{base64.urlsafe_b64encode(box).decode()}"


def unseal(vault: Vault, text: bytes) -> Secret:
    """Decrypt what `seal` made; raises `InputError`, which never quotes it."""
    hint = "have it sealed again, with the key that `seks vault seal-key` prints now"
    if len(text) > 2 * MAX_BYTES:
        raise InputError("the sealed value is too long", hint=hint)
    try:
        label, encoded = text.decode("ascii").strip().split(":")
        box = base64.b64decode(encoded, altchars=b"-_", validate=True)
    except (UnicodeDecodeError, ValueError, binascii.Error):
        raise InputError("that is no sealed value", hint=hint) from None
    if label != _VALUE_LABEL:
        raise InputError("that is no sealed value", hint=hint)
    try:
        return Secret.parse(SealedBox(_private_key(vault)).decrypt(box))
    except CryptoError:
        raise InputError("the value is sealed for another vault, or damaged", hint=hint) from None


def _private_key(vault: Vault) -> PrivateKey:
    return PrivateKey(vault.derive("sealed box"))


def _checksum(raw: bytes) -> str:
    return hashlib.sha256(b"seks seal key checksum" + raw).hexdigest()[:8]
