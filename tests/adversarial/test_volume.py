"""One agent, or one host, that sends more than fits: memory stays flat, and others are served."""

import gzip
import threading
import time
from collections.abc import Iterator
from typing import Final

import pytest

from tests.adversarial.harness import (
    BEARER,
    BROKEN,
    Arena,
    Case,
    Play,
    Word,
    ask,
    cases,
)
from tests.adversarial.test_availability import flood
from tests.support.memory import MIB, flat_memory
from tests.support.proxy import wait_for
from tests.support.upstream import Received, Send

PIECE = b"0123456789abcdef" * (MIB // 16)
#: How many MiB are more than a proxy may keep.
SIZE = 96
BOMB: Final = gzip.compress(bytes(SIZE * MIB), mtime=0)


def body(id: str, *headers: str, chunked: bool) -> Case:
    """A big body."""
    good = BEARER in headers
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {SIZE * MIB}"

    def act(play: Play) -> Iterator[Word]:
        wire = play.wire()
        assert play.enter(wire) is None
        wire.send(play.fill(ask(*headers, length, method="POST", target="/upload")))
        for number in range(SIZE):
            wire.send(b"%x\r\n%s\r\n" % (MIB, PIECE) if chunked else PIECE)
            if number == SIZE // 2:
                play.arena.serve_canary()
        if chunked:
            wire.send(b"0\r\n\r\n")
        yield play.read(wire)

    back = 200 if good else "token_misplaced"
    return Case(f"body {id}", "sends more than fits", act=act, back=(back,), uses=int(good), slow=True)


def unread(play: Play) -> Iterator[Word]:
    """A client that asks for much, and reads nothing."""
    wire = play.wire()
    assert play.enter(wire) is None
    wire.send(play.fill(ask(BEARER, target=f"/bytes/{256 * MIB}")))
    wire.answer_head()
    time.sleep(0.5)
    play.arena.serve_canary()
    play.close()
    yield 200


async def send_bomb(_: Received, send: Send) -> None:
    """Answer with what is small, and big when it is decoded."""
    await send(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB) + BOMB)


def bomb(id: str, *headers: str, uses: int) -> Case:
    """It is decoded to be scrubbed, until it grows too much: by then its head is with the client."""

    def act(play: Play) -> Iterator[Word]:
        play.arena.hosts["bound"].route("GET", "/bomb", send_bomb)
        wire = play.wire()
        assert play.enter(wire) is None
        yield from play.exchange(wire, ask(*headers, target="/bomb"))
        (answer,) = play.answers
        assert answer.header("content-encoding") is None
        assert len(answer.body) < SIZE * MIB
        wait_for(lambda: not uses or not play.arena.site.owes_outcomes(), "an outcome")
        yield from (r["reason"] for r in play.arena.site.records(play.arena.mark) if r["event"] == "outcome")

    back = (BROKEN, "response_unsafe")[: 1 + uses]
    tries = "has the proxy decode more than fits"
    return Case(f"bomb {id}", tries, act=act, back=back, uses=uses, passes=1 - uses, slow=True)


def bomb_of_a_stranger(play: Play) -> Iterator[Word]:
    """Nothing is looked for in what a host without a secret answers: it passes as it is."""
    host = "evil.example.com"
    play.arena.hosts["attacker"].route("GET", "/bomb", send_bomb)
    wire = play.wire()
    assert play.enter(wire, f"{host}:443") is None
    yield from play.exchange(wire, ask(target="/bomb", host=host))
    (answer,) = play.answers
    assert answer.body == BOMB


def small_chunks(play: Play) -> Iterator[Word]:
    """Ten thousand chunks of a byte each, both ways."""

    async def handler(_: Received, send: Send) -> object:
        for _ in range(10):
            await send(b"1\r\na\r\n" * 1000 if _ else b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await send(b"0\r\n\r\n")
        return True

    play.arena.hosts["bound"].route("POST", "/chunks", handler)
    wire = play.wire()
    assert play.enter(wire) is None
    wire.send(play.fill(ask(BEARER, "Transfer-Encoding: chunked", method="POST", target="/chunks")))
    for _ in range(10):
        wire.send(b"1\r\na\r\n" * 1000)
    wire.send(b"0\r\n\r\n")
    play.arena.serve_canary()
    yield play.read(wire)


def endless_chunks(play: Play) -> Iterator[Word]:
    """A body in chunks of a byte, for as long as others ask for something."""
    wire = play.wire()
    assert play.enter(wire) is None
    wire.send(play.fill(ask("Transfer-Encoding: chunked", method="POST", target="/chunks")))
    flooding = threading.Thread(target=flood, args=(wire, (b"1\r\na\r\n" * 10_000 for _ in range(10_000))))
    flooding.start()
    try:
        for _ in range(3):
            play.arena.serve_canary()
    finally:
        wire.abort()
        flooding.join()
        # What still comes can't be decrypted.
        play.wires.remove(wire)
        wire.close()
    bound = play.arena.hosts["bound"]
    wait_for(lambda: any(received.path == "/chunks" for received in bound.requests), "the end of the body")
    yield 200


def costly_forms(play: Play) -> Iterator[Word]:
    """Forms full of what could be the name of the field in which a token may stand."""
    if play.arena.prints_flows:
        pytest.skip("a mitmdump that is told to print whole bodies takes forms apart itself, for seconds")
    # Who has none for the form is free to send what looks like one.
    play.arena.site.token("in-form")
    wires = [play.wire() for _ in range(4)]
    body = ("%&" * (MIB // 2))[: MIB - 200] + "&client_secret={invented}"
    size = len(play.fill(body))
    form = ["Content-Type: application/x-www-form-urlencoded", f"Content-Length: {size}"]
    for wire in wires:
        assert play.enter(wire, "github.com:443") is None
    for wire in wires:
        wire.send(play.fill(ask(*form, method="POST", host="github.com", body=body)))
    play.arena.serve_canary()
    for wire in wires:
        yield play.read(wire)


CASES = (
    body("of a refused request", "X-Wrong: {token}", chunked=False),
    body("of a refused request, chunked", "X-Wrong: {token}", chunked=True),
    body("of a good request", BEARER, chunked=True),
    Case("answer that is not read", "asks for much and reads nothing", act=unread, back=(200,), uses=1, slow=True),
    bomb("with a token", BEARER, uses=1),
    bomb("without a token", uses=0),
    Case(
        "bomb of a stranger",
        "has the proxy decode what it needn't",
        act=bomb_of_a_stranger,
        back=(200,),
        passes=1,
        slow=True,
    ),
    Case("small chunks", "sends as much framing as it can", act=small_chunks, back=(200,), uses=1, slow=True),
    Case("endless chunks", "keeps the proxy busy with framing", act=endless_chunks, back=(200,), uses=None, slow=True),
    Case("costly forms", "has forms read that take long", act=costly_forms, back=("token_unknown",) * 4),
)


@cases(*CASES)
def test_volume(arena: Arena, case: Case) -> None:
    """The proxy stays small, and others are served."""
    with flat_memory(arena.proxy.pid):
        arena.play(case)
