"""Shows the whole way of a request with real programs, and exits 1 where anything isn't as it should be.

The upstream is a loopback server with a CA of its own that answers as the vendors do: the one part that can't
be the real thing without an account. `--connect-to` leads there; all else is as in use.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from tests.demo import agents
from tests.support.upstream import Received, Upstream

#: Obviously no real keys.
KEYS = {
    "openai": "sk-demo-not-a-real-key-0000000000000001",
    "anthropic": "sk-ant-demo-not-a-real-key-00000002",
}
BIN = Path(sys.executable).parent


class Demo:
    """A home in a temporary folder, and the checks made so far."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.failed = 0

    def seks(self, *words: str, stdin: str | None = None) -> str:
        """Run `seks` and give what it prints."""
        result = subprocess.run(
            [BIN / "seks", "--home", self.home, *words],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if result.returncode != 0:
            raise click.ClickException(f"`seks {' '.join(words)}` failed:\n{result.stderr}")
        return result.stdout

    def agent(self, *command: str) -> str:
        """Run a command as an agent, with `seks run`."""
        return self.seks("run", "--", *command)

    def check(self, claim: str, holds: bool) -> None:
        """Say whether a claim holds."""
        self.failed += not holds
        mark = click.style("✓", fg="green") if holds else click.style("✗", fg="red", bold=True)
        click.echo(f"  {mark} {claim}")

    @contextmanager
    def proxy(self, upstream: Upstream) -> Iterator[None]:
        """Run `seks-proxy` while the block lasts."""
        ready, log = self.home / "ready.json", self.home / "proxy.log"
        options = ["--listen", "127.0.0.1:0", "--ready-file", ready, *upstream.connect_to()]
        trust = ["--upstream-ca", upstream.write_ca(self.home / "upstream-ca.pem")]
        with log.open("wb") as file:
            process = subprocess.Popen(
                [BIN / "seks-proxy", "run", "--home", self.home, *options, *trust],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        try:
            deadline = time.monotonic() + 60
            while not ready.exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise click.ClickException(f"the proxy didn't start:\n{log.read_text()}")
                time.sleep(0.05)
            yield
        finally:
            process.terminate()
            process.wait(30)
            self.log = log.read_text()


def main() -> None:
    """Run the demonstration."""
    with (
        tempfile.TemporaryDirectory(prefix="seks-demo-") as folder,
        Upstream("api.openai.com", "api.anthropic.com") as upstream,
    ):
        demo = Demo(Path(folder) / "home")
        tokens = store_keys(demo)
        with demo.proxy(upstream):
            show_environment(demo, tokens)
            use_clients(demo, upstream, tokens)
            show_audit(demo)
        everywhere = demo.log + demo.seks("audit", "list", "--json")
        demo.check(
            "no real key is in the proxy's log or in the audit log",
            not any(key in everywhere for key in KEYS.values()),
        )
    click.echo()
    if demo.failed:
        click.secho(f"{demo.failed} of these are not so.", fg="red", bold=True)
        sys.exit(1)
    click.secho("All of it is so.", fg="green", bold=True)


def store_keys(demo: Demo) -> dict[str, str]:
    """Make a home and put the keys in."""
    heading("The operator stores two keys and gets a token for each")
    demo.seks("init")
    tokens = {}
    for name, key in KEYS.items():
        tokens[name] = demo.seks("vault", "add", name, "--stdin", stdin=key).splitlines()[-1]
        click.echo(f"  $ seks vault add {name}\n    {click.style(tokens[name], fg='yellow')}")
    vault = b"".join(path.read_bytes() for path in demo.home.glob("vault.db*"))
    demo.check("the vault's files hold neither key", not any(key.encode() in vault for key in KEYS.values()))
    return tokens


def show_environment(demo: Demo, tokens: dict[str, str]) -> None:
    """What an agent can see of itself."""
    heading("What the agent has")
    seen = json.loads(demo.agent(sys.executable, "-c", agents.ENVIRONMENT))
    environ: dict[str, str] = seen["environ"]
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "HTTPS_PROXY", "SSL_CERT_FILE"):
        value = environ.get(name, "(not set)")
        # The proxy's password is the agent's own; it says who asks and opens nothing.
        value = value if "@" not in value else f"http://default:…@{value.rpartition('@')[2]}"
        click.echo(f"  {name}={click.style(value, fg='yellow')}")
    demo.check("it has the tokens", environ.get("OPENAI_API_KEY") == tokens["openai"])
    demo.check("it has no key", not any(key in json.dumps(seen) for key in KEYS.values()))
    changed = [name for name in environ if name.endswith("_BASE_URL")]
    demo.check("no base URL is changed", not changed)


def use_clients(demo: Demo, upstream: Upstream, tokens: dict[str, str]) -> None:
    """Real clients with their defaults."""
    python = sys.executable
    for title, client, provider, header, command in (
        ("the openai SDK", "openai", "openai", "Authorization", [python, "-c", agents.OPENAI]),
        (
            "the openai SDK, streaming",
            "openai",
            "openai",
            "Authorization",
            [python, "-c", agents.OPENAI_STREAM],
        ),
        ("the anthropic SDK", "anthropic", "anthropic", None, [python, "-c", agents.ANTHROPIC]),
    ):
        heading(f"An agent calls an API with {title}")
        upstream.clear()
        answer = demo.agent(*command).strip()
        click.echo(f"  it gets the answer:   {answer}")
        received = upstream.requests[-1]
        shown = header or ("x-api-key" if received.header("x-api-key") else "Authorization")
        key = KEYS[provider]
        click.echo(f"  the upstream saw:     {shown}: {click.style(received.header(shown) or '(nothing)', fg='cyan')}")
        demo.check(f"{client} got its answer", bool(answer))
        demo.check("the upstream saw the key, once, and no token", is_injected(received, key, tokens[provider]))

    heading("An agent asks an endpoint that sends back what it got")
    upstream.clear()
    command = 'curl -sS -i https://api.openai.com/echo -H "Authorization: Bearer $OPENAI_API_KEY"'
    click.echo(f"  $ {command}")
    answer = demo.agent("sh", "-c", command)
    for line in answer.splitlines():
        if "uthorization" in line:
            click.echo(f"    {click.style(line[:300], fg='yellow')}")
    received = upstream.requests[-1]
    demo.check("the upstream saw the key", is_injected(received, KEYS["openai"], tokens["openai"]))
    demo.check("what came back has the token, in the header and in the body", answer.count(tokens["openai"]) == 2)
    demo.check("what came back has no key", KEYS["openai"] not in answer)


def show_audit(demo: Demo) -> None:
    """What is on record."""
    heading("What is on record")
    click.echo(demo.seks("audit", "tail", "-n", "4").rstrip())
    records = json.loads(demo.seks("audit", "list", "--json"))
    uses = [record for record in records if record["event"] == "outcome"]
    demo.check("every one of the four uses has its outcome", len(uses) == 4)
    demo.check(
        "each says who, what, when, where and how",
        all(
            all(use[name] for name in ("time", "agent", "secret", "host", "method", "path", "source_ip", "status"))
            for use in uses
        ),
    )
    demo.check("the chain of the audit log is intact", json.loads(demo.seks("audit", "verify", "--json"))["intact"])


def is_injected(received: Received, key: str, token: str) -> bool:
    """Tell whether a request left with the real key in the token's place."""
    return received.raw_head.count(key.encode()) == 1 and token.encode() not in received.raw_head


def heading(text: str) -> None:
    """Say what comes next."""
    click.echo()
    click.secho(text, bold=True)


if __name__ == "__main__":
    main()
