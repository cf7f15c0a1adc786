"""May this request use these tokens?"""

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seks_addon.authorize import Decision, TokenRefused, check_connect, decide, decide_text
from seks_addon.destination.host import Origin
from seks_addon.head import Head
from seks_addon.placements.json_text import MessagePlacement
from seks_addon.policy import Policy
from seks_addon.refusal import Refused
from seks_addon.timing import timestamp
from seks_addon.tokens import find_lookalikes, new_token
from seks_addon.vault import Agent, Grant
from tests.samples import HOST, KEY, OTHER_TOKEN, TOKEN, basic, binding

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
OTHER_GRANT = replace(
    GRANT, token_id="tok_2", secret_id="sec_2", secret="github", binding=binding("header:X-Other: {}")
)
BEARER = ("Authorization", f"Bearer {TOKEN}")


def head(*headers: tuple[str, str], method: str = "GET", target: str = "/v1", version: str = "HTTP/1.1") -> Head:
    return Head(method, target, version, (("Host", HOST), *headers))


def judge(
    request: Head, *, grant: Grant = GRANT, origin: Origin = ORIGIN, scheme: str = "https", moment: datetime = NOW
) -> Decision:
    """Decide as for a vault that holds two tokens."""
    grants = {TOKEN: grant, OTHER_TOKEN: OTHER_GRANT}
    return decide(request, origin, scheme, AGENT, grants.get, moment)


def refusal(request: Head, **circumstances: Any) -> Refused:
    """The refusal that a request gets; it says nothing that came with the request."""
    with pytest.raises(Refused) as caught:
        judge(request, **circumstances)
    said = f"{caught.value.message} {caught.value.hint}"
    assert not find_lookalikes(said)
    assert request.target not in said
    return caught.value


@pytest.mark.parametrize("scheme", ["https", "http"])
@pytest.mark.parametrize(
    "request_head",
    [
        head(),
        head(("Authorization", "Bearer sk-test-not-a-real-key"), ("Range", "bytes=0-1")),
        head(("Authorization", "Basic ???"), target="/../%zz", method="TRACE", version="HTTP/1.0"),
        head(("X", "seks_addon_x")),
    ],
)
def test_without_a_token(request_head: Head, scheme: str) -> None:
    """A request without a token passes as it is."""
    assert judge(request_head, scheme=scheme) == Decision(request_head, ())


@pytest.mark.parametrize(
    ("header", "rendered"),
    [
        (BEARER, f"Bearer {KEY}"),
        (("aUTHORIZATION", f"bEARER \t {TOKEN}"), f"bEARER \t {KEY}"),
        (("x-api-key", TOKEN), KEY),
    ],
)
def test_token_in_its_place(header: tuple[str, str], rendered: str) -> None:
    """A token that is the whole of a declared header is swapped there; the head still holds the token."""
    request = head(("Accept", "*/*"), header)

    decision = judge(request)

    assert decision.head == request
    [substitution] = decision.substitutions
    assert substitution.grant is GRANT
    assert (substitution.match.place, substitution.match.token) == (2, TOKEN)
    assert substitution.match.render(KEY) == rendered.encode()


@pytest.mark.parametrize(
    ("value", "spec", "rendered"),
    [
        (basic("x", TOKEN), "basic:password", basic("x", KEY)),
        (basic(TOKEN, ""), "basic:username", basic(KEY, "")),
        (basic(TOKEN, "x"), "basic:either", basic(KEY, "x")),
        (basic("x", TOKEN).replace("Basic ", "bASIC   "), "basic:either", basic("x", KEY)),
    ],
)
def test_token_in_basic(value: str, spec: str, rendered: str) -> None:
    """One half of a Basic pair is swapped, the other stays."""
    decision = judge(head(("Authorization", value)), grant=replace(GRANT, binding=binding(spec)))

    assert [sub.match.render(KEY) for sub in decision.substitutions] == [rendered.encode()]


def test_two_secrets_in_one_request() -> None:
    """Each token in its own place is swapped for its own secret."""
    decision = judge(head(BEARER, ("X-Other", OTHER_TOKEN)))

    assert [(sub.match.place, sub.grant) for sub in decision.substitutions] == [(1, GRANT), (2, OTHER_GRANT)]


@pytest.mark.parametrize(
    ("request_head", "code"),
    [
        (head(BEARER, ("X-Other", f"Bearer {OTHER_TOKEN}")), "token_misplaced"),
        (head(BEARER, ("X-Api-Key", OTHER_TOKEN)), "token_misplaced"),
        (head(BEARER, ("X-Other", OTHER_TOKEN[:-1] + "é")), "token_malformed"),
        (head(BEARER, ("X-Other", new_token("x"))), "token_unknown"),
        (head(("X-Other", TOKEN), ("Authorization", f"Bearer {OTHER_TOKEN}")), "token_misplaced"),
    ],
)
def test_one_bad_token_spoils_the_request(request_head: Head, code: str) -> None:
    """A good token doesn't carry a bad one along."""
    assert refusal(request_head).code == code


@pytest.mark.parametrize(
    "request_head",
    [
        head(target=f"/v1?key={TOKEN}"),
        head(target=f"/bot{TOKEN}/send"),
        head(target="/v1?key=" + TOKEN.replace("_", "%5f")),
        head(target="/v1?key=" + "".join(f"%{ord(c):02X}" for c in TOKEN)),
        head(BEARER, target=f"/v1?key={TOKEN}"),
        head(BEARER, target="/v1?key=" + TOKEN.replace("s", "%73")),
        head(BEARER, target=f"/{TOKEN}"),
        head(("X-Other", TOKEN)),
        head(("Cookie", f"key={TOKEN}")),
        head(("Range", TOKEN)),
        head(("Trailer", TOKEN)),
        head((TOKEN, "x")),
        head(BEARER, (TOKEN, "x")),
        head(BEARER, ("X-Other", TOKEN)),
        head(BEARER, ("Referer", f"https://x/?{TOKEN}")),
        head(BEARER, ("X-Other", basic("x", TOKEN))),
        head(("Authorization", TOKEN)),
        head(("Authorization", f"Token {TOKEN}")),
        head(("Authorization", f"Bearer {TOKEN} x")),
        head(("Authorization", f"Bearer x {TOKEN}")),
        head(("Authorization", f"Bearer {TOKEN},")),
        head(("Authorization", f"Bearer {TOKEN} {TOKEN}")),
        head(("Authorization", f"Bearer {TOKEN},{TOKEN}")),
        head(("Authorization", basic("x", TOKEN))),
        head(("Authorization", basic(TOKEN, TOKEN))),
        head(("Authorization", f"xBearer {TOKEN}")),
        head(("X-Api-Key", f"Bearer {TOKEN}")),
        head(("X-Api-Key2", TOKEN)),
    ],
)
def test_token_elsewhere(request_head: Head) -> None:
    """Anywhere but as the whole of a declared header, a token is refused, and the refusal names its secret."""
    refused = refusal(request_head)

    assert refused.code == "token_misplaced"
    assert isinstance(refused, TokenRefused)
    assert refused.grant is GRANT


@pytest.mark.parametrize(
    "pair", [basic(TOKEN, TOKEN), basic(TOKEN, OTHER_TOKEN), basic(OTHER_TOKEN, TOKEN), basic(f"x{TOKEN}", TOKEN)]
)
def test_both_halves_of_basic(pair: str) -> None:
    """A pair carries one token, even where either half may."""
    grant = replace(GRANT, binding=binding("basic:either"))

    assert refusal(head(("Authorization", pair)), grant=grant).code == "token_misplaced"


@pytest.mark.parametrize(
    "headers",
    [
        (BEARER, BEARER),
        (BEARER, ("authorization", "Bearer x")),
        (("AUTHORIZATION", ""), BEARER),
        (("X-Api-Key", TOKEN), ("x-api-KEY", TOKEN)),
    ],
)
def test_header_twice(headers: tuple[tuple[str, str], ...]) -> None:
    """The header that carries a token is there once."""
    assert refusal(head(*headers)).code == "request_malformed"


def test_same_token_in_two_places() -> None:
    """Two declared headers may each hold the token: some clients send both."""
    decision = judge(head(BEARER, ("X-Api-Key", TOKEN)))

    assert sorted(sub.match.place for sub in decision.substitutions) == [1, 2]


@pytest.mark.parametrize("scheme", ["http", "ws", ""])
def test_cleartext(scheme: str) -> None:
    """A token never travels without TLS, wherever it stands and whatever it is."""
    for request in (head(BEARER), head(target=f"/{TOKEN}"), head(("X", new_token("x")))):
        assert refusal(request, scheme=scheme).code == "cleartext_refused"


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


@pytest.mark.parametrize(
    "change",
    [
        {"method": "TRACE"},
        {"version": "HTTP/1.0"},
        {"target": "/v1/../x"},
        {"target": "/a%2fb"},
        {"target": "https://api.example.com/v1"},
    ],
)
def test_request_that_may_carry_no_token(change: dict[str, str]) -> None:
    """What could be read in two ways carries no token."""
    assert refusal(head(BEARER, **change)).code == "request_malformed"


def test_encoded_slash_of_the_endpoint() -> None:
    """An endpoint that needs encoded slashes gets them."""
    [endpoint] = GRANT.binding.endpoints
    lenient = replace(GRANT, binding=replace(GRANT.binding, endpoints=(replace(endpoint, encoded_slash=True),)))

    assert judge(head(BEARER, target="/a%2fb"), grant=lenient).substitutions


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


def test_what_a_token_strips() -> None:
    """With a token, the request loses what would make its answer unsafe; the indexes fit what is left."""
    decision = judge(head(("Range", "bytes=0-1"), ("X-Method-Override", "DELETE"), BEARER))

    assert decision.head == head(BEARER)
    assert [sub.match.place for sub in decision.substitutions] == [1]


NOISE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=6)
NAMES = st.sampled_from(["Authorization", "X-Api-Key", "X-Other", "Cookie", "Range", "x-api-key"]) | NOISE
VALUES = st.builds(
    lambda template, noise: template.format(token=TOKEN, noise=noise, basic=basic(noise, TOKEN)),
    st.sampled_from(
        [
            "{token}",
            "Bearer {token}",
            "bearer  {token}",
            "Token {token}",
            "{noise}{token}",
            "Bearer {token}{noise}",
            "{token} {token}",
            "{basic}",
            "Bearer {basic}",
            "{noise}",
            "Bearer {noise}",
        ]
    ),
    NOISE.map(lambda noise: noise.replace("{", "")),
)
TARGETS = st.sampled_from(["/v1", "/v1?a=b", f"/{TOKEN}", f"/v1?{TOKEN}", "/v1?" + TOKEN.replace("e", "%65")])


def seen(request: Head) -> int:
    """Count the token's occurrences, however they are written; apart from the code under test."""
    count = request.target.replace("%65", "e").count(TOKEN)
    for name, value in request.headers:
        count += name.count(TOKEN) + value.count(TOKEN)
        for word in value.split():
            try:
                count += base64.b64decode(word).decode("latin-1").count(TOKEN)
            except ValueError:
                continue
    return count


@given(st.lists(st.tuples(NAMES, VALUES), max_size=5), TARGETS)
def test_used_only_where_declared(headers: list[tuple[str, str]], target: str) -> None:
    """Whatever the request, it is refused, or each occurrence of the token is the whole of a declared header."""
    request = head(*headers, target=target)

    try:
        decision = judge(request)
    except Refused:
        assert any(find_lookalikes(text) for text in (target, *(t for h in headers for t in h))) or seen(request)
        return

    declared = 0
    for substitution in decision.substitutions:
        name, value = decision.head.headers[substitution.match.place]
        scheme, _, token = value.rpartition(" ") if name.lower() == "authorization" else ("", "", value)
        assert name.lower() in {"authorization", "x-api-key"}
        assert (token, scheme.strip().lower()) == (TOKEN, "bearer" if name.lower() == "authorization" else "")
        assert substitution.match.render(KEY).decode() == value.replace(TOKEN, KEY)
        declared += 1
    if "basic" not in str(headers).lower():
        assert seen(decision.head) == declared


@given(
    st.lists(st.tuples(NOISE.map("X-".__add__), NOISE), max_size=3),
    st.sampled_from(["query", "path", "encoded", "header", "name", "basic", "twice", "again"]),
    NOISE,
    st.booleans(),
)
def test_misplaced_is_always_refused(
    others: list[tuple[str, str]], place: str, noise: str, also_in_place: bool
) -> None:
    """A token in the query, in the path, in another header, or twice, is refused, whatever else there is."""
    headers, target = list(others), "/v1"
    if place == "query":
        target = f"/v1?q={TOKEN}&x"
    elif place == "path":
        target = f"/{TOKEN}/x"
    elif place == "encoded":
        target = "/v1?q=" + TOKEN.replace("_", "%5F")
    elif place == "header":
        headers.append(("X-Trace", f"{noise} {TOKEN}"))
    elif place == "name":
        headers.append((TOKEN, noise))
    elif place == "basic":
        headers.append(("X-Trace", basic(noise, TOKEN)))
    elif place == "twice":
        headers.append(("X-Api-Key", f"{TOKEN},{TOKEN}"))
    else:
        headers += [("X-Api-Key", TOKEN), ("X-API-KEY", TOKEN)]
    if also_in_place:
        headers.append(BEARER)

    with pytest.raises(Refused):
        judge(head(*headers, target=target))


FIELD = MessagePlacement("/d/token")
GATEWAY = replace(GRANT, binding=binding("message:/d/token"))


def judge_message(
    message: str, *, grant: Grant = GATEWAY, origin: Origin = ORIGIN, agent: Agent = AGENT, moment: datetime = NOW
) -> list[str]:
    """The tokens that are swapped in a message."""
    handshake = head(target="/ws")
    grants = {TOKEN: grant, OTHER_TOKEN: OTHER_GRANT}
    substitutions = decide_text(handshake, message.encode(), [FIELD], origin, agent, grants.get, moment)
    return [substitution.match.token for substitution in substitutions]


def test_message() -> None:
    """The token in the declared field is swapped; others in the same message are somebody's text."""
    assert judge_message(f'{{"d":{{"token":"{TOKEN}","prompt":"{OTHER_TOKEN} {TOKEN}"}}}}') == [TOKEN]
    assert judge_message(f'{{"d":{{"prompt":"{TOKEN}"}}}}') == []
    assert judge_message(TOKEN) == []


@pytest.mark.parametrize(
    ("circumstances", "code"),
    [
        ({"grant": replace(GATEWAY, revoked=True)}, "token_revoked"),
        ({"grant": replace(GATEWAY, expires=timestamp(NOW))}, "token_expired"),
        ({"grant": replace(GATEWAY, secret_expires=timestamp(NOW))}, "token_expired"),
        ({"grant": replace(GATEWAY, agent_id="agt_2")}, "token_unknown"),
        ({"grant": replace(GATEWAY, binding=binding("bearer"))}, "token_misplaced"),
        ({"grant": replace(GATEWAY, binding=binding("message:/token"))}, "token_misplaced"),
        ({"origin": Origin("other.example", 443)}, "host_not_allowed"),
        ({"grant": replace(GATEWAY, policy=Policy(methods=("POST",)))}, "method_not_allowed"),
        ({"grant": replace(GATEWAY, policy=Policy(path_prefixes=("/v1",)))}, "path_not_allowed"),
    ],
)
def test_refused_message(circumstances: dict[str, Any], code: str) -> None:
    """In the field, a token is judged as in a request."""
    with pytest.raises(Refused) as refused:
        judge_message(f'{{"d":{{"token":"{TOKEN}"}}}}', **circumstances)

    assert refused.value.code == code


@pytest.mark.parametrize(("token", "code"), [(new_token("x"), "token_unknown"), (TOKEN[:-1] + "x", "token_malformed")])
def test_message_with_no_such_token(token: str, code: str) -> None:
    with pytest.raises(Refused) as refused:
        judge_message(f'{{"d":{{"token":"{token}"}}}}')

    assert refused.value.code == code
