"""`seks status`: what is in the home, and whether a proxy runs."""

from collections import Counter
from typing import Any

import click

from seks_cli import options, output
from seks_cli.commands import Command
from seks_cli.workplace import Workplace, pass_workplace


@click.command(cls=Command)
@options.as_json
@pass_workplace
def command(workplace: Workplace, as_json: bool) -> None:
    """Say what is in the home, and whether a proxy runs."""
    status = _gather(workplace)
    if as_json:
        output.document(status)
        return
    tokens, proxy = status["tokens"], status["proxy"]
    output.fields(
        {
            "home": status["home"],
            "master key": status["key_place"],
            "clients": status["clients"],
            "agents": status["agents"],
            "secrets": status["secrets"],
            "tokens": f"{tokens['live']} live, {tokens['expired']} expired, {tokens['revoked']} revoked",
            "audit log": f"{status['audit_records']} records",
            "proxy": f"running at {proxy['proxy_url']}, process {proxy['pid']}" if proxy["running"] else "not running",
        }
    )


def _gather(workplace: Workplace) -> dict[str, Any]:
    from seks_addon.vault.keysource import key_file, local_place
    from seks_cli.keychoice import described
    from seks_cli.running import running

    with workplace.vault() as vault, workplace.audit() as audit:
        states = Counter(token.state for token in vault.tokens.list())
        proxy = running(workplace.home)
        return {
            "home": str(workplace.home.root),
            "initialised": True,
            "key_source": vault.source["kind"],
            "key_place": described(workplace.home, vault.source, dict(local_place(workplace.home))),
            **({"key_file": str(key_file(workplace.home))} if vault.source["kind"] == "keyfile" else {}),
            "epoch": vault.epoch,
            "clients": len(vault.clients.list()),
            "agents": len(vault.agents.list()),
            "secrets": len(vault.secrets.list()),
            "tokens": {state: states[state] for state in ("live", "expired", "revoked")},
            "audit_records": audit.count(),
            "proxy": {"running": True, **proxy.content} if proxy else {"running": False},
        }
