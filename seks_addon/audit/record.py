"""One audit record, and how it hangs from the one before it."""

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Self

from seks_addon.canonical import canonical_json

#: What the first record hangs from.
GENESIS: Final = "0" * 64


class Event(StrEnum):
    """What a record is about."""

    INTENT = "intent"
    OUTCOME = "outcome"
    REFUSED = "refused"
    TRIPWIRE = "tripwire"
    ADMIN = "admin"


class Outcome(StrEnum):
    """How it went."""

    ALLOWED = "allowed"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What happened. No field ever holds a credential or a token.

    `reason` is a code of the table of refusals, `interrupted`, or, of an administrative record, the act
    (`vault.add`): `allowed` before it is done, and once more `failed` where it ended in an error. `path` is without
    the query. `duration_ms` is in milliseconds, sizes are in bytes.
    """

    time: str
    event: Event
    outcome: Outcome
    request_id: str | None = None
    reason: str | None = None
    client: str | None = None
    agent: str | None = None
    secret: str | None = None
    provider: str | None = None
    token_id: str | None = None
    source_ip: str | None = None
    method: str | None = None
    scheme: str | None = None
    host: str | None = None
    port: int | None = None
    path: str | None = None
    status: int | None = None
    request_bytes: int | None = None
    response_bytes: int | None = None
    scrubbed: int | None = None
    duration_ms: int | None = None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Read the fields that are a record's own from a row that has more."""
        values = {name: row[name] for name in FIELDS}
        return cls(**{**values, "event": Event(row["event"]), "outcome": Outcome(row["outcome"])})

    def to_json(self) -> dict[str, Any]:
        """The fields in their order, null where there is nothing to say."""
        return {name: getattr(self, name) for name in FIELDS}


FIELDS: Final = tuple(field.name for field in dataclasses.fields(Record))


def chain_hash(seq: int, fields: Mapping[str, Any], prev_hash: str) -> str:
    """SHA-256, in hex, of the canonical JSON of the record with its number and the hash of the one before it."""
    return hashlib.sha256(canonical_json({**fields, "seq": seq, "prev_hash": prev_hash})).hexdigest()
