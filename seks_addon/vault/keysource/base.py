"""What every key source is: something that gives the master key, and says where it is to be had."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

from seks_addon.vault.envelope import Key


class KeySource(ABC):
    """One way to the master key of the vault with the id that is given. Nothing that it stores is secret."""

    kind: ClassVar[str]

    def reserved(self) -> AbstractContextManager[None]:
        """Keep others from making a key in the same place during the block, or from using one that may be taken back.

        Raises `SeksError`.
        """
        return nullcontext()

    @abstractmethod
    def create(self, vault_id: str) -> Key:
        """Make a new master key and put it where `load` finds it, or take one that is there; raises `SeksError`.

        Whoever may `discard` it later does all of it within `reserved`.
        """

    @abstractmethod
    def load(self, vault_id: str) -> Key:
        """Get the master key; raises `MasterKeyError`, whose message never quotes what was read."""

    def discard(self) -> None:  # noqa: B027 - most have nothing to do
        """Take back what this object's `create` made, after something else failed; never what was there before."""

    def settle(self) -> None:  # noqa: B027
        """Make final what `create` made beside an older key, when the vault has taken it."""

    def public(self) -> Mapping[str, Any]:
        """What has to be known of the key wherever the vault goes: kept in the vault, and in its backups."""
        return {}

    def local(self) -> Mapping[str, Any]:
        """Where the key is to be had on this machine: kept in the home, and never taken from a database.

        A database that comes from elsewhere could name any file, or any command.
        """
        return {}
