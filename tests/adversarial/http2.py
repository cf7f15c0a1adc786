"""The same cases in HTTP/2: what a request's text says becomes a stream."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

import h2.events
from h2.exceptions import ProtocolError

from tests.adversarial.harness import BROKEN, CLOSED, SILENT, Case, Play, Word, any_of
from tests.support.h2wire import H2Wire, ResetStreamError
from tests.support.raw import ClosedError, Headers, Wire

#: What HTTP/2 has no fields for.
_HOP_BY_HOP: Final = frozenset({"connection", "keep-alive", "transfer-encoding", "upgrade", "expect"})
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_MALFORMED: Final = "request_malformed"
#: A host that is none is malformed there, and what is malformed may end the connection (RFC 9113, section 8.1.1).
_ALSO: Final = {"authority_mismatch": _MALFORMED, _MALFORMED: CLOSED}
_UNASKED: Final = (h2.events.ResponseReceived, h2.events.DataReceived, h2.events.TrailersReceived)


def over_http2(case: Case) -> Case | None:
    """The case in HTTP/2, or None where it is about what HTTP/2 doesn't have."""
    if case.connect is None or not case.tls or case.alpn != ("http/1.1",):
        return None
    back = case.back[:-1] if case.back[1:] == (CLOSED,) else case.back
    back = tuple(any_of(word, _ALSO[word]) if word in _ALSO else word for word in back)
    case = replace(case, alpn=("h2",), back=back)
    if case.act is not None:
        return case
    if isinstance(case.send, bytes) or len(back) != 1 or (request := fields_of(case.send)) is None:
        return None
    if not dict(request[0])[":path"].startswith("/"):
        return replace(case, back=(_MALFORMED,), uses=0, passes=0)
    return case


def fields_of(text: str) -> tuple[Headers, str] | None:
    """The fields and the body of a request that is written as in HTTP/1.1; None where it is no request."""
    head, _, body = text.replace("\r\n", "\n").partition("\n\n")
    line, *lines = head.split("\n")
    method, _, rest = line.partition(" ")
    target, _, version = rest.rpartition(" ")
    headers = [(name, value.strip(" \t")) for name, colon, value in (line.partition(":") for line in lines) if colon]
    names = [name.lower() for name, _ in headers]
    if version != "HTTP/1.1" or len(headers) != len(lines) or names.count("host") != 1 or "\r" in head:
        return None
    if _HOP_BY_HOP.intersection(names) or not all(_NAME.fullmatch(name) for name in names):
        return None
    host = next(value for name, value in headers if name.lower() == "host")
    pseudo = [(":method", method), (":scheme", "https"), (":authority", host), (":path", target)]
    return pseudo + [(name.lower(), value) for name, value in headers if name.lower() != "host"], body


@dataclass
class H2Play(Play):
    """A case under way in HTTP/2."""

    connections: dict[int, H2Wire] = field(default_factory=dict)

    def exchange(self, wire: Wire, text: str | bytes, count: int = 1) -> Iterator[Word]:
        """Send a request in a stream of its own, and give what comes back."""
        assert count == 1
        request = fields_of(self.fill(text).decode("latin-1"))
        assert request is not None, text
        fields, body = request
        stream = None
        http = None
        try:
            http = self.connections.get(id(wire)) or self.connections.setdefault(id(wire), H2Wire(wire))
            stream = http.send_fields(*fields, end=not body)
            if body:
                http.send(stream, body.encode("latin-1"), end=True)
            answer = http.answer(stream)
        except TimeoutError:
            yield SILENT
        except (ClosedError, OSError, ResetStreamError, ProtocolError):
            yield BROKEN if http and stream and http.streams[stream].headers else CLOSED
        else:
            yield self.judge(answer)
        finally:
            if http is not None and stream is not None:
                wire.received += as_text(http, stream)

    def unasked(self) -> bytes:
        """Answers in streams that have ended, or that nobody opened."""
        found = b""
        for wire in self.wires:
            rest = wire.rest()
            if rest and (http := self.connections.get(id(wire))):
                found += b"".join(repr(e).encode() for e in http.http.receive_data(rest) if isinstance(e, _UNASKED))
        return found


def as_text(http: H2Wire, number: int) -> bytes:
    """All that came for a stream, for what mustn't be in it."""
    stream = http.streams[number]
    fields = [*(stream.headers or []), *stream.trailers]
    return "".join(f"{name}: {value}\n" for name, value in fields).encode("latin-1") + b"\n" + bytes(stream.body)
