"""Tokens that are seen where nobody in good faith sends them."""

from dataclasses import replace

from seks_addon.destination.host import Origin
from seks_addon.head import Head
from seks_addon.tokens import new_token
from seks_addon.tripwire import MAX_TOKENS, tripped
from seks_addon.vault import Grant
from tests.samples import AGENT, GRANT, HOST, OTHER_TOKEN, TOKEN, basic, head_of

HOME, EVIL = Origin(HOST, 443), Origin("evil.example.com", 443)
THEIRS = replace(GRANT, token_id="tok_theirs", agent_id="agt_2")


def ids(head: Head, origin: Origin, scheme: str = "https") -> list[str]:
    """The tokens that raise an alarm, in a vault that holds one of the agent's and one of another's."""
    grants: dict[str, Grant] = {TOKEN: GRANT, OTHER_TOKEN: THEIRS}
    return [grant.token_id for grant in tripped(head, origin, scheme, AGENT, grants.get)]


def test_own_elsewhere() -> None:
    """The agent's token at another host, or at another port, wherever it stands."""
    heads = [
        head_of([("Authorization", f"Bearer {TOKEN}")]),
        head_of([("Cookie", f"a={TOKEN}")]),
        head_of([("Authorization", basic("x", TOKEN))]),
        head_of(target=f"/?q={TOKEN}"),
        head_of(target=f"/%73{TOKEN[1:]}"),
    ]

    for head in heads:
        assert ids(head, EVIL) == ["tok_1"]
        assert ids(head, Origin(HOST, 8443)) == ["tok_1"]
        assert ids(head, HOME) == []


def test_in_clear() -> None:
    """An `http://` address of the right host is a slip, of another one it isn't."""
    head = head_of([("Authorization", f"Bearer {TOKEN}")])

    assert ids(head, Origin(HOST, 80), "http") == []
    assert ids(head, Origin(EVIL.host, 80), "http") == ["tok_1"]


def test_others_anywhere() -> None:
    """Another agent's token is in the wrong hands at its own host too; it comes first."""
    head = head_of([("X-Own", TOKEN), ("X-Theirs", OTHER_TOKEN), ("X-Again", OTHER_TOKEN)])

    assert ids(head, HOME) == ["tok_theirs"]
    assert ids(head, EVIL) == ["tok_theirs", "tok_1"]


def test_what_is_none() -> None:
    """Unknown and damaged tokens are nobody's."""
    assert ids(head_of([("X-A", new_token("x")), ("X-B", TOKEN[:-1] + "x")]), EVIL) == []


def test_is_bounded() -> None:
    """A head that is full of invented tokens costs so many lookups and no more."""
    asked: list[str] = []

    def resolve(token: str) -> None:
        asked.append(token)

    head = head_of([(f"X-{number}", new_token("x")) for number in range(MAX_TOKENS * 2)])

    tripped(head, EVIL, "https", AGENT, resolve)

    assert len(asked) == MAX_TOKENS
