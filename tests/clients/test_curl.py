"""curl, the client that people try first."""

import hashlib
import json
import shutil

import pytest

from tests.clients.agent import HOSTS, Agent

pytestmark = [pytest.mark.clients, pytest.mark.skipif(not shutil.which("curl"), reason="no curl on the PATH")]

SIZE = 20_000_000
AUTHORIZATION = "Authorization: Bearer $OPENAI_API_KEY"


def curl(words: str) -> list[str]:
    """curl, in a shell that fills the variables in."""
    return ["sh", "-c", f"curl -sS --fail-with-body --max-time 25 {words}"]


@pytest.mark.parametrize(
    ("secret", "header"),
    [
        ("openai", AUTHORIZATION),
        ("anthropic", "x-api-key: $ANTHROPIC_API_KEY"),
        ("github", "Authorization: token $GITHUB_TOKEN"),
    ],
    ids=["openai", "anthropic", "github"],
)
def test_get(agent: Agent, secret: str, header: str) -> None:
    """The credential goes out, and where the host repeats it, the token comes back."""
    answer = json.loads(agent.run(*curl(f'-H "{header}" https://{HOSTS[secret]}/echo')))

    name, _, value = header.partition(": ")
    (received,) = agent.used(secret)
    scheme = value.partition("$")[0]
    assert received.header(name) == scheme + agent.office.keys[secret]
    assert dict(answer["headers"])[name] == scheme + agent.office.tokens[secret]


def test_post(agent: Agent) -> None:
    """A body goes out as it is."""
    answer = agent.run(*curl(f'-H "{AUTHORIZATION}" -d say=hello https://api.openai.com/echo'))

    (received,) = agent.used("openai")
    assert (received.method, received.body) == ("POST", b"say=hello")
    assert json.loads(answer)["body"] == "say=hello"


def test_upload(agent: Agent) -> None:
    """20 MB go up unchanged."""
    content = bytes(range(256)) * (SIZE // 256)
    (agent.folder / "content").write_bytes(content)

    answer = agent.run(*curl(f'-H "{AUTHORIZATION}" -T content https://api.openai.com/upload'))

    agent.used("openai")
    assert json.loads(answer) == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


@pytest.mark.parametrize("kind", ["bytes", "chunked"])
def test_download(agent: Agent, kind: str) -> None:
    """20 MB come down unchanged."""
    agent.run(*curl(f'-H "{AUTHORIZATION}" -o content https://api.openai.com/{kind}/{SIZE}'))

    agent.used("openai")
    content = (agent.folder / "content").read_bytes()
    assert hashlib.sha256(content).digest() == hashlib.sha256(b"x" * SIZE).digest()


@pytest.mark.parametrize(
    "headers",
    [f'-H "Expect: 100-continue" -H "{AUTHORIZATION}"', f'-H "{AUTHORIZATION}" -H "Expect: 100-continue"'],
    ids=["before the token", "behind the token"],
)
def test_expect_continue(agent: Agent, headers: str) -> None:
    """curl is told to go on before it sends its body, and the credential still takes the token's place."""
    options = f"-v --http1.1 --expect100-timeout 20 {headers}"

    agent.run(*curl(f"{options} -d say=hello https://api.openai.com/upload"))

    (received,) = agent.used("openai")
    assert "< HTTP/1.1 100 " in agent.errors
    assert received.authorization == f"Bearer {agent.office.keys['openai']}"
    assert received.body == b"say=hello"


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_two_on_one_connection(agent: Agent, version: str) -> None:
    """The second request takes the connection of the first, in HTTP/1.1 also where curl would rather have HTTP/2."""
    urls = "https://api.openai.com/v1/models https://api.openai.com/echo"
    report = "-o one -o two -w '%{http_version} %{num_connects}\\n'"

    connects = agent.run(*curl(f'{version} {report} -H "{AUTHORIZATION}" {urls}')).splitlines()

    first, second = agent.used("openai", times=2)
    assert connects == ["1.1 1", "1.1 0"]
    assert (first.path, second.path) == ("/v1/models", "/echo")
    assert first.connection == second.connection
    assert agent.office.tokens["openai"] in (agent.folder / "two").read_text("utf-8")
