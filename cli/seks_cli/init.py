"""`seks init`: the home with its master key, vault, audit log and CA."""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from seks_addon.errors import ExistsError, HomeError, VaultError
from seks_addon.home import BESIDE, PRIVATE_DIR, Home, beside, require_private, write_over
from seks_cli import keychoice, options, output, progress
from seks_cli.commands import Command
from seks_cli.workplace import Workplace, pass_workplace

if TYPE_CHECKING:
    from seks_addon.vault.keysource import KeySource
    from seks_addon.vault.rotation import Progress

#: Puts a vault into the home that it is given, and gives its key source; what it made elsewhere it can take back.
type Fill = Callable[[Home, contextlib.ExitStack], "KeySource"]
_NEW: Final = (
    "Without the master key the secrets are lost: keep a copy of it, apart from the vault.\n"
    "\n"
    "Next:\n"
    "  seks vault add openai         store a key; gives the token that stands for it\n"
    "  seks-proxy run                in another terminal\n"
    "  seks run -- COMMAND           run an agent with tokens instead of keys"
)
_REBUILT: Final = (
    "Secrets, agents with their passwords, and tokens are as they were in the backup; what was revoked, removed or\n"
    "rotated since is as before again.\n"
    "\n"
    "The CA is new: every sandbox that trusted the one of before must trust this one (`seks ca path`).\n"
    "The audit log begins anew; that of before, config.toml and providers/ are not in a backup."
)


@click.command(cls=Command)
@keychoice.options
@click.option(
    "--from-backup",
    "backup",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Take the vault from this backup, of a home that is lost.",
)
@options.as_json
@pass_workplace
def command(
    workplace: Workplace,
    key_source: str | None,
    key_file: Path | None,
    key_command: str | None,
    backup: Path | None,
    as_json: bool,
) -> None:
    """Make a home: master key, vault, audit log and CA.

    There is one client then, `default`, with one agent, `default`.

    With --from-backup the vault is that of FILE, with all that was in it, and under the same master key: the key file
    must be in its place or named with --key-file, a command be named with --key-command. CA and audit log are new.
    """
    home = workplace.home
    if backup:
        with progress.shown("Checking") as update:
            source = rebuild(home, backup.expanduser().absolute(), (key_source, key_file, key_command), update)
    else:
        source = keychoice.choose(home, key_source, key_file, key_command)
        initialise(home, source)
    if as_json:
        output.document(
            {
                "home": str(home.root),
                "key_source": source.kind,
                "key_file": source.local().get("path"),
                "vault": str(home.vault),
                "audit": str(home.audit),
                "ca_cert": str(home.ca_cert),
                "bundle": str(home.ca_bundle),
                **({"from_backup": str(backup)} if backup else {"client": options.DEFAULT, "agent": options.DEFAULT}),
            }
        )
    _describe(home, source, _REBUILT if backup else _NEW)


def _describe(home: Home, source: "KeySource", next_steps: str) -> None:
    place = keychoice.described(home, {"kind": source.kind, **source.public()}, dict(source.local()))
    output.say(
        f"The home is {home.root}:\n"
        f"  vault       {home.vault}\n"
        f"  audit log   {home.audit}\n"
        f"  master key  {place.removeprefix('keyfile, ')}\n"
        f"  CA          {home.ca_cert}\n"
        "\n"
        f"{next_steps}"
    )


def initialise(home: Home, source: "KeySource") -> None:
    """Make all of a home; raises `SeksError` and then leaves it as it was.

    The vault comes last: where there is one, the home is whole. A process that was killed on the way leaves parts
    that the next run takes over.
    """
    from seks_addon.vault import Vault, keysource

    def fill(stage: Home, undo: contextlib.ExitStack) -> "KeySource":
        undo.callback(source.discard)
        if home.epoch.exists():
            raise ExistsError(
                f"the home {home.root} had a vault, which is missing",
                hint=f"put it back with `seks vault restore FILE`; to begin anew without it, remove {home.epoch}",
            )
        with Vault.create(stage, source) as vault:
            keysource.confirm(stage, source, vault.id, vault.master_key_id)
            with vault.change():
                vault.agents.add(vault.clients.add(options.DEFAULT), options.DEFAULT)
        return source

    with source.reserved():
        _initialise(home, fill, ("init",))


def rebuild(
    home: Home, backup: Path, choice: tuple[str | None, Path | None, str | None], update: "Progress"
) -> "KeySource":
    """Make all of a home as `initialise` does, but with the vault of a backup; gives where its key comes from.

    `choice` is what the options say about the key.
    """
    from seks_addon.vault import epoch
    from seks_addon.vault.backup import rebuild as rebuild_vault

    def fill(stage: Home, _undo: contextlib.ExitStack) -> "KeySource":
        def choose(kind: str) -> "KeySource":
            return keychoice.existing(home, kind, *choice)

        source = rebuild_vault(stage, backup, choose, ask=keychoice.ask, progress=update)
        (before, seen), (vault_id, number) = epoch.known(home), epoch.known(stage)
        if before == vault_id and number <= seen:
            raise VaultError(
                f"{backup} is older than this home has seen the vault",
                hint="what was revoked since would be valid again; to take it all the same, `seks vault restore` it"
                " with --accept-older",
            )
        return source

    return _initialise(home, fill, ("init", "vault.restore"))


def _initialise(home: Home, fill: Fill, acts: Sequence[str]) -> "KeySource":
    with _made(home), home.exclusive():
        if home.vault.exists():
            raise ExistsError(
                f"the home {home.root} is initialised already",
                hint="see `seks status`; for another home, name it with --home",
            )
        stage = Home(home.stage)
        shutil.rmtree(stage.root, ignore_errors=True)
        try:
            stage.create()
            return _build(home, stage, fill, acts)
        finally:
            shutil.rmtree(stage.root, ignore_errors=True)


def _build(home: Home, stage: Home, fill: Fill, acts: Sequence[str]) -> "KeySource":
    from seks_addon import ca
    from seks_addon.audit import AuditLog
    from seks_addon.vault import epoch, keysource

    with contextlib.ExitStack() as undo:
        source = fill(stage, undo)
        if home.ca.exists():
            ca.load(home)
            ca.write_bundle(home)
        else:
            ca.create(stage)
        for path in (home.key_location, home.epoch):
            _keep(path, undo)
        # Said of the home, not of the stage: the usual place needs no word.
        keysource.remember(home, source)
        _move(stage.ca.parent, home.ca.parent, undo, unless=home.ca.exists())
        if not home.audit.exists():
            for suffix in BESIDE:
                undo.callback(beside(home.audit, suffix).unlink, missing_ok=True)
        with AuditLog(home.audit, create=True) as audit:
            for act in acts:
                audit.admin(act, client=options.DEFAULT, agent=options.DEFAULT)
        if epoch.known(home)[0] != epoch.known(stage)[0]:
            # Under another vault's, this one would be refused.
            home.epoch.unlink(missing_ok=True)
        for left in (beside(home.vault, suffix) for suffix in BESIDE):
            # SQLite would play the log of a vault that is lost into this one.
            _move(left, beside(stage.root / left.name, ".before"), undo, unless=not left.exists())
        _move(stage.vault, home.vault, undo)
        # After the vault: where there is none, an epoch says that one is missing, and how new it must be.
        _move(stage.epoch, home.epoch, undo)
        undo.pop_all()
    return source


def _keep(path: Path, undo: contextlib.ExitStack) -> None:
    """Have a file put back as it is now where the rest fails."""
    try:
        undo.callback(write_over, path, path.read_bytes())
    except FileNotFoundError:
        undo.callback(path.unlink, missing_ok=True)
    except OSError as error:
        raise HomeError(f"can't read {path}: {error.strerror}") from None


def _move(source: Path, target: Path, undo: contextlib.ExitStack, *, unless: bool = False) -> None:
    if unless:
        return
    try:
        # Over an empty directory, as `home.create` makes one, too.
        source.rename(target)
    except OSError as error:
        raise HomeError(f"can't write {target}: {error.strerror}") from None
    undo.callback(target.rename, source)


@contextlib.contextmanager
def _made(home: Home) -> Iterator[None]:
    """Make the home's folders; take those that are new away again where the block fails."""
    new = [folder for folder in (home.run, home.ca.parent, home.root) if not folder.exists()]
    with contextlib.suppress(OSError):
        if not any(home.root.iterdir()):
            # Somebody made the folder for this; nothing in it was open to others yet.
            home.root.chmod(PRIVATE_DIR)
    try:
        home.create()
        require_private(home.root)
        yield
    except BaseException:
        for folder in new:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise
