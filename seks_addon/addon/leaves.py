"""The certificates that agents are shown, signed when a host is first asked for."""

import ipaddress
import time
from collections import OrderedDict
from typing import Final

from cryptography import x509
from mitmproxy import certs

from seks_addon import ca
from seks_addon.refusal import Refused

#: How many are kept: those that were asked for last.
KEPT: Final = 1000
#: New names an agent may ask for: so many at once, and then one each time, in nanoseconds. Each costs the event loop
#: a signature.
BURST: Final = 60
INTERVAL: Final = 100_000_000


class Leaves:
    """Certificates by host name, all with the authority's key."""

    def __init__(self, authority: ca.Authority) -> None:
        self._authority = authority
        self._kept: OrderedDict[str, x509.Certificate] = OrderedDict()
        #: When each agent will have its whole burst again, in nanoseconds of the monotonic clock.
        self._full_at: dict[str, int] = {}

    def get(self, name: str, agent: str) -> x509.Certificate:
        """The certificate for `name`; raises `Refused` where `agent` asks for too many new ones."""
        leaf = self._kept.get(name)
        if leaf is None:
            self._count(agent)
            leaf = self._kept[name] = self._sign(name)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(name)
        return leaf

    def _count(self, agent: str) -> None:
        now = time.monotonic_ns()
        full_at = max(self._full_at.get(agent, now), now) + INTERVAL
        if full_at > now + BURST * INTERVAL:
            raise Refused("overloaded", "This agent asks for too many new host names at once.", retry_after=1)
        self._full_at[agent] = full_at

    def _sign(self, name: str) -> x509.Certificate:
        # It types the key as RSA and takes any.
        leaf = certs.dummy_cert(
            self._authority.key,  # type: ignore[arg-type]
            self._authority.certificate,
            name,
            [_general_name(name)],
        )
        return leaf.to_cryptography()


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name.encode("idna").decode())
