"""One byte string for one value: the JSON that is hashed, authenticated and signed."""

import hashlib
import json
from typing import Any


def canonical_json(value: Any) -> bytes:
    """Encode with sorted keys, no blanks, UTF-8 (RFC 8785 for the types used here: no floating point)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON, as 64 lower-case hex digits."""
    return hashlib.sha256(canonical_json(value)).hexdigest()
