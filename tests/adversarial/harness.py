"""Runs a case, and asserts what holds after every one of them."""

import contextlib
import json
import ssl
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from seks_addon.audit.record import FIELDS, GENESIS, chain_hash
from seks_addon.tokens import find_lookalikes
from tests.adversarial.credential import FORMS, PLACES, decoded, spellings
from tests.support.bench import HOST, refusal
from tests.support.forms import holds
from tests.support.proxy import Proxy, wait_for
from tests.support.raw import Answer, ClosedError, Wire
from tests.support.site import STEM, Site
from tests.support.upstream import Received, Send, Upstream

#: The connection ended where an answer was due.
CLOSED: Final = "closed"
#: An answer began, and its body broke off.
BROKEN: Final = "broken"
#: Nothing came, and the connection stayed open.
SILENT: Final = "silent"
#: The server name is the host of the CONNECT.
SAME: Final = "{same}"
CANARY: Final = "api.anthropic.com"
MODELS: Final = "/v1/models"

type Word = str | int
type Back = Word | frozenset[Word]
type Act = Callable[["Play"], Iterator[Word]]


def any_of(*words: Word) -> Back:
    """More than one thing may come back."""
    return frozenset(words)


@dataclass(frozen=True)
class Case:
    """What is sent and what is expected; see the package."""

    id: str
    tries: str
    send: str | bytes = ""
    back: tuple[Back, ...] = ()
    connect: str | None = f"{HOST}:443"
    server_name: str | None = SAME
    tls: bool = True
    alpn: Sequence[str] = ("http/1.1",)
    answer: str | bytes = ""
    uses: int | None = 0
    """None: nobody can tell how many."""
    passes: int = 0
    intents: int | None = None
    """How many uses are announced, where some of them don't come about."""
    opened: int = 0
    """How many connections to hosts may be opened though no request arrives."""
    shows: str = ""
    """What the client must get to see."""
    hides: str = ""
    """What no host may receive."""
    act: Act | None = None
    slow: bool = False
    fails: str = ""


def cases(*table: Case) -> pytest.MarkDecorator:
    """Run a test for each line of a table."""
    twice = [name for name, count in Counter(case.id for case in table).items() if count > 1]
    assert not twice, twice
    return pytest.mark.parametrize("case", [pytest.param(case, id=case.id, marks=_marks(case)) for case in table])


def _marks(case: Case) -> list[pytest.MarkDecorator]:
    marks = [pytest.mark.slow] if case.slow else []
    if case.fails:
        broken = (AssertionError, TimeoutError, ClosedError)
        marks.append(pytest.mark.xfail(strict=True, raises=broken, reason=case.fails))
    return marks


def ask(
    *headers: str,
    target: str = MODELS,
    method: str = "GET",
    host: str = HOST,
    version: str = "HTTP/1.1",
    body: str = "",
) -> str:
    """A request's text. It has one Host header, the given ones, and nothing else."""
    return "\n".join([f"{method} {target} {version}", f"Host: {host}", *headers, "", body])


BEARER: Final = "Authorization: Bearer {token}"
GOOD: Final = ask(BEARER)


@dataclass
class Arena:
    """One proxy, the hosts behind it, the client in front of it, and a canary that must always be served."""

    proxy: Proxy
    hosts: Mapping[str, Upstream]
    """`bound`, `canary`, `attacker`, and any others."""
    words: dict[str, str]
    canary: tuple[str, str]
    """The canary's name and password for the proxy, and its token."""
    owing: bool = False
    """Whether records are missing on purpose."""
    plays: "type[Play]" = field(default_factory=lambda: Play)
    prints_flows: bool = False
    """A stock mitmdump prints what agents send, their tokens too, where it is told to."""
    mark: int = field(default=0, init=False)
    """The last audit record before this case, and its hash."""
    tip: str = field(default=GENESIS, init=False)
    clean: dict[Path, tuple[int, int]] = field(default_factory=dict, init=False)
    """The files of the home that were read, as they were then."""

    @property
    def site(self) -> Site:
        return self.proxy.site

    def play(self, case: Case) -> None:
        """Run a case."""
        self.reset()
        play = self.plays(self, case)
        with contextlib.closing(play):
            self.hosts["bound"].route(play.method, "/answer", play.answer)
            seen = play.seen
            seen.extend((case.act or as_sent)(play))
            self.serve_canary()
            self.check(play)
            assert play.unasked() == b""
            assert len(seen) == len(case.back), (seen, case.back)
            for came, wanted in zip(seen, case.back, strict=True):
                assert came in (wanted if isinstance(wanted, frozenset) else {wanted}), (seen, case.back)
            self.check_arrivals(case)
            assert play.fill(case.shows) in b"".join(bytes(wire.received) for wire in play.wires)

    def reset(self) -> None:
        """Leave what earlier cases did out of sight."""
        wait_for(lambda: self.owing or not self.site.owes_outcomes(), "the end of earlier exchanges")
        for host in self.hosts.values():
            host.clear()
        last = self.site.last_record()
        self.mark, self.tip = (last["seq"], last["hash"]) if last else (0, GENESIS)
        self.proxy.forget_output()

    def serve_canary(self) -> None:
        """Assert that another agent is served."""
        user, token = self.canary
        answer = self.proxy.get(CANARY, MODELS, ("x-api-key", token), user=user)
        assert answer.status == 200, answer.text()

    def check(self, play: "Play") -> None:
        """Assert what holds after every case."""
        self.check_hosts()
        self.check_client(play)
        self.check_here()
        self.check_records(play)

    def check_hosts(self) -> None:
        """A credential is at the host that it is bound to, in its header, and nowhere else."""
        for name, host in self.hosts.items():
            for data in host.raw:
                rest = PLACES[name].sub(b"", data) if name in PLACES else data
                assert not holds(rest, STEM), f"the host {name!r} got a credential where none may stand"

    def check_here(self) -> None:
        """The log and the files of the home hold no credential."""
        log = self.proxy.output()
        assert not holds(log, STEM), "the log holds a credential"
        assert self.prints_flows or not find_lookalikes(log.decode("utf-8", "replace")), "the log holds a token"
        for path in self.site.home.root.rglob("*"):
            if path.is_file() and self.clean.get(path) != (state := changed(path)):
                data = path.read_bytes()
                assert not any(form in data for form in FORMS), f"{path.name} holds a credential"
                self.clean[path] = state

    @staticmethod
    def check_client(play: "Play") -> None:
        """The client has seen no credential, however it was wrapped."""
        for wire in play.wires:
            assert not holds(bytes(wire.received), STEM), "the client got a credential"
        for answer in play.answers:
            assert not holds(decoded(answer), STEM), "the client got a credential in an encoded body"

    def check_records(self, play: "Play") -> None:
        """Each use has one intent and one outcome, each refusal its record, and the chain is whole."""
        wait_for(lambda: self.owing or not self.site.owes_outcomes(), "an outcome for every intent")
        records = self.site.records(self.mark)
        assert linked(self.tip, self.mark, records)
        records = [record for record in records if record["agent"] != "canary"]
        assert not find_lookalikes(json.dumps(records)), "a record holds a token"
        events = Counter((r["request_id"], r["token_id"], r["event"]) for r in records)
        for (request_id, token_id, event), count in events.items():
            assert count == 1
            if event == "intent":
                assert self.owing or events[request_id, token_id, "outcome"] == 1
        for request_id, code in play.refusals:
            reasons = [r["reason"] for r in records if r["request_id"] == request_id and r["event"] != "intent"]
            assert reasons
            assert set(reasons) == {code}
        wanted = play.case.uses if play.case.intents is None else play.case.intents
        intents = sum(event == "intent" for _, _, event in events)
        assert (intents, play.seen) == (intents if wanted is None else wanted, play.seen)

    def check_arrivals(self, case: Case) -> None:
        """What arrived is what the case says, and no more."""
        hosts = {name: host for name, host in self.hosts.items() if name != "canary"}
        found = (PLACES[name].findall(data) for name in PLACES if name in hosts for data in hosts[name].raw)
        uses = sum(len(places) for places in found)
        arrived = [f"{name}: {got.method} {got.path}" for name, host in hosts.items() for got in host.requests]
        assert [data for host in hosts.values() for data in host.malformed] == []
        assert not case.hides or not any(case.hides.encode() in data for host in hosts.values() for data in host.raw)
        if case.uses is None:
            return
        assert uses == case.uses
        assert len(arrived) == case.uses + case.passes, arrived
        if not arrived:
            assert sum(host.accepts for host in hosts.values()) <= case.opened


@dataclass
class Play:
    """One case under way: its connections, and what came over them."""

    arena: Arena
    case: Case
    seen: list[Word] = field(default_factory=list)
    wires: list[Wire] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    refusals: list[tuple[str, str]] = field(default_factory=list)

    @property
    def method(self) -> str:
        """What the answer is an answer to: a HEAD has no body."""
        return self.fill(self.case.send).partition(b" ")[0].decode("latin-1") or "GET"

    def close(self) -> None:
        """Nothing that came unasked may be left."""
        for wire in self.wires:
            wire.close()

    def unasked(self) -> bytes:
        """An answer that nobody asked for: to a request that was smuggled in, or what a host sent too much."""
        return b"".join(wire.rest() for wire in self.wires)

    def fill(self, text: str | bytes, **more: str) -> bytes:
        """Put what only the harness knows into a text, whose line breaks become CRLF."""
        data = text if isinstance(text, bytes) else text.replace("\n", "\r\n").encode("latin-1")
        for name, value in {**self.arena.words, **more}.items():
            data = data.replace(b"{%s}" % name.encode(), value.encode("latin-1"))
        return data

    def wire(self) -> Wire:
        """A new connection to the proxy."""
        wire = Wire(self.arena.proxy.port, keep=True)
        self.wires.append(wire)
        return wire

    def enter(self, wire: Wire, connect: str | None = None, user: str | None = None) -> Word | None:
        """Open the case's tunnel; gives why there is none."""
        where = self.fill(connect or self.case.connect or "").decode("latin-1")
        try:
            answer = wire.connect(where, user)
            if answer.status != 200:
                return self.judge(answer)
            if self.case.tls:
                host = where.rpartition(":")[0] if connect or self.case.server_name == SAME else None
                name = host if host is not None else self.case.server_name
                wire.start_tls(self.arena.site.home.ca_cert, name, self.case.alpn)
        except (ClosedError, OSError):
            return CLOSED
        return None

    def exchange(self, wire: Wire, text: str | bytes, count: int = 1) -> Iterator[Word]:
        """Send something, and give what comes back: so many answers, or fewer and an end."""
        with contextlib.suppress(OSError):
            wire.send(self.fill(text))
        for _ in range(count):
            word = self.read(wire)
            yield word
            if word in (CLOSED, BROKEN, SILENT):
                return

    def read(self, wire: Wire) -> Word:
        """The next that comes back."""
        head, body = None, b""
        try:
            head = wire.answer_head("HEAD" if self.method == "HEAD" else "GET")
            while head.status >= 200 and (piece := wire.piece()):
                body += piece
        except TimeoutError:
            return SILENT
        except (ClosedError, ConnectionError, ssl.SSLError):
            if head is None:
                return CLOSED
            self.answers.append(Answer(head.status, head.reason, head.headers, body))
            return BROKEN
        return self.judge(Answer(head.status, head.reason, head.headers, body))

    def judge(self, answer: Answer) -> Word:
        """Name an answer; one of the proxy's own is what the interface says."""
        self.answers.append(answer)
        if answer.code is None:
            return answer.status
        self.refusals.append((refusal(answer, answer.code), answer.code))
        return answer.code

    async def answer(self, received: Received, send: Send) -> None:
        """The bound host answers as the case says."""
        value = received.authorization
        key = value.rpartition(" ")[2]
        await send(self.fill(self.case.answer, **spellings(key)))


def changed(path: Path) -> tuple[int, int]:
    """When a file was last changed, and its size."""
    state = path.stat()
    return state.st_mtime_ns, state.st_size


def linked(tip: str, number: int, records: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether records hang from the one with that hash and number, one from the other."""
    for record in records:
        number += 1
        own = chain_hash(number, {name: record[name] for name in FIELDS}, tip)
        if (record["seq"], record["prev_hash"], record["hash"]) != (number, tip, own):
            return False
        tip = own
    return True


def as_sent(play: Play) -> Iterator[Word]:
    """A case without an act of its own: one connection, all bytes at once."""
    wire = play.wire()
    if play.case.connect is not None and (why_not := play.enter(wire)) is not None:
        yield why_not
        return
    yield from play.exchange(wire, play.case.send, len(play.case.back))
