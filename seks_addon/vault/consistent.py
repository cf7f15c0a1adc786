"""Reading while other processes make new keys: what is read belongs together."""

from __future__ import annotations

import contextlib
import functools
import sqlite3
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Concatenate, Protocol

from seks_addon.database import translated
from seks_addon.errors import VaultError

if TYPE_CHECKING:
    from seks_addon.vault.store import Vault


class Table(Protocol):
    """Something that reads rows of a vault."""

    _vault: Vault


@contextlib.contextmanager
def snapshot(vault: Vault) -> Iterator[None]:
    """Let the block see the vault, its keys and its rows, as it is at one moment. Nothing can be changed in it.

    A long one keeps the database's log from being emptied. Raises `SeksError`.
    """
    connection = vault.connection
    if connection.in_transaction:
        yield
        return
    while True:
        vault.refresh()
        with translated(vault.path):
            # A transaction that reads begins with the first look: at whether the keys are those of this moment.
            connection = vault.connection
            connection.execute("PRAGMA query_only=ON")
            connection.execute("BEGIN")
        try:
            if vault.is_current:
                yield
                return
        finally:
            connection.execute("PRAGMA query_only=OFF")
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")


def retried[S: Table, **P, T](read: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """Let a method read once more where it fails, or finds nothing, as there are new keys; else it costs nothing."""

    @functools.wraps(read)
    def reading(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        while True:
            try:
                found = read(self, *args, **kwargs)
            except VaultError:
                if not self._vault.renew():
                    raise
            else:
                if found is not None or not self._vault.renew():
                    return found

    return reading
