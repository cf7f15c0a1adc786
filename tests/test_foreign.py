"""Credentials in a request that are no tokens."""

import pytest

from seks_addon import placements
from seks_addon.destination.host import HostPattern
from seks_addon.errors import InputError
from seks_addon.foreign import ForeignPolicy, Mode, find, parse_rule, refusal
from seks_addon.head import Header
from tests.samples import KEY, TOKEN, basic, head_of

DECLARED = [
    placements.parse(spec)
    for spec in ("header:X-Own: {}", "basic:username", "cookie:session", "query:sig", "path:/bot{}/")
]


@pytest.mark.parametrize(
    ("header", "place"),
    [
        (("Authorization", f"Bearer {KEY}"), "Authorization"),
        (("authorization", KEY), "Authorization"),
        (("Authorization", "AWS4-HMAC-SHA256 Credential=x, Signature=y"), "Authorization"),
        (("Authorization", basic("token", KEY)), "Authorization"),
        (("Authorization", basic(KEY, "")), "Authorization"),
        (("Authorization", "Basic not base64"), "Authorization"),
        (("X-API-Key", KEY), "X-Api-Key"),
        (("x_api_key", KEY), "X-Api-Key"),
        (("api-key", KEY), "Api-Key"),
        (("x-goog-api-key", KEY), "X-Goog-Api-Key"),
        (("PRIVATE-TOKEN", KEY), "Private-Token"),
        (("Sec-WebSocket-Protocol", f"realtime, OpenAI-insecure-api-key.{KEY}"), "Sec-WebSocket-Protocol"),
        (("Sec-WebSocket-Protocol", f"base64url.bearer.authorization.k8s.io.{KEY}"), "Sec-WebSocket-Protocol"),
    ],
)
def test_well_known_header(header: Header, place: str) -> None:
    """A credential where most APIs take one is found, whatever else the request has, and isn't quoted."""
    where = find(head_of([("Accept", "*/*"), ("Cookie", "a=b"), header]), ())

    assert where is not None
    assert place in where
    assert KEY not in where


@pytest.mark.parametrize("name", ["key", "KEY", "k%65y", "api_key", "access_token", "X-Amz-Credential"])
@pytest.mark.parametrize("form", ["/v1?{}=x", "/v1?a=1&{}=x&b=2", "/v1?a=1;{}=x"])
def test_well_known_parameter(name: str, form: str) -> None:
    """So is one in the query, in any spelling of its name."""
    assert "query parameter" in (find(head_of(target=form.format(name)), ()) or "")


@pytest.mark.parametrize(
    ("headers", "target"),
    [
        ([("x-own", KEY)], "/"),
        ([("Cookie", f"a=b; session={KEY}")], "/"),
        ([("Cookie", f"session={TOKEN}; a=b"), ("Cookie", f"session={KEY}")], "/"),
        ([], f"/v1?sig={KEY}"),
        ([], f"/bot{KEY}/send"),
    ],
)
def test_declared(headers: list[Header], target: str) -> None:
    """What a secret declares is looked at beyond the well-known places, and only there."""
    head = head_of(headers, target)

    assert find(head, DECLARED) is not None
    assert find(head, ()) is None


@pytest.mark.parametrize(
    ("headers", "target"),
    [
        ([("Accept", "*/*"), ("Cookie", "a=b"), ("User-Agent", "x")], "/v1?page=2&monkey=1&keys=2"),
        ([("Authorization", ""), ("X-Api-Key", " ")], "/v1?key=&access_token"),
        ([("Authorization", "Bearer ")], "/"),
        ([("Authorization", basic("", ""))], "/"),
        ([("Sec-WebSocket-Protocol", "realtime, openai-insecure-api-key.")], "/"),
        ([("Authorization", f"Bearer {TOKEN}")], "/"),
        ([("Authorization", basic("x-access-token", TOKEN))], "/"),
        ([("Authorization", basic(TOKEN, ""))], "/"),
        ([("Sec-WebSocket-Protocol", f"openai-insecure-api-key.{TOKEN}")], "/"),
        ([("X-Own", TOKEN), ("Cookie", f"session={TOKEN}")], f"/bot{TOKEN}/x?key={TOKEN}&sig={TOKEN}"),
    ],
)
def test_none(headers: list[Header], target: str) -> None:
    """Nothing, an empty place, a scheme alone and a token are no foreign credentials."""
    assert find(head_of(headers, target), DECLARED) is None


def test_a_token_hides_no_other() -> None:
    """A request that carries a token in one place may carry another account's key in a second."""
    assert find(head_of([("Authorization", f"Bearer {TOKEN}"), ("X-Api-Key", KEY)]), ()) is not None
    assert find(head_of(target=f"/?key={TOKEN}&access_token={KEY}"), ()) is not None


def test_policy() -> None:
    """The first pattern that matches counts, before the mode for all."""
    rules = ["a.example.com=pass", "**.example.com=block", "**.example.com=pass"]
    policy = ForeignPolicy(Mode.WARN, tuple(parse_rule(text) for text in rules))

    modes = [policy.mode_at(host) for host in ("a.example.com", "b.example.com", "example.com")]

    assert modes == [Mode.PASS, Mode.BLOCK, Mode.WARN]
    assert ForeignPolicy().mode_at("example.com") is Mode.PASS
    assert policy.at[0] == (HostPattern("a.example.com"), Mode.PASS)


@pytest.mark.parametrize(
    "text", ["", "block", "=block", "example.com", "example.com=", "example.com=BLOCK", "a b=block"]
)
def test_no_rule(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_rule(text)

    assert caught.value.hint


def test_refusal() -> None:
    """It is the operator's policy that refuses, not the agent's token."""
    refused = refusal("api.example.com", "header X-Api-Key: {}")

    assert (refused.code, refused.status) == ("egress_denied", 403)
    assert "--foreign-credentials" in (refused.hint or "")
