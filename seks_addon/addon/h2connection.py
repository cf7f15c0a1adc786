"""The state of one side of an HTTP/2 connection: mitmproxy's and h2's, with five differences.

1. windows and frames are small, and streams are few;
2. a head that is too long is given up before it is decoded;
3. no head that is sent enters a compression table;
4. pieces of a body that came together are one, and so are those that wait to be sent;
5. a GOAWAY isn't the end.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import h2.config
import h2.events
from h2.exceptions import DenialOfServiceError
from h2.frame_buffer import FrameBuffer
from hpack import Encoder, NeverIndexedHeaderTuple
from hyperframe.frame import ContinuationFrame, Frame, GoAwayFrame, HeadersFrame
from mitmproxy.proxy.layers.http._http_h2 import BufferedH2Connection, SendH2Data

from seks_addon.strict import MAX_HEAD

#: Streams at once on one connection (RFC 9113 section 6.5.2 advises no fewer).
MAX_STREAMS: Final = 100
#: How much of one stream may wait in the proxy, in bytes: the other side gets no more credit than that.
STREAM_WINDOW: Final = 256 * 1024
#: The largest frame that is taken. h2 collects up to 65 of them to a head.
MAX_FRAME: Final = 16 * 1024
#: A head is decoded up to this size, so that one that is too large is answered; HPACK counts 32 bytes a field on top.
_MAX_DECODED: Final = 2 * MAX_HEAD
#: What the frames of a head may hold together. Huffman's coding takes hpack a second for a megabyte.
_MAX_ENCODED: Final = MAX_HEAD + MAX_FRAME


@dataclass
class GoAway(h2.events.Event):
    """The other side takes no more streams, and goes on with those up to `last_stream_id`."""

    last_stream_id: int


class _PlainEncoder(Encoder):
    """Leaves out Huffman's coding: hpack's time for it grows with a value's length squared, and others would wait."""

    def encode(self, headers: Any, huffman: bool = False) -> bytes:
        return super().encode(headers, huffman)


class _Frames(FrameBuffer):
    """The frames that come; what is too long for a head is given up before it is decoded."""

    _encoded = 0

    def _update_header_buffer(self, f: Frame | None) -> Frame | None:
        self._encoded = self._encoded + len(f.data) if isinstance(f, HeadersFrame | ContinuationFrame) else 0
        if self._encoded > _MAX_ENCODED:
            raise DenialOfServiceError
        frame = super()._update_header_buffer(f)
        if frame is not None:
            self._encoded = 0
        return frame


class SeksH2Connection(BufferedH2Connection):
    """One side's state, with small windows."""

    def __init__(self, config: h2.config.H2Configuration) -> None:
        super().__init__(config)
        self.incoming_buffer = _Frames(server=not config.client_side)
        settings = self.local_settings
        settings.initial_window_size = STREAM_WINDOW
        settings.max_frame_size = self.max_inbound_frame_size = MAX_FRAME
        settings.max_concurrent_streams = MAX_STREAMS
        settings.max_header_list_size = MAX_HEAD
        if config.client_side:
            settings.enable_push = 0
        settings.acknowledge()
        self.decoder.max_header_list_size = _MAX_DECODED
        self.encoder = _PlainEncoder()

    def send_headers(self, stream_id: int, headers: Iterable[Any], *args: Any, **options: Any) -> None:
        """Send a head of which nothing stays in a compression table: a credential there would outlive its request."""
        super().send_headers(stream_id, [NeverIndexedHeaderTuple(*field) for field in headers], *args, **options)

    def send_data(self, stream_id: int, data: Any, end_stream: bool = False, pad_length: Any = None) -> None:
        waiting = self.stream_buffers.get(stream_id)
        if waiting and len(waiting[-1].data) + len(data) <= self.max_outbound_frame_size:
            # A piece that waits costs more than a few bytes.
            waiting[-1] = SendH2Data(waiting[-1].data + data, end_stream)
        else:
            super().send_data(stream_id, data, end_stream, pad_length)

    def waiting(self, stream_id: int) -> int:
        """How many bytes of a stream the other side gives no credit for."""
        return sum(len(piece.data) for piece in self.stream_buffers.get(stream_id, ()))

    @property
    def waiting_in_all(self) -> int:
        """The same of all streams."""
        return sum(len(piece.data) for pieces in self.stream_buffers.values() for piece in pieces)

    def receive_data(self, data: bytes) -> list[h2.events.Event]:
        """Read frames; the pieces of a body that came together are one: each costs as much as a thousand bytes.

        So they are where those of other bodies came in between. What else happens to a stream keeps its place.
        """
        joined: list[h2.events.Event] = []
        bodies: dict[int, tuple[h2.events.DataReceived, list[bytes]]] = {}
        for event in super().receive_data(data):
            stream_id = getattr(event, "stream_id", None) or 0
            # One without anything in it is counted.
            if isinstance(event, h2.events.DataReceived) and event.data:
                if stream_id in bodies:
                    first, pieces = bodies[stream_id]
                    pieces.append(event.data)
                    first.flow_controlled_length = sum(e.flow_controlled_length or 0 for e in (first, event))
                    first.stream_ended = event.stream_ended
                    continue
                bodies[stream_id] = event, [event.data]
            else:
                _join(bodies.pop(stream_id, None))
            joined.append(event)
        for body in bodies.values():
            _join(body)
        return joined

    def forget(self, stream_id: int) -> None:
        """Throw away what waits to be sent."""
        self.stream_buffers.pop(stream_id, None)
        self.stream_trailers.pop(stream_id, None)

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[h2.events.Event]]:
        # h2 takes the connection for closed and refuses to go on with its streams.
        return [], [GoAway(frame.last_stream_id)]


def _join(body: tuple[h2.events.DataReceived, list[bytes]] | None) -> None:
    if body is not None:
        event, pieces = body
        event.data = b"".join(pieces)
