"""Host names and ports in their one canonical form, and patterns over them."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from seks_addon.errors import InputError

#: RFC 1035 section 2.3.4: octets in a name, without the trailing dot.
MAX_NAME: Final = 253

# RFC 1123 section 2.1, and the underscore that real names carry.
_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
# A last label that a resolver may read as a number makes the whole name an address (WHATWG URL, 3.5).
_NUMERIC: Final = re.compile(r"0x[0-9a-f]*|[0-9]+")


class OddAddressError(InputError):
    """An address in a spelling that only some resolvers read: `127.1`, `0x7f000001`, `017700000001`."""


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """A canonical host name or address, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 443 else f"{host}:{self.port}"


def canonical_host(text: str) -> str:
    """Give a host its one form: lower case, no trailing dot, no brackets, addresses as `ipaddress` writes them.

    International names must already be in their `xn--` form, as they are on the wire. Raises `InputError`,
    also for the spellings of an address that only some resolvers read (`127.1`, `0x7f000001`, `017700000001`).
    """
    if not text.isascii():
        raise InputError("that is no host name")
    name = text.lower()
    if name.startswith("[") and name.endswith("]"):
        return _address(name[1:-1], version=6)
    if ":" in name:
        return _address(name, version=6)
    name = name.removesuffix(".")
    labels = name.split(".")
    if not name or len(name) > MAX_NAME or not all(_LABEL.fullmatch(label) for label in labels):
        raise InputError("that is no host name")
    if _NUMERIC.fullmatch(labels[-1]):
        return _address(name, version=4)
    return name


def _address(text: str, version: int) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise OddAddressError("that is no host name, and no address in its usual form") from None
    if address.version != version or "%" in text:
        raise InputError("that is no address in its usual form")
    return str(address)


def is_address(host: str) -> bool:
    """Tell whether a canonical host is an address, not a name."""
    return ":" in host or host.rpartition(".")[2].isdigit()


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can connect to what listens on `host`."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def parse_origin(text: str, default_port: int | None = 443) -> Origin:
    """Read `host`, `host:port`, `[v6]` or `[v6]:port`; raises `InputError`."""
    host, port = text, None
    if match := re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]*)(?::([0-9]{1,5}))?", text):
        host, port = match[1], match[2]
    number = int(port) if port else default_port
    if number is None or not 1 <= number <= 65535:
        raise InputError("the port is missing or not between 1 and 65535")
    return Origin(canonical_host(host), number)


def parse_user_origin(text: str) -> Origin:
    """Read what a person types: as `parse_origin`, and international names in their own script."""
    try:
        return parse_origin(_on_the_wire(text))
    except InputError as error:
        raise InputError(f"{text!r}: {error.message}", hint="write HOST or HOST:PORT") from None


def _on_the_wire(text: str) -> str:
    if text.isascii():
        return text
    name, colon, port = text.partition(":")
    try:
        return name.encode("idna").decode() + colon + port
    except UnicodeError:
        raise InputError("that is no host name") from None


@dataclass(frozen=True, slots=True)
class HostPattern:
    """A host, or `*.` (exactly one label) or `**.` (one or more) before one."""

    text: str

    @classmethod
    def parse(cls, text: str) -> "HostPattern":
        """Raises `InputError` for anything but `name`, `*.name`, `**.name`, an address, or `*` (every host)."""
        if text in ("*", "**"):
            return cls("*")
        wildcard = next((prefix for prefix in ("**.", "*.") if text.startswith(prefix)), "")
        try:
            host = canonical_host(_on_the_wire(text.removeprefix(wildcard)))
        except InputError as error:
            raise InputError(
                f"{text!r}: {error.message}", hint="write HOST, *.HOST or **.HOST, without a port"
            ) from None
        if wildcard and is_address(host):
            raise InputError(f"{text!r}: an address takes no wildcard")
        return cls(wildcard + host)

    def matches(self, host: str) -> bool:
        """Tell whether the canonical `host` is covered."""
        if self.text == "*":
            return True
        if self.text.startswith("**."):
            return host.endswith(self.text[2:]) and len(host) > len(self.text) - 2
        if self.text.startswith("*."):
            return host.partition(".")[2] == self.text[2:] and not is_address(host)
        return host == self.text
