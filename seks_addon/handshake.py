"""The handshake of a WebSocket (RFC 6455 section 4): which requests are one, and what answers it."""

import base64
import binascii
import hashlib
from collections.abc import Iterable
from typing import Final

from seks_addon.head import Head, Header
from seks_addon.refusal import Refused

#: What a handshake is sent on with, whatever else its `Connection` named.
UPGRADE: Final[tuple[Header, ...]] = (("Connection", "Upgrade"), ("Upgrade", "websocket"))
#: An extension changes what the bytes mean: compressed ones can't be scrubbed. None is offered to a host.
EXTENSIONS: Final = "sec-websocket-extensions"

# RFC 6455 section 1.3: what makes the answer one to this handshake, and to no other request.
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_VERSION: Final = "13"


def is_handshake(head: Head) -> bool:
    """Tell whether a request asks for a WebSocket, and for nothing else (RFC 6455 section 4.2.1)."""
    keys = head.values("sec-websocket-key")
    return (
        (head.method, head.version) == ("GET", "HTTP/1.1")
        and [value.lower() for value in head.values("upgrade")] == ["websocket"]
        and "upgrade" in _items(head.values("connection"), lower=True)
        and head.values("sec-websocket-version") == [_VERSION]
        and len(keys) == 1
        and _is_key(keys[0])
        and not head.values("transfer-encoding")
        and head.values("content-length") in ([], ["0"])
    )


def accept_of(key: str) -> str:
    """The `Sec-WebSocket-Accept` that belongs to a `Sec-WebSocket-Key`."""
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()


def check_answer(handshake: Head, version: str, headers: Iterable[Header]) -> None:
    """Raise `Refused` unless a 101 is the answer to this handshake, which was sent without any extension."""
    answer = Head("", "", version, tuple(headers))
    if (
        version != "HTTP/1.1"
        or [value.lower() for value in answer.values("upgrade")] != ["websocket"]
        or "upgrade" not in _items(answer.values("connection"), lower=True)
    ):
        raise _malformed("The host changed to a protocol that nobody asked for.")
    if answer.values("sec-websocket-accept") != [accept_of(handshake.values("sec-websocket-key")[0])]:
        raise _malformed("The host's answer belongs to another WebSocket handshake.")
    chosen = answer.values("sec-websocket-protocol")
    if len(chosen) > 1 or not set(chosen) <= set(_items(handshake.values("sec-websocket-protocol"))):
        raise _malformed("The host chose a WebSocket subprotocol that wasn't offered.")
    if any(value.strip() for value in answer.values(EXTENSIONS)):
        raise _malformed("The host uses a WebSocket extension that wasn't offered.")


def _items(values: Iterable[str], *, lower: bool = False) -> list[str]:
    items = [item.strip() for value in values for item in value.split(",")]
    return [item.lower() for item in items] if lower else items


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False


def _malformed(message: str) -> Refused:
    return Refused("upstream_malformed", message)
