"""How often: rate, uses, and how many at a time."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seks_addon.errors import InputError
from seks_addon.policy.limits import MAX, Exceeded, Limits, Quota, Rate, Usage

SECOND = 1_000_000_000
MOMENT = 1_790_000_000 * SECOND
WHOSE = "the token for the secret 'x'"


def quota(rate: str | None = None, max_uses: int | None = None, max_concurrent: int | None = None) -> Quota:
    return Quota("tok_1", WHOSE, Limits.parse(rate, max_uses, max_concurrent))


def refused(limited: Quota, usage: Usage, moment: int = MOMENT) -> Exceeded:
    with pytest.raises(Exceeded) as caught:
        limited.admit(usage, moment)
    assert caught.value.subject == "tok_1"
    return caught.value


def admitted(limited: Quota, moments: list[int]) -> list[int]:
    """Those of the moments at which a request is let through."""
    usage, let_through = Usage(), []
    for moment in moments:
        try:
            usage = limited.admit(usage, moment)
        except Exceeded:
            continue
        let_through.append(moment)
    assert usage.uses == len(let_through)
    return let_through


@pytest.mark.parametrize("text", ["1/s", "60/min", "1000/h", "5/day", "1000000/s"])
def test_rate(text: str) -> None:
    """A rate is printed as it is written."""
    assert str(Rate.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "5/MIN",
        "5/min\n",
        "٥/min",
        "",
        "60",
        "0/min",
        "00/s",
        "01/s",
        "-1/min",
        "+1/min",
        "5/fortnight",
        "5/",
        "/min",
        "5 /min",
        "1.5/s",
        "1000001/s",
    ],
)
def test_no_rate(text: str) -> None:
    """Anything else is refused, with what to write."""
    with pytest.raises(InputError, match="is no rate") as caught:
        Rate.parse(text)
    assert "60/min" in (caught.value.hint or "")


@pytest.mark.parametrize("number", [0, -1, MAX + 1])
def test_no_number(number: int) -> None:
    """A limit is a positive number that a database holds."""
    for option, limits in (("--max-uses", (number, None)), ("--max-concurrent", (None, number))):
        with pytest.raises(InputError, match=option):
            Limits.parse(None, *limits)


def test_no_limits() -> None:
    """Without limits there is nothing to count."""
    assert not Limits()
    assert Limits.from_json({}) == Limits()
    assert all(Limits.parse(*given) for given in (("1/s", None, None), (None, 1, None), (None, None, 1)))


def test_uses() -> None:
    """The last use is allowed, the next is not, and waiting doesn't help."""
    usage = quota(max_uses=2).admit(Usage(uses=1), MOMENT)

    exceeded = refused(quota(max_uses=2), usage, MOMENT + 10**18)

    assert usage == Usage(uses=2)
    assert (exceeded.code, exceeded.status, exceeded.retry_after) == ("uses_exhausted", 429, None)
    assert exceeded.message == f"The policy of {WHOSE} allows 2 uses, and there are none left."


def test_concurrency() -> None:
    """As many as are allowed are under way, and no more."""
    limited = quota(max_concurrent=1)
    assert limited.admit(Usage(uses=7), MOMENT) == Usage(uses=8)

    exceeded = refused(limited, Usage(under_way=1))

    assert (exceeded.code, exceeded.status, exceeded.retry_after) == ("rate_limited", 429, 1)
    assert exceeded.message == f"The policy of {WHOSE} allows 1 request at a time."


@pytest.mark.parametrize(
    ("rate", "words", "wait"),
    [
        ("1/s", "1 request a second", 1),
        ("60/min", "60 requests a minute", 1),
        ("7/min", "7 requests a minute", 9),
        ("2/h", "2 requests an hour", 1800),
        ("1/day", "1 request a day", 86400),
        ("1000000/s", "1000000 requests a second", 1),
    ],
)
def test_rate_is_reached(rate: str, words: str, wait: int) -> None:
    """As many as the rate says pass at once; the next waits for its turn, told in whole seconds, rounded up."""
    limited, usage = quota(rate), Usage()
    count = Rate.parse(rate).count if rate != "1000000/s" else 0
    for _ in range(count):
        usage = limited.admit(usage, MOMENT)
    if not count:
        usage = Usage(arrival=MOMENT + SECOND)

    exceeded = refused(limited, usage)

    assert (exceeded.code, exceeded.retry_after) == ("rate_limited", wait)
    assert exceeded.message == f"The policy of {WHOSE} allows {words}."
    assert f"Wait {wait} second" in (exceeded.hint or "")
    due = usage.arrival - (limited.limits.rate.count - 1) * limited.limits.rate.interval  # type: ignore[union-attr]
    refused(limited, usage, due - 1)
    assert limited.admit(usage, due).uses == usage.uses + 1


@given(
    st.sampled_from(["1/s", "3/s", "60/min", "7/min"]),
    st.lists(st.integers(0, 20_000_000_000), min_size=1, max_size=40),
)
def test_rate_over_any_time(rate: str, gaps: list[int]) -> None:
    """In no span of time do more requests pass than the rate gives in it, and one time its number on top."""
    limited = quota(rate)
    interval, count = Rate.parse(rate).interval, Rate.parse(rate).count
    moments = [MOMENT + sum(gaps[:index]) for index in range(len(gaps))]

    let_through = admitted(limited, moments)

    assert let_through[0] == moments[0]
    for first, start in enumerate(let_through):
        for number, end in enumerate(let_through[first:], 1):
            assert number <= count + (end - start) // interval


@given(st.integers(0, 10**18))
def test_the_clock_is_set_back(by: int) -> None:
    """A clock that was set back shuts nobody out for longer than one request's turn."""
    limited, usage = quota("60/min"), Usage()
    for _ in range(60):
        usage = limited.admit(usage, MOMENT)

    assert refused(limited, usage, MOMENT - by).retry_after == 1


def test_the_time_of_a_refusal_is_no_use() -> None:
    """What is refused pushes nothing back."""
    limited, usage = quota("1/min"), Usage()
    usage = limited.admit(usage, MOMENT)

    for second in range(60):
        assert refused(limited, usage, MOMENT + second * SECOND).retry_after == 60 - second

    assert limited.admit(usage, MOMENT + 60 * SECOND) == replace(usage, uses=2, arrival=MOMENT + 120 * SECOND)
