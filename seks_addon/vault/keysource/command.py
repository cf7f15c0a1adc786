"""The master key as what a command prints: a password manager's, a KMS's, `systemd-creds`."""

import contextlib
import os
import selectors
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, Self

from seks_addon.errors import InputError, MasterKeyError
from seks_addon.vault.envelope import Key
from seks_addon.vault.keysource import foreground
from seks_addon.vault.keysource.base import KeySource
from seks_addon.vault.keysource.encoding import decode

#: How long the command may take, in seconds: it may ask a person to touch something.
TIMEOUT: Final = 120.0

#: How many bytes it may print: the line, and comments around it.
LIMIT: Final = 4096

_HINT: Final = "run it yourself; it must print the master key, as `seks vault new-key` does"


class Command(KeySource):
    """Runs a list of words, without a shell. What it prints must be the line that a key file holds."""

    kind: ClassVar = "command"

    def __init__(self, words: Sequence[str]) -> None:
        self._words = list(words)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a command as a shell would split it; raises `InputError`."""
        try:
            text.encode()
            words = shlex.split(text)
        except UnicodeEncodeError:
            raise InputError("the key command is not UTF-8 text", hint="put it into a script, and name that") from None
        except ValueError:
            raise InputError("the key command has an open quote") from None
        if not words:
            raise InputError("the key command is empty")
        return cls(words)

    def create(self, vault_id: str) -> Key:
        # Only its owner can put a key there: `seks vault new-key` prints one.
        return self.load(vault_id)

    def load(self, vault_id: str) -> Key:
        name = self._words[0]
        try:
            process = subprocess.Popen(
                self._words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, process_group=0, bufsize=0
            )
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "it has a NUL in it"
            raise MasterKeyError(f"can't run the key command {name!r}: {why}", hint=_HINT) from None
        with process, foreground.lent(process.pid):
            try:
                text = _output(process)
                if len(text) > LIMIT:
                    raise MasterKeyError(f"the key command {name!r} prints more than {LIMIT >> 10} KiB", hint=_HINT)
                code = process.wait(TIMEOUT)
            except subprocess.TimeoutExpired:
                raise MasterKeyError(f"the key command {name!r} took more than {TIMEOUT:.0f} s", hint=_HINT) from None
            finally:
                # Before it is waited for, its number can't be another group's.
                if process.returncode is None:
                    with contextlib.suppress(OSError):
                        os.killpg(process.pid, signal.SIGKILL)
        if code != 0:
            raise MasterKeyError(f"the key command {name!r} failed with code {code}", hint=_HINT)
        return decode(text, f"what the key command {name!r} prints")

    def local(self) -> Mapping[str, Any]:
        return {"command": self._words}


def _output(process: subprocess.Popen[bytes]) -> bytes:
    """Read what a process prints to its end, or one byte or more too much; raises `subprocess.TimeoutExpired`."""
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    deadline = time.monotonic() + TIMEOUT
    text = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while len(text) <= LIMIT:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise subprocess.TimeoutExpired(process.args, TIMEOUT)
            if not (chunk := os.read(process.stdout.fileno(), LIMIT)):
                break
            text += chunk
    return text
