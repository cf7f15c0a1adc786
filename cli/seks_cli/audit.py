"""`seks audit`: what was done with the secrets."""

import sys
import time
from typing import Any, Final

import click

from seks_cli import edge, options, output
from seks_cli.commands import Group
from seks_cli.workplace import Workplace, pass_workplace

#: How often `tail -f` looks for new records, in seconds.
POLL: Final = 0.3


@click.group(cls=Group)
def command() -> None:
    """Read the audit log.

    It has every use of a secret, every refusal and every act of administration.
    """


@command.command()
@click.option(
    "-n", "--lines", "count", type=click.IntRange(min=0), default=10, show_default=True, help="How many records."
)
@click.option("-f", "--follow", is_flag=True, help="Go on with new ones as they come.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document; with -f, one a record, each on its line."
)
@pass_workplace
def tail(workplace: Workplace, count: int, follow: bool, as_json: bool) -> None:
    """Print the last records."""
    with workplace.audit() as audit:
        # At least one is read: new ones are those after it.
        records = list(audit.read(last=min(max(count, 1), sys.maxsize)))
        shown = records[-count:] if count else []
        if as_json and not follow:
            output.documents(shown)
            return
        for record in shown:
            _print(record, as_json)
        last = records[-1]["seq"] if records else 0
        while follow:
            for record in audit.read(after=last):
                _print(record, as_json)
                last = record["seq"]
            time.sleep(POLL)


@command.command("list")
@click.option("--since", metavar="TIME", help="Not before: 24h (ago), 2026-12-31 or 2026-12-31T18:00Z.")
@click.option("--until", metavar="TIME", help="Before.")
@options.of_client
@click.option("--agent", metavar="AGENT", help="Only this agent's.")
@click.option("--secret", metavar="SECRET", help="Only those about this secret.")
@click.option("--outcome", type=click.Choice(["allowed", "refused", "failed"]), help="Only those that went so.")
@options.as_json
@pass_workplace
def list_(workplace: Workplace, /, since: str | None, until: str | None, as_json: bool, **given: str | None) -> None:
    """Print records, oldest first."""
    from seks_addon.audit import Filter

    wanted = Filter(since=options.past(since), until=options.past(until), **given)
    with workplace.audit() as audit:
        if as_json:
            output.documents(audit.read(wanted))
            return
        for record in audit.read(wanted):
            _print(record, as_json=False)


@command.command()
@options.as_json
@click.pass_context
@pass_workplace
def verify(workplace: Workplace, ctx: click.Context, as_json: bool) -> None:
    """Check that no record was changed, removed or put in; exits with 3 where one was."""
    with workplace.audit(check_schema=False) as audit:
        verdict = audit.verify()
    if as_json:
        output.document(verdict.to_json())
    elif verdict.intact:
        output.data(f"{output.counted(verdict.records, 'record')}, the chain is intact")
    elif verdict.bad_seq is None:
        output.data(f"{output.counted(verdict.records, 'record')}, and {verdict.problem}")
    else:
        output.data(f"the chain is broken at record {verdict.bad_seq}: {verdict.problem}")
    if not verdict.intact:
        ctx.exit(edge.FOUND)


def _print(record: dict[str, Any], as_json: bool) -> None:
    if as_json:
        output.json_line(record)
    else:
        output.data(line(record))


def line(record: dict[str, Any]) -> str:
    """One record for people, all on one line; a dash stands for nothing."""
    agent = record["agent"] or "-"
    if record["client"] not in (None, options.DEFAULT):
        agent = f"{record['client']}/{agent}"
    port = "" if record["port"] in (None, 443) else f":{record['port']}"
    request = f"{record['method'] or '-'} {record['host'] or '-'}{port}{record['path'] or ''}"
    status = record["status"] if record["status"] is not None else "-"
    columns = (
        f"{record['time'][:23]}Z",
        f"{record['event']:8}",
        f"{record['outcome']:7}",
        f"{agent:12}",
        f"{record['secret'] or '-':12}",
        request if record["event"] != "admin" else "-",
        str(status),
        record["reason"] or "-",
        record["source_ip"] or "-",
    )
    return output.one_line("  ".join(columns))
