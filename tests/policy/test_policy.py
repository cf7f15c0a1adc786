"""What a token may be used for."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seks_addon.destination.host import Origin
from seks_addon.errors import InputError
from seks_addon.policy import METHODS, Policy, expired
from seks_addon.policy.limits import MAX, Limits
from seks_addon.refusal import Refused

MOMENT = datetime(2026, 1, 2, tzinfo=UTC)
SEGMENTS = st.lists(st.sampled_from(["v1", "v10", "a", ""]), max_size=4)


def test_parse() -> None:
    """Methods are put in upper case, doubles go, the order makes no difference."""
    policy = Policy.parse(["post", "GET", "Get"], ["/v1", "/a", "/v1"])

    assert policy == Policy(("GET", "POST"), ("/a", "/v1"))
    assert policy == Policy.parse(["GET", "POST"], ["/a", "/v1"])


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "", "GET ", "PRI", "*"])
def test_parse_refuses_methods(method: str) -> None:
    """Only methods that a token can be used with are taken."""
    with pytest.raises(InputError, match="no method"):
        Policy.parse(["GET", method], [])


@pytest.mark.parametrize("prefix", ["", "v1", "https://x/", "/a?b=c", "/é", "/a\n", "/a\x7f"])
def test_parse_refuses_prefixes(prefix: str) -> None:
    """A prefix begins at the root and is what a path is made of."""
    with pytest.raises(InputError, match="no path prefix"):
        Policy.parse([], ["/ok", prefix])


@pytest.mark.parametrize("method", [*METHODS, "ANYTHING"])
def test_no_limit(method: str) -> None:
    """An empty policy allows everything."""
    Policy().check(method, "/anything", whose="x")


@pytest.mark.parametrize(
    ("methods", "method", "allowed"),
    [
        (("GET",), "GET", True),
        (("GET", "POST"), "POST", True),
        (("GET",), "HEAD", False),
        (("GET",), "get", False),
        (("POST",), "GET", False),
    ],
)
def test_methods(methods: tuple[str, ...], method: str, allowed: bool) -> None:
    """A method is allowed where it is listed, as it is spelt."""
    policy = Policy(methods)

    if allowed:
        policy.check(method, "/", whose="x")
    else:
        with pytest.raises(Refused) as caught:
            policy.check(method, "/", whose="the secret 'x'")
        assert caught.value.code == "method_not_allowed"
        assert caught.value.message == "The policy of the secret 'x' doesn't allow this method."
        assert caught.value.hint == f"It allows {', '.join(methods)}."


@pytest.mark.parametrize(
    ("prefix", "path", "allowed"),
    [
        ("/v1", "/v1", True),
        ("/v1", "/v1/", True),
        ("/v1", "/v1/models", True),
        ("/v1", "/v10", False),
        ("/v1", "/v1.json", False),
        ("/v1", "/V1", False),
        ("/v1", "/", False),
        ("/v1", "/x/v1", False),
        ("/v1/", "/v1/models", True),
        ("/v1/", "/v1/", True),
        ("/v1/", "/v1", False),
        ("/", "/anything", True),
        ("/", "/", True),
    ],
)
def test_prefixes(prefix: str, path: str, allowed: bool) -> None:
    """A prefix covers itself and what is below it, by whole segments."""
    policy = Policy(path_prefixes=("/other", prefix))

    if allowed:
        policy.check("GET", path, whose="x")
    else:
        with pytest.raises(Refused) as caught:
            policy.check("GET", path, whose="the secret 'x'")
        assert caught.value.code == "path_not_allowed"
        assert caught.value.message == "The policy of the secret 'x' doesn't allow this path."


@given(SEGMENTS, SEGMENTS)
def test_prefixes_are_whole_segments(prefix: list[str], path: list[str]) -> None:
    """Compared segment by segment, the path begins as the prefix does; an empty last one asks for something below.

    A path with an empty segment before its last isn't allowed at all.
    """
    policy = Policy(path_prefixes=("/" + "/".join(prefix),))
    wanted = ("/" + "/".join(prefix)).split("/")
    given_path = ("/" + "/".join(path)).split("/")
    covered = given_path[: len(wanted)] == wanted or (
        wanted[-1] == "" and given_path[: len(wanted) - 1] == wanted[:-1] and len(given_path) >= len(wanted)
    )
    covered = covered and "" not in given_path[1:-1]

    try:
        policy.check("GET", "/".join(given_path), whose="x")
    except Refused:
        assert not covered
    else:
        assert covered


def test_a_prefix_of_an_older_vault() -> None:
    """A prefix that was stored as it was typed covers the paths that it means."""
    Policy(path_prefixes=("/%76%31/a%3ab",)).check("GET", "/v1/a%3Ab/c", whose="x")


def test_prefixes_and_patterns_together() -> None:
    """A path is allowed below a prefix or where it fits a pattern; the refusal says both."""
    policy = Policy.parse(path_prefixes=["/v1"], paths=["/repos/*/issues", "/users/**"])

    for path in ("/v1/a", "/repos/x/issues", "/users"):
        policy.check("GET", path, whose="x")
    with pytest.raises(Refused) as caught:
        policy.check("GET", "/repos/x", whose="the token for the secret 'x'")

    assert caught.value.code == "path_not_allowed"
    assert caught.value.message == "The policy of the token for the secret 'x' doesn't allow this path."
    assert caught.value.hint == "It allows what is below /v1 and what fits /repos/*/issues, /users/**."


@pytest.mark.parametrize("policy", [Policy.parse([], ["/"]), Policy.parse(paths=["/**"])])
def test_ambiguous_paths(policy: Policy) -> None:
    """Where paths are limited, one that servers read in different ways is refused, whatever is allowed."""
    with pytest.raises(Refused) as caught:
        policy.check("GET", "/v1//models", whose="the secret 'x'")

    assert caught.value.code == "path_not_allowed"
    assert "read in different ways" in caught.value.message
    Policy(methods=("GET",)).check("GET", "/v1//models", whose="x")


@pytest.mark.parametrize(
    ("hosts", "origin", "allowed"),
    [
        ((), Origin("any.example.com", 1), True),
        (("api.example.com", "eu.example.com:8443"), Origin("api.example.com", 443), True),
        (("api.example.com", "eu.example.com:8443"), Origin("eu.example.com", 8443), True),
        (("api.example.com", "eu.example.com:8443"), Origin("eu.example.com", 443), False),
        (("api.example.com",), Origin("api.example.com", 8443), False),
        (("api.example.com",), Origin("x.api.example.com", 443), False),
    ],
)
def test_hosts(hosts: tuple[str, ...], origin: Origin, allowed: bool) -> None:
    """A host is allowed with its port."""
    policy = Policy.parse(hosts=hosts)

    if allowed:
        policy.check_host(origin, whose="x")
    else:
        with pytest.raises(Refused) as caught:
            policy.check_host(origin, whose="the token for the secret 'x'")
        assert caught.value.code == "host_not_allowed"
        assert caught.value.message == "The policy of the token for the secret 'x' doesn't allow this host."
        assert caught.value.hint == f"It allows {', '.join(hosts)}."


def test_parse_hosts() -> None:
    """A host has one spelling; what is none is refused."""
    assert Policy.parse(hosts=["API.example.com.", "api.example.com:443"]).hosts == ("api.example.com",)
    with pytest.raises(InputError, match="no host name"):
        Policy.parse(hosts=["*.example.com"])


KINDS = {
    "methods": st.lists(st.sampled_from(METHODS)),
    "path_prefixes": st.lists(st.sampled_from(["/", "/v1", "/v1/", "/a/b"])),
    "paths": st.lists(st.sampled_from(["/**", "/v1/*", "/a/x%2Fy"])),
    "hosts": st.lists(st.sampled_from(["api.example.com", "eu.example.com:8443"])),
    "rate": st.none() | st.sampled_from(["1/s", "60/min", "1000000/day"]),
    "max_uses": st.none() | st.integers(1, MAX),
    "max_concurrent": st.none() | st.integers(1, MAX),
}


@given(st.fixed_dictionaries(KINDS))
def test_json(typed: dict[str, Any]) -> None:
    """A policy is stored and read back; what isn't limited isn't mentioned."""
    limits = Limits.parse(typed["rate"], typed["max_uses"], typed["max_concurrent"])
    policy = Policy.parse(
        typed["methods"], typed["path_prefixes"], paths=typed["paths"], hosts=typed["hosts"], limits=limits
    )

    assert Policy.from_json(json.loads(json.dumps(policy.to_json()))) == policy
    assert set(policy.to_json()) == {name for name, value in typed.items() if value}


def test_json_of_a_newer_vault() -> None:
    """A limit that isn't known isn't passed over: the policy can't be used."""
    with pytest.raises(InputError, match="doesn't know"):
        Policy.from_json({"methods": ["GET"], "max_bytes": 5})


def test_json_of_an_older_vault() -> None:
    """A policy that was stored before there were more kinds of limits is written as it was."""
    for stored in ({}, {"methods": ["GET"]}, {"methods": ["GET", "POST"], "path_prefixes": ["/v1", "/%7e"]}):
        assert Policy.from_json(stored).to_json() == stored


@pytest.mark.parametrize(
    ("end", "over"),
    [
        (None, False),
        (MOMENT + timedelta(microseconds=1), False),
        (MOMENT, True),
        (MOMENT - timedelta(microseconds=1), True),
    ],
)
def test_expired(end: datetime | None, over: bool) -> None:
    """The very instant of the end is past."""
    assert expired(end, MOMENT) is over
