"""The egress policy: which hosts agents may reach at all, with or without a token."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from seks_addon.destination.host import HostPattern
from seks_addon.refusal import Refused


class Egress(StrEnum):
    """`open`: every public host; `bound`: those a secret is bound to and the allowed; `list`: the allowed only."""

    OPEN = "open"
    BOUND = "bound"
    LIST = "list"


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """A mode, and patterns that widen or narrow it. A deny pattern always wins."""

    mode: Egress = Egress.OPEN
    allow: Sequence[HostPattern] = ()
    deny: Sequence[HostPattern] = ()

    def check(self, host: str, *, bound: bool) -> None:
        """Raise `Refused` unless agents may reach the canonical `host`; the mode `bound` wants to know if it is."""
        if any(pattern.matches(host) for pattern in self.deny):
            raise Refused("egress_denied", f"The egress policy denies {host}.", hint="See --deny-host.")
        if (
            self.mode is Egress.OPEN
            or (self.mode is Egress.BOUND and bound)
            or any(pattern.matches(host) for pattern in self.allow)
        ):
            return
        raise Refused("egress_denied", f"The egress policy ({self.mode}) doesn't allow {host}.")
