"""One agent that asks for too much of something: memory stays flat, and others are served while it goes on."""

import contextlib
import gzip
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Final

import pytest

from seks_addon.addon.patience import HEAD
from tests.adversarial.harness import (
    BEARER,
    BROKEN,
    CLOSED,
    GOOD,
    SILENT,
    Arena,
    Case,
    Play,
    Word,
    ask,
    cases,
)
from tests.adversarial.names import SLOW
from tests.support.bench import HOST
from tests.support.memory import MIB, flat_memory
from tests.support.proxy import ROOT, wait_for
from tests.support.raw import Wire
from tests.support.upstream import Received, Send

PIECE = b"0123456789abcdef" * (MIB // 16)
SIZE = 96
"""How many MiB are more than a proxy may keep."""
DEADLINE = HEAD + 10
"""When who takes too long for a head or a handshake must be gone, in seconds; it is looked for from time to time."""
AT_ONCE = 60
"""How many new names an agent may have at once; then it is some in a second."""
MANY = 1000
BOMB: Final = gzip.compress(bytes(SIZE * MIB), mtime=0)


def flood(wire: Wire, pieces: Iterator[bytes]) -> bool:
    """Send until the other side has enough; tells whether it had."""
    try:
        for piece in pieces:
            wire.send(piece)
    except OSError:
        return True
    return False


def last_word(play: Play, wire: Wire) -> Word:
    """The refusal where it was read before the connection ended, and the end."""
    word = play.read(wire)
    return word if word in (CLOSED, SILENT) else play.read(wire)


def endless(start: str, piece: bytes, tunnel: bool) -> Case:
    """Bytes that go on for as long as they are taken."""

    def act(play: Play) -> Iterator[Word]:
        wire = play.wire()
        if tunnel:
            assert play.enter(wire) is None
        wire.send(play.fill(start))
        flood(wire, (piece for _ in range(16 * MIB // len(piece))))
        play.arena.serve_canary()
        yield last_word(play, wire)

    where = "in a tunnel" if tunnel else "to the proxy"
    return Case(
        f"endless {start.strip()[:20] or 'bytes'!r} {where}", "never ends a head", act=act, back=(CLOSED,), uses=None
    )


def endless_hello(play: Play) -> Iterator[Word]:
    """A ClientHello in records of one byte."""
    wire = play.wire()
    assert wire.connect(f"{HOST}:443").status == 200
    record = b"\x16\x03\x01\x00\x01"
    with contextlib.suppress(OSError):
        wire.send(record + b"\x01" + record + b"\xff" + (record + b"\xff") * 10_000)
    yield last_word(play, wire)


def many_names(play: Play) -> Iterator[Word]:
    """A certificate for each of many names: there is an end to it, but not for names that were seen before."""
    user = play.arena.site.agent("collector")

    def enter(number: int) -> Word:
        wire = play.wire()
        word = play.enter(wire, f"n{number}.many.example.com:443", user) or 200
        wire.close()
        return word

    assert {enter(number) for number in range(AT_ONCE)} == {200}
    yield next(word for number in range(AT_ONCE, MANY) if (word := enter(number)) != 200)
    play.arena.serve_canary()
    yield enter(0)


def slow_names(play: Play) -> Iterator[Word]:
    """Names whose servers take their time."""
    wires = [play.wire() for _ in SLOW]
    for wire, name in zip(wires, SLOW, strict=True):
        wire.send(play.fill(ask(target=f"http://{name}/", host=name)))
    play.arena.serve_canary()
    words = {play.read(wire) for wire in wires}
    assert "overloaded" in words
    yield from sorted(map(str, words))


def many_connections(play: Play) -> list[Wire]:
    """Connections that say nothing."""
    wires = []
    for _ in range(MANY):
        with contextlib.suppress(OSError):
            wires.append(play.wire())
    return wires


def limited_connections(play: Play) -> Iterator[Word]:
    """One client can't have all of them: the oldest of those that say nothing make room, and are told."""
    wires = many_connections(play)
    play.arena.serve_canary()
    assert len(wires) == MANY
    poll = select.poll()
    for wire in wires:
        poll.register(wire._socket, select.POLLIN)
    ready = {descriptor for descriptor, _ in poll.poll(0)}
    told = [wire.answer().code for wire in wires if wire._socket.fileno() in ready]
    assert len(told) > MANY // 2
    yield from set(told)


def has_ended(wire: Wire) -> bool:
    """Tell without waiting whether the other side closed, or said something."""
    wire._socket.setblocking(False)
    try:
        wire._socket.recv(1)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def slow_clients(play: Play) -> Iterator[Word]:
    """Clients that begin and don't go on, but for a byte now and then: before, in and behind a CONNECT."""
    wires = [play.wire() for _ in range(3)]
    wires[1].send(b"GET http://evil.example.com/ HTTP/1.1\r\nX-A: ")
    assert wires[2].connect(f"{HOST}:443").status == 200
    wires[2].send(b"\x16\x03\x01\x02\x00\x01")
    began = time.monotonic()
    while wires and time.monotonic() - began < DEADLINE:
        wires = [wire for wire in wires if not has_ended(wire)]
        for wire in wires:
            with contextlib.suppress(OSError):
                wire._socket.send(b"a")
        time.sleep(1)
    yield SILENT if wires else CLOSED


def half_bodies(play: Play) -> Iterator[Word]:
    """Requests with a token whose bodies don't come."""
    for _ in range(50):
        wire = play.wire()
        assert play.enter(wire) is None
        wire.send(play.fill(ask(BEARER, "Content-Length: 1000", method="POST", target="/upload", body="a")))
    play.arena.serve_canary()
    play.close()
    yield 200


def gone_at_once(play: Play) -> Iterator[Word]:
    """A client that goes while its intent is written: each intent has its outcome all the same."""
    for _ in range(30):
        wire = play.wire()
        assert play.enter(wire) is None
        wire.send(play.fill(GOOD))
        wire.close()
    yield 200


def many_in_a_row(play: Play) -> Iterator[Word]:
    """Requests without end, and no answer is read."""
    wire = play.wire()
    assert play.enter(wire) is None
    wire._socket.settimeout(3)
    flood(wire, (play.fill(GOOD) * 100 for _ in range(200)))
    play.arena.serve_canary()
    play.close()
    yield 200


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


def issued(*limits: str) -> Case:
    """A token with a limit, and one request too many."""
    code = "rate_limited" if "--rate" in limits else "uses_exhausted"

    def act(play: Play) -> Iterator[Word]:
        home = str(play.arena.site.home.root)
        command = [sys.executable, "-m", "seks_cli.main", "--home", home, "token", "issue", "openai", *limits]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        token = done.stdout.split()[-1]
        wire = play.wire()
        assert play.enter(wire) is None
        for _ in range(3):
            yield from play.exchange(wire, ask(f"Authorization: Bearer {token}"))

    return Case(
        f"limit {limits[0]}",
        "uses a token more often than it may",
        act=act,
        back=(200, 200, code),
        uses=2,
    )


CASES = (
    endless("", b"X-A: a\r\n" * 512, tunnel=False),
    endless("GET / HTTP/1.1\n", b"X-A: a\r\n" * 512, tunnel=True),
    endless("GET / HTTP/1.1\nX-A: ", b"a" * 4096, tunnel=True),
    endless("CONNECT ", b"a" * 4096, tunnel=False),
    endless(
        f"{ask(BEARER, 'Transfer-Encoding: chunked', method='POST', target='/upload')}1;", b"a" * 4096, tunnel=True
    ),
    Case("endless ClientHello", "never ends a handshake", act=endless_hello, back=(CLOSED,)),
    Case(
        "many names",
        "has a certificate made for each of many names",
        act=many_names,
        back=("overloaded", 200),
        slow=True,
    ),
    Case(
        "slow names",
        "has many names looked up whose servers don't answer",
        act=slow_names,
        back=("address_blocked", "overloaded"),
    ),
    Case(
        "limit of connections",
        "opens all connections there are",
        act=limited_connections,
        back=("overloaded",),
    ),
    Case(
        "slow clients",
        "holds connections and doesn't use them",
        act=slow_clients,
        back=(CLOSED,),
        slow=True,
    ),
    Case("half bodies", "begins many requests and doesn't end them", act=half_bodies, back=(200,), uses=None),
    Case("gone at once", "goes before it is answered", act=gone_at_once, back=(200,), uses=None),
    Case("many in a row", "sends requests and reads no answer", act=many_in_a_row, back=(200,), uses=None),
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
    Case("endless chunks", "keeps the proxy busy with framing", act=endless_chunks, back=(200,), uses=None),
    Case("costly forms", "has forms read that take long", act=costly_forms, back=("token_unknown",) * 4),
    issued("--rate", "2/min"),
    issued("--max-uses", "2"),
)


@cases(*CASES)
def test_availability(arena: Arena, case: Case) -> None:
    """The proxy stays small, and others are served."""
    with flat_memory(arena.proxy.pid):
        arena.play(case)
