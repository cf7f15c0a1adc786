"""What a token may be used for: methods, paths, hosts, an end, how often. Its policy can only narrow its secret's."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from seks_addon.destination.host import Origin, parse_user_origin
from seks_addon.errors import InputError
from seks_addon.policy.limits import LIMITS, Limits
from seks_addon.policy.paths import canonical_path, fits, is_ambiguous, is_below, parse_pattern, parse_prefix
from seks_addon.refusal import Refused

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "REPORT")


@dataclass(frozen=True, slots=True)
class Policy:
    """Empty means: no limit of that kind. A path is allowed below any of the prefixes, or where it fits any pattern.

    `hosts` are written as `Origin` prints them, and narrow those that the secret is bound to.
    """

    methods: tuple[str, ...] = ()
    path_prefixes: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)

    @classmethod
    def parse(
        cls,
        methods: Sequence[str] = (),
        path_prefixes: Sequence[str] = (),
        *,
        paths: Sequence[str] = (),
        hosts: Sequence[str] = (),
        limits: Limits | None = None,
    ) -> "Policy":
        """Read what a person typed; raises `InputError`."""
        upper = _unique(method.upper() for method in methods)
        for method in upper:
            if method not in METHODS:
                raise InputError(f"{method!r} is no method that a token can be used with", hint=", ".join(METHODS))
        return cls(
            upper,
            _unique(map(parse_prefix, path_prefixes)),
            _unique(map(parse_pattern, paths)),
            _unique(str(parse_user_origin(host)) for host in hosts),
            limits or Limits(),
        )

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Policy":
        """Read what `to_json` wrote; raises `InputError` for a limit that isn't known, and so couldn't be kept."""
        lists = ("methods", "path_prefixes", "paths", "hosts")
        if set(value).difference(lists, LIMITS):
            raise InputError("a policy has a limit that this SEKS doesn't know", hint="use the version that wrote it")
        methods, prefixes, paths, hosts = (tuple(value.get(name, ())) for name in lists)
        return cls(methods, prefixes, paths, hosts, Limits.from_json(value))

    def to_json(self) -> dict[str, Any]:
        """Give the limits that there are, for the database and for printing.

        What is none isn't mentioned: a policy keeps its digest when a version of SEKS knows more kinds of limits.
        """
        lists = {
            "methods": list(self.methods),
            "path_prefixes": list(self.path_prefixes),
            "paths": list(self.paths),
            "hosts": list(self.hosts),
        }
        return {name: limit for name, limit in lists.items() if limit} | self.limits.to_json()

    def check_host(self, origin: Origin, *, whose: str) -> None:
        """Raise `Refused` unless the policy allows the origin; `whose` names the policy."""
        if self.hosts and str(origin) not in self.hosts:
            raise Refused(
                "host_not_allowed",
                f"The policy of {whose} doesn't allow this host.",
                hint=f"It allows {', '.join(self.hosts)}.",
            )

    def check(self, method: str, path: str, *, whose: str) -> None:
        """Raise `Refused` unless the policy allows the method on the path; `whose` names the policy."""
        if self.methods and method not in self.methods:
            raise Refused(
                "method_not_allowed",
                f"The policy of {whose} doesn't allow this method.",
                hint=f"It allows {', '.join(self.methods)}.",
            )
        if self.path_prefixes or self.paths:
            self._check_path(canonical_path(path), whose)

    def _check_path(self, path: str, whose: str) -> None:
        if is_ambiguous(path):
            raise Refused(
                "path_not_allowed",
                f"The policy of {whose} doesn't allow a path that servers read in different ways.",
                hint="Write it without empty segments, semicolons and backslashes, and encode it once.",
            )
        if not (
            any(is_below(prefix, path) for prefix in self.path_prefixes)
            or any(fits(pattern, path) for pattern in self.paths)
        ):
            below = [f"what is below {', '.join(self.path_prefixes)}"] if self.path_prefixes else []
            fitting = [f"what fits {', '.join(self.paths)}"] if self.paths else []
            raise Refused(
                "path_not_allowed",
                f"The policy of {whose} doesn't allow this path.",
                hint=f"It allows {' and '.join(below + fitting)}.",
            )


def _unique(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(values)))


def expired(expires: datetime | None, moment: datetime) -> bool:
    """Tell whether an end has come; the very instant of the end counts as past."""
    return expires is not None and moment >= expires
