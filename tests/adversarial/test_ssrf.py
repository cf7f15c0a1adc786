"""Ways to the proxy's own machine, its network and the metadata services, in every spelling and by every name."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adversarial.conftest import EACH_FRONT, new_arena
from tests.adversarial.harness import MODELS, Arena, Case, Play, Word, any_of, ask, cases
from tests.adversarial.names import ADDRESSES, MIXED, MOVING
from tests.support.upstream import Upstream

BLOCKED = "address_blocked"
SPELLINGS = (
    # Usual ones.
    "127.0.0.1",
    "127.0.0.1.",
    "0.0.0.0",
    "10.1.2.3",
    "169.254.169.254",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    "255.255.255.255",
    # What only some resolvers read.
    "2130706433",
    "017700000001",
    "0x7f000001",
    "0x7F000001",
    "0x7f.0x0.0x0.0x1",
    "0177.0.0.1",
    "0177.0.0.01",
    "127.1",
    "127.0.1",
    "127.0.0.01",
    "127.0.0.0x1",
    "0",
    "0x0",
    "1.2.3.4.5",
    "127.0.0.256",
    "4294967296",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "169.254.43518",
    # Version 6, and what of version 4 hides in it.
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000::0001]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::FFFF:169.254.169.254]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::127.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::1]",
    "[2001:0:7f00:1::]",
    "[fd00:ec2::254]",
    "[fe80::1]",
    "[fec0::1]",
    "[ff02::1]",
)
"""What a CONNECT names."""


def spelled(address: str) -> Case:
    """A tunnel to an address."""
    return Case(
        f"tunnel to {address}", "reaches an address that isn't public", connect=f"{address}:443", back=(BLOCKED,)
    )


def in_clear(address: str, port: str = "{bound port}") -> Case:
    """A request in clear to an address, at a port where somebody listens."""
    where = f"{address}:{port}"
    request = ask(target=f"http://{where}/", host=where)
    return Case(f"clear to {where}", "reaches a service of the proxy's machine", request, (BLOCKED,), connect=None)


def named(name: str) -> Case:
    """A name that resolves to such an address."""
    host = f"{name}.ssrf.example.com"
    tries = "has a name of its own resolve to where it may not go"
    return Case(f"name of {name}", tries, ask(host=host), (BLOCKED,), connect=f"{host}:443")


def moving(name: str, port: str = "{moving port}") -> str:
    """Where a name that moves is."""
    return f"{name}:{port}"


def after_the_move(play: Play) -> Iterator[Word]:
    """Each answer closes the connection to the host: the next request needs another, in the same tunnel."""
    name = moving(MOVING[2])
    closing = ask("Authorization: Bearer {moving}", target="/closing", host=name)

    async def close(_: object, send) -> None:  # type: ignore[no-untyped-def]
        await send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")

    play.arena.hosts["moving"].route("GET", "/closing", close)
    wire = play.wire()
    assert play.enter(wire, name) is None
    for _ in range(3):
        yield from play.exchange(wire, closing)


CASES = (
    *(spelled(address) for address in SPELLINGS),
    *(
        in_clear(address)
        for address in ("127.0.0.1", "localhost", "[::1]", "127.1", "0x7f000001", "[::ffff:127.0.0.1]")
    ),
    *(named(name) for name in (*ADDRESSES, *MIXED)),
    Case(
        "localhost",
        "says localhost",
        ask(host="localhost:{bound port}"),
        (BLOCKED,),
        connect="localhost:{bound port}",
    ),
    Case(
        "control moving",
        "does what it may: this one address is allowed",
        ask("Authorization: Bearer {moving}", host=moving(MOVING[0])),
        (200,),
        connect=moving(MOVING[0]),
        uses=1,
    ),
    Case(
        "name moves between check and use",
        "has a checked name resolve to loopback at the next lookup",
        ask("Authorization: Bearer {moving}", host=moving(MOVING[1])),
        (200,),
        connect=moving(MOVING[1]),
        uses=1,
    ),
    Case(
        "name moves before a reconnect",
        "has the second connection of a tunnel go elsewhere",
        act=after_the_move,
        back=(200, BLOCKED, BLOCKED),
        uses=1,
        intents=3,
    ),
    Case(
        "allowed address, another next to it",
        "goes beyond the exception that the operator made",
        connect="127.0.0.3:{moving port}",
        back=(BLOCKED,),
    ),
    Case(
        "the proxy's own port",
        "has the proxy connect to itself",
        connect="127.0.0.1:{proxy port}",
        back=(BLOCKED,),
    ),
    Case(
        "the proxy's own port, by name",
        "has the proxy connect to itself",
        ask(host="localhost:{proxy port}"),
        (BLOCKED,),
        connect="localhost:{proxy port}",
    ),
    in_clear("127.0.0.1", "{proxy port}"),
    in_clear("localhost", "{proxy port}"),
    Case(
        "mitmproxy's page in clear",
        "reads pages of the proxy's",
        ask(target="http://mitm.it/", host="mitm.it"),
        ("upstream_unreachable",),
        connect=None,
    ),
    Case(
        "mitmproxy's page in a tunnel",
        "reads pages of the proxy's",
        ask(target="/cert/pem", host="mitm.it"),
        ("upstream_unreachable",),
        connect="mitm.it:443",
    ),
    Case(
        "a zone",
        "names an interface",
        connect="[fe80::1%25lo]:443",
        back=(any_of(BLOCKED, "request_malformed"),),
    ),
    Case(
        "metadata by its name, in clear",
        "asks for the machine's own credentials",
        ask("Metadata-Flavor: Google", target="http://aws.ssrf.example.com/latest", host="aws.ssrf.example.com"),
        (BLOCKED,),
        connect=None,
    ),
)


@cases(*CASES)
def test_ssrf(arena: Arena, case: Case) -> None:
    """No connection is made to what isn't public, or wasn't allowed by the operator."""
    arena.play(case)


@pytest.fixture(scope="module", params=EACH_FRONT)
def open_arena(
    request: pytest.FixtureRequest, ground: Path, hosts: dict[str, Upstream], options: list[str], names: Path
) -> Iterator[Arena]:
    """A proxy whose operator opened all of loopback."""
    loose = [*options, "--allow-private", "127.0.0.0/8"]
    arena = new_arena(request.param, ground / f"open-{request.param}", hosts, loose, names)
    with arena.proxy:
        arena.words["proxy port"] = str(arena.proxy.port)
        yield arena


@cases(
    Case(
        "control loopback",
        "does what it may: loopback is open",
        ask(host="127.0.0.1:{attacker port}"),
        (200,),
        connect="127.0.0.1:{attacker port}",
        server_name=None,
        passes=1,
    ),
    Case("own port", "has the proxy connect to itself", connect="127.0.0.1:{proxy port}", back=(BLOCKED,)),
    Case(
        "own port, by name",
        "has the proxy connect to itself",
        ask(target=MODELS, host="localhost:{proxy port}"),
        (BLOCKED,),
        connect="localhost:{proxy port}",
    ),
    in_clear("127.0.0.1", "{proxy port}"),
    in_clear("loopback.ssrf.example.com", "{proxy port}"),
)
def test_itself(open_arena: Arena, case: Case) -> None:
    """No exception opens the proxy itself."""
    open_arena.play(case)
