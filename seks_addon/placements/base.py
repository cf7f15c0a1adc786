"""What every placement is: something that finds a token where it may stand, and can put the credential there."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Self

from seks_addon.head import Head


class Place(Enum):
    """What may hold a token and isn't a header: the target, and a text that is read whole."""

    TARGET = "target"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Match:
    """The whole value of a placement, believed to be a token.

    `place` is the index of a header, or another part of the request. `render` makes that header's value, or that
    part, around another credential; `form` makes the text that the credential takes there (for the scrubber: a
    Basic pair is one text).
    """

    place: int | Place
    token: str
    where: str
    render: Callable[[str], bytes]
    form: Callable[[str], bytes]


class Placement(ABC):
    """A declared place for a token in a request."""

    @property
    @abstractmethod
    def spec(self) -> str:
        """The text that `seks_addon.placements.parse` reads as this placement."""

    @property
    @abstractmethod
    def where(self) -> str:
        """The place in a few words, for messages."""

    @abstractmethod
    def match(self, head: Head) -> Iterator[Match]:
        """Find what stands in this place and looks like a token; other values are none of its business."""

    def values(self, head: Head) -> Iterator[str]:
        """All that stands in this place or could be read as if, token or not; nothing where it isn't in the head."""
        del head
        return iter(())

    def check_value(self, value: str) -> None:  # noqa: B027 - most places take any
        """Raise `InputError` where a credential can't stand in this place; the message doesn't quote it."""


class TextPlacement(Placement):
    """A declared place in a text that is read whole before anything of it goes out: a body, or a message."""

    def match(self, head: Head) -> Iterator[Match]:
        return iter(())

    @abstractmethod
    def match_text(self, text: bytes) -> Iterator[Match]:
        """Find what stands in this place and looks like a token."""

    @classmethod
    def match_all(cls, text: bytes, places: Iterable[Self]) -> Iterator[Match]:
        """Find what stands in places of one kind; where all of the text must be read for it, that is done once."""
        del cls
        for place in places:
            yield from place.match_text(text)


class BodyPlacement(TextPlacement):
    """A declared place in the body of a request."""

    @abstractmethod
    def reads(self, content_type: str) -> bool:
        """Tell whether the place is in bodies of that media type, given in lower case without parameters."""
