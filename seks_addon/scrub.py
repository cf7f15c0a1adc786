"""Removing a credential from what comes back, in a stream: `feed` bytes in, clean bytes out, `finish` at the end.

Whole credentials are replaced, never fragments of one: masking fragments tells a guesser how far it is right.
What might be the beginning of a credential is held back until the next bytes decide, nothing else is.

Searched with `bytes.find`, not with a pattern: Python keeps compiled patterns, and a credential with them.
"""

from collections.abc import Iterable, Iterator


class Scrubber:
    """Replaces each form of each credential. `count` says how many occurrences were removed."""

    def __init__(self, replacements: Iterable[tuple[bytes, bytes]]) -> None:
        """Take (form of a credential, what to write instead) pairs; an empty form is ignored."""
        # The longest first: one form may begin with another.
        pairs = sorted(replacements, key=lambda pair: len(pair[0]), reverse=True)
        self._replacements = {form: token for form, token in pairs if form}
        self._held = b""
        self.count = 0

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes; give what is certain of all so far."""
        if not self._replacements:
            return chunk
        text = self._held + chunk if self._held else chunk
        clean: list[bytes] = []
        position = 0
        end = len(text) - self._open_length(text, position)
        for start, form in self._matches(text):
            # What is still open goes before a form that begins within it, or with it and is shorter.
            if start >= end:
                break
            clean += (text[position:start], self._replacements[form])
            position = start + len(form)
            self.count += 1
            if position > end:
                end = len(text) - self._open_length(text, position)
        self._held = text[end:]
        clean.append(text[position:end])
        return b"".join(clean)

    def finish(self) -> bytes:
        """Give what was held back; there is nothing more to come."""
        text, self._held = self._held, b""
        return self.whole(text)

    def whole(self, text: bytes) -> bytes:
        """Clean a text that stands for itself, such as a header's value; independent of the stream."""
        clean: list[bytes] = []
        position = 0
        for start, form in self._matches(text):
            clean += (text[position:start], self._replacements[form])
            position = start + len(form)
            self.count += 1
        return b"".join([*clean, text[position:]]) if clean else text

    def _matches(self, text: bytes) -> Iterator[tuple[int, bytes]]:
        """Where which form is, from left to right and without overlaps; of those that begin together, the longest."""
        next_ones = {form: text.find(form) for form in self._replacements}
        position = 0
        while True:
            for form, start in next_ones.items():
                if 0 <= start < position:
                    next_ones[form] = text.find(form, position)
            found = [(start, form) for form, start in next_ones.items() if start >= 0]
            if not found:
                return
            start, form = min(found, key=lambda match: match[0])
            yield start, form
            position = start + len(form)

    def _open_length(self, text: bytes, position: int) -> int:
        """How many bytes at the end of `text`, from `position` on, are the beginning of a form."""
        longest = 0
        for form in self._replacements:
            limit = min(len(form) - 1, len(text) - position)
            # Jump from one possible first byte to the next instead of trying every length.
            start = text.find(form[:1], len(text) - limit) if limit > 0 else -1
            while start != -1:
                if form.startswith(text[start:]):
                    longest = max(longest, len(text) - start)
                    break
                start = text.find(form[:1], start + 1)
        return longest
