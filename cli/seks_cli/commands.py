"""What every command of `seks` has: `--home`, and errors that help."""

from typing import Any

import click

from seks_addon import __version__
from seks_cli import output
from seks_cli.workplace import Workplace


def _home_option() -> click.Option:
    def set_home(ctx: click.Context, _parameter: click.Parameter, value: str | None) -> None:
        # One object for the whole command line; the option nearest to the end of it wins.
        workplace = ctx.ensure_object(Workplace)
        if value is not None:
            workplace.option = value

    return click.Option(
        ["--home"],
        metavar="DIR",
        expose_value=False,
        callback=set_home,
        help="SEKS's home.  [default: $SEKS_HOME or ~/.seks]",
    )


def _version_option() -> click.Option:
    def show_version(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
        if value and not ctx.resilient_parsing:
            click.echo(f"seks, version {__version__}")
            ctx.exit()

    return click.Option(
        ["--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=show_version,
        help="Show the version and exit.",
    )


def _require_text(ctx: click.Context, parameter: click.Parameter) -> None:
    """Raise `click.BadParameter` for bytes that are no text: databases hold none, and no name has any."""
    value = ctx.params.get(parameter.name or "")
    try:
        for word in value if isinstance(value, tuple) else (value,):
            if isinstance(word, str):
                word.encode()
    except UnicodeEncodeError:
        raise click.BadParameter("that is not UTF-8 text", ctx, parameter) from None


class Command(click.Command):
    """A command that takes `--home`, and that never repeats surplus words: one of them may be a credential."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += [_home_option(), _version_option()]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.allow_extra_args = True
        surplus = super().parse_args(ctx, args)
        if surplus and not ctx.resilient_parsing:
            raise click.UsageError(f"{output.counted(len(surplus), 'word')} too many on the command line", ctx)
        for parameter in self.params:
            # Paths, and the words of a command to run, may be any bytes.
            if parameter.type is not click.UNPROCESSED:
                _require_text(ctx, parameter)
        return surplus


class Group(click.Group):
    """A noun with its verbs; an unknown one is answered with those that look like it."""

    command_class = Command

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += [_home_option(), _version_option()]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            # click only looks among the commands that are loaded.
            raise click.exceptions.NoSuchCommand(
                error.command_name, possibilities=self.list_commands(ctx), ctx=ctx
            ) from None
