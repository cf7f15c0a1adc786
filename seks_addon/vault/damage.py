"""Rows that somebody changed outside of SEKS: told apart from the sound ones, named, and never trusted."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from seks_addon.errors import InputError, VaultError

if TYPE_CHECKING:
    from seks_addon.vault.store import Row, Vault

_DELETE: Final = {
    "agent": "DELETE FROM agents WHERE id = ?",
    "secret": "DELETE FROM secrets WHERE id = ?",
    "token": "DELETE FROM tokens WHERE id = ?",
}
#: A client goes on under a new data key; there is nothing under the one of before that could be read.
_REMOVE: Final = {
    "client": "vault destroy --client",
    "agent": "agent remove",
    "secret": "vault remove",
    "token": "token revoke",
}
#: What can stand in a command that somebody copies.
_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
#: What is left to do about a row.
_RESTORE: Final = "restore the vault from a backup"
#: And about one that no command can name.
WITHOUT_NAME: Final = "restore the vault from a backup; without one, `seks vault destroy` removes it with all secrets"


class Named(Protocol):
    """Something of the vault that has a name."""

    @property
    def name(self) -> str: ...


@dataclass(frozen=True, slots=True)
class DamagedRow:
    """A row that doesn't open. Id and name are what stands there: good for showing and finding it, for nothing else.

    They are text, unless somebody put something else there.
    """

    kind: str
    id: Any
    name: Any = None

    def __str__(self) -> str:
        # `repr` leaves no control characters and no line ends.
        return f"the {self.kind} {self.id!r}" if self.name is None else f"the {self.kind} {self.name!r} ({self.id!r})"

    @property
    def way_out(self) -> str:
        """What to do about it."""
        word = self.name if self.kind == "client" else self.id
        if not (isinstance(word, str) and isinstance(self.id, str)):
            # No command that is given a text finds it; the one that needs none does.
            return WITHOUT_NAME
        removal = f"remove it with `seks {_REMOVE[self.kind]} {word}`, or " if _WORD.fullmatch(word) else ""
        return removal + _RESTORE

    def to_json(self) -> dict[str, Any]:
        name = None if self.name is None else str(self.name)
        return {"kind": self.kind, "id": str(self.id), "name": name, "damaged": True}


class Sifted[T](NamedTuple):
    """Rows that open, and rows that don't."""

    sound: list[T]
    damaged: list[DamagedRow]


def sift[T](kind: str, rows: Iterable[Row], read: Callable[[Row], T]) -> Sifted[T]:
    """Read rows, each by itself: a damaged one hides no other."""
    sifted: Sifted[T] = Sifted([], [])
    for row in rows:
        try:
            if any(row.get(owner, "") is None for owner in ("client", "agent", "secret")):
                raise VaultError(f"the {kind}'s owner is gone")
            sifted.sound.append(read(row))
        except VaultError:
            sifted.damaged.append(DamagedRow(kind, row["id"], row.get("name")))
    return sifted


def require_text(row: Row, *columns: str) -> None:
    """Raise `VaultError` where a column that no authentication covers holds something else than text."""
    if not all(isinstance(row[column], str) for column in columns):
        raise VaultError("a row was changed outside of SEKS", hint=WITHOUT_NAME)


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """Turn what reading a column of JSON raises into a `VaultError`: SEKS wrote it, so somebody changed it."""
    try:
        yield
    except (InputError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise VaultError("a row was changed outside of SEKS", hint=_RESTORE) from None


def pick[T: Named](sifted: Sifted[T], name: str) -> T | DamagedRow | None:
    """The row of that name, or else a damaged one of that id."""
    found: list[T | DamagedRow] = [one for one in sifted.sound if one.name == name]
    found += [one for one in sifted.damaged if one.name == name]
    found += [one for one in sifted.damaged if one.id == name]
    return found[0] if found else None


def remove_row(vault: Vault, kind: str, row_id: str) -> None:
    """Delete a row, and with it what it owns, without opening it; raises `VaultError` where its id isn't even text."""
    if not vault.write(_DELETE[kind], (row_id,)):
        raise VaultError(f"the {kind} {row_id!r} can't be removed", hint=_RESTORE)
