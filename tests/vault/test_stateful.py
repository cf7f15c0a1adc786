"""Random sequences of changes against a plain model, with a second vault that looks on."""

import contextlib
import itertools
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from seks_addon.errors import ExistsError, NotFoundError, VaultError
from seks_addon.home import Home
from seks_addon.secret import Secret
from seks_addon.vault import Agent, Client, StoredSecret, Vault, rotation
from seks_addon.vault.backup import backup, restore
from seks_addon.vault.check import check
from seks_addon.vault.envelope import Key
from seks_addon.vault.keysource import KeyFile
from tests.samples import binding

pytestmark = pytest.mark.slow

#: Few names, so that they meet.
NAMES = st.sampled_from(("alpha", "beta", "gamma"))


@dataclass
class Holder:
    """A client of the model: values by secret, whether an agent is let in, and tokens."""

    secrets: dict[str, str] = field(default_factory=dict)
    agents: dict[str, bool] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)


@dataclass
class Told:
    """A token of the model."""

    client: str
    secret: str
    agent: str
    live: bool = True


@dataclass
class Model:
    """What the vault should hold."""

    clients: dict[str, Holder] = field(default_factory=dict)
    tokens: dict[str, Told] = field(default_factory=dict)

    def copy(self) -> "Model":
        return Model(
            {n: Holder({**h.secrets}, {**h.agents}, {**h.passwords}) for n, h in self.clients.items()},
            {text: Told(t.client, t.secret, t.agent, t.live) for text, t in self.tokens.items()},
        )


class Machine(RuleBasedStateMachine):
    """The vault, its observer, the model, and backups with the models of their time."""

    backups = Bundle("backups")

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="seks-stateful-"))
        self.home = Home(self.folder / "home")
        self.home.create()
        self.vault = Vault.create(self.home)
        self.observer = Vault.open(self.home)
        self.model = Model()
        self.gone: set[str] = set()
        self.numbers = itertools.count()
        for name in ("alpha", "beta"):
            self.add_client(name)
            self.add_agent(name, "alpha")
            self.add_secret(name, "alpha")

    def teardown(self) -> None:
        if hasattr(self, "vault"):
            self.vault.close()
            self.observer.close()
            shutil.rmtree(self.folder)

    # Clients and agents.

    @rule(name=NAMES)
    def add_client(self, name: str) -> None:
        if name in self.model.clients:
            with pytest.raises(ExistsError):
                self.vault.clients.add(name)
            return
        self.vault.clients.add(name)
        self.model.clients[name] = Holder()

    @rule(name=st.just("gamma"))
    def remove_client(self, name: str) -> None:
        if name not in self.model.clients:
            with pytest.raises(NotFoundError):
                self.vault.clients.remove(name)
            return
        self.vault.clients.remove(name)
        del self.model.clients[name]
        self.forget(lambda told: told.client == name)

    @rule(client=NAMES, name=NAMES)
    def add_agent(self, client: str, name: str) -> None:
        if (holder := self.model.clients.get(client)) is None:
            return
        if name in holder.agents:
            with pytest.raises(ExistsError):
                self.vault.agents.add(self.client(client), name)
            return
        _, holder.passwords[name] = self.vault.agents.add(self.client(client), name)
        holder.agents[name] = True

    @rule(client=NAMES, name=NAMES, enabled=st.booleans())
    def set_enabled(self, client: str, name: str, enabled: bool) -> None:
        if name in self.agents(client):
            self.vault.agents.set_enabled(self.client(client), name, enabled)
            self.model.clients[client].agents[name] = enabled

    @rule(client=NAMES, name=NAMES)
    def remove_agent(self, client: str, name: str) -> None:
        if name in self.agents(client):
            self.vault.agents.remove(self.client(client), name)
            holder = self.model.clients[client]
            del holder.agents[name], holder.passwords[name]
            self.forget(lambda told: (told.client, told.agent) == (client, name))

    # Secrets.

    @rule(client=NAMES, name=NAMES)
    def add_secret(self, client: str, name: str) -> None:
        if (holder := self.model.clients.get(client)) is None:
            return
        value = self.value()
        if name in holder.secrets:
            with pytest.raises(ExistsError):
                self.vault.secrets.add(self.client(client), name, Secret(value), binding())
            return
        self.vault.secrets.add(self.client(client), name, Secret(value), binding())
        holder.secrets[name] = value

    @rule(client=NAMES, name=NAMES)
    def rotate(self, client: str, name: str) -> None:
        if name in self.secrets(client):
            value = self.value()
            self.vault.secrets.rotate(self.client(client), name, Secret(value))
            self.model.clients[client].secrets[name] = value

    @rule(client=NAMES, name=NAMES)
    def remove_secret(self, client: str, name: str) -> None:
        if name in self.secrets(client):
            self.vault.secrets.remove(self.client(client), name)
            del self.model.clients[client].secrets[name]
            self.forget(lambda told: (told.client, told.secret) == (client, name))

    # Tokens.

    @rule(data=st.data())
    def issue(self, data: st.DataObject) -> None:
        pairs = [(c, s, a) for c, holder in self.model.clients.items() for s in holder.secrets for a in holder.agents]
        if pairs:
            client, secret, agent = data.draw(st.sampled_from(sorted(pairs)))
            _, text = self.vault.tokens.issue(self.secret(client, secret), self.agent(client, agent))
            self.model.tokens[text] = Told(client, secret, agent)

    @rule(secret=NAMES, agent=NAMES)
    def issue_across_clients(self, secret: str, agent: str) -> None:
        """Nobody gets a token for another client's secret."""
        if secret in self.secrets("alpha") and agent in self.agents("beta"):
            with pytest.raises(NotFoundError):
                self.vault.tokens.issue(self.secret("alpha", secret), self.agent("beta", agent))

    @precondition(lambda self: self.model.tokens)
    @rule(data=st.data())
    def revoke(self, data: st.DataObject) -> None:
        text = data.draw(st.sampled_from(list(self.model.tokens)))
        self.vault.tokens.revoke(self.vault.tokens.get(text))
        self.model.tokens[text].live = False

    @precondition(lambda self: any(told.live for told in self.model.tokens.values()))
    @rule(data=st.data())
    def regenerate(self, data: st.DataObject) -> None:
        text = data.draw(st.sampled_from([text for text, told in self.model.tokens.items() if told.live]))
        old = self.model.tokens[text]
        token = self.vault.tokens.get(text)
        secret, agent = self.secret(old.client, old.secret), self.agent(old.client, old.agent)
        _, new = self.vault.tokens.regenerate(token, secret, agent)
        old.live = False
        self.model.tokens[new] = Told(old.client, old.secret, old.agent)

    # Keys, copies, other processes.

    @rule()
    def rekey(self) -> None:
        before = self.vault.master_key_id
        rotation.rekey(self.vault, KeyFile(self.home.master_key, replaces=True))
        assert self.vault.master_key_id != before

    @rule()
    def reencrypt(self) -> None:
        before = {client.id: self.vault.clients.key(client.id).material for client in self.vault.clients.list()}
        rotation.reencrypt(self.vault, lambda *_: None)
        after = {client.id: self.vault.clients.key(client.id).material for client in self.vault.clients.list()}
        assert before.keys() == after.keys()
        assert not set(before.values()) & set(after.values())

    @rule(target=backups)
    def back_up(self) -> Any:
        file = self.folder / f"backup-{next(self.numbers)}"
        backup(self.vault, file, lambda *_: None)
        return file, self.vault.epoch, self.vault.master_key_id, self.model.copy()

    @rule(target=backups, taken=consumes(backups))
    def restore(self, taken: Any) -> Any:
        file, epoch, master_key_id, model = taken
        if master_key_id != self.vault.master_key_id:
            with pytest.raises(VaultError, match="not this vault's"):
                self.put_back(file, accept_older=True)
            return multiple()
        if epoch < self.vault.epoch:
            with pytest.raises(VaultError, match="older than"):
                self.put_back(file, accept_older=False)
        before = self.vault.epoch
        assert self.put_back(file, accept_older=True) > before
        self.gone |= self.model.tokens.keys() - model.tokens.keys()
        self.gone -= model.tokens.keys()
        self.model = model.copy()
        return taken

    def put_back(self, file: Path, *, accept_older: bool) -> int:
        number = restore(self.home, file, ask=None, accept_older=accept_older, progress=lambda *_: None)
        self.vault.refresh()
        return number

    @rule()
    def reopen(self) -> None:
        self.vault.close()
        self.vault = Vault.open(self.home)

    @rule()
    def change_places(self) -> None:
        """The observer makes the next changes."""
        self.observer.refresh()
        self.vault, self.observer = self.observer, self.vault

    @rule()
    def fail_within_a_change(self) -> None:
        """What is given up leaves nothing behind."""
        with contextlib.suppress(ZeroDivisionError), self.vault.change():
            self.vault.clients.add("delta")
            self.vault.replace_vault_key(Key.generate())
            raise ZeroDivisionError

    # What always holds.

    @invariant()
    def all_is_as_the_model_says(self) -> None:
        if not hasattr(self, "vault"):
            return
        self.observer.refresh()
        for vault in (self.vault, self.observer):
            assert {client.name for client in vault.clients.list()} == self.model.clients.keys()
            assert {s: self.reveal(vault, s) for s in self.stored(vault)} == {
                (client, name): value
                for client, holder in self.model.clients.items()
                for name, value in holder.secrets.items()
            }
            for client, holder in self.model.clients.items():
                owner = vault.clients.get(client)
                assert {agent.name: agent.enabled for agent in vault.agents.list(owner)} == holder.agents
                for name, password in holder.passwords.items():
                    agent = vault.agents.authenticate(f"{client}/{name}", password)
                    assert agent is not None
                    assert (agent.client, agent.name) == (client, name)
                    assert vault.agents.authenticate(f"{client}/{name}", password[:-1]) is None

    @invariant()
    def tokens_stand_for_their_secrets(self) -> None:
        if not hasattr(self, "vault"):
            return
        self.observer.refresh()
        for vault in (self.vault, self.observer):
            assert len(vault.tokens.list()) == len(self.model.tokens)
            for text, told in self.model.tokens.items():
                grant = vault.tokens.resolve(text)
                assert grant is not None
                assert (grant.client, grant.secret, grant.revoked) == (told.client, told.secret, not told.live)
                value = vault.secrets.reveal(grant.secret_id, grant.client_id).reveal()
                assert value == self.model.clients[told.client].secrets[told.secret]
                assert vault.agents.require(grant.agent_id).name == told.agent
                for other in self.model.clients.keys() - {told.client}:
                    with pytest.raises(VaultError):
                        vault.secrets.reveal(grant.secret_id, vault.clients.get(other).id)
            for text in self.gone:
                assert vault.tokens.resolve(text) is None

    @invariant()
    def nothing_is_wrong(self) -> None:
        if hasattr(self, "vault"):
            assert check(self.vault, lambda *_: None) == []

    # Shorthands.

    def value(self) -> str:
        return f"sk-test-not-a-real-key-{next(self.numbers):016}"

    def client(self, name: str) -> Client:
        return self.vault.clients.get(name)

    def agent(self, client: str, name: str) -> Agent:
        return self.vault.agents.get(self.client(client), name)

    def secret(self, client: str, name: str) -> StoredSecret:
        return self.vault.secrets.get(self.client(client), name)

    def agents(self, client: str) -> dict[str, bool]:
        holder = self.model.clients.get(client)
        return holder.agents if holder else {}

    def secrets(self, client: str) -> dict[str, str]:
        holder = self.model.clients.get(client)
        return holder.secrets if holder else {}

    def stored(self, vault: Vault) -> dict[tuple[str, str], StoredSecret]:
        return {(secret.client, secret.name): secret for secret in vault.secrets.list()}

    def reveal(self, vault: Vault, name: tuple[str, str]) -> str:
        secret = self.stored(vault)[name]
        return vault.secrets.reveal(secret.id, secret.client_id).reveal()

    def forget(self, lost: Any) -> None:
        """Take tokens out of the model."""
        texts = {text for text, told in self.model.tokens.items() if lost(told)}
        for text in texts:
            del self.model.tokens[text]
        self.gone |= texts


TestVault = Machine.TestCase
TestVault.settings = settings(max_examples=12, stateful_step_count=25, deadline=None)
