"""`seks-proxy`: runs the proxy, or checks its configuration."""

from pathlib import Path
from typing import Any, Final

import click

from seks_addon import __version__
from seks_addon.destination.egress import Egress
from seks_addon.destination.host import is_loopback
from seks_addon.errors import ConfigError, UsageError
from seks_addon.foreign import Mode
from seks_addon.home import Home
from seks_addon.proxy import listen, logs
from seks_addon.settings import FLAGS, LISTS, NUMBERS, SCALARS, Intercept, Settings, load_config
from seks_cli import edge, keychoice, options

_CONTEXT: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 110}

_home = click.option("--home", metavar="DIR", help="SEKS's home.  [default: $SEKS_HOME or ~/.seks]")
_version = click.version_option(__version__, prog_name="seks-proxy")


def _options(command: Any) -> Any:
    """The options that `run` and `check` share, in the order of the help."""
    for option in reversed(
        (
            _home,
            click.option("--listen", default=listen.DEFAULT, show_default=True, metavar="HOST:PORT",
                         help="Where agents connect; port 0 takes a free one."),
            click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True,
                         help="How many processes serve."),
            click.option("--ready-file", type=click.Path(dir_okay=False, path_type=Path),
                         help="Written (JSON) when connections are accepted."),
            click.option("--intercept", type=click.Choice([*map(str, Intercept)]), default="all", show_default=True,
                         help="Every TLS connection, or only hosts that a secret is bound to."),
            click.option("--tunnel", multiple=True, metavar="PATTERN",
                         help="Let connections to it pass unseen, unless a secret is bound to it."),
            click.option("--egress", type=click.Choice([*map(str, Egress)]), default="open",
                         show_default=True, help="Which hosts agents may reach."),
            click.option("--allow-host", multiple=True, metavar="PATTERN",
                         help="Let agents reach it, at any port; *. stands for one label, **. for one or more."),
            click.option("--deny-host", multiple=True, metavar="PATTERN",
                         help="Never let agents reach it by this name, whatever else allows it."),
            click.option("--foreign-credentials", type=click.Choice([*map(str, Mode)]), default="pass",
                         show_default=True,
                         help="What becomes of credentials that are no tokens, at hosts that a secret is bound to."),
            click.option("--foreign-credentials-at", multiple=True, metavar="PATTERN=MODE",
                         help="The same for some hosts; the first pattern that matches counts."),
            click.option("--tripwire-revoke/--no-tripwire-revoke", default=False,
                         help="Revoke a token that is seen at a host it isn't bound to, or in another agent's hands."),
            click.option("--allow-private", multiple=True, metavar="CIDR",
                         help="Addresses that the guard would refuse."),
            click.option("--require-agent-auth/--no-require-agent-auth", default=None,
                         help="Agents must say who they are.  [default: unless listening on loopback]"),
            click.option("--connect-to", multiple=True, metavar="HOST1:PORT1:HOST2:PORT2",
                         help="Connections for the first go to the second."),
            click.option("--upstream-ca", multiple=True, metavar="FILE",
                         help="Further trust anchors for upstream certificates (PEM)."),
            click.option("--http2/--no-http2", default=False, show_default=True,
                         help="Speak HTTP/2, and so gRPC, with agents and hosts that offer it."),
            click.option("--max-connections", type=click.IntRange(*NUMBERS["max_connections"][1:]),
                         default=NUMBERS["max_connections"][0], show_default=True,
                         help="Open connections of agents, for each worker."),
            click.option("--max-connections-per-agent", type=click.IntRange(*NUMBERS["max_connections_per_agent"][1:]),
                         default=NUMBERS["max_connections_per_agent"][0], show_default=True,
                         help="And those of one agent, or of one address that named no agent yet."),
            click.option("--log-format", type=click.Choice(logs.FORMATS), default="text", show_default=True,
                         help="How the log on standard error is written."),
            click.option("--log-level", type=click.Choice(logs.LEVELS), default="info", show_default=True,
                         help="The least level that is written."),
            _version,
        )
    ):  # fmt: skip
        command = option(command)
    return command


class _Configured(click.Command):
    """A command whose options take their defaults from the home's `config.toml`."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if extra.get("resilient_parsing"):
            # A shell that completes the line wants no values.
            return super().make_context(info_name, args, parent, **extra)
        home = click.Context(self, info_name=info_name, parent=parent, resilient_parsing=True)
        option = self.make_parser(home).parse_args(list(args))[0].get("home") if args else None
        # The one that is named nearest to the end of the command line wins.
        option = option or (parent.params.get("home") if parent else None)
        try:
            extra["default_map"] = {**load_config(Home.find(option)), "home": option}
        except ConfigError:
            # Help and version are to be had all the same: click ends here where they are asked for.
            super().make_context(info_name, list(args), parent, **extra)
            raise
        return super().make_context(info_name, args, parent, **extra)


@click.group(context_settings=_CONTEXT)
@_home
@_version
def cli(home: str | None) -> None:
    """Swap agents' fake tokens for real credentials, on the way out."""
    # The commands look for the home themselves.
    del home


@cli.command(cls=_Configured)
@_options
def run(**given: Any) -> None:
    """Run the proxy in the foreground, until SIGINT or SIGTERM."""
    # mitmproxy takes a second to be imported: here, an interrupt ends it as it ends all else.
    from seks_addon.proxy.supervisor import serve

    settings, host, port = _settings(given)
    logs.configure(given["log_format"], given["log_level"])
    ready_file = given["ready_file"]
    serve(
        settings,
        host,
        port,
        workers=given["workers"],
        ready_file=Path(ready_file).absolute() if ready_file else None,
        say=lambda line: click.echo(line, err=True),
        ask=keychoice.ask,
    )


@cli.command(cls=_Configured)
@_options
def check(**given: Any) -> None:
    """Check the configuration and that everything can be opened, without starting."""
    settings, host, port = _settings(given)
    from seks_addon.addon.service import Service
    from seks_addon.vault import Vault

    with Vault.open(settings.home, ask=keychoice.ask) as vault:
        Service(settings, vault.master_key).close()
    where = listen.with_port(host, port)
    click.echo(f"The configuration is good: {settings.home.root}, listening on {where}.", err=True)


def _settings(given: dict[str, Any]) -> tuple[Settings, str, int]:
    required = given["require_agent_auth"]
    with options.reading():
        host, port = listen.parse_listen(given["listen"])
        settings = Settings.parse(
            Home.find(given["home"]),
            require_agent_auth=not is_loopback(host) if required is None else required,
            **{name: given[name] for name in (*SCALARS, *FLAGS, *LISTS, *NUMBERS)},
        )
    settings.home.check()
    if ready_file := given["ready_file"]:
        _check_ready_file(settings.home, Path(ready_file).absolute())
    return settings, host, port


def _check_ready_file(home: Home, path: Path) -> None:
    """Raise `SeksError` where it can't be written: not when the proxy is there already."""
    home.require_foreign(path)
    if path.is_dir() or not path.parent.is_dir():
        problem = f"{path} is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise UsageError(f"ready-file: {problem}", hint="name a file in a folder that there is")


def main() -> None:
    """The entry point of `seks-proxy`."""
    edge.run(cli, "seks-proxy")


if __name__ == "__main__":
    main()
