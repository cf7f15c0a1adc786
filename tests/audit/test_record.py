"""One audit record, and how it hangs from the one before it."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seks_addon.audit.record import FIELDS, GENESIS, Event, Outcome, Record, chain_hash

FULL = Record(
    time="2026-01-02T03:04:05.000006Z",
    event=Event.OUTCOME,
    outcome=Outcome.FAILED,
    request_id="req_1",
    reason="interrupted",
    client="acme",
    agent="robot",
    secret="api",
    provider="openai",
    token_id="tok_1",
    source_ip="127.0.0.1",
    method="GET",
    scheme="https",
    host="api.example.com",
    port=443,
    path="/v1",
    status=200,
    request_bytes=1,
    response_bytes=2,
    scrubbed=3,
    duration_ms=4,
)


def test_known_answer() -> None:
    """Another program that follows the description gets the same hash."""
    fields = Record(time="2026-01-02T03:04:05.000006Z", event=Event.ADMIN, outcome=Outcome.ALLOWED).to_json()
    nulls = {name: None for name in FIELDS if name not in {"time", "event", "outcome"}}
    said = {"time": "2026-01-02T03:04:05.000006Z", "event": "admin", "outcome": "allowed", "seq": 1}
    text = json.dumps({**nulls, **said, "prev_hash": "0" * 64}, sort_keys=True, separators=(",", ":"))

    assert chain_hash(1, fields, GENESIS) == hashlib.sha256(text.encode()).hexdigest()


def test_fields() -> None:
    """A record has the fields of the contract, but for those of the chain."""
    contract = """time request_id event outcome reason client agent secret provider token_id source_ip method scheme
        host port path status request_bytes response_bytes scrubbed duration_ms"""

    assert set(FIELDS) == set(contract.split())


def test_from_row() -> None:
    """A record is read back from a row that has more."""
    row = {**json.loads(json.dumps(FULL.to_json())), "seq": 5, "hash": "x"}

    assert Record.from_row(row) == FULL


@pytest.mark.parametrize("name", FIELDS)
def test_hash_covers_every_field(name: str) -> None:
    """Another value in any field is another hash, and nothing isn't the empty text or zero."""
    fields = FULL.to_json()
    hashes = {chain_hash(1, {**fields, name: value}, GENESIS) for value in (fields[name], None, "", 0, "other")}

    assert len(hashes) == 5


@given(st.integers(1, 2**40), st.integers(1, 2**40), st.text("0123456789abcdef", min_size=64, max_size=64))
def test_hash_covers_the_place(one: int, other: int, before: str) -> None:
    """A record's number and the record before it are part of its hash."""
    fields = FULL.to_json()

    assert (chain_hash(one, fields, GENESIS) == chain_hash(other, fields, GENESIS)) == (one == other)
    assert (chain_hash(one, fields, before) == chain_hash(one, fields, GENESIS)) == (before == GENESIS)
