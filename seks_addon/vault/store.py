"""Opening and making a vault; the keys that everything in it hangs from."""

import contextlib
import hmac
import sqlite3
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from sqlite_utils import Database

from seks_addon.canonical import canonical_json
from seks_addon.database import open_database, transaction, translated
from seks_addon.errors import NoVaultError, SeksError, VaultError
from seks_addon.home import BESIDE, Home, beside
from seks_addon.lock import COMMAND_TIMEOUT
from seks_addon.vault import epoch, keysource, meta
from seks_addon.vault.agents import Agents
from seks_addon.vault.clients import Clients
from seks_addon.vault.envelope import KEY_ID_BYTES, Key, key_id_of
from seks_addon.vault.keysource import Ask, KeyFile, KeySource
from seks_addon.vault.schema import migrations
from seks_addon.vault.secrets import Secrets
from seks_addon.vault.tokens import Tokens

#: A row's columns by name.
Row = Mapping[str, Any]
#: A file's device and inode: another one in its place has another.
type File = tuple[int, int]


class Vault:
    """An unlocked vault. `clients`, `agents`, `secrets` and `tokens` are what it holds.

    Used by one thread at a time. Other processes may change the database at any moment: every method reads it anew,
    and `refresh` takes notice of new keys.
    """

    _master: Key
    _vault_key: Key
    _wrapped: bytes | None
    _data_version: int | None

    #: Another number since the vault was changed, here or, as of the last `refresh`, in another process.
    version = 0

    def __init__(self, home: Home, path: Path, ask: Ask | None, timeout: float, *, accept_older: bool) -> None:
        """Connect to the database; `open` unlocks it."""
        self.home = home
        self.path = path
        self._ask = ask
        self._timeout = timeout
        self._accept_older = accept_older
        self.id = ""
        self._db, self._file = self._connect()
        self.clients = Clients(self)
        self.agents = Agents(self)
        self.secrets = Secrets(self)
        self.tokens = Tokens(self)

    @classmethod
    def create(cls, home: Home, source: KeySource | None = None) -> Self:
        """Make a vault; its master key comes from `source`, by default a key file in the home.

        Raises `SeksError` and then leaves nothing behind. A vault that was there before is never touched.
        """
        source = source or KeyFile(home.master_key)
        if home.vault.exists():
            raise VaultError(f"{home.vault} exists already")
        vault_id = str(uuid.uuid4())
        with contextlib.ExitStack() as undo:
            undo.callback(_discard, home, source)
            master = source.create(vault_id)
            db = open_database(home.vault, migrations, create=True)
            with contextlib.closing(db), transaction(db, home.vault):
                for row in meta.new(vault_id, _described(source), master).items():
                    db.conn.execute("INSERT INTO meta (key, value) VALUES (?, ?)", row)
            keysource.remember(home, source)
            vault = cls.open(home, key=master)
            undo.callback(vault.close)
            with vault.change():
                # The first epoch, so that the home has seen one.
                pass
            undo.pop_all()
            return vault

    @classmethod
    def open(
        cls,
        home: Home,
        *,
        ask: Ask | None = None,
        key: Key | None = None,
        accept_older: bool = False,
        timeout: float = COMMAND_TIMEOUT,
        path: Path | None = None,
    ) -> Self:
        """Open the home's vault; raises `SeksError`.

        `key` is the master key where the caller has it already; else the key source is asked, and `ask` is for a
        passphrase. `timeout`: how long to wait for another process, in seconds. `path`: another database of this
        home's, such as a copy.
        """
        vault = cls(home, path or home.vault, ask, timeout, accept_older=accept_older)
        try:
            vault._unlock(key)
        except BaseException:
            vault.close()
            raise
        return vault

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def change(self, *, remember: bool = True) -> Iterator[None]:
        """Make the block one change: all of it, durably, or nothing. Blocks may be nested.

        It begins a new epoch; without `remember` the home doesn't take notice of it. Raises `DatabaseBusyError` where
        others are at it for too long.
        """
        if self._db.conn.in_transaction:
            yield
            return
        with self.home.changing(self._timeout):
            # What another process did to the keys since they were read here, or to the file.
            self.refresh()
            master, vault_key, wrapped = self._master, self._vault_key, self._wrapped
            try:
                with transaction(self._db, self.path):
                    number = max(self.epoch, epoch.seen(self)) + 1
                    if remember:
                        epoch.prepare(self, number)
                    yield
                    self._set_epoch(number)
            except BaseException:
                # Keys that the block put in place are gone with it.
                self._master = master
                self._take(vault_key, wrapped)
                epoch.forget(self)
                raise
            finally:
                self.version += 1
            if remember:
                epoch.settle(self)

    def rows(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[Row]:
        """Run a query and give its rows as mappings."""
        with translated(self.path):
            cursor = self._db.conn.execute(sql, parameters)
            names = [column[0] for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor]

    def row(self, sql: str, parameters: tuple[Any, ...] = ()) -> Row | None:
        """The first row of a query, or None."""
        return next(iter(self.rows(sql, parameters)), None)

    @property
    def connection(self) -> sqlite3.Connection:
        """The database itself, for what concerns it as a whole: copying, checking, compacting."""
        return self._db.conn

    def write(self, sql: str, parameters: tuple[Any, ...] = ()) -> int:
        """Run a statement that changes rows; gives their number."""
        with translated(self.path):
            return self._db.conn.execute(sql, parameters).rowcount

    # Keys.

    @property
    def master_key(self) -> Key:
        """The master key, for handing on to a process of one's own."""
        return self._master

    @property
    def master_key_id(self) -> bytes:
        """The public id of the master key that this vault is under now."""
        return key_id_of(self._meta("vault_key"))

    @property
    def source(self) -> dict[str, Any]:
        """The kind of the key source, and what it keeps here."""
        return meta.read_source(self._meta("source"))

    @property
    def epoch(self) -> int:
        """How many changes the vault has seen; raises `VaultError` where somebody set it."""
        number, given = meta.read_epoch(self._meta("epoch"))
        self.check_mac("meta", {"epoch": number}, given)
        return number

    def refresh(self) -> None:
        """Take notice of what another process did to the keys, or to the vault as a whole; costs microseconds."""
        if _identity(self.path) != self._file:
            self._reopen()
        self._catch_up(self._master)

    def renew(self) -> bool:
        """As `refresh`, but not within a change or a snapshot; tells whether there are new keys."""
        if self._db.conn.in_transaction:
            return False
        before = self._wrapped
        self.refresh()
        return self._wrapped != before

    @property
    def is_current(self) -> bool:
        """Tell whether no other process changed the database since the last `refresh`."""
        return self._version() == self._data_version

    def data_key(self, client_id: str, name: str, wrapped: bytes) -> Key:
        """Unwrap the data key of a client, which is called `name`."""
        return Key.unpack(self._master.open(wrapped, self.context("data key", client=client_id, name=name)))

    def wrap_data_key(self, client_id: str, name: str, key: Key) -> bytes:
        """Seal a client's data key under the master key."""
        return self._master.seal(key.pack(), self.context("data key", client=client_id, name=name))

    def context(self, kind: str, **place: Any) -> dict[str, Any]:
        """What a sealed value is and where it belongs, in this vault."""
        return {"kind": kind, "vault": self.id, **place}

    def lookup(self, token: str) -> bytes:
        """The keyed hash under which a token is found: the database alone can't confirm a guess."""
        return hmac.digest(self._lookup_key, token.encode(), "sha256")

    def mac(self, table: str, fields: Mapping[str, Any]) -> bytes:
        """Authenticate a row that is kept in clear."""
        return meta.mac(self._mac_key, table, fields)

    def check_mac(self, table: str, fields: Mapping[str, Any], mac: bytes) -> None:
        """Raise `VaultError` where a row was changed behind SEKS's back."""
        # A column of another type than it was made with can't even be compared.
        with contextlib.suppress(TypeError, ValueError):
            if hmac.compare_digest(mac, self.mac(table, fields)):
                return
        raise VaultError(
            f"a row of the table {table!r} was changed outside of SEKS", hint="restore the vault from a backup"
        )

    def replace_master(self, master: Key, source: Mapping[str, Any]) -> None:
        """Put the vault under another master key: within a change, every data key wrapped anew."""
        keys = [(client, self.clients.key(client.id)) for client in self.clients.list()]
        self._master = master
        for client, key in keys:
            self.clients.set_key(client, key)
        self._set_meta("source", canonical_json(source))
        self.replace_vault_key(self._vault_key)

    def replace_vault_key(self, key: Key) -> None:
        """Put what hangs from the vault key under another; within a change that renews all of it."""
        wrapped = meta.wrap(key, self._master, self.id, self.source)
        self._set_meta("vault_key", wrapped)
        self._take(key, wrapped)

    def derive(self, purpose: str) -> bytes:
        """Give 32 bytes that hang from the vault key and are good for one purpose only."""
        return self._vault_key.derive(purpose)

    def _connect(self) -> tuple[Database, File | None]:
        # In this order: a file that takes its place in between is noticed at the next look.
        file = _identity(self.path)
        return open_database(self.path, migrations, timeout=self._timeout), file

    def _reopen(self) -> None:
        """Go on with the file that took the place; where that can't be used, the next look tries again."""
        before, (self._db, file) = self._db, self._connect()
        try:
            self._unlock(self._master)
        except BaseException:
            self._db.close()
            self._db = before
            raise
        before.close()
        self._file = file

    def _unlock(self, key: Key | None) -> None:
        """Take the keys of the open database; its key source is asked where `key` isn't its master key."""
        if (found := self._meta("format").decode(errors="replace")) != meta.FORMAT:
            raise VaultError(f"{self.path} has the format {found!r}", hint="use a SEKS that knows it")
        vault_id = self._meta("vault_id").decode(errors="replace")
        if vault_id != (self.id or vault_id):
            raise epoch.another(self)
        self.id = vault_id
        self._data_version, self._wrapped = None, None
        self._catch_up(key)

    def _catch_up(self, known: Key | None) -> None:
        while (version := self._version()) != self._data_version:
            try:
                if self._meta("vault_key") != self._wrapped:
                    self._load_keys(known)
                epoch.check(self, accept_older=self._accept_older)
            except SeksError:
                # Another process may have made new keys between two looks: then what was seen doesn't fit together.
                if self._version() == version:
                    raise
            else:
                self._data_version = version
                self.version += 1

    def _version(self) -> int:
        """A number that is another one after another process changed the database."""
        with translated(self.path):
            return int(self._db.conn.execute("PRAGMA data_version").fetchone()[0])

    def _set_meta(self, key: str, value: bytes) -> None:
        self.write("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))

    def _load_keys(self, known: Key | None) -> None:
        if len(wrapped := self._meta("vault_key")) <= KEY_ID_BYTES:
            raise VaultError("the vault's key is cut short", hint="restore the vault from a backup")
        # A known key is good until the vault gets another: nobody is asked twice.
        master_id = key_id_of(wrapped)
        if known is None or known.id != master_id:
            known = keysource.unlock(self.home, self.id, master_id, self.source, self._ask)
        self._master = known
        self._take(meta.unwrap(wrapped, known, self.id, self.source), wrapped)

    def _take(self, key: Key, wrapped: bytes | None) -> None:
        self._vault_key, self._wrapped = key, wrapped
        self._lookup_key = key.derive("lookup")
        self._mac_key = key.derive("row mac")

    def _set_epoch(self, number: int) -> None:
        self._set_meta("epoch", meta.write_epoch(number, self._mac_key))

    def _meta(self, key: str) -> bytes:
        row = self.row("SELECT value FROM meta WHERE key = ?", (key,))
        if row is None or not isinstance(value := row["value"], bytes):
            raise NoVaultError(f"{self.path} is no vault, or a damaged one", hint="restore it from a backup")
        return value


def _identity(path: Path) -> File | None:
    """Which file is at `path`, or None where none is."""
    with contextlib.suppress(OSError):
        status = path.stat()
        return status.st_dev, status.st_ino
    return None


def _discard(home: Home, source: KeySource) -> None:
    """Remove what was made of a vault."""
    for suffix in BESIDE:
        beside(home.vault, suffix).unlink(missing_ok=True)
    for path in (home.key_location, home.epoch):
        path.unlink(missing_ok=True)
    source.discard()


def _described(source: KeySource) -> dict[str, Any]:
    return {"kind": source.kind, **source.public()}
