"""Requests that could be read in two ways, or are no requests at all."""

from collections.abc import Iterator

from tests.adversarial.harness import (
    BEARER,
    CLOSED,
    GOOD,
    MODELS,
    Arena,
    Case,
    Play,
    Word,
    any_of,
    ask,
    cases,
)
from tests.support.bench import HOST

MALFORMED = "request_malformed"
TOO_LARGE = "headers_too_large"
EXPECT = "Expect: 100-continue"
SMUGGLED = f"POST /smuggled HTTP/1.1\nHost: {HOST}\n{BEARER}\nContent-Length: 0\n\n"
LINE = f"GET {MODELS} HTTP/1.1\nHost: {HOST}\n"
CHUNKED = ask(BEARER, "Transfer-Encoding: chunked", method="POST", target="/upload")
NEVER_TWO = "has the host see two requests where the proxy saw one"


def framing(id: str, *headers: str, body: str = SMUGGLED, fails: str = "") -> Case:
    """Headers that frame a body in more than one way; a request stands where the body may or may not end."""
    request = ask(BEARER, *headers, method="POST", target="/upload", body=body)
    return Case(f"framing {id}", NEVER_TWO, request, (MALFORMED, CLOSED), fails=fails)


def head(id: str, text: str | bytes, tries: str = "has host and proxy read a head differently", **more: object) -> Case:
    """A head that is no head, or not one that may carry a token."""
    return Case(f"head {id}", tries, text, (MALFORMED, CLOSED), **more)  # type: ignore[arg-type]


def chunks(id: str, body: str | bytes) -> Case:
    """A chunked body that is damaged: its head may be on its way, and then the connection to the host ends."""
    data = CHUNKED.replace("\n", "\r\n").encode() + (body if isinstance(body, bytes) else body.encode())
    return Case(
        f"chunks {id}",
        NEVER_TWO,
        data + SMUGGLED.replace("\n", "\r\n").encode(),
        (any_of(CLOSED, MALFORMED),),
        act=broken_upload,
        intents=1,
    )


def target(id: str, text: str) -> Case:
    """A target that may be read in two ways."""
    return Case(f"target {id}", "has the host read another path", ask(BEARER, target=text), (MALFORMED, CLOSED))


def broken_upload(play: Play) -> Iterator[Word]:
    """What arrives is at most the one request, and never whole."""
    wire = play.wire()
    assert play.enter(wire) is None
    yield from play.exchange(wire, play.case.send)


def no_http(id: str, data: bytes, *back: Word, tls: bool = True) -> Case:
    """Another protocol in a tunnel."""
    return Case(f"protocol {id}", "speaks another protocol to the host", data, (any_of(*back),), tls=tls)


def preface(play: Play) -> Iterator[Word]:
    """The preface of HTTP/2: a request and something else, in the eyes of HTTP/1."""
    wire = play.wire()
    assert play.enter(wire) is None
    wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
    while (word := play.read(wire)) != CLOSED:
        assert word in {MALFORMED, "authority_mismatch"}
    yield word


def h2_only(play: Play) -> Iterator[Word]:
    """A client that offers nothing but HTTP/2."""
    wire = play.wire()
    yield play.enter(wire) or 200


def pipelined(play: Play) -> Iterator[Word]:
    """Three requests at once, the second of them refused."""
    wire = play.wire()
    assert play.enter(wire) is None
    second = ask("X-Wrong: {token}")
    yield from play.exchange(wire, GOOD + second + GOOD, 3)


def expectation(play: Play) -> Iterator[Word]:
    """A client that waits for 100 Continue, then sends a request where its body should be."""
    wire = play.wire()
    assert play.enter(wire) is None
    length = len(play.fill(SMUGGLED))
    begin = ask(BEARER, "Expect: 100-continue", f"Content-Length: {length}", method="POST", target="/upload")
    yield from play.exchange(wire, begin)
    yield from play.exchange(wire, SMUGGLED)


def expecting(play: Play) -> Iterator[Word]:
    """A request with its body, behind whose back a 100 may come."""
    wire = play.wire()
    assert play.enter(wire) is None
    (word,) = play.exchange(wire, play.case.send)
    yield play.read(wire) if word == 100 else word


CASES = (
    framing("length and coding", "Content-Length: 5", "Transfer-Encoding: chunked", body="0\n\n" + SMUGGLED),
    framing("coding and length", "Transfer-Encoding: chunked", "Content-Length: 5", body="0\n\n" + SMUGGLED),
    framing("two lengths", "Content-Length: 0", "Content-Length: 60"),
    framing("the same length twice", "Content-Length: 0", "Content-Length: 0"),
    framing("a list of lengths", "Content-Length: 0, 60"),
    framing("length with a sign", "Content-Length: +0"),
    framing("negative length", "Content-Length: -1"),
    framing("length in hex", "Content-Length: 0x0"),
    framing("length with an underscore", "Content-Length: 1_0"),
    framing("length with digits of another script", "Content-Length: \xb2"),
    Case(
        "framing length that overflows",
        NEVER_TWO,
        ask(BEARER, "Content-Length: 18446744073709551616", method="POST", target="/upload", body=SMUGGLED),
        (MALFORMED,),
    ),
    framing("empty length", "Content-Length: "),
    framing("coding twice", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body="0\n\n" + SMUGGLED),
    framing("coding and another", "Transfer-Encoding: chunked", "Transfer-Encoding: x", body="0\n\n" + SMUGGLED),
    framing("another coding", "Transfer-Encoding: gzip, chunked", body="0\n\n" + SMUGGLED),
    framing("chunked not last", "Transfer-Encoding: chunked, identity", body="0\n\n" + SMUGGLED),
    framing("identity", "Transfer-Encoding: identity"),
    framing("coding with a control character", "Transfer-Encoding: ch\x0bunked", body="0\n\n" + SMUGGLED),
    framing(
        "coding behind a control character",
        "Transfer-Encoding: \x0bchunked",
        body="0\n\n" + SMUGGLED,
        fails="mitmproxy strips control characters from both ends of a value before the add-on sees it",
    ),
    framing("coding in quotes", 'Transfer-Encoding: "chunked"', body="0\n\n" + SMUGGLED),
    framing("coding with a parameter", "Transfer-Encoding: chunked;a=b", body="0\n\n" + SMUGGLED),
    framing("space before the colon of the coding", "Transfer-Encoding : chunked", body="0\n\n" + SMUGGLED),
    framing("space before the colon of the length", "Content-Length : 60"),
    framing("folded coding", "Transfer-Encoding:\n chunked", body="0\n\n" + SMUGGLED),
    chunks("no size", "\r\nabc\r\n0\r\n\r\n"),
    chunks("size in words", "three\r\nabc\r\n0\r\n\r\n"),
    chunks("size with 0x", "0x3\r\nabc\r\n0\r\n\r\n"),
    chunks("size with a sign", "+3\r\nabc\r\n0\r\n\r\n"),
    chunks("negative size", "-3\r\nabc\r\n0\r\n\r\n"),
    chunks("size with an underscore", "0_3\r\nabc\r\n0\r\n\r\n"),
    chunks("size that overflows", "10000000000000000000000003\r\nabc\r\n0\r\n\r\n"),
    chunks("data too long", "3\r\nabcdef\r\n0\r\n\r\n"),
    chunks("no line break after data", "3\r\nabc0\r\n\r\n"),
    chunks("bare CR after the size", "3\rabc\r\n0\r\n\r\n"),
    chunks("NUL in the size", "3\0\r\nabc\r\n0\r\n\r\n"),
    Case(
        "chunks with a bare LF",
        NEVER_TWO,
        CHUNKED.replace("\n", "\r\n").encode() + b"3\nabc\r\n0\r\n\r\n",
        (any_of(CLOSED, MALFORMED),),
        act=broken_upload,
        intents=1,
    ),
    Case(
        "trailers",
        "says something behind all checks",
        CHUNKED + "0\nX-Trailer: a\n\n",
        (200,),
        uses=1,
        hides="X-Trailer",
    ),
    Case(
        "trailer that frames",
        "says something behind all checks",
        CHUNKED + "0\nContent-Length: 60\nHost: evil.example.com\n\n",
        (200,),
        uses=1,
        hides="evil.example.com",
    ),
    Case(
        "chunk extensions",
        "says something between the chunks",
        CHUNKED + "3;a=b\rc\nabc\n0;c=d\n\n",
        (200,),
        uses=1,
        hides="a=b",
    ),
    head("bare CR in a value", LINE + f"{BEARER}\nX-A: a\rX-B: b\n\n"),
    head("bare CR for a line break", f"GET {MODELS} HTTP/1.1\rHost: {HOST}\n{BEARER}\n\n"),
    head("NUL in a value", LINE + f"{BEARER}\nX-A: a\0b\n\n"),
    head("NUL in a name", LINE + f"{BEARER}\nX-\0A: a\n\n"),
    head("folded line", LINE + f"{BEARER}\nX-A: a\n  folded\n\n"),
    head("folded token", LINE + "Authorization: Bearer\n {token}\n\n"),
    head("folded first line", f"GET {MODELS} HTTP/1.1\n Host: {HOST}\n{BEARER}\n\n"),
    head("space before a colon", LINE + "Authorization : Bearer {token}\n\n"),
    head("tab before a colon", LINE + "Authorization\t: Bearer {token}\n\n"),
    head("no colon", LINE + f"{BEARER}\nnonsense\n\n"),
    head("empty name", LINE + f"{BEARER}\n: a\n\n"),
    head("space in a name", LINE + f"{BEARER}\nX A: a\n\n"),
    head("control character in a name", LINE + f"{BEARER}\nX\x01A: a\n\n"),
    head("control character in a value", LINE + f"{BEARER}\nX-A: a\x1bb\n\n"),
    head("high byte in a name", LINE + f"{BEARER}\nX\xe9A: a\n\n"),
    head("delete in a value", LINE + f"{BEARER}\nX-A: a\x7fb\n\n"),
    head("no target", f"GET\nHost: {HOST}\n{BEARER}\n\n"),
    head("four words", f"GET {MODELS} and more HTTP/1.1\nHost: {HOST}\n{BEARER}\n\n"),
    Case(
        "head tabs for spaces",
        "has the host split a line elsewhere: it gets spaces",
        f"GET\t{MODELS}\tHTTP/1.1\nHost: {HOST}\n{BEARER}\n\n",
        (200,),
        uses=1,
        hides="\t",
    ),
    Case(
        "version with a control character",
        "has the host read another version: it gets the usual one",
        ask(BEARER, version="HTTP/1.1\x0b"),
        (200,),
        uses=1,
        hides="\x0b",
    ),
    head("version 0.9", f"GET {MODELS}\nHost: {HOST}\n{BEARER}\n\n"),
    *(
        Case(f"version {version}", "has the host speak another version", ask(BEARER, version=version), (MALFORMED,))
        for version in ("HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "HTTP/3")
    ),
    *(
        head(f"version {version}", ask(BEARER, version=version), "has the host speak another version")
        for version in ("http/1.1", "HTTP/1.1.1", "HTTP/11", "ICY/1.1")
    ),
    *(
        head(f"method {method!r}", ask(BEARER, method=method), "uses a method that the policy doesn't know")
        for method in ("get", "Get", "BREW", "TRACE", "TRACK", "G\xcbT", "GET\0", "CONNECT", "DEBUG", "LINK", "PURGE")
    ),
    Case("TRACE without token", "has what was sent come back", ask(method="TRACE"), (MALFORMED,)),
    target("dot segments", "/v1/../models"),
    target("dot segments, encoded", "/v1/%2e%2E/models"),
    target("dot segments, encoded twice", "/v1/%252e%252e/models"),
    target("dot segments with a parameter", "/v1/..;a/models"),
    target("encoded slash", "/v1%2fmodels"),
    target("encoded backslash", "/v1%5cmodels"),
    target("backslash", "/v1\\models"),
    target("encoded line break", "/v1%0d%0aX:y"),
    target("encoded NUL", "/v1%00"),
    target("fragment", "/v1/models#x"),
    target("high byte", "/v1/m\xfcdels"),
    target("damaged encoding", "/v1/%zz"),
    target("half an encoding", "/v1/%4"),
    target("quotes", '/v1/"models"'),
    target("braces", "/v1/{models}"),
    target("without a slash", "v1/models"),
    target("a query alone", "?a=b"),
    *(
        Case(
            f"override {name}",
            "names a header as a host may read it, so that method or path change",
            ask(BEARER, f"{name}: DELETE"),
            (200,),
            uses=1,
            hides="DELETE",
        )
        for name in ("X_HTTP_Method_Override", "X-HTTP-Method", "Method-Override", "X-Original-URL", "X_Rewrite_Url")
    ),
    head("Connection names Host", ask(BEARER, "Connection: close, host"), "has the proxy drop what it checked"),
    head("Connection names Authorization", ask(BEARER, "Connection: authorization"), "has the token dropped"),
    Case(
        "hop-by-hop headers",
        "has the host speak to the proxy, or change the protocol",
        ask(
            BEARER,
            "Connection: keep-alive, X-Hop",
            "X-Hop: a",
            "Upgrade: h2c",
            "HTTP2-Settings: AAMAAABk",
            "TE: trailers",
        ),
        (200,),
        uses=1,
        hides="X-Hop",
    ),
    Case(
        "h2c upgrade",
        "changes the protocol behind the checks",
        ask(BEARER, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"),
        (200,),
        uses=1,
        hides="h2c",
    ),
    Case(
        "websocket with a token",
        "gets a stream in which nothing is scrubbed",
        ask(
            BEARER, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: AAAA", "Sec-WebSocket-Version: 13"
        ),
        (200,),
        uses=1,
        hides="Upgrade",
    ),
    Case("h2 prior knowledge", "speaks HTTP/2 where none was offered", act=preface, back=(CLOSED,)),
    Case("ALPN h2 alone", "has the proxy speak HTTP/2", act=h2_only, back=(any_of(CLOSED, 200),), alpn=("h2",)),
    Case("ALPN h2 first", "has the proxy speak HTTP/2", GOOD, (200,), alpn=("h2", "http/1.1"), uses=1),
    Case("ALPN h2c", "has the proxy speak HTTP/2", act=h2_only, back=(any_of(CLOSED, 200),), alpn=("h2c", "h3")),
    Case("ALPN none", "offers nothing", GOOD, (200,), alpn=(), uses=1),
    Case(
        "pipelining",
        "has a refusal stand for another request",
        act=pipelined,
        back=(200, "token_misplaced", 200),
        uses=2,
    ),
    Case("pipelining, cut", "sends the begin of another request behind the first", GOOD + "GET /v1/mo", (200,), uses=1),
    Case(
        "pipelining behind a body",
        "sends a request where a body ends",
        ask(BEARER, "Content-Length: 3", method="POST", target="/upload", body="abc") + GOOD,
        (200, 200),
        uses=2,
    ),
    Case("empty lines", "begins with empty lines", "\n\n" + GOOD, (200,), uses=1),
    Case("Expect", "has a request stand in a body", act=expectation, back=(100, 200), uses=1),
    *(
        Case(
            f"Expect {where} the token, {what}",
            "has headers move, so that the credential gets into another",
            ask(*headers, "X-Note: mine", f"Content-Length: {len(body)}", method="POST", target="/echo", body=body),
            (200,),
            act=expecting,
            uses=1,
        )
        for where, headers in (("before", (EXPECT, BEARER)), ("behind", (BEARER, EXPECT)))
        for what, body in (("a body", "x"), ("no body", ""))
    ),
    Case(
        "Expect, unknown",
        "expects what nobody knows",
        ask(BEARER, "Expect: evil", method="POST", target="/upload", body=""),
        (MALFORMED,),
    ),
    Case("long target", "sends a line that doesn't fit", ask(BEARER, target="/" + "a" * 70_000), (TOO_LARGE,)),
    Case("long value", "sends a line that doesn't fit", ask(BEARER, "X-A: " + "a" * 70_000), (TOO_LARGE,)),
    Case("long name", "sends a line that doesn't fit", ask(BEARER, "X" * 70_000 + ": a"), (TOO_LARGE,)),
    Case("long method", "sends a line that doesn't fit", ask(BEARER, method="A" * 70_000), (TOO_LARGE,)),
    Case("many headers", "sends more headers than fit", ask(BEARER, *[f"X-{n}: a" for n in range(300)]), (TOO_LARGE,)),
    Case("endless line", "never ends a line", "GET / HTTP/1.1\nX-A: " + "a" * 70_000, (TOO_LARGE, CLOSED)),
    no_http("binary", bytes(range(256)) + b"\r\n\r\n", MALFORMED),
    no_http("SSH", b"SSH-2.0-anything\r\n\r\n", MALFORMED),
    no_http("SSH without TLS", b"SSH-2.0-anything\r\n\r\n", MALFORMED, CLOSED, tls=False),
    no_http("SMTP", b"EHLO evil.example.com\r\n\r\n", MALFORMED),
    no_http("TLS in TLS", b"\x16\x03\x01\x00\x05hello", CLOSED),
    Case(
        "SOCKS 4",
        "has the proxy speak SOCKS",
        b"\x04\x01\x01\xbb\x7f\0\0\1a\0\r\n\r\n",
        (any_of(MALFORMED, CLOSED),),
        connect=None,
    ),
    Case("SOCKS 5", "has the proxy speak SOCKS", b"\x05\x01\x00\r\n\r\n", (any_of(MALFORMED, CLOSED),), connect=None),
    Case(
        "PROXY protocol",
        "says that it is somebody else",
        b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n" + b"CONNECT api.openai.com:443 HTTP/1.1\r\n\r\n",
        (MALFORMED,),
        connect=None,
    ),
    Case(
        "HTTP/2 to the proxy",
        "speaks HTTP/2 to the proxy",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        (MALFORMED,),
        connect=None,
    ),
)


@cases(*CASES)
def test_parsing(arena: Arena, case: Case) -> None:
    """What the host reads is what the proxy judged, or nothing."""
    arena.play(case)
