"""The fake token: its form, its checksum, and how it is found in a text.

    seks_openai_3Zu0…Qk9xw2B1
    │    │      │      └ checksum, 6 characters: CRC-32 of all before it
    │    │      └ random, 33 characters: 192 bits
    │    └ provider, `[a-z0-9]{1,32}`
    └ so that scanners know it

Letters and digits only after the second underscore: some clients look at dots and dashes in a key.
"""

import re
import secrets
import zlib
from typing import Final

ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
RANDOM_BITS: Final = 192
RANDOM_LENGTH: Final = 33  # 62**33 > 2**192
CHECKSUM_LENGTH: Final = 6  # 62**6 > 2**32
LENGTH: Final = RANDOM_LENGTH + CHECKSUM_LENGTH

#: What every token begins with.
TOKEN_MARK: Final = b"seks_"

_FORM: Final = re.compile(rf"seks_[a-z0-9]{{1,32}}_[0-9A-Za-z]{{{LENGTH}}}")
# What somebody meant as a token: more or fewer characters behind the provider, another case. A short name
# such as `seks_addon_x` is none. What stands before it doesn't matter: `/bot<token>/` holds one.
LOOKALIKE: Final = re.compile(r"seks_[a-z0-9]{1,32}_[0-9A-Za-z]{20,}", re.IGNORECASE)

# With what hangs on to it: a token right behind another one begins within the first one's letters.
_REDACTED: Final = re.compile(LOOKALIKE.pattern + r"\w*", re.IGNORECASE)


def new_token(provider: str) -> str:
    """Make a token from the operating system's random source."""
    label = re.sub(r"[^a-z0-9]", "", provider.lower())[:32] or "custom"
    head = f"seks_{label}_{_base62(secrets.randbits(RANDOM_BITS), RANDOM_LENGTH)}"
    return head + _checksum(head)


def is_token(text: str) -> bool:
    """Tell offline whether `text` is a whole, undamaged token."""
    return bool(_FORM.fullmatch(text)) and _checksum(text[:-CHECKSUM_LENGTH]) == text[-CHECKSUM_LENGTH:]


def find_lookalikes(text: str) -> list[str]:
    """Return every part of `text` that is a token or was meant as one, in order."""
    return [match[0] for match in LOOKALIKE.finditer(text)]


def redact(text: str) -> str:
    """Replace every token in `text`, so that it can go into a log or a record."""
    return _REDACTED.sub("seks_[redacted]", text)


def new_id(prefix: str) -> str:
    """Make a public identifier (64 bits or more): it names a thing and opens nothing."""
    return f"{prefix}_{_base62(secrets.randbits(71), 12)}"


def new_password() -> str:
    """Make a proxy password: letters and digits, as some clients mistreat percent-encoded ones; 190 bits."""
    return _base62(secrets.randbits(190), 32)


def _checksum(head: str) -> str:
    return _base62(zlib.crc32(head.encode("ascii")), CHECKSUM_LENGTH)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))
