"""The scrubber itself: `feed` bytes in, clean bytes out, `finish` at the end.

What might be the beginning of a credential is held back until the next bytes decide, nothing else is.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from seks_addon.scrub.automaton import Automaton
from seks_addon.scrub.escapes import Escapes
from seks_addon.scrub.forms import Known


class _Match(NamedTuple):
    start: int
    end: int
    instead: bytes


class Scrubber:
    """Replaces each form of each credential. `count` says how many occurrences were removed."""

    def __init__(self, credentials: Iterable[Known] = ()) -> None:
        self._known: dict[str, Known] = {}
        self._instead: dict[bytes, bytes] = {}
        self._automata: list[Automaton] = []
        self._escapes = Escapes(())
        self._held = b""
        self.count = 0
        self.add(credentials)

    def add(self, credentials: Iterable[Known]) -> None:
        """Look for these too, from the next bytes on; a form that is known already keeps its stand-in."""
        before = dict(self._known)
        for one in credentials:
            known = self._known.get(one.value, one)
            new = tuple(pair for pair in one.rendered if pair not in known.rendered)
            self._known[one.value] = replace(known, rendered=known.rendered + new)
        if self._known == before:
            return
        # What an agent knows as its own comes first.
        pairs = [pair for one in self._known.values() for pair in one.rendered]
        pairs += [pair for one in self._known.values() for pair in one.forms()]
        for form, instead in pairs:
            if form:
                self._instead.setdefault(form, instead)
        self._automata = Automaton.groups(list(self._instead))
        self._escapes = Escapes(self._known.values())

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes; give what is certain of all so far."""
        if not self._automata:
            return chunk
        text = self._held + chunk if self._held else chunk
        search = _Search(self._automata, self._instead, self._escapes, text)
        clean: list[bytes] = []
        position = 0
        end = self._open_at(search, position)
        while (match := search.next(position)) and match.start < end:
            # What is still open goes before a form that begins within it, or with it and is shorter.
            clean += (text[position : match.start], match.instead)
            position = match.end
            self.count += 1
            if position > end:
                end = self._open_at(search, position)
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
        return bool(self._automata) and _Search(self._automata, self._instead, self._escapes, text).next(0) is not None

    def whole(self, text: bytes) -> bytes:
        """Clean a text that stands for itself, such as a header's value; independent of the stream."""
        if not self._automata:
            return text
        search = _Search(self._automata, self._instead, self._escapes, text)
        clean: list[bytes] = []
        position = 0
        while match := search.next(position):
            clean += (text[position : match.start], match.instead)
            position = match.end
            self.count += 1
        return b"".join([*clean, text[position:]]) if clean else text

    def _open_at(self, search: "_Search", position: int) -> int:
        """Where, from `position` on, the end of the text begins that may be the beginning of a form."""
        text = search.text
        first = min((start for start in search.open if start >= position), default=len(text))
        for form in self._instead:
            limit = min(len(form) - 1, len(text) - position)
            # Jump from one possible first byte to the next instead of trying every length.
            start = text.find(form[:1], len(text) - limit) if limit > 0 else -1
            while 0 <= start < first:
                if form.startswith(text[start:]):
                    first = start
                    break
                start = text.find(form[:1], start + 1)
        return first


class _Search:
    """The matches in one text, from left to right; of those that begin together, the longest."""

    def __init__(self, automata: list[Automaton], instead: dict[bytes, bytes], escapes: Escapes, text: bytes) -> None:
        self.text = text
        self._automata = automata
        self._instead = instead
        self._plain = [self._scan(automaton, 0) for automaton in automata]
        self._next = [next(matches, None) for matches in self._plain]
        #: Where an escaped credential begins that goes on behind the end of the text.
        self.open: list[int] = []
        self._escaped: list[_Match] = []
        for found in escapes.find(text):
            if found.end is None:
                self.open.append(found.start)
            else:
                self._escaped.append(_Match(found.start, found.end, found.stand_in))
        self._escaped.sort(key=lambda match: (match.start, -match.end), reverse=True)

    def next(self, position: int) -> _Match | None:
        """Give the first match that begins at `position` or later; positions never go back."""
        for number, automaton in enumerate(self._automata):
            while (match := self._next[number]) is not None and match.start < position:
                if match.end > position:
                    # What another automaton found ends within it, and within it another one may begin.
                    self._plain[number] = self._scan(automaton, position)
                self._next[number] = next(self._plain[number], None)
        while self._escaped and self._escaped[-1].start < position:
            self._escaped.pop()
        found = [match for match in (*self._next, *self._escaped[-1:]) if match is not None]
        return min(found, key=lambda match: (match.start, -match.end), default=None)

    def _scan(self, automaton: Automaton, position: int) -> Iterator[_Match]:
        for start, form in automaton.find(self.text, position):
            yield _Match(start, start + len(form), self._instead[form])
