"""`seks client` and `seks agent`: who there is."""

from collections.abc import Callable

import pytest

from seks_addon.home import Home
from seks_addon.vault import Vault
from tests.cli.conftest import Seks, acts
from tests.samples import KEY


def test_a_client_comes_with_an_agent(ready: Seks) -> None:
    result = ready("client", "add", "acme", "--json")

    assert result.json["agents"] == ["default"]
    assert {client["name"] for client in ready("client", "list", "--json").json} == {"default", "acme"}
    assert acts(ready)[-1] == "client.add"


def test_removing_a_client_takes_all_of_it(ready: Seks) -> None:
    ready("client", "add", "acme")
    ready("vault", "add", "openai", "--client", "acme", "--stdin", stdin=KEY)

    result = ready("client", "remove", "acme", "--yes")

    assert result.code == 0
    assert ready("vault", "list", "--json").json == []
    assert ready("client", "show", "acme").code == 1
    assert acts(ready)[-1] == "client.remove"


def test_the_default_client_stays(ready: Seks) -> None:
    result = ready("client", "remove", "default", "--yes")

    assert result.code == 1
    assert ready("client", "show", "default").code == 0


def test_client_show(ready: Seks, add: Callable[..., str]) -> None:
    add("openai", KEY)

    shown = ready("client", "show", "default", "--json").json

    assert (shown["agents"], shown["secrets"], shown["live_tokens"]) == (["default"], ["openai"], 1)


def test_a_new_agents_password_is_the_last_line_and_opens(ready: Seks, home: Home) -> None:
    ready("client", "add", "acme")

    plain = ready("agent", "add", "bob").last
    full = ready("agent", "add", "eve", "--client", "acme", "--json").json

    assert full["user"] == "acme/eve"
    with Vault.open(home) as vault:
        assert vault.agents.authenticate("bob", plain)
        assert vault.agents.authenticate("acme/eve", full["password"])
    assert acts(ready)[-1] == "agent.add"


def test_a_password_is_shown_once(ready: Seks) -> None:
    password = ready("agent", "add", "bob").last

    for words in (["agent", "show", "bob"], ["agent", "list"], ["audit", "list"]):
        for form in ([], ["--json"]):
            assert password not in ready(*words, *form).out


def test_disable_and_enable(ready: Seks) -> None:
    off = ready("agent", "disable", "default", "--json").json
    on = ready("agent", "enable", "default", "--json").json

    assert (off["enabled"], on["enabled"]) == (False, True)
    assert acts(ready)[-2:] == ["agent.disable", "agent.enable"]


def test_removing_an_agent_takes_its_tokens(ready: Seks, add: Callable[..., str]) -> None:
    ready("agent", "add", "bob")
    add("openai", KEY, "--agent", "bob")

    result = ready("agent", "remove", "bob")

    assert result.code == 0
    assert ready("token", "list", "--json").json == []
    assert acts(ready)[-1] == "agent.remove"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["client", "add", "default"], 1),
        (["client", "add", "a/b"], 2),
        (["client", "show", "nobody"], 1),
        (["client", "remove", "nobody"], 1),
        (["agent", "add", "default"], 1),
        (["agent", "add", "a:b"], 2),
        (["agent", "add", "x", "--client", "nobody"], 1),
        (["agent", "show", "nobody"], 1),
        (["agent", "disable", "nobody"], 1),
        (["agent", "remove", "nobody"], 1),
    ],
)
def test_names_that_are_taken_wrong_or_unknown(ready: Seks, words: list[str], code: int) -> None:
    result = ready(*words)

    assert (result.code, result.out) == (code, "")
    assert result.err.startswith("seks: error: ")
    assert acts(ready) == ["init"]


@pytest.mark.parametrize("noun", ["client", "agent"])
def test_lists_for_people(ready: Seks, noun: str) -> None:
    lines = ready(noun, "list").out.splitlines()

    assert lines[0].startswith("name")
    assert lines[1].startswith("default")
