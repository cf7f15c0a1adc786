"""Where a secret's value comes from: a hidden prompt, standard input, a variable or a file. Never the command line."""

import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from seks_addon.errors import InputError, UsageError
from seks_addon.providers import Provider
from seks_addon.secret import MAX_BYTES, Secret
from seks_addon.tokens import find_lookalikes
from seks_cli import output, terminal

if TYPE_CHECKING:
    from seks_addon.vault import Vault

#: The limit, a line's end, and one byte more to see that there is too much.
_READ: Final = MAX_BYTES + 3
#: A shorter text may be in an answer by chance, and is replaced there too.
_SHORT: Final = 8
_SCHEME: Final = re.compile(r"(bearer|basic|bot|token) ", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Source:
    """What the command line says about where the value is."""

    stdin: bool
    variable: str | None
    file: Path | None
    sealed: Path | None = None

    def check(self) -> None:
        """Raise `UsageError` where there is none, or more than one."""
        named = self.stdin + sum(place is not None for place in (self.variable, self.file, self.sealed))
        if named > 1:
            raise UsageError("the value can come from one place only", hint="--stdin, --from-env V or --from-file F")
        if not named and not terminal.interactive():
            raise UsageError(
                "there is no terminal to ask for the value on", hint="use --stdin, --from-env V or --from-file F"
            )

    def read(self, name: str) -> Secret:
        """Get the value of the secret `name`; raises `InputError`, which never quotes it."""
        return _real(Secret.parse(self._bytes(name)))

    def unseal(self, vault: "Vault") -> Secret | None:
        """Get the value from a file that was sealed for this vault; None where no such file is named."""
        if self.sealed is None:
            return None
        from seks_addon.vault.sealed import unseal

        return _real(unseal(vault, _content(self.sealed, 2 * _READ, "--sealed")))

    def _bytes(self, name: str) -> bytes:
        if self.variable is not None:
            value = os.environ.get(self.variable)
            if value is None:
                raise InputError("the variable that --from-env names is not set", hint="name it without a dollar sign")
            return os.fsencode(value)
        if self.file is not None:
            return _content(self.file, _READ, "--from-file")
        if not terminal.interactive():
            return sys.stdin.buffer.read(_READ) if sys.stdin else b""
        return terminal.ask_hidden(f"Value of {name}").encode()


def _real(secret: Secret) -> Secret:
    if find_lookalikes(secret.reveal()):
        raise InputError(
            "that is a fake token of SEKS, not a real credential",
            hint="run this outside of the sandbox, where the real one is",
        )
    return secret


def _content(path: Path, limit: int, option: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(limit)
    except OSError as error:
        # Somebody may have given the value where its place belongs.
        raise InputError(
            f"can't read the file that {option} names: {error.strerror}", hint="give a path, not the value itself"
        ) from None


def sealed(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--sealed`."""
    return click.option(
        "--sealed",
        type=click.Path(path_type=Path),
        metavar="F",
        help="Take the value that `seks vault seal` wrote to this file.",
    )(command)


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--stdin`, `--from-env` and `--from-file`."""
    for option in (
        click.option(
            "--from-file",
            "file",
            type=click.Path(path_type=Path),
            metavar="F",
            help="Read the value from this file.",
        ),
        click.option("--from-env", "variable", metavar="V", help="Read the value from this variable."),
        click.option("--stdin", is_flag=True, help="Read the value from standard input."),
    ):
        command = option(command)
    return command


def note_unusual(secret: Secret, provider: Provider | None) -> None:
    """Say so where a value doesn't look like the vendor's, or like any."""
    value = secret.reveal()
    if value != value.strip():
        output.note("the value begins or ends with a blank; it is stored as it is")
    if _SCHEME.match(value):
        # A host that repeats what stands behind it repeats the key, and a part of the value to whoever looks for that.
        output.note("the value begins with a scheme, which belongs into the placement: 'Authorization: Bearer {}'")
    if len(value) < _SHORT:
        output.note("the value is very short: answers that hold it by chance are changed too")
    if provider and not provider.looks_native(value):
        beginning = f" (they begin with {provider.native_prefix})" if provider.native_prefix else ""
        output.note(f"the value doesn't look like a credential of {provider.title}{beginning}; it is stored as it is")
