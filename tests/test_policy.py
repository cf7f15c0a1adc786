"""What a token may be used for."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seks_addon.errors import InputError
from seks_addon.policy import METHODS, Policy, expired
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
        ("/v1", "//v1", False),
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
    """Compared segment by segment, the path begins as the prefix does; an empty last one asks for something below."""
    policy = Policy(path_prefixes=("/" + "/".join(prefix),))
    wanted = ("/" + "/".join(prefix)).split("/")
    given_path = ("/" + "/".join(path)).split("/")
    covered = given_path[: len(wanted)] == wanted or (
        wanted[-1] == "" and given_path[: len(wanted) - 1] == wanted[:-1] and len(given_path) >= len(wanted)
    )

    try:
        policy.check("GET", "/".join(given_path), whose="x")
    except Refused:
        assert not covered
    else:
        assert covered


@given(
    st.lists(st.sampled_from(METHODS)), st.lists(st.sampled_from(["/", "/v1", "/v1/", "/a/b"])).map(lambda x: x or [])
)
def test_json(methods: list[str], prefixes: list[str]) -> None:
    """A policy is stored and read back; what isn't limited isn't mentioned."""
    policy = Policy.parse(methods, prefixes)

    assert Policy.from_json(policy.to_json()) == policy
    assert set(policy.to_json()) == {
        name for name, limit in (("methods", methods), ("path_prefixes", prefixes)) if limit
    }


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
