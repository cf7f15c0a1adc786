"""Counting the use of what is limited, in the same change as the intents that are counted.

The tables aren't part of the chain: whoever can write the file can set a count back.
"""

import sqlite3
import time
from collections.abc import Sequence

from seks_addon.policy.limits import Quota, Usage


def count(connection: sqlite3.Connection, quotas: Sequence[Quota]) -> None:
    """Count one use of all subjects, or of none; raises `Exceeded` for the first whose limit is reached."""
    if not quotas:
        return
    moment = time.time_ns()
    counted = [(quota.subject, quota.admit(usage_of(connection, quota.subject), moment)) for quota in quotas]
    connection.executemany(
        "INSERT OR REPLACE INTO usage (subject, uses, arrival) VALUES (?, ?, ?)",
        [(subject, usage.uses, usage.arrival) for subject, usage in counted],
    )


def hold(connection: sqlite3.Connection, quotas: Sequence[Quota], intent: int) -> None:
    """Let the intent count as under way until it is settled."""
    if not quotas:
        return
    connection.executemany(
        "INSERT INTO holds (seq, subject) VALUES (?, ?)",
        [(intent, quota.subject) for quota in quotas if quota.limits.max_concurrent is not None],
    )


def usage_of(connection: sqlite3.Connection, subject: str) -> Usage:
    """What was counted for a subject."""
    row = connection.execute("SELECT uses, arrival FROM usage WHERE subject = ?", (subject,)).fetchone()
    [under_way] = connection.execute("SELECT count(*) FROM holds WHERE subject = ?", (subject,)).fetchone()
    uses, arrival = row or (0, 0)
    return Usage(uses, arrival, under_way)
