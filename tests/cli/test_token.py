"""`seks token`: issuing, and taking back."""

from collections.abc import Callable

import pytest

from seks_addon.audit import AuditLog, Event, Outcome, Record
from seks_addon.audit.log import Entry
from seks_addon.home import Home
from seks_addon.policy.limits import Limits, Quota
from seks_addon.timing import now, timestamp
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


LIMITS = ("--rate", "60/min", "--max-uses", "5", "--max-concurrent", "2")


def test_a_policy_of_every_kind_is_shown(stored: Seks) -> None:
    words = ("--path", "/v1/%6dodels/*", "--path-prefix", "/v1/files", "--host", "eu.api.openai.com", *LIMITS)

    issued = stored("token", "issue", "openai", *words, "--json").json

    shown = stored("token", "show", issued["token_id"], "--json").json
    assert issued["hosts"] == ["eu.api.openai.com"]
    assert shown["uses"] == 0
    assert shown["policy"] == {
        "path_prefixes": ["/v1/files"],
        "paths": ["/v1/models/*"],
        "hosts": ["eu.api.openai.com"],
        "rate": "60/min",
        "max_uses": 5,
        "max_concurrent": 2,
    }
    said = dict(line.split(": ", 1) for line in stored("token", "show", issued["token_id"]).out.splitlines())
    assert {name: said[name].strip() for name in ("hosts", "paths", "rate", "max uses", "max concurrent", "uses")} == {
        "hosts": "eu.api.openai.com",
        "paths": "below /v1/files, /v1/models/*",
        "rate": "60/min",
        "max uses": "5",
        "max concurrent": "2",
        "uses": "0",
    }
    assert "eu.api.openai.com, below /v1/files (+4)" in stored("token", "list").out


def test_uses_are_shown(stored: Seks, home: Home) -> None:
    limited = stored("token", "issue", "openai", "--max-uses", "5", "--json").json["token_id"]
    plain = stored("token", "issue", "openai", "--json").json["token_id"]
    with AuditLog(home.audit) as log:
        use = Record(time=timestamp(now()), event=Event.INTENT, outcome=Outcome.ALLOWED)
        log.append([Entry(use, quotas=(Quota(limited, "x", Limits(max_uses=5)),))] * 3)

    assert stored("token", "show", limited, "--json").json["uses"] == 3
    assert stored("token", "show", plain, "--json").json["uses"] is None
    assert "not counted" in stored("token", "show", plain).out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rate", "0/min"], "60/min"),
        (["--rate", "5/fortnight"], "60/min"),
        (["--rate=-5/min"], "60/min"),
        (["--max-uses", "0"], "--max-uses 0"),
        (["--max-uses=-3"], "--max-uses -3"),
        (["--max-uses", "many"], "many"),
        (["--max-concurrent", "0"], "--max-concurrent 0"),
        (["--path", "v1/*"], "path pattern"),
        (["--path", "/v1/a**"], "path pattern"),
        (["--path-prefix", "/v1/*"], "--path"),
        (["--host", "api.other.example"], "is not bound to api.other.example"),
        (["--host", "api.openai.com:8443"], "is not bound to api.openai.com:8443"),
        (["--host", "*.openai.com"], "no host name"),
    ],
)
def test_a_policy_that_makes_no_sense(stored: Seks, words: list[str], said: str) -> None:
    result = stored("token", "issue", "openai", *words)

    assert result.code in {1, 2}
    assert result.out == ""
    assert said in result.err
    assert stored("token", "list", "--json").json == []


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
    old = _issue(stored, "--method", "GET", *LIMITS)

    new = stored("token", "regenerate", old).last

    assert is_token(new)
    assert new != old
    assert stored("token", "show", old, "--json").json["state"] == "revoked"
    policies = [stored("token", "show", token, "--json").json["policy"] for token in (old, new)]
    assert policies == [{"methods": ["GET"], "rate": "60/min", "max_uses": 5, "max_concurrent": 2}] * 2
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
