"""The master key in a file that only its owner can read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from seks_addon.errors import MasterKeyError
from seks_addon.home import move_over, require_private, write_new, write_over
from seks_addon.vault.envelope import Key
from seks_addon.vault.keysource.base import KeySource
from seks_addon.vault.keysource.encoding import decode, encode

_COMMENT: Final = (
    "# Whoever holds this file and vault.db can read every secret. Without it they are lost. Keep a copy.\n"
)


class KeyFile(KeySource):
    """The file at `path`. A new key for a vault that has one waits beside it, as `path` with `.new`, until `settle`."""

    kind: ClassVar = "keyfile"

    def __init__(self, path: Path, *, replaces: bool = False) -> None:
        """With `replaces`, `create` doesn't take the key that is there, but makes another."""
        self.path = path
        self._replaces = replaces
        self._made: Path | None = None

    @property
    def staged(self) -> Path:
        return self.path.with_name(self.path.name + ".new")

    def create(self, vault_id: str) -> Key:
        key = Key.from_material(Key.generate().material)
        text = f"{_COMMENT}{encode(key)}\n".encode()
        if self._replaces:
            # One that a crash left behind belongs to no vault: `load` would have settled it.
            write_over(self.staged, text)
            self._made = self.staged
        elif self.path.exists():
            return self.load(vault_id)
        else:
            write_new(self.path, text)
            self._made = self.path
        return key

    def load(self, vault_id: str) -> Key:
        if not self.path.exists():
            raise MasterKeyError(
                f"the master key {self.path} is missing",
                hint="put back your copy of it; without it the secrets can't be read",
            )
        require_private(self.path)
        try:
            text = self.path.read_bytes()
        except OSError as error:
            raise MasterKeyError(f"can't read {self.path}: {error.strerror}") from None
        return decode(text, str(self.path))

    def settle(self) -> None:
        if self._made == self.staged:
            move_over(self.staged, self.path)

    def discard(self) -> None:
        if self._made:
            self._made.unlink(missing_ok=True)

    def local(self) -> Mapping[str, Any]:
        return {"path": str(self.path)}
