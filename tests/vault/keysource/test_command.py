"""The master key from a command."""

import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import pytest

from seks_addon.errors import InputError, MasterKeyError
from seks_addon.home import Home
from seks_addon.vault import Vault
from seks_addon.vault.envelope import Key
from seks_addon.vault.keysource import Command, command
from seks_addon.vault.keysource.encoding import encode
from tests.vault.conftest import Tamper

KEY = Key.from_material(bytes(range(32)))
GOOD = ["printf", "%s\n", encode(KEY)]


def test_what_it_prints_is_the_key(home: Home) -> None:
    """The home says which command it is, the vault doesn't."""
    Vault.create(home, Command(GOOD)).close()

    with Vault.open(home) as vault:
        assert vault.master_key == KEY
        assert vault.source == {"kind": "command"}
    assert b"printf" in home.key_location.read_bytes()
    assert home.key_location.stat().st_mode & 0o777 == 0o600
    assert b"printf" not in home.vault.read_bytes()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["false"], "'false' failed with code 1"),
        (["sh", "-c", "kill -9 $$"], "failed with code -9"),
        (["/nowhere/at-all", "x"], "can't run the key command '/nowhere/at-all': No such file"),
        (["/"], "can't run"),
        (["printf", "a\0b"], "can't run the key command 'printf'"),
        (["echo", "seks-fake-rubbish"], "no master key, or a damaged one"),
        (["true"], "no master key, or a damaged one"),
        (["printf", "%s\n%s\n", encode(KEY), encode(KEY)], "no master key, or a damaged one"),
        (["head", "-c", "1000", "/dev/zero"], "no master key, or a damaged one"),
        (["yes", "seks-fake-rubbish"], "prints more than 4 KiB"),
    ],
)
def test_no_key(words: list[str], says: str) -> None:
    """Whatever goes wrong is an error with a hint, and quotes nothing that was printed."""
    with pytest.raises(MasterKeyError, match=says) as caught:
        Command(words).load("")

    assert "rubbish" not in str(caught.value)
    assert caught.value.hint


def test_one_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up, and ended."""
    monkeypatch.setattr(command, "TIMEOUT", 0.1)

    for words in (["sleep", "60"], ["sh", "-c", "exec >&-; sleep 60"]):
        with pytest.raises(MasterKeyError, match="took more than"):
            Command(words).load("")


@pytest.mark.parametrize("then", ["sleep 60", "yes", "exit 0"], ids=["hangs", "babbles", "is done"])
def test_what_it_started_ends_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: str) -> None:
    """Its children too, also where it has ended itself and they hold its output."""
    monkeypatch.setattr(command, "TIMEOUT", 1.0)
    fifo = tmp_path / "open while it lives"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)

    with pytest.raises(MasterKeyError, match=r"took more|prints more"):
        Command(["sh", "-c", f"exec 3>'{fifo}'; sleep 60 & {then}"]).load("")

    # Hung up when the last that held it is gone: at once, or not while the child sleeps.
    watched = select.poll()
    watched.register(reader, 0)
    assert watched.poll(20_000) == [(reader, select.POLLHUP)]
    os.close(reader)


ASKING = f"""
import fcntl, sys, termios
from seks_addon.vault.keysource import Command
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
print(Command(["sh", "-c", "read answer </dev/tty; test $answer = yes && echo {encode(KEY)}"]).load("").id.hex())
with open("/dev/tty") as terminal:
    print(terminal.readline())
"""


def test_it_may_ask_on_the_terminal() -> None:
    """It is in the foreground while it runs, and who started it is afterwards."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", ASKING],
        stdin=theirs,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    os.close(theirs)
    os.write(ours, b"yes\nand more\n")

    out, _ = process.communicate(timeout=60)

    os.close(ours)
    assert out.split("\n")[:2] == [KEY.id.hex(), "and more"]


def test_words_that_are_no_text() -> None:
    """The home couldn't write them down."""
    with pytest.raises(InputError, match="not UTF-8"):
        Command.parse("cat /x/\udcff")


def test_it_reads_nothing() -> None:
    """Standard input isn't the command's: it may be the value of a secret."""
    program = f"import sys; assert not sys.stdin.read(); print({encode(KEY)!r})"

    assert Command([sys.executable, "-c", program]).load("") == KEY


def test_never_through_a_shell(tmp_path: Path) -> None:
    """What would mean something to a shell is handed on as it is."""
    mark = tmp_path / "mark"

    for text in (f"echo $(touch {mark})", f"echo x; touch {mark}", f"echo x > {mark}", f"echo `touch {mark}`"):
        with pytest.raises(MasterKeyError):
            Command.parse(text).load("")

    assert not mark.exists()


def test_words_are_split_as_a_shell_does() -> None:
    """Quotes hold words together."""
    assert Command.parse("op read 'op://Private/my key/x'").local() == {
        "command": ["op", "read", "op://Private/my key/x"]
    }


@pytest.mark.parametrize("text", ["", "  ", "a 'b", 'a "b'])
def test_no_command(text: str) -> None:
    """Nothing, or half a quote, is none."""
    with pytest.raises(InputError):
        Command.parse(text)


def test_a_vault_from_elsewhere_runs_nothing(home: Home, tamper: Tamper, tmp_path: Path) -> None:
    """A database that names a command, of the kind or of another, isn't listened to: the home says what is run."""
    Vault.create(home).close()
    mark = tmp_path / "mark"
    tamper(
        "UPDATE meta SET value = ? WHERE key = 'source'",
        f'{{"command":["touch","{mark}"],"kind":"command","path":"{mark}"}}'.encode(),
    )

    with pytest.raises(MasterKeyError, match="doesn't say which command"):
        Vault.open(home)

    assert not mark.exists()
