"""`seks init`: all of a home, or nothing of it."""

import contextlib
import multiprocessing
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from seks_addon import ca
from seks_addon.audit import AuditLog
from seks_addon.errors import DatabaseError, HomeError
from seks_addon.home import Home
from seks_addon.vault import Vault, epoch
from seks_addon.vault.keysource import KeyFile
from seks_cli.init import initialise
from tests.cli.conftest import Seks, acts, command, environment
from tests.samples import KEY


def _everything(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")} if root.exists() else set()


def test_init_makes_a_home_that_works(seks: Seks, home: Home) -> None:
    """One client with one agent, and a record of it."""
    result = seks("init")

    assert (result.code, result.out) == (0, "")
    assert str(home.master_key) in result.err
    assert "lost" in result.err
    assert "seks vault add" in result.err
    assert [agent["client"] for agent in seks("agent", "list", "--json").json] == ["default"]
    assert acts(seks) == ["init"]


def test_init_prints_one_document_with_json(seks: Seks, home: Home) -> None:
    result = seks("init", "--json")

    assert result.json["home"] == str(home.root)
    assert Path(result.json["ca_cert"]).read_bytes().startswith(b"-----BEGIN CERTIFICATE")


def test_every_file_is_private(seks: Seks, home: Home) -> None:
    """Only the CA's public halves may be read by others, were they let into the directory."""
    seks("init")

    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (home.root, *home.root.rglob("*"))}
    public = {home.ca_cert, home.ca_bundle}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file() and path not in public} == {0o600}


def test_a_second_init_changes_nothing(ready: Seks, home: Home) -> None:
    before = home.master_key.read_bytes(), home.ca.read_bytes()

    result = ready("init")

    assert (result.code, result.out) == (1, "")
    assert "initialised already" in result.err
    assert "seks: hint:" in result.err
    assert (home.master_key.read_bytes(), home.ca.read_bytes()) == before
    assert ready("status").code == 0


@pytest.mark.parametrize(
    "broken", [(ca, "create"), (Vault, "create"), (AuditLog, "admin")], ids=["ca", "vault", "audit"]
)
def test_a_failed_init_leaves_nothing_and_can_be_run_again(
    broken: tuple[object, str], seks: Seks, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise HomeError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(*broken, fail)
        failed = seks("init")

    assert failed.code == 1
    assert "the disk is full" in failed.err
    assert not home.root.exists()
    assert seks("init").code == 0
    assert acts(seks) == ["init"]


def test_a_failure_with_the_vault_in_sight_takes_the_rest_back(
    seks: Seks, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vault's move into its place is the last step: without it nothing may stay, a new key file neither."""
    key_file = tmp_path / "elsewhere.key"
    move = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if self.name == "vault.db":
            raise OSError(28, "No space left on device")
        return move(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename)
        failed = seks("init", "--key-file", str(key_file))

    assert failed.code == 1
    assert not home.root.exists()
    assert not key_file.exists()


def test_what_a_killed_init_left_is_taken_over(ready: Seks, home: Home) -> None:
    """Killed before the vault had its place: key, CA and log are there, and a half-made stage."""
    home.vault.unlink()
    home.epoch.unlink()
    (home.root / ".init").mkdir()
    (home.root / ".init" / "vault.db").write_bytes(b"half")
    key, authority = home.master_key.read_bytes(), home.ca.read_bytes()

    result = ready("init")

    assert result.code == 0
    assert (home.master_key.read_bytes(), home.ca.read_bytes()) == (key, authority)
    assert not (home.root / ".init").exists()
    assert ready("status").code == 0
    assert acts(ready) == ["init", "init"]


def last_move(instants: list[str]) -> int:
    """Between the vault's move into its place and its epoch's, which is the last."""
    return len(instants) - 1 - instants[::-1].index("before rename")


def test_killed_with_the_vault_in_its_place(seks: Seks, home: Home, killed: Callable[..., None]) -> None:
    """The home is whole, and the next command makes known how new its vault is: it can't be begun anew then."""
    killed(last_move, "init")
    assert home.vault.exists()
    assert not home.epoch.exists()
    assert "initialised already" in seks("init").err

    assert seks("status").code == seks("vault", "check").code == seks("audit", "verify").code == 0

    with Vault.open(home) as vault:
        assert epoch.known(home) == (vault.id, vault.epoch)
    assert not home.stage.exists()
    home.vault.unlink()
    assert "restore" in seks("status").err
    assert "had a vault" in seks("init").err


def test_killed_with_the_vault_of_a_backup_in_its_place(
    seks: Seks, home: Home, tmp_path: Path, killed: Callable[..., None]
) -> None:
    """As that of a new one; and an older copy doesn't pass for it."""
    seks("init", "--key-file", str(tmp_path / "key"))
    token = seks("vault", "add", "openai", "--stdin", stdin=KEY).last
    seks("vault", "backup", str(tmp_path / "copy"))
    shutil.rmtree(home.root)
    killed(last_move, "init", "--from-backup", str(tmp_path / "copy"), "--key-file", str(tmp_path / "key"))
    assert not home.epoch.exists()

    assert token in seks("env").out

    assert seks("vault", "check").code == 0
    shutil.copyfile(tmp_path / "copy", home.vault)
    assert "is older than this home has seen it" in seks("vault", "list").err


def test_what_a_killed_init_left_is_no_vault_s_that_came_since(ready: Seks, home: Home) -> None:
    """Where the home knows an epoch, or the vault never left the stage, that of the stage is thrown away."""
    known = home.epoch.read_bytes()
    for file in ("vault.db", None):
        home.stage.mkdir()
        (home.stage / "vault.epoch").write_text('{"vault": "another", "epoch": 99}')
        if file:
            (home.stage / file).write_bytes(b"half")

        assert ready("vault", "list").code == 0

        assert not home.stage.exists()
        assert home.epoch.read_bytes() == known


def test_an_empty_folder_is_closed_to_others(seks: Seks, home: Home) -> None:
    home.root.mkdir(mode=0o755)

    result = seks("init")

    assert result.code == 0
    assert stat.S_IMODE(home.root.stat().st_mode) == 0o700


def test_a_folder_that_others_can_read_is_refused(seks: Seks, home: Home) -> None:
    """Something is in it already; who knows who relies on its mode."""
    home.root.mkdir(mode=0o755)
    home.root.chmod(0o755)
    (home.root / "notes.txt").write_text("mine")

    result = seks("init")

    assert result.code == 1
    assert "chmod 700" in result.err
    assert _everything(home.root) == {"notes.txt"}


def test_the_key_can_lie_elsewhere(seks: Seks, home: Home, tmp_path: Path) -> None:
    key_file = tmp_path / "keys" / "seks.key"
    key_file.parent.mkdir(mode=0o700)

    result = seks("init", "--key-file", str(key_file), "--json")

    assert result.json["key_file"] == str(key_file)
    assert not home.master_key.exists()
    assert seks("status", "--json").json["key_file"] == str(key_file)
    key_file.unlink()
    assert "is missing" in seks("vault", "list").err


def test_of_two_at_once_one_wins(home: Home) -> None:
    """They wait for each other, and the loser leaves the winner's home alone."""
    started = [
        subprocess.Popen(command("init"), env={**os.environ, **environment(home)}, stderr=subprocess.PIPE)
        for _ in range(3)
    ]

    codes = sorted([one.wait(60) for one in started if one.communicate(timeout=60)])

    assert codes == [0, 1, 1]
    with Vault.open(home) as vault, AuditLog(home.audit) as audit:
        assert [client.name for client in vault.clients.list()] == ["default"]
        assert audit.count() == 1


def start(home: Home, *words: str) -> subprocess.Popen[bytes]:
    env = {**os.environ, **environment(home)}
    return subprocess.Popen(command(*words), env=env, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)


def test_one_new_key_file_for_many(tmp_path: Path) -> None:
    """Whoever comes first makes it, the others take it: no vault's key is another one's by then."""
    homes = [Home(tmp_path / f"home-{number}") for number in range(4)]
    for one in homes[2:]:
        initialise(one, KeyFile(one.master_key))
    started = [
        *(start(one, "init", "--key-file", str(tmp_path / "key")) for one in homes[:2]),
        *(start(one, "vault", "rekey", "--key-file", str(tmp_path / "key")) for one in homes[2:]),
    ]

    for process in started:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors

    ids = set()
    for one in homes:
        with Vault.open(one) as vault:
            ids.add(vault.master_key_id)
    assert len(ids) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [*(one.root.name for one in homes), "key"]


def fail_when_told(root: Path, key_file: Path, pipe: Connection) -> None:
    """Make the key file and wait; then fail, and take it back."""

    def wait_and_fail(*_: object, **__: object) -> None:
        pipe.send(key_file.exists())
        pipe.recv()
        raise HomeError("the disk is full")

    AuditLog.admin = wait_and_fail  # type: ignore[method-assign]
    with pytest.raises(HomeError):
        initialise(Home(root), KeyFile(key_file))


def test_a_new_key_file_that_is_taken_back(home: Home, tmp_path: Path) -> None:
    """Nobody takes it for his until it is sure that it stays."""
    key_file = tmp_path / "key"
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    failing = context.Process(target=fail_when_told, args=(tmp_path / "other", key_file, theirs), daemon=True)
    failing.start()
    assert ours.recv() is True

    waiting = start(home, "init", "--key-file", str(key_file))
    with contextlib.suppress(subprocess.TimeoutExpired):
        # Long enough for one that doesn't wait.
        waiting.wait(4)
    ours.send("fail")
    failing.join(60)

    _, errors = waiting.communicate(timeout=60)
    assert (failing.exitcode, waiting.returncode) == (0, 0), errors
    with Vault.open(home) as vault:
        assert [client.name for client in vault.clients.list()] == ["default"]


def test_without_a_home_every_command_says_so(seks: Seks, home: Home) -> None:
    for words in (["status"], ["vault", "list"], ["audit", "tail"], ["ca", "path"], ["env"], ["run", "true"]):
        result = seks(*words)

        assert (result.code, result.out) == (1, ""), words
        assert "seks init" in result.err, words
    assert not home.root.exists()


def test_a_damaged_database_is_an_error_with_a_hint(ready: Seks, home: Home) -> None:
    home.vault.write_bytes(b"this is no database, " * 500)

    result = ready("vault", "list")

    assert result.code == 1
    assert "damaged" in result.err
    assert "Traceback" not in result.err


def test_a_database_error_is_a_failure(ready: Seks, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise DatabaseError("vault.db can't grow: the disk is full", hint="free some space")

    monkeypatch.setattr(Vault, "change", fail)

    result = ready("client", "add", "acme")

    assert result.code == 1
    assert result.err == "seks: error: vault.db can't grow: the disk is full\nseks: hint: free some space\n"
