"""What an agent or a host may ask of one HTTP/2 connection, and how much of a stream waits in the proxy."""

import asyncio
import contextlib
import functools
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    SettingsFrame,
)

from tests.e2e.http2.conftest import H1HOST, H2HOST, serves
from tests.support.bench import Bench, refusal
from tests.support.h2site import H2Site
from tests.support.h2wire import H2Wire, h2_tunnel, pseudo
from tests.support.memory import MIB
from tests.support.proxy import PATIENCE, Proxy, wait_for
from tests.support.raw import ClosedError, bearer
from tests.support.site import Site
from tests.support.upstream import Received, Send, Upstream

SIZE = 64 * MIB
#: What the operating system's sockets may hold besides, in both directions and on both sides.
SLACK = 40 * MIB


class UnknownFrame(Frame):
    """A frame of a type that nobody knows."""

    def __init__(self) -> None:
        super().__init__(0)

    def serialize(self) -> bytes:
        return b"\0\0\0\xbe\0\0\0\0\0"


def test_advertised(bench: Bench) -> None:
    """The limits are announced."""
    with h2_tunnel(bench.proxy, H2HOST) as wire:
        serves(bench, wire, H2HOST)
        settings = wire.http.remote_settings

    assert settings.max_concurrent_streams == 100
    assert settings.max_header_list_size == 64 * 1024
    assert settings.initial_window_size == 256 * 1024
    assert settings.max_frame_size == 16 * 1024
    assert settings.enable_connect_protocol == 0


def test_streams_at_once(bench: Bench, host2: H2Site) -> None:
    """A hundred streams are served, more end the connection."""
    with h2_tunnel(bench.proxy, H2HOST) as wire:
        serves(bench, wire, H2HOST)
        streams = [wire.request("POST", "/echo", host=H2HOST, end=False) for _ in range(100)]
        for stream in streams:
            wire.send(stream, b"", end=True)
        assert {wire.answer(stream).status for stream in streams} == {200}

        for _ in range(100):
            wire.request("POST", "/echo", host=H2HOST, end=False)
        block = wire.http.encoder.encode(pseudo("GET", "/"))
        wire.send_frame(HeadersFrame(999, data=block, flags=["END_HEADERS"]))
        assert wire.wait_closed() is not None


@pytest.mark.parametrize(
    "make",
    [
        lambda _: PingFrame(0, opaque_data=b"12345678"),
        lambda _: SettingsFrame(0, settings={4: 65535}),
        lambda _: PriorityFrame(99, depends_on=0, stream_weight=1),
        lambda _: UnknownFrame(),
    ],
    ids=["ping", "settings", "priority", "unknown"],
)
def test_cheap_frames(bench: Bench, make: Callable[[int], Frame]) -> None:
    """Frames that cost nothing are taken by the thousand, not without end."""
    with h2_tunnel(bench.proxy, H2HOST) as wire:
        for number in range(1500):
            wire.send_frame(make(number))
        serves(bench, wire, H2HOST)
        flood(wire, [make(number) for number in range(500)], ErrorCodes.ENHANCE_YOUR_CALM)
    bench.serves()


def test_empty_data(bench: Bench) -> None:
    """So are pieces of a body with nothing in them."""
    with h2_tunnel(bench.proxy, H2HOST) as wire:
        stream = wire.request("POST", "/echo", host=H2HOST, end=False)
        flood(wire, [DataFrame(stream, data=b"")] * 500, ErrorCodes.ENHANCE_YOUR_CALM)


@pytest.mark.parametrize("path", ["/echo", "/../"])
def test_rapid_reset(bench: Bench, path: str) -> None:
    """Streams that are opened only to be reset end the connection, before a few hundred of them (CVE-2023-44487)."""
    with h2_tunnel(bench.proxy, H2HOST) as wire:
        opened = 0
        try:
            while opened < 5000:
                stream = wire.request("GET", path, bearer(bench.token), host=H2HOST)
                wire.http.reset_stream(stream, ErrorCodes.CANCEL)
                wire.flush()
                opened += 1
        except (OSError, ProtocolError):
            pass
        assert wire.wait_closed() is not None or opened < 5000
    assert len(bench.intents()) < 1000
    bench.serves()


def test_malformed_heads(bench: Bench) -> None:
    """Heads that are none are answered, a hundred times."""
    with h2_tunnel(bench.proxy, H2HOST) as wire:
        answered = 0
        try:
            while answered < 1000:
                wire.answer(wire.send_fields(*pseudo("CONNECT", "/")))
                answered += 1
        except (ClosedError, OSError, ProtocolError):
            pass

    assert 90 < answered < 1000


def test_continuation(bench: Bench) -> None:
    """A head that doesn't end is given up (the CONTINUATION flood of 2024)."""
    with h2_tunnel(bench.proxy, H2HOST) as wire:
        serves(bench, wire, H2HOST)
        wire.send_frame(HeadersFrame(101, data=b"\x82"))
        flood(wire, [ContinuationFrame(101, data=b"")] * 100, ErrorCodes.PROTOCOL_ERROR)


def test_head_that_is_long_to_decode(bench: Bench) -> None:
    """A head isn't decoded, and not even waited for, when its frames hold more than one may be long."""
    with h2_tunnel(bench.proxy, H2HOST) as wire:
        serves(bench, wire, H2HOST)
        frames = [ContinuationFrame(101, data=b"\xff" * 16_000)] * 6
        wire.send_frame(HeadersFrame(101, data=b"\x82"), *frames)

        assert wire.wait_closed() == ErrorCodes.ENHANCE_YOUR_CALM
    bench.serves()


@pytest.mark.parametrize("fields", [[("x-long", "x" * 200_000)], [("x", "y")] * 6000], ids=["one", "many"])
def test_head_that_is_too_large(bench: Bench, fields: list[tuple[str, str]]) -> None:
    """A head far over the limit isn't even decoded."""
    with h2_tunnel(bench.proxy, H2HOST) as wire:
        # Huffman's coding of a long value takes hpack seconds.
        wire.http.encoder.encode = functools.partial(wire.http.encoder.encode, huffman=False)
        wire.send_fields(*pseudo("GET", "/"), *fields)

        assert wire.wait_closed() is not None
    bench.serves()


def test_many_headers(bench: Bench) -> None:
    """A head with too many headers is answered."""
    with h2_tunnel(bench.proxy, H2HOST) as wire:
        bench.refused(wire.answer(wire.send_fields(*pseudo("GET", "/"), *[("x", "y")] * 300)), "headers_too_large")
        serves(bench, wire, H2HOST)


class Source:
    """Counts what an HTTP/1.1 host got rid of."""

    def __init__(self) -> None:
        self.sent = 0

    async def __call__(self, _received: Received, send: Send) -> None:
        await send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE)
        while self.sent < SIZE:
            await send(b"x" * 65536)
            self.sent += 65536
            await asyncio.sleep(0)


def settled(count: Callable[[], int]) -> int:
    """Wait until a number stays what it is for a second."""
    last, since = count(), time.monotonic()
    while time.monotonic() - since < 1:
        time.sleep(0.05)
        if count() != last:
            last, since = count(), time.monotonic()
    return last


def test_agent_that_does_not_read_from_http1(bench: Bench) -> None:
    """What an agent gives no credit for stays at the host; when it does, it gets all of it."""
    source = Source()
    bench.upstream.route("GET", "/source", source)
    with h2_tunnel(bench.proxy, H1HOST, reads=False) as wire:
        stream = wire.request("GET", "/source", bearer(bench.token), host=H1HOST)
        wire.head(stream)

        assert settled(lambda: source.sent) < SLACK
        wire.reads = True
        wire.http.increment_flow_control_window(2**30)
        wire.http.increment_flow_control_window(2**30, stream)
        wire.flush()
        assert len(wire.answer(stream).body) == SIZE
        serves(bench, wire, H1HOST)


@pytest.mark.slow
def test_agent_that_does_not_read_from_http2(bench: Bench, host2: H2Site) -> None:
    """The same before an HTTP/2 host, where other streams of the connection go on meanwhile."""
    with h2_tunnel(bench.proxy, H2HOST, reads=False) as wire:
        wire.http.increment_flow_control_window(2**30)
        stream = wire.request("GET", f"/bytes/{SIZE}", bearer(bench.token), host=H2HOST)
        wire.head(stream)
        side, number = host2.requests[0].side, host2.requests[0].stream
        serves(bench, wire, H2HOST)

        assert settled(lambda: SIZE - len(side.pending[number].data)) < MIB
        assert host2.requests[-1].side is side
        wire.reads = True
        wire.http.increment_flow_control_window(2**30, stream)
        wire.flush()
        assert len(wire.answer(stream).body) == SIZE


def test_memory(bench: Bench) -> None:
    """A hundred streams that nobody reads take no more memory than their windows."""
    process = psutil.Process(bench.proxy.pid)
    with h2_tunnel(bench.proxy, H2HOST, reads=False) as wire:
        serves(bench, wire, H2HOST)
        before = sum(p.memory_info().rss for p in (process, *process.children(recursive=True)))
        streams = [wire.request("GET", f"/bytes/{4 * MIB}", host=H2HOST) for _ in range(90)]
        for stream in streams:
            wire.head(stream)
        settled(lambda: process.memory_info().rss >> 20)
        after = sum(p.memory_info().rss for p in (process, *process.children(recursive=True)))

    assert after - before < 200 * MIB


@pytest.mark.slow
@pytest.mark.parametrize("silent", [False, True], ids=["no credit", "no settings"])
def test_memory_of_many_connections(bench: Bench, host2: H2Site, silent: bool) -> None:
    """Nor do they on each of many connections: an agent is told to leave, others are served."""
    process = psutil.Process(bench.proxy.pid)
    before, most, ended = process.memory_info().rss, 0, 0
    host2.reads, host2.greets = False, not silent
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            wire = stack.enter_context(h2_tunnel(bench.proxy, H2HOST))
            # The credit for a stream comes with the proxy's settings.
            wire.receive()
            try:
                upload(wire, [wire.request("POST", "/echo", host=H2HOST, end=False) for _ in range(90)])
            except (ClosedError, OSError):
                ended += 1
            most = max(most, process.memory_info().rss)
        host2.reads = host2.greets = True
        bench.serves()

    assert ended >= 3
    assert most - before < 160 * MIB


def upload(wire: H2Wire, streams: list[int]) -> None:
    """Send all that there is credit for; raises `ClosedError` or `OSError` where the connection ends."""
    for stream in streams:
        while room := min(wire.http.local_flow_control_window(stream), wire.http.max_outbound_frame_size):
            wire.http.send_data(stream, b"x" * room)
        wire.flush()
    wire._socket.settimeout(0.5)
    with contextlib.suppress(TimeoutError):
        while True:
            wire.receive()


def test_host_that_does_not_read(bench: Bench, host2: H2Site) -> None:
    """What a host doesn't take stays with the agent; other streams go on."""
    host2.reads = False
    sent = 0
    with h2_tunnel(bench.proxy, H2HOST) as wire:
        stream = wire.request("POST", "/echo", bearer(bench.token), host=H2HOST, end=False)
        while sent < SIZE:
            if (room := min(wire.http.local_flow_control_window(stream), 16384)) == 0:
                # Once more: the credit may be on its way.
                serves(bench, wire, H2HOST)
                if wire.http.local_flow_control_window(stream) == 0:
                    break
                continue
            wire.http.send_data(stream, b"x" * room)
            sent += room
            wire.flush()

    assert sent < MIB


def test_http1_agent_before_a_host_that_does_not_read(bench: Bench, host2: H2Site) -> None:
    """The same for an agent that speaks HTTP/1.1: it isn't read from, until the host gives the request up."""
    host2.reads = False
    with bench.proxy.tunnel(H2HOST) as wire:
        wire.send_head("POST", "/echo", ("Content-Length", str(SIZE)), bearer(bench.token), host=H2HOST)
        sent = 0

        def upload() -> None:
            nonlocal sent
            try:
                while sent < SIZE:
                    wire.send(b"x" * 65536)
                    sent += 65536
            except OSError:
                pass

        thread = threading.Thread(target=upload)
        thread.start()
        try:
            assert settled(lambda: sent) < SLACK
            side, number = host2.requests[0].side, host2.requests[0].stream
            side.later.append((host2.release, lambda: side.http.reset_stream(number)))
            host2.release.set()
            wait_for(lambda: not bench.site.owes_outcomes(), "the end of the request")
        finally:
            wire._socket.shutdown(2)
            thread.join()


@pytest.mark.parametrize("by_reset", [False, True])
def test_agent_that_leaves_its_upload(bench: Bench, host2: H2Site, by_reset: bool) -> None:
    """An agent that isn't read from, as its host takes no more, and goes: that ends its exchange."""
    host2.reads = False
    with bench.proxy.tunnel(H2HOST) as wire:
        wire.send_head("POST", "/echo", ("Content-Length", str(SIZE)), bearer(bench.token), host=H2HOST)
        wire._socket.settimeout(2)
        with pytest.raises(TimeoutError):
            wire.send(b"x" * SIZE)
        assert bench.site.owes_outcomes()
        if by_reset:
            wire._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wire.close()

        wait_for(lambda: not bench.site.owes_outcomes(), "the end of the request")


def test_connections_to_hosts(host1: Upstream, folder: Path, tmp_path: Path) -> None:
    """An agent's streams to a host that speaks HTTP/1.1 have only so many connections to it; others are served."""
    asked = threading.Semaphore(0)
    answer = threading.Event()

    async def silent(_received: Received, send: Send) -> bool:
        asked.release()
        await asyncio.to_thread(answer.wait)
        await send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        return True

    site = Site(tmp_path / "home")
    site.secret("openai")
    other, token = site.agent("other"), site.token("openai", agent="other")
    reach = [*host1.connect_to(), "--upstream-ca", str(host1.write_ca(folder / "host1-ca.pem"))]
    few = ["--max-connections", "20", "--max-connections-per-agent", "6"]
    host1.route("GET", "/silent", silent)
    with Proxy(site, "--http2", *reach, *few) as narrow, contextlib.ExitStack() as stack:
        stack.callback(answer.set)
        wire, another = (stack.enter_context(h2_tunnel(narrow, H1HOST)) for _ in range(2))
        streams = [wire.request("GET", "/silent", host=H1HOST) for _ in range(50)]
        for _ in range(6):
            assert asked.acquire(timeout=PATIENCE)
        while sum(wire.streams[stream].ended for stream in streams) < 44:
            wire.receive()
        refusal(another.ask("GET", "/v1/models", host=H1HOST), "overloaded")
        assert narrow.get(H1HOST, "/v1/models", bearer(token), user=other).status == 200
        assert not asked.acquire(blocking=False)

        answer.set()
        codes = Counter(wire.answer(stream).code for stream in streams)
        assert codes == {None: 6, "overloaded": 44}
        wire._socket.close()
        wait_for(lambda: another.ask("GET", "/v1/models", host=H1HOST).status == 200, "room for a connection")


def flood(wire: H2Wire, frames: list[Frame], code: ErrorCodes) -> None:
    """Send frames again and again, until the other side ends the connection and says why, where that still arrives."""
    ended = []
    reader = threading.Thread(target=lambda: ended.append(wire.wait_closed()))
    reader.start()
    with contextlib.suppress(OSError):
        for _ in range(50):
            wire.send_frame(*frames)
    reader.join()
    assert ended in ([code], [None])
