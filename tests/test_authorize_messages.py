"""May this message use this token? As a request may, in a declared field."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from seks_addon.authorize import decide_text
from seks_addon.destination.host import Origin
from seks_addon.placements.json_text import MessagePlacement
from seks_addon.policy import Policy
from seks_addon.refusal import Refused
from seks_addon.timing import timestamp
from seks_addon.tokens import new_token
from seks_addon.vault import Agent, Grant
from tests.samples import AGENT, GRANT, NOW, ORIGIN, OTHER_TOKEN, TOKEN, binding
from tests.test_authorize import OTHER_GRANT, head

FIELD = MessagePlacement("/d/token")
GATEWAY = replace(GRANT, binding=binding("message:/d/token"))


def judge_message(
    message: str, *, grant: Grant = GATEWAY, origin: Origin = ORIGIN, agent: Agent = AGENT, moment: datetime = NOW
) -> list[str]:
    """The tokens that are swapped in a message."""
    handshake = head(target="/ws")
    grants = {TOKEN: grant, OTHER_TOKEN: OTHER_GRANT}
    substitutions = decide_text(handshake, message.encode(), [FIELD], origin, agent, grants.get, moment)
    return [substitution.match.token for substitution in substitutions]


def test_message() -> None:
    """The token in the declared field is swapped; others in the same message are somebody's text."""
    assert judge_message(f'{{"d":{{"token":"{TOKEN}","prompt":"{OTHER_TOKEN} {TOKEN}"}}}}') == [TOKEN]
    assert judge_message(f'{{"d":{{"prompt":"{TOKEN}"}}}}') == []
    assert judge_message(TOKEN) == []


@pytest.mark.parametrize(
    ("circumstances", "code"),
    [
        ({"grant": replace(GATEWAY, revoked=True)}, "token_revoked"),
        ({"grant": replace(GATEWAY, expires=timestamp(NOW))}, "token_expired"),
        ({"grant": replace(GATEWAY, secret_expires=timestamp(NOW))}, "token_expired"),
        ({"grant": replace(GATEWAY, agent_id="agt_2")}, "token_unknown"),
        ({"grant": replace(GATEWAY, binding=binding("bearer"))}, "token_misplaced"),
        ({"grant": replace(GATEWAY, binding=binding("message:/token"))}, "token_misplaced"),
        ({"origin": Origin("other.example", 443)}, "host_not_allowed"),
        ({"grant": replace(GATEWAY, policy=Policy(methods=("POST",)))}, "method_not_allowed"),
        ({"grant": replace(GATEWAY, policy=Policy(path_prefixes=("/v1",)))}, "path_not_allowed"),
    ],
)
def test_refused_message(circumstances: dict[str, Any], code: str) -> None:
    """In the field, a token is judged as in a request."""
    with pytest.raises(Refused) as refused:
        judge_message(f'{{"d":{{"token":"{TOKEN}"}}}}', **circumstances)

    assert refused.value.code == code


@pytest.mark.parametrize(
    ("token", "code"),
    [(new_token("x"), "token_unknown"), (TOKEN[:-1] + "x", "token_malformed")],
    ids=["unknown", "malformed"],
)
def test_message_with_no_such_token(token: str, code: str) -> None:
    with pytest.raises(Refused) as refused:
        judge_message(f'{{"d":{{"token":"{token}"}}}}')

    assert refused.value.code == code
