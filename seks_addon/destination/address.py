"""The address guard: which IP addresses the proxy may connect to."""

import ipaddress
import socket
from collections.abc import Iterable, Sequence
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: What is refused, and why. Sources: the IANA special-purpose address registries (RFC 6890 and its updates),
#: and the cloud vendors' pages on their metadata services.
DENIED: Final[tuple[tuple[Network, str], ...]] = tuple(
    (ipaddress.ip_network(network), reason)
    for network, reason in (
        ("0.0.0.0/8", "this host"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier-grade NAT; Alibaba's metadata service"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "Azure's platform address"),
        ("169.254.0.0/16", "link-local; metadata services"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "protocol assignments; Oracle's metadata service"),
        ("192.0.2.0/24", "documentation"),
        ("192.31.196.0/24", "AS112"),
        ("192.52.193.0/24", "AMT"),
        ("192.88.99.0/24", "6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("192.175.48.0/24", "AS112"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved, broadcast"),
        ("::/96", "unspecified, loopback, v4-compatible"),
        ("::ffff:0:0/96", "v4-mapped"),
        ("::ffff:0:0:0/96", "v4-translated"),
        ("64:ff9b::/96", "NAT64"),
        ("64:ff9b:1::/48", "local NAT64"),
        ("100::/64", "discard"),
        ("100:0:0:1::/64", "dummy prefix"),
        ("2001::/23", "protocol assignments, Teredo, ORCHID"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("2620:4f:8000::/48", "AS112"),
        ("3fff::/20", "documentation"),
        ("5f00::/16", "segment routing"),
        ("fc00::/7", "unique local; AWS's metadata service"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)


#: What no exception opens.
ITSELF: Final = "the proxy itself"


class AddressGuard:
    """Decides on resolved addresses: `DENIED`, less the operator's exceptions, plus the proxy's own."""

    def __init__(self, allowed: Iterable[Network] = (), own: Iterable[tuple[Address, int]] = ()) -> None:
        self._allowed = tuple(allowed)
        self._own = frozenset(own)
        self._own_ports_everywhere = frozenset(port for address, port in self._own if address.is_unspecified)

    def problem(self, address: Address, port: int) -> str | None:
        """Say why the address is refused, or None where it may be connected to."""
        if (address, port) in self._own or (
            port in self._own_ports_everywhere
            and (any(address in network for network, _ in DENIED) or is_this_machine(address))
        ):
            return ITSELF
        if any(address in network for network in self._allowed):
            return None
        for network, reason in DENIED:
            if address in network:
                return reason
        return None if address.is_global else "not global"

    def first_problem(self, addresses: Sequence[Address], port: int) -> str | None:
        """Say why a host is refused: one unsafe answer among its addresses is enough (rebinding)."""
        return next((problem for address in addresses if (problem := self.problem(address, port))), None)


def is_this_machine(address: Address) -> bool:
    """Tell whether one of the machine's interfaces has the address now: nobody else can bind to it."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True
