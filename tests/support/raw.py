"""A client that sends what it is told, byte for byte, and reads what comes back."""

import base64
import contextlib
import json
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import h11

TIMEOUT = 10.0
CHUNK = 1 << 16

type Headers = list[tuple[str, str]]


class ClosedError(Exception):
    """The connection ended where an answer was due."""


@dataclass(frozen=True)
class Answer:
    """A whole answer. Header names are in lower case."""

    status: int
    reason: str
    headers: Headers
    body: bytes

    def header(self, name: str) -> str | None:
        """The first value of a header, given in lower case."""
        return next((value for key, value in self.headers if key == name), None)

    @property
    def code(self) -> str | None:
        """Why SEKS refused, if it did."""
        return self.header("x-seks-error")

    @property
    def closes(self) -> bool:
        """Whether the connection ends with this answer."""
        return self.header("connection") == "close"

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def text(self) -> str:
        """All of it, to look for what mustn't be there."""
        head = "".join(f"{name}: {value}\n" for name, value in self.headers)
        return f"{self.status} {self.reason}\n{head}\n{self.body.decode('latin-1')}"


class Wire:
    """One connection, to a proxy or to a host."""

    def __init__(self, port: int, *, keep: bool = False) -> None:
        """With `keep`, `received` is all that came, as it came out of TLS."""
        self.received = bytearray()
        self._keep = keep
        self._socket: socket.socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
        self._surplus = b""
        self._http: h11.Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def abort(self) -> None:
        """End the connection, also for a thread that is sending."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self._socket.sendall(data)

    def send_head(self, method: str, target: str, *headers: tuple[str, str], host: str | None = None) -> None:
        """Send a request's head as it is given, with a Host header in front if `host` is."""
        fields = ([("Host", host)] if host is not None else []) + list(headers)
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields), "", ""]
        self.send("\r\n".join(lines).encode("latin-1"))

    def connect(self, target: str, user: str | None = None) -> Answer:
        """Ask the proxy for a tunnel; `user` is `AGENT:PASSWORD`."""
        authorization = [("Proxy-Authorization", basic(user))] if user is not None else []
        self.send_head("CONNECT", target, *authorization, host=target)
        return self.answer("CONNECT")

    def start_tls(self, ca: Path, server_name: str | None, offers: Sequence[str] = ("http/1.1",)) -> ssl.SSLSocket:
        """Shake hands, with `server_name` as SNI or without any; returns the socket, for its certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = server_name is not None
        context.load_verify_locations(ca)
        context.set_alpn_protocols(list(offers))
        wrapped = context.wrap_socket(self._socket, server_hostname=server_name)
        self._socket = wrapped
        return wrapped

    def answer(self, method: str = "GET") -> Answer:
        """Read one answer to its end; raises `ClosedError` where there is none."""
        response = self.answer_head(method)
        body = b""
        while piece := self.piece():
            body += piece
        return Answer(response.status, response.reason, response.headers, body)

    def answer_head(self, method: str = "GET") -> Answer:
        """Read the head of an answer, or an interim one; `piece` then gives its body."""
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
        # What was really sent went past the parser; of that, it needs the method.
        self._http.send(h11.Request(method=method, target="/", headers=[("Host", "any")]))
        self._http.send(h11.EndOfMessage())
        if self._surplus:
            self._http.receive_data(self._surplus)
            self._surplus = b""
        event = self._event()
        if not isinstance(event, h11.Response | h11.InformationalResponse):
            raise ClosedError(f"{type(event).__name__} came")
        if isinstance(event, h11.InformationalResponse):
            self._surplus = self._http.trailing_data[0]
        headers = [(name.decode(), value.decode("latin-1")) for name, value in event.headers]
        return Answer(event.status_code, event.reason.decode("latin-1"), headers, b"")

    def piece(self) -> bytes:
        """Read the next piece of a body; empty at its end."""
        event = self._event()
        if isinstance(event, h11.Data):
            return bytes(event.data)
        assert self._http is not None
        self._surplus = self._http.trailing_data[0]
        self._http = None
        return b""

    def request(
        self,
        method: str,
        target: str,
        *headers: tuple[str, str],
        host: str | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """Send a request, with a Content-Length if it has a body, and read the answer."""
        length = [("Content-Length", str(len(body)))] if body is not None else []
        self.send_head(method, target, *headers, *length, host=host)
        if body:
            self.send(body)
        return self.answer(method)

    def receive(self) -> bytes:
        """Read what comes, whatever it is, also what came along with an answer; empty at the end."""
        surplus, self._surplus = self._surplus, b""
        return surplus or self._socket.recv(CHUNK)

    def is_closed(self) -> bool:
        """Wait for the other side to close; False where it says something instead."""
        try:
            return self._surplus == b"" and self._receive(1) == b""
        except (ConnectionError, ssl.SSLError):
            return True

    def rest(self) -> bytes:
        """What has come that nobody asked for, without waiting."""
        with contextlib.suppress(OSError):
            self._socket.setblocking(False)
            while data := self._receive():
                self._surplus += data
        return self._surplus

    def _receive(self, size: int = CHUNK) -> bytes:
        data = self._socket.recv(size)
        if self._keep:
            self.received += data
        return data

    def _event(self) -> h11.Event | type[h11.PAUSED]:
        assert self._http is not None
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                self._http.receive_data(self._receive())
        except (h11.RemoteProtocolError, ConnectionError, ssl.SSLError) as error:
            raise ClosedError(str(error)) from None
        return event


def basic(pair: str) -> str:
    """The value of an authorization header for `NAME:PASSWORD`."""
    return "Basic " + base64.b64encode(pair.encode()).decode()


def bearer(token: str) -> tuple[str, str]:
    """The header that most APIs take a key in."""
    return ("Authorization", f"Bearer {token}")
