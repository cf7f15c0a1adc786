"""A host that speaks HTTP/2 only, over TLS on loopback, and remembers what it received."""

import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import trustme

from tests.support.raw import CHUNK, Headers

TICK = 0.02
PATIENCE = 20.0


@dataclass
class H2Request:
    """One request, with what is to be sent for it."""

    side: "Side"
    stream: int
    fields: Headers
    connection: int
    body: bytearray = field(default_factory=bytearray)
    complete: bool = False
    reset: bool = False

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.fields if key == name), None)

    @property
    def path(self) -> str:
        return self.header(":path") or ""

    @property
    def authorization(self) -> str:
        return self.header("authorization") or ""


type Handler = Callable[[H2Request], None]


@dataclass
class Pending:
    """What waits for credit."""

    data: memoryview = field(default_factory=lambda: memoryview(b""))
    trailers: Headers | None = None
    end: bool = False


class H2Site:
    """The server, a thread a connection. `reads` False takes bodies without giving credit for them."""

    def __init__(self, *hosts: str, ca: trustme.CA | None = None, streams: int = 100) -> None:
        self.hosts, self.ca, self.streams = hosts, ca or trustme.CA(), streams
        self.reads = True
        self.greets = True
        """False: on a new connection nothing is said, not even the settings."""
        self.release = threading.Event()
        """What `/hold` waits for."""
        self.requests: list[H2Request] = []
        self.handlers: dict[str, Handler] = {}
        self.sides: list[Side] = []
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.set_alpn_protocols(["h2"])
        self.ca.issue_cert(*hosts).configure_cert(self._tls)

    def write_ca(self, path: Path) -> Path:
        path.write_bytes(self.ca.cert_pem.bytes())
        return path

    def connect_to(self) -> list[str]:
        """The options that make seks-proxy come here for the hosts."""
        return [word for host in self.hosts for word in ("--connect-to", f"{host}:443:127.0.0.1:{self.port}")]

    def clear(self) -> None:
        """Forget what was received; connections stay."""
        self.requests.clear()
        self.handlers.clear()
        self.release.clear()
        self.reads = self.greets = True

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for side in self.sides:
            side.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                client.settimeout(PATIENCE)
                thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), self._tls.wrap_socket(client, server_side=True) as tls:
            side = Side(self, tls, len(self.sides) + 1)
            self.sides.append(side)
            while not self.greets:
                time.sleep(TICK)
            side.run()


class Side:
    """One connection."""

    def __init__(self, site: H2Site, tls: ssl.SSLSocket, number: int) -> None:
        self.site, self._socket, self.number = site, tls, number
        self.open: dict[int, H2Request] = {}
        self.pending: dict[int, Pending] = {}
        self.later: list[tuple[threading.Event, Callable[[], None]]] = []
        """What is done when an event is set."""
        self.closed = False
        config = h2.config.H2Configuration(
            client_side=False,
            header_encoding="latin-1",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self.http = h2.connection.H2Connection(config)
        self.http.local_settings.max_concurrent_streams = site.streams
        # h2 would announce what was there before.
        self.http.local_settings.acknowledge()
        self.http.initiate_connection()

    def close(self) -> None:
        self.closed = True

    def run(self) -> None:
        """Serve until either side ends it."""
        self._socket.settimeout(TICK)
        try:
            while not self.closed:
                for due in [entry for entry in self.later if entry[0].is_set()]:
                    self.later.remove(due)
                    due[1]()
                self.pump()
                try:
                    data = self._socket.recv(CHUNK)
                except TimeoutError:
                    continue
                if not data:
                    return
                for event in self.http.receive_data(data):
                    self._take(event)
        except (OSError, h2.exceptions.ProtocolError):
            pass
        finally:
            self.closed = True

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived():
                fields = [(name, value) for name, value in event.headers]
                request = H2Request(self, event.stream_id, fields, self.number)
                self.open[event.stream_id] = request
                self.site.requests.append(request)
                if request.path.startswith("/early"):
                    self.answer(request)
            case h2.events.DataReceived():
                self.open[event.stream_id].body += event.data
                if self.site.reads:
                    self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded():
                request = self.open[event.stream_id]
                request.complete = True
                if not request.path.startswith("/early"):
                    self.answer(request)
            case h2.events.StreamReset():
                if event.stream_id in self.open:
                    self.open[event.stream_id].reset = True
                self.pending.pop(event.stream_id, None)

    def answer(self, request: H2Request) -> None:
        handler = self.site.handlers.get(request.path.partition("?")[0])
        if handler is not None:
            handler(request)
        elif request.path.startswith("/bytes/"):
            self.send(request, b"x" * int(request.path.split("/")[2]))
        elif request.path.startswith("/trailers"):
            trailers = [("grpc-status", "0"), ("x-echo", request.authorization), ("content-length", "3")]
            self.send(request, f"body {request.authorization}".encode(), trailers=trailers)
        else:
            seen = {"fields": request.fields, "body": request.body.decode("latin-1")}
            self.send(request, json.dumps(seen).encode(), ("x-echo", request.authorization))

    def send(
        self,
        request: H2Request,
        body: bytes,
        *headers: tuple[str, str],
        status: int = 200,
        trailers: Headers | None = None,
        end: bool = True,
        head: bool = True,
    ) -> None:
        """Answer, as credit comes. `head` False: the head is out already."""
        if head:
            done = end and not body and trailers is None
            self.http.send_headers(request.stream, [(":status", str(status)), *headers], end_stream=done)
            if done:
                return
        waiting = self.pending.setdefault(request.stream, Pending())
        waiting.data = memoryview(bytes(waiting.data) + body)
        waiting.trailers, waiting.end = trailers, end
        self.pump()

    def pump(self) -> None:
        """Send what there is credit for."""
        for stream, waiting in list(self.pending.items()):
            with contextlib.suppress(h2.exceptions.StreamClosedError):
                while waiting.data and (room := self.http.local_flow_control_window(stream)) > 0:
                    size = min(room, self.http.max_outbound_frame_size)
                    self.http.send_data(stream, waiting.data[:size])
                    waiting.data = waiting.data[size:]
                if waiting.data or not waiting.end:
                    continue
                if waiting.trailers is not None:
                    self.http.send_headers(stream, waiting.trailers, end_stream=True)
                else:
                    self.http.end_stream(stream)
            self.pending.pop(stream, None)
        self.flush()

    def flush(self) -> None:
        if data := self.http.data_to_send():
            self._socket.settimeout(PATIENCE)
            self._socket.sendall(data)
            self._socket.settimeout(TICK)

    def raw(self, *frames: Any) -> None:
        """Send frames past the parser."""
        self.flush()
        self._socket.sendall(b"".join(frame.serialize() for frame in frames))
