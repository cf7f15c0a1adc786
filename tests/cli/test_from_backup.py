"""`seks init --from-backup`: a home that is lost altogether, made again from a backup and its key."""

import shutil
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from seks_addon.home import Home
from seks_addon.vault import Vault, backup
from tests.cli.conftest import WORDS, Seks, acts, assert_refused, options, records, value
from tests.cli.test_copies import BROKEN, change
from tests.samples import KEY, OTHER_KEY
from tests.vault.conftest import keyring_store

__all__ = ["keyring_store"]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "copies" / "vault.seks"


@pytest.fixture
def lost(seks: Seks, home: Home, copy: Path) -> Callable[..., str]:
    """Make a home with a secret, copy its vault, and lose all but the copy and, with `keep`, the key; gives a token."""
    copy.parent.mkdir()

    def lose(*words: str, keep: bool = True) -> str:
        assert seks("init", *words).code == 0
        token = str(seks("vault", "add", "openai", "--stdin", stdin=KEY).last)
        assert seks("vault", "backup", str(copy)).code == 0
        if keep and home.master_key.exists():
            home.master_key.rename(copy.with_name("master.key"))
        shutil.rmtree(home.root)
        return token

    return lose


@pytest.mark.parametrize("kind", ["keyfile", "passphrase", "command"])
def test_a_lost_home(
    seks: Seks,
    home: Home,
    tmp_path: Path,
    copy: Path,
    lost: Callable[..., str],
    cheap: None,
    key_command: str,
    kind: str,
) -> None:
    """Secrets, tokens and passwords are as before; the log begins anew; every file is private."""
    token = lost(*options(kind, tmp_path, key_command))
    words = {"keyfile": ["--key-file", str(copy.with_name("master.key"))], "command": ["--key-command", key_command]}

    made = seks("init", "--from-backup", str(copy), *words.get(kind, []), "--json")

    assert made.code == 0, made.err
    assert made.json["key_source"] == kind
    assert "CA is new" in made.err
    assert "audit log begins anew" in made.err
    assert value(seks) == KEY
    assert f"OPENAI_API_KEY={token}" in seks("env", "--format", "dotenv").out.replace("'", "").replace('"', "")
    assert seks("vault", "check").code == seks("audit", "verify").code == seks("status").code == 0
    assert acts(seks) == ["init", "vault.restore"]
    assert seks("vault", "add", "groq", "--stdin", stdin=OTHER_KEY).code == 0
    assert home.ca.exists()
    public = {home.ca_cert, home.ca_bundle}
    files = {path for path in home.root.rglob("*") if path.is_file()} - public
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert not (home.root / ".init").exists()


def test_an_agent_s_password(seks: Seks, home: Home, copy: Path, lost: Callable[..., str]) -> None:
    """It is in the backup, as the agents are."""
    seks("init")
    password = seks("agent", "add", "ci").last
    seks("vault", "backup", str(copy))
    key = home.master_key.read_bytes()
    shutil.rmtree(home.root)
    home.root.mkdir(0o700)
    home.master_key.touch(0o600)
    home.master_key.write_bytes(key)

    # The key may lie in its usual place already.
    assert seks("init", "--from-backup", str(copy)).code == 0

    with Vault.open(home) as vault:
        assert vault.agents.authenticate("ci", password)
    assert home.key_location.exists() is False


def test_the_keyring(
    seks: Seks, home: Home, copy: Path, lost: Callable[..., str], keyring_store: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key stays in the keyring, also where making the home fails."""
    lost("--key-source", "keyring")
    with monkeypatch.context() as patch:
        patch.setattr(backup, "check", lambda *_: ["it is damaged"])
        assert_refused(seks("init", "--from-backup", str(copy)), "it is damaged")

    assert seks("init", "--from-backup", str(copy)).code == 0
    assert value(seks) == KEY


def untouched(home: Home) -> bool:
    return not home.root.exists()


@pytest.mark.parametrize("how", [*BROKEN, "gone", "a value"])
def test_what_is_no_backup(seks: Seks, home: Home, copy: Path, lost: Callable[..., str], how: str) -> None:
    """All or nothing, and the file is named."""
    lost()
    if how == "gone":
        copy.unlink()
    elif how == "a value":
        change(copy, "UPDATE secret_values SET record = x'00'")
    else:
        BROKEN[how](copy)
    before = copy.exists() and copy.read_bytes()

    result = seks("init", "--from-backup", str(copy), "--key-file", str(copy.with_name("master.key")))

    assert_refused(result, str(copy))
    assert ".init" not in result.err
    assert untouched(home)
    assert (copy.exists() and copy.read_bytes()) == before


@pytest.mark.parametrize(
    ("made", "words", "outcome"),
    [
        ([], [], (1, "master.key is missing")),
        ([], ["--key-file", "OTHER"], (1, "not this vault's")),
        ([], ["--key-source", "passphrase"], (2, "comes from: keyfile")),
        ([], ["--key-command", "true"], (2, "comes from: keyfile")),
        (["--key-source", "passphrase"], ["--key-file", "OTHER"], (2, "comes from: passphrase")),
        (["--key-command", "KEY"], [], (2, "--key-command")),
        (["--key-command", "KEY"], ["--key-command", "false"], (1, "failed with code 1")),
    ],
)
def test_without_the_key(
    seks: Seks,
    copy: Path,
    lost: Callable[..., str],
    cheap: None,
    key_command: str,
    made: list[str],
    words: list[str],
    outcome: tuple[int, str],
) -> None:
    """It says what it wants, and makes nothing."""
    lost(*[key_command if word == "KEY" else word for word in made])
    home, other = copy.parents[1] / "home", copy.parents[1] / "other"
    seks("--home", str(other), "init")

    result = seks(
        "init", "--from-backup", str(copy), *[str(other / "master.key") if word == "OTHER" else word for word in words]
    )

    code, says = outcome
    assert_refused(result, says, code)
    assert not home.exists()


def test_a_wrong_passphrase(
    seks: Seks, home: Home, copy: Path, lost: Callable[..., str], tmp_path: Path, cheap: None
) -> None:
    lost("--key-source", "passphrase")
    (tmp_path / "words").write_text(f"{WORDS} of another\n")

    assert_refused(seks("init", "--from-backup", str(copy)), "passphrase is wrong")
    assert untouched(home)


def test_a_home_that_is_there(ready: Seks, home: Home, copy: Path, add: Callable[..., str]) -> None:
    """It is left alone; where only its vault is lost, it doesn't take an older one without being told so."""
    copy.parent.mkdir()
    add("openai", KEY)
    ready("vault", "backup", str(copy))
    ready("vault", "rotate", "openai", "--stdin", stdin=OTHER_KEY)
    assert_refused(ready("init", "--from-backup", str(copy)), "initialised already")
    assert value(ready) == OTHER_KEY
    home.vault.unlink()

    assert_refused(ready("init", "--from-backup", str(copy)), "older")
    assert not home.vault.exists()
    assert ready("vault", "restore", str(copy), "--accept-older").code == 0
    assert value(ready) == KEY
    assert len([record for record in records(ready) if record["reason"] == "init"]) == 1


def digest(home: Home) -> dict[str, bytes]:
    """What the home's files hold, but for the locks' folder and databases in use."""
    return {path.name: path.read_bytes() for path in home.root.iterdir() if path.is_file()}


def test_one_that_fails_leaves_what_was_there(seks: Seks, home: Home, copy: Path, tmp_path: Path) -> None:
    """Above all the home's word on how new the vault must be: an older backup stays refused."""
    key, older = str(tmp_path / "k"), tmp_path / "older"
    copy.parent.mkdir()
    seks("init", "--key-file", key)
    seks("vault", "add", "openai", "--stdin", stdin=KEY)
    seks("vault", "backup", str(older))
    seks("token", "revoke", "--all")
    seks("vault", "backup", str(copy))
    home.vault.unlink()
    audit = home.audit.read_bytes()
    home.audit.write_bytes(b"this is no database, " * 500)
    before = digest(home)

    assert_refused(seks("init", "--from-backup", str(copy), "--key-file", key), "audit.db")

    assert digest(home) == before
    home.audit.write_bytes(audit)
    assert_refused(seks("init", "--from-backup", str(older), "--key-file", key), "older")
    assert seks("init", "--from-backup", str(copy), "--key-file", key).code == 0


def test_a_log_of_the_vault_that_is_lost(ready: Seks, home: Home, copy: Path, add: Callable[..., str]) -> None:
    """SQLite would play it into the new one."""
    copy.parent.mkdir()
    add("openai", KEY)
    with closing(sqlite3.connect(home.vault, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM meta").fetchall()
        assert ready("agent", "add", "ci").code == 0
        left = {suffix: (home.root / f"vault.db{suffix}").read_bytes() for suffix in ("-wal", "-shm")}
        assert ready("vault", "backup", str(copy)).code == 0
    home.vault.unlink()
    for suffix, content in left.items():
        (home.root / f"vault.db{suffix}").write_bytes(content)

    assert ready("init", "--from-backup", str(copy)).code == 0

    assert ready("vault", "check").code == 0
    assert value(ready) == KEY


def test_another_vault_s_backup(seks: Seks, home: Home, copy: Path, lost: Callable[..., str]) -> None:
    """Where the home had another one, that one's epoch is in nobody's way."""
    lost()
    assert seks("init").code == 0
    home.vault.unlink()

    made = seks("init", "--from-backup", str(copy), "--key-file", str(copy.with_name("master.key")))

    assert made.code == 0, made.err
    assert seks("vault", "check").code == 0
