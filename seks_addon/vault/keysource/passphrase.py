"""The master key from a passphrase, by Argon2id."""

import base64
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final, Self

from nacl import pwhash

from seks_addon.errors import MasterKeyError
from seks_addon.secret import MAX_BYTES, Secret
from seks_addon.vault.envelope import KEY_BYTES, Key
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

FILE_VARIABLE: Final = "SEKS_PASSPHRASE_FILE"
DESCRIPTOR_VARIABLE: Final = "SEKS_PASSPHRASE_FD"


_read_already: Final[set[str]] = set()


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

    @classmethod
    def new(cls, ask: Ask | None) -> Self:
        """A source for a new vault, with a salt of its own."""
        return cls(ask, os.urandom(pwhash.argon2id.SALTBYTES))

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
        return self._derive(passphrase)

    def load(self, vault_id: str) -> Key:
        return self._derive(self._read(new=False))

    def public(self) -> Mapping[str, Any]:
        passes, memory = self._cost
        return {"salt": base64.b64encode(self._salt).decode(), "passes": passes, "memory": memory}

    def _derive(self, passphrase: Secret) -> Key:
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
        file, descriptor = os.environ.get(FILE_VARIABLE), os.environ.get(DESCRIPTOR_VARIABLE)
        try:
            if file:
                with Path(file).open("rb") as stream:
                    return Secret.parse(stream.read(MAX_BYTES + 3))
            if descriptor:
                # Once a process: by now its number may be another file's. What was derived is handed on.
                if descriptor in _read_already:
                    raise MasterKeyError(
                        f"the descriptor that {DESCRIPTOR_VARIABLE} names was read already",
                        hint=f"for a passphrase that is wanted twice, use {FILE_VARIABLE}",
                    )
                _read_already.add(descriptor)
                with os.fdopen(int(descriptor), "rb") as stream:
                    return Secret.parse(stream.read(MAX_BYTES + 3))
        except (OSError, ValueError, OverflowError, TypeError) as error:
            name = FILE_VARIABLE if file else DESCRIPTOR_VARIABLE
            what = error.strerror if isinstance(error, OSError) else "it is no number of a descriptor"
            raise MasterKeyError(f"can't read the passphrase that {name} names: {what}") from None
        if self._ask is None:
            raise MasterKeyError(
                "the vault wants its passphrase, and there is no terminal to ask on",
                hint=f"name a file with {FILE_VARIABLE}, or an open descriptor with {DESCRIPTOR_VARIABLE}",
            )
        return self._ask(new)


_TAMPERED: Final = "somebody changed the vault; restore it from a backup"
