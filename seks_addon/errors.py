"""Everything that can go wrong outside a request, as a small tree of exceptions.

A message says what went wrong, a hint says the way out. Neither ever holds a credential or a token.
What a request is refused for is `seks_addon.refusal.Refused`, a branch of the same tree.
"""


class SeksError(Exception):
    """Something failed in a way that a user can understand and, where there is a `hint`, mend."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(SeksError):
    """What was asked for makes no sense: the command's words are wrong."""


class InputError(SeksError):
    """A value that was handed in can't be used (an empty secret, a host that is none, a bad date)."""


class ConfigError(SeksError):
    """A setting or the configuration file is wrong."""


class HomeError(SeksError):
    """The home directory is missing, unreadable, or open to others."""


class NotFoundError(SeksError):
    """The named client, agent, secret, token or provider doesn't exist."""


class ExistsError(SeksError):
    """The name is taken."""


class DatabaseError(SeksError):
    """A database is missing, locked, read-only, full or damaged."""


class DatabaseBusyError(DatabaseError):
    """Another process holds the database; the same call may succeed later."""


class DatabaseDamagedError(DatabaseError):
    """A database's file is damaged or none of SEKS's, or its tables were changed outside of SEKS."""


class VaultError(SeksError):
    """The vault can't be opened, or a record in it fails its authentication."""


class NoVaultError(VaultError, DatabaseDamagedError):
    """A database that should be a vault lacks what every vault has."""


class MasterKeyError(VaultError):
    """The master key is missing, damaged, or not the one that this vault was made with."""


class AuditError(SeksError):
    """The audit log can't be read or written."""


class ProxyError(SeksError):
    """The proxy can't start."""
