"""Taking a content coding off a body."""

import contextlib
import gzip
import itertools
import tracemalloc
import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from seks_addon.refusal import Refused
from seks_addon.scrub import codings
from tests.test_scrub import CUTS, chunks


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


PACKED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": (" X-GZip\t", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "br": ("br", brotli.compress),
    "zstd": ("zstd", zstandard.ZstdCompressor().compress),
}
KINDS = st.sampled_from(sorted(PACKED))
#: Beyond the pieces that come out, and not random, so that little goes in.
LONG = bytes(range(256)) * 2000


def unpacked(header: str, text: bytes, cuts: list[int] | None = None) -> bytes:
    coding = codings.coding_of(header)
    pieces = [piece for chunk in chunks(text, cuts or []) for piece in coding.feed(chunk)]
    coding.finish()
    return b"".join(pieces)


@given(KINDS, st.binary(max_size=300), CUTS)
@example("gzip", LONG, [10])
@example("raw deflate", LONG, [1])
@example("br", LONG, [])
@example("zstd", LONG, [5])
@example("zstd", bytes(codings.PIECE * 3), [])
@example("gzip", bytes(codings.PIECE * 3), [])
def test_any_split(kind: str, data: bytes, cuts: list[int]) -> None:
    """However it arrives, what was packed comes out."""
    header, pack = PACKED[kind]

    assert unpacked(header, pack(data), cuts) == data


@given(st.sampled_from(["", "identity", "Identity "]), st.binary(max_size=50), CUTS)
def test_identity(header: str, data: bytes, cuts: list[int]) -> None:
    assert unpacked(header, data, cuts) == data


@pytest.mark.parametrize("header", ["gzip", "deflate", "br", "zstd", ""])
def test_an_empty_body(header: str) -> None:
    """Hosts say `gzip` of nothing at all."""
    assert unpacked(header, b"") == b""


@given(KINDS, st.binary(min_size=1, max_size=200), st.data())
def test_cut_short(kind: str, data: bytes, draw: st.DataObject) -> None:
    header, pack = PACKED[kind]
    packed = pack(data)

    with pytest.raises(Refused) as caught:
        unpacked(header, packed[: draw.draw(st.integers(1, len(packed) - 1))])

    assert caught.value.code == "response_unsafe"


@given(KINDS, st.binary(max_size=50), st.binary(min_size=1, max_size=50), CUTS)
def test_more_behind_it(kind: str, data: bytes, more: bytes, cuts: list[int]) -> None:
    """A second member would be read by some clients and not by others; so would anything else."""
    header, pack = PACKED[kind]

    for behind in (pack(more), more):
        with pytest.raises(Refused):
            unpacked(header, pack(data) + behind, cuts)


@given(KINDS, st.binary(min_size=3, max_size=100), CUTS)
def test_any_bytes(kind: str, data: bytes, cuts: list[int]) -> None:
    """Decoded or refused; nothing else happens."""
    with contextlib.suppress(Refused):
        unpacked(PACKED[kind][0], data, cuts)


@pytest.mark.parametrize("header", ["compress", "gzip, br", "gzip,", "br;q=1", "aes128gcm", "ä", "gzip gzip"])
def test_unknown_and_stacked(header: str) -> None:
    with pytest.raises(Refused) as caught:
        codings.coding_of(header)

    assert caught.value.code == "response_unsafe"


@pytest.mark.parametrize("kind", ["gzip", "br", "zstd"])
def test_a_bomb(kind: str) -> None:
    """It is refused before it fills memory."""
    header, pack = PACKED[kind]
    bomb = pack(bytes(1 << 25))
    coding = codings.coding_of(header)
    tracemalloc.start()
    sizes: list[int] = []

    with pytest.raises(Refused):
        sizes.extend(len(piece) for chunk in itertools.batched(bomb, 1 << 16) for piece in coding.feed(bytes(chunk)))

    assert sum(sizes) <= codings.MAX_EXPANSION
    assert tracemalloc.get_traced_memory()[1] < 2 * codings.MAX_EXPANSION
    tracemalloc.stop()


def test_a_large_window() -> None:
    """No decoder in HTTP needs one of more than 8 MiB; with it, memory would be the host's to choose."""
    parameters = zstandard.ZstdCompressionParameters(window_log=27, compression_level=1)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    packed = packer.compress(b"x" * 100) + packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)

    with pytest.raises(Refused):
        unpacked("zstd", packed)
