"""May this request use these tokens? Whose they are, until when, and for which requests."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from seks_addon.authorize import TokenRefused, check_connect, decide
from seks_addon.destination.host import Origin
from seks_addon.policy import Policy
from seks_addon.refusal import Refused
from seks_addon.timing import timestamp
from seks_addon.tokens import find_lookalikes, new_token
from seks_addon.vault import Grant
from tests.samples import AGENT, GRANT, HOST, NOW, ORIGIN, TOKEN, basic, binding
from tests.test_authorize import BEARER, head, judge, refusal


@pytest.mark.parametrize(
    "token", [TOKEN[:-1] + ("0" if TOKEN[-1] != "0" else "1"), TOKEN.upper(), TOKEN + "x", TOKEN[:-3]]
)
def test_damaged_token(token: str) -> None:
    """A typo is told without asking the vault."""

    def resolve(text: str) -> Grant:
        pytest.fail("the vault was asked")

    with pytest.raises(Refused) as caught:
        decide(head(("Authorization", f"Bearer {token}")), ORIGIN, "https", AGENT, resolve, NOW)

    assert caught.value.code == "token_malformed"


def connect(*headers: tuple[str, str], origin: Origin = ORIGIN, grant: Grant = GRANT) -> None:
    """Judge a CONNECT with these headers."""
    check_connect(head(*headers, method="CONNECT", target=""), origin, AGENT, {TOKEN: grant}.get)


@pytest.mark.parametrize("header", [("Accept", "*/*"), BEARER, ("X-Other", TOKEN), ("X-Other", TOKEN[:-1])])
def test_connect(header: tuple[str, str]) -> None:
    """A token that may go to the host goes no further than the proxy, wherever it stands."""
    connect(header)
    connect(header, grant=replace(GRANT, revoked=True))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"origin": Origin("evil.example.com", 443)}, "host_not_allowed"),
        ({"origin": Origin(HOST, 8443)}, "host_not_allowed"),
        ({"grant": replace(GRANT, agent_id="agt_2")}, "token_unknown"),
        ({"grant": None}, "token_unknown"),
    ],
)
def test_connect_refused(change: dict[str, Any], code: str) -> None:
    """One that may not go there, or isn't the agent's, is refused where the client can read why."""
    for header in (BEARER, ("X-Other", TOKEN), ("Authorization", basic("user", TOKEN))):
        with pytest.raises(Refused) as caught:
            connect(header, **change)

        assert caught.value.code == code
        assert not find_lookalikes(f"{caught.value.message} {caught.value.hint}")


def test_unknown_and_somebody_else_s_are_alike() -> None:
    """Another agent's token and one that doesn't exist get the same answer, to the letter."""
    unknown = refusal(head(("Authorization", f"Bearer {new_token('x')}")))
    foreign = refusal(head(BEARER), grant=replace(GRANT, agent_id="agt_2", revoked=True, expires=timestamp(NOW)))

    assert unknown.code == foreign.code == "token_unknown"
    assert (unknown.message, unknown.hint, type(unknown)) == (foreign.message, foreign.hint, type(foreign))
    assert "openai" not in foreign.message


PAST, FUTURE = timestamp(NOW - timedelta(microseconds=1)), timestamp(NOW + timedelta(microseconds=1))


@pytest.mark.parametrize(
    ("grant", "code"),
    [
        (replace(GRANT, revoked=True), "token_revoked"),
        (replace(GRANT, revoked=True, expires=PAST), "token_revoked"),
        (replace(GRANT, expires=PAST), "token_expired"),
        (replace(GRANT, expires=timestamp(NOW)), "token_expired"),
        (replace(GRANT, secret_expires=PAST), "token_expired"),
        (replace(GRANT, expires=FUTURE, secret_expires=PAST), "token_expired"),
        (replace(GRANT, binding=binding(host="api.other.example.com")), "host_not_allowed"),
        (replace(GRANT, binding=binding(host=f"{HOST}:8443")), "host_not_allowed"),
        (replace(GRANT, binding=binding(policy=Policy(methods=("POST",)))), "method_not_allowed"),
        (replace(GRANT, policy=Policy(methods=("POST",))), "method_not_allowed"),
        (replace(GRANT, binding=binding(policy=Policy(path_prefixes=("/v2",)))), "path_not_allowed"),
        (replace(GRANT, policy=Policy(path_prefixes=("/v2",))), "path_not_allowed"),
        (replace(GRANT, policy=Policy(paths=("/v2/*",))), "path_not_allowed"),
        (replace(GRANT, policy=Policy(hosts=("eu.example.com",))), "host_not_allowed"),
        (replace(GRANT, policy=Policy(hosts=(f"{HOST}:8443",))), "host_not_allowed"),
        (
            replace(GRANT, binding=binding(policy=Policy(methods=("POST",))), policy=Policy(methods=("GET",))),
            "method_not_allowed",
        ),
    ],
)
def test_token_that_may_not(grant: Grant, code: str) -> None:
    """A token that was ended, or is used outside of its secret's or its own limits, is refused by name."""
    refused = refusal(head(BEARER), grant=grant)

    assert refused.code == code
    assert isinstance(refused, TokenRefused)
    assert refused.grant is grant
    assert "'openai'" in refused.message


def test_token_that_ends_later() -> None:
    """Until the instant of the end, a token is good."""
    assert judge(head(BEARER), grant=replace(GRANT, expires=FUTURE, secret_expires=FUTURE)).substitutions


@pytest.mark.parametrize("origin", [Origin(HOST, 8443), Origin("x." + HOST, 443), Origin("example.com", 443)])
def test_token_at_another_origin(origin: Origin) -> None:
    """The host and the port must be those of the binding."""
    assert refusal(head(BEARER), origin=origin).code == "host_not_allowed"


def test_policy_does_not_see_the_query() -> None:
    """A path is judged without its query, so that a query can't lend it a prefix."""
    limited = replace(GRANT, policy=Policy(path_prefixes=("/v1",)))

    assert judge(head(BEARER, target="/v1?/v2"), grant=limited).substitutions
    assert refusal(head(BEARER, target="/x?/v1"), grant=limited).code == "path_not_allowed"


def test_policy_of_a_token_in_the_path() -> None:
    """A token in the path is judged as `{}`: its own text fits no pattern."""
    allowed = Policy.parse(paths=["/bot{}/send*"])
    limited = replace(GRANT, binding=binding("path:/bot{}/"), policy=allowed)

    assert judge(head(target=f"/bot{TOKEN}/%73endMessage"), grant=limited).substitutions
    assert refusal(head(target=f"/bot{TOKEN}/getUpdates"), grant=limited).code == "path_not_allowed"
