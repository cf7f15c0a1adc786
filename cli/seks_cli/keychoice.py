"""Which key source the master key is to come from, as `seks init` and `seks vault rekey` take it."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from seks_addon.errors import InputError, UsageError
from seks_addon.home import Home, plain_path
from seks_cli import terminal
from seks_cli.options import reading

if TYPE_CHECKING:
    from seks_addon.secret import Secret
    from seks_addon.vault import Vault
    from seks_addon.vault.keysource import KeySource

KINDS: Final = ("keyfile", "passphrase", "keyring", "command")


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--key-source`, `--key-file` and `--key-command`, for a key that may be made."""
    file = "The key file; made where it doesn't exist, else used as it is.  [default: master.key in the home]"
    command = _place(command, file, "Prints the master key; run without a shell. For --key-source command.")
    return click.option("--key-source", type=click.Choice(KINDS), help="Where the master key comes from.")(command)


def place_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--key-file` and `--key-command`, for a key that there is."""
    return _place(command, "The backup's key file.", "Prints the backup's master key; run without a shell.")


def _place(command: Callable[..., Any], file: str, command_line: str) -> Callable[..., Any]:
    path = click.Path(dir_okay=False, path_type=Path)
    command = click.option("--key-command", metavar="'CMD'", help=command_line)(command)
    return click.option("--key-file", type=path, metavar="PATH", help=file)(command)


def choose(
    home: Home, kind: str | None, key_file: Path | None, key_command: str | None, *, vault: "Vault | None" = None
) -> "KeySource":
    """The key source that the options name, where `vault` has one already for a new key.

    Raises `UsageError` where the options don't fit together.
    """
    from seks_addon.vault.keysource import Command, KeyFile, Keyring, Passphrase

    if vault and not (key_file or key_command):
        kind = kind or vault.source["kind"]
    kind = kind or ("command" if key_command else "keyfile")
    if key_file and kind != KeyFile.kind:
        raise UsageError("--key-file goes with --key-source keyfile")
    if (key_command is not None) != (kind == Command.kind):
        raise UsageError("--key-source command goes with --key-command", hint="--key-command 'pass show seks'")
    if kind == KeyFile.kind:
        return _key_file(home, plain_path(key_file) if key_file else None, vault)
    if kind == Passphrase.kind:
        has_one = vault and vault.source["kind"] == kind
        return Passphrase.new(ask, older=(vault.source, vault.master_key_id) if vault and has_one else None)
    if kind == Keyring.kind:
        return Keyring()
    with reading():
        return Command.parse(key_command or "")


def _key_file(home: Home, named: Path | None, vault: "Vault | None") -> "KeySource":
    from seks_addon.vault.keysource import KeyFile, key_file

    if named and named.is_dir():
        raise UsageError(f"{named} is a folder", hint="name the key file in it")
    current = key_file(home) if vault and vault.source["kind"] == KeyFile.kind else None
    if named:
        _require_free(home, named, current)
    if named is None:
        return KeyFile(current or home.master_key, replaces=vault is not None)
    # A file that somebody names is used as it is, unless it is this vault's: it may hold another vault's key.
    if current and os.path.realpath(named) == os.path.realpath(current):
        return KeyFile(current, replaces=True)
    return KeyFile(named)


def _require_free(home: Home, named: Path, current: Path | None) -> None:
    """Raise `SeksError` where a key would lie in the way of what SEKS puts there itself."""
    from seks_addon.vault.keysource import KeyFile

    if os.path.realpath(named) != os.path.realpath(home.master_key):
        home.require_foreign(named)
    if current and os.path.realpath(named) == os.path.realpath(KeyFile(current).staged):
        raise UsageError(f"{named} is where a new key waits for the place of {current}", hint="name another file")


def existing(home: Home, wanted: str, kind: str | None, key_file: Path | None, key_command: str | None) -> "KeySource":
    """The source of a key that there is already, of the kind that its vault wants, where the options say it is.

    Raises `UsageError` where they speak of another kind.
    """
    from seks_addon.vault.keysource import Command, KeyFile

    needless = {
        "--key-file": key_file and wanted != KeyFile.kind,
        "--key-command": key_command and wanted != Command.kind,
    }
    if kind not in (None, wanted) or any(needless.values()):
        raise UsageError(
            f"the backup's master key comes from: {wanted}",
            hint="put it into another source with `seks vault rekey`, afterwards",
        )
    if wanted == Command.kind and not key_command:
        raise UsageError("the backup's master key comes from a command", hint="name the command with --key-command")
    return choose(home, wanted, key_file, key_command)


def ask(new: bool) -> "Secret":
    """Ask for the vault's passphrase, twice for a new one; raises `MasterKeyError` where nobody is there."""
    from seks_addon.vault.keysource.unattended import nobody_to_ask, parse

    if not terminal.interactive():
        raise nobody_to_ask(new=new)
    question = "New passphrase of the vault" if new else "Passphrase of the vault"
    passphrase = parse(terminal.ask_hidden(question).encode(), "the passphrase", hint="type it at the prompt")
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
