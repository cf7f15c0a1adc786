"""Clients that speak HTTP/2, before a host that speaks it and one that doesn't."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.agent import PROGRAMS, Agent, Office
from tests.support.h2site import H2Site
from tests.support.proxy import Proxy
from tests.support.upstream import Upstream

pytestmark = pytest.mark.clients

H1HOST, H2HOST = "api.anthropic.com", "api.openai.com"
NODE = Path(__file__).with_name("node")
AUTHORIZATION = "authorization: Bearer $OPENAI_API_KEY"


@pytest.fixture(scope="module")
def host() -> Iterator[H2Site]:
    """A host that speaks HTTP/2."""
    with H2Site(H2HOST) as server:
        yield server


@pytest.fixture(scope="module")
def office(folder: Path) -> Office:
    """The operator's home."""
    return Office(folder / "http2")


@pytest.fixture(scope="module")
def proxy(office: Office, host: H2Site, upstream: Upstream, folder: Path) -> Iterator[Proxy]:
    """A proxy that speaks HTTP/2."""
    reach = [*host.connect_to(), "--upstream-ca", str(host.write_ca(folder / "h2-ca.pem"))]
    reach += ["--connect-to", f"{H1HOST}:443:127.0.0.1:{upstream.port}"]
    reach += ["--upstream-ca", str(upstream.write_ca(folder / "h1-ca.pem"))]
    with Proxy(office, "--http2", *reach) as running:
        yield running


@pytest.fixture
def agent(office: Office, proxy: Proxy, upstream: Upstream, host: H2Site, tmp_path: Path) -> Agent:
    """An agent with a home folder of its own."""
    host.clear()
    return Agent(office, proxy, upstream, tmp_path)


def curl_speaks_http2() -> bool:
    """Whether there is a curl, and built for it."""
    curl = shutil.which("curl")
    return (
        curl is not None and "HTTP2" in subprocess.run([curl, "-V"], capture_output=True, text=True, check=True).stdout
    )


@pytest.mark.skipif(not curl_speaks_http2(), reason="no curl that speaks HTTP/2 on the PATH")
@pytest.mark.parametrize(("protocol", "version"), [("--http2", "2"), ("--http1.1", "1.1")])
def test_curl(agent: Agent, host: H2Site, protocol: str, version: str) -> None:
    """curl gets the protocol that it asks for, whatever the host speaks."""
    words = f"-sS --fail-with-body {protocol} -d say=hello -w '\\n%{{http_version}}'"
    output = agent.run("sh", "-c", f'curl {words} -H "{AUTHORIZATION}" https://{H2HOST}/echo')

    body, _, spoken = output.rpartition("\n")
    (received,) = host.requests
    assert spoken == version
    assert received.authorization == f"Bearer {agent.office.keys['openai']}"
    assert received.body == b"say=hello"
    assert dict(json.loads(body)["fields"])["authorization"] == f"Bearer {agent.office.tokens['openai']}"
    agent.recorded("openai", host=H2HOST)


@pytest.mark.skipif(not curl_speaks_http2(), reason="no curl that speaks HTTP/2 on the PATH")
def test_curl_in_parallel(agent: Agent) -> None:
    """Many requests over one connection, before a host that speaks HTTP/1.1."""
    words = "-sS --fail-with-body --http2 --parallel --parallel-max 30"
    urls = " ".join(f"-o /dev/null https://{H1HOST}/chunked/100000" for _ in range(30))
    agent.run("sh", "-c", f'curl {words} -H "x-api-key: $ANTHROPIC_API_KEY" {urls}')

    agent.used("anthropic", times=30)


@pytest.mark.parametrize("secret", ["openai", "anthropic"])
def test_httpx(agent: Agent, host: H2Site, secret: str) -> None:
    """httpx with its `http2` extra: twenty requests at once."""
    answer = json.loads(agent.run(sys.executable, str(PROGRAMS / "httpx_http2.py"), secret))

    assert answer == {"versions": ["HTTP/2"], "statuses": [200], "count": 20}
    if secret == "openai":
        assert {r.authorization for r in host.requests} == {f"Bearer {agent.office.keys[secret]}"}
        agent.recorded(secret, host=H2HOST, times=20)
    else:
        agent.used(secret, times=20)


def test_node(agent: Agent, host: H2Site, node: str) -> None:
    """Node's own HTTP/2, which knows no proxy, over a tunnel that the program asks for."""
    output = json.loads(agent.run(node, str(NODE / "http2.mjs")))

    (received,) = host.requests
    assert output["status"] == 200
    assert output["trailers"]["x-echo"] == f"Bearer {agent.office.tokens['openai']}"
    assert received.authorization == f"Bearer {agent.office.keys['openai']}"
    agent.recorded("openai", host=H2HOST)
