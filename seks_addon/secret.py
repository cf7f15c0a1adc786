"""The type that holds a real credential, so that it can't be printed by accident."""

import re
from typing import Final

from seks_addon.errors import InputError

MAX_BYTES: Final = 64 * 1024
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Secret:
    """A real credential in memory: `repr`, `str` and `format` say nothing; `reveal()` is explicit and rare."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    @classmethod
    def parse(cls, raw: bytes) -> "Secret":
        """Take a credential as a person or a pipe hands it in.

        One trailing newline is dropped. Raises `InputError` where it is empty, over 64 KiB, not UTF-8, or
        holds control characters; the message never quotes it.
        """
        raw = raw.removesuffix(b"\n").removesuffix(b"\r")
        if len(raw) > MAX_BYTES:
            raise InputError(
                f"the secret is {len(raw):,} bytes long; the limit is {MAX_BYTES:,}",
                hint="a credential is short; was the wrong file handed in?",
            )
        try:
            value = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise InputError("the secret is binary, not text", hint="hand it in as UTF-8 text") from None
        if not value.strip():
            raise InputError("the secret is empty", hint="pipe it in with --stdin, or type it at the prompt")
        if _CONTROL.search(value):
            raise InputError(
                "the secret holds a control character (a line break or a tab, for example)",
                hint="hand in the bare value: one line, without quotes around it",
            )
        return cls(value)

    def reveal(self) -> str:
        """Return the credential itself. Every call is a place to review."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> str:
        raise TypeError("a Secret is never pickled")
