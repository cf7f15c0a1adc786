"""A TLS server on loopback that stands in for a vendor's API and remembers all that it received."""

import asyncio
import hashlib
import itertools
import json
import logging
import socket
import ssl
import threading
import weakref
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs

import h11
import trustme

from . import vendors
from .vendors import Reply

KEPT_BODY = 1 << 20
KEPT_RAW = 1 << 24
"""How much of what a connection brought is kept as it came."""
CHUNK = 1 << 16
MAX_HEAD = 1 << 20

log = logging.getLogger(__name__)

type Send = Callable[[bytes], Awaitable[None]]
type Handler = Callable[["Received", Send], Awaitable[object]]


@dataclass(frozen=True)
class Received:
    """One request as it came over the wire."""

    sni: str | None
    method: str
    target: str
    headers: list[tuple[str, str]]
    """Names in the spelling and the order they were sent in."""
    body_length: int
    body: bytes
    """The first MiB."""
    body_sha256: str
    raw_head: bytes
    """Request line and headers with the blank line, before any parser saw them."""
    connection: int
    """Counts the TCP connections, from 1."""
    complete: bool = True
    """False where the connection ended within the body."""

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def authorization(self) -> str:
        """The value of the Authorization header, empty where there is none."""
        return self.header("authorization") or ""

    def header(self, name: str) -> str | None:
        """The first value of a header, whatever its case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def query(self, name: str, default: str = "") -> str:
        """The first value of a query parameter."""
        return parse_qs(self.target.partition("?")[2]).get(name, [default])[0]

    def json(self) -> dict[str, Any]:
        """The body as a JSON object, empty where it isn't one."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


class Upstream:
    """The server, on a free port of 127.0.0.1, running in a thread of its own inside `with`."""

    def __init__(
        self,
        *hosts: str,
        ca: trustme.CA | None = None,
        cert_hosts: Sequence[str] | None = None,
        address: str = "127.0.0.1",
        tls: bool = True,
    ) -> None:
        """Serve `hosts` with a certificate for them and loopback, or for `cert_hosts` alone; or without TLS."""
        self.hosts = hosts
        self.address = address
        self.ca = ca or trustme.CA()
        self.port = 0
        self.sse_gap = 0.05
        self.require_auth: Callable[[Received], bool] | None = None
        self.accepts = 0
        self.handshake_failures = 0
        self.malformed: list[bytes] = []
        """What came where a request should have been, and was none."""
        self._lock = threading.Lock()
        self._requests: list[Received] = []
        self._routes: dict[tuple[str, str], Handler] = {}
        self._raw: dict[int, bytearray] = {}
        self._sni: weakref.WeakKeyDictionary[object, str | None] = weakref.WeakKeyDictionary()
        names = cert_hosts if cert_hosts is not None else (*hosts, "localhost", "127.0.0.1")
        self._speaks_tls = tls
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.set_alpn_protocols(["http/1.1"])
        self._tls.sni_callback = lambda tls, name, _context: self._sni.__setitem__(tls, name)
        self.ca.issue_cert(*names).configure_cert(self._tls)

    @property
    def ca_pem(self) -> bytes:
        """The certificate to trust."""
        return self.ca.cert_pem.bytes()

    def write_ca(self, path: Path) -> Path:
        """Write the certificate to trust."""
        path.write_bytes(self.ca_pem)
        return path

    @property
    def requests(self) -> list[Received]:
        """All requests up to now, in the order they ended in."""
        with self._lock:
            return list(self._requests)

    @property
    def raw(self) -> list[bytes]:
        """The bytes of each connection, as they came out of TLS."""
        with self._lock:
            return [bytes(data) for data in self._raw.values()]

    def clear(self) -> None:
        """Forget what was received; counters start again."""
        with self._lock:
            self._requests.clear()
            self.malformed.clear()
            self._raw.clear()
            self.accepts = self.handshake_failures = 0

    def connect_to(self) -> list[str]:
        """The options that make curl, or seks-proxy, come here for the hosts."""
        return [word for host in self.hosts for word in ("--connect-to", f"{host}:443:{self.address}:{self.port}")]

    def route(self, method: str, path: str, handler: Handler) -> None:
        """Let `handler` write the raw answer; the connection closes after it unless it returns True."""
        self._routes[method, path] = handler

    def __enter__(self) -> Self:
        """Bind and serve."""
        listener = socket.create_server((self.address, 0), backlog=512)
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        started = threading.Event()
        serve = self._accept(listener, started)
        self._thread = threading.Thread(target=asyncio.run, args=(serve,), name="upstream", daemon=True)
        self._thread.start()
        started.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drop all connections and stop."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _accept(self, listener: socket.socket, started: threading.Event) -> None:
        """Take connections until told to stop."""
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        started.set()
        with listener:
            accepting = asyncio.create_task(self._accept_forever(listener))
            await self._stop.wait()
            accepting.cancel()
            await asyncio.wait([accepting])

    async def _accept_forever(self, listener: socket.socket) -> None:
        async with asyncio.TaskGroup() as connections:
            for number in itertools.count(1):
                client, _ = await self._loop.sock_accept(listener)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.accepts += 1
                connections.create_task(self._connection(client, number))

    async def _connection(self, client: socket.socket, number: int) -> None:
        """Shake hands, then serve one request after the other."""
        reader = _Recorder(lambda data: self._keep(number, data))
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            tls: dict[str, Any] = {"ssl": self._tls, "ssl_shutdown_timeout": 1} if self._speaks_tls else {}
            transport, _ = await self._loop.connect_accepted_socket(lambda: protocol, client, **tls)
        except OSError:
            self.handshake_failures += 1
            return
        writer = asyncio.StreamWriter(transport, protocol, reader, self._loop)
        http: h11.Connection | None = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        try:
            while http is not None:
                http = await self._exchange(http, reader, writer, number)
            writer.close()
            await writer.wait_closed()
        except OSError as error:
            log.debug("connection %d: %s", number, error)
        except Exception:
            log.exception("connection %d", number)
        finally:
            transport.abort()

    async def _exchange(
        self, http: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> h11.Connection | None:
        """Receive a request and answer it; returns what parses the next one, if the connection stays."""
        head = http.trailing_data[0]
        try:
            while (request := http.next_event()) is h11.NEED_DATA:
                data = await reader.read(CHUNK)
                head += data
                http.receive_data(data)
        except h11.RemoteProtocolError:
            self.malformed.append(head)
            writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return None
        if not isinstance(request, h11.Request):
            return None
        raw_head = head[: len(head) - len(http.trailing_data[0])]
        reply = Reply(http, writer, request.method.decode(), self.sse_gap)
        body = await _receive_body(http, reader, reply)
        received = Received(
            sni=self._sni.get(writer.get_extra_info("ssl_object")) if self._speaks_tls else None,
            method=request.method.decode(),
            target=request.target.decode("latin-1"),
            headers=[(n.decode(), v.decode("latin-1")) for n, v in request.headers.raw_items()],
            raw_head=raw_head,
            connection=number,
            **body,
        )
        with self._lock:
            self._requests.append(received)
        return await self._answer(received, reply, http) if received.complete else None

    def _keep(self, number: int, data: bytes) -> None:
        with self._lock:
            kept = self._raw.setdefault(number, bytearray())
            kept += data[: KEPT_RAW - len(kept)]

    async def _answer(self, received: Received, reply: Reply, http: h11.Connection) -> h11.Connection | None:
        handler = self._routes.get((received.method, received.path))
        if self.require_auth is not None and not self.require_auth(received):
            await reply.json(401, vendors.unauthorized(received.path))
        elif handler is not None:
            if await handler(received, reply.raw) is not True:
                return None
            pipelined = http.trailing_data[0]
            http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
            if pipelined:
                http.receive_data(pipelined)
            return http
        else:
            await vendors.find(received.method, received.path)(received, reply)
        if http.our_state is not h11.DONE or http.their_state is not h11.DONE:
            return None
        http.start_next_cycle()
        return http


class _Recorder(asyncio.StreamReader):
    """Hands on all that it is fed."""

    def __init__(self, keep: Callable[[bytes], None]) -> None:
        super().__init__(CHUNK)
        self._keep = keep

    def feed_data(self, data: bytes) -> None:
        self._keep(data)
        super().feed_data(data)


async def _receive_body(http: h11.Connection, reader: asyncio.StreamReader, reply: Reply) -> dict[str, Any]:
    """Read a body to its end in flat memory; returns the fields of `Received` that describe it."""
    length, kept, digest, complete = 0, bytearray(), hashlib.sha256(), False
    try:
        while not complete:
            event = http.next_event()
            if event is h11.NEED_DATA:
                if http.they_are_waiting_for_100_continue:
                    await reply.start(100)
                http.receive_data(await reader.read(CHUNK))
            elif isinstance(event, h11.Data):
                length += len(event.data)
                kept += event.data[: KEPT_BODY - len(kept)]
                digest.update(event.data)
            else:
                complete = isinstance(event, h11.EndOfMessage)
    except (h11.RemoteProtocolError, OSError) as error:
        log.debug("body ended early: %s", error)
    fields = {"body_length": length, "body": bytes(kept), "body_sha256": digest.hexdigest()}
    return {**fields, "complete": complete}
