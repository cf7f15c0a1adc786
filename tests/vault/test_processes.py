"""More than one program at the vault, and a disk that is full."""

import multiprocessing
import sqlite3
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from seks_addon.errors import DatabaseBusyError, DatabaseError, SeksError
from seks_addon.home import Home
from seks_addon.secret import Secret
from seks_addon.vault import Vault, check, epoch, keysource, rotation
from seks_addon.vault.envelope import Key
from seks_addon.vault.keysource import Command, KeyFile
from seks_addon.vault.keysource.encoding import encode
from tests.samples import KEY, OTHER_KEY, binding
from tests.vault.conftest import Tenant

COUNT = 8


def add(root: Path, name: str) -> None:
    with Vault.open(Home(root)) as vault:
        client = vault.clients.get("acme")
        for number in range(COUNT):
            vault.secrets.add(client, f"{name}{number}", Secret(OTHER_KEY), binding())


def reencrypt(root: Path, name: str) -> None:
    with Vault.open(Home(root)) as vault:
        for _ in range(COUNT // 2):
            rotation.reencrypt(vault, lambda *_: None)


def rekey(root: Path, name: str) -> None:
    home = Home(root)
    for _ in range(COUNT):
        with Vault.open(home) as vault:
            rotation.rekey(vault, KeyFile(home.master_key, replaces=True))


def run(root: Path, *programs: Callable[[Path, str], None]) -> list[int | None]:
    """Run the programs at once; gives their exit codes."""
    context = multiprocessing.get_context("spawn")
    started = [context.Process(target=program, args=(root, f"p{number}-")) for number, program in enumerate(programs)]
    for process in started:
        process.start()
    for process in started:
        process.join(60)
    return [process.exitcode for process in started]


def test_two_that_add(home: Home, vault: Vault, acme: Tenant) -> None:
    """Nothing of either is lost, and each change has an epoch of its own."""
    before = vault.epoch

    codes = run(home.root, add, add)

    assert codes == [0, 0]
    assert len(vault.secrets.list()) == 1 + 2 * COUNT
    assert vault.epoch == epoch.seen(vault) == before + 2 * COUNT
    assert check.check(vault, lambda *_: None) == []


def test_one_that_adds_while_another_makes_new_data_keys(home: Home, vault: Vault, acme: Tenant) -> None:
    """What was added before and after is under the new keys, and everything opens."""
    codes = run(home.root, add, reencrypt)

    assert codes == [0, 0]
    vault.refresh()
    assert len(vault.secrets.list()) == 1 + COUNT
    assert vault.secrets.reveal(acme.secret.id, acme.client.id).reveal() == KEY
    assert check.check(vault, lambda *_: None) == []


def test_two_that_make_new_master_keys(home: Home, vault: Vault, acme: Tenant) -> None:
    """Neither takes the other's key for its own: the key in its place is the vault's."""
    codes = run(home.root, rekey, rekey)

    assert codes == [0, 0]
    with Vault.open(home) as other:
        assert other.secrets.reveal(acme.secret.id, acme.client.id).reveal() == KEY
    assert not KeyFile(home.master_key).staged.exists()


def slow_to_write_down(root: Path, pipe: Connection) -> None:
    """Make a change; say when it is committed, and write its epoch down when told."""
    move = epoch.move_over

    def wait_and_move(source: Path, target: Path) -> None:
        pipe.send("committed")
        pipe.recv()
        move(source, target)

    epoch.move_over = wait_and_move
    with Vault.open(Home(root)) as vault:
        vault.clients.add("first")


def test_the_epoch_of_two_that_change(home: Home, vault: Vault, acme: Tenant) -> None:
    """One that is slow to write its epoch down doesn't come after another with a higher one: that one waits."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=slow_to_write_down, args=(home.root, theirs), daemon=True)
    process.start()
    assert ours.recv() == "committed"

    with Vault.open(home, timeout=0.2) as second, pytest.raises(DatabaseBusyError):
        second.clients.add("second")

    ours.send("go on")
    process.join(60)
    assert process.exitcode == 0
    assert epoch.seen(vault) == vault.epoch


def hold(root: Path, pipe: Connection) -> None:
    """Rekey, restore or init, as far as others see it."""
    with Home(root).exclusive():
        pipe.send("begun")
        pipe.recv()


def test_opening_while_a_rekey_is_at_its_end(home: Home, vault: Vault, acme: Tenant) -> None:
    """The key that waits is taken, and left to whoever put it there; after a crash the next opening ends it."""
    cut_off_rekey(home, vault)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=hold, args=(home.root, theirs), daemon=True)
    process.start()
    assert ours.recv() == "begun"

    with Vault.open(home) as reader:
        assert reader.secrets.reveal(acme.secret.id, acme.client.id).reveal() == KEY
    assert KeyFile(home.master_key).staged.exists()

    process.kill()
    process.join(60)
    with Vault.open(home) as reader:
        assert reader.secrets.reveal(acme.secret.id, acme.client.id).reveal() == KEY
    assert not KeyFile(home.master_key).staged.exists()


def cut_off_rekey(home: Home, vault: Vault) -> None:
    """Rekey, and crash after the vault took the new key."""
    source = KeyFile(home.master_key, replaces=True)
    master = source.create(vault.id)
    keysource.remember(home, source, staged=True)
    with vault.change():
        vault.replace_master(master, {"kind": source.kind, **source.public()})


def test_a_rekey_that_ends_while_another_opens(home: Home, vault: Vault, acme: Tenant, tmp_path: Path) -> None:
    """What the home says of the key meanwhile isn't replaced by what was there when the opening began."""
    place, script = tmp_path / "key", tmp_path / "print-key"
    place.write_text(encode(Key.generate()))
    source = Command(["sh", str(script)])
    script.write_text(f"cat {place}\n")
    master = source.create(vault.id)
    keysource.remember(home, source, staged=True)
    with vault.change():
        vault.replace_master(master, {"kind": source.kind, **source.public()})
    staged = home.key_location.with_name("key.toml.new")
    # While it prints, the rekey ends, and another begins and ends.
    script.write_text(f"rm -f {staged}\necho 'kind = \"keyring\"' > {home.key_location}\ncat {place}\n")

    with Vault.open(home) as reader:
        assert reader.secrets.reveal(acme.secret.id, acme.client.id).reveal() == KEY

    assert home.key_location.read_text() == 'kind = "keyring"\n'


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Databases that can't grow by more than a page."""
    connect = sqlite3.connect

    def limited(*given: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*given, **options)
        [pages] = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count={pages + 1}")
        return connection

    monkeypatch.setattr("seks_addon.database.sqlite3.connect", limited)


def filled(vault: Vault, acme: Tenant) -> DatabaseError:
    """Add secrets until there is no room for one more; gives the error."""
    for number in range(100):
        try:
            vault.secrets.add(acme.client, f"more-{number}", Secret("x" * 2000), binding())
        except DatabaseError as error:
            return error
    raise AssertionError("there was room for all")


def test_a_full_disk(home: Home, vault: Vault, acme: Tenant, full_disk: None) -> None:
    """What doesn't fit isn't there in part; what was there stays, and can be read."""
    with Vault.open(home) as full:
        caught = filled(full, acme)

        assert "the disk is full" in caught.message
        assert caught.hint
        assert len(full.secrets.list()) == len(full.rows("SELECT 1 FROM secret_values"))
        assert full.secrets.reveal(acme.secret.id, acme.client.id).reveal() == KEY
        assert check.check(full, lambda *_: None) == []
        full.tokens.revoke(acme.token)
    vault.refresh()
    assert vault.tokens.get(acme.token.id).state == "revoked"


def test_a_full_disk_under_new_keys(home: Home, vault: Vault, acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change of keys that doesn't fit is none: the vault stays under those that it has."""
    before = home.master_key.read_bytes()
    write = vault.write

    def full(sql: str, parameters: tuple[Any, ...] = ()) -> int:
        if "clients" in sql:
            raise DatabaseError("the disk is full")
        return write(sql, parameters)

    with monkeypatch.context() as patch:
        patch.setattr(vault, "write", full)
        with pytest.raises(SeksError, match="full"):
            rotation.rekey(vault, KeyFile(home.master_key, replaces=True))

    assert home.master_key.read_bytes() == before
    assert check.check(vault, lambda *_: None) == []
