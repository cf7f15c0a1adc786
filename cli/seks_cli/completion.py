"""`seks completion`: the script that makes a shell complete commands."""

import click
from click.shell_completion import get_completion_class

from seks_cli import output
from seks_cli.commands import Command


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the script that makes SHELL complete commands.

    For bash, put `eval "$(seks completion bash)"` into ~/.bashrc; for zsh, the same with zsh into ~/.zshrc; for
    fish, `seks completion fish | source` into ~/.config/fish/config.fish.
    """
    cls = get_completion_class(shell)
    assert cls is not None  # noqa: S101 - the choices are click's own
    output.data(cls(ctx.find_root().command, {}, "seks", "_SEKS_COMPLETE").source())
