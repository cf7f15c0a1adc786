"""The head of an HTTP/2 request, read as the HTTP/1.1 head that says the same.

Stricter than RFC 9113 section 8.3 asks: what is lenient there ends up in the request line or as a second header
where the host speaks HTTP/1.1.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from seks_addon.head import TCHAR
from seks_addon.refusal import Refused

Field = tuple[bytes, bytes]

_PSEUDO: Final = frozenset({b":method", b":scheme", b":authority", b":path"})
# RFC 9110 section 5.6.2, without the capitals that RFC 9113 section 8.2.1 forbids.
_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_METHOD: Final = re.compile(f"{TCHAR}+".encode())
_VISIBLE: Final = re.compile(rb"[\x21-\x7e]+")
_BAD_VALUE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]|^[ \t]|[ \t]$")
#: RFC 9113 section 8.2.2.
_OF_CONNECTION: Final = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"})


@dataclass(frozen=True, slots=True)
class H2Head:
    """What an HTTP/2 head says; `fields` begin with `Host` and name the framing that HTTP/1.1 needs."""

    method: bytes
    authority: bytes
    path: bytes
    fields: tuple[Field, ...]


def read_head(fields: Sequence[Field], *, ended: bool) -> H2Head:
    """Read the fields of a request; raises `Refused`. `ended`: no body follows."""
    # HPACK has classes of its own for fields.
    fields = [(bytes(name), bytes(value)) for name, value in fields]
    count = next((i for i, (name, _) in enumerate(fields) if not name.startswith(b":")), len(fields))
    pseudo, regular = dict(fields[:count]), fields[count:]
    if pseudo.keys() != _PSEUDO or count != len(_PSEUDO):
        raise _malformed("It has to begin with one :method, :scheme, :authority and :path each, and nothing else.")
    method, path, authority = pseudo[b":method"], pseudo[b":path"], pseudo[b":authority"]
    if pseudo[b":scheme"] != b"https":
        raise _malformed("The only scheme is https.")
    if not _METHOD.fullmatch(method) or method == b"CONNECT":
        raise _malformed("The method is none, or opens a tunnel in the tunnel.")
    if not path.startswith(b"/") or not _VISIBLE.fullmatch(path) or not _VISIBLE.fullmatch(authority):
        raise _malformed("The path or the authority is empty, of another form, or holds what it can't hold.")
    for name, value in regular:
        _check_field(name, value, authority)
    if sum(name == b"host" for name, _ in regular) > 1 or sum(name == b"te" for name, _ in regular) > 1:
        raise _malformed("A header is there twice that can be there once.")
    if ended and any(name == b"content-length" and value.strip(b"0") for name, value in regular):
        # RFC 9113 section 8.1.1: in HTTP/1.1 the next request would be read as this one's body.
        raise _malformed("It announces a body that doesn't come.")
    kept = _join_cookies([field for field in regular if field[0] != b"host"])
    if not ended and not any(name == b"content-length" for name, _ in kept):
        kept.append((b"transfer-encoding", b"chunked"))
    return H2Head(method, authority, path, ((b"Host", authority), *kept))


def _check_field(name: bytes, value: bytes, authority: bytes) -> None:
    if not _NAME.fullmatch(name):
        raise _malformed("A header's name holds a capital, or what names don't hold.")
    if _BAD_VALUE.search(value):
        raise _malformed("A header's value holds a control character, or begins or ends with a blank.")
    if name in _OF_CONNECTION or (name == b"te" and value.lower() != b"trailers"):
        raise _malformed("HTTP/2 has no headers that are about the connection.")
    if name == b"host" and value.lower() != authority.lower():
        raise Refused("authority_mismatch", "Host and :authority name different hosts.")


def _join_cookies(fields: list[Field]) -> list[Field]:
    """RFC 9113 section 8.2.3: a Cookie header may come in crumbs, and is one in HTTP/1.1."""
    crumbs = [value for name, value in fields if name == b"cookie"]
    if len(crumbs) < 2:
        return fields
    first = next(i for i, (name, _) in enumerate(fields) if name == b"cookie")
    rest = [field for field in fields if field[0] != b"cookie"]
    rest.insert(first, (b"cookie", b"; ".join(crumbs)))
    return rest


def _malformed(what: str) -> Refused:
    return Refused("request_malformed", f"The HTTP/2 request is malformed. {what}")
