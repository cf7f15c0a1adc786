"""Wildcards in what a secret is bound to: `*.example.com` is one whole label more, `**.example.com` one or more.

A wildcard never reaches across a public suffix, below which names belong to strangers: neither `com` nor `co.uk`,
nor a host's own for its customers (`github.io`). The list of them comes with the library; nothing is downloaded.
"""

from dataclasses import replace
from functools import cache, lru_cache
from typing import Final

from publicsuffixlist import PublicSuffixList

from seks_addon.destination.host import Origin, is_address, parse_user_origin
from seks_addon.errors import InputError

ONE: Final = "*."
MANY: Final = "**."


def parse_bound_origin(text: str) -> Origin:
    """Read HOST[:PORT], where HOST may begin with a wildcard, which the origin keeps; raises `InputError`."""
    wildcard = next((prefix for prefix in (MANY, ONE) if text.startswith(prefix)), "")
    origin = parse_user_origin(text.removeprefix(wildcard))
    if not wildcard:
        return origin
    if is_address(origin.host):
        raise InputError(f"{text!r} is an address, which takes no wildcard", hint="write a host name")
    if not _parents(f"_.{origin.host}"):
        raise InputError(
            f"{text!r}: the names below the public suffix {origin.host} belong to strangers",
            hint="begin the wildcard below a name of one owner: *.example.com",
        )
    return replace(origin, host=wildcard + origin.host)


@lru_cache(4096)
def covering(origin: Origin) -> tuple[Origin, ...]:
    """All that a secret can be bound to so that it reaches `origin`, the narrowest first; at most 128."""
    if is_address(origin.host):
        return (origin,)
    parents = _parents(origin.host)
    hosts = [origin.host, *(ONE + parent for parent in parents[:1]), *(MANY + parent for parent in parents)]
    return tuple(replace(origin, host=host) for host in hosts)


def _parents(host: str) -> list[str]:
    """The names above `host`, the longest first, as far as one owner has them."""
    labels = host.split(".")
    suffix = public_suffixes().publicsuffix(host) or host
    return [".".join(labels[start:]) for start in range(1, len(labels) - suffix.count(".") - 1)]


@cache
def public_suffixes() -> PublicSuffixList:
    """The list, read once; that takes tens of milliseconds."""
    # A last label that isn't on the list counts as a suffix too: `*.internal` is refused, `*.corp.internal` isn't.
    return PublicSuffixList(accept_unknown=True)
