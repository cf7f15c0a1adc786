"""Closing for good."""

import asyncio
import socket

import pytest

from seks_addon.addon import sockets


@pytest.mark.parametrize("reads", [False, True])
def test_close(monkeypatch: pytest.MonkeyPatch, reads: bool) -> None:
    """What is left is sent to who reads it; who doesn't isn't waited for beyond the time to linger."""
    monkeypatch.setattr(sockets, "LINGER", 30 if reads else 0.1)
    size = 8 << 20

    async def scenario() -> int:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        _, writer = await asyncio.open_connection(sock=ours)
        writer.write(b"x" * size)
        assert writer.transport.get_write_buffer_size()

        sockets.close(writer)

        received = 0
        while reads and (data := await asyncio.get_running_loop().sock_recv(theirs, 1 << 20)):
            received += len(data)
        async with asyncio.timeout(20):
            while ours.fileno() != -1:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        theirs.close()
        return received

    assert asyncio.run(scenario()) == (size if reads else 0)
