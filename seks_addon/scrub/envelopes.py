"""Messages within a body, each behind its length, as gRPC, Connect and AWS's event streams send them.

No credential is a part of two messages, and a client waits for the end of one before it asks for the next: so each
is scrubbed to its end when it is there.
"""

from collections.abc import Callable, Iterator


class Envelopes:
    """Finds where messages end in a stream of them.

    `head`: how many bytes precede a message; `length`: how many follow, told from them.
    """

    def __init__(self, head: int, length: Callable[[bytes], int]) -> None:
        self._size = head
        self._length = length
        self._head = b""
        self._left = 0

    def split(self, data: bytes) -> Iterator[tuple[bytes, bool]]:
        """Give the next bytes in pieces, each with whether a message ends behind it."""
        position = 0
        while position < len(data):
            if self._left == 0:
                taken = data[position : position + self._size - len(self._head)]
                self._head += taken
                position += len(taken)
                if len(self._head) == self._size:
                    self._left = self._length(self._head)
                    self._head = b""
                    yield taken, self._left == 0
                else:
                    yield taken, False
                continue
            piece = data[position : position + self._left]
            position += len(piece)
            self._left -= len(piece)
            yield piece, self._left == 0


def envelopes_of(media_type: str) -> Envelopes | None:
    """Give what finds the messages in bodies of that media type, in lower case; None where there are none."""
    if media_type.startswith(("application/grpc", "application/connect+")):
        # A flag, and four bytes of length (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
        return Envelopes(5, lambda head: int.from_bytes(head[1:]))
    if media_type.startswith("application/vnd.amazon.eventstream"):
        # The length of all, itself included (https://smithy.io/2.0/aws/amazon-eventstream.html).
        return Envelopes(4, lambda head: max(0, int.from_bytes(head) - len(head)))
    return None
