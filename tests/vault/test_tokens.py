"""Tokens: each stands for one secret in the hands of one agent."""

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from seks_addon.errors import InputError, NotFoundError, VaultError
from seks_addon.home import Home
from seks_addon.policy import Policy
from seks_addon.policy.limits import Limits
from seks_addon.secret import Secret
from seks_addon.timing import now, timestamp
from seks_addon.tokens import is_token, new_token
from seks_addon.vault import Vault
from tests.samples import HOST, KEY, binding
from tests.vault.conftest import Tamper, Tenant

POLICY = Policy(("GET",), ("/v1",), limits=Limits(max_uses=1))
LATER = datetime(2099, 1, 1, tzinfo=UTC)


def test_issue(home: Home, vault: Vault, acme: Tenant) -> None:
    """A token is known by its text and its id, to every process, with all that was said of it."""
    token, text = vault.tokens.issue(acme.secret, acme.agent, policy=POLICY, expires=LATER)

    with Vault.open(home) as other:
        assert other.tokens.get(text) == other.tokens.get(token.id) == token
        assert other.tokens.text(token) == text
    assert is_token(text)
    assert text.startswith("seks_custom_")
    assert (token.policy, token.expires, token.state) == (POLICY, timestamp(LATER), "live")
    assert (token.secret, token.agent, token.client, token.env) == ("api", "robot", "acme", ("API_KEY",))


def test_label(vault: Vault, acme: Tenant) -> None:
    """A token carries its provider's name."""
    secret = vault.secrets.add(acme.client, "o", Secret(KEY), binding(), provider="openai")

    assert vault.tokens.issue(secret, acme.agent)[1].startswith("seks_openai_")


def test_resolve(vault: Vault, acme: Tenant) -> None:
    """A request's token leads to its secret, binding, policy and ends."""
    end = timestamp(LATER)
    secret = vault.secrets.add(acme.client, "ends", Secret(KEY), binding(policy=POLICY), provider="x", expires=end)
    token, text = vault.tokens.issue(secret, acme.agent, policy=POLICY, expires=LATER)

    grant = vault.tokens.resolve(text)

    assert grant is not None
    assert (grant.token_id, grant.agent_id, grant.secret_id) == (token.id, acme.agent.id, secret.id)
    assert (grant.secret, grant.provider, grant.client_id, grant.client) == ("ends", "x", acme.client.id, "acme")
    assert (grant.binding, grant.policy) == (binding(policy=POLICY), POLICY)
    assert (grant.expires, grant.secret_expires, grant.revoked) == (end, end, False)


def test_no_token_of_this_vault(vault: Vault, acme: Tenant) -> None:
    """Any other text stands for nothing."""
    for text in (new_token("custom"), "", acme.text[:-1], acme.text.upper(), acme.token.id, f"{acme.text} ", "%"):
        assert vault.tokens.resolve(text) is None


def test_unknown(vault: Vault) -> None:
    """A token that there isn't is named by its id only: what was typed may be a secret in the wrong place."""
    for typed, named in ((new_token("x"), "that token"), ("tok_none", "'tok_none'"), (KEY, "of that id")):
        with pytest.raises(NotFoundError, match=named) as caught:
            vault.tokens.get(typed)

        assert KEY not in str(caught.value)
        assert "seks_" not in str(caught.value)


def test_another_client_s_agent(vault: Vault, acme: Tenant, rival: Tenant) -> None:
    """A token isn't issued across clients."""
    with pytest.raises(NotFoundError):
        vault.tokens.issue(acme.secret, rival.agent)


@pytest.mark.parametrize(
    ("expires", "state"), [(None, "live"), (timedelta(hours=1), "live"), (timedelta(seconds=-1), "expired")]
)
def test_state(vault: Vault, acme: Tenant, expires: timedelta | None, state: str) -> None:
    """A token lives until its end or its revocation."""
    token, _ = vault.tokens.issue(acme.secret, acme.agent, expires=now() + expires if expires else None)

    assert token.state == state
    assert vault.tokens.revoke(token).state == "revoked"


def test_revoke(home: Home, vault: Vault, acme: Tenant, rival: Tenant) -> None:
    """A revocation holds at once for every process, for good, and for that token only."""
    _, second = vault.tokens.issue(acme.secret, acme.agent)
    with Vault.open(home) as other:
        assert not revoked_in(other, acme.text)

        revoked = vault.tokens.revoke(acme.token)

        assert revoked_in(other, acme.text)
        assert not revoked_in(other, second)
        assert not revoked_in(other, rival.text)
    assert revoked.revoked
    assert vault.tokens.get(acme.token.id) == revoked == replace(acme.token, revoked=revoked.revoked)
    assert vault.tokens.revoke(acme.token) == revoked


def revoked_in(vault: Vault, text: str) -> bool:
    grant = vault.tokens.resolve(text)
    assert grant is not None
    return grant.revoked


def test_revoke_what_is_gone(vault: Vault, acme: Tenant) -> None:
    """Revoking a token that was removed meanwhile is no error."""
    vault.secrets.remove(acme.client, "api")

    assert vault.tokens.revoke(acme.token) == acme.token
    with pytest.raises(NotFoundError):
        vault.tokens.text(acme.token)


def test_regenerate(vault: Vault, acme: Tenant) -> None:
    """The old token ends, the new one stands for the same under the same limits."""
    old, old_text = vault.tokens.issue(acme.secret, acme.agent, policy=POLICY, expires=LATER)

    new, new_text = vault.tokens.regenerate(old, acme.secret, acme.agent)

    assert revoked_in(vault, old_text)
    assert not revoked_in(vault, new_text)
    assert new_text != old_text
    assert replace(new, id=old.id, created=old.created) == old
    assert vault.tokens.get(new_text) == new


def test_regenerate_is_one_change(vault: Vault, acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no new token can be made, the old one stays good."""

    def fail(*_: object, **__: object) -> None:
        raise VaultError("half way")

    monkeypatch.setattr(vault.tokens, "issue", fail)

    with pytest.raises(VaultError, match="half way"):
        vault.tokens.regenerate(acme.token, acme.secret, acme.agent)

    assert not revoked_in(vault, acme.text)


def test_list(vault: Vault, acme: Tenant, rival: Tenant) -> None:
    """Tokens are listed by agent, secret or client, the oldest first."""
    agent, _ = vault.agents.add(acme.client, "second")
    second, _ = vault.tokens.issue(acme.secret, agent)

    assert vault.tokens.list(client_id=acme.client.id) == [acme.token, second]
    assert vault.tokens.list(agent=agent) == [second]
    assert vault.tokens.list(secret=acme.secret) == [acme.token, second]
    assert vault.tokens.list(agent=agent, secret=rival.secret) == []
    assert {token.id for token in vault.tokens.list()} == {acme.token.id, second.id, rival.token.id}


def test_to_json(acme: Tenant) -> None:
    """What is printed of a token doesn't hold its text."""
    shown = acme.token.to_json()

    assert acme.text not in json.dumps(shown)
    assert acme.text not in str(acme.token)
    assert (shown["id"], shown["state"]) == (acme.token.id, "live")


def assert_refused(vault: Vault, acme: Tenant) -> None:
    """No way to the token works any more."""
    with pytest.raises(VaultError) as caught:
        vault.tokens.resolve(acme.text)
    assert acme.text not in str(caught.value)
    assert caught.value.hint
    with pytest.raises(VaultError):
        vault.tokens.get(acme.token.id)
    with pytest.raises(VaultError):
        vault.tokens.list()
    with pytest.raises(VaultError):
        vault.tokens.revoke(acme.token)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("policy", "{}"),
        ("policy", '{"max_uses":1, "methods":["GET"],"path_prefixes":["/v1"]}'),
        ("policy", '{"methods":["GET"],"path_prefixes":["/v1"]}'),
        ("policy", '{"methods":["DELETE"],"path_prefixes":["/v1"]}'),
        ("policy", '{"max_uses":2,"methods":["GET"],"path_prefixes":["/v1"]}'),
        ("policy", '{"max_uses":1,"methods":["GET"],"path_prefixes":["/v1"],"rate":"1/s"}'),
        ("policy", "no JSON"),
        ("expires", None),
        ("expires", "2100-01-01T00:00:00.000000Z"),
        ("expires", ""),
        ("revoked", "2020-01-01T00:00:00.000000Z"),
        ("mac", b""),
        ("mac", bytes(32)),
    ],
)
def test_edited_token(vault: Vault, acme: Tenant, tamper: Tamper, column: str, value: Any) -> None:
    """A token's limits can't be widened, put off or taken away in the database."""
    token, text = vault.tokens.issue(acme.secret, acme.agent, policy=POLICY, expires=LATER)
    tamper(f"UPDATE tokens SET {column} = ? WHERE id = ?", value, token.id)

    assert_refused(vault, replace(acme, token=token, text=text))


def test_hosts_of_the_secret_only(vault: Vault, acme: Tenant) -> None:
    """A token is narrowed to hosts that its secret is bound to, with their ports."""
    for host in ("api.other.example", f"{HOST}:8443"):
        with pytest.raises(InputError, match=f"not bound to {host}") as caught:
            vault.tokens.issue(acme.secret, acme.agent, policy=Policy.parse(hosts=[HOST, host]))
        assert HOST in (caught.value.hint or "")

    _, text = vault.tokens.issue(acme.secret, acme.agent, policy=Policy.parse(hosts=[HOST]))
    grant = vault.tokens.resolve(text)
    assert grant is not None
    assert grant.policy.hosts == (HOST,)


def test_unrevoked_token(vault: Vault, acme: Tenant, tamper: Tamper) -> None:
    """A revocation can't be taken back in the database."""
    vault.tokens.revoke(acme.token)
    tamper("UPDATE tokens SET revoked = NULL")

    with pytest.raises(VaultError):
        vault.tokens.resolve(acme.text)
    with pytest.raises(VaultError):
        vault.tokens.get(acme.text)


def test_given_to_another_agent(vault: Vault, acme: Tenant, tamper: Tamper) -> None:
    """A token can't change hands."""
    agent, _ = vault.agents.add(acme.client, "second")
    tamper("UPDATE tokens SET agent_id = ?", agent.id)

    assert_refused(vault, acme)
    with pytest.raises(VaultError):
        vault.tokens.text(replace(acme.token, agent_id=agent.id))


def test_pointed_at_another_secret(vault: Vault, acme: Tenant, rival: Tenant, tamper: Tamper) -> None:
    """A token can't be made to stand for another secret, of its client or of another."""
    second = vault.secrets.add(acme.client, "second", Secret(KEY), binding())

    for secret in (second, rival.secret):
        tamper("UPDATE tokens SET secret_id = ? WHERE id = ?", secret.id, acme.token.id)

        assert_refused(vault, acme)


def test_another_token_s_lookup(vault: Vault, acme: Tenant, rival: Tenant, tamper: Tamper) -> None:
    """One token's text can't be made to open what another stands for."""
    tamper("DELETE FROM tokens WHERE id = ?", rival.token.id)
    tamper("UPDATE tokens SET lookup = ?", vault.lookup(rival.text))

    with pytest.raises(VaultError):
        vault.tokens.resolve(rival.text)


def test_another_token_s_text(vault: Vault, acme: Tenant, tamper: Tamper) -> None:
    """A text that was copied from another token's row doesn't open."""
    second, _ = vault.tokens.issue(acme.secret, acme.agent)
    tamper("UPDATE tokens SET token = (SELECT token FROM tokens WHERE id = ?)", acme.token.id)

    with pytest.raises(VaultError):
        vault.tokens.text(second)


@pytest.mark.parametrize(
    ("column", "value"),
    [("name", "other"), ("provider", "openai"), ("expires", "2100-01-01T00:00:00.000000Z"), ("mac", bytes(32))],
)
def test_secret_that_was_edited(vault: Vault, acme: Tenant, tamper: Tamper, column: str, value: Any) -> None:
    """On the way of a request the secret's row is checked too."""
    tamper(f"UPDATE secrets SET {column} = ?", value)

    with pytest.raises(VaultError):
        vault.tokens.resolve(acme.text)


def test_lookup_is_keyed(vault: Vault, acme: Tenant) -> None:
    """The database alone can't confirm a guess: what is stored isn't a plain hash."""
    [row] = vault.rows("SELECT lookup FROM tokens")

    assert len(row["lookup"]) == 32
    for algorithm in ("sha256", "blake2s", "sha3_256"):
        assert row["lookup"] != hashlib.new(algorithm, acme.text.encode()).digest()
