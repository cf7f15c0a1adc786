"""The loopback upstream itself, driven over TLS by the clients that the other tests use."""

import gzip
import hashlib
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from . import vendors
from .upstream import Received, Send, Upstream

KEY = "sk-test-not-a-real-key-0000000000000000"
BEARER = {"Authorization": f"Bearer {KEY}"}


def wait_until(happened: Callable[[], bool]) -> None:
    """Wait for what the server's thread does after the client has gone."""
    deadline = time.monotonic() + 5
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.01)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """A running server for one vendor's host."""
    with Upstream("api.openai.com") as server:
        yield server


@pytest.fixture
def trust(upstream: Upstream) -> ssl.SSLContext:
    """A context that trusts the server's CA alone."""
    return ssl.create_default_context(cadata=upstream.ca_pem.decode())


@pytest.fixture
def client(upstream: Upstream, trust: ssl.SSLContext) -> Iterator[httpx.Client]:
    """A client with the server as its base."""
    with httpx.Client(base_url=f"https://localhost:{upstream.port}", verify=trust, trust_env=False) as client:
        yield client


def test_request_is_kept_as_it_came(upstream: Upstream, trust: ssl.SSLContext) -> None:
    """Spelling, order and bytes of the head survive, and each request knows its connection."""
    head = b"POST /upload?q=1 HTTP/1.1\r\nhOsT: api.openai.com\r\n"
    head += b"X-One:  a \r\nx-ONE: b\r\nContent-Length: 3\r\n\r\n"

    with (
        socket.create_connection(("127.0.0.1", upstream.port)) as plain,
        trust.wrap_socket(plain, server_hostname="api.openai.com") as tls,
    ):
        tls.sendall(head + b"abc" + head + b"def")
        answer = b""
        while answer.count(b"sha256") < 2:
            answer += tls.recv(65536)

    first, second = upstream.requests
    assert first.raw_head == second.raw_head == head
    assert first.headers[:3] == [("hOsT", "api.openai.com"), ("X-One", "a"), ("x-ONE", "b")]
    assert (first.sni, first.method, first.target) == ("api.openai.com", "POST", "/upload?q=1")
    assert (first.body, first.body_length, second.body) == (b"abc", 3, b"def")
    assert (first.header("x-one"), first.header("absent")) == ("a", None)
    assert first.connection == second.connection == upstream.accepts == 1


def test_connections_are_counted(upstream: Upstream, client: httpx.Client) -> None:
    """Keep-alive keeps one connection; a client that distrusts the certificate counts as a failure."""
    for _ in range(3):
        client.get("/v1/models").raise_for_status()

    with pytest.raises(httpx.ConnectError):
        httpx.get(f"https://localhost:{upstream.port}/", verify=ssl.create_default_context(), trust_env=False)
    wait_until(lambda: upstream.handshake_failures > 0)

    assert {r.connection for r in upstream.requests} == {1}
    assert (upstream.accepts, upstream.handshake_failures) == (2, 1)
    upstream.clear()
    assert (upstream.requests, upstream.accepts, upstream.handshake_failures) == ([], 0, 0)


def test_no_request_is_malformed(upstream: Upstream, trust: ssl.SSLContext) -> None:
    """Bytes that the parser refuses are kept apart from the requests."""
    with (
        socket.create_connection(("127.0.0.1", upstream.port)) as plain,
        trust.wrap_socket(plain, server_hostname="localhost") as tls,
    ):
        tls.sendall(b"GET / HTTP/1.1\r\nbroken\r\n\r\n")
        answer = tls.recv(65536)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert (upstream.requests, upstream.malformed) == ([], [b"GET / HTTP/1.1\r\nbroken\r\n\r\n"])


def test_cut_upload_is_incomplete(upstream: Upstream, trust: ssl.SSLContext) -> None:
    """A body that ends early is recorded as far as it came."""
    with (
        socket.create_connection(("127.0.0.1", upstream.port)) as plain,
        trust.wrap_socket(plain, server_hostname="localhost") as tls,
    ):
        tls.sendall(b"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabc")
    wait_until(lambda: bool(upstream.requests))

    (received,) = upstream.requests
    assert (received.complete, received.body) == (False, b"abc")


def test_bodies_stream_both_ways(upstream: Upstream, client: httpx.Client) -> None:
    """Large bodies are counted and digested, and only their beginning is kept."""
    size = 3_000_001
    digest = hashlib.sha256(b"x" * size).hexdigest()

    down = [client.get(f"/{kind}/{size}") for kind in ("bytes", "chunked")]
    up = client.post("/upload", content=(b"x" * 1000 for _ in range(3000))).json()

    assert [hashlib.sha256(answer.content).hexdigest() for answer in down] == [digest, digest]
    assert [answer.headers.get("content-length") for answer in down] == [str(size), None]
    assert up == {"bytes": 3_000_000, "sha256": hashlib.sha256(b"x" * 3_000_000).hexdigest()}
    assert (upstream.requests[-1].body_length, len(upstream.requests[-1].body)) == (3_000_000, 1 << 20)


def test_credential_comes_back_in_every_place(client: httpx.Client) -> None:
    """The routes that leak do so where they say."""
    echo = client.put("/echo?a=b", headers={**BEARER, "x-api-key": KEY}, content="hi")
    split = client.get("/split?at=7", headers=BEARER)
    with client.stream("GET", "/gzip", headers={**BEARER, "Accept-Encoding": "identity"}) as zipped:
        raw = b"".join(zipped.iter_raw())
    drip = client.get("/drip", headers=BEARER)

    assert (echo.headers["x-echo-authorization"], echo.headers["x-echo-api-key"]) == (f"Bearer {KEY}", KEY)
    assert ["x-api-key", KEY] in echo.json()["headers"]
    assert (echo.json()["target"], echo.json()["body"]) == ("/echo?a=b", "hi")
    assert split.text == f"before {KEY} after"
    assert gzip.decompress(raw) == f"credential: Bearer {KEY}\n".encode()
    assert client.get("/redirect", headers=BEARER).headers["location"].endswith(f"=Bearer {KEY}")
    assert drip.text == "".join(f"data: {i} Bearer {KEY}\n\n" for i in range(5))


@pytest.mark.parametrize("code", [102, 200, 204, 304, 404, 503])
def test_status(client: httpx.Client, code: int) -> None:
    """Any status can be had; one below 200 is followed by the final answer."""
    assert client.get(f"/status/{code}").status_code == max(code, 200)
    assert client.head(f"/status/{code}").status_code == max(code, 200)
    assert client.get("/nowhere").status_code == 404


@pytest.mark.parametrize("path", ["/close", "/garbage"])
def test_answers_that_are_none(client: httpx.Client, path: str) -> None:
    """A connection that closes or talks nonsense is a protocol error."""
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(path)


def test_custom_route_and_auth(upstream: Upstream, client: httpx.Client) -> None:
    """A handler writes its own bytes and keeps the connection if it says so."""

    async def handler(received: Received, send: Send) -> bool:
        await send(b"HTTP/1.1 200 Fine\r\nContent-Length: 2\r\n\r\n")
        await send(received.body)
        return True

    upstream.route("POST", "/custom", handler)
    upstream.require_auth = lambda received: received.authorization == f"Bearer {KEY}"

    answers = [client.post("/custom", content="ok", headers=BEARER) for _ in range(2)]

    assert [(a.reason_phrase, a.text) for a in answers] == [("Fine", "ok")] * 2
    assert {r.connection for r in upstream.requests} == {1}
    assert client.get("/v1/models").json()["error"]["code"] == "invalid_api_key"
    assert client.post("/v1/messages").json()["error"]["type"] == "authentication_error"


def test_openai_sdk(upstream: Upstream, trust: ssl.SSLContext) -> None:
    """The real SDK reads all answers, and a stream comes in pieces."""
    openai = pytest.importorskip("openai")
    with openai.OpenAI(
        api_key=KEY,
        base_url=f"https://127.0.0.1:{upstream.port}/v1",
        http_client=openai.DefaultHttpxClient(verify=trust, trust_env=False),
    ) as api:
        ask = {"model": "gpt-test", "messages": [{"role": "user", "content": "hi"}]}
        whole = api.chat.completions.create(**ask)
        times, text = [], ""
        for chunk in api.chat.completions.create(**ask, stream=True):
            times.append(time.monotonic())
            text += chunk.choices[0].delta.content or ""
        answer = api.responses.create(model="gpt-test", input="hi")
        steps = list(api.responses.create(model="gpt-test", input="hi", stream=True))
        models = [model.id for model in api.models.list()]

    assert whole.choices[0].message.content == text == answer.output_text == vendors.TEXT
    assert steps[-1].response.output_text == vendors.TEXT
    assert times[-1] - times[0] > upstream.sse_gap * 3
    assert "gpt-test" in models
    assert upstream.requests[0].sni is None
    assert json.loads(upstream.requests[0].body)["model"] == "gpt-test"


def test_anthropic_sdk(upstream: Upstream, trust: ssl.SSLContext) -> None:
    """The real SDK reads the message, whole and streamed."""
    anthropic = pytest.importorskip("anthropic")
    upstream.sse_gap = 0.0
    with anthropic.Anthropic(
        api_key=KEY,
        base_url=f"https://localhost:{upstream.port}",
        http_client=anthropic.DefaultHttpxClient(verify=trust, trust_env=False),
    ) as api:
        ask = {"model": "claude-test", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
        whole = api.messages.create(**ask)
        with api.messages.stream(**ask) as stream:
            text = "".join(stream.text_stream)
            final = stream.get_final_message()

    assert whole.content[0].text == text == vendors.TEXT
    assert (final.stop_reason, final.usage.output_tokens) == ("end_turn", len(vendors.WORDS))


def test_certificate_of_choice() -> None:
    """The certificate can name other hosts than those served."""
    with Upstream("api.openai.com", cert_hosts=["elsewhere.example"]) as server:
        trust = ssl.create_default_context(cadata=server.ca_pem.decode())
        with (
            socket.create_connection(("127.0.0.1", server.port)) as plain,
            pytest.raises(ssl.SSLCertVerificationError),
        ):
            trust.wrap_socket(plain, server_hostname="api.openai.com")

    assert server.connect_to() == ["--connect-to", f"api.openai.com:443:127.0.0.1:{server.port}"]
