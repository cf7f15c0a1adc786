"""`python -m benchmarks [flood|proxy|scrub|vault]`: measure one of them, or all."""

import click

from benchmarks.flood import flood
from benchmarks.proxy import proxy
from benchmarks.scrub import scrub
from benchmarks.vault import vault


@click.group(invoke_without_command=True)
@click.pass_context
def main(context: click.Context) -> None:
    """Measure all, or what is named."""
    if context.invoked_subcommand is None:
        for command in main.commands.values():
            click.echo(f"\n{command.name}\n")
            context.invoke(command)


main.add_command(flood)
main.add_command(proxy)
main.add_command(scrub)
main.add_command(vault)

if __name__ == "__main__":
    main()
