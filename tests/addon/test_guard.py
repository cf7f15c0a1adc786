"""What is made of an exception from a hook."""

import gc
import weakref

import pytest

from seks_addon.addon.guard import as_refusal
from seks_addon.errors import AuditError, SeksError
from seks_addon.refusal import Refused


class Flow:
    """Something big."""


def test_refusal_holds_nothing() -> None:
    """A refusal outlives the hook, and what the hook had in its hands doesn't."""

    def hook() -> None:
        flow = Flow()
        held.append(weakref.ref(flow))
        try:
            raise ValueError(flow)
        except ValueError:
            raise Refused("overloaded") from None

    held: list[weakref.ref[Flow]] = []
    with pytest.raises(Refused) as caught:
        hook()
    refused = as_refusal("hook", caught.value)
    del caught
    gc.collect()

    assert refused.code == "overloaded"
    assert held[0]() is None


@pytest.mark.parametrize(
    ("error", "code"),
    [(AuditError("x"), "audit_unavailable"), (SeksError("x"), "vault_locked"), (ValueError("x"), "internal")],
)
def test_other_errors(error: Exception, code: str) -> None:
    """What is no refusal becomes one."""
    assert as_refusal("hook", error).code == code
