"""The master key in a file that only its owner can read."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from seks_addon.errors import MasterKeyError
from seks_addon.home import NEW, Home, beside, move_over, require_private, sweep, write_new, write_over
from seks_addon.lock import COMMAND_TIMEOUT, locked
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
        self._made: tuple[Path, bytes] | None = None

    @property
    def staged(self) -> Path:
        return beside(self.path, NEW)

    def require_own(self, home: Home) -> None:
        """Raise `MasterKeyError` where `create` would replace a file that isn't known to be this home's alone."""
        inside = Path(os.path.realpath(self.path)).is_relative_to(os.path.realpath(home.root))
        if self._replaces and (self.path.is_symlink() or not inside):
            raise MasterKeyError(
                f"the vault has its key from {self.path}, which is not in the home, or is a link: it may be another"
                " vault's key too",
                hint="a rekey to it that was cut off is done; for a new key, name another file with --key-file",
            )

    @contextlib.contextmanager
    def reserved(self) -> Iterator[None]:
        folder = self.path.parent
        # Where this user can't write, nobody makes or takes back a file that is his.
        with locked(folder, COMMAND_TIMEOUT) if os.access(folder, os.W_OK) else contextlib.nullcontext():
            yield

    def create(self, vault_id: str) -> Key:
        key = Key.from_material(Key.generate().material)
        text = f"{_COMMENT}{encode(key)}\n".encode()
        if self._replaces:
            # One that a crash left behind belongs to no vault: `load` would have settled it.
            write_over(self.staged, text)
            self._made = self.staged, text
        elif self.path.exists():
            return self.load(vault_id)
        else:
            write_new(self.path, text)
            self._made = self.path, text
        return key

    def load(self, vault_id: str) -> Key:
        if not self.path.exists():
            raise MasterKeyError(
                f"the master key {self.path} is missing",
                hint="put back your copy of it; without it the secrets can't be read",
            )
        require_private(self.path)
        # Nobody else looks in a folder outside of the home.
        sweep(self.path.parent)
        try:
            text = self.path.read_bytes()
        except OSError as error:
            raise MasterKeyError(f"can't read {self.path}: {error.strerror}") from None
        return decode(text, str(self.path))

    def settle(self) -> None:
        if self._made and self._made[0] == self.staged:
            move_over(self.staged, self.path)
        self._made = None

    def discard(self) -> None:
        if self._made:
            path, text = self._made
            self._made = None
            with contextlib.suppress(OSError):
                # Somebody may have put another key there since.
                if path.read_bytes() == text:
                    path.unlink()

    def local(self) -> Mapping[str, Any]:
        return {"path": str(self.path)}
