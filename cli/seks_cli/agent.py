"""`seks agent`: who uses tokens."""

from typing import TYPE_CHECKING, Any

import click

from seks_cli import damaged, options, output, terminal
from seks_cli.commands import Group
from seks_cli.workplace import Workplace, pass_workplace

if TYPE_CHECKING:
    from seks_addon.vault import Agent, Vault


@click.group(cls=Group)
def command() -> None:
    """Let agents in, and shut them out."""


@command.command()
@click.argument("name")
@options.client
@options.as_json
@pass_workplace
def add(workplace: Workplace, name: str, client: str, as_json: bool) -> None:
    """Make an agent; its proxy password is the last line of output."""
    options.name("agent", name)
    with workplace.administration() as (vault, audit):
        agent, password = vault.agents.add(vault.clients.get(client), name)
        audit.admin("agent.add", client=client, agent=name)
    place = "" if client == options.DEFAULT else f" --client {client}"
    with output.once(f"the agent {name} is made", f"see its password with `seks env --agent {name}{place}`"):
        if as_json:
            output.document({**agent.to_json(), "user": agent.user, "password": password})
            return
        output.say(f"Made the agent {name}. It is {agent.user} to the proxy, with this password:")
        output.data(password)


@command.command("list")
@options.of_client
@options.as_json
@pass_workplace
def list_(workplace: Workplace, client: str | None, as_json: bool) -> None:
    """List the agents; exit code 3 where a damaged one is left out."""
    with workplace.reading() as vault:
        chosen, lost = vault.agents.survey(vault.clients.get(client) if client else None)
        agents = [_described(vault, agent) for agent in chosen]
    if as_json:
        output.document(agents)
    else:
        output.table(
            ("name", "client", "state", "live tokens", "created"),
            [(a["name"], a["client"], _state(a["enabled"]), a["live_tokens"], a["created"]) for a in agents],
            empty="There are no agents; add one with `seks agent add`.",
        )
    damaged.report(lost)


@command.command()
@click.argument("name")
@options.client
@options.as_json
@pass_workplace
def show(workplace: Workplace, name: str, client: str, as_json: bool) -> None:
    """Say all about an agent but its password."""
    with workplace.reading() as vault:
        agent = _described(vault, vault.agents.get(vault.clients.get(client), name))
    if as_json:
        output.document(agent)
        return
    output.fields(
        {
            "name": agent["name"],
            "client": agent["client"],
            "proxy user": agent["user"],
            "state": _state(agent["enabled"]),
            "live tokens": agent["live_tokens"],
            "created": agent["created"],
        }
    )


@command.command()
@click.argument("name")
@options.client
@options.yes
@options.as_json
@pass_workplace
def remove(workplace: Workplace, name: str, client: str, yes: bool, as_json: bool) -> None:
    """Remove an agent with its tokens; NAME may be the id of a damaged one."""
    with workplace.reading() as vault:
        found = vault.agents.locate(vault.clients.get(client), name)
    terminal.confirm(f"Remove {damaged.called(found, 'agent')} and its tokens?", yes=yes)

    with workplace.administration() as (vault, audit):
        agent = vault.agents.remove(vault.clients.get(client), name)
        audit.admin("agent.remove", client=client, agent=name)
    output.say(f"Removed the agent {name} and its tokens.")
    if as_json:
        output.document(agent.to_json())


@command.command()
@click.argument("name")
@options.client
@options.as_json
@pass_workplace
def disable(workplace: Workplace, name: str, client: str, as_json: bool) -> None:
    """Shut an agent out; holds from its next request."""
    _set_enabled(workplace, client, name, enabled=False, as_json=as_json)


@command.command()
@click.argument("name")
@options.client
@options.as_json
@pass_workplace
def enable(workplace: Workplace, name: str, client: str, as_json: bool) -> None:
    """Let an agent in again."""
    _set_enabled(workplace, client, name, enabled=True, as_json=as_json)


def _set_enabled(workplace: Workplace, client: str, name: str, *, enabled: bool, as_json: bool) -> None:
    with workplace.administration() as (vault, audit):
        agent = vault.agents.set_enabled(vault.clients.get(client), name, enabled)
        audit.admin("agent.enable" if enabled else "agent.disable", client=client, agent=name)
    output.say(f"The agent {name} is {_state(enabled)}.")
    if as_json:
        output.document(agent.to_json())


def _described(vault: "Vault", agent: "Agent") -> dict[str, Any]:
    live = sum(token.state == "live" for token in vault.tokens.survey(agent=agent).sound)
    return {**agent.to_json(), "user": agent.user, "live_tokens": live}


def _state(enabled: bool) -> str:
    return "enabled" if enabled else "disabled"
