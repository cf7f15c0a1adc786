"""`seks env`: an agent's variables, in every language."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from seks_addon.errors import InputError
from seks_addon.home import Home
from seks_cli import formats
from tests.cli.conftest import Seks
from tests.samples import KEY

AWKWARD = {
    "PLAIN": "seks_openai_abc",
    "BLANKS": "/home/me and you/ca.pem",
    "SIGNS": "a'b\"c\\d$e`f!g;h&i#j*k~l%m^n(o)p",
    "EMPTY": "",
}


def _env(seks: Seks, *words: str) -> dict[str, str]:
    return seks("env", "--format", "json", *words).json


def test_tokens_proxy_and_ca(ready: Seks, home: Home, add: Callable[..., str]) -> None:
    token = add("openai", KEY)

    variables = _env(ready)

    assert variables["OPENAI_API_KEY"] == variables["CODEX_API_KEY"] == token
    assert variables["HTTPS_PROXY"] == variables["http_proxy"]
    assert variables["HTTPS_PROXY"].endswith("@127.0.0.1:7357")
    assert variables["NO_PROXY"] == "localhost,127.0.0.1,::1"
    assert variables["SSL_CERT_FILE"] == variables["REQUESTS_CA_BUNDLE"] == str(home.ca_bundle)
    assert variables["NODE_EXTRA_CA_CERTS"] == variables["DENO_CERT"] == str(home.ca_cert)
    assert variables["NODE_USE_ENV_PROXY"] == "1"
    assert not {"AWS_CA_BUNDLE", "YARN_HTTPS_CA_FILE_PATH", "WGETRC", "NODE_OPTIONS"} & set(variables)
    assert _env(ready, "--json") == variables


def test_the_agent_is_in_the_proxy_url(ready: Seks) -> None:
    ready("client", "add", "acme")
    password = ready("agent", "add", "bob", "--client", "acme").last

    url = _env(ready, "--client", "acme", "--agent", "bob", "--proxy", "http://proxy.example:8080/")["HTTPS_PROXY"]
    given = _env(ready, "--proxy", "http://me:pw@proxy.example:8080")["HTTPS_PROXY"]

    assert url == f"http://acme%2Fbob:{password}@proxy.example:8080"
    assert given == "http://me:pw@proxy.example:8080"


@pytest.mark.parametrize("url", ["pr0xy", "http://pr0xy", "socks5://pr0xy:1080", "http://u:pw@x:y", "http://x:80/a"])
def test_a_proxy_url_that_is_none_is_not_repeated(ready: Seks, url: str) -> None:
    result = ready("env", "--proxy", url)

    assert (result.code, result.out) == (2, "")
    assert url not in result.err.splitlines()[0]


def test_where_the_proxy_is(ready: Seks, home: Home, port: int) -> None:
    """The running one, else the one that is configured, else the default."""
    assert _env(ready)["HTTPS_PROXY"].endswith("@127.0.0.1:7357")

    home.config.write_text('listen = "0.0.0.0:9999"\nworkers = 2\n')
    assert _env(ready)["HTTPS_PROXY"].endswith("@127.0.0.1:9999")

    url = f"http://127.0.0.1:{port}"
    (home.run / "proxy-1.json").write_text(json.dumps({"pid": os.getpid(), "listen": url[7:], "proxy_url": url}))
    assert _env(ready)["HTTPS_PROXY"].endswith(f"@127.0.0.1:{port}")


@pytest.mark.parametrize("text", ['listen = "127.0.0.1:0"', 'listen = "here"', "listen = "])
def test_a_configuration_that_says_nothing_useful(ready: Seks, home: Home, text: str) -> None:
    home.config.write_text(text)

    result = ready("env")

    assert (result.code, result.out) == (1, "")
    assert "seks: hint:" in result.err


def test_only_live_tokens_and_the_newest_of_a_secret(ready: Seks, add: Callable[..., str]) -> None:
    add("openai", KEY)
    newest = ready("token", "issue", "openai").last
    ready("token", "revoke", add("groq", KEY))

    variables = _env(ready)

    assert variables["OPENAI_API_KEY"] == newest
    assert "GROQ_API_KEY" not in variables


def test_another_agents_tokens_stay_out(ready: Seks, add: Callable[..., str]) -> None:
    ready("agent", "add", "bob")
    add("openai", KEY)

    result = ready("env", "--agent", "bob", "--json")

    assert "OPENAI_API_KEY" not in result.json
    assert "no live token" in result.err


def test_two_secrets_with_one_variable(ready: Seks, add: Callable[..., str]) -> None:
    """The first by name has it, whichever was there first."""
    add("openai", KEY)
    first = add("alpha", KEY, "--provider", "openai")

    result = ready("env", "--json")

    assert result.json["OPENAI_API_KEY"] == first
    assert "seks: note: OPENAI_API_KEY holds the token of alpha; openai claims it too" in result.err


def test_a_shell_reads_it(ready: Seks, add: Callable[..., str]) -> None:
    token = add("openai", KEY)
    script = ready("env").out

    shown = subprocess.run(["sh", "-c", f'{script}\nprintf %s "$OPENAI_API_KEY"'], capture_output=True, check=True)

    assert shown.stdout.decode() == token


def test_nothing_but_variables_is_printed(ready: Seks, add: Callable[..., str]) -> None:
    """And none of them holds the real one."""
    add("openai", KEY)

    for form in formats.FORMS:
        result = ready("env", "--format", form)

        assert result.code == 0
        assert KEY not in result.out + result.err
        if form not in ("json", "powershell"):
            assert all(
                "_" in line and len(line.split("=" if form != "fish" else " ")) > 1 for line in result.out.splitlines()
            )


def test_awkward_values_in_a_shell() -> None:
    script = formats.write(AWKWARD, "sh")
    prints = "".join(f'printf "%s\\0" "${name}";' for name in AWKWARD)

    shown = subprocess.run(["sh", "-c", f"{script}\n{prints}"], capture_output=True, check=True)

    assert shown.stdout.decode().split("\0")[:-1] == list(AWKWARD.values())


@pytest.mark.parametrize(
    ("form", "value", "line"),
    [
        ("fish", "it's \\n", r"set -gx X 'it\'s \\n'"),
        ("powershell", "it's $x", "$env:X = 'it''s $x'"),
        ("powershell", "a\u2019b", "$env:X = 'a\u2019\u2019b'"),
        ("dotenv", "plain-1", "X=plain-1"),
        ("dotenv", "two words # $x", "X='two words # $x'"),
        ("dotenv", "it's $x", 'X="it\'s \\$x"'),
        ("docker", "it's $x", "X=it's $x"),
    ],
)
def test_quotes(form: str, value: str, line: str) -> None:
    assert formats.write({"X": value}, form) == f"{line}\n"


@pytest.mark.parametrize("form", ["dotenv", "docker"])
def test_a_line_break_is_refused_where_it_would_make_another_variable(form: str) -> None:
    with pytest.raises(InputError):
        formats.write({"X": "1\nPATH=/evil"}, form)


def test_a_shell_reads_dotenv_too(tmp_path: Path) -> None:
    """`. ./file` is how many do it."""
    (tmp_path / "file").write_text(formats.write(AWKWARD, "dotenv"))
    prints = "".join(f'printf "%s\\0" "${name}";' for name in AWKWARD)

    shown = subprocess.run(["sh", "-c", f". ./file; {prints}"], cwd=tmp_path, capture_output=True, check=True)

    assert shown.stdout.decode().split("\0")[:-1] == list(AWKWARD.values())
