"""Clients' connections, and those to hosts: how many there are, and how long they may keep the proxy waiting."""

import asyncio
import contextlib
import logging
import time
import weakref
from collections.abc import Iterator
from functools import partial
from typing import Final

from mitmproxy.connection import Client, Server
from mitmproxy.net.http import http1

from seks_addon.addon.admission import Admission
from seks_addon.addon.allotment import Allotment
from seks_addon.addon.holding import allotment, holding_of
from seks_addon.addon.pace import Queue, Share
from seks_addon.addon.patience import patience_of
from seks_addon.addon.respond import new_request_id, refusal_response
from seks_addon.addon.session import Session
from seks_addon.addon.sockets import LINGER, SeksConnectionHandler, close
from seks_addon.refusal import Refused

logger = logging.getLogger("seks.proxy")

#: How often it is looked who takes too long, in seconds.
_INTERVAL: Final = 1.0
#: Clients at once that are turned away with an answer that they have time to read, the time in seconds.
_TURNED_AWAY: Final = 64
_TIME_TO_READ: Final = 1.0


class Connections:
    """The open connections of a worker."""

    def __init__(self, total: int, each: int) -> None:
        self._admission = Admission(total, each)
        # An HTTP/2 client can ask for a hundred of them.
        self._to_hosts = Allotment(total, each)
        self._memory = allotment()
        self._open: dict[str, tuple[SeksConnectionHandler, Session]] = {}
        self._queue = Queue()
        self._shares: weakref.WeakValueDictionary[str, Share] = weakref.WeakValueDictionary()
        self._turning_away = 0
        self._refused = self._slow = 0
        self._watch: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look after them."""
        self._watch = asyncio.create_task(self._look_after())

    def stop(self) -> None:
        if self._watch is not None:
            self._watch.cancel()

    async def enter(self, client: Client, handler: SeksConnectionHandler, session: Session) -> None:
        """Let a client in; raises `Refused` after it was told that there is no room."""
        try:
            leaving = self._admission.enter(client.id, session.source_ip)
        except Refused as refused:
            self._refused += 1
            await self._turn_away(handler, refused)
            raise
        patience_of(client)
        self._open[client.id] = handler, session
        handler.belong(self._share(session.source_ip))
        task, writer = asyncio.current_task(), handler.writer
        assert task is not None and writer is not None
        # However it ends: this is the task that handles the client.
        task.add_done_callback(lambda _: self._leave(client, writer))
        if leaving is not None:
            self._refused += 1
            self._make_leave(self._open[leaving][0])

    def name(self, client: Client, agent: str) -> None:
        """Note which agent a client is; raises `Refused` where that one has too many connections."""
        self._admission.name(client.id, agent)
        self._open[client.id][0].belong(self._share(agent))
        holding_of(client).belong(self._memory, agent)

    def open(self, client: Client, host: Server) -> None:
        """Count a connection to a host; raises `Refused` where the client's agent, or all agents, have too many."""
        handler, session = self._open[client.id]
        assert session.agent is not None
        whose = session.agent.id
        if not self._to_hosts.has_room(whose):
            raise Refused(
                "overloaded",
                "This agent, or all agents together, have too many connections to hosts.",
                hint="Ask for less at once, or start the proxy with a higher --max-connections-per-agent.",
            )
        self._to_hosts.take(whose)
        handler.when_closed(host, partial(self._to_hosts.give_back, whose))

    @contextlib.contextmanager
    def spent(self, agent: str) -> Iterator[None]:
        """Count the time for an agent that something takes which is no reading: its bytes wait for it."""
        began = time.thread_time()
        try:
            yield
        finally:
            self._share(agent).spend(time.thread_time() - began)

    def _share(self, whose: str) -> Share:
        return self._shares.setdefault(whose, Share(self._queue))

    def _leave(self, client: Client, writer: asyncio.StreamWriter) -> None:
        if writer.transport.get_write_buffer_size():
            # It isn't gone before its socket is.
            asyncio.get_running_loop().call_later(LINGER, self._forget, client)
        else:
            self._forget(client)

    def _forget(self, client: Client) -> None:
        holding_of(client).end()
        self._admission.leave(client.id)
        self._open.pop(client.id, None)

    def _make_leave(self, handler: SeksConnectionHandler) -> None:
        """Close a connection on which no request was understood yet."""
        if (writer := handler.writer) is not None:
            writer.write(_overloaded(Refused("overloaded")))
            close(writer)

    async def _turn_away(self, handler: SeksConnectionHandler, refused: Refused) -> None:
        writer, reader = handler.writer, handler.transports[handler.client].reader
        if self._turning_away >= _TURNED_AWAY or writer is None or not isinstance(reader, asyncio.StreamReader):
            return
        self._turning_away += 1
        try:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(_TIME_TO_READ):
                    writer.write(_overloaded(refused))
                    writer.write_eof()
                    # Closed with bytes unread, the client would get a reset in the answer's place.
                    while await reader.read(1 << 16):
                        pass
        finally:
            self._turning_away -= 1

    async def _look_after(self) -> None:
        while True:
            await asyncio.sleep(_INTERVAL)
            for handler, session in list(self._open.values()):
                self._check(handler, session)
            if self._refused or self._slow:
                logger.warning(
                    "closed %d connections for which there was no room, and %d that kept the proxy waiting",
                    self._refused,
                    self._slow,
                )
                self._refused = self._slow = 0

    def _check(self, handler: SeksConnectionHandler, session: Session) -> None:
        patience = patience_of(handler.client)
        if session.exchanges:
            # Where requests share a connection, none of them is the last.
            patience.touch()
            handler.end_if_left()
        late = holding_of(handler.client).is_over() or (not session.exchanges and patience.is_over())
        if late and (writer := handler.writer) is not None and not writer.is_closing():
            self._slow += 1
            close(writer)


def _overloaded(refused: Refused) -> bytes:
    answer: bytes = http1.assemble_response(refusal_response(refused, new_request_id(), close=True))
    return answer
