"""What is known of each client connection: the agent, and where its tunnel goes."""

import urllib.parse
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from seks_addon.destination.host import Origin
from seks_addon.placements.basic import decode_basic
from seks_addon.refusal import Refused
from seks_addon.vault import DEFAULT, Agent, Vault

if TYPE_CHECKING:
    from seks_addon.addon.exchange import Exchange


@dataclass(slots=True)
class Session:
    """One client connection.

    `tunnel` is the target of its CONNECT; `raw_tunnel` says that nothing in it is looked at. `approved` is
    the origin that connections may be opened to on its behalf. `failure` is why the last one was not. `exchanges` are
    those that have not ended.
    """

    source_ip: str
    agent: Agent | None = None
    tunnel: Origin | None = None
    raw_tunnel: bool = False
    approved: Origin | None = None
    failure: Refused | None = None
    exchanges: "set[Exchange]" = field(default_factory=set)


def identify(vault: Vault, authorization: str | None, *, required: bool) -> Agent:
    """Tell which agent a `Proxy-Authorization` names; raises `Refused`.

    Where none is required and none is given, it is the default client's default agent. A pair that is given
    must be right.
    """
    if authorization is None:
        client = vault.clients.find(DEFAULT)
        agent = vault.agents.find(client, DEFAULT) if client and not required else None
        if agent is None:
            raise Refused("agent_auth_required")
    else:
        pair = decode_basic(authorization)
        agent = vault.agents.authenticate(urllib.parse.unquote(pair[0]), pair[1]) if pair else None
        if agent is None:
            raise Refused("agent_auth_failed")
    return require_enabled(agent)


def require_enabled(agent: Agent | None) -> Agent:
    """Raise `Refused` where the agent was disabled or removed."""
    if agent is None:
        raise Refused("agent_auth_failed", "The agent was removed.", hint="Add it again with `seks agent add`.")
    if not agent.enabled:
        raise Refused("agent_disabled", f"The agent {agent.name!r} is disabled.")
    return agent
