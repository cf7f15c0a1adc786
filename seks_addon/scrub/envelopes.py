"""Messages within a body, each behind its length, as gRPC and Connect send them.

No credential is a part of two messages, and a client waits for the end of one before it asks for the next: so each
is scrubbed to its end when it is there.
"""

from collections.abc import Iterator
from typing import Final

#: A flag of one byte, and four of length (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
_HEAD: Final = 5


class Envelopes:
    """Finds where messages end in a stream of them."""

    def __init__(self) -> None:
        self._head = b""
        self._left = 0

    def split(self, data: bytes) -> Iterator[tuple[bytes, bool]]:
        """Give the next bytes in pieces, each with whether a message ends behind it."""
        position = 0
        while position < len(data):
            if self._left == 0:
                taken = data[position : position + _HEAD - len(self._head)]
                self._head += taken
                position += len(taken)
                if len(self._head) == _HEAD:
                    self._left = int.from_bytes(self._head[1:])
                    self._head = b""
                    yield taken, self._left == 0
                else:
                    yield taken, False
                continue
            piece = data[position : position + self._left]
            position += len(piece)
            self._left -= len(piece)
            yield piece, self._left == 0


def has_envelopes(media_type: str) -> bool:
    """Tell whether bodies of that media type, in lower case, are messages in envelopes."""
    return media_type.startswith(("application/grpc", "application/connect+"))
