"""`seks token`: issuing, and taking back."""

from collections.abc import Callable

import pytest

from seks_addon.tokens import is_token
from tests.cli.conftest import Seks, acts
from tests.samples import KEY


@pytest.fixture
def stored(ready: Seks, add: Callable[..., str]) -> Seks:
    """A home with a secret and no token."""
    add("openai", KEY, "--no-token")
    return ready


def _issue(seks: Seks, *words: str) -> str:
    return seks("token", "issue", "openai", *words).last


def test_issue(stored: Seks) -> None:
    result = stored("token", "issue", "openai", "--method", "GET", "--path-prefix", "/v1", "--expires", "1h", "--json")

    assert is_token(result.json["token"])
    shown = stored("token", "show", result.json["token_id"], "--json").json
    assert shown["policy"] == {"methods": ["GET"], "path_prefixes": ["/v1"]}
    assert shown["expires"]
    assert shown["state"] == "live"
    assert acts(stored)[-1] == "token.issue"


def test_the_token_is_the_last_line(stored: Seks) -> None:
    assert is_token(_issue(stored))


def test_list_can_be_narrowed(stored: Seks) -> None:
    stored("agent", "add", "bob")
    _issue(stored)
    _issue(stored, "--agent", "bob")

    agents = [token["agent"] for token in stored("token", "list", "--json").json]
    of_bob = [token["agent"] for token in stored("token", "list", "--agent", "bob", "--json").json]
    of_openai = stored("token", "list", "--secret", "openai", "--client", "default", "--json").json

    assert agents == ["default", "bob"]
    assert of_bob == ["bob"]
    assert len(of_openai) == 2


def test_revoke_by_id_or_by_the_token_itself(stored: Seks) -> None:
    first, second = _issue(stored), _issue(stored)
    first_id = stored("token", "show", first, "--json").json["id"]

    by_id = stored("token", "revoke", first_id)
    by_text = stored("token", "revoke", second, "--json")

    assert by_id.code == 0
    assert [token["state"] for token in by_text.json["revoked"]] == ["revoked"]
    assert {token["state"] for token in stored("token", "list", "--json").json} == {"revoked"}
    assert acts(stored)[-2:] == ["token.revoke", "token.revoke"]


def test_revoking_twice_is_no_error_and_no_act(stored: Seks) -> None:
    token = _issue(stored)
    stored("token", "revoke", token)
    before = acts(stored)

    again = stored("token", "revoke", token)

    assert again.code == 0
    assert "already" in again.err
    assert acts(stored) == before


def test_revoke_all_of_an_agent(stored: Seks) -> None:
    stored("agent", "add", "bob")
    _issue(stored)
    _issue(stored, "--agent", "bob")
    _issue(stored, "--agent", "bob")

    result = stored("token", "revoke", "--all", "--agent", "bob", "--json")

    assert len(result.json["revoked"]) == 2
    states = {(token["agent"], token["state"]) for token in stored("token", "list", "--json").json}
    assert states == {("default", "live"), ("bob", "revoked")}


def test_revoke_all_leaves_other_clients_alone(stored: Seks) -> None:
    stored("client", "add", "acme")
    stored("vault", "add", "openai", "--client", "acme", "--stdin", stdin=KEY)
    _issue(stored)

    stored("token", "revoke", "--all")

    assert {(t["client"], t["state"]) for t in stored("token", "list", "--json").json} == {
        ("default", "revoked"),
        ("acme", "live"),
    }


@pytest.mark.parametrize("words", [[], ["tok_1", "--all"], ["tok_1", "--agent", "default"]])
def test_revoke_wants_one_token_or_all(stored: Seks, words: list[str]) -> None:
    assert stored("token", "revoke", *words).code == 2


def test_regenerate_replaces_the_token(stored: Seks) -> None:
    old = _issue(stored, "--method", "GET")

    new = stored("token", "regenerate", old).last

    assert is_token(new)
    assert new != old
    assert stored("token", "show", old, "--json").json["state"] == "revoked"
    assert stored("token", "show", new, "--json").json["policy"] == {"methods": ["GET"]}
    assert acts(stored)[-1] == "token.regenerate"


def test_a_revoked_token_stays_revoked(stored: Seks) -> None:
    """To regenerate it would let in again who was shut out."""
    token = _issue(stored)
    stored("token", "revoke", token)

    result = stored("token", "regenerate", token)

    assert (result.code, result.out) == (1, "")
    assert "seks token issue" in result.err


def test_an_unknown_token_is_not_repeated(stored: Seks) -> None:
    token = _issue(stored)
    stored("vault", "remove", "openai", "--yes")

    for verb in ("show", "revoke", "regenerate"):
        result = stored("token", verb, token)

        assert result.code == 1
        assert token not in result.err


def test_an_agent_of_another_client_gets_none(stored: Seks) -> None:
    stored("client", "add", "acme")
    stored("agent", "add", "eve", "--client", "acme")

    result = stored("token", "issue", "openai", "--agent", "eve")

    assert result.code == 1
    assert "no agent 'eve'" in result.err
