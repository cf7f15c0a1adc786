"""Removing a credential from what comes back, in a stream: `feed` bytes in, clean bytes out, `finish` at the end.

Whole credentials are replaced, never fragments of one: masking fragments tells a guesser how far it is right.
What might be the beginning of a credential is held back until the next bytes decide, nothing else is.
"""

import re
from collections.abc import Iterable


class Scrubber:
    """Replaces each form of each credential. `count` says how many occurrences were removed."""

    def __init__(self, replacements: Iterable[tuple[bytes, bytes]]) -> None:
        """Take (form of a credential, what to write instead) pairs; an empty form is ignored."""
        self._replacements = {form: token for form, token in replacements if form}
        # The longest first: one form may begin with another.
        forms = sorted(self._replacements, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(re.escape(form) for form in forms)) if forms else None
        self._held = b""
        self.count = 0

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes; give what is certain of all so far."""
        if self._pattern is None:
            return chunk
        text = self._held + chunk if self._held else chunk
        clean: list[bytes] = []
        position = 0
        end = len(text) - self._open_length(text, position)
        for match in self._pattern.finditer(text):
            # What is still open goes before a form that begins within it, or with it and is shorter.
            if match.start() >= end:
                break
            clean += (text[position : match.start()], self._replacements[match[0]])
            position = match.end()
            self.count += 1
            if position > end:
                end = len(text) - self._open_length(text, position)
        self._held = text[end:]
        clean.append(text[position:end])
        return b"".join(clean)

    def finish(self) -> bytes:
        """Give what was held back; there is nothing more to come."""
        if self._pattern is None:
            return b""
        text, self._held = self._held, b""
        clean, removed = self._pattern.subn(lambda match: self._replacements[match[0]], text)
        self.count += removed
        return clean

    def whole(self, text: bytes) -> bytes:
        """Clean a text that stands for itself, such as a header's value; independent of the stream."""
        if self._pattern is None:
            return text
        clean, removed = self._pattern.subn(lambda match: self._replacements[match[0]], text)
        self.count += removed
        return clean

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
