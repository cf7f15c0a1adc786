"""gRPC: a real client, through the proxy, to a real server."""

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import trustme

from tests.clients.agent import PROGRAMS, Agent, Office
from tests.support.proxy import Proxy
from tests.support.upstream import Upstream

grpc = pytest.importorskip("grpc")

pytestmark = pytest.mark.clients

HOST = "grpc.example.com"


class Echo(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Repeats what it is sent, and the credential in its trailing metadata and its errors."""

    def __init__(self) -> None:
        self.seen: list[dict[str, str]] = []

    def service(self, details: "grpc.HandlerCallDetails") -> "grpc.RpcMethodHandler":
        metadata = dict(details.invocation_metadata)
        self.seen.append(metadata)
        key = metadata.get("authorization") or metadata.get("x-goog-api-key", "")

        def behind(context: "grpc.ServicerContext") -> None:
            context.set_trailing_metadata((("x-seen", key),))

        def unary(request: bytes, context: "grpc.ServicerContext") -> bytes:
            behind(context)
            return request

        def server(request: bytes, context: "grpc.ServicerContext") -> Iterator[bytes]:
            behind(context)
            for number in range(5):
                yield request + b" %d" % number

        def bidi(requests: Iterator[bytes], context: "grpc.ServicerContext") -> Iterator[bytes]:
            behind(context)
            yield from requests

        def fails(_: bytes, context: "grpc.ServicerContext") -> bytes:
            behind(context)
            context.abort(grpc.StatusCode.NOT_FOUND, f"not found with {key}")
            raise AssertionError

        return {
            "/demo.Echo/Unary": grpc.unary_unary_rpc_method_handler(unary),
            "/demo.Echo/Server": grpc.unary_stream_rpc_method_handler(server),
            "/demo.Echo/Bidi": grpc.stream_stream_rpc_method_handler(bidi),
            "/demo.Echo/Fails": grpc.unary_unary_rpc_method_handler(fails),
        }[details.method]


@pytest.fixture(scope="module")
def echo() -> Echo:
    """What the server does."""
    return Echo()


@pytest.fixture(scope="module")
def office(folder: Path) -> Office:
    """A home with a secret for the server."""
    return Office(folder / "grpc")


@pytest.fixture(scope="module")
def token(office: Office) -> str:
    """A token for it, which stands in metadata."""
    key = "sk-FAKE-not-a-real-key-grpc-0009"
    placements = ["--header", "x-goog-api-key: {}", "--header", "Authorization: Bearer {}"]
    printed = office.seks(
        "vault", "add", "grpc", "--host", HOST, *placements, "--env", "GRPC_KEY", "--stdin", given=key
    )
    office.credentials.append(key)
    return printed.splitlines()[-1]


@pytest.fixture(scope="module")
def proxy(office: Office, echo: Echo, folder: Path) -> Iterator[Proxy]:
    """A proxy that speaks HTTP/2, before the server."""
    ca = trustme.CA()
    (folder / "grpc-ca.pem").write_bytes(ca.cert_pem.bytes())
    certificate = ca.issue_cert(HOST)
    pair = (certificate.private_key_pem.bytes(), b"".join(pem.bytes() for pem in certificate.cert_chain_pems))
    # It compresses for those who let it: what is compressed can't be scrubbed.
    server = grpc.server(ThreadPoolExecutor(20), handlers=[echo], options=[("grpc.default_compression_level", 3)])
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    server.start()
    try:
        reach = ["--connect-to", f"{HOST}:443:127.0.0.1:{port}", "--upstream-ca", str(folder / "grpc-ca.pem")]
        with Proxy(office, "--http2", *reach) as running:
            yield running
    finally:
        server.stop(None).wait()


@pytest.fixture
def agent(office: Office, proxy: Proxy, upstream: Upstream, tmp_path: Path) -> Agent:
    """An agent with a home folder of its own."""
    return Agent(office, proxy, upstream, tmp_path)


@pytest.mark.parametrize("place", ["bearer", "header"])
@pytest.mark.parametrize(
    ("kind", "messages"),
    [
        ("unary", ["hello"]),
        ("server", [f"hello {number}" for number in range(5)]),
        ("bidi", [str(number) for number in range(5)]),
        ("fails", []),
        ("many", [str(number) for number in range(200)]),
    ],
)
def test_calls(agent: Agent, echo: Echo, token: str, kind: str, place: str, messages: list[str]) -> None:
    """Every kind of call: the server has the credential, the client its token, in trailers and errors."""
    echo.seen.clear()

    answer = json.loads(agent.run(sys.executable, str(PROGRAMS / "grpc_client.py"), kind, place))

    key, shown = agent.office.credentials[-1], token
    if place == "bearer":
        key, shown = f"Bearer {key}", f"Bearer {shown}"
    name = "authorization" if place == "bearer" else "x-goog-api-key"
    calls = 200 if kind == "many" else 1
    assert [metadata[name] for metadata in echo.seen] == [key] * calls
    assert answer["code"] == ("NOT_FOUND" if kind == "fails" else "OK")
    assert answer["trailers"]["x-seen"] == shown
    assert answer["messages"] == messages
    agent.recorded("grpc", host=HOST, times=calls)
