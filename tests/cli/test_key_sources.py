"""Where the master key comes from: `seks init`, and what every command does to get it."""

import os
import pty
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from seks_addon.home import Home
from tests.cli.conftest import KINDS, WORDS, Result, Seks, acts, assert_refused, command, environment, options, value
from tests.samples import KEY

type Process = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize("kind", KINDS)
def test_init(seks: Seks, home: Home, tmp_path: Path, cheap: None, key_command: str, kind: str) -> None:
    """From every source there is a home that works, and that says where its key is."""
    result = seks("init", *options(kind, tmp_path, key_command), "--json")

    said = {"elsewhere": "keyfile"}.get(kind, kind)
    assert (result.code, result.json["key_source"]) == (0, said)
    status = seks("status", "--json").json
    assert status["key_source"] == said
    assert status["key_place"].startswith(said)
    assert home.master_key.exists() == (kind == "keyfile")
    assert home.key_location.exists() == (kind in {"elsewhere", "command"})
    assert seks("vault", "add", "openai", "--stdin", stdin=KEY).code == 0
    assert value(seks) == KEY
    assert WORDS not in result.out + result.err + seks("status").out


def test_init_with_a_descriptor(home: Home, seks: Seks) -> None:
    """Which can be read only once."""
    reader, writer = os.pipe()
    os.write(writer, WORDS.encode())
    os.close(writer)

    done = subprocess.run(
        command("init", "--key-source", "passphrase"),
        env={**os.environ, **environment(home), "SEKS_PASSPHRASE_FD": str(reader)},
        pass_fds=[reader],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    os.close(reader)

    assert done.returncode == 0, done.stderr
    assert "Argon2id with 3 passes over 256 MiB" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--key-source", "telepathy"], 2, "telepathy"),
        (["--key-source", "command"], 2, "--key-command"),
        (["--key-source", "keyfile", "--key-command", "x"], 2, "--key-command"),
        (["--key-source", "passphrase", "--key-file", "/x"], 2, "--key-file"),
        (["--key-file", "/nowhere/at/all.key"], 1, "/nowhere/at/all.key"),
        (["--key-command", ""], 2, "--key-command"),
        (["--key-command", "  "], 2, "empty"),
        (["--key-command", "x 'y"], 2, "open quote"),
        (["--key-command", "false"], 1, "failed with code 1"),
        (["--key-command", "/nowhere/at/all"], 1, "No such file"),
        (["--key-command", "echo rubbish"], 1, "no master key"),
        (["--key-source", "passphrase"], 1, "no terminal"),
    ],
)
def test_init_with_what_makes_no_sense(seks: Seks, home: Home, words: list[str], code: int, says: str) -> None:
    """It says so in a line, and makes nothing."""
    assert_refused(seks("init", *words), says, code)
    assert not home.root.exists()


def test_init_with_a_short_passphrase(seks: Seks, home: Home, tmp_path: Path, cheap: None) -> None:
    (tmp_path / "words").write_text("too short\n")

    result = seks("init", "--key-source", "passphrase")

    assert_refused(result, "shorter than 15")
    assert "too short" not in result.err
    assert not home.root.exists()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["init", "--home", "{}/h\udcff"], 1, "is not UTF-8"),
        (["init", "--key-file", "{}/k\udcff"], 1, "is not UTF-8"),
        (["init", "--key-command", "cat {}/k\udcff"], 2, "is not UTF-8"),
        (["status", "--home", "{}/h\udcff", "--json"], 1, "is not UTF-8"),
        (["init", "--key-file", "~nobody-of-this-name/x"], 1, "there is no user"),
    ],
)
def test_paths_that_cannot_be_written_down(seks: Seks, tmp_path: Path, words: list[str], code: int, says: str) -> None:
    """Bytes that are no text, as a command line may hold them, are refused before anything is made."""
    assert_refused(seks(*(word.replace("{}", str(tmp_path)) for word in words)), says, code)

    assert list(tmp_path.iterdir()) == []


def test_a_home_in_the_environment_that_is_no_text(seks: Seks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEKS_HOME", f"{tmp_path}/h\udcff")

    assert_refused(seks("init", "--json"), "is not UTF-8")


def test_init_into_a_folder(seks: Seks, home: Home) -> None:
    assert_refused(seks("init", "--key-file", ""), "is a folder", 2)


@pytest.mark.slow
def test_bytes_that_are_no_text_at_a_prompt(home: Home, seks: Seks, add: Callable[..., str]) -> None:
    """They are called what they are."""
    code, shown = on_terminal(home, "vault", "add", "groq", answers=["sk-\udcff\udcfe"])

    assert code == 1
    assert "not UTF-8 text" in shown


def test_new_key(seks: Seks, tmp_path: Path) -> None:
    """One line that a key command may print; another one every time; it needs no home."""
    one, two = seks("vault", "new-key"), seks("vault", "new-key")
    (tmp_path / "key").write_text(one.out)

    assert (one.code, one.err, one.out.count("\n")) == (0, "", 1)
    assert one.out != two.out
    assert seks("vault", "new-key", "--json").json["master_key"].startswith("seks-master-key-v1:")
    assert seks("init", "--key-command", f"cat {tmp_path / 'key'}").code == 0
    assert seks("vault", "list").code == 0


def on_terminal(home: Home, *words: str, answers: list[str], env: dict[str, str] | None = None) -> tuple[int, str]:
    """Run `seks` on a terminal, and answer each of its questions; gives exit code and what the terminal showed."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command(*words),
        env={**os.environ, **environment(home), "TERM": "dumb", **(env or {})},
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown, answered = b"", 0
    while True:
        try:
            shown += os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if len(shown) > answered and shown.endswith(b": ") and answers:
            answered = len(shown)
            os.write(ours, os.fsencode(f"{answers.pop(0)}\n"))
    os.close(ours)
    return process.wait(30), shown.decode()


@pytest.mark.slow
def test_a_passphrase_is_asked_for_once_a_command(home: Home, seks: Seks) -> None:
    """A new one twice; then once, by a command that opens the vault more than once; it is never shown."""
    made = on_terminal(home, "init", "--key-source", "passphrase", answers=[WORDS, WORDS])
    added = on_terminal(home, "vault", "add", "openai", "--from-env", "REAL", answers=[WORDS], env={"REAL": KEY})
    wrong = on_terminal(home, "vault", "list", answers=["some other fake words"])

    assert (made[0], made[1].count("New passphrase of the vault"), made[1].count("once more")) == (0, 1, 1), made
    assert (added[0], added[1].count("Passphrase of the vault")) == (0, 1), added
    assert wrong[0] == 1
    assert "passphrase is wrong" in wrong[1]
    assert "fake words" not in made[1] + added[1] + wrong[1]


@pytest.mark.slow
def test_two_passphrases_that_differ(home: Home, seks: Seks) -> None:
    code, shown = on_terminal(home, "init", "--key-source", "passphrase", answers=[WORDS, WORDS.upper()])

    assert code == 1
    assert "not the same" in shown
    assert not home.root.exists()


@pytest.mark.parametrize("act", ["init", "rekey"])
def test_a_key_that_nobody_could_get_again(seks: Seks, home: Home, process: Process, act: str) -> None:
    """A command that prints another one each time, and a keyring that keeps nothing."""
    if act == "rekey":
        seks("init")
        seks("vault", "add", "openai", "--stdin", stdin=KEY)
    words = ("init",) if act == "init" else ("vault", "rekey")
    null = {"PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"}

    other = seks(*words, "--key-command", shlex.join(command("vault", "new-key")))
    forgotten = process(*words, "--key-source", "keyring", env=null)

    assert_refused(other, "doesn't give the new master key again: it gives another one")
    assert forgotten.returncode == 1
    assert "doesn't give the new master key again: the keyring has no master key" in forgotten.stderr
    if act == "init":
        assert not home.root.exists()
    else:
        assert value(seks) == KEY
        assert acts(seks) == ["init", "vault.add"]
        assert not list(home.root.glob("key.toml*"))


@pytest.mark.parametrize("backend", ["keyring.backends.null.Nope", "nope.Nope", "nodots"])
def test_a_keyring_that_there_is_not(ready: Seks, process: Process, backend: str) -> None:
    """What the library makes of such a variable is an error like others."""
    done = process("vault", "rekey", "--key-source", "keyring", env={"PYTHON_KEYRING_BACKEND": backend})

    assert_refused(Result(done.returncode, done.stdout, done.stderr), "keyring can't be used")
    assert "PYTHON_KEYRING_BACKEND" in done.stderr
    assert ready("vault", "check").code == 0


@pytest.mark.parametrize("name", ["key.toml", "vault.db", "config.toml", "ca/x.key"])
def test_init_with_a_key_file_in_seks_s_own_place(seks: Seks, home: Home, name: str) -> None:
    home.create()

    assert_refused(seks("init", "--key-file", str(home.root / name)), "a place of SEKS's own")
    assert not home.vault.exists()


def test_a_second_name_of_a_key_outside(seks: Seks, home: Home, tmp_path: Path, killed: Callable[..., None]) -> None:
    """What a killed command left of it there is removed by the next one, once nobody can be at work on it."""
    (tmp_path / "for-whole").mkdir(0o700)
    folder = tmp_path / "for-killed"
    folder.mkdir(0o700)

    killed(lambda instants: instants.index("after link"), "init", "--key-file", f"{tmp_path}/for-{{run}}/k")

    assert len(list(folder.iterdir())) == 2
    os.utime(folder / "k", (0, 0))
    assert seks("init", "--key-file", str(folder / "k")).code == 0
    assert [path.name for path in folder.iterdir()] == ["k"]
