"""What a host repeats of the credential comes back as the token, compressed or not."""

import gzip
import zlib

import brotli
import pytest
import zstandard

from tests.support.bench import HOST, Bench
from tests.support.raw import ClosedError, bearer
from tests.support.upstream import Received, Send


@pytest.mark.parametrize("path", ["/echo", "/redirect", "/drip", "/gone", *(f"/split?at={at}" for at in (1, 20, 30))])
def test_what_comes_back(bench: Bench, path: str) -> None:
    """Where the host repeats the credential, in head, body or stream, the agent sees its token."""
    answer = bench.get(path)

    assert (bench.token in answer.text()) is (path != "/gone")
    assert answer.reason in ("OK", "Found", "Not Found")
    bench.site.assert_no_leak(answer.text().encode())


def test_echo_is_whole(bench: Bench) -> None:
    """What the host repeats is the request as the agent sent it: the swap can't be told from outside."""
    answer = bench.get("/echo", bearer(bench.token), ("X-Own", "kept"))

    assert answer.header("x-echo-authorization") == f"Bearer {bench.token}"
    assert answer.json()["headers"] == [
        ["Host", HOST],
        ["Authorization", f"Bearer {bench.token}"],
        ["X-Own", "kept"],
        ["Accept-Encoding", "identity"],
    ]


PACKED = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("with_token", [True, False])
@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("coding", PACKED)
def test_compressed(bench: Bench, coding: str, chunked: bool, with_token: bool) -> None:
    """A host that compresses although it was asked not to: its answer is unpacked, and scrubbed."""
    text = f"{'long ' * 50_000}{bench.key}{' longer' * 20_000}"

    async def handler(_received: Received, send: Send) -> bool:
        data = PACKED[coding](text.encode())
        framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(data)}"
        body = b"".join(b"1\r\n%c\r\n" % byte for byte in data) + b"0\r\n\r\n" if chunked else data
        await send(f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\n{framing}\r\n\r\n".encode() + body)
        return True

    bench.upstream.route("GET", "/packed", handler)
    headers = [bearer(bench.token)] if with_token else []

    with bench.proxy.tunnel(HOST) as wire:
        answer = wire.request("GET", "/packed", *headers, host=HOST)
        bench.serves(wire)

    assert answer.header("content-encoding") is None
    assert answer.body.decode() == text.replace(bench.key, bench.token)


@pytest.mark.parametrize("cut", [10, -1])
def test_compressed_and_cut_short(bench: Bench, cut: int) -> None:
    """What doesn't end as it should is no whole answer."""

    async def handler(_received: Received, send: Send) -> None:
        data = gzip.compress(b"some text")[:cut]
        await send(f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)

    bench.upstream.route("GET", "/cut", handler)

    with pytest.raises(ClosedError):
        bench.get("/cut")

    outcome = bench.proxy.records(bench.mark, 2)[1]
    assert (outcome["outcome"], outcome["reason"]) == ("failed", "response_unsafe")
