"""The home that a command works on, and opening what is in it."""

import contextlib
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import click

from seks_addon.home import Home

if TYPE_CHECKING:
    from seks_addon.audit import AuditLog
    from seks_addon.providers import Catalog
    from seks_addon.vault import Vault
    from seks_addon.vault.envelope import Key


class Administration(NamedTuple):
    """A vault in the middle of a change, and the log that the change goes into."""

    vault: "Vault"
    audit: "AuditLog"


class Workplace:
    """One home. The libraries behind its databases are imported when one is opened."""

    option: str | None = None
    _key: "Key | None" = None

    @cached_property
    def home(self) -> Home:
        return Home.find(self.option)

    @contextlib.contextmanager
    def vault(self) -> Iterator["Vault"]:
        """Open the vault."""
        from seks_addon.vault import Vault
        from seks_cli.keychoice import ask

        self.home.check()
        with Vault.open(self.home, ask=ask, key=self._key) as vault:
            # A command opens it more than once, and asks for a passphrase once.
            self._key = vault.master_key
            yield vault

    @contextlib.contextmanager
    def reading(self) -> Iterator["Vault"]:
        """Open the vault as it is at one moment, for reading only."""
        from seks_addon.vault.consistent import snapshot

        with self.vault() as vault, snapshot(vault):
            yield vault

    @contextlib.contextmanager
    def audit(self, *, check_schema: bool = True) -> Iterator["AuditLog"]:
        """Open the audit log, which needs no vault.

        Acts that are recorded in a block that then fails are recorded as failed too.
        """
        from seks_addon.audit import AuditLog

        self.home.check(lost_vault=True)
        with AuditLog(self.home.audit, check_schema=check_schema) as audit, audit.administration():
            yield audit

    @contextlib.contextmanager
    def administration(self, *, erases: bool = False) -> Iterator[Administration]:
        """Make the block one change of the vault: all of it, durably, or nothing.

        The block ends with the change's record. The log is on disk before the vault is, so nothing takes effect
        unrecorded. A change that fails after that is recorded once more, as failed; only where the process is killed
        in between there is a record of something that then did not happen. `erases`: what goes shall not stay in the
        database's log, where a running proxy keeps that open.
        """
        with self.vault() as vault, self.audit() as audit:
            with vault.change():
                yield Administration(vault, audit)
            if erases:
                from seks_addon.vault.rotation import empty_log

                empty_log(vault)

    def catalog(self) -> "Catalog":
        """Read the catalog with the home's own entries."""
        from seks_addon.providers import Catalog

        return Catalog(self.home.providers)


pass_workplace = click.make_pass_decorator(Workplace, ensure=True)
