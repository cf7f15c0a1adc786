"""Who costs much waits in between, and nobody else does."""

import asyncio

from seks_addon.addon.pace import FREE, SLICE, WHOLE, Pace, Share


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
    """What costs little is read as it comes."""
    assert asyncio.run(sizes(Pace(Reader(), Share()), [FREE] * 3)) == [WHOLE] * 3


def test_dear_reads() -> None:
    """What cost much is read in small pieces, until it has been cheap for long."""
    read = asyncio.run(sizes(Pace(Reader(), Share()), [2 * FREE, *[0.0] * 101]))

    assert read == [WHOLE, *[SLICE] * 100, WHOLE]


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
