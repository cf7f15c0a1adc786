"""`seks vault backup`, `restore` and `check`."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from seks_addon.errors import DatabaseError
from seks_addon.home import Home
from seks_addon.vault import Vault, backup
from tests.cli.conftest import Seks, acts, assert_refused, records, value
from tests.samples import KEY, OTHER_KEY


@pytest.fixture
def copy(ready: Seks, add: Callable[..., str], tmp_path: Path) -> Path:
    """A backup of a home with one secret."""
    add("openai", KEY)
    target = tmp_path / "copy.db"
    assert ready("vault", "backup", str(target)).code == 0
    return target


def change(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(sql)


def test_backup(ready: Seks, copy: Path) -> None:
    """Says what it is worth; leaves a record."""
    result = ready("vault", "backup", str(copy.with_name("second.db")), "--json")

    assert result.json["file"] == str(copy.with_name("second.db"))
    assert isinstance(result.json["epoch"], int)
    assert "master key is needed" in result.err
    assert acts(ready)[-2:] == ["vault.backup", "vault.backup"]


@pytest.mark.parametrize(
    ("place", "says"), [("copy.db", "exists already"), ("none/copy.db", "can't write"), (".", "directory")]
)
def test_backup_to_where_it_cannot_be(ready: Seks, copy: Path, place: str, says: str) -> None:
    before = copy.read_bytes()

    result = ready("vault", "backup", str(copy.parent / place))

    assert_refused(result, says, 2 if place == "." else 1)
    assert copy.read_bytes() == before


def test_restore(ready: Seks, home: Home, copy: Path) -> None:
    """The newest at once; leaves a record."""
    result = ready("vault", "restore", str(copy), "--json")

    assert result.code == 0
    assert result.json["epoch"] == ready("status", "--json").json["epoch"]
    assert value(ready) == KEY
    assert acts(ready)[-1] == "vault.restore"


def test_restore_an_older_one(ready: Seks, copy: Path) -> None:
    """Only who says so gets it."""
    ready("vault", "rotate", "openai", "--stdin", stdin=OTHER_KEY)

    assert_refused(ready("vault", "restore", str(copy)), "--accept-older")
    assert value(ready) == OTHER_KEY

    assert ready("vault", "restore", str(copy), "--accept-older").code == 0
    assert value(ready) == KEY
    assert ready("vault", "check").code == 0


@pytest.mark.parametrize("how", ["lost", "garbage"])
def test_restore_a_vault_that_is_no_more(ready: Seks, home: Home, copy: Path, how: str) -> None:
    if how == "lost":
        home.vault.unlink()
    else:
        home.vault.write_bytes(b"this is no database, " * 500)

    result = ready("vault", "restore", str(copy))

    assert result.code == 0, result.err
    assert value(ready) == KEY


@pytest.mark.parametrize("how", ["gone", "garbage", "empty", "changed", "folder"])
def test_restore_what_is_no_backup(ready: Seks, copy: Path, how: str) -> None:
    match how:
        case "gone":
            copy.unlink()
        case "garbage":
            copy.write_bytes(b"this is no database, " * 500)
        case "empty":
            copy.write_bytes(b"")
        case "changed":
            change(copy, "UPDATE secret_values SET record = x'00'")
        case _:
            copy = copy.parent

    result = ready("vault", "restore", str(copy), "--accept-older")

    assert_refused(result, str(copy.name) if how != "empty" else "is no vault", 2 if how == "folder" else 1)
    assert value(ready) == KEY


def outcomes(ready: Seks, act: str) -> list[str]:
    return [record["outcome"] for record in records(ready) if record["reason"] == act]


def test_what_fails_is_recorded_as_failed(ready: Seks, copy: Path) -> None:
    """A copy that was not written, one that was not restored."""
    assert outcomes(ready, "vault.backup") == ["allowed"]
    assert ready("vault", "backup", str(copy)).code == 1
    assert outcomes(ready, "vault.backup") == ["allowed", "allowed", "failed"]

    ready("vault", "rotate", "openai", "--stdin", stdin=OTHER_KEY)
    assert ready("vault", "restore", str(copy)).code == 1
    assert outcomes(ready, "vault.restore") == ["allowed", "failed"]

    assert outcomes(ready, "vault.rotate") == ["allowed"]


def test_a_change_that_can_not_be_committed(ready: Seks, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is on record before it is made, so it is once more when it isn't."""
    token = ready("token", "list", "--json").json[0]["id"]

    def full(*_: object) -> None:
        raise DatabaseError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Vault, "_set_epoch", full)
        assert ready("token", "revoke", token).code == 1

    assert outcomes(ready, "token.revoke") == ["allowed", "failed"]
    assert ready("token", "list", "--json").json[0]["state"] == "live"


@pytest.mark.parametrize("name", ["", "vault.db", "audit.db"])
def test_restore_into_a_home_that_is_open_to_others(ready: Seks, home: Home, copy: Path, name: str) -> None:
    """As every command, it doesn't work in one."""
    (home.root / name).chmod(0o755)

    assert_refused(ready("vault", "restore", str(copy)), "can be read by other users")


def test_restore_without_a_home(seks: Seks, home: Home, tmp_path: Path) -> None:
    (tmp_path / "copy.db").touch()

    result = seks("vault", "restore", str(tmp_path / "copy.db"))

    assert_refused(result, "is missing")
    assert "seks init --from-backup" in result.err


def test_check(ready: Seks, copy: Path) -> None:
    assert ready("vault", "check").out == "the vault is intact\n"
    assert ready("vault", "check", "--json").json == {"intact": True, "problems": []}


def test_check_finds_damage(ready: Seks, home: Home, copy: Path) -> None:
    """Exit code 3, a line for each, and nothing of any value."""
    change(home.vault, "UPDATE secret_values SET record = x'00'")
    change(home.vault, "UPDATE tokens SET revoked = 'yes'")

    plain, document = ready("vault", "check"), ready("vault", "check", "--json")

    assert (plain.code, document.code) == (3, 3)
    assert plain.err == ""
    assert plain.out.splitlines() == document.json["problems"]
    assert not document.json["intact"]
    assert any("'openai'" in line for line in document.json["problems"])
    assert any("token tok_" in line for line in document.json["problems"])
    assert KEY not in plain.out


def cut(path: Path, size: int) -> None:
    os.truncate(path, size)


def overwrite(path: Path, start: int) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(os.urandom(path.stat().st_size - start))


#: What is done to the file of a vault.
BROKEN: dict[str, Callable[[Path], None]] = {
    "empty": lambda path: cut(path, 0),
    "half a page": lambda path: cut(path, 2048),
    "half a file": lambda path: cut(path, path.stat().st_size // 8192 * 4096),
    "not whole pages": lambda path: cut(path, path.stat().st_size - 1000),
    "another header": lambda path: overwrite(path, 0),
    "other pages": lambda path: overwrite(path, 4096),
    "no table": lambda path: change(path, "DROP TABLE tokens"),
    "no meta": lambda path: change(path, "DROP TABLE meta"),
    "no rows of meta": lambda path: change(path, "DELETE FROM meta"),
    "no migrations": lambda path: change(path, "DROP TABLE _sqlite_migrations"),
    "another table": lambda path: change(path, "CREATE TABLE more (x)"),
    "another column": lambda path: change(path, "ALTER TABLE tokens ADD COLUMN more TEXT"),
    "a trigger": lambda path: change(
        path, "CREATE TRIGGER t AFTER UPDATE ON tokens BEGIN UPDATE tokens SET revoked = NULL; END"
    ),
}


@pytest.mark.parametrize("how", BROKEN)
def test_check_of_a_broken_file(ready: Seks, home: Home, copy: Path, how: str) -> None:
    """It was looked at, and something is wrong: exit code 3, and a document."""
    BROKEN[how](home.vault)

    plain, document = ready("vault", "check"), ready("vault", "check", "--json")

    assert (plain.code, document.code) == (3, 3), plain
    assert plain.err == ""
    assert plain.out.splitlines() == document.json["problems"] != []
    assert not document.json["intact"]


def test_check_of_what_cannot_be_checked(ready: Seks, home: Home, copy: Path, tmp_path: Path) -> None:
    """Without its key, and where there is none."""
    home.master_key.rename(tmp_path / "key")
    assert_refused(ready("vault", "check"), "is missing")

    (tmp_path / "key").rename(home.master_key)
    home.vault.unlink()
    assert_refused(ready("vault", "check"), "is missing")


def test_check_of_a_vault_that_does_not_open(ready: Seks, home: Home, copy: Path) -> None:
    """It couldn't be checked: that is a failure."""
    change(home.vault, "UPDATE meta SET value = x'00' WHERE key = 'vault_key'")

    assert_refused(ready("vault", "check"), "vault")


@pytest.mark.parametrize(
    "name", ["key.toml", "KEY.TOML", "vault.epoch", "config.toml", "audit.db-wal", "run/x", "ca/x"]
)
def test_backup_over_what_is_seks_s_own(ready: Seks, home: Home, copy: Path, name: str) -> None:
    """It would be read as what it isn't, by every command from then on."""
    place = home.root / name
    (home.epoch).unlink()
    (copy.parent / "link").symlink_to(place)

    for target in (place, copy.parent / "link"):
        assert_refused(ready("vault", "backup", str(target)), "a place of SEKS's own")

    assert not place.exists()
    assert ready("vault", "backup", str(home.root / "mine.seks")).code == 0


def test_a_vault_that_is_lost(ready: Seks, home: Home, copy: Path) -> None:
    """The way out is back, not into a new one that the backup doesn't fit."""
    files = {path: path.read_bytes() for path in (home.master_key, home.epoch, home.ca)}
    home.vault.unlink()

    for words in (("vault", "list"), ("init",)):
        result = ready(*words)
        assert_refused(result, "missing")
        assert "`seks vault restore FILE`" in result.err

    assert {path: path.read_bytes() for path in files} == files
    assert ready("vault", "restore", str(copy)).code == 0
    assert acts(ready) == ["init", "vault.add", "vault.backup", "vault.restore"]
    assert value(ready) == KEY


@pytest.mark.parametrize("kind", ["file", "command"])
def test_restore_from_before_a_rekey(seks: Seks, tmp_path: Path, kind: str) -> None:
    """The key of then is named; the vault has it from there afterwards."""
    then, now, copy = (tmp_path / name for name in ("then.key", "now.key", "copy.db"))
    option, at, later = {
        "file": ("--key-file", str(then), str(now)),
        "command": ("--key-command", f"cat '{then}'", f"cat '{now}'"),
    }[kind]
    for path in (then, now):
        path.touch(0o600)
        path.write_text(seks("vault", "new-key").out)
    seks("init", option, at)
    seks("vault", "add", "openai", "--stdin", stdin=KEY)
    seks("vault", "backup", str(copy))
    assert seks("vault", "rekey", option, later).code == 0
    words = ("vault", "restore", "--accept-older", str(copy))

    for named in ([], [option, later]):
        refused = seks(*words, *named)
        assert_refused(refused, "not this vault's")
        assert "--key-file, or --key-command" in refused.err
    assert_refused(seks(*words, "--key-command" if kind == "file" else "--key-file", at), "comes from", 2)
    assert seks("vault", "check").code == 0
    restored = seks(*words, option, at)

    assert restored.code == 0, restored.err
    now.unlink()
    assert value(seks) == KEY
    assert seks("vault", "check").code == 0
    assert not list((tmp_path / "home").glob("*.new"))


def test_restore_with_a_key_that_is_not_wanted(ready: Seks, home: Home, copy: Path, tmp_path: Path) -> None:
    """The home would look for its key in the wrong place from then on."""
    (tmp_path / "other.key").touch(0o600)
    (tmp_path / "other.key").write_text(ready("vault", "new-key").out)

    assert_refused(ready("vault", "restore", "--key-file", str(tmp_path / "other.key"), str(copy)), "not the backup's")

    assert not home.key_location.exists()
    assert acts(ready)[-1] == "vault.restore"
    assert records(ready)[-1]["outcome"] == "failed"
    assert ready("vault", "restore", "--key-file", str(home.master_key), str(copy)).code == 0


def test_a_restore_that_fails_leaves_the_key_s_place(
    seks: Seks, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vault that stays has its key where it had it."""
    copy, now = tmp_path / "copy.db", tmp_path / "now.key"
    seks("init", "--key-file", str(tmp_path / "then.key"))
    seks("vault", "backup", str(copy))
    seks("vault", "rekey", "--key-file", str(now))
    before = home.key_location.read_bytes()

    def full(*_: object) -> None:
        raise DatabaseError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(backup, "_take_place", full)
        failed = seks("vault", "restore", "--accept-older", "--key-file", str(tmp_path / "then.key"), str(copy))

    assert_refused(failed, "the disk is full")
    assert home.key_location.read_bytes() == before
    assert not list(home.root.glob("*.new"))
    assert seks("vault", "check").code == 0
