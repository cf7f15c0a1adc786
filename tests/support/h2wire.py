"""An HTTP/2 client that sends what it is told, well formed or not, and reads what comes back."""

import contextlib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import h2.config
import h2.connection
import h2.events
from hyperframe.frame import Frame

from tests.support.proxy import Proxy
from tests.support.raw import CHUNK, Answer, ClosedError, Headers, Wire


class ResetStreamError(Exception):
    """The stream was reset; the argument is the error code."""


@dataclass(frozen=True)
class H2Answer(Answer):
    """A whole answer, with its trailers."""

    trailers: Headers = field(default_factory=list)


@dataclass
class Stream:
    """What came for one stream up to now."""

    headers: Headers | None = None
    trailers: Headers = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    ended: bool = False
    reset: int | None = None


class H2Wire:
    """One HTTP/2 connection. `reads` False gives no credit for what comes."""

    def __init__(self, wire: Wire, *, reads: bool = True, settings: dict[int, int] | None = None) -> None:
        self._socket: ssl.SSLSocket | Any = wire._socket
        self.reads = reads
        self.streams: dict[int, Stream] = {}
        self.closed: int | None = None
        """The error code that the other side ended the connection with."""
        config = h2.config.H2Configuration(
            client_side=True,
            header_encoding="latin-1",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self.http = h2.connection.H2Connection(config)
        if settings:
            self.http.local_settings.update(settings)
        self.http.initiate_connection()
        if reads:
            self.http.increment_flow_control_window(2**30)
        self.flush()

    def flush(self) -> None:
        """Send what is ready."""
        self._socket.sendall(self.http.data_to_send())

    def send_frame(self, *frames: Frame) -> None:
        """Send frames past the parser."""
        self._socket.sendall(b"".join(frame.serialize() for frame in frames))

    def send_fields(self, *fields: tuple[str, str], end: bool = True) -> int:
        """Open a stream with these fields and no others."""
        stream = self.http.get_next_available_stream_id()
        self.streams[stream] = Stream()
        self.http.send_headers(stream, list(fields), end_stream=end)
        self.flush()
        return stream

    def request(
        self, method: str, path: str, *headers: tuple[str, str], host: str, body: bytes | None = None, end: bool = True
    ) -> int:
        """Send a request, names in lower case; its body is ended unless `end` is False."""
        fields = [(name.lower(), value) for name, value in headers]
        stream = self.send_fields(*pseudo(method, path, host), *fields, end=end and body is None)
        if body is not None:
            self.send(stream, body, end=end)
        return stream

    def send(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """Send a piece of a body, as credit comes."""
        while data and self.streams[stream].reset is None:
            room = min(self.http.local_flow_control_window(stream), self.http.max_outbound_frame_size)
            if not room:
                self.receive()
                continue
            self.http.send_data(stream, data[:room])
            data = data[room:]
            self.flush()
        if end and self.streams[stream].reset is None:
            self.http.end_stream(stream)
            self.flush()

    def receive(self) -> None:
        """Read what comes next; raises `ClosedError` at the end."""
        try:
            data = self._socket.recv(CHUNK)
        except BlockingIOError:
            # Another thread wrote to it at that moment.
            return
        except (ConnectionError, ssl.SSLError) as error:
            raise ClosedError(str(error)) from None
        if not data:
            raise ClosedError("the connection ended")
        for event in self.http.receive_data(data):
            self._take(event)
        with contextlib.suppress(OSError):
            self.flush()

    def _take(self, event: h2.events.Event) -> None:
        stream = self.streams.get(getattr(event, "stream_id", None) or 0, Stream())
        match event:
            case h2.events.ResponseReceived():
                stream.headers = [(name, value) for name, value in event.headers]
            case h2.events.TrailersReceived():
                stream.trailers = [(name, value) for name, value in event.headers]
            case h2.events.DataReceived():
                stream.body += event.data
                if self.reads:
                    self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded():
                stream.ended = True
            case h2.events.StreamReset():
                stream.reset = int(event.error_code)
            case h2.events.ConnectionTerminated():
                self.closed = int(event.error_code)

    def head(self, stream: int) -> Stream:
        """Wait for the head of an answer."""
        found = self.streams[stream]
        while found.headers is None and found.reset is None:
            self.receive()
        return found

    def answer(self, stream: int) -> H2Answer:
        """Read an answer to its end; raises `ResetStreamError` or `ClosedError`."""
        found = self.streams[stream]
        while not found.ended:
            if found.reset is not None:
                raise ResetStreamError(found.reset)
            self.receive()
        assert found.headers is not None
        headers = [(name, value) for name, value in found.headers if name != ":status"]
        return H2Answer(int(dict(found.headers)[":status"]), "", headers, bytes(found.body), found.trailers)

    def ask(self, method: str, path: str, *headers: tuple[str, str], host: str, body: bytes | None = None) -> H2Answer:
        """Send a request and read the answer."""
        return self.answer(self.request(method, path, *headers, host=host, body=body))

    def wait_closed(self) -> int | None:
        """Read until the connection ends; gives the error code of the GOAWAY, if there was one."""
        with contextlib.suppress(ClosedError):
            while True:
                self.receive()
        return self.closed


def pseudo(method: str, path: str, host: str = "api.openai.com") -> Headers:
    """The fields that every request begins with."""
    return [(":method", method), (":scheme", "https"), (":authority", host), (":path", path)]


@contextlib.contextmanager
def h2_tunnel(proxy: Proxy, host: str, **options: Any) -> Iterator[H2Wire]:
    """A tunnel to `host` with HTTP/2 in it."""
    with proxy.wire() as wire:
        answer = wire.connect(f"{host}:443")
        assert answer.status == 200, answer.text()
        tls = wire.start_tls(proxy.site.home.ca_cert, host, offers=["h2"])
        assert tls.selected_alpn_protocol() == "h2"
        yield H2Wire(wire, **options)
