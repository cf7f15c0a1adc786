"""`seks vault`: real credentials, each under a name."""

from typing import TYPE_CHECKING, Any

import click

from seks_cli import copies, damaged, issued, keys, options, output, policy, source, terminal
from seks_cli.commands import Group
from seks_cli.source import Source
from seks_cli.workplace import Workplace, pass_workplace

if TYPE_CHECKING:
    from seks_addon.vault import StoredSecret


@click.group(cls=Group)
def command() -> None:
    """Store real credentials; their values are never printed."""


@command.command()
@click.argument("name")
@click.option("--provider", metavar="P", help="A provider of the catalog.  [default: the one called NAME]")
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="HOST[:PORT]",
    help="Where it may go; *. stands for one label, **. for one or more; repeatable.",
)
@click.option(
    "--header", "headers", multiple=True, metavar="'Name: fmt {}'", help="A header it may stand in; repeatable."
)
@click.option(
    "--placement",
    "placements",
    multiple=True,
    metavar="SPEC",
    help="Another place: bearer, basic:PART, query:NAME, cookie:NAME, path:/bot{}/, form:NAME, json:/POINTER,"
    " subprotocol:key.{} or message:/POINTER.",
)
@click.option(
    "--env",
    "variables",
    multiple=True,
    metavar="VAR",
    help="A variable for `seks env` to put the token in; repeatable.",
)
@policy.options
@options.expires
@options.client
@options.agent
@click.option("--no-token", is_flag=True, help="Store it without issuing a token.")
@source.options
@source.sealed
@options.as_json
@pass_workplace
def add(workplace: Workplace, /, **given: Any) -> None:
    """Store a credential as NAME, and issue a token for it.

    The value is asked for, or read with --stdin, --from-env or --from-file. The token is the last line of output.
    """
    from seks_cli.binding import bind

    name = given["name"]
    where = Source(given["stdin"], given["variable"], given["file"], given["sealed"])
    target = bind(
        workplace.catalog(),
        name,
        provider=given["provider"],
        hosts=given["hosts"],
        placements=[*given["placements"], *(f"header:{header}" for header in given["headers"])],
        variables=given["variables"],
        policy=policy.read(given),
    )
    expires = options.end(given["expires"])
    options.name("secret", name)
    where.check()
    with workplace.reading() as vault:
        # Before somebody types a value for nothing.
        client = vault.clients.get(given["client"])
        vault.secrets.check_free(client, name)
        if not given["no_token"]:
            vault.agents.get(client, given["agent"])
        unsealed = where.unseal(vault)
    value = unsealed or where.read(name)

    with workplace.administration() as (vault, audit):
        client = vault.clients.get(given["client"])
        agent = None if given["no_token"] else vault.agents.get(client, given["agent"])
        stored = vault.secrets.add(
            client,
            name,
            value,
            target.binding,
            provider=target.provider.name if target.provider else None,
            env=target.variables,
            expires=options.stored(expires),
        )
        token = vault.tokens.issue(stored, agent) if agent else None
        audit.admin(
            "vault.add",
            client=client.name,
            agent=agent.name if agent else None,
            secret=stored.name,
            token_id=token[0].id if token else None,
            provider=stored.provider,
        )

    source.note_unusual(value, target.provider)
    if not stored.env:
        output.note("no variable is named for it: `seks env` leaves it out (name one with --env)")
    output.say(f"Stored {stored.name}, for {', '.join(stored.binding.hosts)}.")
    issued.show(stored, *(token or (None, None)), as_json=given["as_json"])


@command.command("list")
@options.of_client
@options.as_json
@pass_workplace
def list_(workplace: Workplace, client: str | None, as_json: bool) -> None:
    """List the secrets, without their values; exit code 3 where a damaged one is left out."""
    with workplace.reading() as vault:
        secrets, lost = vault.secrets.survey(vault.clients.get(client) if client else None)
    if as_json:
        output.document([secret.to_json() for secret in secrets])
    else:
        _table(secrets)
    damaged.report(lost)


def _table(secrets: "list[StoredSecret]") -> None:
    output.table(
        ("name", "client", "provider", "hosts", "variables", "expires"),
        [
            (
                s.name,
                s.client,
                s.provider,
                output.shortened(s.binding.hosts),
                output.shortened(s.env) or None,
                s.expires,
            )
            for s in secrets
        ],
        empty="There are no secrets yet; store one with `seks vault add`.",
    )


@command.command()
@click.argument("name")
@options.client
@options.as_json
@pass_workplace
def show(workplace: Workplace, name: str, client: str, as_json: bool) -> None:
    """Say all about a secret but its value.

    Uses are counted where the rate, the uses or the requests at a time are limited.
    """
    with workplace.reading() as vault:
        secret = vault.secrets.get(vault.clients.get(client), name)
        tokens, lost = vault.tokens.survey(secret=secret)
    uses = policy.uses(workplace, secret.id, secret.binding.policy)
    live = sum(token.state == "live" for token in tokens)
    if as_json:
        output.document({**secret.to_json(), "uses": uses, "live_tokens": live})
    else:
        output.fields({**_described(secret), "uses": policy.counted(uses), "live tokens": live})
    damaged.report(lost)


@command.command()
@click.argument("name")
@options.client
@source.options
@source.sealed
@options.as_json
@pass_workplace
def rotate(workplace: Workplace, /, name: str, client: str, as_json: bool, **given: Any) -> None:
    """Replace a secret's value; every token of it goes on working."""
    where = Source(given["stdin"], given["variable"], given["file"], given["sealed"])
    where.check()
    with workplace.reading() as vault:
        # Before somebody types a value for nothing.
        vault.secrets.get(vault.clients.get(client), name)
        unsealed = where.unseal(vault)
    value = unsealed or where.read(name)

    with workplace.administration(erases=True) as (vault, audit):
        stored = vault.secrets.rotate(vault.clients.get(client), name, value)
        audit.admin("vault.rotate", client=client, secret=name, provider=stored.provider)

    source.note_unusual(value, workplace.catalog().find(stored.provider) if stored.provider else None)
    output.say(f"Replaced the value of {name}; its tokens stand for the new one.")
    if as_json:
        output.document(stored.to_json())


@command.command()
@click.argument("name")
@options.client
@options.yes
@options.as_json
@pass_workplace
def remove(workplace: Workplace, name: str, client: str, yes: bool, as_json: bool) -> None:
    """Remove a secret with its value and tokens, for good; NAME may be the id of a damaged one."""
    with workplace.reading() as vault:
        found = vault.secrets.locate(vault.clients.get(client), name)
    terminal.confirm(f"Remove {damaged.called(found, 'secret')} and its tokens?", yes=yes)

    with workplace.administration(erases=True) as (vault, audit):
        stored = vault.secrets.remove(vault.clients.get(client), name)
        audit.admin("vault.remove", client=client, secret=name, provider=getattr(stored, "provider", None))

    output.say(f"Removed {name} and its tokens.")
    if as_json:
        output.document(stored.to_json())


@command.command()
@options.as_json
@pass_workplace
def path(workplace: Workplace, as_json: bool) -> None:
    """Print where the vault lies."""
    workplace.home.check()
    output.place(workplace.home.vault, as_json=as_json)


for _command in (
    keys.rekey,
    keys.reencrypt,
    keys.destroy,
    copies.backup,
    copies.restore,
    copies.check,
    keys.seal_key,
    keys.seal,
    keys.new_key,
):
    command.add_command(_command)


def _described(secret: "StoredSecret") -> dict[str, Any]:
    return {
        "name": secret.name,
        "client": secret.client,
        "provider": secret.provider,
        **{
            str(endpoint.origin): [placement.where for placement in endpoint.placements]
            for endpoint in secret.binding.endpoints
        },
        **policy.described(secret.binding.policy),
        "variables": secret.env,
        "version": secret.version,
        "created": secret.created,
        "rotated": secret.rotated,
        "expires": secret.expires,
    }
