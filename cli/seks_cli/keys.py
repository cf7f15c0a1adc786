"""`seks vault rekey`, `reencrypt`, `destroy` and the keys for handing secrets over."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seks_addon.home import Home
from seks_cli import keychoice, options, output, progress, source, terminal
from seks_cli.commands import Command
from seks_cli.source import Source
from seks_cli.workplace import Workplace, pass_workplace

if TYPE_CHECKING:
    from seks_addon.vault.rotation import Destroyed


@click.command(cls=Command)
@keychoice.options
@pass_workplace
def rekey(workplace: Workplace, key_source: str | None, key_file: Path | None, key_command: str | None) -> None:
    """Put the vault under a new master key, from the same source or another.

    The clients' data keys are wrapped again; no value is touched. A running proxy goes on, unless it would have to
    ask somebody for the new key. Backups from before still want the old one: an old entry stays in the keyring, an
    old key file where it is, unless it lies in the home and the new key takes its place. A key file outside of the
    home is never replaced, as other vaults may use it: name another with --key-file.
    """
    from seks_addon.vault.keysource import local_place
    from seks_addon.vault.rotation import rekey as rekey_vault

    with workplace.vault() as vault, workplace.audit() as audit:
        old = _key_place(workplace.home, vault.source, local_place(workplace.home))
        chosen = keychoice.choose(workplace.home, key_source, key_file, key_command, vault=vault)
        rekey_vault(vault, chosen, lambda: audit.admin("vault.rekey"))
        new = _key_place(workplace.home, vault.source, chosen.local())
    output.say(f"The vault has a new master key, from its {chosen.kind}. Keep a copy of it: without it all is lost.")
    if old and old != new:
        output.say(f"The old one stays in {old}: backups from before want it, and other vaults may.")


def _key_place(home: Home, source: Mapping[str, Any], local: Mapping[str, Any]) -> str | None:
    """Where a key lies that a change of keys leaves behind; None for one that isn't SEKS's to leave."""
    match source["kind"]:
        case "keyfile":
            return f"the file {local.get('path', home.master_key)}"
        case "keyring":
            return f"the keyring, as {source['entry']}"
        case _:
            return None


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
    from seks_addon.vault.rotation import erase_remnants

    with workplace.reading() as vault:
        count = output.counted(vault.secrets.count(vault.clients.get(client) if client else None), "secret")
    whose = f"of the client {client}" if client else "of every client"
    if not yes and not terminal.interactive():
        raise UsageError(f"this destroys the {count} {whose}", hint="add --yes if you mean it")
    terminal.confirm(f"Destroy the {count} {whose}, for good?", yes=yes)
    with workplace.administration() as (vault, audit):
        # Here: what was added while somebody was asked is destroyed too.
        clients = [vault.clients.get(client)] if client else None
        sound, damaged = (clients, []) if clients else vault.clients.survey()
        for name in [*(one.name for one in sound), *(row.name for row in damaged)]:
            # One that can't be named is removed.
            audit.admin("vault.destroy", client=name if isinstance(name, str) else None)
        destroyed = destroy_keys(vault, clients)
    try:
        # First: nothing that fails from here on may keep the new passwords from who needs them.
        _show(destroyed, whose, as_json)
    finally:
        with workplace.vault() as vault:
            if erase_remnants(vault):
                output.say(f"Removed {workplace.home.damaged_vault} too, which `restore` had put aside.")


def _show(destroyed: "Destroyed", whose: str, as_json: bool) -> None:
    output.say(f"Destroyed {output.counted(destroyed.secrets, 'secret')} {whose}.")
    for row in destroyed.removed:
        again = "; `seks client add` makes it again" if row.kind == "client" else ""
        output.say(f"Removed {row} too, which was changed outside of SEKS{again}.")
    with output.once(
        "the secrets are destroyed and the agents have new passwords", "see each with `seks env --agent NAME`"
    ):
        if as_json:
            removed = [row.to_json() for row in destroyed.removed]
            output.document({"destroyed": destroyed.secrets, "passwords": destroyed.passwords, "removed": removed})
            return
        for agent, password in destroyed.passwords.items():
            output.data(f"{output.one_line(agent)} {password}")


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
@options.as_json
def seal(key: str, as_json: bool, **given: Any) -> None:
    """Encrypt a value to a vault's public KEY; needs no vault. Add it there with `seks vault add --sealed FILE`."""
    from seks_addon.vault.sealed import seal as seal_value

    where = Source(given["stdin"], given["variable"], given["file"])
    where.check()
    sealed = seal_value(where.read("the secret"), key)
    if as_json:
        output.document({"sealed": sealed})
    else:
        output.data(sealed)


@click.command("new-key", cls=Command)
@options.as_json
def new_key(as_json: bool) -> None:
    """Print a new master key, for a password manager or a KMS that `--key-command` then asks."""
    from seks_addon.vault.envelope import Key
    from seks_addon.vault.keysource.encoding import encode

    key = encode(Key.generate())
    if as_json:
        output.document({"master_key": key})
    else:
        output.data(key)
