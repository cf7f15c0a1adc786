"""The master key as what a command prints: a password manager's, a KMS's, `systemd-creds`."""

import shlex
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, Self

from seks_addon.errors import InputError, MasterKeyError
from seks_addon.vault.envelope import Key
from seks_addon.vault.keysource.base import KeySource
from seks_addon.vault.keysource.encoding import decode

#: How long the command may take, in seconds: it may ask a person to touch something.
TIMEOUT: Final = 120.0


class Command(KeySource):
    """Runs a list of words, without a shell. What it prints must be the line that a key file holds."""

    kind: ClassVar = "command"

    def __init__(self, words: Sequence[str]) -> None:
        self._words = list(words)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a command as a shell would split it; raises `InputError`."""
        try:
            words = shlex.split(text)
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
        hint = "run it yourself; it must print the master key, as `seks vault new-key` does"
        try:
            done = subprocess.run(
                self._words, check=False, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=TIMEOUT
            )
        except subprocess.TimeoutExpired:
            raise MasterKeyError(f"the key command {name!r} took more than {TIMEOUT:.0f} s", hint=hint) from None
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "it has a NUL in it"
            raise MasterKeyError(f"can't run the key command {name!r}: {why}", hint=hint) from None
        if done.returncode != 0:
            raise MasterKeyError(f"the key command {name!r} failed with code {done.returncode}", hint=hint)
        return decode(done.stdout, f"what the key command {name!r} prints")

    def local(self) -> Mapping[str, Any]:
        return {"command": self._words}
