"""Taking a content coding (RFC 9110 section 8.4) off a body in a stream, in bounded memory.

A credential can't be found in what is compressed. Where a body isn't exactly what its header says, it is refused.
"""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

import brotli  # type: ignore[import-untyped]
import zstandard

from seks_addon.refusal import Refused

#: The length of the pieces that come out, in bytes.
PIECE: Final = 64 * 1024
#: What may come out of the bytes of one call: a body that grows beyond is made to fill memory.
MAX_EXPANSION: Final = 4 * 1024 * 1024
#: RFC 9659: a decoder of zstd in HTTP has no need of a larger window.
_ZSTD_WINDOW: Final = 8 * 1024 * 1024
#: A block of zstd takes three bytes or more and gives 128 KiB at the most, all at once.
_ZSTD_STEP: Final = 128


class Coding(ABC):
    """One coding of one body. A body without a byte is whole in each of them."""

    _began = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Decode the next bytes, in pieces; raises `Refused`."""
        size = 0
        self._began = self._began or bool(data)
        try:
            for piece in self._decode(data):
                size += len(piece)
                if size > MAX_EXPANSION:
                    raise Refused("response_unsafe", "The host's answer grows too much when it is decompressed.")
                yield piece
        except (zlib.error, brotli.error, zstandard.ZstdError):
            raise Refused("response_unsafe", "The host's answer is not compressed as it says.") from None

    def finish(self) -> None:
        """Raise `Refused` unless the body has come to its end."""
        if self._began and not self._ended:
            raise Refused("response_unsafe", "The host's compressed answer is cut short.")

    @property
    @abstractmethod
    def _ended(self) -> bool: ...

    @abstractmethod
    def _decode(self, data: bytes) -> Iterator[bytes]: ...


class _Identity(Coding):
    _ended = True

    def _decode(self, data: bytes) -> Iterator[bytes]:
        yield data


class _Zlib(Coding):
    """gzip (RFC 1952) of one member, or deflate: zlib's format (RFC 1950), and without its frame, as some send it."""

    def __init__(self, window: int | None) -> None:
        self._decoder = zlib.decompressobj(window) if window else None
        self._start = b""

    @property
    def _ended(self) -> bool:
        return self._decoder is not None and self._decoder.eof

    def _decode(self, data: bytes) -> Iterator[bytes]:
        if self._decoder is None:
            self._start += data
            if len(self._start) < 2:
                return
            data, self._start = self._start, b""
            framed = data[0] & 0x0F == zlib.DEFLATED and int.from_bytes(data[:2]) % 31 == 0
            self._decoder = zlib.decompressobj(zlib.MAX_WBITS if framed else -zlib.MAX_WBITS)
        full = False
        while data or full:
            if self._decoder.eof:
                raise _more()
            piece = self._decoder.decompress(data, PIECE)
            yield piece
            # A full piece may not have been all, although every byte was taken in.
            full = len(piece) == PIECE and not self._decoder.eof
            data = self._decoder.unconsumed_tail or self._decoder.unused_data


class _Brotli(Coding):
    """RFC 7932."""

    def __init__(self) -> None:
        self._decoder = brotli.Decompressor()

    @property
    def _ended(self) -> bool:
        return bool(self._decoder.is_finished())

    def _decode(self, data: bytes) -> Iterator[bytes]:
        if self._decoder.is_finished() and data:
            raise _more()
        piece = self._decoder.process(data, output_buffer_limit=PIECE)
        while piece:
            yield piece
            piece = b"" if self._decoder.is_finished() else self._decoder.process(b"", output_buffer_limit=PIECE)


class _Zstd(Coding):
    """RFC 8878, one frame."""

    def __init__(self) -> None:
        self._decoder = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()

    @property
    def _ended(self) -> bool:
        return self._decoder.eof

    def _decode(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), _ZSTD_STEP):
            if self._decoder.eof:
                raise _more()
            yield self._decoder.decompress(data[start : start + _ZSTD_STEP])
        if self._decoder.unused_data:
            raise _more()


_CODINGS: Final[Mapping[str, Callable[[], Coding]]] = MappingProxyType(
    {
        "": _Identity,
        "identity": _Identity,
        "gzip": lambda: _Zlib(16 + zlib.MAX_WBITS),
        "x-gzip": lambda: _Zlib(16 + zlib.MAX_WBITS),
        "deflate": lambda: _Zlib(None),
        "br": _Brotli,
        "zstd": _Zstd,
    }
)


def coding_of(header: str) -> Coding:
    """Give the coding that a `Content-Encoding` names; raises `Refused` for an unknown one, and for more than one."""
    make = _CODINGS.get(header.strip(" \t").lower())
    if make is None:
        raise Refused("response_unsafe", "The host encoded its answer in a way that can't be made safe.")
    return make()


def _more() -> Refused:
    return Refused("response_unsafe", "The host's answer has more behind the end of its compressed part.")
