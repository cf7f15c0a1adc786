"""Who costs much waits in between, and nobody else does."""

import asyncio
import itertools
import time

from seks_addon.addon.pace import FORGIVEN, FREE, SLICE, WHOLE, Pace, Queue, Share


class Reader:
    """Gives as much as it is asked for."""

    async def read(self, size: int) -> bytes:
        return bytes(size)


async def sizes(pace: Pace, costs: list[float]) -> list[int]:
    read = []
    for cost in costs:
        read.append(len(await pace.read(65535)))
        pace.cost(cost)
    return read


def test_cheap_reads() -> None:
    """What has been cheap for long is read as it comes; what nobody knows, in small pieces."""
    read = asyncio.run(sizes(Pace(Reader(), Share()), [FREE] * (FORGIVEN + 2)))

    assert read == [*[SLICE] * FORGIVEN, WHOLE, WHOLE]


def test_dear_reads() -> None:
    """What cost much is read in small pieces again, until it has been cheap for long."""
    read = asyncio.run(sizes(Pace(Reader(), Share()), [*[0.0] * FORGIVEN, 2 * FREE, *[0.0] * (FORGIVEN + 1)]))

    assert read == [*[SLICE] * FORGIVEN, WHOLE, *[SLICE] * FORGIVEN, WHOLE]


def test_turns() -> None:
    """Of many whose bytes cost much, one is read at a time, with a rest in between; others wait for none of them."""

    async def read(name: str, share: Share, ended: list[tuple[str, float]]) -> None:
        pace = Pace(Reader(), share)
        await pace.read(1)
        ended.append((name, time.monotonic()))
        pace.cost(0.02)

    async def scenario() -> list[tuple[str, float]]:
        queue = Queue()
        costly = [Share(queue) for _ in range(4)]
        ended: list[tuple[str, float]] = []
        for share in costly:
            share.spend(2 * FREE)
        await asyncio.gather(*(read("costly", share, ended) for share in costly), read("other", Share(queue), ended))
        return ended

    names, times = zip(*asyncio.run(scenario()), strict=True)

    assert names == ("other", *["costly"] * 4)
    assert all(later - sooner > 0.02 for sooner, later in itertools.pairwise(times))


def test_one_share() -> None:
    """All connections of an agent wait for what one of them cost; another agent's don't."""

    async def read(share: Share, ended: list[Share]) -> None:
        await Pace(Reader(), share).read(1)
        ended.append(share)

    async def scenario() -> bool:
        costly, other = Share(), Share()
        ended: list[Share] = []
        costly.spend(0.02)
        await asyncio.gather(read(costly, ended), read(costly, ended), read(other, ended))
        return ended == [other, costly, costly]

    assert asyncio.run(scenario())


def test_held() -> None:
    """Nothing is read from a connection that is held."""

    async def scenario() -> bool:
        pace = Pace(Reader(), Share())
        pace.go_on.clear()
        reading = asyncio.create_task(pace.read(1))
        await asyncio.sleep(0)
        held = not reading.done()
        pace.go_on.set()
        return held and bool(await reading)

    assert asyncio.run(scenario())
