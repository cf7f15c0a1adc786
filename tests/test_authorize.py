"""May this request use these tokens? Where a token may stand in its head."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from seks_addon.authorize import Decision, TokenRefused, decide
from seks_addon.destination.host import Origin
from seks_addon.head import Head
from seks_addon.refusal import Refused
from seks_addon.tokens import find_lookalikes, new_token
from seks_addon.vault import Grant
from tests.samples import AGENT, GRANT, HOST, KEY, NOW, ORIGIN, OTHER_TOKEN, TOKEN, basic, binding

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


def test_what_a_token_strips() -> None:
    """With a token, the request loses what would make its answer unsafe; the indexes fit what is left."""
    decision = judge(head(("Range", "bytes=0-1"), ("X-Method-Override", "DELETE"), BEARER))

    assert decision.head == head(BEARER)
    assert [sub.match.place for sub in decision.substitutions] == [1]
