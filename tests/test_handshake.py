"""The handshake of a WebSocket, and the answer to it."""

import base64
from collections.abc import Sequence

import pytest

from seks_addon.handshake import accept_of, check_answer, is_handshake
from seks_addon.head import Head, Header
from seks_addon.refusal import Refused
from seks_addon.strict import strip_hop_by_hop

# RFC 6455 section 1.3.
KEY, ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
FIELDS = (
    ("Host", "api.example.com"),
    ("Connection", "keep-alive, Upgrade"),
    ("Upgrade", "WebSocket"),
    ("Sec-WebSocket-Key", KEY),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Protocol", "chat, superchat"),
)
ANSWER = (("Connection", "upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Accept", ACCEPT))


def asked(name: str = "", *values: str, method: str = "GET", version: str = "HTTP/1.1") -> Head:
    """A handshake with other values of one header."""
    kept = [field for field in FIELDS if field[0] != name]
    return Head(method, "/", version, (*kept, *((name, value) for value in values)))


def with_header(name: str, *values: str) -> list[Header]:
    """The answer with other values of one header."""
    return [*(field for field in ANSWER if field[0] != name), *((name, value) for value in values)]


def test_accept() -> None:
    """The example of the RFC."""
    assert accept_of(KEY) == ACCEPT


def test_handshake() -> None:
    """What clients send is one; it is sent on with an exact upgrade and without any extension."""
    sent = strip_hop_by_hop(asked("Sec-WebSocket-Extensions", "permessage-deflate", "x-other"))

    assert is_handshake(asked())
    assert is_handshake(asked("Content-Length", "0"))
    assert is_handshake(sent)
    assert sent.headers == (
        ("Host", "api.example.com"),
        ("Sec-WebSocket-Key", KEY),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Protocol", "chat, superchat"),
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
    )


@pytest.mark.parametrize(
    "head",
    [
        asked("Upgrade"),
        asked("Upgrade", "h2c"),
        asked("Upgrade", "websocket, h2c"),
        asked("Upgrade", "websocket", "websocket"),
        asked("Connection"),
        asked("Connection", "keep-alive"),
        asked("Connection", "Upgrade, Sec-WebSocket-Key"),
        asked("Sec-WebSocket-Key"),
        asked("Sec-WebSocket-Key", KEY, KEY),
        asked("Sec-WebSocket-Key", "too short"),
        asked("Sec-WebSocket-Key", base64.b64encode(b"x" * 15).decode()),
        asked("Sec-WebSocket-Key", base64.b64encode(b"x" * 17).decode()),
        asked("Sec-WebSocket-Key", KEY.replace("=", "") + "ä"),
        asked("Sec-WebSocket-Version"),
        asked("Sec-WebSocket-Version", "8"),
        asked("Sec-WebSocket-Version", "13, 8"),
        asked("Sec-WebSocket-Version", "13", "13"),
        asked("Content-Length", "1"),
        asked("Transfer-Encoding", "chunked"),
        asked(method="POST"),
        asked(version="HTTP/1.0"),
    ],
)
def test_no_handshake(head: Head) -> None:
    """Anything else isn't upgraded: the host gets a plain request."""
    sent = strip_hop_by_hop(head)

    assert not is_handshake(sent)
    assert not sent.values("upgrade")
    assert not sent.values("connection")


@pytest.mark.parametrize("chosen", [[], ["chat"], ["superchat"]])
def test_answer(chosen: Sequence[str]) -> None:
    check_answer(asked(), "HTTP/1.1", [*ANSWER, *(("Sec-WebSocket-Protocol", name) for name in chosen)])


@pytest.mark.parametrize(
    ("headers", "version"),
    [
        (ANSWER, "HTTP/1.0"),
        (with_header("Upgrade"), "HTTP/1.1"),
        (with_header("Upgrade", "h2c"), "HTTP/1.1"),
        (with_header("Upgrade", "websocket", "h2c"), "HTTP/1.1"),
        (with_header("Connection", "close"), "HTTP/1.1"),
        (with_header("Sec-WebSocket-Accept"), "HTTP/1.1"),
        (with_header("Sec-WebSocket-Accept", ACCEPT, ACCEPT), "HTTP/1.1"),
        (with_header("Sec-WebSocket-Accept", ACCEPT.lower()), "HTTP/1.1"),
        (with_header("Sec-WebSocket-Accept", accept_of(KEY[::-1])), "HTTP/1.1"),
        (with_header("Sec-WebSocket-Protocol", "other"), "HTTP/1.1"),
        (with_header("Sec-WebSocket-Protocol", "Chat"), "HTTP/1.1"),
        (with_header("Sec-WebSocket-Protocol", "chat, superchat"), "HTTP/1.1"),
        (with_header("Sec-WebSocket-Protocol", "chat", "chat"), "HTTP/1.1"),
        (with_header("Sec-WebSocket-Extensions", "permessage-deflate"), "HTTP/1.1"),
    ],
)
def test_wrong_answer(headers: Sequence[Header], version: str) -> None:
    """An answer to something else, or with more than was offered, is refused."""
    with pytest.raises(Refused) as refused:
        check_answer(asked(), version, headers)

    assert refused.value.code == "upstream_malformed"
