"""Which key source the master key is to come from, as `seks init` and `seks vault rekey` take it."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from seks_addon.errors import InputError, UsageError
from seks_addon.home import Home
from seks_cli import terminal

if TYPE_CHECKING:
    from seks_addon.secret import Secret
    from seks_addon.vault.keysource import KeySource

KINDS: Final = ("keyfile", "passphrase", "keyring", "command")


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--key-source`, `--key-file` and `--key-command`."""
    for option in (
        click.option(
            "--key-command",
            metavar="'CMD'",
            help="Prints the master key; run without a shell. For --key-source command.",
        ),
        click.option(
            "--key-file",
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="PATH",
            help="The key file, made where it doesn't exist.  [default: master.key in the home]",
        ),
        click.option("--key-source", type=click.Choice(KINDS), help="Where the master key comes from."),
    ):
        command = option(command)
    return command


def choose(
    home: Home, kind: str | None, key_file: Path | None, key_command: str | None, *, replaces: bool = False
) -> "KeySource":
    """The key source that the options name; raises `UsageError` where they don't fit together."""
    from seks_addon.vault.keysource import Command, KeyFile, Keyring, Passphrase

    kind = kind or ("command" if key_command else "keyfile")
    if key_file and kind != KeyFile.kind:
        raise UsageError("--key-file goes with --key-source keyfile")
    if (key_command is not None) != (kind == Command.kind):
        raise UsageError("--key-source command goes with --key-command", hint="--key-command 'pass show seks'")
    if kind == KeyFile.kind:
        path = key_file.expanduser().absolute() if key_file else home.master_key
        return KeyFile(path, replaces=replaces)
    if kind == Passphrase.kind:
        return Passphrase.new(ask)
    if kind == Keyring.kind:
        return Keyring()
    return Command.parse(key_command or "")


def ask(new: bool) -> "Secret":
    """Ask for the vault's passphrase, twice for a new one; raises `MasterKeyError` where nobody is there."""
    from seks_addon.errors import MasterKeyError
    from seks_addon.secret import Secret
    from seks_addon.vault.keysource.passphrase import DESCRIPTOR_VARIABLE, FILE_VARIABLE

    if not terminal.interactive():
        raise MasterKeyError(
            "the vault wants its passphrase, and there is no terminal to ask on",
            hint=f"name a file with {FILE_VARIABLE}, or an open descriptor with {DESCRIPTOR_VARIABLE}",
        )
    question = "New passphrase of the vault" if new else "Passphrase of the vault"
    passphrase = Secret.parse(terminal.ask_hidden(question).encode())
    if new and terminal.ask_hidden("The same once more") != passphrase.reveal():
        raise InputError("the two are not the same", hint="try again")
    return passphrase


def described(home: Home, source: "dict[str, Any]", local: "dict[str, Any]") -> str:
    """Say in a few words where a key is to be had."""
    if source["kind"] == "keyfile":
        return f"keyfile, {local.get('path', home.master_key)}"
    if source["kind"] == "passphrase":
        return f"passphrase, Argon2id with {source['passes']} passes over {source['memory'] >> 20} MiB"
    return str(source["kind"])
