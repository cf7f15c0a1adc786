"""Requests that could be read in two ways, lie about where they go, or are no requests at all."""

import contextlib
from collections.abc import Callable

import pytest

from tests.support.bench import HOST, Bench
from tests.support.raw import ClosedError, Wire, bearer

MODELS = "/v1/models"


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        pytest.param("get", MODELS, [], id="method in lower case"),
        pytest.param("BREW", MODELS, [], id="method unknown"),
        pytest.param("TRACE", MODELS, [], id="TRACE"),
        pytest.param("GET", "/v1/../models", [], id="dot segment"),
        pytest.param("GET", "/v1/%2e%2E/models", [], id="encoded dot segment"),
        pytest.param("GET", "/v1%2fmodels", [], id="encoded slash"),
        pytest.param("GET", "/v1%5cmodels", [], id="encoded backslash"),
        pytest.param("GET", "/v1%0d%0aX:y", [], id="encoded line break"),
        pytest.param("GET", "/v1%00", [], id="encoded NUL"),
        pytest.param("GET", "/v1/m\xfcdels", [], id="not ASCII"),
        pytest.param("GET", "/v1/models#x", [], id="fragment"),
        pytest.param("GET", "/v1/%zz", [], id="damaged encoding"),
        pytest.param("GET", MODELS, ["Connection: close, host"], id="Connection names Host"),
        pytest.param("GET", MODELS, ["Connection: authorization"], id="Connection names Authorization"),
        pytest.param("GET", MODELS, ["X-Control: a\x01b"], id="control character"),
        pytest.param("GET", MODELS, ["X Space: y"], id="name with a space"),
        pytest.param("POST", MODELS, ["Content-Length: 0", "Content-Length: 0"], id="two lengths"),
        pytest.param("POST", MODELS, ["Content-Length: 3, 3"], id="a list of lengths"),
        pytest.param("POST", MODELS, ["Content-Length: +3"], id="length with a sign"),
        pytest.param("POST", MODELS, ["Content-Length: -3"], id="negative length"),
        pytest.param("POST", MODELS, ["Content-Length: 3", "Transfer-Encoding: chunked"], id="length and coding"),
        pytest.param("POST", MODELS, ["Transfer-Encoding: gzip, chunked"], id="another coding"),
        pytest.param("POST", MODELS, ["Transfer-Encoding: chunked\x0b1"], id="control character in a coding"),
        pytest.param("POST", MODELS, ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], id="two codings"),
    ],
)
def test_malformed(bench: Bench, method: str, target: str, headers: list[str]) -> None:
    """A request with a token whose head is in doubt is refused, and its connection ends."""
    fields = [tuple(header.split(": ", 1)) for header in headers]

    with bench.proxy.tunnel(HOST) as wire:
        answer = wire.request(method, target, bearer(bench.token), *fields, host=HOST)
        with contextlib.suppress(OSError):
            wire.send(b"0\r\n\r\n")  # where it was read as chunked, its end is waited for
        closed = wire.is_closed()

    bench.refused(answer, "request_malformed")
    bench.untouched()
    assert (answer.closes, closed) == (True, True)
    bench.serves()


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"\x00\x01\x02\x03\r\n\r\n", id="no text"),
        pytest.param(b"GET\r\n\r\n", id="no target"),
        pytest.param(b"GET / HTTP/1.1\r\nno colon here\r\n\r\n", id="no colon"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: api.openai.com\r\n folded: yes\r\n\r\n", id="folded"),
        pytest.param(b"GET / HTTP/3.0 extra\r\nHost: api.openai.com\r\n\r\n", id="four words"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="HTTP/2 preface"),
    ],
)
def test_no_request(bench: Bench, head: bytes) -> None:
    """Bytes that are no request are answered as well, then the connection ends; others are served."""
    answers = []

    with bench.proxy.tunnel(HOST) as wire:
        wire.send(head)
        with contextlib.suppress(ClosedError):
            while True:
                answers.append(wire.answer())

    # The preface of HTTP/2 is a request and something else in the eyes of HTTP/1.
    assert [answer.code for answer in answers][-1] == "request_malformed"
    for answer in answers:
        bench.refused(answer, answer.code or "")
    bench.untouched()
    bench.serves()


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.2", "HTTP/2.0"])
def test_version(bench: Bench, version: str) -> None:
    """A token travels in HTTP/1.1 only."""
    with bench.proxy.tunnel(HOST) as wire:
        head = f"GET {MODELS} {version}\r\nHost: {HOST}\r\nAuthorization: Bearer {bench.token}\r\n\r\n"
        wire.send(head.encode())
        answer = wire.answer()

    bench.refused(answer, "request_malformed")
    bench.untouched()


def test_tunnel_in_tunnel(bench: Bench) -> None:
    """A tunnel holds no other tunnel."""
    with bench.proxy.tunnel(HOST) as wire:
        answer = wire.connect("api.anthropic.com:443")

    bench.refused(answer, "request_malformed")
    bench.untouched()
    bench.serves()


@pytest.mark.parametrize(
    "target", [HOST, f"{HOST}:0", f"{HOST}:99999", "bad_name$:443", "a..b:443", ":443", "[::1:443"]
)
def test_connect_target(bench: Bench, target: str) -> None:
    """A CONNECT to what is no host and port is refused."""
    with bench.proxy.wire() as wire:
        answer = wire.connect(target)

    assert answer.status == 400
    assert answer.code == "request_malformed"
    bench.untouched()
    bench.serves()


def test_page_of_its_own(bench: Bench) -> None:
    """The proxy has no pages: who opens it in a browser is told what it is."""
    with bench.proxy.wire() as wire:
        answer = wire.request("GET", "/", host=f"127.0.0.1:{bench.proxy.port}")

    bench.refused(answer, "request_malformed")
    assert "HTTPS_PROXY" in answer.json()["error"]["hint"]


@pytest.mark.parametrize(
    "head",
    [
        pytest.param([f"X-Large-{number}: {'x' * 8000}" for number in range(12)], id="many bytes"),
        pytest.param([f"X-Large: {'x' * 200_000}"], id="one long line"),
        pytest.param([f"X-{number}: y" for number in range(300)], id="many headers"),
    ],
)
def test_headers_too_large(bench: Bench, head: list[str]) -> None:
    """A head beyond the limits is refused."""
    fields = [tuple(header.split(": ", 1)) for header in head]

    with bench.proxy.tunnel(HOST) as wire:
        answer = wire.request("GET", MODELS, bearer(bench.token), *fields, host=HOST)

    bench.refused(answer, "headers_too_large")
    bench.untouched()
    bench.serves()


def test_endless_head(bench: Bench) -> None:
    """A head that doesn't end is cut off."""
    with bench.proxy.tunnel(HOST) as wire:
        wire.send(b"GET / HTTP/1.1\r\nX-Endless: " + b"x" * 70_000)
        answer = wire.answer()

        bench.refused(answer, "headers_too_large")
        assert wire.is_closed()
    bench.untouched()


def test_flood_behind_a_refusal(bench: Bench) -> None:
    """A client that goes on sending while its connection is closed doesn't keep it open."""
    for _ in range(10):
        with bench.proxy.tunnel(HOST) as wire:
            with contextlib.suppress(OSError):
                wire.send(b"GET / HTTP/1.1\r\nX-Endless: " + b"x" * 1_000_000)
            with contextlib.suppress(ClosedError):
                assert wire.answer().code == "headers_too_large"
            assert wire.is_closed()

    bench.untouched()
    bench.serves()


@pytest.mark.parametrize("names", [[], ["api.anthropic.com"], [f"{HOST}:8443"], [HOST, HOST], ["user@" + HOST], [""]])
def test_host_header(bench: Bench, names: list[str]) -> None:
    """There is one Host header, and it names the host and port of the tunnel."""
    with bench.proxy.tunnel(HOST) as wire:
        answer = wire.request("GET", MODELS, bearer(bench.token), *(("Host", name) for name in names))

        bench.refused(answer, "authority_mismatch")
        bench.untouched()
        bench.serves(None if answer.closes else wire)


@pytest.mark.parametrize(
    "target",
    ["https://api.anthropic.com/", f"https://{HOST}:8443/", f"http://{HOST}/", f"https://user@{HOST}/"],
)
def test_absolute_form(bench: Bench, target: str) -> None:
    """An absolute-form target inside a tunnel names the tunnel's host, port and scheme."""
    with bench.proxy.tunnel(HOST) as wire:
        answer = wire.request("GET", target, bearer(bench.token), host=HOST)

    assert answer.code in ("authority_mismatch", "request_malformed")
    bench.refused(answer, answer.code)
    bench.untouched()
    bench.serves()


@pytest.mark.parametrize("server_name", [None, "api.anthropic.com", "openai.com"])
@pytest.mark.parametrize("with_token", [True, False])
def test_server_name(bench: Bench, server_name: str | None, with_token: bool) -> None:
    """The TLS server name is the tunnel's host, whatever the request says."""
    with bench.proxy.tunnel(HOST, server_name=server_name) as wire:
        answer = wire.request("GET", MODELS, *([bearer(bench.token)] if with_token else []), host=HOST)

    bench.refused(answer, "authority_mismatch")
    bench.untouched()
    bench.serves()


def test_everything_but_connect_lies(bench: Bench) -> None:
    """SNI, Host and target that agree with each other, and not with the CONNECT, open nothing."""
    with bench.proxy.tunnel("unbound.example.com", server_name=HOST) as wire:
        answer = wire.request("GET", f"https://{HOST}{MODELS}", bearer(bench.token), host=HOST)

    bench.tripped(answer, "authority_mismatch")
    bench.untouched()


def plain_proxy_request(bench: Bench, wire: Wire) -> None:
    wire.send_head("GET", f"http://{HOST}/v1/models", bearer(bench.token), host=HOST)


def plain_in_tunnel(bench: Bench, wire: Wire) -> None:
    assert wire.connect(f"{HOST}:443").status == 200
    # Without TLS, the port of the Host header isn't the default one.
    wire.send_head("GET", MODELS, bearer(bench.token), host=f"{HOST}:443")


def https_without_tunnel(bench: Bench, wire: Wire) -> None:
    wire.send_head("GET", f"https://{HOST}/v1/models", bearer(bench.token), host=HOST)


def https_without_token(bench: Bench, wire: Wire) -> None:
    wire.send_head("GET", f"https://{HOST}/v1/models", host=HOST)


@pytest.mark.parametrize("ask", [plain_proxy_request, plain_in_tunnel, https_without_tunnel, https_without_token])
def test_cleartext(bench: Bench, ask: Callable[[Bench, Wire], None]) -> None:
    """A token never travels in clear, to the proxy or from it."""
    with bench.proxy.wire() as wire:
        ask(bench, wire)
        answer = wire.answer()

    bench.refused(answer, "cleartext_refused")
    bench.untouched()
    bench.serves()


def test_tls_to_the_proxy_itself(bench: Bench) -> None:
    """Who speaks TLS to the proxy's port is cut off."""
    with bench.proxy.wire() as wire:
        wire.send(b"\x16\x03\x01\x00\x05hello")

        assert wire.is_closed()
    bench.serves()


def test_something_else_in_a_tunnel(bench: Bench) -> None:
    """A tunnel to an intercepted host carries HTTP over TLS; anything else gets nowhere."""
    with bench.proxy.wire() as wire:
        assert wire.connect(f"{HOST}:443").status == 200
        wire.send(b"SSH-2.0-anything\r\n\r\n")
        try:
            answer = wire.answer()
        except ClosedError:
            answer = None

    assert answer is None or answer.code
    bench.untouched()
    bench.serves()
