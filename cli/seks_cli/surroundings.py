"""What an agent's environment is made of: its tokens, its way to the proxy, and what must be kept from it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from seks_addon import ca, environment
from seks_addon.environment import Held
from seks_addon.timing import now, timestamp
from seks_cli import options, output, running
from seks_cli.workplace import Workplace

if TYPE_CHECKING:
    from seks_addon.vault import Agent, Client, Vault


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What was found for one agent. `withheld` are names of variables, `real` are the vault's credentials."""

    proxy_url: str
    reachable: bool
    settings: dict[str, str]
    credentials: dict[str, str]
    withheld: frozenset[str]
    real: tuple[str, ...]

    @property
    def place(self) -> str:
        """Where the proxy is, without who talks to it."""
        return self.proxy_url.rpartition("/")[2].rpartition("@")[2]

    def __repr__(self) -> str:
        return "Surroundings(…)"


def gather(
    workplace: Workplace, client: str, agent: str, proxy_url: str | None, *, reveal: bool = False
) -> Surroundings:
    """Read the vault and look for the proxy; notes what a person should know. With `reveal`, `real` is filled."""
    home = workplace.home
    with workplace.reading() as vault:
        owner = vault.clients.get(client)
        user = vault.agents.get(owner, agent)
        secrets = vault.secrets.list(owner)
        held = _held(vault, owner, user)
        place, password = proxy_url or running.proxy_url(home), vault.agents.password(user)
        with options.reading():
            url = environment.with_user(place, user.user, password)
        # Of every client: whoever starts the agent may have another's at hand.
        stored = vault.secrets.list() if reveal else []
        real = tuple(vault.secrets.reveal(s.id, s.client_id).reveal() for s in stored)
    if not home.ca_bundle.exists():
        ca.write_bundle(home)
    credentials, clashes = environment.credentials(held)
    for clash in clashes:
        output.note(f"{clash.variable} holds the token of {clash.winner}; {clash.loser} claims it too")
    if not user.enabled:
        output.note(f"the agent {agent} is disabled: the proxy refuses it")
    if not held:
        output.note(f"the agent {agent} has no live token; issue one with `seks token issue`")
    providers = {variable for provider in workplace.catalog() for variable in (*provider.env, *provider.withhold)}
    return Surroundings(
        proxy_url=url,
        reachable=running.accepts(url),
        settings=environment.settings(url, str(home.ca_cert), str(home.ca_bundle)),
        credentials=credentials,
        withheld=frozenset(providers | {name for s in secrets for name in s.env}),
        real=real,
    )


def _held(vault: "Vault", client: "Client", agent: "Agent") -> list[Held]:
    """The newest live token of each secret that the agent may use."""
    ended = {s.id for s in vault.secrets.list(client) if s.expires and s.expires <= timestamp(now())}
    live = [token for token in vault.tokens.list(agent=agent) if token.state == "live"]
    newest = {token.secret_id: token for token in live if token.secret_id not in ended}
    return [Held(token.secret, token.env, vault.tokens.text(token)) for token in newest.values()]
