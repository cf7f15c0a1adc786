"""How many connections there may be."""

import pytest

from seks_addon.addon.admission import Admission
from seks_addon.refusal import Refused

HERE, THERE = "192.0.2.1", "192.0.2.2"


def entered(admission: Admission, source: str, *keys: str) -> list[str | None]:
    """Let connections in; gives which ones left for them."""
    return [admission.enter(key, source) for key in keys]


def test_oldest_of_an_address_leaves() -> None:
    """An address that has as many as it may have loses its oldest; others lose none."""
    admission = Admission(10, 2)

    assert entered(admission, THERE, "x") == [None]
    assert entered(admission, HERE, "a", "b", "c", "d") == [None, None, "a", "b"]
    assert len(admission) == 3


def test_agents_are_counted_apart() -> None:
    """Who has said which agent it is no longer counts for its address, and never leaves for another."""
    admission = Admission(10, 2)
    entered(admission, HERE, "a", "b")
    admission.name("a", "one")
    admission.name("a", "one")

    assert entered(admission, HERE, "c", "d") == [None, "b"]


def test_agent_has_too_many() -> None:
    """An agent gets no more than it may have, until one of its own ends. The refused one still counts."""
    admission = Admission(10, 2)
    entered(admission, HERE, "a", "b")
    admission.name("a", "one")
    admission.name("b", "one")
    entered(admission, HERE, "c", "d")

    with pytest.raises(Refused, match="This agent has too many") as caught:
        admission.name("c", "one")
    assert caught.value.code == "overloaded"
    admission.name("c", "two")
    admission.leave("a")
    admission.name("d", "one")

    assert len(admission) == 3


def test_another_agent_on_the_same_connection() -> None:
    """A connection counts for the agent that it named last."""
    admission = Admission(10, 1)
    entered(admission, HERE, "a")
    admission.name("a", "one")
    admission.name("a", "two")
    entered(admission, HERE, "b")

    admission.name("b", "one")

    with pytest.raises(Refused):
        admission.name("b", "two")


def test_no_room_at_all() -> None:
    """Where there is no more room the oldest that named no agent leaves; where all did, nobody comes in."""
    admission = Admission(3, 3)
    entered(admission, HERE, "a", "b", "c")
    admission.name("a", "one")

    assert entered(admission, THERE, "d") == ["b"]
    admission.name("c", "one")
    admission.name("d", "two")
    with pytest.raises(Refused, match="The proxy has too many"):
        admission.enter("e", THERE)

    assert len(admission) == 3


def test_leaving() -> None:
    """Leaving twice is leaving once, and one that has left is not counted again."""
    admission = Admission(3, 2)
    entered(admission, HERE, "a", "b")

    for _ in range(2):
        admission.leave("a")
    admission.leave("b")
    admission.name("a", "one")

    assert len(admission) == 0
