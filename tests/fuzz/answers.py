"""What a host sends back: the scrubber and the codings, whole and in pieces."""

import base64
import gzip
import itertools
import re
import zlib
from collections.abc import Callable
from typing import Any

import brotli
import zstandard

from seks_addon.refusal import Refused
from seks_addon.scrub import Known, Scrubber
from seks_addon.scrub.codings import MAX_EXPANSION, coding_of
from tests.fuzz.marks import KEYS, spelt
from tests.samples import KEY, TOKEN

KNOWN = Known(KEY, TOKEN)
#: One for all inputs; `finish` leaves it as new, but for its count.
SCRUBBER = Scrubber([KNOWN])
_RAW = KEY.encode()
_BASE64 = [base64.b64encode(bytes(n) + _RAW)[-(-8 * n // 6) : 8 * (n + len(_RAW)) // 6] for n in range(3)]
#: Written apart from the scrubber, as are the escapes: with no more digits than it reads.
FORMS = [
    *(_RAW, _RAW.hex().encode(), _RAW.hex().upper().encode(), KEY.encode("utf-16-le")[:-1]),
    *_BASE64,
    *(one.replace(b"+", b"-").replace(b"/", b"_") for one in _BASE64),
]
_ESCAPE = re.compile(
    rb"[%=]([0-9a-f]{2})|\\u00([0-9a-f]{2})|\\x([0-9a-f]{2})|&#x0{0,4}([0-9a-f]{2})(?![0-9a-f]);?"
    rb"|&#0{0,4}([0-9]{2,3})(?![0-9]);?",
    re.IGNORECASE,
)
CODINGS = ("gzip", "deflate", "br", "zstd", "identity")


def scrub(data: bytes) -> None:
    """No form of a key is left, and it doesn't matter how the answer is split; the first byte says how."""
    text = spelt(data[1:], KEYS)
    before = SCRUBBER.count
    clean = SCRUBBER.whole(text)
    count = SCRUBBER.count - before
    assert b"".join([*map(SCRUBBER.feed, _pieces(text, data[:1])), SCRUBBER.finish()]) == clean, "the pieces differ"
    assert SCRUBBER.count - before == 2 * count
    assert not any(form in clean for form in FORMS), "a form is left"
    assert KEY.encode() not in _ESCAPE.sub(_unescaped, clean), "an escaped key is left"
    assert SCRUBBER.finds(text) == (count > 0)
    assert count or clean == text


def _unescaped(match: re.Match[bytes]) -> bytes:
    *hexadecimal, decimal = match.groups()
    found = next((digits for digits in hexadecimal if digits), None)
    number = int(found, 16) if found else int(decimal)
    return bytes([number]) if number < 128 else match[0]


def _pieces(text: bytes, how: bytes) -> list[bytes]:
    step = max(how[0] % 64 + 1 if how else 1, len(text) // 64)
    return [text[start : start + step] for start in range(0, len(text), step)]


def coding(data: bytes) -> None:
    """A body is what its library reads, or refused; how it is split doesn't matter. The first bytes say both."""
    name, body = CODINGS[data[0] % len(CODINGS)] if data else "gzip", data[2:]
    whole = _decoded(name, [body])
    pieces = _decoded(name, _pieces(body, data[1:2]))
    if isinstance(whole, bytes):
        assert pieces == whole, "the pieces differ"
        assert len(whole) <= MAX_EXPANSION
        assert not body or whole == _REFERENCES[name](body), "the library reads another body"
    else:
        # In pieces it may grow more: the limit is one for each.
        assert "grows" in whole or not isinstance(pieces, bytes), "only the whole is refused"


def _decoded(name: str, pieces: list[bytes]) -> bytes | str:
    decoder = coding_of(name)
    try:
        clean = b"".join(itertools.chain.from_iterable(decoder.feed(piece) for piece in pieces))
        decoder.finish()
    except Refused as refused:
        return refused.message
    return clean


def _inflate(body: bytes) -> bytes:
    framed = body[0] & 0x0F == zlib.DEFLATED and int.from_bytes(body[:2]) % 31 == 0
    return _whole(zlib.decompressobj(zlib.MAX_WBITS if framed else -zlib.MAX_WBITS), body)


def _whole(decoder: Any, body: bytes) -> bytes:
    clean: bytes = decoder.decompress(body)
    assert decoder.eof
    assert not decoder.unused_data
    return clean


_REFERENCES: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "deflate": _inflate,
    "br": brotli.decompress,
    "zstd": lambda body: _whole(zstandard.ZstdDecompressor().decompressobj(), body),
    "identity": bytes,
}
