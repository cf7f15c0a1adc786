"""Opening and making a vault; the keys that everything in it hangs from."""

import contextlib
import hmac
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Self

from seks_addon.canonical import canonical_json
from seks_addon.database import COMMAND_TIMEOUT, open_database, transaction, translated
from seks_addon.errors import MasterKeyError, VaultError
from seks_addon.home import Home
from seks_addon.timing import now, timestamp
from seks_addon.vault.agents import Agents
from seks_addon.vault.clients import Clients
from seks_addon.vault.envelope import Key
from seks_addon.vault.keysource import keyfile
from seks_addon.vault.schema import migrations
from seks_addon.vault.secrets import Secrets
from seks_addon.vault.tokens import Tokens

FORMAT: Final = "1"

#: A row's columns by name.
Row = Mapping[str, Any]


class Vault:
    """An unlocked vault. `clients`, `agents`, `secrets` and `tokens` are what it holds."""

    def __init__(self, path: Path, master: Key, *, create: bool, timeout: float) -> None:
        self.path = path
        self._db = open_database(path, migrations, create=create, timeout=timeout)
        try:
            if create:
                self._initialise(master)
            self._check(master)
        except BaseException:
            self.close()
            raise
        self._master = master
        self.id = self._meta("vault_id")
        salt = self.id.encode()
        self._lookup_key = master.derive("lookup", salt)
        self._mac_key = master.derive("row mac", salt)
        self.clients = Clients(self)
        self.agents = Agents(self)
        self.secrets = Secrets(self)
        self.tokens = Tokens(self)

    @classmethod
    def create(cls, home: Home, key_file: Path | None = None) -> Self:
        """Make a vault whose master key lies in a key file; raises `SeksError` and then leaves nothing behind."""
        key_path = key_file or home.master_key
        existed = key_path.exists()
        # Never remove a vault that was there before: it may be somebody's.
        fresh = not home.vault.exists()
        master = keyfile.load(key_path) if existed else keyfile.create(key_path)
        vault: Self | None = None
        try:
            vault = cls(home.vault, master, create=True, timeout=COMMAND_TIMEOUT)
            if key_file is not None:
                with vault.change():
                    vault._set_meta("key_file", str(key_file.absolute()))
        except BaseException:
            if vault is not None:
                vault.close()
            for suffix in ("", "-wal", "-shm") if fresh else ():
                home.vault.with_name(home.vault.name + suffix).unlink(missing_ok=True)
            if not existed:
                key_path.unlink(missing_ok=True)
            raise
        return vault

    @classmethod
    def open(cls, home: Home, *, timeout: float = COMMAND_TIMEOUT) -> Self:
        """Open the home's vault with the key source that it was made with; raises `SeksError`."""
        return cls(home.vault, keyfile.load(key_file_of(home)), create=False, timeout=timeout)

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def change(self) -> Iterator[None]:
        """Make the block one change: all of it, durably, or nothing. Blocks may be nested."""
        if self._db.conn.in_transaction:
            yield
            return
        with transaction(self._db, self.path):
            yield

    def rows(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[Row]:
        """Run a query and give its rows as mappings."""
        with translated(self.path):
            cursor = self._db.conn.execute(sql, parameters)
            names = [column[0] for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor]

    def row(self, sql: str, parameters: tuple[Any, ...] = ()) -> Row | None:
        """The first row of a query, or None."""
        return next(iter(self.rows(sql, parameters)), None)

    def write(self, sql: str, parameters: tuple[Any, ...] = ()) -> int:
        """Run a statement that changes rows; gives their number."""
        with translated(self.path):
            return self._db.conn.execute(sql, parameters).rowcount

    def data_key(self, client_id: str, wrapped: bytes) -> Key:
        """Unwrap a client's data key."""
        opened = self._master.open(wrapped, self.context("data key", client=client_id))
        return Key(opened[:8], opened[8:])

    def new_data_key(self, client_id: str) -> bytes:
        """Make a client's data key, and give it wrapped."""
        key = Key.generate()
        return self._master.seal(key.id + key.material, self.context("data key", client=client_id))

    def context(self, kind: str, **place: Any) -> dict[str, Any]:
        """What a sealed value is and where it belongs, in this vault."""
        return {"kind": kind, "vault": self.id, **place}

    def lookup(self, token: str) -> bytes:
        """The keyed hash under which a token is found: the database alone can't confirm a guess."""
        return hmac.digest(self._lookup_key, token.encode(), "sha256")

    def mac(self, table: str, fields: Mapping[str, Any]) -> bytes:
        """Authenticate a row that is kept in clear."""
        return hmac.digest(self._mac_key, canonical_json({"table": table, **fields}), "sha256")

    def check_mac(self, table: str, fields: Mapping[str, Any], mac: bytes) -> None:
        """Raise `VaultError` where a row was changed behind SEKS's back."""
        if not hmac.compare_digest(mac, self.mac(table, fields)):
            raise VaultError(
                f"a row of the table {table!r} was changed outside of SEKS", hint="restore the vault from a backup"
            )

    @property
    def key_file(self) -> Path | None:
        """The key file, where it isn't the home's own."""
        stored = self._meta("key_file")
        return Path(stored) if stored else None

    def _initialise(self, master: Key) -> None:
        with self.change():
            if self.row("SELECT 1 FROM meta"):
                raise VaultError(f"{self.path} holds a vault already")
            vault_id = str(uuid.uuid4())
            self._set_meta("format", FORMAT)
            self._set_meta("vault_id", vault_id)
            self._set_meta("key_source", keyfile.NAME)
            self._set_meta("key_check", master.derive("check", vault_id.encode()).hex())
            self._set_meta("created", timestamp(now()))

    def _check(self, master: Key) -> None:
        if (found := self._meta("format")) != FORMAT:
            raise VaultError(f"{self.path} has the format {found!r}", hint="use a SEKS that knows it")
        expected = master.derive("check", self._meta("vault_id").encode()).hex()
        if not hmac.compare_digest(expected, self._meta("key_check")):
            raise MasterKeyError(
                "the master key is not the one that this vault was made with", hint="put back the right key file"
            )

    def _meta(self, key: str) -> str:
        row = self.row("SELECT value FROM meta WHERE key = ?", (key,))
        return row["value"].decode() if row else ""

    def _set_meta(self, key: str, value: str) -> None:
        self.write("INSERT INTO meta (key, value) VALUES (?, ?)", (key, value.encode()))


def key_file_of(home: Home) -> Path:
    """Find the key file of a locked vault: the home's own, unless another was named when it was made."""
    db = open_database(home.vault, migrations)
    try:
        with translated(home.vault):
            row = db.conn.execute("SELECT value FROM meta WHERE key = 'key_file'").fetchone()
    finally:
        db.close()
    return Path(row[0].decode()) if row else home.master_key
