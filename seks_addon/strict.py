"""What must hold for a request, and what more for one that carries a token."""

import re
import urllib.parse
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from seks_addon.handshake import EXTENSIONS, UPGRADE, is_handshake
from seks_addon.head import TCHAR, Head
from seks_addon.policy import METHODS
from seks_addon.refusal import Refused

#: Request line and headers together, in bytes; and how many headers.
MAX_HEAD: Final = 64 * 1024
MAX_HEADERS: Final = 200
#: What is read whole of a body in which a token may stand, in bytes.
MAX_BODY: Final = 1024 * 1024

_FIELD_NAME: Final = re.compile(f"{TCHAR}+")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# RFC 3986 section 3.3 and 3.4: what a path and a query are made of.
_TARGET: Final = re.compile(r"/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?\[\]|]|%[0-9A-Fa-f]{2})*")
# RFC 9110 section 5.6.6; blanks around the `=` are not in it, and read by some all the same.
_CHARSET: Final = re.compile(r"charset\*?\s*=[\s\"']*([^\s;\"']*)", re.IGNORECASE)
_MAX_DECODINGS: Final = 4
_ENCODED_SLASH: Final = re.compile(r"%2f", re.IGNORECASE)
_ENCODED_BACKSLASH: Final = re.compile(r"%5c", re.IGNORECASE)
_ENCODED_CONTROL: Final = re.compile(r"%(?:[01][0-9a-f]|7f)", re.IGNORECASE)

#: Headers of one hop only (RFC 9110 section 7.6.1, RFC 2616 section 13.5.1). Transfer-Encoding stays: the
#: framing is checked and kept.
HOP_BY_HOP: Final = frozenset(
    {"connection", "keep-alive", "proxy-connection", "proxy-authorization", "proxy-authenticate", "te", "upgrade"}
)
#: What a request that carries a token loses besides: a partial answer can't be scrubbed, an overridden method
#: is not the one that the policy saw, a trailer would come behind every check.
STRIPPED_WITH_TOKEN: Final = frozenset(
    {
        "range",
        "if-range",
        "trailer",
        "method-override",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-original-method",
        "x-original-url",
        "x-rewrite-url",
    }
)
#: Headers that ask for codings of a body, or of the messages in it (gRPC over HTTP/2, Connect).
_ACCEPT_CODINGS: Final = frozenset({"accept-encoding", "grpc-accept-encoding", "connect-accept-encoding"})
#: A `Connection` header that names one of these wants to change what the request says (RFC 9110 section 7.6.1).
_NEVER_HOP_BY_HOP: Final = frozenset({"host", "content-length", "transfer-encoding", "authorization", "cookie"})


def check_framing(head: Head) -> None:
    """Raise `Refused` where the request could be read in two ways; holds for every request, token or not."""
    size = len(head.method) + len(head.target) + sum(len(name) + len(value) + 4 for name, value in head.headers)
    if size > MAX_HEAD or len(head.headers) > MAX_HEADERS:
        raise Refused("headers_too_large")
    for name, value in head.headers:
        if not _FIELD_NAME.fullmatch(name):
            raise _malformed("A header's name holds a character that names don't have.")
        if _CONTROL.search(value):
            raise _malformed("A header's value holds a control character.")
    lengths, codings = head.values("content-length"), head.values("transfer-encoding")
    if len(lengths) > 1 or len(codings) > 1 or (lengths and codings):
        raise _malformed("The request's length is given more than once.")
    if lengths and not re.fullmatch(r"[0-9]{1,18}", lengths[0]):
        raise _malformed("Content-Length is no number.")
    if codings and codings[0].lower() != "chunked":
        raise _malformed("The only transfer coding of a request is chunked.")
    if codings and head.version != "HTTP/1.1":
        raise _malformed("Only HTTP/1.1 knows transfer codings.")


def check_body_size(size: int) -> None:
    """Raise `Refused` where a body in which a token may stand is too long to be read whole."""
    if size > MAX_BODY:
        raise Refused("body_too_large")


def strip_hop_by_hop(head: Head) -> Head:
    """Remove the headers that are meant for the proxy, and those that `Connection` names.

    The handshake of a WebSocket stays one, written anew; any other upgrade is none of the proxy's.
    """
    named = {part.strip().lower() for value in head.values("connection") for part in value.split(",")}
    if named & _NEVER_HOP_BY_HOP:
        raise _malformed("Connection names a header that belongs to the request itself.")
    stripped = head.without(HOP_BY_HOP | named)
    handshake = stripped.without({EXTENSIONS})
    handshake = replace(handshake, headers=(*handshake.headers, *UPGRADE))
    return handshake if is_handshake(head) and is_handshake(handshake) else stripped


def strip_for_token(head: Head) -> Head:
    """Remove what a request that carries a token must not have."""
    # To many a server, an underscore in a header's name is a dash (CGI, RFC 3875 section 4.1.18).
    alike = {name for name, _ in head.headers if name.lower().replace("_", "-") in STRIPPED_WITH_TOKEN}
    return head.without(name.lower() for name in alike)


def ask_for_plain(head: Head) -> Head:
    """Ask for an answer that can be scrubbed: all of it, and not compressed.

    In a request that carries a token every header stays at its place.
    """
    # `A-IM` (RFC 3229) asks for a difference to what the agent has, or for a coding that isn't called one.
    kept = head.without({"range", "if-range", "a-im"})
    headers = [(name, "identity" if name.lower() in _ACCEPT_CODINGS else value) for name, value in kept.headers]
    if not head.values("accept-encoding"):
        headers.append(("Accept-Encoding", "identity"))
    return replace(kept, headers=tuple(headers))


def check_with_token(head: Head, claimed: Sequence[int], *, encoded_slash: bool) -> None:
    """Raise `Refused` unless the request may carry a token.

    `claimed` are the indexes of the headers in which a token stands. `encoded_slash` admits `%2F` in the path,
    for an API that puts whole names into one segment.
    """
    if head.version != "HTTP/1.1":
        raise _malformed("A token travels in HTTP/1.1 only.")
    if head.method not in METHODS:
        raise _malformed("A token can't be used with this method.")
    if not _TARGET.fullmatch(head.target):
        raise _malformed("The path holds a character that must be percent-encoded.")
    if _has_dot_segment(head.path) or _ENCODED_CONTROL.search(head.target):
        raise _malformed("The path holds a dot segment or a control character.")
    if _ENCODED_BACKSLASH.search(head.path):
        raise _malformed("The path holds an encoded backslash.")
    if not encoded_slash and _ENCODED_SLASH.search(head.path):
        raise _malformed("The path holds an encoded slash.")
    if any(value.strip().lower() != "100-continue" for value in head.values("expect")):
        # RFC 9110 section 10.1.1 knows no other; a host may take it for something.
        raise _malformed("Expect asks for something else than 100-continue.")
    for index in claimed:
        name = head.headers[index][0].lower()
        if len(head.values(name)) != 1:
            raise _malformed("The header that carries the token is there more than once.")


def check_charset(head: Head) -> None:
    """Raise `Refused` where a text that was read as UTF-8 is said to be another. A form is ASCII, whatever is said."""
    for value in head.values("content-type"):
        media_type, _, parameters = value.partition(";")
        says = {charset.lower() for charset in _CHARSET.findall(parameters)}
        if says - {"utf-8", "utf8"} and media_type.strip().lower() != "application/x-www-form-urlencoded":
            raise _malformed("A token travels in UTF-8 only.")


def _has_dot_segment(path: str) -> bool:
    """Tell whether any server could read `.` or `..` in it: decoded once or more, split by what splits somewhere."""
    for _ in range(_MAX_DECODINGS):
        if not {".", ".."}.isdisjoint(re.split(r"[/\\;]", path)):
            return True
        decoded = urllib.parse.unquote(path, "latin-1")
        if decoded == path:
            return False
        path = decoded
    # Nobody encodes so often, and looking on costs more the longer the path is.
    return True


def _malformed(message: str) -> Refused:
    return Refused("request_malformed", message)
