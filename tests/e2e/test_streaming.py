"""Bodies pass as they come: nothing waits for an end, nothing is kept."""

import asyncio
import contextlib
import hashlib
import socket
import threading
import time
from pathlib import Path

import psutil
import pytest

from tests.e2e.conftest import bound_site, connect_to
from tests.support.bench import HOST, Bench
from tests.support.memory import MIB, ROOM, flat_memory
from tests.support.proxy import Proxy, wait_for
from tests.support.raw import bearer
from tests.support.upstream import Received, Send, Upstream

GIB = 1 << 30
#: Several times what a proxy may grow.
MUCH = 4 * ROOM
PIECE = b"0123456789abcdef" * (MIB // 16)


@pytest.mark.parametrize("with_token", [True, False])
def test_events_are_not_held_back(bench: Bench, with_token: bool) -> None:
    """The host sends its next event when the client has got the last one: a proxy that waits would wait for ever."""
    arrived = [threading.Event() for _ in range(3)]

    async def handler(_received: Received, send: Send) -> None:
        await send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number, event in enumerate(arrived):
            text = b"data: %d\n\n" % number
            await send(b"%x\r\n%s\r\n" % (len(text), text))
            assert await asyncio.to_thread(event.wait, 20)
        await send(b"0\r\n\r\n")

    bench.upstream.route("GET", "/events", handler)
    with bench.proxy.tunnel(HOST) as wire:
        wire.send_head("GET", "/events", *([bearer(bench.token)] if with_token else []), host=HOST)
        assert wire.answer_head().header("content-type") == "text/event-stream"

        for number, event in enumerate(arrived):
            assert wire.piece() == b"data: %d\n\n" % number
            event.set()
        assert wire.piece() == b""


def test_uploads_are_not_held_back(bench: Bench) -> None:
    """A host that answers before it has the whole request is heard."""
    with bench.proxy.tunnel(HOST) as wire:
        wire.send_head("POST", "/upload", bearer(bench.token), ("Transfer-Encoding", "chunked"), host=HOST)
        for number in range(3):
            wire.send(b"1\r\n%d\r\n" % number)
        wire.send(b"0\r\n\r\n")
        answer = wire.answer("POST")

    assert answer.json() == {"bytes": 3, "sha256": hashlib.sha256(b"012").hexdigest()}
    (_, outcome) = bench.proxy.records(bench.mark, 2)
    assert outcome["request_bytes"] == 3


def test_upload(bench: Bench) -> None:
    """Much goes up through a proxy that keeps none of it."""
    digest = hashlib.sha256()

    with bench.proxy.tunnel(HOST) as wire, flat_memory(bench.proxy.pid):
        wire.send_head("POST", "/upload", bearer(bench.token), ("Content-Length", str(MUCH)), host=HOST)
        for _ in range(MUCH // MIB):
            wire.send(PIECE)
            digest.update(PIECE)
        answer = wire.answer("POST")

    assert answer.json() == {"bytes": MUCH, "sha256": digest.hexdigest()}
    (_, outcome) = bench.proxy.records(bench.mark, 2)
    assert outcome["request_bytes"] == MUCH


@pytest.mark.parametrize("kind", ["bytes", "chunked"])
def test_download(bench: Bench, kind: str) -> None:
    """Much comes down, every byte of it looked at."""
    got = 0

    with bench.proxy.tunnel(HOST) as wire, flat_memory(bench.proxy.pid):
        wire.send_head("GET", f"/{kind}/{MUCH}", bearer(bench.token), host=HOST)
        wire.answer_head()
        while piece := wire.piece():
            got += len(piece)

    assert got == MUCH
    (_, outcome) = bench.proxy.records(bench.mark, 2)
    assert outcome["response_bytes"] == MUCH


def test_client_that_does_not_read(bench: Bench) -> None:
    """A client that asks for much and reads nothing makes the host wait, not the proxy grow."""
    process = psutil.Process(bench.proxy.pid)

    def idle() -> bool:
        before = sum(process.cpu_times()[:2])
        time.sleep(0.2)
        return sum(process.cpu_times()[:2]) - before < 0.02

    with bench.proxy.tunnel(HOST) as wire, flat_memory(bench.proxy.pid):
        wire.send_head("GET", f"/bytes/{GIB}", bearer(bench.token), host=HOST)
        wire.answer_head()
        wait_for(idle, "back-pressure")
        bench.serves()

    records = bench.proxy.records(bench.mark, 4)
    assert sorted(r["outcome"] for r in records if r["event"] == "outcome") == ["allowed", "failed"]


@pytest.mark.parametrize("coding", ["Content-Length", "Transfer-Encoding"])
def test_body_of_a_refused_request(bench: Bench, coding: str) -> None:
    """What belongs to a refused request is thrown away as it comes, and the connection serves the next."""
    size = 2 * ROOM // MIB
    chunked = coding == "Transfer-Encoding"

    with bench.proxy.tunnel(HOST) as wire, flat_memory(bench.proxy.pid):
        length = (coding, "chunked" if chunked else str(size * MIB))
        wire.send_head("POST", "/upload", ("X-Wrong-Place", bench.token), length, host=HOST)
        for _ in range(size):
            wire.send(b"%x\r\n%s\r\n" % (MIB, PIECE) if chunked else PIECE)
        wire.send(b"0\r\n\r\n" if chunked else b"")
        answer = wire.answer("POST")

        bench.refused(answer, "token_misplaced")
        bench.untouched()
        bench.serves(wire)


def test_refusal_comes_before_the_body(bench: Bench) -> None:
    """A client hears at once that its request is refused, and may spare itself the rest."""
    with bench.proxy.tunnel(HOST) as wire:
        wire.send_head("POST", "/upload", ("X-Wrong-Place", bench.token), ("Content-Length", "1000000"), host=HOST)
        answer = wire.answer("POST")

    bench.refused(answer, "token_misplaced")


def test_expectation_of_a_refused_request(bench: Bench) -> None:
    """A client that waits for `100 Continue` gets the refusal instead."""
    with bench.proxy.tunnel(HOST) as wire:
        fields = (("X-Wrong-Place", bench.token), ("Expect", "100-continue"), ("Content-Length", "1000000"))
        wire.send_head("POST", "/upload", *fields, host=HOST)
        answer = wire.answer("POST")

    bench.refused(answer, "token_misplaced")
    assert answer.closes


def test_upload_breaks_off(bench: Bench) -> None:
    """An upload that breaks off is one at the host too, and has its outcome."""
    with bench.proxy.tunnel(HOST) as wire:
        wire.send_head("POST", "/upload", bearer(bench.token), ("Content-Length", "1000"), host=HOST)
        wire.send(b"x" * 10)
        wait_for(bench.intents)

    (_, outcome) = bench.proxy.records(bench.mark, 2)
    assert (outcome["event"], outcome["outcome"]) == ("outcome", "failed")
    # It may be that the client went before the head was sent on.
    assert outcome["request_bytes"] in (0, 10)
    assert not any(received.complete for received in bench.upstream.requests)


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n", b""], ids=["answer", "silence"]
)
def test_host_that_goes_during_an_upload(hosts: Upstream, folder: Path, answer: bytes) -> None:
    """A host that goes in the middle of an upload, with an early answer or without, harms nobody else."""
    site = bound_site(folder / f"early-{len(answer)}")
    trust = ["--upstream-ca", str(hosts.write_ca(folder / "early-ca.pem"))]

    def serve_once(listener: socket.socket) -> None:
        with listener.accept()[0] as plain, hosts._tls.wrap_socket(plain, server_side=True) as tls:
            while b"\r\n\r\n" not in tls.recv(65536):
                pass
            tls.sendall(answer)
            # What is closed with unread bytes is reset, and its answer lost: a good host reads on for a while.
            with contextlib.suppress(OSError):
                while answer and tls.recv(65536):
                    pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve_once, args=(listener,), daemon=True).start()
        to_early = connect_to(HOST, listener.getsockname()[1])
        to_other = connect_to("api.anthropic.com", hosts.port)
        with Proxy(site, *to_early, *to_other, *trust) as proxy:
            with proxy.tunnel(HOST) as wire:
                wire.send_head("POST", "/", bearer(site.token("openai")), ("Content-Length", str(GIB)), host=HOST)
                wire.send(PIECE)
                got = wire.answer("POST")
                with contextlib.suppress(OSError):
                    for _ in range(64):
                        wire.send(PIECE)

            _, outcome = proxy.records(0, 2)
            header = ("x-api-key", site.token("anthropic"))
            assert proxy.get("api.anthropic.com", "/v1/models", header).status == 200

    assert (got.status, got.code) == ((413, None) if answer else (502, "upstream_unreachable"))
    assert outcome["outcome"] == ("allowed" if answer else "failed")
