"""Bytes that stand for what no mutation would ever hit: tokens with the right checksum, keys and their forms."""

import base64
from collections.abc import Mapping

from tests.samples import KEY, OTHER_TOKEN, TOKEN

#: Of another agent; and one that nobody was given.
FOREIGN_TOKEN = "seks_openai_" + "2" * 33 + "0vjYeJ"
UNKNOWN_TOKEN = "seks_openai_" + "3" * 33 + "2KGgJV"

TOKENS: Mapping[bytes, bytes] = {
    b"\x01": TOKEN.encode(),
    b"\x02": OTHER_TOKEN.encode(),
    b"\x03": base64.b64encode(f"x:{TOKEN}".encode()),
    b"\x04": base64.b64encode(f"{TOKEN}:x".encode()),
    b"\x05": "".join(f"%{ord(c):02x}" for c in TOKEN).encode(),
    b"\x06": FOREIGN_TOKEN.encode(),
    b"\x07": UNKNOWN_TOKEN.encode(),
    b"\x08": TOKEN[:-1].encode(),
}
KEYS: Mapping[bytes, bytes] = {
    b"\x01": KEY.encode(),
    b"\x02": base64.b64encode(KEY.encode()),
    b"\x03": base64.urlsafe_b64encode(f"x{KEY}".encode()),
    b"\x04": base64.b64encode(f"xy{KEY}yx".encode()),
    b"\x05": KEY.encode().hex().encode(),
    b"\x06": "".join(f"%{ord(c):02X}" for c in KEY).encode(),
    b"\x07": "".join(f"\\u{ord(c):04x}" for c in KEY).encode(),
    b"\x08": "".join(f"&#{ord(c)};" for c in KEY).encode(),
    b"\x0b": KEY.encode("utf-16-le"),
    b"\x0c": KEY[:-1].encode(),
    b"\x0e": KEY[:5].encode(),
    b"\x0f": KEY.encode().hex().upper().encode(),
}


def spelt(data: bytes, marks: Mapping[bytes, bytes]) -> bytes:
    """The input with what its marks stand for."""
    return b"".join(marks.get(bytes([byte]), bytes([byte])) for byte in data)
