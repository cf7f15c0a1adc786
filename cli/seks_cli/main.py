"""`seks`: the program, and where each of its commands lies."""

import importlib
from types import MappingProxyType
from typing import Final

import click

from seks_cli import edge
from seks_cli.commands import Command, Group

#: Command → the module of this package that has it under the name `command`; imported when it is needed.
_MODULES: Final = MappingProxyType(
    {
        "init": "init",
        "status": "status",
        "vault": "vault",
        "token": "token",
        "client": "client",
        "agent": "agent",
        "provider": "provider",
        "audit": "audit",
        "ca": "ca",
        "env": "env",
        "run": "run",
        "completion": "completion",
    }
)


class _Program(Group):
    """Commands in the order in which one meets them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _MODULES:
            return None
        command = importlib.import_module(f"seks_cli.{_MODULES[cmd_name]}").command
        assert isinstance(command, Command | Group)  # noqa: S101
        return command


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def cli() -> None:
    """Keep API keys from agents: they hold fake tokens, and seks-proxy swaps them on the way out.

    Begin with `seks init`, then `seks vault add openai`.
    """


def main() -> None:
    """The entry point of `seks`."""
    edge.run(cli, "seks")


if __name__ == "__main__":
    main()
