"""The scrubber itself: `feed` bytes in, clean bytes out, `finish` at the end.

What could be the beginning of a credential, whichever it is, is held back until the next bytes decide. Were it what
begins the very credential, one could read this off the pieces that come out, character by character, by guessing:
so where they are cut depends on the text alone.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final, Protocol

from seks_addon.scrub.automaton import Automaton, Match
from seks_addon.scrub.escapes import Escapes
from seks_addon.scrub.forms import Form, Known

#: How much is held back at the most, in bytes, for credentials of the usual length.
_REACH: Final = 1024
#: What ends whatever could be a credential's: every control character but NUL, which UTF-16 has, and a blank; less
#: those that are in one of its forms.
_ENDS: Final = frozenset({*range(1, 0x21), 0x7F})
_BREAK: Final = b"\1"
#: How quoted-printable breaks lines anywhere.
_FOLDS: Final = (b"=\r\n", b"=\n", b"=\r")


class _Finder(Protocol):
    def find(self, text: bytes, position: int = 0) -> Iterator[Match]: ...


class Scrubber:
    """Replaces each form of each credential. `count` says how many occurrences were removed."""

    def __init__(self, credentials: Iterable[Known] = ()) -> None:
        self._known: dict[str, Known] = {}
        self._forms: dict[bytes, Form] = {}
        #: What finds ends of forms, and the forms that end so.
        self._ends: list[tuple[Automaton, list[Form]]] = []
        self._escapes = Escapes(())
        #: Makes a break of a byte, and nothing of any other.
        self._breaks = bytes(256)
        self._reach = _REACH
        self._held = b""
        self.count = 0
        self.add(credentials)

    def add(self, credentials: Iterable[Known]) -> None:
        """Look for these too, from the next bytes on; a form that is known already keeps its stand-in."""
        before = dict(self._known)
        for one in (version for credential in credentials for version in credential.as_read()):
            known = self._known.get(one.value) or replace(one, rendered=())
            new = tuple(pair for pair in one.rendered if pair not in known.rendered and not one.is_found_in(pair[0]))
            self._known[one.value] = replace(known, rendered=known.rendered + new)
        if self._known == before or not self._known:
            return
        # What an agent knows as its own comes first.
        pairs = [pair for one in self._known.values() for pair in one.rendered]
        pairs += [pair for one in self._known.values() for pair in one.forms()]
        for text, instead in pairs:
            if text:
                self._forms.setdefault(text, Form(text, instead))
        by_end = defaultdict(list)
        for form in self._forms.values():
            by_end[form.end].append(form)
        self._ends = [
            (automaton, [form for end in automaton.patterns for form in by_end[end]])
            for automaton in Automaton.groups(by_end)
        ]
        self._escapes = Escapes(self._known.values())
        ends = _ENDS.difference(*self._forms)
        self._breaks = bytes(byte in ends for byte in range(256))
        longest = max([self._escapes.widest, 1, *map(len, self._forms)])
        # By powers of two: how far it reaches says next to nothing about the credential's length.
        self._reach = max(_REACH, 1 << (longest - 1).bit_length())

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes; give what is certain of all so far."""
        if not self._forms:
            return chunk
        text = self._held + chunk if self._held else chunk
        search = self._search(text)
        clean: list[bytes] = []
        position = 0
        end = self._open_at(text, position)
        while (match := search.next(position)) and match.start < end:
            # What is still open goes before a form that begins within it, or with it and is shorter.
            clean += (text[position : match.start], match.instead)
            position = match.end
            self.count += 1
            if position > end:
                end = self._open_at(text, position)
        self._held = text[end:]
        if not clean and end == len(text):
            return text
        clean.append(text[position:end])
        return b"".join(clean)

    def finish(self) -> bytes:
        """Give what was held back; there is nothing more to come."""
        text, self._held = self._held, b""
        return self.whole(text)

    def finds(self, text: bytes) -> bool:
        """Tell whether there is something to remove from a text."""
        return bool(self._forms) and self._search(text).next(0) is not None

    def whole(self, text: bytes) -> bytes:
        """Clean a text that stands for itself, such as a header's value; independent of the stream."""
        if not self._forms:
            return text
        search = self._search(text)
        clean: list[bytes] = []
        position = 0
        while match := search.next(position):
            clean += (text[position : match.start], match.instead)
            position = match.end
            self.count += 1
        return b"".join([*clean, text[position:]]) if clean else text

    def _search(self, text: bytes) -> "_Search":
        plain = [form for automaton, forms in self._ends if automaton.places(text) for form in forms]
        return _Search([*plain, *self._escapes.finders(text)], text)

    def _open_at(self, text: bytes, position: int) -> int:
        """Where, from `position` on, the end of the text begins in which a credential could begin."""
        start = max(position, len(text) - self._reach)
        # There is no break in what was held, but it may end in what makes a fold of one.
        seen = len(self._held)
        seen -= 1 if self._held.endswith(b"=") else 2 if self._held.endswith(b"=\r") else 0
        fresh = text[max(start, seen) :]
        for fold in _FOLDS:
            fresh = fresh.replace(fold, bytes(len(fold)))
        last = fresh.translate(self._breaks).rfind(_BREAK)
        return start if last < 0 else len(text) - len(fresh) + last + 1


class _Search:
    """The matches in one text, from left to right; of those that begin together, the longest."""

    def __init__(self, finders: Sequence[_Finder], text: bytes) -> None:
        self._finders = finders
        self._text = text
        self._found = [finder.find(text) for finder in finders]
        self._next = [next(matches, None) for matches in self._found]

    def next(self, position: int) -> Match | None:
        """Give the first match that begins at `position` or later; positions never go back."""
        for number, finder in enumerate(self._finders):
            while (match := self._next[number]) is not None and match.start < position:
                if match.end > position:
                    # What another one found ends within it, and within it another one may begin.
                    self._found[number] = finder.find(self._text, position)
                self._next[number] = next(self._found[number], None)
        found = [match for match in self._next if match is not None]
        return min(found, key=lambda match: (match.start, -match.end), default=None)
