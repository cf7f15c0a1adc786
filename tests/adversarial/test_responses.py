"""Hosts that repeat the credential in their answers, wherever and however they can."""

import asyncio
from collections.abc import Iterator

from tests.adversarial.harness import (
    BEARER,
    BROKEN,
    CLOSED,
    GOOD,
    Act,
    Arena,
    Case,
    Play,
    Word,
    any_of,
    ask,
    cases,
)
from tests.support.bench import HOST
from tests.support.upstream import Received, Send

TRIES = "has the host repeat the credential"
UNSAFE = "response_unsafe"
MALFORMED = "upstream_malformed"
SEEN = "{token}"


def answered(
    id: str, answer: str | bytes, *back: Word, fails: str = "", shows: str = SEEN, method: str = "GET"
) -> Case:
    """An answer that is one, and in which the client must find its token."""
    return Case(
        id,
        TRIES,
        ask(BEARER, target="/answer", method=method),
        back or (200,),
        answer=answer,
        uses=1,
        fails=fails,
        shows=shows,
    )


def in_body(id: str, body: str, shows: str = "") -> Case:
    """A body that ends with the connection, and holds the credential."""
    text = f"HTTP/1.1 200 OK\nConnection: close\n\n{body}"
    return answered(f"body {id}", text, 200, shows=shows)


def coded(coding: str) -> Case:
    """A content coding that nobody asked for."""
    text = f"HTTP/1.1 200 OK\nContent-Encoding: {coding}\nConnection: close\n\n{{{coding}}}"
    return answered(f"coding {coding}", text, any_of(UNSAFE, 200), shows="")


def not_handed_on(id: str, answer: str | bytes, *back: Word) -> Case:
    """An answer that is none, or can't be made safe: no byte of it is handed on."""
    wanted = any_of(*(back or (MALFORMED,)))
    return Case(f"odd {id}", TRIES, ask(BEARER, target="/answer"), (wanted,), answer=answer, uses=1)


def to_nobody(id: str, answer: str, act: Act | None = None) -> Case:
    """An answer to a request without a token, from a host that remembers."""
    return Case(
        f"later {id}",
        "asks without a token what the host saw before",
        answer=answer,
        act=act or remembered,
        back=(200, 200),
        uses=1,
        passes=1,
    )


def remembered(play: Play, in_clear: bool = False) -> Iterator[Word]:
    """A host that repeats what it got, in the answer to another request."""
    seen: list[Received] = []

    async def keep(received: Received, send: Send) -> object:
        seen.append(received)
        await send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        return True

    async def tell(_: Received, send: Send) -> None:
        await play.answer(seen[-1], send)

    play.arena.hosts["bound"].route("GET", "/keep", keep)
    play.arena.hosts["plain" if in_clear else "bound"].route("GET", "/tell", tell)
    wire = play.wire()
    assert play.enter(wire) is None
    yield from play.exchange(wire, ask(BEARER, target="/keep"))
    if in_clear:
        yield from play.exchange(play.wire(), ask(target=f"http://{HOST}/tell"))
    else:
        yield from play.exchange(wire, ask(target="/tell"))


def remembered_in_clear(play: Play) -> Iterator[Word]:
    """The same host at a port to which nothing is bound."""
    yield from remembered(play, in_clear=True)


def split_everywhere(play: Play) -> Iterator[Word]:
    """The credential in two chunks, cut at each of its characters in turn."""

    async def handler(received: Received, send: Send) -> object:
        key = received.authorization.rpartition(" ")[2].encode()
        at = int(received.query("at"))
        await send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in (key[:at], key[at:]):
            if piece:
                await send(b"%x\r\n%s\r\n" % (len(piece), piece))
                await asyncio.sleep(0.002)
        await send(b"0\r\n\r\n")
        return True

    play.arena.hosts["bound"].route("GET", "/cut", handler)
    wire = play.wire()
    assert play.enter(wire) is None
    for at in range(LENGTH):
        yield from play.exchange(wire, ask(BEARER, target=f"/cut?at={at}"))
        assert play.answers[-1].body == play.fill(SEEN)


def after_surplus(play: Play) -> Iterator[Word]:
    """What comes behind an answer isn't the answer to the next request."""
    wire = play.wire()
    assert play.enter(wire) is None
    yield from play.exchange(wire, ask(BEARER, target="/answer"))
    yield from play.exchange(wire, GOOD)


LENGTH = len("sk-FAKE-not-a-real-key-openai-0001")
OK = "HTTP/1.1 200 OK\n"
EMPTY = "Content-Length: 0\n\n"
CASES = (
    answered("header", f"{OK}X-Key: {{key}}\n{EMPTY}"),
    answered("header, twice", f"{OK}X-Key: {{key}}{{key}}\n{EMPTY}"),
    answered("header, in a sentence", f"{OK}X-Key: is it {{key}}?\n{EMPTY}"),
    answered("header name", f"{OK}X-{{key}}: a\n{EMPTY}"),
    answered("cookie", f"{OK}Set-Cookie: key={{key}}; Path=/\n{EMPTY}"),
    answered("Location", f"HTTP/1.1 302 Found\nLocation: https://evil.example.com/?{{key}}\n{EMPTY}", 302),
    answered("WWW-Authenticate", f'HTTP/1.1 401 No\nWWW-Authenticate: Bearer realm="{{key}}"\n{EMPTY}', 401),
    answered("reason", f"HTTP/1.1 200 {{key}}\n{EMPTY}", shows="200 OK"),
    answered("reason of an error", f"HTTP/1.1 500 {{key}}\n{EMPTY}", 500, shows="500 "),
    answered("status unknown", f"HTTP/1.1 299 {{key}}\nX-Key: {{key}}\n{EMPTY}", 299),
    answered("error page", "HTTP/1.1 404 No\nConnection: close\n\n<b>{key}</b>", 404),
    answered("HEAD", f"{OK}X-Key: {{key}}\n{EMPTY}", method="HEAD"),
    Case(
        "HEAD with a body",
        TRIES,
        ask(BEARER, target="/answer", method="HEAD"),
        (200,),
        answer=f"{OK}Content-Length: 34\n\n{{key}}",
        uses=1,
    ),
    in_body("raw", "{key}", SEEN),
    in_body("raw, many", "{key}" * 50, SEEN),
    in_body("raw, in JSON", '{"key": "{key}"}', SEEN),
    in_body("Basic pair", "{pair}"),
    in_body("base64", "{base64}"),
    in_body("base64, shifted by one", "{base64+1}"),
    in_body("base64, shifted by two", "{base64+2}"),
    in_body("base64url", "{base64url}"),
    in_body("hex", "{hex}"),
    in_body("HEX", "{HEX}"),
    in_body("percent", "{percent}"),
    in_body("PERCENT", "{PERCENT}"),
    in_body("JSON escapes", '"{json}"'),
    in_body("some JSON escapes", '"{some json}"'),
    in_body("HTML entities", "{html}"),
    in_body("HTML entities in hex", "{htmlhex}"),
    in_body("some HTML entities", "{some html}"),
    in_body("UTF-16", "{utf16}"),
    answered("header in base64", f"{OK}X-Key: {{base64}}\n{EMPTY}", shows=""),
    answered("header in percent", f"{OK}Location: /?{{percent}}\n{EMPTY}"),
    answered("chunked", f"{OK}Transfer-Encoding: chunked\n\n{{length}}\n{{key}}\n0\n\n"),
    answered("chunks of one byte", f"{OK}Transfer-Encoding: chunked\n\n{{chunks}}"),
    Case("chunks, cut at every place", TRIES, act=split_everywhere, back=(200,) * LENGTH, uses=LENGTH),
    Case(
        "chunk extension",
        TRIES,
        ask(BEARER, target="/answer"),
        (200,),
        answer=f"{OK}Transfer-Encoding: chunked\n\n2;a={{key}}\nok\n0\n\n",
        uses=1,
    ),
    Case(
        "trailer",
        TRIES,
        ask(BEARER, target="/answer"),
        (any_of(200, BROKEN, CLOSED),),
        answer=f"{OK}Transfer-Encoding: chunked\nTrailer: X-Key\n\n2\nok\n0\nX-Key: {{key}}\n\n",
        uses=1,
    ),
    coded("gzip"),
    coded("deflate"),
    coded("br"),
    coded("zstd"),
    not_handed_on("two codings", f"{OK}Content-Encoding: gzip, br\n{EMPTY}", UNSAFE),
    not_handed_on("coding in two headers", f"{OK}Content-Encoding: identity\nContent-Encoding: gzip\n{EMPTY}", UNSAFE),
    not_handed_on("coding unknown", f"{OK}Content-Encoding: {{key}}\n{EMPTY}", UNSAFE),
    not_handed_on("transfer coding", f"{OK}Transfer-Encoding: gzip, chunked\n\n1\na\n0\n\n", UNSAFE, MALFORMED),
    not_handed_on("part", "HTTP/1.1 206 Part\nContent-Range: bytes 0-1/34\nContent-Length: 2\n\nsk", UNSAFE),
    not_handed_on("manipulated", "HTTP/1.1 226 IM Used\nIM: gzip\nConnection: close\n\n{gzip}", UNSAFE),
    not_handed_on(
        "multipart part",
        "HTTP/1.1 206 Part\nContent-Type: multipart/byteranges; boundary=a\nContent-Length: 2\n\nsk",
        UNSAFE,
    ),
    not_handed_on("100", f"HTTP/1.1 100 {{key}}\nX-Key: {{key}}\n\n{OK}{EMPTY}"),
    not_handed_on("102", f"HTTP/1.1 102 {{key}}\nX-Key: {{key}}\n\n{OK}{EMPTY}"),
    not_handed_on("103", f"HTTP/1.1 103 {{key}}\nLink: {{key}}\n\n{OK}{EMPTY}"),
    not_handed_on("101", "HTTP/1.1 101 {key}\nUpgrade: websocket\nConnection: Upgrade\n\n{key}"),
    not_handed_on("status of four digits", f"HTTP/1.1 2000 {{key}}\n{EMPTY}"),
    not_handed_on("status without end", f"HTTP/1.1 {'9' * 400} {{key}}\n{EMPTY}"),
    not_handed_on("status 600", f"HTTP/1.1 600 {{key}}\n{EMPTY}"),
    not_handed_on("status 999", f"HTTP/1.1 999 {{key}}\n{EMPTY}"),
    not_handed_on("status is the key", f"HTTP/1.1 {{key}} OK\n{EMPTY}"),
    not_handed_on("version is the key", f"{{key}} 200 OK\n{EMPTY}"),
    not_handed_on("garbage", "{key}\n\n"),
    not_handed_on("no colon", f"{OK}{{key}}\n{EMPTY}"),
    not_handed_on("space in a name", f"{OK}X {{key}}: a\n{EMPTY}"),
    not_handed_on("control character in a name", f"{OK}X\x01{{key}}: a\n{EMPTY}"),
    not_handed_on("NUL in a value", f"{OK}X-Key: {{key}}\0\n{EMPTY}", MALFORMED),
    not_handed_on("bare CR in a value", f"{OK}X-Key: a\r{{key}}\n{EMPTY}"),
    not_handed_on("folded line", f"{OK}X-Key: a\n {{key}}\n{EMPTY}"),
    not_handed_on("length is the key", f"{OK}Content-Length: {{key}}\n\n"),
    not_handed_on("two lengths", f"{OK}Content-Length: 2\nContent-Length: 34\n\n{{key}}"),
    not_handed_on("length and coding", f"{OK}Content-Length: 2\nTransfer-Encoding: chunked\n\n2\nok\n0\n\n"),
    not_handed_on("transfer coding is the key", f"{OK}Transfer-Encoding: {{key}}\n\n{{key}}", MALFORMED, UNSAFE),
    not_handed_on("chunk size is the key", f"{OK}Transfer-Encoding: chunked\n\n{{key}}\n", BROKEN),
    not_handed_on("chunk that breaks off", f"{OK}Transfer-Encoding: chunked\n\nff\n{{key}}", BROKEN),
    not_handed_on("body that breaks off", f"{OK}Content-Length: 200\n\n{{key}}", BROKEN),
    not_handed_on(
        "message that ends within the key",
        f"{OK}Content-Type: application/grpc\nConnection: close\n\n\0\0\0\0\x1e{{key}}",
        BROKEN,
    ),
    not_handed_on("nothing", "", "upstream_unreachable"),
    not_handed_on("a head that doesn't end", f"{OK}X-Key: {{key}}", "upstream_unreachable", MALFORMED),
    not_handed_on("HTTP/2", b"\0\0\x22\x07\0\0\0\0\0{key}"),
    not_handed_on("HTTP/0.9", "<html>{key}</html>", MALFORMED, "upstream_unreachable"),
    not_handed_on("endless line", OK + "X-Key: {key}" + "a" * 300_000, "upstream_unreachable", MALFORMED),
    Case(
        "surplus",
        "plants an answer to the next request, with the credential in it",
        ask(BEARER, target="/answer"),
        (200, 200),
        answer=f"{OK}Content-Length: 2\n\nok{OK}X-Key: {{key}}\n{EMPTY}",
        act=after_surplus,
        uses=2,
    ),
    Case(
        "surplus behind nothing",
        "plants an answer to the next request, with the credential in it",
        ask(BEARER, target="/answer"),
        (304, 200),
        answer=f"HTTP/1.1 304 Same\n\n{OK}X-Key: {{key}}\n{EMPTY}",
        act=after_surplus,
        uses=2,
    ),
    Case(
        "304 with a coding",
        "has the client wait for a body that never comes",
        ask(BEARER, target="/answer"),
        (304, 200),
        answer="HTTP/1.1 304 Same\nTransfer-Encoding: chunked\nConnection: close\n\n",
        act=after_surplus,
        uses=2,
    ),
    Case(
        "surplus behind 204",
        "plants an answer to the next request, with the credential in it",
        ask(BEARER, target="/answer"),
        (204, 200),
        answer="HTTP/1.1 204 None\nContent-Length: 34\n\n{key}",
        act=after_surplus,
        uses=2,
    ),
    to_nobody("header", f"{OK}X-Key: {{key}}\nConnection: close\n{EMPTY}"),
    to_nobody("body", f"{OK}Connection: close\n\n{{key}}"),
    to_nobody("at another port", f"{OK}X-Key: {{key}}\nConnection: close\n\n{{key}}", remembered_in_clear),
    to_nobody("gzip", f"{OK}Content-Encoding: gzip\nConnection: close\n\n{{gzip}}"),
)


@cases(*CASES)
def test_responses(arena: Arena, case: Case) -> None:
    """No answer holds a credential: the client sees its token, or a refusal."""
    arena.play(case)
