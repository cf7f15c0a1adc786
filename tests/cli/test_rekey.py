"""`seks vault rekey`: from one source of the master key to another."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from seks_addon.home import Home
from seks_addon.vault import Vault
from seks_addon.vault.envelope import Key
from seks_addon.vault.keysource.encoding import encode
from tests.cli.conftest import KINDS, WORDS, Seks, acts, assert_refused, options, value
from tests.samples import KEY


@pytest.mark.parametrize("new", KINDS)
@pytest.mark.parametrize("old", KINDS)
def test_rekey(
    seks: Seks,
    home: Home,
    tmp_path: Path,
    cheap: None,
    key_command: str,
    old: str,
    new: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every value is read as before, there is a record, and it is said which key file stays."""
    seks("init", *options(old, tmp_path, key_command))
    token = seks("vault", "add", "openai", "--stdin", stdin=KEY).last
    words = options(new, tmp_path, f"echo {seks('vault', 'new-key').last}" if old == "command" else key_command)
    if old == "elsewhere" and new in {"elsewhere", "keyfile"}:
        words = ["--key-file", str(tmp_path / "new.key" if new == "elsewhere" else home.master_key)]
    (tmp_path / "new words").touch(0o600)
    (tmp_path / "new words").write_text(WORDS.upper())
    monkeypatch.setenv("SEKS_NEW_PASSPHRASE_FILE", str(tmp_path / "new words"))

    result = seks("vault", "rekey", *words)

    if new == "passphrase":
        monkeypatch.setenv("SEKS_PASSPHRASE_FILE", str(tmp_path / "new words"))

    assert (result.code, result.out) == (0, ""), result.err
    assert "new master key" in result.err
    stays = {"keyfile": home.master_key, "elsewhere": tmp_path / "elsewhere.key"}.get(old)
    if stays and (old, new) != ("keyfile", "keyfile"):
        assert f"stays in the file {stays}: backups from before want it" in result.err
    else:
        assert "stays" not in result.err
    assert value(seks) == KEY
    assert seks("token", "show", token, "--json").json["state"] == "live"
    assert acts(seks) == ["init", "vault.add", "vault.rekey"]
    assert seks("vault", "check").code == 0


def test_rekey_without_a_word(seks: Seks, home: Home, tmp_path: Path) -> None:
    """The same source gives another key, in the same place of the home."""
    path = home.root / "keys" / "own.key"
    path.parent.mkdir(0o700, parents=True)
    home.root.chmod(0o700)
    seks("init", "--key-file", str(path))
    before = path.read_bytes()

    assert seks("vault", "rekey").code == 0

    assert path.read_bytes() != before
    assert not home.master_key.exists()
    assert seks("status", "--json").json["key_file"] == str(path)


@pytest.mark.parametrize(
    "words", [(), ("--key-source", "keyfile"), ("--key-file", "{}"), ("--key-file", "{}/../x.key")]
)
def test_rekey_of_one_that_shares_its_key_file(seks: Seks, tmp_path: Path, words: tuple[str, ...]) -> None:
    """Both vaults go on: the file stays, whatever way it is named, and a new key wants another name."""
    path = tmp_path / "x.key"
    homes = [("--home", str(tmp_path / name)) for name in ("one", "two")]
    for home in homes:
        assert seks("init", *home, "--key-file", str(path)).code == 0
    content = path.read_bytes()
    (tmp_path / "folder").mkdir()
    named = [word.format(path if word == "{}" else tmp_path / "folder") for word in words]

    assert_refused(seks("vault", "rekey", *homes[0], *named), "may be another vault's key")
    done = seks("vault", "rekey", *homes[0], "--key-file", str(tmp_path / "new.key"))

    assert done.code == 0
    assert f"stays in the file {path}" in done.err
    assert path.read_bytes() == content
    for home, file in zip(homes, (tmp_path / "new.key", path), strict=True):
        assert seks("vault", "check", *home).code == 0
        assert seks("status", *home, "--json").json["key_file"] == str(file)
    admin = [r["reason"] for r in seks("audit", "list", *homes[0], "--json").json if r["event"] == "admin"]
    assert admin == ["init", "vault.rekey"]


def test_rekey_of_a_linked_key_file(ready: Seks, home: Home, tmp_path: Path) -> None:
    """Neither the link nor what it leads to is replaced."""
    real = tmp_path / "real.key"
    home.master_key.rename(real)
    home.master_key.symlink_to(real)
    content = real.read_bytes()

    assert_refused(ready("vault", "rekey"), "is a link")

    assert home.master_key.readlink() == real
    assert real.read_bytes() == content
    assert ready("vault", "check").code == 0


def test_rekey_to_a_passphrase_that_nobody_names(seks: Seks, cheap: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old one's file isn't taken for the new one's; and the same one is no new one."""
    seks("init", "--key-source", "passphrase")

    assert_refused(seks("vault", "rekey"), "SEKS_NEW_PASSPHRASE_FILE")
    monkeypatch.setenv("SEKS_NEW_PASSPHRASE_FILE", os.environ["SEKS_PASSPHRASE_FILE"])
    assert_refused(seks("vault", "rekey"), "the passphrase that the vault has")

    assert seks("vault", "check").code == 0


def test_rekey_leaves_the_key_of_another_vault_alone(ready: Seks, home: Home, tmp_path: Path) -> None:
    """A file that somebody names is taken as it is."""
    other = tmp_path / "other.key"
    other.touch(0o600)
    other.write_text(encode(Key.from_material(bytes(32))))
    content = other.read_bytes()

    assert ready("vault", "rekey", "--key-file", str(other)).code == 0

    assert other.read_bytes() == content
    with Vault.open(home) as vault:
        assert vault.master_key.material == bytes(32)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--key-source", "command"], 2, "--key-command"),
        (["--key-command", "false"], 1, "failed"),
        (["--key-file", "/nowhere/at/all.key"], 1, "/nowhere/at/all.key"),
        (["--key-file", "/proc/version"], 1, "/proc/version"),
        (["--key-source", "passphrase"], 1, "no terminal"),
    ],
)
def test_rekey_that_fails(
    ready: Seks, home: Home, add: Callable[..., str], words: list[str], code: int, says: str
) -> None:
    """The vault stays under the key that it has."""
    add("openai", KEY)
    before = home.master_key.read_bytes()

    assert_refused(ready("vault", "rekey", *words), says, code)

    assert home.master_key.read_bytes() == before
    assert value(ready) == KEY
    assert {path.name for path in home.root.iterdir() if "new" in path.name} == set()


def test_rekey_to_the_same(seks: Seks, home: Home, tmp_path: Path, key_command: str) -> None:
    """Whoever changes the key after a leak must not be told that it was, where it wasn't."""
    seks("init", *options("command", tmp_path, key_command))

    result = seks("vault", "rekey", *options("command", tmp_path, key_command))

    assert_refused(result, "that is the master key that the vault has")
    assert seks("vault", "check").code == 0


@pytest.mark.parametrize(
    ("name", "there"),
    [
        *((name, False) for name in ("key.toml", "key.toml.new", "vault.db", "vault.epoch", "audit.db-wal")),
        *((name, there) for name in ("config.toml", "run/proxy-1.json", "master.key.new") for there in (False, True)),
    ],
)
def test_a_key_file_in_seks_s_own_place(ready: Seks, home: Home, tmp_path: Path, name: str, there: bool) -> None:
    """SEKS would overwrite it, or take it for something else; whether it is a key or not, and by a link too."""
    place = home.root / name
    if there:
        place.touch(0o600)
        place.write_text(encode(Key.generate()))
    (tmp_path / "link").symlink_to(place)
    before = sorted(home.root.rglob("*")), place.exists() and place.read_bytes()

    for path in (place, tmp_path / "link"):
        assert_refused(ready("vault", "rekey", "--key-file", str(path)), "a place of SEKS's own")

    assert (sorted(home.root.rglob("*")), place.exists() and place.read_bytes()) == before


def test_a_key_file_where_a_new_one_would_wait(seks: Seks, tmp_path: Path) -> None:
    """The next to open the vault would move it over the one before."""
    seks("init", "--key-file", str(tmp_path / "k"))

    assert_refused(seks("vault", "rekey", "--key-file", str(tmp_path / "k.new")), "waits for the place of", 2)
    assert not (tmp_path / "k.new").exists()


def test_a_rekey_that_may_have_been_done(
    seks: Seks, tmp_path: Path, cheap: None, key_command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is run again says that it was, if it was; the key's id tells."""
    seks("init", "--key-file", str(tmp_path / "first.key"))
    before = seks("status", "--json").json["key_id"]
    assert seks("vault", "rekey", "--key-file", str(tmp_path / "new.key")).code == 0
    after = seks("status", "--json").json["key_id"]

    again = seks("vault", "rekey", "--key-file", str(tmp_path / "new.key"))

    assert_refused(again, f"the vault has its key from {tmp_path / 'new.key'}")
    assert "a rekey to it that was cut off is done" in again.err
    assert before != after == seks("status", "--json").json["key_id"]
    for kind in ("command", "passphrase"):
        words = options(kind, tmp_path, key_command)
        monkeypatch.setenv("SEKS_NEW_PASSPHRASE_FILE", os.environ["SEKS_PASSPHRASE_FILE"])
        assert seks("vault", "rekey", *words).code == 0
        again = seks("vault", "rekey", *words)
        assert_refused(again, "that the vault has")
        assert "a rekey to it that was cut off is done" in again.err
