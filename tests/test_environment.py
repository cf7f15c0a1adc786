"""The environment of an agent, as plain values."""

import base64
import shlex
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seks_addon import environment
from seks_addon.environment import Clash, Held
from seks_addon.errors import InputError
from tests.samples import KEY

OWN = {"OPENAI_API_KEY": "seks_openai_x", "HTTPS_PROXY": "http://a:b@127.0.0.1:7357"}


def _child(parent: dict[str, str], **more: object) -> tuple[dict[str, str], list[str]]:
    given_ = {"bundle": "/bundle.pem", "withheld": {"GITHUB_TOKEN", "OPENAI_API_KEY"}, "real": [KEY], **more}
    return environment.child(parent, OWN, **given_)  # type: ignore[arg-type]


def test_settings_know_both_kinds_of_ca_variable() -> None:
    found = environment.settings("http://127.0.0.1:7357", "/ca.pem", "/bundle.pem")

    assert {name for name, value in found.items() if value == "/ca.pem"} == {"NODE_EXTRA_CA_CERTS", "DENO_CERT"}
    assert found["npm_config_cafile"] == "/bundle.pem"
    assert found["all_proxy"] == "http://127.0.0.1:7357"
    assert not {"AWS_CA_BUNDLE", "YARN_HTTPS_CA_FILE_PATH"} & set(found)
    assert set(found) < environment.RESERVED


def test_no_proxy_holds_nothing_that_httpx_takes_for_a_port() -> None:
    entries = environment.settings("http://x:1", "", "")["no_proxy"].split(",")

    assert not [entry for entry in entries if "[" in entry or "/" in entry]


def test_the_first_secret_by_name_has_a_contested_variable() -> None:
    held = [Held("b", ("X", "Y"), "token-b"), Held("a", ("X",), "token-a")]

    found, clashes = environment.credentials(held)

    assert found == {"X": "token-a", "Y": "token-b"}
    assert clashes == [Clash("X", "a", "b")]


def test_a_variable_that_one_secret_names_twice_is_no_clash() -> None:
    assert environment.credentials([Held("a", ("X", "X"), "t")]) == ({"X": "t"}, [])


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:7357", "http://acme%2Fbob:pw@127.0.0.1:7357"),
        ("127.0.0.1:7357", "http://acme%2Fbob:pw@127.0.0.1:7357"),
        ("http://[::1]:7357/", "http://acme%2Fbob:pw@[::1]:7357"),
        ("http://me:mine@proxy:1", "http://me:mine@proxy:1"),
    ],
)
def test_the_agent_goes_into_the_url(url: str, expected: str) -> None:
    assert environment.with_user(url, "acme/bob", "pw") == expected


@pytest.mark.parametrize(
    "url", ["", "proxy", "http://", "http://proxy", "ftp://proxy:1", "http://p:0x1", "http://p:1/a?b"]
)
def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises(InputError):
        environment.with_user(url, "bob", "pw")


@given(user=st.text(min_size=1), password=st.text(min_size=1))
def test_no_name_changes_where_the_url_leads(user: str, password: str) -> None:
    user = user.encode(errors="replace").decode()
    password = password.encode(errors="replace").decode()

    parts = urlsplit(environment.with_user("http://127.0.0.1:7357", user, password))

    assert (parts.hostname, parts.port, parts.path) == ("127.0.0.1", 7357, "")


def test_the_child_has_its_own_over_the_parents() -> None:
    found, lacking = _child({"PATH": "/bin", "OPENAI_API_KEY": KEY, "HTTPS_PROXY": "http://corporate:3128"})

    assert found == {"PATH": "/bin", **OWN}
    assert lacking == []


def test_credentials_are_found_by_name_and_by_value() -> None:
    parent = {
        "GITHUB_TOKEN": "x",
        "SEKS_HOME": "/h",
        "KEY": KEY,
        "URL": f"https://u:{KEY}@h",
        "NODE_OPTIONS": f"--title={KEY}",
        "PATH": "/bin",
    }

    found, lacking = _child(parent)

    assert found == {"PATH": "/bin", **OWN}
    assert lacking == ["GITHUB_TOKEN", "KEY", "NODE_OPTIONS", "SEKS_HOME", "URL"]


def test_a_short_credential_counts_as_a_whole_value_only() -> None:
    found, lacking = _child({"A": "12345", "PORT": "8012345"}, real=["12345"])

    assert lacking == ["A"]
    assert "PORT" in found


@pytest.mark.parametrize("stored", [f"{KEY} ", f" {KEY}", KEY, "12345 "])
@pytest.mark.parametrize("form", ["{}", "{} ", " {}"])
def test_blanks_around_a_credential(stored: str, form: str) -> None:
    """One that was pasted along is no part of it."""
    _, lacking = _child({"A": form.format(stored.strip())}, real=[stored])

    assert lacking == ["A"]


def test_what_is_kept_stays_as_it_is() -> None:
    parent = {"GITHUB_TOKEN": "x", "OPENAI_API_KEY": "mine", "SEKS_HOME": "/h"}

    found, lacking = _child(parent, keep=["GITHUB_TOKEN", "OPENAI_API_KEY", "ABSENT"])

    assert found == {**OWN, "GITHUB_TOKEN": "x", "OPENAI_API_KEY": "mine"}
    assert lacking == ["SEKS_HOME"]


def test_further_ca_variables_are_redirected_where_they_are_set() -> None:
    found, _ = _child({"AWS_CA_BUNDLE": "/old.pem"})

    assert found["AWS_CA_BUNDLE"] == "/bundle.pem"
    assert "CODEX_CA_CERTIFICATE" not in found


@pytest.mark.parametrize(
    ("options", "script", "expected"),
    [
        ("", "/a/node.cjs", "--require /a/node.cjs"),
        ("--inspect", "/a/node.cjs", "--inspect --require /a/node.cjs"),
        ("--require /a/node.cjs", "/a/node.cjs", "--require /a/node.cjs"),
        ("", "/a b/node.cjs", '--require "/a b/node.cjs"'),
        ("", '/a"\\/node.cjs', '--require "/a\\"\\\\/node.cjs"'),
    ],
)
def test_nodes_options(options: str, script: str, expected: str) -> None:
    assert environment.with_preload(options, script) == expected
    assert shlex.split(expected)[-1] == script


@pytest.mark.parametrize("before", ["", "x", "xy", "user:"])
def test_a_credential_in_base64(before: str) -> None:
    """A pair for Basic, or any text around a credential, is one too."""
    credential = "sk-test-not-a-real-key-0000"
    value = base64.b64encode(f"{before}{credential}:more".encode()).decode()

    environ, lacking = environment.child({"A": value, "B": "kept"}, {}, bundle="b", withheld=(), real=(credential,))

    assert (environ, lacking) == ({"B": "kept"}, ["A"])


def test_a_withheld_name_in_any_case() -> None:
    """Some clients read `openai_api_key`."""
    _, lacking = environment.child({"openai_api_key": "x"}, {}, bundle="b", withheld=("OPENAI_API_KEY",), real=())

    assert lacking == ["openai_api_key"]
