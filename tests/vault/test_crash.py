"""Commands as processes of their own, killed on the way: the vault is as it was before, or as it is after.

`SEKS_CRASHES=N` kills each command at N chosen instants and N random ones instead of the few of a usual run;
`SEKS_CRASHES=all` at every instant that there is.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from seks_addon.audit import AuditLog
from seks_addon.home import Home
from seks_addon.secret import Secret
from seks_addon.vault import Vault
from seks_addon.vault.backup import backup
from seks_addon.vault.check import check
from seks_addon.vault.keysource import KeyFile
from seks_addon.vault.rotation import rekey
from seks_cli.init import initialise
from tests.samples import KEY, OTHER_KEY, binding, files_with

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
WANTED = os.environ.get("SEKS_CRASHES", "")
INSTANTS = 10**6 if WANTED == "all" else int(WANTED or 3)
RANDOM = 30 if WANTED == "all" else int(WANTED or 1)
PATIENCE = 60.0
NEW_KEY = "sk-test-not-a-real-key-2222222222222222"
KEYS = (KEY, OTHER_KEY, NEW_KEY)
SECRETS = ("first", "second", "third", "fourth")

#: Where a command is most likely to be cut in two; a usual run takes all others last.
WEIGHTY = ("COMMIT", "copy", "link", "rename", "replace", "VACUUM", "PRAGMA")

type State = dict[str, Any] | None


@dataclass(frozen=True)
class Prepared:
    """A home, what is in it and beside it, and the same after each command."""

    folder: Path
    token_id: str
    keys: frozenset[bytes]
    tokens: frozenset[str]


@dataclass(frozen=True)
class Act:
    """A command line. `again` is what the same one says when it is run after its change was made already."""

    words: str
    stdin: str = ""
    again: int = 0
    before: Callable[[Path], object] = lambda _: None


def _lose_vault(folder: Path) -> None:
    for path in folder.glob("home/vault.db*"):
        path.unlink()


def _spoil_vault(folder: Path) -> None:
    _lose_vault(folder)
    vault = folder / "home/vault.db"
    vault.touch(0o600)
    vault.write_bytes(b"this is no database, " * 500)


def _other_vault_lost(folder: Path) -> None:
    _lose_vault(folder)
    (folder / "home/vault.epoch").write_text('{"vault": "another", "epoch": 99}')


def _rekeyed(folder: Path) -> None:
    home = Home(folder / "home")
    home.master_key.rename(folder / "kept.key")
    home.key_location.write_text(f'kind = "keyfile"\npath = "{folder}/kept.key"\n')
    with Vault.open(home) as vault:
        rekey(vault, KeyFile(folder / "new.key"))


def _lose_home(folder: Path) -> None:
    shutil.rmtree(folder / "home")


ACTS = {
    "init": Act("init", again=1, before=_lose_home),
    "add": Act("vault add fresh --host api.example.com --placement bearer --stdin", NEW_KEY, again=1),
    "rotate": Act("vault rotate first --stdin", NEW_KEY),
    "remove": Act("vault remove first", again=1),
    "issue": Act("token issue first"),
    "revoke": Act("token revoke {token}"),
    "regenerate": Act("token regenerate {token}", again=1),
    "add a client": Act("client add acme", again=1),
    "disable an agent": Act("agent disable default"),
    "rekey": Act("vault rekey"),
    "rekey to a file elsewhere": Act("vault rekey --key-file {folder}/other.key", again=1),
    "reencrypt": Act("vault reencrypt"),
    "destroy": Act("vault destroy --yes"),
    "backup": Act("vault backup {folder}/copy", again=1),
    "restore": Act("vault restore {folder}/older --accept-older"),
    "restore a lost one": Act("vault restore {folder}/older --accept-older", before=_lose_vault),
    "init from a backup": Act("init --from-backup {folder}/newest", again=1, before=_lose_vault),
    "init from another's backup": Act("init --from-backup {folder}/newest", again=1, before=_other_vault_lost),
    "restore from before a rekey": Act(
        "vault restore {folder}/older --accept-older --key-file {folder}/kept.key", before=_rekeyed
    ),
    "restore a damaged one": Act("vault restore {folder}/older --accept-older", before=_spoil_vault),
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """A home with a few secrets and tokens, and a backup from before the last of them."""
    folder = tmp_path_factory.mktemp("crash")
    home = Home(folder / "home")
    initialise(home, KeyFile(home.master_key))
    with Vault.open(home) as vault:
        client = vault.clients.get("default")
        agent = vault.agents.get(client, "default")
        with vault.change():
            made = [vault.secrets.add(client, name, Secret(KEY), binding()) for name in SECRETS]
            tokens = [vault.tokens.issue(secret, agent) for secret in made]
        backup(vault, folder / "older", lambda *_: None)
        with vault.change():
            vault.secrets.rotate(client, "second", Secret(OTHER_KEY))
            vault.tokens.revoke(tokens[1][0])
        backup(vault, folder / "newest", lambda *_: None)
        return Prepared(folder, tokens[2][0].id, _keys(vault), frozenset(text for _, text in tokens))


def _keys(vault: Vault) -> frozenset[bytes]:
    """The ids of the master key and the data keys."""
    return frozenset({vault.master_key_id, *_data_keys(vault)})


def _data_keys(vault: Vault) -> list[bytes]:
    return [vault.clients.key(client.id).id for client in vault.clients.list()]


# What a home is like.


def state(prepared: Prepared, folder: Path) -> State:
    """All that is in a home, whole and in order, or None where no vault is left; fails for anything in between."""
    home = Home(folder / "home")
    if not home.vault.exists() or not home.vault.read_bytes().startswith(b"SQLite format 3\0"):
        return None
    with AuditLog(home.audit) as audit:
        assert audit.verify().intact
    copy = folder / "copy"
    with Vault.open(home) as vault:
        assert check(vault, lambda *_: None) == []
        found = contents(prepared, vault)
    if copy.exists():
        with Vault.open(home, path=copy, accept_older=True) as vault:
            assert check(vault, lambda *_: None) == []
            found["copy"] = contents(prepared, vault)
    return found


def contents(prepared: Prepared, vault: Vault) -> dict[str, Any]:
    """What is in a vault; a key or a token that wasn't there at first is only `new`, as it is another in each run."""
    live = {
        (token.secret, text if (text := vault.tokens.text(token)) in prepared.tokens else "new", token.state)
        for token in vault.tokens.list()
    }
    values = {s.name: (vault.secrets.reveal(s.id, s.client_id).reveal(), s.version) for s in vault.secrets.list()}
    for token in vault.tokens.list():
        grant = vault.tokens.resolve(vault.tokens.text(token))
        assert grant is not None
        assert grant.secret_id == token.secret_id
    names = {"old" if key in prepared.keys else "new" for key in _data_keys(vault)}
    master = "old" if vault.master_key_id in prepared.keys else "new"
    agents = {(agent.client, agent.name, agent.enabled) for agent in vault.agents.list()}
    return {"tokens": live, "values": values, "data keys": names, "master key": master, "agents": agents}


# Commands that die.


class Stage:
    """Runs one command in copies of the prepared home."""

    def __init__(self, prepared: Prepared, act: Act, folder: Path) -> None:
        self.prepared = prepared
        self.act = act
        self._folder = folder
        self.old = state(prepared, self.copy("old"))
        self.instants, self.seconds, self.new = self._whole()

    def copy(self, name: str) -> Path:
        """A folder as the command finds it."""
        folder = self._folder / name
        shutil.copytree(self.prepared.folder, folder)
        self.act.before(folder)
        return folder

    def start(self, folder: Path, *prefix: str) -> subprocess.Popen[bytes]:
        words = [word.format(folder=folder, token=self.prepared.token_id) for word in self.act.words.split()]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SEKS_")}
        path = os.pathsep.join((str(ROOT), str(ROOT / "cli")))
        process = subprocess.Popen(
            [sys.executable, "-m", *(prefix or ("seks_cli.main",)), "--home", str(folder / "home"), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**kept, "PYTHONPATH": path},
        )
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(self.act.stdin.encode())
            process.stdin.close()
        process.stdin = None
        return process

    def killed_at(self, number: int) -> bool:
        """Kill it at an instant; tells whether the change was made."""
        folder = self.copy(f"at-{number}")
        process = self.start(folder, "tests.support.dying", str(number), str(folder / "instants"))
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == -signal.SIGKILL, errors
        return self.judge(
            folder, f"killed {self.instants[number - 1]}, instant {number}", again=bool(WANTED or number % 2)
        )

    def killed_after(self, seconds: float) -> bool:
        """Kill it after a time, by which it may have ended."""
        folder = self.copy(f"after-{seconds}")
        process = self.start(folder)
        time.sleep(seconds)
        process.kill()
        process.communicate(timeout=PATIENCE)
        changed = self.judge(folder, f"killed after {seconds:.4f} s", again=bool(WANTED))
        assert changed or process.returncode != 0, "it said that it was done"
        return changed

    def judge(self, folder: Path, when: str, *, again: bool = True) -> bool:
        """Look at what a killed command left, and run it `again`; tells whether the change was made."""
        found = state(self.prepared, folder)
        assert found in (self.old, self.new), f"{when}: neither the old state nor the new one: {found}"
        assert files_with(folder, KEYS) == [], f"{when}: a credential lies in a file"
        changed = found == self.new and self.old != self.new
        if not again:
            shutil.rmtree(folder)
            return changed
        process = self.start(folder)
        _, errors = process.communicate(timeout=PATIENCE)
        # What has no second state (a restore of what is there) is as good as not done.
        expected = self.act.again if changed else 0
        assert process.returncode == expected, f"{when}, then run again: {errors.decode()}"
        final = state(self.prepared, folder)
        assert final is not None
        assert self.new is not None
        # The version of a secret that is rotated twice is another.
        final["values"], wanted = {n: v for n, (v, _) in final["values"].items()}, {**self.new}
        wanted["values"] = {n: v for n, (v, _) in wanted["values"].items()}
        assert final == wanted, f"{when}, then run again"
        shutil.rmtree(folder)
        return changed

    def _whole(self) -> tuple[list[str], float, State]:
        folder = self.copy("whole")
        began = time.monotonic()
        process = self.start(folder, "tests.support.dying", "0", str(folder / "instants"))
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors.decode()
        seconds = time.monotonic() - began
        return (folder / "instants").read_text().splitlines(), seconds, state(self.prepared, folder)


@pytest.fixture(scope="module", params=ACTS)
def stage(request: pytest.FixtureRequest, prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """One of the commands."""
    return Stage(prepared, ACTS[request.param], tmp_path_factory.mktemp("stage"))


def chosen(instants: Sequence[str]) -> list[int]:
    """Numbers of instants: the weighty ones first, evenly spread where there are too many."""
    numbers = list(range(1, len(instants) + 1))
    weighty = [number for number in numbers if instants[number - 1].endswith(WEIGHTY)]
    others = [number for number in numbers if number not in weighty]
    return sorted([*_spread(weighty, INSTANTS), *_spread(others, INSTANTS - len(weighty))])


def _spread(numbers: Sequence[int], count: int) -> Iterator[int]:
    count = max(0, min(count, len(numbers)))
    # The last ones are where the change is made: they are always among them.
    return (numbers[-1 - index * len(numbers) // count] for index in range(count))


def test_killed_at_chosen_instants(stage: Stage) -> None:
    """At whatever step it is killed, the change is made or not, and once it is made it stays made."""
    numbers = chosen(stage.instants)

    with ThreadPoolExecutor() as pool:
        changed = list(pool.map(stage.killed_at, numbers))

    assert changed == sorted(changed), [(n, stage.instants[n - 1], c) for n, c in zip(numbers, changed, strict=True)]


def test_killed_at_any_time(stage: Stage) -> None:
    """At whatever time it is killed, the change is made or not."""
    # Seeded: a failure can be looked at again. Most of a command's time goes into its start.
    times = [random.Random(number).uniform(0.3, 1.1) * stage.seconds for number in range(RANDOM)]

    with ThreadPoolExecutor() as pool:
        list(pool.map(stage.killed_after, times))
