"""The catalog: what SEKS knows of each provider, as data."""

import re
from pathlib import Path

import pytest

from seks_addon.binding import Binding
from seks_addon.destination.host import Origin, canonical_host, is_address
from seks_addon.errors import ConfigError, NotFoundError
from seks_addon.providers import Catalog, Provider, parse_provider
from seks_addon.secret import Secret
from seks_addon.tokens import is_token, new_token
from seks_addon.vault import Vault
from tests.samples import KEY, basic, head_of, new_home

CATALOG = Catalog()
ATLEAST = {
    "openai",
    "anthropic",
    "google",
    "github",
    "gitlab",
    "huggingface",
    "mistral",
    "groq",
    "openrouter",
    "slack",
    "stripe",
    "brave",
}

OWN = """
name = "acme"
title = "Acme"
docs = "https://acme.example/docs"
env = ["ACME_KEY"]
aliases = ["ac"]

[native]
pattern = "acme-[a-z]{4,}"
example_prefix = "acme-"

[[bindings]]
hosts = ["api.acme.example", "eu.acme.example:8443"]
placements = ["header:X-Acme: Key {}"]

[[bindings]]
hosts = ["git.acme.example"]
placements = ["basic:password"]
encoded_slash = true
"""


def test_the_twelve() -> None:
    """The providers that were promised are there, in order."""
    names = [provider.name for provider in CATALOG]

    assert set(names) >= ATLEAST
    assert names == sorted(set(names))


@pytest.mark.parametrize("provider", CATALOG, ids=lambda provider: provider.name)
def test_entry(provider: Provider) -> None:
    """An entry has all that is needed to use it."""
    assert provider.title
    assert provider.docs.startswith("https://")
    assert provider.env
    assert len(set(provider.env)) == len(provider.env)
    assert all(re.fullmatch(r"[A-Z][A-Z0-9_]*", name) for name in provider.env)
    assert provider.endpoints
    assert is_token(new_token(provider.name))
    assert f"_{re.sub('[^a-z0-9]', '', provider.name)}_" in new_token(provider.name)


@pytest.mark.parametrize("provider", CATALOG, ids=lambda provider: provider.name)
def test_endpoints(provider: Provider) -> None:
    """Every host is a name on the usual port, once, with places for a token that each take one."""
    origins = [endpoint.origin for endpoint in provider.endpoints]

    assert len(set(origins)) == len(origins)
    for endpoint in provider.endpoints:
        assert canonical_host(endpoint.origin.host) == endpoint.origin.host
        assert "." in endpoint.origin.host
        assert not is_address(endpoint.origin.host)
        assert endpoint.origin.port == 443
        assert endpoint.placements
        assert len({placement.spec for placement in endpoint.placements}) == len(endpoint.placements)


@pytest.mark.parametrize("provider", CATALOG, ids=lambda provider: provider.name)
def test_native_look(provider: Provider) -> None:
    """A credential of the vendor's looks like one; a fake token and an empty text don't pass for it."""
    likely = ("123456789:" if provider.name == "telegram" else provider.native_prefix) + "0" * 64

    assert provider.looks_native(likely)
    assert not provider.looks_native("")
    assert not provider.looks_native(f"{likely} ")
    assert provider.native_prefix == "" or not provider.looks_native(new_token(provider.name))


def test_names_are_told_apart() -> None:
    """No alias is another provider's name or alias."""
    names = [name for provider in CATALOG for name in (provider.name, *provider.aliases)]

    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("name", "host", "header"),
    [
        ("openai", "api.openai.com", ("Authorization", "Bearer {}")),
        ("anthropic", "api.anthropic.com", ("x-api-key", "{}")),
        ("anthropic", "api.anthropic.com", ("Authorization", "Bearer {}")),
        ("google", "generativelanguage.googleapis.com", ("x-goog-api-key", "{}")),
        ("github", "api.github.com", ("Authorization", "token {}")),
        ("github", "api.github.com", ("Authorization", "Bearer {}")),
        ("github", "github.com", ("Authorization", "basic x-access-token")),
        ("gitlab", "gitlab.com", ("PRIVATE-TOKEN", "{}")),
        ("gitlab", "gitlab.com", ("Authorization", "basic oauth2")),
        ("huggingface", "huggingface.co", ("Authorization", "Bearer {}")),
        ("mistral", "api.mistral.ai", ("Authorization", "Bearer {}")),
        ("groq", "api.groq.com", ("Authorization", "Bearer {}")),
        ("openrouter", "openrouter.ai", ("Authorization", "Bearer {}")),
        ("slack", "slack.com", ("Authorization", "Bearer {}")),
        ("stripe", "api.stripe.com", ("Authorization", "Bearer {}")),
        ("google", "generativelanguage.googleapis.com", ("?key", "{}")),
        ("telegram", "api.telegram.org", ("/bot", "{}")),
        ("brave", "api.search.brave.com", ("X-Subscription-Token", "{}")),
    ],
)
def test_what_clients_send(name: str, host: str, header: tuple[str, str]) -> None:
    """The way the vendor's own clients send a key is a place where a token may stand."""
    token = new_token(name)
    kind, _, user = header[1].partition(" ")
    value = basic(user, token) if kind == "basic" else header[1].format(token)
    head = head_of([(header[0], value)])
    if header[0].startswith(("/", "?")):
        head = head_of(target=f"/v1?key={token}" if header[0] == "?key" else f"/bot{token}/getMe")

    endpoint = Binding(CATALOG.get(name).endpoints).at(Origin(host, 443))

    assert endpoint is not None
    assert [m.token for p in endpoint.placements for m in p.match(head)] == [token]


def test_stripe_s_basic() -> None:
    """Stripe's own examples send the key as a user name without a password."""
    endpoint = Binding(CATALOG.get("stripe").endpoints).at(Origin("api.stripe.com", 443))
    token = new_token("stripe")

    assert endpoint is not None
    assert any(list(p.match(head_of([("Authorization", basic(token, ""))]))) for p in endpoint.placements)


@pytest.mark.parametrize(("asked", "name"), [("OpenAI", "openai"), ("claude", "anthropic"), ("GH", "github")])
def test_find(asked: str, name: str) -> None:
    """A name is found in any case, and by its aliases."""
    assert CATALOG.get(asked).name == name


def test_unknown() -> None:
    """What the catalog hasn't can still be bound by hand, and the error says so."""
    assert CATALOG.find("acme") is None
    with pytest.raises(NotFoundError, match="no provider 'acme'") as caught:
        CATALOG.get("acme")

    assert "--host" in (caught.value.hint or "")


def test_to_json() -> None:
    """An entry is printed with all that it says."""
    shown = parse_provider("acme.toml", OWN).to_json()

    assert shown["name"] == "acme"
    assert shown["native"] == {"pattern": "acme-[a-z]{4,}", "example_prefix": "acme-"}
    assert [(e["host"], e["port"], e.get("encoded_slash")) for e in shown["endpoints"]] == [
        ("api.acme.example", 443, None),
        ("eu.acme.example", 8443, None),
        ("git.acme.example", 443, True),
    ]


def test_a_file_is_a_provider(tmp_path: Path) -> None:
    """A file dropped into the home's folder is a provider, and a secret can be bound to it, without any code."""
    home = new_home(tmp_path)
    home.providers.mkdir()
    (home.providers / "acme.toml").write_text(OWN)
    (home.providers / "README.md").write_text("not a provider")

    provider = Catalog(home.providers).get("ac")

    with Vault.create(home) as vault:
        client = vault.clients.add("default")
        agent, _ = vault.agents.add(client, "default")
        stored = vault.secrets.add(
            client, "acme", Secret(KEY), Binding(provider.endpoints), provider=provider.name, env=provider.env
        )
        token, text = vault.tokens.issue(stored, agent)
        grant = vault.tokens.resolve(text)
    assert text.startswith("seks_acme_")
    assert token.env == ("ACME_KEY",)
    assert grant is not None
    endpoint = grant.binding.at(Origin("eu.acme.example", 8443))
    assert endpoint is not None
    [match] = endpoint.placements[0].match(head_of([("x-acme", f"key {text}")]))
    assert match.render(KEY) == f"key {KEY}".encode()


def test_own_entries_win(tmp_path: Path) -> None:
    """A file of the user's own replaces the entry of that name, and leaves the others."""
    (tmp_path / "mine.toml").write_text(OWN.replace('"acme"', '"openai"'))

    catalog = Catalog(tmp_path)

    assert catalog.get("openai").endpoints[0].origin.host == "api.acme.example"
    assert catalog.get("github") == CATALOG.get("github")


def test_no_folder(tmp_path: Path) -> None:
    """Without a folder of one's own the catalog is as it came."""
    assert list(Catalog(tmp_path / "none")) == list(CATALOG)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("name =", "nome =", "nome"),
        ('name = "acme"\n', "", "'name' is missing"),
        ('title = "Acme"\n', "", "'title' is missing"),
        ('env = ["ACME_KEY"]\n', "", "'env' is missing"),
        ('pattern = "acme-[a-z]{4,}"\n', "", "'pattern' is missing"),
        ('placements = ["basic:password"]\n', "", "'placements' is missing"),
        ('hosts = ["git.acme.example"]\n', "", "'hosts' is missing"),
        ('"git.acme.example"', '"**.co.uk"', "public suffix"),
        ('"acme"', '"Acme"', "lower-case"),
        ('"acme"', '""', "lower-case"),
        ('"acme"', "5", "acme.toml: "),
        ('["ACME_KEY"]', '["ACME KEY"]', "no environment variable"),
        ('["ACME_KEY"]', '"ACME_KEY"', "'env' must be a list"),
        ('["ACME_KEY"]', "[1]", "'env' must be a list"),
        ('["ac"]', '"ac"', "'aliases' must be a list"),
        ('["git.acme.example"]', '"git"', "'hosts' must be a list"),
        ('["git.acme.example"]', '["192.0.2.1"]', "is an address"),
        ('["git.acme.example"]', '["https://acme.example"]', "no host name"),
        ('["basic:password"]', '"bearer"', "'placements' must be a list"),
        ('["basic:password"]', "[]", "no placement"),
        ('["basic:password"]', '["trailer:x"]', "no placement"),
        ('["basic:password"]', '["header:Host: {}"]', "can't carry"),
        ("acme-[a-z]{4,}", "acme-[", "acme.toml: "),
        ("[native]", 'native = "x"\n[other]', "acme.toml: "),
        ("[[bindings]]", "[bindings]", "acme.toml: "),
        ('"https://acme.example/docs"', '"', "acme.toml: "),
    ],
)
def test_bad_file(tmp_path: Path, old: str, new: str, reason: str) -> None:
    """A file that can't be read is named, with what is wrong in it."""
    assert old in OWN
    path = tmp_path / "acme.toml"
    path.write_text(OWN.replace(old, new))

    with pytest.raises(ConfigError, match=re.escape(reason)) as caught:
        Catalog(tmp_path)

    assert caught.value.message.startswith(f"{path}: ")


def test_no_host_at_all() -> None:
    """An entry without a host is of no use."""
    top, _, rest = OWN.partition("[native]")
    native = rest.partition("[[bindings]]")[0]

    with pytest.raises(ConfigError, match="no host"):
        parse_provider("acme.toml", f"{top}bindings = []\n[native]{native}")


@pytest.mark.parametrize("kind", ["binary", "folder"])
def test_unreadable_file(tmp_path: Path, kind: str) -> None:
    """What isn't a text file is named too."""
    path = tmp_path / "acme.toml"
    if kind == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"\xff\xfe")

    with pytest.raises(ConfigError, match=re.escape(str(path))):
        Catalog(tmp_path)
