"""`seks token`: fake tokens, each for one secret in the hands of one agent."""

from typing import TYPE_CHECKING, Any

import click

from seks_addon.errors import InputError, NotFoundError, UsageError
from seks_cli import damaged, issued, options, output, policy
from seks_cli.commands import Group
from seks_cli.workplace import Workplace, pass_workplace

if TYPE_CHECKING:
    from seks_addon.audit import AuditLog
    from seks_addon.vault import Token, Vault
    from seks_addon.vault.damage import Sifted


@click.group(cls=Group)
def command() -> None:
    """Issue fake tokens to agents, and take them back."""


@command.command()
@click.argument("secret")
@options.agent
@options.client
@options.expires
@click.option("--host", "hosts", multiple=True, metavar="HOST[:PORT]", help="Only this one of its hosts; repeatable.")
@policy.options
@options.as_json
@pass_workplace
def issue(workplace: Workplace, /, secret: str, agent: str, client: str, as_json: bool, **given: Any) -> None:
    """Issue a token for SECRET; it is the last line of output.

    Its policy can only narrow the secret's. `seks env` uses an agent's newest live token of a secret.
    """
    narrower, end = policy.read(given, hosts=given["hosts"]), options.end(given["expires"])
    with workplace.administration() as (vault, audit):
        owner = vault.clients.get(client)
        stored = vault.secrets.get(owner, secret)
        token, text = vault.tokens.issue(stored, vault.agents.get(owner, agent), policy=narrower, expires=end)
        _record(audit, "token.issue", token)
    issued.show(stored, token, text, as_json=as_json)


@command.command("list")
@options.of_client
@click.option("--agent", metavar="AGENT", help="Only this agent's.  [default: all]")
@click.option("--secret", metavar="SECRET", help="Only those of this secret.  [default: all]")
@options.as_json
@pass_workplace
def list_(workplace: Workplace, client: str | None, agent: str | None, secret: str | None, as_json: bool) -> None:
    """List tokens, without their texts; exit code 3 where a damaged one is left out."""
    with workplace.reading() as vault:
        tokens, lost = _select(vault, client, agent, secret)
    if as_json:
        output.document([token.to_json() for token in tokens])
    else:
        output.table(
            ("id", "secret", "client", "agent", "state", "limits", "expires", "created"),
            [
                (
                    t.id,
                    t.secret,
                    t.client,
                    t.agent,
                    t.state,
                    output.shortened(policy.shortened(t.policy)) or None,
                    t.expires,
                    t.created,
                )
                for t in tokens
            ],
            empty="There are no such tokens; issue one with `seks token issue`.",
        )
    damaged.report(lost)


@command.command()
@click.argument("token_id", metavar="ID")
@options.as_json
@pass_workplace
def show(workplace: Workplace, token_id: str, as_json: bool) -> None:
    """Say all about a token but its text; ID may be the text.

    Uses are counted where the rate, the uses or the requests at a time are limited.
    """
    with workplace.reading() as vault:
        token = vault.tokens.get(token_id)
    uses = policy.uses(workplace, token.id, token.policy)
    if as_json:
        output.document({**token.to_json(), "uses": uses})
        return
    output.fields(
        {
            "id": token.id,
            "secret": token.secret,
            "provider": token.provider,
            "client": token.client,
            "agent": token.agent,
            "state": token.state,
            "hosts": token.policy.hosts or "all of the secret's",
            **policy.described(token.policy),
            "uses": policy.counted(uses),
            "created": token.created,
            "expires": token.expires,
            "revoked": token.revoked,
        }
    )


@command.command()
@click.argument("token", metavar="ID|TOKEN", required=False)
@click.option("--all", "everything", is_flag=True, help="All live tokens of the client.")
@click.option("--agent", metavar="AGENT", help="With --all: only this agent's.")
@click.option("--client", metavar="CLIENT", help=f"With --all: whose.  [default: {options.DEFAULT}]")
@options.as_json
@pass_workplace
def revoke(
    workplace: Workplace, token: str | None, everything: bool, agent: str | None, client: str | None, as_json: bool
) -> None:
    """End a token for good, or with --all all of them; holds from the next request. A damaged one is removed."""
    if everything == (token is not None):
        raise UsageError("name one token, or --all", hint="see `seks token list` for their ids")
    from seks_addon.vault.damage import remove_row

    if token is not None and (agent or client):
        raise UsageError("--agent and --client go with --all")

    with workplace.administration() as (vault, audit):
        if token is None:
            sound, lost = _select(vault, client or options.DEFAULT, agent, None)
        else:
            sound, lost = vault.tokens.locate(token)
        live = [one for one in sound if not one.revoked]
        revoked = [vault.tokens.revoke(one) for one in live]
        for one in revoked:
            _record(audit, "token.revoke", one)
        for row in lost:
            # Whatever it said, it can't be marked as revoked: that would be a seal on it.
            remove_row(vault, row.kind, row.id)
            audit.admin("token.revoke", token_id=row.id)

    for row in lost:
        output.say(f"Removed {row}, which was changed outside of SEKS.")
    if as_json:
        output.document({"revoked": [one.to_json() for one in revoked], "removed": [row.to_json() for row in lost]})
    elif token is None:
        output.say(f"Revoked {output.counted(len(revoked), 'token')}.")
    elif sound:
        output.say(f"{sound[0].id} {'is revoked' if revoked else 'was revoked already'}.")


@command.command()
@click.argument("token_id", metavar="ID")
@options.as_json
@pass_workplace
def regenerate(workplace: Workplace, token_id: str, as_json: bool) -> None:
    """Replace a token by a new one of the same kind; it is the last line of output."""
    with workplace.administration() as (vault, audit):
        old = vault.tokens.get(token_id)
        if old.state != "live":
            raise InputError(f"the token {old.id} is {old.state}", hint="issue a new one with `seks token issue`")
        secret = vault.secrets.get(vault.clients.get(old.client), old.secret)
        agent = vault.agents.by_id(old.agent_id)
        if agent is None:
            raise NotFoundError("the token's agent is gone")
        token, text = vault.tokens.regenerate(old, secret, agent)
        _record(audit, "token.regenerate", token)
    output.say(f"{old.id} is revoked.")
    issued.show(secret, token, text, as_json=as_json)


def _select(vault: "Vault", client: str | None, agent: str | None, secret: str | None) -> "Sifted[Token]":
    """Tokens of a client, or of all; an agent and a secret are then named inside the default client."""
    owner = vault.clients.get(client or options.DEFAULT)
    return vault.tokens.survey(
        agent=vault.agents.get(owner, agent) if agent else None,
        secret=vault.secrets.get(owner, secret) if secret else None,
        client_id=owner.id if client else None,
    )


def _record(audit: "AuditLog", act: str, token: "Token") -> None:
    audit.admin(
        act,
        client=token.client,
        agent=token.agent,
        secret=token.secret,
        token_id=token.id,
        provider=token.provider,
    )
