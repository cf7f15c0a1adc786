"""What comes back: the head of an answer made safe, its body scrubbed as it streams, what comes behind it."""

import re
from http import HTTPStatus
from typing import Final

from mitmproxy import http
from mitmproxy.net.http.http1.read import connection_close

from seks_addon.handshake import UPGRADE, check_answer
from seks_addon.head import Head
from seks_addon.refusal import Refused
from seks_addon.scrub import Scrubber
from seks_addon.scrub.codings import Coding, coding_of
from seks_addon.scrub.envelopes import Envelopes, envelopes_of

#: Headers of one hop that an answer never brings to the agent (RFC 9110 section 7.6.1), and the trailer's
#: announcement: it is not asked for in HTTP/2, and in HTTP/1.1 trailers are not passed on.
_HOP_BY_HOP: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"trailer", b"upgrade"}
)
#: Trailers that would change what the answer is (RFC 9110 section 6.5.1).
_NO_TRAILERS: Final = _HOP_BY_HOP | {
    *(b"content-length", b"content-encoding", b"content-type", b"content-range", b"transfer-encoding", b"te"),
    *(b"host", b"set-cookie", b"location", b"authorization", b"www-authenticate", b"cache-control"),
}
#: Codings of the messages within a body (gRPC over HTTP/2, Connect): each is compressed apart.
_OF_MESSAGES: Final = ("grpc-encoding", "connect-content-encoding")
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})
#: What is true of the bytes of a coded body only (RFC 9530; RFC 3230 and RFC 1864 before it).
_OF_CODED: Final = frozenset({b"content-encoding", b"content-digest", b"digest", b"content-md5"})
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
#: The standard phrases, in the place of the host's own.
_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}

_Fields = list[tuple[bytes, bytes]]


class Answer:
    """The answer to one request. `scrubber` takes credentials out of all of it, also of a WebSocket that it opens.

    `size` is that of the body as it came, in bytes; `is_last`: the host closes the connection after it.
    """

    def __init__(self) -> None:
        self.scrubber = Scrubber()
        self.size = 0
        self.is_last = False
        self._has_body = True
        self._coding: Coding = coding_of("")
        self._envelopes: Envelopes | None = None

    def prepare(self, request: http.Request, response: http.Response, *, guarded: bool, closes: bool) -> None:
        """Make the head safe and set the body to stream; raises `Refused` where it can't be.

        `guarded`: the host may know a credential of the agent's. `closes`: the client wants no more on its connection.
        """
        response.stream = self.take
        if not 200 <= response.status_code <= 599:
            raise Refused("upstream_malformed", "The host's answer has no final status.")
        _check_controls(response)
        response.reason = _REASONS.get(response.status_code, "")
        # Without the host's `Connection: close`, mitmproxy would send the next request to a closing connection.
        self.is_last = connection_close(response.http_version, response.headers)
        response.http_version = "HTTP/1.1"
        self._has_body = has_body = _has_body(request, response)
        dropped = _HOP_BY_HOP | _named_by_connection(response)
        if not has_body and request.method != "HEAD":
            # Nothing follows that could be framed.
            dropped |= {b"transfer-encoding"}
        fields = [h for h in response.headers.fields if h[0].lower() not in dropped]
        if guarded:
            fields = self._guard(response, fields, has_body=has_body)
            if has_body:
                # What is scrubbed has another length than the one announced. HTTP/1.0 knows no chunks.
                fields += [] if request.is_http10 else [(b"Transfer-Encoding", b"chunked")]
                closes |= request.is_http10
        if closes:
            fields.append((b"Connection", b"close"))
        response.headers.fields = tuple(fields)

    def accept_websocket(self, handshake: Head | None, response: http.Response) -> None:
        """Take a 101 for what the request asked for; raises `Refused` where it is anything else."""
        _check_controls(response)
        response.reason = _REASONS[101]
        if handshake is None:
            raise Refused("upstream_malformed", "The host changed the protocol, which nobody asked for.")
        scrubbed = self._scrub(list(response.headers.fields))
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scrubbed]
        check_answer(handshake, response.http_version, headers)
        dropped = _HOP_BY_HOP | _named_by_connection(response) | _FRAMING
        fields = [field for field in scrubbed if field[0].lower() not in dropped]
        fields += [(name.encode(), value.encode()) for name, value in UPGRADE]
        response.headers.fields = tuple(fields)

    def take(self, chunk: bytes) -> list[bytes]:
        """Give what is clean of the next bytes of the body, an empty chunk being its end; raises `Refused`."""
        if chunk and not self._has_body:
            # HTTP/2 has frames for it all the same, and nothing was made ready to take its coding off.
            raise Refused("upstream_malformed", "The host's answer goes on where it must end.")
        self.size += len(chunk)
        if chunk and self._envelopes:
            pieces = [
                self.scrubber.feed(part) + (self.scrubber.finish() if ends else b"")
                for piece in self._coding.feed(chunk)
                for part, ends in self._envelopes.split(piece)
            ]
        elif chunk:
            pieces = [self.scrubber.feed(piece) for piece in self._coding.feed(chunk)]
        else:
            self._coding.finish()
            pieces = [self.scrubber.finish()]
        # An empty one would end a chunked body too early.
        return [piece for piece in pieces if piece]

    def clean_trailers(self, trailers: http.Headers) -> http.Headers:
        """Make safe what comes behind a body."""
        fields = self._scrub(list(trailers.fields))
        return http.Headers(
            [h for h in fields if h[0].lower() not in _NO_TRAILERS and not any(_CONTROL.search(part) for part in h)]
        )

    def _guard(self, response: http.Response, fields: _Fields, *, has_body: bool) -> _Fields:
        # 226 is a difference to another answer, or one in a coding that `IM` names (RFC 3229).
        if response.status_code in (206, 226):
            raise Refused("response_unsafe", "The host sent a part of an answer, which can't be made safe.")
        for name in _OF_MESSAGES:
            if any(coding.strip().lower() not in ("", "identity") for coding in response.headers.get_all(name)):
                raise Refused("response_unsafe", "The host compressed its messages although it was asked not to.")
        if response.headers.get("transfer-encoding", "chunked").strip().lower() != "chunked":
            raise Refused("response_unsafe", "The host's answer has an unusual transfer coding.")
        fields = self._scrub(fields)
        if not has_body:
            return fields
        self._envelopes = envelopes_of(response.headers.get("content-type", "").lower())
        self._coding = coding_of(response.headers.get("content-encoding", ""))
        self.is_last |= not any(name.lower() in _FRAMING for name, _ in response.headers.fields)
        dropped = _FRAMING | _OF_CODED if "content-encoding" in response.headers else _FRAMING
        return [h for h in fields if h[0].lower() not in dropped]

    def _scrub(self, fields: _Fields) -> _Fields:
        # One look at all of them: it is rare that there is something to do.
        if not self.scrubber.finds(b"\0\0".join(part for field in fields for part in field)):
            return fields
        return [(self.scrubber.whole(name), self.scrubber.whole(value)) for name, value in fields]


def _check_controls(response: http.Response) -> None:
    if any(_CONTROL.search(part) for header in response.headers.fields for part in header):
        raise Refused("upstream_malformed", "The host's answer has a header with a control character in it.")


def _named_by_connection(response: http.Response) -> set[bytes]:
    named = ",".join(response.headers.get_all("connection")).split(",")
    return {name.strip().lower().encode("utf-8", "surrogateescape") for name in named} - _FRAMING


def _has_body(request: http.Request, response: http.Response) -> bool:
    # RFC 9112 section 6.3.
    return request.method.upper() != "HEAD" and response.status_code not in (204, 304)
