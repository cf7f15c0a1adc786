"""How a credential looks when somebody wrote it down in another way, as a whole.

Where each character may be written in one way or another, `escapes` finds it.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from hmac import compare_digest
from typing import Final

from seks_addon.base64_core import base64_core
from seks_addon.scrub.automaton import Match

#: A shorter rest of base64 is found in texts that have nothing to do with the credential.
_MIN_CORE: Final = 6
#: How long a form may be besides what the credential takes up in it, and how much a byte of that may, in bytes.
_MAX_RENDERED: Final = 256
_WIDEST: Final = 6
_TO_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
#: How much of the end of a form is looked for, in bytes, before the whole is compared. How long the search takes may
#: tell an agent how much of it is in a text of its choice; so it is a quarter of the form, and not much of any.
_END: Final = range(4, 9)


@dataclass(frozen=True, slots=True, repr=False)
class Known:
    """A credential that must not come back, and what is written in its place.

    `rendered` are forms that it took in the request, such as a Basic pair, each with the agent's own.
    """

    value: str
    stand_in: str
    rendered: tuple[tuple[bytes, bytes], ...] = ()

    def as_read(self) -> "Iterator[Known]":
        """Give it, and it without blanks around it: who reads a header drops those (RFC 9110 section 5.5)."""
        yield self
        if (bare := self.value.strip()) not in ("", self.value):
            yield Known(bare, self.stand_in)

    def forms(self) -> Iterator[tuple[bytes, bytes]]:
        """Give (form, what to write instead) pairs: raw, hex, base64, in other charsets and the wrong one."""
        value, stand_in = self.value.encode(), self.stand_in.encode()
        yield value, stand_in
        if " " in self.value:
            # In a query, or a form.
            yield value.replace(b" ", b"+"), stand_in
        if not self.value.isascii():
            yield from ((form, stand_in) for form in self._misread())
        yield value.hex().encode(), stand_in.hex().encode()
        yield value.hex().upper().encode(), stand_in.hex().upper().encode()
        yield from self._units("utf-16")
        # Who asks may choose the charset, where a host heeds `Accept` so far.
        yield from self._units("utf-32")
        if self.value.isascii():
            # Letters, digits and most of what else is in a credential are the same in each kind of EBCDIC.
            yield self.value.encode("cp037"), self.stand_in.encode("cp037")
        yield from self._base64()

    def is_found_in(self, rendered: bytes) -> bool:
        """Tell whether a form is so long that most of it is the agent's own: a Basic pair with a user name to match.

        The credential's own base64 is found in it. What is as long as the agent likes would be held back, and searched
        with every byte that comes.
        """
        return len(self.value) >= _MIN_CORE and len(rendered) > _MAX_RENDERED + _WIDEST * len(self.value.encode())

    def encoded(self) -> Iterator[tuple[bytes, bytes]]:
        """Give those whose letters and digits nobody would escape."""
        yield from self.rendered
        yield from self._base64()

    def _misread(self) -> Iterator[bytes]:
        """In latin-1 where that has all of it, and in UTF-8 that somebody took for latin-1 or its like."""
        with contextlib.suppress(UnicodeError):
            yield self.value.encode("latin-1")
        for charset in ("latin-1", "cp1252"):
            with contextlib.suppress(UnicodeError):
                yield self.value.encode().decode(charset).encode()

    def _base64(self) -> Iterator[tuple[bytes, bytes]]:
        value, stand_in = self.value.encode(), self.stand_in.encode()
        # As long, modulo three, as the credential: what follows in the same base64 stays readable.
        padded = stand_in + b"_" * ((len(value) - len(stand_in)) % 3)
        for before in range(3):
            core = base64_core(value, before)
            if len(core) >= _MIN_CORE:
                instead = base64_core(padded, before)
                yield core, instead
                yield core.translate(_TO_URL_SAFE), instead.translate(_TO_URL_SAFE)

    def _units(self, charset: str) -> Iterator[tuple[bytes, bytes]]:
        value, stand_in = (text.encode(f"{charset}-le") for text in (self.value, self.stand_in))
        if self.value.isascii():
            # Both byte orders have this within: all but the last unit's zeros.
            empty = len("\0".encode(f"{charset}-le")) - 1
            yield value[:-empty], stand_in[:-empty]
        else:
            yield value, stand_in
            yield self.value.encode(f"{charset}-be"), self.stand_in.encode(f"{charset}-be")


class Form:
    """A text that is looked for, and what is written instead."""

    def __init__(self, text: bytes, instead: bytes) -> None:
        self._text = text
        self._instead = instead
        length = min(max(len(text) // 4, _END.start), _END.stop - 1)
        #: How it ends: in no text without this there is anything to find.
        self.end = text[-length:]

    def find(self, text: bytes, position: int = 0) -> Iterator[Match]:
        """Give the matches from `position` on, without overlaps."""
        before = len(self._text) - len(self.end)
        at = text.find(self.end, position + before)
        while at >= 0:
            start, end = at - before, at + len(self.end)
            # Whatever is right of it, and how much: it takes as long.
            if found := compare_digest(text[start:end], self._text):
                yield Match(start, end, self._instead)
            at = text.find(self.end, end + before if found else at + 1)
