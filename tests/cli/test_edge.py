"""The program as a whole: help, errors, exit codes, what it imports, what it asks on a terminal."""

import os
import pty
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import click
import pytest

from seks_addon import __version__
from seks_addon.home import Home
from seks_addon.vault import DEFAULT, Vault
from seks_cli import edge, options
from seks_cli.commands import Group
from seks_cli.main import cli
from tests.cli.conftest import Seks, command, environment
from tests.samples import KEY


def _commands(group: click.Group = cli, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    found: list[tuple[tuple[str, ...], click.Command]] = [(path, group)]
    for name in group.list_commands(context):
        one = group.get_command(context, name)
        assert one is not None
        found += _commands(one, (*path, name)) if isinstance(one, Group) else [((*path, name), one)]
    return found


@pytest.mark.parametrize("path", [path for path, _ in _commands()], ids=lambda path: " ".join(path) or "seks")
def test_every_command_has_help_a_version_and_a_home(path: tuple[str, ...], seks: Seks) -> None:
    short, long = seks(*path, "-h"), seks(*path, "--help")

    assert (short.code, short.err) == (0, "")
    assert short.out == long.out
    assert "--home" in short.out
    assert seks(*path, "--version").out == f"seks, version {__version__}\n"


@pytest.mark.parametrize("position", [0, 1, 2])
def test_the_home_may_be_named_anywhere(
    position: int, ready: Seks, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEKS_HOME", "/nowhere")
    words = ["vault", "path"]
    words[position:position] = ["--home", str(home.root)]

    assert ready(*words).out == f"{home.vault}\n"


def test_the_last_home_wins(ready: Seks, home: Home) -> None:
    assert ready("--home", "/nowhere", "vault", "path", "--home", str(home.root)).code == 0


@pytest.mark.parametrize("words", [[], ["vault"]])
def test_no_command_shows_the_help(seks: Seks, words: list[str]) -> None:
    result = seks(*words)

    assert (result.code, result.out) == (2, "")
    assert "Usage: seks" in result.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["valt"], "Did you mean 'vault'?"),
        (["vault", "lst"], "Did you mean 'list'?"),
        (["vault", "list", "--jsno"], "--json"),
        (["vault", "show"], "Missing argument"),
        (["env", "--format", "cobol"], "cobol"),
        (["status", "now"], "too many"),
        (["completion"], "Choose from: bash, zsh, fish\n"),
    ],
)
def test_wrong_usage(seks: Seks, words: list[str], says: str) -> None:
    result = seks(*words)

    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("seks: error: ")
    assert "seks: hint: see `seks" in result.err
    assert says in result.err


@pytest.mark.parametrize(
    "words",
    [
        ["vault", "add", "a b", "--provider", "openai"],
        ["vault", "add", "x", "--host", "http://a.example", "--placement", "bearer"],
        ["vault", "add", "x", "--host", "a.example", "--header", "Host: {}"],
        ["vault", "add", "x", "--host", "a.example", "--placement", "nowhere"],
        ["vault", "add", "openai", "--env", "A B"],
        ["vault", "add", "openai", "--method", "G T"],
        ["vault", "add", "openai", "--path-prefix", "v1"],
        ["vault", "add", "openai", "--expires", "2020-01-01"],
        ["token", "issue", "openai", "--expires", "soon"],
        ["token", "issue", "openai", "--rate", "60"],
        ["token", "issue", "openai", "--max-uses", "0"],
        ["token", "issue", "openai", "--host", ":"],
        ["client", "add", ""],
        ["agent", "add", "a/b"],
        ["audit", "list", "--since", "then"],
        ["audit", "list", "--until", ""],
        ["env", "--proxy", "ftp://127.0.0.1"],
        ["vault", "rekey", "--key-command", '"'],
    ],
    ids=" ".join,
)
def test_a_value_that_cannot_be_read_is_wrong_usage(ready: Seks, words: list[str]) -> None:
    """As it is where click reads it: `--max-uses x`."""
    result = ready(*words, *(["--stdin"] if words[1] == "add" and words[0] == "vault" else []), stdin=KEY)

    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("seks: error: ")


@pytest.mark.parametrize(
    "words",
    [
        ["vault", "show", "{}"],
        ["vault", "list", "--client", "{}"],
        ["vault", "add", "{}", "--provider", "openai", "--stdin"],
        ["vault", "destroy", "--yes", "--client", "{}"],
        ["token", "revoke", "{}"],
        ["token", "issue", "openai", "--method", "GET", "--method", "{}"],
        ["agent", "show", "{}"],
        ["client", "remove", "{}"],
        ["audit", "list", "--agent", "{}"],
        ["env", "--client", "{}"],
        ["run", "--agent", "{}", "--", "true"],
    ],
    ids=" ".join,
)
def test_words_that_are_no_text(ready: Seks, words: list[str]) -> None:
    """As a command line may hold them."""
    result = ready(*(word.replace("{}", "a\udcff") for word in words))

    assert (result.code, result.out) == (2, "")
    assert "that is not UTF-8 text" in result.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(seks: Seks, shell: str) -> None:
    """One script completes both programs."""
    result = seks("completion", shell)

    assert result.code == 0
    assert "_SEKS_COMPLETE" in result.out
    assert "_SEKS_PROXY_COMPLETE" in result.out


def test_completion_finds_commands(seks: Seks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_SEKS_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "seks vault ")
    monkeypatch.setenv("COMP_CWORD", "2")

    assert "plain,rotate" in seks().out


def test_what_nobody_expected_is_one_line_without_its_message(ready: Seks, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message of a stranger's exception may quote what it was about."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(f"can't parse {KEY}")

    monkeypatch.setattr("seks_addon.vault.Vault.open", fail)

    result = ready("vault", "list")

    assert result.code == 1
    assert result.err.startswith("seks: error: internal error: RuntimeError in fail")
    assert KEY not in result.err


@pytest.mark.parametrize(
    ("error", "code"),
    [(KeyboardInterrupt(), 130), (OSError(28, "No space left on device", "/x"), 1), (sqlite3.Error(), 1)],
)
def test_what_ends_a_command(error: BaseException, code: int, ready: Seks, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("seks_addon.vault.Vault.open", fail)

    result = ready("vault", "list")

    assert result.code == code
    assert (result.err.strip() == "") is (code == 130)


def test_a_locked_database(ready: Seks, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = Vault.open.__func__.__kwdefaults__  # type: ignore[attr-defined]
    monkeypatch.setitem(defaults, "timeout", 0.1)
    database = sqlite3.connect(home.vault, isolation_level=None)
    database.execute("BEGIN EXCLUSIVE")

    result = ready("client", "add", "acme")
    database.close()

    assert result.code == 1
    assert "locked" in result.err
    assert ready("client", "add", "acme").code == 0


def test_nothing_of_mitmproxy_is_imported() -> None:
    """It takes a second, and only `seks-proxy` needs it."""
    script = (
        "import sys, seks_cli.main as m\n"
        "for name in m._MODULES: m.cli.get_command(None, name)\n"
        "heavy = {'mitmproxy', 'cryptography', 'sqlite_utils', 'tabulate'} & set(sys.modules)\n"
        "import seks_cli.surroundings, seks_cli.trust, seks_cli.running, seks_addon.vault\n"
        "print(heavy, 'mitmproxy' in sys.modules)"
    )

    shown = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **environment(Home.find("/nowhere"))},
        capture_output=True,
        text=True,
        check=True,
    )

    assert shown.stdout == "set() False\n"


def test_the_default_client_is_the_librarys() -> None:
    assert options.DEFAULT == DEFAULT


def test_exit_codes() -> None:
    assert (edge.FAILED, edge.WRONG_USAGE, edge.FOUND) == (1, 2, 3)


def _on_terminal(home: Home, *words: str, types: str, env: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Run `seks` with a terminal for input and errors; gives exit code, output, and what the terminal showed."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command(*words),
        env={**os.environ, **environment(home), "TERM": "xterm", **(env or {})},
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown, typed = b"", False
    while True:
        try:
            chunk = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not chunk:
            break
        shown += chunk
        if not typed and shown.rstrip().endswith((b":", b"]:")) and b"seks:" not in shown:
            typed = True
            os.write(ours, types.encode())
    os.close(ours)
    out, _ = process.communicate(timeout=30)
    return process.returncode, out.decode(), shown.decode()


@pytest.mark.slow
def test_the_prompt_hides_what_is_typed(ready: Seks, home: Home) -> None:
    code, out, shown = _on_terminal(home, "vault", "add", "openai", types=f"{KEY}\n")

    assert code == 0
    assert out.startswith("seks_openai_")
    assert "Value of openai:" in shown
    assert KEY not in shown
    assert ready("vault", "list", "--json").json[0]["name"] == "openai"


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "code", "left"), [("n\n", 1, 1), ("y\n", 0, 0)])
def test_removing_asks_on_a_terminal(
    answer: str, code: int, left: int, ready: Seks, home: Home, add: Callable[..., Any]
) -> None:
    add("openai", KEY)

    result, _, shown = _on_terminal(home, "vault", "remove", "openai", types=answer)

    assert "Remove the secret openai" in shown
    assert result == code
    assert len(ready("vault", "list", "--json").json) == left


@pytest.mark.slow
@pytest.mark.parametrize(("env", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colour_on_a_terminal_only(env: dict[str, str], coloured: bool, ready: Seks, home: Home) -> None:
    _, _, shown = _on_terminal(home, "vault", "show", "nobody", types="", env=env)

    assert ("\x1b[" in shown) is coloured
    assert "\x1b[" not in ready("vault", "show", "nobody").err
