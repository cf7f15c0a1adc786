"""git over HTTPS, which begins without a credential and waits for the 401."""

import os
import shutil
import subprocess
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

import pytest

from tests.clients.agent import Agent
from tests.support.raw import basic
from tests.support.upstream import Received, Send

pytestmark = [pytest.mark.clients, pytest.mark.skipif(not shutil.which("git"), reason="no git on the PATH")]

PATH = "/agents/tools.git"
HELPER = "!f() { echo username=x-access-token; echo password=$GITHUB_TOKEN; }; f"


def git(folder: Path, *words: str) -> str:
    """Run git in a folder, without anybody's configuration."""
    config = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    who = ["-c", "user.name=Nobody", "-c", "user.email=nobody@example.com"]
    result = subprocess.run(
        ["git", *who, *words], cwd=folder, env={**os.environ, **config}, capture_output=True, text=True, check=True
    )
    return result.stdout.strip()


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bare repository with one file, ready for the protocol that needs no git on the server's side."""
    folder = tmp_path_factory.mktemp("git")
    work, bare = folder / "work", folder / "tools.git"
    git(folder, "init", "--quiet", "--initial-branch=main", str(work))
    (work / "README").write_text("Behind the 401.\n")
    git(work, "add", "README")
    git(work, "commit", "--quiet", "--message=Begin")
    git(folder, "clone", "--quiet", "--bare", str(work), str(bare))
    git(bare, "update-server-info")
    return bare


@pytest.fixture
def clone(agent: Agent, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Runs git as an agent, with the repository at github.com for those who have the key."""
    expected = basic(f"x-access-token:{agent.office.keys['github']}")

    def serve(content: bytes) -> Callable[[Received, Send], object]:
        async def answer(received: Received, send: Send) -> bool:
            status, body = (HTTPStatus.OK, content)
            if received.authorization != expected:
                status, body = (HTTPStatus.UNAUTHORIZED, b"")
            challenge = "" if body else 'WWW-Authenticate: Basic realm="GitHub"\r\n'
            head = f"HTTP/1.1 {status} {status.phrase}\r\n{challenge}Content-Length: {len(body)}\r\n\r\n"
            await send(head.encode() + body)
            return True

        return answer

    for path in repository.rglob("*"):
        if path.is_file():
            place = f"{PATH}/{path.relative_to(repository).as_posix()}"
            monkeypatch.setitem(agent.upstream._routes, ("GET", place), serve(path.read_bytes()))
    return lambda command: agent.run("sh", "-c", command, parent={"GIT_TERMINAL_PROMPT": "0"})


def swapped(agent: Agent) -> list[Received]:
    """Assert that the first request came without a credential and all later ones with the real one; gives those."""
    first, *later = agent.upstream.requests
    pair = basic(f"x-access-token:{agent.office.keys['github']}")
    assert first.header("authorization") is None
    assert later
    for received in later:
        assert (received.sni, received.authorization) == ("github.com", pair)
        assert received.raw_head.count(pair.encode()) == 1
    agent.recorded("github", host="github.com", times=len(later))
    return later


def test_token_in_the_url(agent: Agent, clone: Callable[..., str], repository: Path) -> None:
    """The challenge reaches git, and the token in its answer to that goes out as the credential."""
    output = clone(f"git ls-remote https://x-access-token:$GITHUB_TOKEN@github.com{PATH}")

    head = git(repository, "rev-parse", "main")
    assert output.splitlines() == [f"{head}\tHEAD", f"{head}\trefs/heads/main"]
    second, *_ = swapped(agent)
    assert second.target == agent.upstream.requests[0].target == f"{PATH}/info/refs?service=git-upload-pack"


def test_credential_helper(agent: Agent, clone: Callable[..., str], repository: Path) -> None:
    """A clone with what a credential helper says is complete, and holds the token at most."""
    clone(f"git -c credential.helper='{HELPER}' clone --quiet https://github.com{PATH} tools")

    tools = agent.folder / "tools"
    assert (tools / "README").read_text("utf-8") == "Behind the 401.\n"
    assert git(tools, "rev-parse", "HEAD") == git(repository, "rev-parse", "main")
    assert len(swapped(agent)) > 3
    agent.office.assert_no_leak(*(path.read_bytes() for path in tools.rglob("*") if path.is_file()))
