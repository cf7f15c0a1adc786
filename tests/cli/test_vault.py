"""`seks vault`: what is stored, for where, and what is said about it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from seks_addon.home import Home
from seks_addon.tokens import is_token
from seks_addon.vault import Vault
from tests.cli.conftest import Seks, acts, records
from tests.samples import KEY, OTHER_KEY


def _value(home: Home, name: str, client: str = "default") -> str:
    with Vault.open(home) as vault:
        owner = vault.clients.get(client)
        return vault.secrets.reveal(vault.secrets.get(owner, name).id, owner.id).reveal()


def test_the_token_is_all_of_the_output(ready: Seks, home: Home) -> None:
    """So that a script can take it."""
    result = ready("vault", "add", "openai", "--stdin", stdin=f"{KEY}\n")

    assert result.code == 0
    assert is_token(result.out.strip())
    assert result.out.count("\n") == 1
    assert _value(home, "openai") == KEY


def test_json_says_what_the_token_stands_for(ready: Seks) -> None:
    result = ready("vault", "add", "openai", "--stdin", "--json", stdin=KEY).json

    assert set(result) == {"secret", "client", "agent", "token", "token_id", "hosts", "env"}
    assert (result["secret"], result["client"], result["agent"]) == ("openai", "default", "default")
    assert "api.openai.com" in result["hosts"]
    assert result["env"]["OPENAI_API_KEY"] == result["token"]


def test_no_token(ready: Seks) -> None:
    result = ready("vault", "add", "openai", "--stdin", "--no-token", "--json", stdin=KEY).json

    assert (result["token"], result["token_id"], result["agent"], result["env"]) == (None, None, None, {})
    assert ready("token", "list", "--json").json == []
    assert ready("vault", "add", "groq", "--stdin", "--no-token", stdin=KEY).out == ""


def test_the_change_is_recorded_with_names_only(ready: Seks, add: Callable[..., str]) -> None:
    token = add("openai", KEY)

    record = records(ready)[-1]

    assert (record["reason"], record["secret"], record["provider"]) == ("vault.add", "openai", "openai")
    assert record["token_id"].startswith("tok_")
    assert token not in json.dumps(record)


def test_values_come_from_a_variable_or_a_file(
    ready: Seks, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REAL", KEY)
    (tmp_path / "key.txt").write_text(f"{OTHER_KEY}\n")

    ready("vault", "add", "openai", "--from-env", "REAL")
    ready("vault", "add", "other", "--provider", "openai", "--from-file", str(tmp_path / "key.txt"))

    assert _value(home, "openai") == KEY
    assert _value(home, "other") == OTHER_KEY


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ([], 2, "no terminal"),
        (["--stdin", "--from-env", "X"], 2, "one place only"),
        (["--from-env", "NOT_SET"], 1, "not set"),
        (["--from-file", "/nowhere/key"], 1, "No such file"),
        (["--from-file", "/"], 1, "directory"),
        (["--stdin"], 1, "empty"),
    ],
)
def test_a_value_that_is_not_there(ready: Seks, words: list[str], code: int, says: str) -> None:
    result = ready("vault", "add", "openai", *words)

    assert (result.code, result.out) == (code, "")
    assert says in result.err
    assert ready("vault", "list", "--json").json == []


@pytest.mark.parametrize(
    "value", ["two\nlines", "a\0b", "x" * (64 * 1024 + 1), "  "], ids=["lines", "nul", "long", "blank"]
)
def test_a_value_that_is_none_is_refused_and_never_quoted(ready: Seks, value: str) -> None:
    result = ready("vault", "add", "openai", "--stdin", stdin=value)

    assert result.code == 1
    assert value not in result.err or not value.strip()


def test_a_fake_token_is_no_credential(ready: Seks, add: Callable[..., str]) -> None:
    """Somebody ran this inside of the sandbox."""
    token = add("openai", KEY)

    result = ready("vault", "add", "again", "--provider", "openai", "--stdin", stdin=token)

    assert result.code == 1
    assert "fake token" in result.err
    assert token not in result.err


def test_an_unusual_value_is_stored_with_a_note(ready: Seks, home: Home) -> None:
    result = ready("vault", "add", "openai", "--stdin", stdin="unusual-value")

    assert result.code == 0
    assert "seks: note:" in result.err
    assert "unusual-value" not in result.err
    assert _value(home, "openai") == "unusual-value"


@pytest.mark.parametrize(
    ("value", "says"),
    [(f"{KEY} ", "a blank"), (f" {KEY}", "a blank"), ("four", "very short"), (f"Bearer {KEY}", "a scheme")],
)
def test_a_value_that_may_be_a_mistake(ready: Seks, home: Home, value: str, says: str) -> None:
    """Nobody sees what was pasted at the prompt."""
    result = ready("vault", "add", "x", "--host", "a.example", "--placement", "bearer", "--stdin", stdin=f"{value}\n")

    assert result.code == 0
    assert says in result.err
    assert value.strip() not in result.err
    assert _value(home, "x") == value


def test_a_credential_on_the_command_line_is_not_repeated(ready: Seks) -> None:
    """As a surplus word, or in the name's place."""
    surplus = ready("vault", "add", "openai", KEY, "--stdin", stdin=KEY)
    name = ready("vault", "add", KEY, "--stdin", stdin=KEY)

    assert (surplus.code, name.code) == (2, 2)
    assert KEY not in surplus.err + name.err
    assert ready("vault", "list", "--json").json == []


def test_a_secret_of_its_own(ready: Seks) -> None:
    """Neither host nor header are anybody's in the catalog."""
    words = ("--host", "api.internal.example:8443", "--header", "X-Internal-Key: {}", "--env", "INTERNAL_KEY")

    result = ready("vault", "add", "internal", *words, "--stdin", "--json", stdin=KEY).json

    assert result["hosts"] == ["api.internal.example:8443"]
    assert result["env"] == {"INTERNAL_KEY": result["token"]}
    assert result["token"].startswith("seks_custom_")
    shown = ready("vault", "show", "internal", "--json").json
    assert shown["binding"]["endpoints"][0]["placements"] == ["header:X-Internal-Key: {}"]


def test_wildcards(ready: Seks) -> None:
    """A secret for all hosts below a name is shown, listed and checked as any other."""
    words = ("--host", "*.internal.example:8443", "--host", "**.Example.com", "--header", "X-Key: {}", "--env", "KEY")
    hosts = ["*.internal.example:8443", "**.example.com"]

    added = ready("vault", "add", "internal", *words, "--stdin", "--json", stdin=KEY).json

    assert added["hosts"] == hosts
    assert ready("vault", "list", "--json").json[0]["hosts"] == hosts
    assert ready("vault", "show", "internal", "--json").json["hosts"] == hosts
    for host in hosts:
        assert host in ready("vault", "show", "internal").out
    assert ready("vault", "check").code == 0
    assert added["token"] in ready("env").out


def test_without_a_variable_it_says_what_is_missing(ready: Seks) -> None:
    result = ready("vault", "add", "x", "--host", "a.example", "--placement", "bearer", "--stdin", stdin=KEY)

    assert result.code == 0
    assert "seks: note:" in result.err
    assert "--env" in result.err


@pytest.mark.parametrize(
    "words",
    [
        ["internal"],
        ["internal", "--host", "a.example"],
        ["internal", "--header", "X-Key: {}"],
    ],
)
def test_a_secret_of_its_own_needs_host_and_placement(ready: Seks, words: list[str]) -> None:
    result = ready("vault", "add", *words, "--stdin", stdin=KEY)

    assert result.code == 2
    assert "seks: hint:" in result.err


@pytest.mark.parametrize(
    "words",
    [
        ["x", "--provider", "nobody"],
        ["x", "--host", "10.0.0.1", "--placement", "bearer"],
        ["x", "--host", "a b", "--placement", "bearer"],
        ["x", "--host", "*.com", "--placement", "bearer"],
        ["x", "--host", "**.github.io", "--placement", "bearer"],
        ["x", "--host", "a.example", "--placement", "nowhere"],
        ["x", "--host", "a.example", "--header", "X-Key"],
        ["openai", "--method", "CONNECT"],
        ["openai", "--path-prefix", "v1"],
        ["openai", "--expires", "yesterday"],
        ["openai", "--expires", "2001-01-01"],
        ["openai", "--env", "NOT A NAME"],
        ["openai", "--env", "HTTPS_PROXY"],
        ["openai", "--client", "nobody"],
        ["openai", "--agent", "nobody"],
        ["../openai", "--provider", "openai"],
    ],
)
def test_what_makes_no_sense_is_refused_whole(ready: Seks, words: list[str]) -> None:
    result = ready("vault", "add", *words, "--stdin", stdin=KEY)

    # What has the right form may still name nothing that there is.
    assert (result.code, result.out) == (1 if "nobody" in words else 2, "")
    assert result.err.startswith("seks: error: ")
    assert KEY not in result.err
    assert ready("vault", "list", "--json").json == []
    assert acts(ready) == ["init"]


def test_a_provider_at_other_hosts_keeps_its_placements(ready: Seks) -> None:
    """All that it has, as nobody knows which of its hosts this one stands for."""
    ready("vault", "add", "github", "--host", "ghe.example", "--host", "GHE.example.", "--stdin", stdin=KEY)

    endpoints = ready("vault", "show", "github", "--json").json["binding"]["endpoints"]

    assert [endpoint["host"] for endpoint in endpoints] == ["ghe.example"]
    assert "header:Authorization: token {}" in endpoints[0]["placements"]
    assert "basic:password" in endpoints[0]["placements"]


def test_a_placement_wins_over_the_provider(ready: Seks) -> None:
    ready("vault", "add", "openai", "--header", "X-Key: {}", "--stdin", stdin=KEY)

    endpoints = ready("vault", "show", "openai", "--json").json["binding"]["endpoints"]

    assert len(endpoints) > 1
    assert {tuple(endpoint["placements"]) for endpoint in endpoints} == {("header:X-Key: {}",)}


def test_a_name_may_be_an_alias(ready: Seks) -> None:
    ready("vault", "add", "claude", "--stdin", stdin=KEY)

    assert ready("vault", "show", "claude", "--json").json["provider"] == "anthropic"


def test_policy_and_end_are_stored(ready: Seks) -> None:
    words = ("--method", "get", "--path-prefix", "/v1/models", "--path", "/v1/files/*", "--expires", "30d")
    words += ("--rate", "10/s", "--max-uses", "7", "--max-concurrent", "3")

    ready("vault", "add", "openai", *words, "--stdin", stdin=KEY)

    shown = ready("vault", "show", "openai", "--json").json
    assert shown["binding"]["policy"] == {
        "methods": ["GET"],
        "path_prefixes": ["/v1/models"],
        "paths": ["/v1/files/*"],
        "rate": "10/s",
        "max_uses": 7,
        "max_concurrent": 3,
    }
    assert shown["uses"] == 0
    assert shown["expires"].endswith("Z")
    said = ready("vault", "show", "openai").out
    for line in ("below /v1/models, /v1/files/*", "10/s", "7", "3"):
        assert f" {line}\n" in said


def test_a_name_is_taken_once_a_client(ready: Seks, add: Callable[..., str]) -> None:
    ready("client", "add", "acme")
    add("openai", KEY)

    again = ready("vault", "add", "openai", "--stdin", stdin=OTHER_KEY)
    elsewhere = ready("vault", "add", "openai", "--client", "acme", "--stdin", stdin=OTHER_KEY)

    assert again.code == 1
    assert "seks vault rotate" in again.err
    assert elsewhere.code == 0
    assert len(ready("vault", "list", "--json").json) == 2
    assert len(ready("vault", "list", "--client", "acme", "--json").json) == 1


def test_rotate_keeps_the_tokens(ready: Seks, home: Home, add: Callable[..., str]) -> None:
    token = add("openai", KEY)

    result = ready("vault", "rotate", "openai", "--stdin", "--json", stdin=OTHER_KEY)

    assert result.json["version"] == 2
    assert _value(home, "openai") == OTHER_KEY
    assert ready("token", "show", token, "--json").json["state"] == "live"
    assert acts(ready)[-1] == "vault.rotate"


def test_remove_takes_the_tokens_along(ready: Seks, add: Callable[..., str]) -> None:
    add("openai", KEY)

    result = ready("vault", "remove", "openai", "--yes")

    assert result.code == 0
    assert ready("token", "list", "--json").json == []
    assert acts(ready)[-1] == "vault.remove"


@pytest.mark.parametrize("verb", ["show", "remove"])
def test_an_unknown_secret(ready: Seks, verb: str) -> None:
    result = ready("vault", verb, "openai")

    assert result.code == 1
    assert "seks: hint: see `seks vault list`" in result.err
    assert acts(ready) == ["init"]


def test_nothing_that_is_printed_holds_a_value(ready: Seks, add: Callable[..., str]) -> None:
    """The canary: every command that reads the vault, in both forms."""
    token = add("openai", KEY)
    ready("vault", "rotate", "openai", "--stdin", stdin=OTHER_KEY)

    for words in (
        ["vault", "list"],
        ["vault", "show", "openai"],
        ["token", "list"],
        ["token", "show", token],
        ["client", "show", "default"],
        ["agent", "show", "default"],
        ["audit", "list"],
        ["status"],
    ):
        for form in ([], ["--json"]):
            result = ready(*words, *form)

            assert result.code == 0, words
            assert result.out, words
            for value in (KEY, OTHER_KEY, token):
                assert value not in result.out + result.err, words


def test_an_unrecorded_change_does_not_take_effect(ready: Seks, home: Home) -> None:
    home.audit.unlink()

    result = ready("vault", "add", "openai", "--stdin", stdin=KEY)

    assert result.code == 1
    assert "audit.db is missing" in result.err
    assert ready("vault", "list", "--json").json == []


def test_path(ready: Seks, home: Home) -> None:
    assert ready("vault", "path").out == f"{home.vault}\n"
    assert ready("vault", "path", "--json").json == {"path": str(home.vault)}


@pytest.mark.parametrize("words", [("remove", "openai"), ("rotate", "openai", "--from-env", "GIVEN")])
def test_what_is_gone_leaves_nothing_in_the_log(
    ready: Seks, home: Home, add: Callable[..., str], monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """Also while another program has the vault open, as a running proxy has."""
    monkeypatch.setenv("GIVEN", OTHER_KEY)
    with Vault.open(home) as proxy:
        add("openai", KEY)
        [row] = proxy.rows("SELECT record FROM secret_values")
        sealed = row["record"][-40:]
        assert any(sealed in path.read_bytes() for path in home.root.glob("vault.db*"))

        assert ready("vault", *words).code == 0

        assert not any(sealed in path.read_bytes() for path in home.root.glob("vault.db*"))


def test_a_token_where_a_name_belongs(ready: Seks, add: Callable[..., str]) -> None:
    """It isn't said again: what a program writes to standard error is kept somewhere."""
    token = add("openai", KEY)

    for words in (
        ("vault", "show", token),
        ("vault", "remove", token, "--yes"),
        ("vault", "list", "--client", token),
        ("vault", "show", "openai", "--client", token),
        ("vault", "add", f"{token}/", "--host", "example.com", "--header", "X: {}", "--stdin"),
        ("agent", "show", token),
        ("agent", "add", f"{token}/"),
        ("client", "show", token),
        ("client", "add", f"{token}/"),
        ("env", "--agent", token),
        ("token", "issue", token),
        ("token", "list", "--secret", token),
    ):
        result = ready(*words, stdin=KEY)
        assert result.code in (1, 2), words
        assert token not in result.err + result.out, words


@pytest.mark.parametrize("option", ["--from-file", "--from-env", "--sealed"])
def test_a_value_where_its_place_belongs(ready: Seks, option: str) -> None:
    result = ready("vault", "add", "openai", option, KEY)

    assert result.code == 1
    assert option in result.err
    assert KEY not in result.err
