"""The table of refusals."""

import pytest

from seks_addon.errors import SeksError
from seks_addon.refusal import RULES, Refused

#: INTERFACE: what a refused request gets.
CONTRACT = {
    400: ["request_malformed", "token_misplaced", "token_malformed"],
    401: ["token_unknown", "token_revoked", "token_expired"],
    403: [
        "host_not_allowed",
        "method_not_allowed",
        "path_not_allowed",
        "agent_disabled",
        "address_blocked",
        "egress_denied",
        "cleartext_refused",
    ],
    407: ["agent_auth_required", "agent_auth_failed"],
    413: ["body_too_large"],
    421: ["authority_mismatch"],
    429: ["rate_limited", "uses_exhausted"],
    431: ["headers_too_large"],
    500: ["internal"],
    502: ["upstream_unreachable", "upstream_untrusted", "upstream_malformed", "response_unsafe"],
    503: ["vault_locked", "audit_unavailable", "overloaded"],
}


@pytest.mark.parametrize(("status", "code"), [(status, code) for status, codes in CONTRACT.items() for code in codes])
def test_every_code_of_the_contract(status: int, code: str) -> None:
    """A code has its status, and a message and a hint of its own."""
    refused = Refused(code)

    assert (refused.code, refused.status) == (code, status)
    assert refused.message == RULES[code].message
    assert refused.hint == RULES[code].hint
    assert isinstance(refused, SeksError)


def test_messages_are_told_apart() -> None:
    """No two codes say the same."""
    assert len({rule.message for rule in RULES.values()}) == len(RULES)


def test_better_words() -> None:
    """A message that knows more replaces the table's; the hint stays unless it is replaced too."""
    refused = Refused("internal", "The disk is full.")

    assert (refused.message, refused.hint) == ("The disk is full.", RULES["internal"].hint)
    assert Refused("internal", hint="Free some space.").hint == "Free some space."


def test_no_other_code() -> None:
    """A code that the contract doesn't know can't be made."""
    with pytest.raises(KeyError):
        Refused("something_else")
