"""A vault with two tenants, each with an agent, a secret and a token; and a hand that changes rows behind its back."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from seks_addon.errors import SeksError
from seks_addon.home import Home
from seks_addon.secret import Secret
from seks_addon.vault import Agent, Client, StoredSecret, Token, Vault, backup, check
from tests.samples import KEY, OTHER_KEY, binding, new_home

#: Runs statements on the vault's file, past the library; gives the number of rows that changed.
type Tamper = Callable[..., int]


@dataclass(frozen=True)
class Tenant:
    """A client and what it owns."""

    client: Client
    agent: Agent
    password: str
    secret: StoredSecret
    key: str
    token: Token
    text: str


def tenant(vault: Vault, name: str, key: str) -> Tenant:
    with vault.change():
        client = vault.clients.add(name)
        agent, password = vault.agents.add(client, "robot")
        secret = vault.secrets.add(client, "api", Secret(key), binding(), env=("API_KEY",))
        token, text = vault.tokens.issue(secret, agent)
    return Tenant(client, agent, password, secret, key, token, text)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return new_home(tmp_path)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with an empty vault: copying it is quicker than making one."""
    made = new_home(tmp_path_factory.mktemp("template"))
    Vault.create(made).close()
    return made


@pytest.fixture
def vault(home: Home, template: Home) -> Iterator[Vault]:
    """An empty vault."""
    shutil.copytree(template.root, home.root, dirs_exist_ok=True)
    with Vault.open(home) as opened:
        yield opened


@pytest.fixture
def acme(vault: Vault) -> Tenant:
    return tenant(vault, "acme", KEY)


@pytest.fixture
def rival(vault: Vault) -> Tenant:
    return tenant(vault, "rival", OTHER_KEY)


@pytest.fixture
def tamper(home: Home) -> Tamper:
    def run(sql: str, *parameters: Any) -> int:
        with closing(sqlite3.connect(home.vault)) as connection, connection:
            changed = connection.execute(sql, parameters).rowcount
        assert changed, f"nothing was changed by {sql}"
        return changed

    return run


@pytest.fixture
def keyring_store(tmp_path: Path) -> Iterator[None]:
    """A keyring in a file of this test: the backend of `keyrings.alt` behind the real `keyring` library."""
    keyring = pytest.importorskip("keyring")
    backends = pytest.importorskip("keyrings.alt.file")
    before = keyring.get_keyring()
    backend = backends.PlaintextKeyring()
    backend.file_path = str(tmp_path / "keyring.cfg")
    keyring.set_keyring(backend)
    yield
    keyring.set_keyring(before)


def no_progress(done: int, total: int) -> None:
    pass


def assert_same(vault: Vault, *owners: Tenant) -> None:
    """All that the tenants own is as it was, and can be read."""
    for owner in owners:
        assert vault.secrets.reveal(owner.secret.id, owner.client.id).reveal() == owner.key
        assert vault.secrets.get(owner.client, "api") == owner.secret
        assert vault.tokens.get(owner.text) == owner.token
        assert vault.tokens.text(owner.token) == owner.text
        assert vault.agents.authenticate(owner.agent.user, owner.password) == owner.agent
    assert check.check(vault, no_progress) == []


def fail(*_: object, **__: object) -> Any:
    raise SeksError("half way")


@pytest.fixture
def copy(vault: Vault, acme: Tenant, tmp_path: Path) -> Path:
    """A backup of a vault with one tenant."""
    target = tmp_path / "copy.db"
    backup.backup(vault, target, no_progress)
    return target
