"""One home, one proxy and one upstream for all clients; each test has an agent of its own."""

import contextlib
import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clients.agent import HOSTS, Agent, Office
from tests.clients.gate import Gate
from tests.support.proxy import Proxy
from tests.support.upstream import Upstream
from tests.support.vendors import Answer

NODE = Path(__file__).with_name("node")
INTRANET = "intranet.example.com"
UNREACHABLE = (
    r"EAI_AGAIN|ECONNREFUSED|ECONNRESET|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|ERR_SOCKET_TIMEOUT|ETIMEDOUT|E5\d\d"
)
"""What npm calls a registry that it can't talk to."""


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the home is. Every client meets the space and the quote, in the paths of certificates."""
    folder = tmp_path_factory.mktemp("clients") / "Ann's files"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    """The server that all the vendors are."""
    with Upstream(*HOSTS.values(), "github.com") as server:
        yield server


@pytest.fixture(scope="session")
def intranet() -> Iterator[Upstream]:
    """A host that the proxy doesn't intercept, with a CA of its own."""
    with Upstream(INTRANET) as server:
        yield server


@pytest.fixture(scope="session")
def office(folder: Path) -> Office:
    """The operator's home."""
    return Office(folder / "home")


@pytest.fixture(scope="session")
def proxy(office: Office, upstream: Upstream, intranet: Upstream, folder: Path) -> Iterator[Proxy]:
    """The proxy in front of the upstream."""
    options = [*upstream.connect_to(), "--upstream-ca", str(upstream.write_ca(folder / "upstream-ca.pem"))]
    with Proxy(office, *options, *intranet.connect_to(), "--tunnel", INTRANET) as running:
        yield running


@pytest.fixture
def agent(office: Office, proxy: Proxy, upstream: Upstream, tmp_path: Path) -> Agent:
    """An agent with a home folder of its own."""
    return Agent(office, proxy, upstream, tmp_path)


@pytest.fixture
def hold(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Gate]:
    """Answers at a path with the events given, all but the first `before` of which wait."""

    def hold(path: str, events: Answer, *, before: int) -> Gate:
        gate = Gate(events, before=before)
        monkeypatch.setitem(upstream._routes, ("POST", path), gate)
        return gate

    return hold


@pytest.fixture(scope="session")
def node() -> str:
    """Where Node is."""
    return shutil.which("node") or pytest.skip("no node on the PATH")


@pytest.fixture(scope="session")
def sdks(node: str, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Node programs in a folder with the packages they import, which are kept until the lock file changes."""
    digest = hashlib.sha256((NODE / "package-lock.json").read_bytes()).hexdigest()
    kept = pytestconfig.cache.mkdir("npm")
    if not (kept / digest).exists():
        work = Path(tempfile.mkdtemp(dir=kept))
        try:
            install(work)
            with contextlib.suppress(OSError):  # another run of the tests was quicker
                work.rename(kept / digest)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    folder = tmp_path_factory.mktemp("node")
    shutil.copytree(NODE, folder, dirs_exist_ok=True)
    (folder / "node_modules").symlink_to(kept / digest / "node_modules")
    return folder


def install(folder: Path) -> None:
    """Install what the lock file names, with `npm ci`; skips where there is no npm or no registry."""
    npm = shutil.which("npm") or pytest.skip("no npm on the PATH")
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(NODE / name, folder)
    options = ["--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"]
    result = subprocess.run(
        [npm, "ci", *options], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if reason := re.search(rf"npm error code ({UNREACHABLE})", result.stderr):
        pytest.skip(f"the npm registry can't be reached: {reason[1]}")
    assert result.returncode == 0, result.stderr
