"""`seks provider`: SEKS's catalog and the home's own."""

from seks_addon.home import Home
from tests.cli.conftest import Seks

OWN = """
name = "acme"
title = "Acme"
docs = "https://docs.acme.example/"
env = ["ACME_KEY"]

[native]
pattern = "acme-[0-9]{8}"
example_prefix = "acme-"

[[bindings]]
hosts = ["api.acme.example"]
placements = ["header:X-Acme: {}"]
"""


def test_the_catalog_needs_no_home(seks: Seks) -> None:
    result = seks("provider", "list", "--json")

    assert {"openai", "anthropic", "github"} <= {provider["name"] for provider in result.json}
    assert seks("provider", "list").out.startswith("name")


def test_show_takes_an_alias(seks: Seks) -> None:
    shown = seks("provider", "show", "claude", "--json").json

    assert shown["name"] == "anthropic"
    assert shown["endpoints"][0]["host"] == "api.anthropic.com"
    assert "api.anthropic.com" in seks("provider", "show", "claude").out


def test_an_unknown_provider(seks: Seks) -> None:
    result = seks("provider", "show", "nobody")

    assert result.code == 1
    assert "seks provider list" in result.err


def test_a_home_has_providers_of_its_own(ready: Seks, home: Home) -> None:
    home.providers.mkdir()
    (home.providers / "acme.toml").write_text(OWN)

    token = ready("vault", "add", "acme", "--stdin", "--json", stdin="acme-12345678").json

    assert token["hosts"] == ["api.acme.example"]
    assert list(token["env"]) == ["ACME_KEY"]


def test_a_broken_entry_is_named(ready: Seks, home: Home) -> None:
    home.providers.mkdir()
    (home.providers / "acme.toml").write_text("name = 5")

    result = ready("provider", "list")

    assert result.code == 1
    assert "acme.toml" in result.err
