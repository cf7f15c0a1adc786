"""How a credential may be written in an answer, and where it may stand in a request."""

import base64
import contextlib
import gzip
import re
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import brotli
import zstandard

from tests.support.forms import forms
from tests.support.raw import Answer
from tests.support.site import STEM


def spellings(key: str) -> dict[str, str]:
    """A credential in the encodings that an answer may have it in."""
    raw = key.encode()
    return {
        "key": key,
        "length": f"{len(raw):x}",
        "base64": base64.b64encode(raw).decode(),
        "base64+1": base64.b64encode(b"x" + raw).decode(),
        "base64+2": base64.b64encode(b"xy" + raw).decode(),
        "base64url": base64.urlsafe_b64encode(raw).decode().rstrip("="),
        "pair": base64.b64encode(b"user:" + raw).decode(),
        "hex": raw.hex(),
        "HEX": raw.hex().upper(),
        "percent": "".join(f"%{byte:02x}" for byte in raw),
        "PERCENT": "".join(f"%{byte:02X}" for byte in raw),
        "json": "".join(f"\\u{byte:04x}" for byte in raw),
        "some json": key.replace("-", "\\u002d"),
        "html": "".join(f"&#{byte};" for byte in raw),
        "htmlhex": "".join(f"&#x{byte:x};" for byte in raw),
        "some html": key.replace("-", "&#45;"),
        "utf16": key.encode("utf-16-le").decode("latin-1"),
        "gzip": gzip.compress(raw, mtime=0).decode("latin-1"),
        "deflate": zlib.compress(raw).decode("latin-1"),
        "br": brotli.compress(raw).decode("latin-1"),
        "zstd": zstandard.compress(raw).decode("latin-1"),
        "chunks": "".join(f"1\r\n{character}\r\n" for character in key) + "0\r\n\r\n",
    }


DECODERS: Final[Mapping[str, Callable[[bytes], Any]]] = {
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "br": brotli.decompress,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
}


def decoded(answer: Answer) -> bytes:
    """The body without its content coding; as it is, where it has another or is damaged."""
    decode = DECODERS.get(answer.header("content-encoding") or "")
    with contextlib.suppress(OSError, EOFError, zlib.error, brotli.error, zstandard.ZstdError):
        return bytes(decode(answer.body)) if decode else answer.body
    return answer.body


FORMS: Final = tuple(forms(STEM))
_KEY: Final = re.escape(STEM.encode()) + rb"[a-z]+-[0-9]{4}"
# Fifteen and twenty-one characters are whole groups of base64.
_PAIR: Final = base64.b64encode(b"x-access-token:" + STEM[:21].encode()) + rb"[A-Za-z0-9+/]+=*"
_BEARER: Final = rb"authorization:[ \t]*bearer[ \t]+"
#: Where in what a host receives a credential may stand.
PLACES: Final[Mapping[str, re.Pattern[bytes]]] = {
    name: re.compile(rb"(?<=\n)(?i:" + header + rb")" + value + rb"(?=\r\n)")
    for name, header, value in (
        ("bound", rb"authorization:[ \t]*(?:bearer|basic)[ \t]+", rb"(?:" + _KEY + rb"|" + _PAIR + rb")"),
        ("canary", rb"x-api-key:[ \t]*", _KEY),
        ("moving", _BEARER, _KEY),
    )
}
