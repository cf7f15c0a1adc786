"""The master key from a passphrase, by Argon2id."""

import base64
import os
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, Self

from nacl import pwhash

from seks_addon.errors import MasterKeyError
from seks_addon.secret import Secret
from seks_addon.vault.envelope import KEY_BYTES, Key
from seks_addon.vault.keysource import unattended
from seks_addon.vault.keysource.base import KeySource

#: Asks a person for the passphrase; with True, for a new one, twice.
Ask = Callable[[bool], Secret]

#: libsodium's profiles (https://doc.libsodium.org/password_hashing/default_phf): 3 passes over 256 MiB by default.
#: A vault that names less than the interactive or more than the sensitive profile was tampered with: the one
#: would make guessing cheap, the other the opening impossible.
DEFAULT_COST: Final = (pwhash.argon2id.OPSLIMIT_MODERATE, pwhash.argon2id.MEMLIMIT_MODERATE)
_FLOOR: Final = (pwhash.argon2id.OPSLIMIT_INTERACTIVE, pwhash.argon2id.MEMLIMIT_INTERACTIVE)
_CEILING: Final = (pwhash.argon2id.OPSLIMIT_SENSITIVE, pwhash.argon2id.MEMLIMIT_SENSITIVE)

#: A shorter passphrase is refused. NIST SP 800-63B-4 section 3.1.1.2 asks for 15 where it is the only factor.
MIN_LENGTH: Final = 15
_TAMPERED: Final = "somebody changed the vault; restore it from a backup"


class Passphrase(KeySource):
    """Asks for the passphrase, unless a file or a file descriptor is named that holds it.

    Never an environment variable with the passphrase in it: children inherit those, and `ps` shows them.
    """

    kind: ClassVar = "passphrase"

    def __init__(self, ask: Ask | None, salt: bytes, cost: tuple[int, int] = DEFAULT_COST) -> None:
        """`cost` is the number of passes, and the memory in bytes."""
        self._ask = ask
        self._salt = salt
        self._cost = cost
        self._older: tuple[Mapping[str, Any], bytes] | None = None

    @classmethod
    def new(cls, ask: Ask | None, *, older: tuple[Mapping[str, Any], bytes] | None = None) -> Self:
        """A source with a salt of its own.

        `older`, for a vault that has a passphrase, is what that one's `public` described and the id of its key: the
        new one must be another, and isn't read where the old one is.
        """
        source = cls(ask, os.urandom(pwhash.argon2id.SALTBYTES))
        source._older = older
        return source

    @classmethod
    def from_public(cls, ask: Ask | None, public: Mapping[str, Any]) -> Self:
        """The source that `public` described; raises `MasterKeyError` for parameters that none of ours has."""
        try:
            salt = base64.b64decode(public["salt"], validate=True)
            cost = (int(public["passes"]), int(public["memory"]))
        except (KeyError, TypeError, ValueError, OverflowError):
            raise MasterKeyError("the vault's passphrase parameters are damaged", hint=_TAMPERED) from None
        within = all(low <= value <= high for low, value, high in zip(_FLOOR, cost, _CEILING, strict=True))
        if not within or len(salt) != pwhash.argon2id.SALTBYTES:
            raise MasterKeyError("the vault's passphrase parameters are out of bounds", hint=_TAMPERED)
        return cls(ask, salt, cost)

    def create(self, vault_id: str) -> Key:
        passphrase = self._read(new=True)
        if len(passphrase.reveal()) < MIN_LENGTH:
            raise MasterKeyError(
                f"the passphrase is shorter than {MIN_LENGTH} characters", hint="take four or five random words"
            )
        if self._older:
            public, key_id = self._older
            # Another salt makes another key of it, which whoever knows it makes too.
            if self.from_public(None, public).derive(passphrase).id == key_id:
                raise MasterKeyError(
                    "that is the passphrase that the vault has",
                    hint="a rekey to it that was cut off is done; for a new key, take another",
                )
        return self.derive(passphrase)

    def load(self, vault_id: str) -> Key:
        return self.derive(self._read(new=False))

    def public(self) -> Mapping[str, Any]:
        passes, memory = self._cost
        return {"salt": base64.b64encode(self._salt).decode(), "passes": passes, "memory": memory}

    def derive(self, passphrase: Secret) -> Key:
        """Make the key; raises `MasterKeyError`."""
        passes, memory = self._cost
        try:
            material = pwhash.argon2id.kdf(
                KEY_BYTES, passphrase.reveal().encode(), self._salt, opslimit=passes, memlimit=memory
            )
        except RuntimeError:
            raise MasterKeyError(
                f"Argon2id could not get the {memory >> 20} MiB of memory that it needs", hint="free some memory"
            ) from None
        return Key.from_material(material)

    def _read(self, *, new: bool) -> Secret:
        if passphrase := unattended.read(new=new, replaces=self._older is not None):
            return passphrase
        if self._ask is None:
            raise unattended.nobody_to_ask(new=new)
        return self._ask(new)
