"""One worker: mitmproxy's connection handling with SEKS in it, on a socket that is open already."""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable
from typing import Any, Final

from mitmproxy import options
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.master import Master
from mitmproxy.proxy.mode_servers import ServerInstance
from mitmproxy.utils import asyncio_utils

from seks_addon.addon.addon import SeksAddon
from seks_addon.addon.service import Service
from seks_addon.proxy.listen import BACKLOG
from seks_addon.settings import Settings
from seks_addon.vault.envelope import Key

logger = logging.getLogger("seks.proxy")

#: How long running exchanges may take to end after SIGTERM, in seconds.
GRACE: Final = 10.0
#: Connections that are accepted in one go, before those that are open get their turn.
_ACCEPTED: Final = 16


def run_worker(
    settings: Settings, listener: socket.socket, key: Key, ready: Callable[[], None], *, lifeline: int | None = None
) -> None:
    """Serve until SIGINT, SIGTERM or, with `lifeline`, until the other end of that pipe is gone."""
    with asyncio.Runner() as runner:
        runner.run(_serve(settings, listener, key, ready, lifeline))


async def _serve(
    settings: Settings, listener: socket.socket, key: Key, ready: Callable[[], None], lifeline: int | None
) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_report)
    stop = asyncio.Event()
    # What may fail comes first: a signal in a loop that is being closed makes Python complain on standard error.
    service = Service(settings, key)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if lifeline is not None:
        loop.add_reader(lifeline, stop.set)

    master = Master(options.Options())
    # SEKS listens itself: the socket is shared by the workers, and its port is known before they start.
    proxyserver, addon = Proxyserver(), SeksAddon(service)
    master.addons.add(proxyserver, addon)
    master.options.update(server=False)
    with asyncio_utils.set_eager_task_factory():
        await master.running()
        addon.service().upstream.listening_at([listener.getsockname()[:2]])
        # What mitmproxy does for `--mode regular`, less its own socket.
        instance: Any = ServerInstance.make("regular", proxyserver)
        server = await asyncio.start_server(instance.handle_stream, sock=listener, backlog=_ACCEPTED)
        # asyncio told the kernel so too.
        listener.listen(BACKLOG)
        ready()
        await stop.wait()
        server.close()
        await _drain(addon)
        await master.done()


async def _drain(addon: SeksAddon) -> None:
    """Let the requests that are under way end."""
    if addon.exchanges:
        logger.info("waiting for %d requests to end", addon.exchanges)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(GRACE):
            while addon.exchanges:  # noqa: ASYNC110 - once in a process's life
                await asyncio.sleep(0.05)


def _report(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # The exception's text may hold what came over the wire.
    error = context.get("exception")
    logger.error("a task failed: %s", type(error).__name__ if error else "without an exception")
