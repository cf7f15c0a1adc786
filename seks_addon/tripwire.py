"""Tokens that are seen where nobody in good faith sends them."""

from typing import Final

from seks_addon.authorize import Resolve, find_tokens
from seks_addon.destination.host import Origin
from seks_addon.head import Head
from seks_addon.tokens import is_token
from seks_addon.vault.agents import Agent
from seks_addon.vault.tokens import Grant

#: Tokens of one request that are looked up: a head that is full of invented ones costs no more.
MAX_TOKENS: Final = 32


def tripped(head: Head, origin: Origin, scheme: str, agent: Agent, resolve: Resolve) -> list[Grant]:
    """What the tokens in a refused request stand for that have no business there, the worst first.

    Those are another agent's anywhere, and the agent's own at a host that they aren't bound to. In clear, the port
    doesn't matter: an `http://` address of the right host is a slip, and so is the wrong place in a request to it.
    """
    grants = [resolve(token) for token in list(filter(is_token, find_tokens(head)))[:MAX_TOKENS]]
    found = {
        grant.token_id: grant
        for grant in grants
        if grant and (grant.agent_id != agent.id or not _is_at_home(grant, origin, scheme))
    }
    return sorted(found.values(), key=lambda grant: grant.agent_id == agent.id)


def _is_at_home(grant: Grant, origin: Origin, scheme: str) -> bool:
    if scheme == "https":
        return grant.binding.at(origin) is not None
    return grant.binding.reaches(origin.host)
