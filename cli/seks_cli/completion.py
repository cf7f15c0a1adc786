"""`seks completion`: the script that makes a shell complete commands."""

from typing import Final

import click
from click.shell_completion import get_completion_class

from seks_cli import output
from seks_cli.commands import Command

PROGRAMS: Final = ("seks", "seks-proxy")


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), metavar="SHELL")
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the script that makes SHELL (bash, zsh or fish) complete the commands of both programs.

    For bash, put `eval "$(seks completion bash)"` into ~/.bashrc; for zsh, the same with zsh into ~/.zshrc; for
    fish, `seks completion fish | source` into ~/.config/fish/config.fish.
    """
    cls = get_completion_class(shell)
    assert cls is not None  # noqa: S101 - the choices are click's own
    for program in PROGRAMS:
        # As click names it itself, where the program looks for it.
        variable = f"_{program.replace('-', '_').upper()}_COMPLETE"
        output.data(cls(ctx.find_root().command, {}, program, variable).source())
