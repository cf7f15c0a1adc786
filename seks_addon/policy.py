"""What a token may be used for: methods, paths, an end. A token's policy can only narrow its secret's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from seks_addon.errors import InputError
from seks_addon.refusal import Refused

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "REPORT")


@dataclass(frozen=True, slots=True)
class Policy:
    """Empty means: no limit of that kind."""

    methods: tuple[str, ...] = ()
    path_prefixes: tuple[str, ...] = ()

    @classmethod
    def parse(cls, methods: Sequence[str], path_prefixes: Sequence[str]) -> "Policy":
        """Read what a person typed; raises `InputError`."""
        upper = tuple(sorted({method.upper() for method in methods}))
        for method in upper:
            if method not in METHODS:
                raise InputError(f"{method!r} is no method that a token can be used with", hint=", ".join(METHODS))
        for prefix in path_prefixes:
            if not prefix.startswith("/") or not prefix.isascii() or not prefix.isprintable() or "?" in prefix:
                raise InputError(f"{prefix!r} is no path prefix", hint="write it from the root: /v1/models")
        return cls(upper, tuple(sorted(set(path_prefixes))))

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Policy":
        return cls(tuple(value.get("methods", ())), tuple(value.get("path_prefixes", ())))

    def to_json(self) -> dict[str, Any]:
        """Give the non-empty limits, for the database and for printing."""
        limits = {"methods": list(self.methods), "path_prefixes": list(self.path_prefixes)}
        return {name: limit for name, limit in limits.items() if limit}

    def check(self, method: str, path: str, *, whose: str) -> None:
        """Raise `Refused` unless the policy allows the method on the canonical path; `whose` names the policy."""
        if self.methods and method not in self.methods:
            raise Refused(
                "method_not_allowed",
                f"The policy of {whose} doesn't allow this method.",
                hint=f"It allows {', '.join(self.methods)}.",
            )
        if self.path_prefixes and not any(_covers(prefix, path) for prefix in self.path_prefixes):
            raise Refused(
                "path_not_allowed",
                f"The policy of {whose} doesn't allow this path.",
                hint=f"It allows what is below {', '.join(self.path_prefixes)}.",
            )


def expired(expires: datetime | None, moment: datetime) -> bool:
    """Tell whether an end has come; the very instant of the end counts as past."""
    return expires is not None and moment >= expires


def _covers(prefix: str, path: str) -> bool:
    # `/v1` covers `/v1` and `/v1/models`, not `/v10`; `/v1/` covers what is below it only.
    return path == prefix or path.startswith(prefix if prefix.endswith("/") else prefix + "/")
