"""What the vectors are made of: keys and names, and randomness that is always the same."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from seks_addon.vault.envelope import Key

VALUE = "sk-FAKE-not-a-real-key-0000000000000000"
UNUSUAL = "sk-FAKE-nicht-echt-ü€😀"
VAULT_ID = "00000000-0000-4000-8000-000000000000"
CLIENT, AGENT, SECRET, TOKEN = (f"{kind}_000000000000" for kind in ("cli", "agt", "sec", "tok"))
SOURCE = {"kind": "keyfile"}
MASTER = Key.from_material(bytes(range(32)))
DATA = Key(bytes(range(8)), bytes(range(32, 64)))
VAULT_KEY = Key(bytes(range(8, 16)), bytes(range(64, 96)))
BINDING = {"endpoints": [{"host": "api.example.com", "placements": ["bearer"], "port": 443}], "policy": {}}

Case = dict[str, Any]


@contextmanager
def fixed(seed: str) -> Iterator[None]:
    """Make the operating system's randomness a stream that hangs from `seed`."""
    count = 0

    def stream(length: int) -> bytes:
        nonlocal count
        count += 1
        return hashlib.shake_256(f"seks vectors {seed} {count}".encode()).digest(length)

    with mock.patch("os.urandom", stream), mock.patch("random._urandom", stream):
        yield
