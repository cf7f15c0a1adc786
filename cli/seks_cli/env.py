"""`seks env`: an agent's environment, for a shell, a container or a program to read."""

from urllib.parse import urlsplit

import click

from seks_cli import formats, options, output
from seks_cli.commands import Command
from seks_cli.workplace import Workplace, pass_workplace


@click.command(cls=Command)
@options.agent
@options.client
@click.option(
    "--format",
    "form",
    type=click.Choice(list(formats.FORMS)),
    default="sh",
    show_default=True,
    help="How the variables are written.",
)
@options.proxy
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@pass_workplace
def command(workplace: Workplace, agent: str, client: str, form: str, proxy_url: str | None, as_json: bool) -> None:
    """Print an agent's variables: tokens, proxy, CA.

    For a shell: eval "$(seks env)". For a container: seks env --format docker > agent.env
    """
    from seks_cli.surroundings import gather

    found = gather(workplace, client, agent, proxy_url)
    variables = {**found.settings, **found.credentials}
    if not found.reachable:
        output.note(f"no proxy answers at {found.place}; start it with `seks-proxy run`")
    elif form == "docker" and (urlsplit(found.proxy_url).hostname or "").startswith(("127.", "localhost", "::1")):
        output.note("in a container, this proxy URL means the container itself; give --proxy an address of the host")
    click.echo(formats.write(variables, "json" if as_json else form), nl=False)
