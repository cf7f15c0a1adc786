"""`seks ca`: the certificate authority that agents trust."""

import os
from pathlib import Path

import click

from seks_addon.home import PUBLIC_FILE, write_over
from seks_cli import options, output
from seks_cli.commands import Group
from seks_cli.workplace import Workplace, pass_workplace


@click.group(cls=Group)
def command() -> None:
    """Hand the sandbox's CA to clients that must trust it."""


@command.command()
@options.as_json
@pass_workplace
def path(workplace: Workplace, as_json: bool) -> None:
    """Print where the CA's certificate lies."""
    workplace.home.check()
    output.place(workplace.home.ca_cert, as_json=as_json)


@command.command()
@options.as_json
@pass_workplace
def show(workplace: Workplace, as_json: bool) -> None:
    """Print the CA's name, fingerprint and validity."""
    from seks_addon import ca
    from seks_addon.timing import timestamp

    workplace.home.check()
    authority = ca.load(workplace.home)
    described = {
        "subject": authority.certificate.subject.rfc4514_string(),
        "sha256": authority.fingerprint,
        "not_before": timestamp(authority.certificate.not_valid_before_utc),
        "not_after": timestamp(authority.certificate.not_valid_after_utc),
        "path": str(workplace.home.ca_cert),
    }
    if as_json:
        output.document(described)
    else:
        output.fields({name.replace("_", " "): value for name, value in described.items()})


@command.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
@options.as_json
@pass_workplace
def bundle(workplace: Workplace, file: Path | None, as_json: bool) -> None:
    """Write the public roots and the CA's certificate to FILE, or renew the home's bundle and print where it lies."""
    from seks_addon import ca

    home = workplace.home
    home.check()
    target = file.absolute() if file else home.ca_bundle
    if os.path.realpath(target) != os.path.realpath(home.ca_bundle):
        home.require_foreign(target)
    write_over(target, ca.bundle(home), PUBLIC_FILE)
    if file:
        output.say(f"Wrote {target}.")
    if as_json or not file:
        output.place(target, as_json=as_json)
