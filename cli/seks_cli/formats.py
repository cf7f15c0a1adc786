"""Variables in the languages of those who read them. Every value is quoted so that nothing in it is code."""

import json
import re
import shlex
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from seks_addon.errors import InputError

# What every reader of .env files takes without quotes.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./:@%+,=-]*")


def write(variables: Mapping[str, str], form: str) -> str:
    """Write variables in a form of `FORMS`; raises `InputError` where a value can't be written in it."""
    return FORMS[form](variables)


def _sh(name: str, value: str) -> str:
    return f"export {name}={shlex.quote(value)}"


def _fish(name: str, value: str) -> str:
    # Between single quotes fish reads two escapes, of the backslash and of the quote.
    quoted = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"set -gx {name} '{quoted}'"


def _powershell(name: str, value: str) -> str:
    # PowerShell also takes the typographic quotes for single quotes; each is doubled.
    quoted = re.sub("(['‘’‚‛])", r"\1\1", value)  # noqa: RUF001
    return f"$env:{name} = '{quoted}'"


def _dotenv(name: str, value: str) -> str:
    if _PLAIN.fullmatch(value):
        return f"{name}={value}"
    if "'" not in value and "\\" not in value:
        return f"{name}='{_one_line(name, value)}'"
    escaped = re.sub(r'([\\"$`])', r"\\\1", _one_line(name, value))
    return f'{name}="{escaped}"'


def _docker(name: str, value: str) -> str:
    # `docker run --env-file` knows no quotes: the rest of the line is the value.
    return f"{name}={_one_line(name, value)}"


def _one_line(name: str, value: str) -> str:
    if "\n" in value or "\r" in value:
        raise InputError(f"the value of {name} has a line break, which this format can't hold")
    return value


def _lines(line: Callable[[str, str], str]) -> Callable[[Mapping[str, str]], str]:
    return lambda variables: "".join(f"{line(name, value)}\n" for name, value in variables.items())


FORMS: Final[Mapping[str, Callable[[Mapping[str, str]], str]]] = MappingProxyType(
    {
        "sh": _lines(_sh),
        "fish": _lines(_fish),
        "powershell": _lines(_powershell),
        "dotenv": _lines(_dotenv),
        "docker": _lines(_docker),
        "json": lambda variables: json.dumps(dict(variables), indent=2) + "\n",
    }
)
