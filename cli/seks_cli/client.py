"""`seks client`: tenants, each with agents and secrets of its own."""

from typing import TYPE_CHECKING, Any

import click

from seks_addon.errors import InputError
from seks_cli import damaged, options, output, terminal
from seks_cli.commands import Group
from seks_cli.workplace import Workplace, pass_workplace

if TYPE_CHECKING:
    from seks_addon.vault import Client, Vault


@click.group(cls=Group)
def command() -> None:
    """Keep tenants apart.

    Each has a data key, agents and secrets of its own.
    """


@command.command()
@click.argument("name")
@options.as_json
@pass_workplace
def add(workplace: Workplace, name: str, as_json: bool) -> None:
    """Make a client, with one agent called `default`."""
    options.name("client", name)
    with workplace.administration() as (vault, audit):
        client = vault.clients.add(name)
        agent, _password = vault.agents.add(client, options.DEFAULT)
        audit.admin("client.add", client=client.name, agent=agent.name)
        described = _described(vault, client)
    output.say(f"Made the client {name} with the agent {agent.name}; add more with `seks agent add`.")
    if as_json:
        output.document(described)


@command.command("list")
@options.as_json
@pass_workplace
def list_(workplace: Workplace, as_json: bool) -> None:
    """List the clients; exit code 3 where a damaged one is left out."""
    with workplace.reading() as vault:
        sound, lost = vault.clients.survey()
        clients = [_described(vault, client) for client in sound]
    if as_json:
        output.document(clients)
    else:
        output.table(
            ("name", "agents", "secrets", "live tokens", "created"),
            [(c["name"], len(c["agents"]), len(c["secrets"]), c["live_tokens"], c["created"]) for c in clients],
            empty="There are no clients.",
        )
    damaged.report(lost)


@command.command()
@click.argument("name")
@options.as_json
@pass_workplace
def show(workplace: Workplace, name: str, as_json: bool) -> None:
    """Say all about a client."""
    with workplace.reading() as vault:
        client = _described(vault, vault.clients.get(name))
    if as_json:
        output.document(client)
    else:
        output.fields({key.replace("_", " "): value for key, value in client.items()})


@command.command()
@click.argument("name")
@options.yes
@options.as_json
@pass_workplace
def remove(workplace: Workplace, name: str, yes: bool, as_json: bool) -> None:
    """Remove a client with its agents, tokens, secrets and data key, for good."""
    if name == options.DEFAULT:
        raise InputError(
            f"the client {name} can't be removed: commands without --client mean it",
            hint="remove its secrets and agents with `seks vault remove` and `seks agent remove`",
        )
    with workplace.reading() as vault:
        count = vault.secrets.count(vault.clients.get(name))
    terminal.confirm(f"Remove the client {name} with its agents and {output.counted(count, 'secret')}?", yes=yes)

    with workplace.administration(erases=True) as (vault, audit):
        client = vault.clients.remove(name)
        audit.admin("client.remove", client=name)
    output.say(f"Removed the client {name}; its secrets can't be read again.")
    if as_json:
        output.document(client.to_json())


def _described(vault: "Vault", client: "Client") -> dict[str, Any]:
    return {
        **client.to_json(),
        "agents": [agent.name for agent in vault.agents.survey(client).sound],
        "secrets": [secret.name for secret in vault.secrets.survey(client).sound],
        "live_tokens": sum(token.state == "live" for token in vault.tokens.survey(client_id=client.id).sound),
    }
