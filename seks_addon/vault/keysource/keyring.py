"""The master key in the operating system's keyring, by the optional `keyring` library."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from seks_addon.errors import MasterKeyError
from seks_addon.vault.envelope import Key
from seks_addon.vault.keysource.base import KeySource
from seks_addon.vault.keysource.encoding import decode, encode

SERVICE: Final = "seks master key"


class Keyring(KeySource):
    """One entry a key: a new key for a vault that has one doesn't overwrite it, and the old entry stays for good."""

    kind: ClassVar = "keyring"

    def __init__(self, entry: str = "") -> None:
        """`entry` names the key in the keyring; empty for one that is yet to be made."""
        self._entry = entry
        self._made: str | None = None

    def create(self, vault_id: str) -> Key:
        key = Key.from_material(Key.generate().material)
        self._entry = f"{vault_id}/{key.id.hex()}"
        with _library() as library:
            library.set_password(SERVICE, self._entry, encode(key))
        self._made = encode(key)
        return key

    def load(self, vault_id: str) -> Key:
        with _library() as library:
            text = library.get_password(SERVICE, self._entry)
        if text is None:
            raise MasterKeyError(
                "the keyring has no master key for this vault",
                hint="unlock the keyring that it was stored in; without the key the secrets can't be read",
            )
        return decode(text.encode(), "what the keyring holds")

    def discard(self) -> None:
        if self._made is None:
            return
        with contextlib.suppress(MasterKeyError), _library() as library:
            if library.get_password(SERVICE, self._entry) == self._made:
                library.delete_password(SERVICE, self._entry)
        self._made = None

    def public(self) -> Mapping[str, Any]:
        return {"entry": self._entry}


@contextlib.contextmanager
def _library() -> Iterator[Any]:
    """The library, whose errors in the block become `MasterKeyError`.

    Backends, and what loads them as variables and files name them, raise whatever they like.
    """
    try:
        import keyring
    except ImportError:
        raise MasterKeyError(
            "the keyring library is not installed", hint="install SEKS with its extra: pip install 'seks[keyring]'"
        ) from None
    try:
        yield keyring
    except Exception as error:  # noqa: BLE001
        raise MasterKeyError(
            f"the operating system's keyring can't be used: {type(error).__name__}",
            hint="unlock it, see what PYTHON_KEYRING_BACKEND names, or use another key source",
        ) from None
