"""The head of a request in plain values."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

#: A character of a name in HTTP, as a class of a pattern (RFC 9110 section 5.6.2: of a `token`).
TCHAR: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]"

#: A header's name and value as they came, each byte one character (latin-1).
Header = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Head:
    """A request's head in plain values; `target` is path and query as they were sent."""

    method: str
    target: str
    version: str
    headers: tuple[Header, ...]

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    def values(self, name: str) -> list[str]:
        """Every value of the header `name`, which is given in lower case."""
        return [value for header, value in self.headers if header.lower() == name]

    def without(self, names: Iterable[str]) -> "Head":
        """A copy that lacks the headers `names`, given in lower case."""
        gone = frozenset(names)
        return replace(self, headers=tuple(h for h in self.headers if h[0].lower() not in gone))
