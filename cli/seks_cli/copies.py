"""`seks vault backup`, `restore` and `check`."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from seks_addon.errors import DatabaseDamagedError, HomeError
from seks_cli import edge, keychoice, options, output, progress
from seks_cli.commands import Command
from seks_cli.workplace import Workplace, pass_workplace

if TYPE_CHECKING:
    from seks_addon.vault.keysource import KeySource

_FILE: Final = click.Path(dir_okay=False, path_type=Path)


@click.command(cls=Command)
@click.argument("file", type=_FILE)
@options.as_json
@pass_workplace
def backup(workplace: Workplace, file: Path, as_json: bool) -> None:
    """Write a copy of the vault to FILE, while others work with it.

    It is encrypted as the vault is, and worth nothing without the master key, which isn't in it.
    """
    from seks_addon.vault.backup import backup as write_copy

    target = file.expanduser().absolute()
    with workplace.vault() as vault, workplace.audit() as audit, progress.shown("Copying") as update:
        audit.admin("vault.backup")
        write_copy(vault, target, update)
        epoch = vault.epoch
    output.say(f"The vault is in {target}. To read it, its master key is needed: keep a copy of that elsewhere.")
    if as_json:
        output.document({"file": str(target), "epoch": epoch})


@click.command(cls=Command)
@click.argument("file", type=_FILE)
@click.option("--accept-older", is_flag=True, help="Take it although the vault was changed since.")
@keychoice.place_options
@options.as_json
@pass_workplace
def restore(
    workplace: Workplace,
    file: Path,
    accept_older: bool,
    key_file: Path | None,
    key_command: str | None,
    as_json: bool,
) -> None:
    """Put the vault back as it was when FILE was written. FILE is checked whole first.

    What was revoked, removed or rotated since is as before again: so it is refused for a FILE that is older than
    the vault, unless that is accepted. A home that is lost altogether is made with `seks init --from-backup`.

    A FILE from before a `seks vault rekey` wants the key of before: name it with --key-file, or --key-command, where it
    isn't where the vault's is. The vault has that key from there then.
    """
    from seks_addon.vault.backup import restore as put_back

    source = file.expanduser().absolute()
    home = workplace.home
    if not (home.vault.exists() or home.audit.exists()):
        raise HomeError(f"the home {home.root} is missing", hint="make it again with `seks init --from-backup FILE`")

    def choose(kind: str) -> "KeySource":
        return keychoice.existing(home, kind, None, key_file, key_command)

    with workplace.audit() as audit, progress.shown("Restoring") as update:
        audit.admin("vault.restore")
        epoch = put_back(
            home,
            source,
            ask=keychoice.ask,
            accept_older=accept_older,
            progress=update,
            choose=choose if key_file or key_command else None,
        )
    output.say(f"The vault is as it was in {source}.")
    if as_json:
        output.document({"file": str(source), "epoch": epoch})


@click.command(cls=Command)
@options.as_json
@pass_workplace
def check(workplace: Workplace, as_json: bool) -> None:
    """Open every value and check every row; exit code 3 where something is wrong.

    A vault that is missing, or can't be unlocked, can't be checked: exit code 1.
    """
    from seks_addon.vault.check import check as check_vault

    try:
        with workplace.vault() as vault, progress.shown("Checking") as update:
            problems = check_vault(vault, update)
    except DatabaseDamagedError as error:
        problems = [error.message]
    if as_json:
        output.document({"intact": not problems, "problems": problems})
    elif problems:
        for problem in problems:
            output.data(output.printable(problem))
    else:
        output.data("the vault is intact")
    if problems:
        raise click.exceptions.Exit(edge.FOUND)
