"""The egress policy."""

import pytest

from seks_addon.destination.egress import Egress, EgressPolicy
from seks_addon.destination.host import HostPattern
from seks_addon.refusal import Refused

ALLOW = (HostPattern.parse("*.example.com"), HostPattern.parse("both.example"))
DENY = (HostPattern.parse("bad.example.com"), HostPattern.parse("both.example"))


@pytest.mark.parametrize(
    ("mode", "host", "bound", "passes"),
    [
        (Egress.OPEN, "any.example", False, True),
        (Egress.OPEN, "any.example", True, True),
        (Egress.OPEN, "bad.example.com", True, False),
        (Egress.BOUND, "any.example", False, False),
        (Egress.BOUND, "any.example", True, True),
        (Egress.BOUND, "a.example.com", False, True),
        (Egress.BOUND, "bad.example.com", True, False),
        (Egress.LIST, "any.example", True, False),
        (Egress.LIST, "a.example.com", False, True),
        (Egress.LIST, "bad.example.com", False, False),
        (Egress.LIST, "both.example", True, False),
    ],
)
def test_policy(mode: Egress, host: str, bound: bool, passes: bool) -> None:
    """A mode says who passes, allowed hosts pass as well, denied ones never."""
    policy = EgressPolicy(mode, ALLOW, DENY)

    if passes:
        policy.check(host, bound=bound)
    else:
        with pytest.raises(Refused) as caught:
            policy.check(host, bound=bound)
        assert caught.value.code == "egress_denied"
        assert host in caught.value.message


def test_default() -> None:
    """Without a policy every host passes; the address guard is another matter."""
    EgressPolicy().check("any.example", bound=False)
