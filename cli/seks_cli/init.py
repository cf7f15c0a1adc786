"""`seks init`: the home with its master key, vault, audit log and CA."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from seks_addon.errors import ExistsError, HomeError
from seks_addon.home import PRIVATE_DIR, Home, require_private
from seks_cli import keychoice, options, output
from seks_cli.commands import Command
from seks_cli.workplace import Workplace, pass_workplace

if TYPE_CHECKING:
    from seks_addon.vault.keysource import KeySource

#: Where the parts are made, below the home, before each takes its place in one step.
_STAGE: Final = ".init"


@click.command(cls=Command)
@keychoice.options
@options.as_json
@pass_workplace
def command(
    workplace: Workplace, key_source: str | None, key_file: Path | None, key_command: str | None, as_json: bool
) -> None:
    """Make a home: master key, vault, audit log and CA.

    There is one client then, `default`, with one agent, `default`.
    """
    home = workplace.home
    source = keychoice.choose(home, key_source, key_file, key_command)
    initialise(home, source)
    key_path = source.local().get("path")
    place = keychoice.described(home, {"kind": source.kind, **source.public()}, dict(source.local()))
    if as_json:
        output.document(
            {
                "home": str(home.root),
                "key_source": source.kind,
                "key_file": key_path,
                "vault": str(home.vault),
                "audit": str(home.audit),
                "ca_cert": str(home.ca_cert),
                "bundle": str(home.ca_bundle),
                "client": options.DEFAULT,
                "agent": options.DEFAULT,
            }
        )
    output.say(
        f"The home is {home.root}:\n"
        f"  vault       {home.vault}\n"
        f"  audit log   {home.audit}\n"
        f"  master key  {place.removeprefix('keyfile, ')}\n"
        f"  CA          {home.ca_cert}\n"
        "\n"
        "Without the master key the secrets are lost: keep a copy of it, apart from the vault.\n"
        "\n"
        "Next:\n"
        "  seks vault add openai         store a key; gives the token that stands for it\n"
        "  seks-proxy run                in another terminal\n"
        "  seks run -- COMMAND           run an agent with tokens instead of keys"
    )


def initialise(home: Home, source: "KeySource") -> None:
    """Make all of a home; raises `SeksError` and then leaves it as it was.

    The vault comes last: where there is one, the home is whole. A process that was killed on the way leaves parts
    that the next run takes over.
    """
    with _made(home), home.exclusive():
        if home.vault.exists():
            raise ExistsError(
                f"the home {home.root} is initialised already",
                hint="see `seks status`; for another home, name it with --home",
            )
        stage = Home(home.root / _STAGE)
        shutil.rmtree(stage.root, ignore_errors=True)
        try:
            stage.create()
            _build(home, stage, source)
        finally:
            shutil.rmtree(stage.root, ignore_errors=True)


def _build(home: Home, stage: Home, source: "KeySource") -> None:
    from seks_addon import ca
    from seks_addon.audit import AuditLog
    from seks_addon.vault import Vault, keysource

    if home.ca.exists():
        ca.load(home)
        ca.write_bundle(home)
    else:
        ca.create(stage)
    with contextlib.ExitStack() as undo:
        undo.callback(source.discard)
        with Vault.create(stage, source) as vault, vault.change():
            vault.agents.add(vault.clients.add(options.DEFAULT), options.DEFAULT)
        # Said of the home, not of the stage: the usual place needs no word.
        keysource.remember(home, source)
        undo.callback(home.key_location.unlink, missing_ok=True)
        _move(stage.ca.parent, home.ca.parent, undo, unless=home.ca.exists())
        _move(stage.epoch, home.epoch, undo)
        if not home.audit.exists():
            for suffix in ("", "-wal", "-shm"):
                undo.callback(home.audit.with_name(home.audit.name + suffix).unlink, missing_ok=True)
        with AuditLog(home.audit, create=True) as audit:
            audit.admin("init", client=options.DEFAULT, agent=options.DEFAULT)
        _move(stage.vault, home.vault, undo)
        undo.pop_all()


def _move(source: Path, target: Path, undo: contextlib.ExitStack, *, unless: bool = False) -> None:
    if unless:
        return
    try:
        # Over an empty directory, as `home.create` makes one, too.
        source.rename(target)
    except OSError as error:
        raise HomeError(f"can't write {target}: {error.strerror}") from None
    undo.callback(shutil.rmtree if target.is_dir() else os.unlink, target)


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
