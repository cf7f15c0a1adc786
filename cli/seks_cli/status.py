"""`seks status`: what is in the home, and whether a proxy runs."""

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from seks_cli import damaged, options, output
from seks_cli.commands import Command
from seks_cli.workplace import Workplace, pass_workplace

if TYPE_CHECKING:
    from seks_addon.vault.damage import DamagedRow


@click.command(cls=Command)
@options.as_json
@pass_workplace
def command(workplace: Workplace, as_json: bool) -> None:
    """Say what is in the home, and whether a proxy runs; exit code 3 where a row of the vault is damaged."""
    status, lost = _gather(workplace)
    if as_json:
        output.document(status)
    else:
        _show(status)
    damaged.report(lost)


def _show(status: dict[str, Any]) -> None:
    tokens, proxy = status["tokens"], status["proxy"]
    output.fields(
        {
            "home": status["home"],
            "master key": status["key_place"],
            "clients": status["clients"],
            "agents": status["agents"],
            "secrets": status["secrets"],
            "tokens": f"{tokens['live']} live, {tokens['expired']} expired, {tokens['revoked']} revoked",
            "audit log": output.counted(status["audit_records"], "record"),
            "proxy": f"running at {proxy['proxy_url']}, process {proxy['pid']}" if proxy["running"] else "not running",
        }
    )


def _gather(workplace: Workplace) -> "tuple[dict[str, Any], list[DamagedRow]]":
    from seks_addon.vault.keysource import key_file, local_place
    from seks_cli.keychoice import described
    from seks_cli.running import running

    with workplace.reading() as vault, workplace.audit() as audit:
        clients, agents = vault.clients.survey(), vault.agents.survey()
        secrets, tokens = vault.secrets.survey(), vault.tokens.survey()
        lost = [*clients.damaged, *agents.damaged, *secrets.damaged, *tokens.damaged]
        states = Counter(token.state for token in tokens.sound)
        proxy = running(workplace.home)
        status = {
            "home": str(workplace.home.root),
            "initialised": True,
            "key_source": vault.source["kind"],
            "key_place": described(workplace.home, vault.source, dict(local_place(workplace.home))),
            **({"key_file": str(key_file(workplace.home))} if vault.source["kind"] == "keyfile" else {}),
            "key_id": vault.master_key_id.hex(),
            "epoch": vault.epoch,
            "clients": len(clients.sound),
            "agents": len(agents.sound),
            "secrets": len(secrets.sound),
            "tokens": {state: states[state] for state in ("live", "expired", "revoked")},
            "damaged": len(lost),
            "audit_records": audit.count(),
            "proxy": {"running": True, **proxy.content} if proxy else {"running": False},
        }
        return status, lost
