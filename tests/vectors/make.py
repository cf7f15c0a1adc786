"""Writes the vectors beside it: `python -m tests.vectors.make [NAME...]`, all of them where none is named.

What is random comes from a stream that is always the same, but for `vault.json` and the boxes of `sealed.json`: those
hold moments, and libsodium's own randomness. They are made once and kept. Format 1 doesn't change, so neither does a
file here; a new format gets new files.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.vectors.chains import audit
from tests.vectors.fixed import Case
from tests.vectors.rows import rows, tokens
from tests.vectors.sealing import boxes, keys, passphrases, records
from tests.vectors.vaults import vault

FOLDER = Path(__file__).parent

#: File → what it is about, who makes its cases, and whether it is the same each time.
FILES: dict[str, tuple[str, Callable[[], list[Case]], bool]] = {
    "records": ("sealed records; bytes are in hex", records, True),
    "keys": ("key ids, derived keys, lines of key files", keys, True),
    "passphrases": ("master keys from passphrases", passphrases, True),
    "tokens": ("fake tokens, and the hashes that they are found under", tokens, True),
    "rows": ("MACs of rows", rows, True),
    "audit": ("chains of audit records", audit, True),
    "sealed": ("values that were sealed for a vault", boxes, False),
    "vault": ("a whole vault; later cases change the first one's database with SQL, or its key", vault, False),
}


def document(name: str) -> dict[str, Any]:
    """The content of a file."""
    about, make, _ = FILES[name]
    return {"format": "docs/vault-format.md, format 1", "about": about, "cases": make()}


if __name__ == "__main__":
    for chosen in sys.argv[1:] or FILES:
        text = json.dumps(document(chosen), indent=1, ensure_ascii=False)
        (FOLDER / f"{chosen}.json").write_text(text + "\n", "utf-8")
