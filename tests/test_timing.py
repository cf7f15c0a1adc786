"""Points in time and spans of it."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seks_addon.errors import InputError
from seks_addon.timing import now, parse_duration, parse_moment, timestamp

REFERENCE = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15m", 900), ("24h", 86400), ("30d", 2592000), ("2w", 1209600), (" 1H ", 3600), ("007s", 7)],
)
def test_duration(text: str, seconds: int) -> None:
    """A number and a unit make a span."""
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "0s", "000d", "5", "h", "-1h", "1.5h", "1 h", "1y", "1h30m", "1234567s", "٣h", "٠h", "1h\x00"]
)
def test_duration_that_is_none(text: str) -> None:
    """Anything else is refused with an example."""
    with pytest.raises(InputError, match="not a duration") as caught:
        parse_duration(text)

    assert "24h" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("text", "past", "wanted"),
    [
        ("1h", False, REFERENCE + timedelta(hours=1)),
        ("1h", True, REFERENCE - timedelta(hours=1)),
        ("2026-12-31", False, datetime(2026, 12, 31, tzinfo=UTC)),
        ("2026-12-31T18:00Z", False, datetime(2026, 12, 31, 18, tzinfo=UTC)),
        ("2026-12-31T18:00+02:00", True, datetime(2026, 12, 31, 16, tzinfo=UTC)),
        (" 2026-12-31 18:00:01.5 ", False, datetime(2026, 12, 31, 18, 0, 1, 500000, tzinfo=UTC)),
    ],
)
def test_moment(text: str, past: bool, wanted: datetime) -> None:
    """A span counts from now, a date is its first instant, a time without an offset is UTC."""
    assert parse_moment(text, past=past, reference=REFERENCE) == wanted


@pytest.mark.parametrize(
    ("text", "past"),
    [
        ("999999w", False),
        ("999999w", True),
        ("999999d", True),
        ("0001-01-01T00:00+14:00", False),
        ("9999-12-31T23:59-14:00", False),
    ],
)
def test_moment_too_far_away(text: str, past: bool) -> None:
    """What no calendar has is refused, not a crash."""
    with pytest.raises(InputError, match="too far away"):
        parse_moment(text, past=past, reference=REFERENCE)


def test_moment_counts_from_now() -> None:
    """Without a reference, a span begins at the present, in UTC."""
    moment = parse_moment("1h")

    assert abs(moment - now() - timedelta(hours=1)) < timedelta(seconds=5)
    assert moment.tzinfo is UTC


@given(st.text(max_size=30) | st.from_regex(r"[0-9:T+Zsmhdw-]{1,20}", fullmatch=True), st.booleans())
def test_moment_of_any_text(text: str, past: bool) -> None:
    """Any text is a moment that can be written down, or refused."""
    try:
        moment = parse_moment(text, past=past)
    except InputError:
        return
    assert timestamp(moment).endswith("Z")


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (REFERENCE, "2026-01-02T03:04:05.000006Z"),
        (datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2))), "2025-12-31T22:00:00.000000Z"),
        (datetime(987, 6, 5, tzinfo=UTC), "0987-06-05T00:00:00.000000Z"),
    ],
)
def test_timestamp(moment: datetime, text: str) -> None:
    """A moment is written in UTC, with microseconds, always as long."""
    assert timestamp(moment) == text


OFFSETS = st.integers(-840, 840).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=OFFSETS)  # noqa: DTZ001 - as it asks for


@given(MOMENTS, MOMENTS)
def test_timestamps_sort_as_moments_do(one: datetime, other: datetime) -> None:
    """Comparing two texts compares the moments, whatever their offsets."""
    assert (timestamp(one) < timestamp(other)) == (one < other)


@given(MOMENTS)
def test_timestamp_is_read_back(moment: datetime) -> None:
    """What is written is read as the same moment."""
    assert parse_moment(timestamp(moment)) == moment
