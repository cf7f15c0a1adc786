"""`seks provider`: the catalog."""

import click

from seks_cli import options, output
from seks_cli.commands import Group
from seks_cli.workplace import Workplace, pass_workplace


@click.group(cls=Group)
def command() -> None:
    """Look into the catalog of providers.

    It says where a provider's credentials may go, and where in a request they stand. Entries of your own are TOML
    files in the folder `providers` of the home; they win over those of SEKS.
    """


@command.command("list")
@options.as_json
@pass_workplace
def list_(workplace: Workplace, as_json: bool) -> None:
    """List the providers."""
    providers = list(workplace.catalog())
    if as_json:
        output.document([provider.to_json() for provider in providers])
        return
    output.table(
        ("name", "title", "hosts", "variables"),
        [
            (p.name, p.title, output.shortened([str(e.origin) for e in p.endpoints]), output.shortened(p.env))
            for p in providers
        ],
        empty="The catalog is empty.",
    )


@command.command()
@click.argument("name")
@options.as_json
@pass_workplace
def show(workplace: Workplace, name: str, as_json: bool) -> None:
    """Say what SEKS knows of a provider."""
    provider = workplace.catalog().get(name)
    if as_json:
        output.document(provider.to_json())
        return
    output.fields(
        {
            "name": provider.name,
            "title": provider.title,
            "documentation": provider.docs,
            "also called": provider.aliases,
            "variables": provider.env,
            "credentials look like": f"{provider.native_prefix}…" if provider.native_prefix else None,
            **{
                str(endpoint.origin): [placement.where for placement in endpoint.placements]
                for endpoint in provider.endpoints
            },
        }
    )
