"""`seks run`: a command with tokens where its real credentials would be."""

import os
import signal
import sys
from pathlib import Path
from typing import Final, NoReturn

import click

from seks_addon.errors import ProxyError
from seks_cli import options, output
from seks_cli.commands import Command
from seks_cli.edge import CommandError
from seks_cli.workplace import Workplace, pass_workplace

_NODE_SHIM: Final = Path(__file__).with_name("shims") / "node.cjs"
#: As shells have it.
_NOT_EXECUTABLE: Final = 126
_NOT_FOUND: Final = 127


@click.command(cls=Command, context_settings={"allow_interspersed_args": False})
@options.agent
@options.client
@options.proxy
@click.option("--keep-env", "keep", multiple=True, metavar="VAR", help="Leave this variable as it is; repeatable.")
@click.argument("words", metavar="COMMAND [ARG]...", nargs=-1, required=True, type=click.UNPROCESSED)
@pass_workplace
def command(
    workplace: Workplace,
    agent: str,
    client: str,
    proxy_url: str | None,
    keep: tuple[str, ...],
    words: tuple[str, ...],
) -> None:
    """Run COMMAND as an agent.

    It has tokens, proxy and CA in its environment, and no real credential. Its exit code is that of `seks run`.
    """
    environ = _environment(workplace, agent, client, proxy_url, keep)
    _become(words, environ)


def _environment(
    workplace: Workplace, agent: str, client: str, proxy_url: str | None, keep: tuple[str, ...]
) -> dict[str, str]:
    from seks_addon import environment
    from seks_cli import trust
    from seks_cli.surroundings import gather

    parent = dict(os.environ)
    found = gather(workplace, client, agent, proxy_url, reveal=True)
    if not found.reachable:
        raise ProxyError(
            f"no proxy answers at {found.place}", hint="start it with `seks-proxy run`, or name it with --proxy"
        )
    ca_cert, bundle = trust.merged(workplace.home, parent)
    environ, lacking = environment.child(
        parent,
        {**environment.settings(found.proxy_url, str(ca_cert), str(bundle)), **found.credentials},
        bundle=str(bundle),
        withheld=found.withheld,
        real=found.real,
        keep=keep,
    )
    if lacking:
        output.note(f"kept out of the environment: {', '.join(lacking)}")
    if "NODE_OPTIONS" not in keep and _NODE_SHIM.exists():
        environ["NODE_OPTIONS"] = environment.with_preload(environ.get("NODE_OPTIONS", ""), str(_NODE_SHIM))
    return environ


def _become(words: tuple[str, ...], environ: dict[str, str]) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    # Python ignores these two, and a program inherits what is ignored: a pipe's writer would outlive its reader.
    for name in ("SIGPIPE", "SIGXFSZ"):
        if number := getattr(signal, name, None):
            signal.signal(number, signal.SIG_DFL)
    try:
        if not words[0]:
            # Python looks for no file without a name.
            raise FileNotFoundError
        os.execvpe(words[0], words, environ)  # noqa: S606 - no shell: the words are an argument list
    except FileNotFoundError:
        raise CommandError(f"there is no command {words[0]!r}", exit_code=_NOT_FOUND) from None
    except OSError as error:
        raise CommandError(f"can't run {words[0]!r}: {error.strerror}", exit_code=_NOT_EXECUTABLE) from None
