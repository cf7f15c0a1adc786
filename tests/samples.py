"""Values that tests of the core begin with: keys that are obviously none, an agent and its token, bindings, homes."""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from seks_addon.binding import Binding, Endpoint
from seks_addon.destination.host import Origin
from seks_addon.head import Head, Header
from seks_addon.home import Home
from seks_addon.policy import Policy
from seks_addon.vault import Agent, Grant
from tests.support.forms import forms

KEY = "sk-test-not-a-real-key-0000000000000000"
OTHER_KEY = "sk-test-not-a-real-key-1111111111111111"
HOST = "api.example.com"
#: Fake tokens with the right checksum, which nobody was given.
TOKEN = "seks_openai_" + "0" * 33 + "36DhGp"
OTHER_TOKEN = "seks_github_" + "1" * 33 + "4MhJFW"


def binding(*specs: str, host: str = HOST, policy: Policy | None = None) -> Binding:
    """A binding to one host, with `bearer` where no placement is named."""
    return Binding((Endpoint.parse(host, specs or ("bearer",)),), policy or Policy())


#: An agent, and what a token of its stands for, at a moment when both are good.
NOW = datetime(2026, 1, 2, tzinfo=UTC)
ORIGIN = Origin(HOST, 443)
AGENT = Agent("agt_1", "cli_1", "default", "robot", True, "")
GRANT = Grant(
    token_id="tok_1",
    agent_id=AGENT.id,
    secret_id="sec_1",
    secret="openai",
    provider="openai",
    client_id="cli_1",
    client="default",
    binding=binding("bearer", "header:X-Api-Key: {}"),
    policy=Policy(),
    expires=None,
    secret_expires=None,
    revoked=False,
)


def basic(username: str, password: str) -> str:
    """The value of an Authorization header."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def files_with(folder: Path, values: Sequence[str]) -> list[Path]:
    """Give the files below `folder` that hold one of the values in any encoding."""
    hidden = [form for value in values for form in forms(value)]
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [path for path in files if any(form in path.read_bytes() for form in hidden)]


def new_home(folder: Path) -> Home:
    """A home that is made but not initialised."""
    home = Home(folder / "home")
    home.create()
    return home


def head_of(headers: Sequence[Header] = (), target: str = "/v1/models", method: str = "GET") -> Head:
    """A request's head with these headers."""
    return Head(method, target, "HTTP/1.1", tuple(headers))
