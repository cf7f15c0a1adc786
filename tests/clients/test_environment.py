"""What a program finds around itself, from `seks run` and from `seks env`."""

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.clients.agent import Agent, python
from tests.clients.conftest import INTRANET, NODE
from tests.support.upstream import Upstream

pytestmark = pytest.mark.clients

CURL = 'curl -sS --fail-with-body --max-time 25 -H "Authorization: Bearer $OPENAI_API_KEY" https://api.openai.com/echo'
PRINT_ENVIRON = "for (const [name, value] of Object.entries(process.env)) process.stdout.write(`${name}=${value}\\0`)"
URLS = [f"https://{INTRANET}/v1/models", "https://api.openai.com/v1/models"]
#: Commands that print the status of every URL that follows.
STATUS = {
    "curl": ["curl", "-sS", "--max-time", "25", "-o", os.devnull, "-o", os.devnull, "-w", "%{http_code}\\n"],
    "httpx": python("status", "httpx"),
    "urllib": python("status", "urllib"),
    "node": ["node", str(NODE / "status.mjs")],
}
#: What a shell adds by itself.
SHELL = {"PATH", "HOME", "PWD", "OLDPWD", "SHLVL", "_"}

needs_curl = pytest.mark.skipif(not shutil.which("curl"), reason="no curl on the PATH")


def parse(environ: str) -> dict[str, str]:
    """Read what the kernel, or `env -0`, says."""
    return dict(line.split("=", 1) for line in environ.split("\0") if line)


@pytest.fixture
def parent(agent: Agent, intranet: Upstream) -> dict[str, str]:
    """An operator's environment: keys, a CA of the house, a proxy that doesn't answer."""
    return {
        "OPENAI_API_KEY": "sk-FAKE-the-operators-own",
        "ANTHROPIC_AUTH_TOKEN": "sk-FAKE-the-operators-other-one",
        "NOTES": f"the key is {agent.office.keys['openai']}",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "no_proxy": "*",
        "SSL_CERT_FILE": str(intranet.write_ca(agent.folder / "house-ca.pem")),
        "NODE_OPTIONS": "--no-warnings",
        "LANG": "C.UTF-8",
    }


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="no /proc/self/environ")
@pytest.mark.parametrize("surrounded", [False, True], ids=["clean", "in an operator's"])
def test_run(agent: Agent, parent: dict[str, str], surrounded: bool) -> None:
    """A process has the tokens, and no key, in the environment that the kernel knows of."""
    environ = parse(agent.run("cat", "/proc/self/environ", parent=parent if surrounded else None))

    assert environ["OPENAI_API_KEY"] == agent.office.tokens["openai"]
    assert environ["GH_TOKEN"] == environ["GITHUB_TOKEN"] == agent.office.tokens["github"]
    assert environ["HTTPS_PROXY"] == environ["https_proxy"]
    assert environ["HTTPS_PROXY"].endswith(f"@127.0.0.1:{agent.proxy.port}")
    assert environ["NO_PROXY"] == environ["no_proxy"] == "localhost,127.0.0.1,::1"
    assert not any("FAKE" in value for value in environ.values())
    assert not environ.keys() & {"ANTHROPIC_AUTH_TOKEN", "NOTES", "SEKS_HOME"}
    assert environ.get("LANG") == ("C.UTF-8" if surrounded else None)
    assert environ["NODE_OPTIONS"].startswith("--no-warnings --require " if surrounded else "--require ")
    assert agent.errors == (
        "seks: note: kept out of the environment: ANTHROPIC_AUTH_TOKEN, NOTES\n" if surrounded else ""
    )


def test_operators_key_is_not_used(agent: Agent, parent: dict[str, str]) -> None:
    """A client that is started among an operator's keys uses the vault's."""
    answer = agent.run(*python("openai_sdk", "models"), parent=parent)

    assert json.loads(answer) == ["gpt-test", "claude-test"]
    (received,) = agent.used("openai")
    assert received.authorization == f"Bearer {agent.office.keys['openai']}"


@pytest.mark.parametrize("client", ["curl", "httpx", "urllib", "node"])
def test_trust_is_merged(agent: Agent, parent: dict[str, str], intranet: Upstream, client: str) -> None:
    """The CA of the house, which `parent` names, counts beside SEKS's: at a host that isn't intercepted."""
    command = STATUS[client]
    if not shutil.which(command[0]):
        pytest.skip(f"no {client} on the PATH")
    intranet.clear()

    output = agent.run(*command, *URLS, parent=parent)

    assert output.split() == ["200", "200"]
    assert [received.sni for received in intranet.requests] == [INTRANET]
    assert [received.sni for received in agent.upstream.requests] == ["api.openai.com"]


def test_foreign_trust_is_not_made_up(agent: Agent, intranet: Upstream) -> None:
    """Without the operator's CA, the host that isn't intercepted is not trusted."""
    with pytest.raises(AssertionError, match="CERTIFICATE_VERIFY_FAILED"):
        agent.run(*STATUS["urllib"], URLS[0])


@needs_curl
def test_shell(agent: Agent) -> None:
    """`seks env` makes an agent's environment of a plain shell."""
    (agent.folder / "env.sh").write_text(agent.office.seks("env"))

    answer = json.loads(agent.run_bare("sh", "-c", f". ./env.sh; {CURL}"))

    agent.used("openai")
    assert dict(answer["headers"])["Authorization"] == f"Bearer {agent.office.tokens['openai']}"


@pytest.mark.parametrize(
    ("form", "reader"),
    [
        ("sh", ["sh", "-c", ". ./agent.env; exec env -0"]),
        ("dotenv", ["sh", "-c", "set -a; . ./agent.env; exec env -0"]),
        ("dotenv", ["node", "--env-file=agent.env", "-e", PRINT_ENVIRON]),
        ("docker", []),
    ],
    ids=["sh", "dotenv in sh", "dotenv in node", "docker"],
)
def test_formats(agent: Agent, form: str, reader: list[str]) -> None:
    """Every format says the same as JSON does, to those who read it."""
    if reader and not shutil.which(reader[0]):
        pytest.skip(f"no {reader[0]} on the PATH")
    expected = json.loads(agent.office.seks("env", "--format", "json"))
    text = agent.office.seks("env", "--format", form)
    (agent.folder / "agent.env").write_text(text)

    # What Docker does with a line is split it at the first "=".
    output = agent.run_bare(*reader) if reader else text.replace("\n", "\0")

    assert parse(output).items() >= expected.items()
    assert not parse(output).keys() - expected.keys() - SHELL
    assert "Ann's files" in expected["SSL_CERT_FILE"]
    assert expected.keys() >= {"OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GITHUB_TOKEN", "HTTPS_PROXY"}
