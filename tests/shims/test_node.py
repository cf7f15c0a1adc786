"""The Node preload sends TLS connections through the proxy, whatever client makes them."""

import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.shims.connect_proxy import ConnectProxy
from tests.support.upstream import Upstream

SHIM = Path(__file__).parents[2] / "cli" / "seks_cli" / "shims" / "node.cjs"
NODE = shutil.which("node")
HOST = "api.openai.com"
KEY = "sk-test-not-a-real-key-0000000000000000"

pytestmark = [pytest.mark.clients, pytest.mark.skipif(NODE is None, reason="no node on the PATH")]


class RunNode(Protocol):
    """Runs an ES module that ends by itself; returns what it printed."""

    def __call__(self, script: str, **env: str) -> str:
        """Run `script` with more environment."""


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """The server behind the proxy."""
    with Upstream(HOST) as server:
        yield server


@pytest.fixture
def proxy(upstream: Upstream) -> Iterator[ConnectProxy]:
    """The proxy."""
    with ConnectProxy(upstream.port) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def node(upstream: Upstream, proxy: ConnectProxy, tmp_path: Path) -> RunNode:
    """Node with the preload, the proxy and the CA in its environment."""
    base = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "HTTPS_PROXY": proxy.url("agent:s3cret@"),
        "NO_PROXY": "localhost,127.0.0.1,::1",
        "NODE_EXTRA_CA_CERTS": str(upstream.write_ca(tmp_path / "ca.pem")),
        "NODE_OPTIONS": f'--require "{SHIM}"',
    }

    def run(script: str, **env: str) -> str:
        command = [NODE or "", "--input-type=module", "--eval", script]
        done = subprocess.run(
            command, env=base | env, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return done.stdout.strip()

    return run


CLIENTS = {
    "fetch": f"console.log((await fetch('https://{HOST}/v1/models')).status)",
    "https": f"""
        import https from 'https';
        https.get('https://{HOST}/v1/models', (m) => {{ console.log(m.statusCode); m.resume(); }});
    """,
    "https without agent": f"""
        import {{ get }} from 'node:https';
        get({{ host: '{HOST}', path: '/v1/models', agent: false }}, (m) => {{
          console.log(m.statusCode); m.resume(); }});
    """,
    "tls.connect(options)": f"""
        import tls from 'tls';
        const s = tls.connect({{ host: '{HOST}', port: 443 }});
        s.once('secureConnect', () => s.write('GET /v1/models HTTP/1.0\\r\\n\\r\\n'));
        s.once('data', (d) => console.log(String(d).split(' ')[1]));
    """,
    "tls.connect(port, host, options, callback)": f"""
        import {{ connect }} from 'tls';
        const s = connect(443, '{HOST}', {{ ALPNProtocols: ['http/1.1'] }}, () =>
          s.authorized && s.write('GET /v1/models HTTP/1.0\\r\\n\\r\\n'));
        s.once('data', (d) => console.log(String(d).split(' ')[1]));
    """,
    "worker thread": f"""
        import {{ Worker }} from 'worker_threads';
        new Worker("fetch('https://{HOST}/v1/models').then((r) => console.log(r.status))", {{ eval: true }});
    """,
}


@pytest.mark.parametrize("client", CLIENTS)
def test_client_goes_through_the_proxy(node: RunNode, proxy: ConnectProxy, upstream: Upstream, client: str) -> None:
    """One CONNECT with the agent's credentials, the name in SNI, and the process ends by itself."""
    assert node(CLIENTS[client]) == "200"

    assert proxy.targets == [f"{HOST}:443"]
    assert proxy.credentials == ["agent:s3cret"]
    assert [r.sni for r in upstream.requests] == [HOST]


def test_http2(node: RunNode, proxy: ConnectProxy, upstream: Upstream, tmp_path: Path) -> None:
    """http2.connect works through the tunnel, several streams at a time."""
    pem = tmp_path / "leaf.pem"
    upstream.ca.issue_cert("h2.example").private_key_and_cert_chain_pem.write_to_path(str(pem))

    said = node(f"""
        import http2 from 'http2'; import fs from 'fs';
        const pem = fs.readFileSync({json.dumps(str(pem))});
        const server = http2.createSecureServer({{ key: pem, cert: pem }});
        server.on('stream', (s, h) => {{ s.respond({{ ':status': 200 }}); s.end(h[':path'].repeat(50000)); }});
        server.listen(0, '127.0.0.1', async () => {{
          const session = http2.connect(`https://h2.example:${{server.address().port}}`);
          const sizes = await Promise.all(['/a', '/b'].map((path) => new Promise((resolve) => {{
            let n = 0;
            session.request({{ ':path': path }}).on('data', (d) => (n += d.length)).on('end', () => resolve(n));
          }})));
          session.close(); server.close(); console.log(sizes.join());
        }});
    """)

    assert said == "100000,100000"
    assert len(proxy.targets) == 1


def test_keep_alive_and_exit(node: RunNode, proxy: ConnectProxy, upstream: Upstream) -> None:
    """A connection is used again, and an idle one neither holds the process nor stays open."""
    started = time.monotonic()

    node(f"""
        import https from 'https';
        const agent = new https.Agent({{ keepAlive: true }});
        const get = () => new Promise((resolve) => https.get('https://{HOST}/v1/models', {{ agent }},
          (m) => m.resume().on('end', () => setTimeout(resolve, 50))));
        await get(); await get();
        for (let i = 0; i < 4; i++) await (await fetch('https://{HOST}/v1/models')).text();
    """)

    assert len(upstream.requests) == 6
    assert len(proxy.targets) == len({r.connection for r in upstream.requests}) <= 3  # fetch opens two without us, too
    assert time.monotonic() - started < 3
    assert settled(proxy)


def test_bytes_survive(node: RunNode) -> None:
    """Large bodies arrive whole both ways, at the pace of the slower side."""
    said = node(f"""
        import {{ createHash }} from 'crypto'; import https from 'https';
        const digest = (data) => createHash('sha256').update(data).digest('hex');
        const size = 20_000_003, want = digest(Buffer.alloc(size, 'x'));
        const down = await (await fetch('https://{HOST}/chunked/' + size)).arrayBuffer();
        const body = Buffer.alloc(size, 'x');
        const up = await (await fetch('https://{HOST}/upload', {{ method: 'POST', body }})).json();
        const slow = await new Promise((resolve) => https.get('https://{HOST}/bytes/' + size, (m) => {{
          const hash = createHash('sha256');
          m.pause(); setTimeout(() => m.resume(), 300);
          m.on('data', (d) => hash.update(d)).on('end', () => resolve(hash.digest('hex')));
        }}));
        console.log(digest(Buffer.from(down)) === want, up.sha256 === want, slow === want);
    """)

    assert said == "true true true"


def test_paused_reader_holds_the_upstream(node: RunNode) -> None:
    """A gigabyte that nobody reads isn't buffered."""
    said = node(f"""
        import https from 'https';
        https.get('https://{HOST}/bytes/1000000000', (m) => {{
          m.pause();
          setTimeout(() => {{ console.log(process.memoryUsage().rss < 200e6); m.destroy(); }}, 700);
        }});
    """)

    assert said == "true"


def test_stream_arrives_as_it_is_sent(node: RunNode) -> None:
    """Events are not held back."""
    said = node(f"""
        const times = [];
        const answer = await fetch('https://{HOST}/drip', {{ headers: {{ authorization: 'Bearer {KEY}' }} }});
        for await (const _ of answer.body) times.push(performance.now());
        console.log(times.length, Math.round(times.at(-1) - times[0]));
    """)

    pieces, spread = map(int, said.split())
    assert pieces >= 5
    assert spread > 600


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("header.example", "403 egress_denied"),
        ("body.example", "403 host_not_allowed"),
        ("plain.example", "502"),
        ("number.example", "407"),
        ("close.example", "no HTTP answer"),
    ],
)
def test_refusal_says_why(node: RunNode, proxy: ConnectProxy, host: str, said: str) -> None:
    """The error of the client has the status and the code of the proxy."""
    script = f"""
        import https from 'https';
        await fetch('https://{host}/').catch((e) => console.log(e.cause.message));
        https.get('https://{host}/').on('error', (e) => console.log(e.message, e.code));
    """

    first, second = node(script).splitlines()

    assert first == f"proxy refused CONNECT {host}:443: {said}"
    assert second == f"{first} ERR_PROXY_TUNNEL"
    assert settled(proxy)


def test_unreachable_proxy(node: RunNode) -> None:
    """A proxy that isn't there is named in the error, without its password."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]

    said = node(
        f"await fetch('https://{HOST}/').catch((e) => console.log(e.cause.message))",
        HTTPS_PROXY=f"http://agent:s3cret@127.0.0.1:{port}",
    )

    assert said == f"proxy 127.0.0.1:{port}: connect ECONNREFUSED 127.0.0.1:{port}"


def test_destroyed_while_connecting(node: RunNode, proxy: ConnectProxy) -> None:
    """A client that gives up on a silent proxy closes the connection to it."""
    said = node("""
        import https from 'https'; import tls from 'tls';
        const request = https.get('https://silent.example/', { timeout: 100 });
        request.on('timeout', () => request.destroy(new Error('gave up')));
        request.on('error', (e) => console.log(e.message));
        const socket = tls.connect(443, 'silent.example');
        socket.on('close', () => console.log('closed'));
        setTimeout(() => socket.destroy(), 200);
    """)

    assert said == "gave up\nclosed"
    assert settled(proxy)


def test_untrusted_certificate_is_refused(node: RunNode) -> None:
    """The certificate is still checked, for the host that was asked for."""
    said = node("await fetch('https://other.example/').catch((e) => console.log(e.cause.code))")

    assert said == "ERR_TLS_CERT_ALTNAME_INVALID"


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_loopback_is_direct(node: RunNode, proxy: ConnectProxy, upstream: Upstream, name: str) -> None:
    """Connections to this machine don't go to the proxy, with or without NO_PROXY."""
    said = node(f"console.log((await fetch('https://{name}:{upstream.port}/v1/models')).status)", NO_PROXY="")

    assert said == "200"
    assert proxy.targets == []


@pytest.mark.parametrize(
    ("no_proxy", "is_direct"),
    [
        ("*", True),
        (HOST, True),
        ("elsewhere.example, openai.com", True),
        (".openai.com", True),
        ("*.openai.com", True),
        (f"{HOST}:443", True),
        (f"{HOST}:444", False),
        ("penai.com", False),
        ("[::1],fd00::/8,10.0.0.0/x,::/999", False),
    ],
)
def test_no_proxy(node: RunNode, proxy: ConnectProxy, no_proxy: str, *, is_direct: bool) -> None:
    """NO_PROXY takes names, suffixes and ports; what makes no sense is passed over."""
    said = node(
        f"""
        import https from 'https';
        const lookup = (host, options, callback) => callback(new Error('direct'));
        https.get('https://{HOST}/v1/models', {{ lookup }}, (m) => {{ m.resume(); console.log('proxied'); }})
          .on('error', (e) => console.log(e.message));
        """,
        NO_PROXY=no_proxy,
    )

    assert said == ("direct" if is_direct else "proxied")
    assert len(proxy.targets) == (0 if is_direct else 1)


@pytest.mark.parametrize("value", ["", "http://[", "socks5://127.0.0.1:1"])
def test_without_a_proxy_nothing_changes(node: RunNode, upstream: Upstream, value: str) -> None:
    """No variable, or one that isn't for us, leaves Node as it was."""
    script = f"""
        import https from 'https';
        const lookup = (host, options, callback) => callback(null, [{{ address: '127.0.0.1', family: 4 }}]);
        https.get('https://{HOST}:{upstream.port}/v1/models', {{ lookup, autoSelectFamily: true }},
          (m) => {{ m.resume(); console.log(m.statusCode); }});
    """

    assert node(script, HTTPS_PROXY=value) == "200"


def test_password_is_decoded(node: RunNode, proxy: ConnectProxy) -> None:
    """Percent-encoded userinfo goes out decoded; the lower-case variable comes first."""
    node(CLIENTS["fetch"], https_proxy=proxy.url("team%2Fagent:p%40s%3As@"), HTTPS_PROXY="http://127.0.0.1:1")

    assert proxy.credentials == ["team/agent:p@s:s"]


def test_loaded_twice(node: RunNode, proxy: ConnectProxy, tmp_path: Path) -> None:
    """A second copy of the preload makes no tunnel in the tunnel."""
    copy = shutil.copy(SHIM, tmp_path / "copy.cjs")

    assert node(CLIENTS["fetch"], NODE_OPTIONS=f'--require "{SHIM}" --require "{copy}"') == "200"

    assert proxy.targets == [f"{HOST}:443"]


def test_given_socket_is_left_alone(node: RunNode, proxy: ConnectProxy, upstream: Upstream) -> None:
    """TLS over a socket that the program brings, as proxy agents do, is not tunnelled again."""
    said = node(f"""
        import net from 'net'; import tls from 'tls';
        const socket = net.connect({upstream.port}, '127.0.0.1', () => {{
          const secure = tls.connect({{ socket, servername: '{HOST}', host: '{HOST}', port: 443 }}, () => {{
            console.log(secure.authorized); secure.destroy(); }});
        }});
    """)

    assert said == "true"
    assert proxy.targets == []


def settled(proxy: ConnectProxy) -> bool:
    """Whether the proxy has no connections left, soon."""
    deadline = time.monotonic() + 5
    while proxy.live and time.monotonic() < deadline:
        time.sleep(0.01)
    return proxy.live == 0
