"""The address guard."""

import ipaddress
import subprocess
import sys
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seks_addon.destination.address import DENIED, AddressGuard

GUARD = AddressGuard()


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "10.255.255.255",
        "100.64.0.1",
        "100.100.100.200",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",
        "169.254.169.254",
        "169.254.170.2",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::169.254.169.254",
        "::ffff:127.0.0.1",
        "::ffff:93.184.216.34",
        "::ffff:0:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::93.184.216.34",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:10::1",
        "2001:20::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:5db8:d822::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "febf::1",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
    ],
)
def test_refused(address: str) -> None:
    """Whatever isn't a public host's address is refused with a reason."""
    assert GUARD.problem(ip_address(address), 443)


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "8.8.8.8",
        "93.184.216.34",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.1",
        "168.63.129.15",
        "168.63.129.17",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2001:200::1",
        "2606:4700:4700::1111",
        "2a00:1450:4001::1",
    ],
)
def test_public(address: str) -> None:
    """Public addresses pass, right up to the edges of the ranges."""
    assert GUARD.problem(ip_address(address), 443) is None


@given(st.sampled_from(DENIED), st.data())
def test_whole_ranges(row: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, str], data: st.DataObject) -> None:
    """Every address of every denied range is refused."""
    network, _ = row
    offset = data.draw(st.integers(0, network.num_addresses - 1))

    assert GUARD.problem(network.network_address + offset, 443)


@given(st.ip_addresses())
def test_only_global_addresses(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """What passes is global in the registries' eyes too, and holds no other address within."""
    if GUARD.problem(address, 443) is None:
        assert address.is_global
        assert not address.is_multicast
        if isinstance(address, ipaddress.IPv6Address):
            assert (address.ipv4_mapped, address.sixtofour, address.teredo) == (None, None, None)


@pytest.mark.parametrize(
    ("address", "passes"), [("10.1.2.3", True), ("10.1.3.1", False), ("fd00::1", True), ("127.0.0.1", False)]
)
def test_exceptions(address: str, passes: bool) -> None:
    """The operator's exceptions pass, and nothing beside them."""
    guard = AddressGuard([ip_network("10.1.2.0/24"), ip_network("fd00::/64")])

    assert (guard.problem(ip_address(address), 443) is None) is passes


def test_exceptions_are_of_one_family() -> None:
    """Allowing a v4 network doesn't allow it in the clothes of v6."""
    guard = AddressGuard([ip_network("127.0.0.0/8")])

    assert guard.problem(ip_address("127.0.0.1"), 443) is None
    assert guard.problem(ip_address("::ffff:127.0.0.1"), 443)
    assert guard.problem(ip_address("::1"), 443)


@pytest.mark.parametrize(
    ("own", "address", "port", "itself"),
    [
        ("127.0.0.1", "127.0.0.1", 7357, True),
        ("127.0.0.1", "127.0.0.1", 443, False),
        ("127.0.0.1", "127.0.0.2", 7357, False),
        ("93.184.216.34", "93.184.216.34", 7357, True),
        ("0.0.0.0", "127.0.0.1", 7357, True),
        ("0.0.0.0", "127.9.9.9", 7357, True),
        ("0.0.0.0", "10.1.2.3", 7357, True),
        ("0.0.0.0", "10.1.2.3", 443, False),
        ("0.0.0.0", "1.1.1.1", 7357, False),
        ("::", "::1", 7357, True),
        ("::", "127.0.0.1", 7357, True),
        ("::", "::ffff:127.0.0.1", 7357, True),
    ],
)
def test_own_addresses(own: str, address: str, port: int, itself: bool) -> None:
    """The proxy isn't reached through itself, whatever the operator allows."""
    everything = [ip_network("0.0.0.0/0"), ip_network("::/0")]
    guard = AddressGuard(everything, [(ip_address(own), 7357)])

    assert guard.problem(ip_address(address), port) == ("the proxy itself" if itself else None)


#: A network of its own, where the loopback interface has a public address too (netdevice(7)).
PUBLIC_ADDRESS = """
import fcntl, os, socket, struct
from ipaddress import ip_address
from seks_addon.destination.address import AddressGuard
os.unshare(os.CLONE_NEWUSER | os.CLONE_NEWNET)
guard = AddressGuard(own=[(ip_address("0.0.0.0"), 7357)])
ask = lambda: [guard.problem(ip_address("1.1.1.1"), port) for port in (7357, 443)]
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
    fcntl.ioctl(control, 0x8914, struct.pack("16sH22x", b"lo", 1))
    before = ask()
    address = struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton("1.1.1.1"))
    fcntl.ioctl(control, 0x8916, struct.pack("16s16s8x", b"lo:1", address))
print(before, ask())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="networks of one's own are Linux's")
def test_own_public_address() -> None:
    """On all addresses, it listens on the machine's public ones too."""
    ended = subprocess.run([sys.executable, "-c", PUBLIC_ADDRESS], capture_output=True, text=True, check=False)

    if "PermissionError" in ended.stderr:
        pytest.skip("no network of one's own may be made here")
    assert ended.stdout.strip() == "[None, None] ['the proxy itself', None]", ended.stderr


@pytest.mark.parametrize(
    ("addresses", "reason"),
    [
        (["1.1.1.1", "8.8.8.8"], None),
        ([], None),
        (["1.1.1.1", "127.0.0.1"], "loopback"),
        (["10.0.0.1", "1.1.1.1"], "private"),
        (["1.1.1.1", "2606:4700::1", "::1"], "unspecified, loopback, v4-compatible"),
    ],
)
def test_one_bad_answer_is_enough(addresses: list[str], reason: str | None) -> None:
    """A host that resolves to any unsafe address is refused."""
    assert GUARD.first_problem([ip_address(address) for address in addresses], 443) == reason
