"""Vectors of the audit log."""

from seks_addon.audit.record import GENESIS, Event, Outcome, Record, chain_hash
from tests.vectors.fixed import Case


def audit() -> list[Case]:
    """A chain of three records, and chains that are broken."""
    common: Case = {"client": "default", "agent": "default", "secret": "openai"}
    told = [
        Record(
            time="2026-01-02T03:04:05.000006Z",
            event=Event.ADMIN,
            outcome=Outcome.ALLOWED,
            reason="vault.add",
            **common,
        ),
        Record(
            time="2026-01-02T03:04:06.000000Z",
            event=Event.INTENT,
            outcome=Outcome.ALLOWED,
            request_id="req_1",
            host="api.example.com",
            port=443,
            path="/v1/ü",
            **common,
        ),
        Record(
            time="2026-01-02T03:04:06.100000Z",
            event=Event.OUTCOME,
            outcome=Outcome.ALLOWED,
            status=200,
            request_id="req_1",
            **common,
        ),
    ]
    chain: list[Case] = []
    previous = GENESIS
    for seq, record in enumerate(told, 1):
        own = chain_hash(seq, record.to_json(), previous)
        chain.append({"seq": seq, **record.to_json(), "prev_hash": previous, "hash": own})
        previous = own
    return [
        {"expect": "success", "name": "three records", "records": chain},
        {
            "expect": "changed",
            "name": "another host",
            "bad_seq": 2,
            "records": [chain[0], {**chain[1], "host": "evil.example"}, chain[2]],
        },
        {"expect": "changed", "name": "one taken out", "bad_seq": 2, "records": [chain[0], chain[2]]},
        {"expect": "moved", "name": "another order", "bad_seq": 1, "records": [chain[1], chain[0], chain[2]]},
        {"expect": "truncated", "name": "the first is gone", "bad_seq": 1, "records": chain[1:]},
    ]
