"""`seks vault rekey`, `reencrypt`, `destroy` and the keys for handing secrets over."""

from pathlib import Path
from typing import Any

import click

from seks_cli import keychoice, options, output, progress, source, terminal
from seks_cli.commands import Command
from seks_cli.source import Source
from seks_cli.workplace import Workplace, pass_workplace


@click.command(cls=Command)
@keychoice.options
@pass_workplace
def rekey(workplace: Workplace, key_source: str | None, key_file: Path | None, key_command: str | None) -> None:
    """Put the vault under a new master key, from the same source or another.

    The clients' data keys are wrapped again; no value is touched. A running proxy goes on, unless it would have to
    ask somebody for the new key. Backups from before still want the old one.
    """
    from seks_addon.vault.keysource import KeyFile
    from seks_addon.vault.rotation import rekey as rekey_vault

    with workplace.vault() as vault, workplace.audit() as audit:
        kind = key_source or (None if key_command or key_file else vault.source["kind"])
        if kind == KeyFile.kind and key_file is None and vault.source["kind"] == kind:
            key_file = workplace.key_file
        # A file that somebody names is used as it is, unless it is this vault's: it may hold another vault's key.
        replaces = key_file is None or key_file.expanduser().absolute() == workplace.key_file
        chosen = keychoice.choose(workplace.home, kind, key_file, key_command, replaces=replaces)
        audit.admin("vault.rekey")
        rekey_vault(vault, chosen)
    output.say(f"The vault has a new master key, from its {chosen.kind}. Keep a copy of it: without it all is lost.")


@click.command(cls=Command)
@pass_workplace
def reencrypt(workplace: Workplace) -> None:
    """Give every client a new data key, and encrypt every value again.

    Values that were sealed with `seks vault seal` and not added yet must be sealed again.
    """
    from seks_addon.vault.rotation import reencrypt as reencrypt_vault

    with workplace.vault() as vault, workplace.audit() as audit, progress.shown("Encrypting") as update:
        audit.admin("vault.reencrypt")
        reencrypt_vault(vault, update)
    output.say("Every value is encrypted again, under new keys.")


@click.command(cls=Command)
@options.of_client
@options.yes
@options.as_json
@pass_workplace
def destroy(workplace: Workplace, client: str | None, yes: bool, as_json: bool) -> None:
    """Throw data keys away: all secrets, or one client's, are unreadable for good.

    Their tokens are gone with them; agents stay, with new passwords. Backups are not touched: destroy those too.
    """
    from seks_addon.errors import UsageError
    from seks_addon.vault.rotation import destroy as destroy_keys

    with workplace.vault() as vault:
        clients = [vault.clients.get(client)] if client else vault.clients.list()
        count = sum(len(vault.secrets.list(one)) for one in clients)
    whose = f"of the client {client}" if client else "of every client"
    if not yes and not terminal.interactive():
        raise UsageError(f"this destroys the {count} secrets {whose}", hint="add --yes if you mean it")
    terminal.confirm(f"Destroy the {count} secrets {whose}, for good?", yes=yes)
    with workplace.vault() as vault, workplace.audit() as audit:
        for one in clients:
            audit.admin("vault.destroy", client=one.name)
        passwords = destroy_keys(vault, clients)
    output.say(f"Destroyed {count} secrets {whose}.")
    if as_json:
        output.document({"destroyed": count, "passwords": passwords})
        return
    for agent, password in passwords.items():
        output.data(f"{agent} {password}")


@click.command("seal-key", cls=Command)
@options.as_json
@pass_workplace
def seal_key(workplace: Workplace, as_json: bool) -> None:
    """Print the vault's public key: whoever has it can hand a secret over that only this vault can open."""
    from seks_addon.vault.sealed import public_key

    with workplace.vault() as vault:
        key = public_key(vault)
    if as_json:
        output.document({"seal_key": key})
    else:
        output.data(key)


@click.command(cls=Command)
@click.argument("key")
@source.options
def seal(key: str, **given: Any) -> None:
    """Encrypt a value to a vault's public KEY; needs no vault. Add it there with `seks vault add --sealed FILE`."""
    from seks_addon.vault.sealed import seal as seal_value

    where = Source(given["stdin"], given["variable"], given["file"])
    where.check()
    output.data(seal_value(where.read("the secret"), key))


@click.command("new-key", cls=Command)
def new_key() -> None:
    """Print a new master key, for a password manager or a KMS that `--key-command` then asks."""
    from seks_addon.vault.envelope import Key
    from seks_addon.vault.keysource.encoding import encode

    output.data(encode(Key.generate()))
