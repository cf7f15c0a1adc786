"""One agent that keeps the proxy waiting, or asks for all there is: memory stays flat, and others are served."""

import contextlib
import select
import subprocess
import sys
import time
from collections.abc import Iterator

from seks_addon.addon.patience import HEAD
from tests.adversarial.harness import (
    BEARER,
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
from tests.support.proxy import ROOT
from tests.support.raw import Wire

#: When who takes too long for a head or a handshake must be gone, in seconds; it is looked for from time to time.
DEADLINE = HEAD + 10
#: How many new names an agent may have at once; then it is some in a second.
AT_ONCE = 60
MANY = 1000


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
    issued("--rate", "2/min"),
    issued("--max-uses", "2"),
)


@cases(*CASES)
def test_availability(arena: Arena, case: Case) -> None:
    """The proxy stays small, and others are served."""
    with flat_memory(arena.proxy.pid):
        arena.play(case)
