"""WebSocket frames as nobody's library would send them (RFC 6455 section 5.2)."""

import struct

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
KEY = b"\x11\x22\x33\x44"


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    masked: bool = False,
    rsv: int = 0,
    length: int | None = None,
) -> bytes:
    """One frame; `length` is what it says instead of its payload's."""
    size = len(payload) if length is None else length
    first = fin << 7 | rsv << 4 | opcode
    mask = 0x80 if masked else 0
    if size < 126:
        head = bytes([first, mask | size])
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, mask | 126, size)
    else:
        head = struct.pack("!BBQ", first, mask | 127, size)
    if masked:
        return head + KEY + bytes(byte ^ KEY[i % 4] for i, byte in enumerate(payload))
    return head + payload
