"""What a secret is bound to: hosts, the placements that hold there, and a policy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from seks_addon import canonical, placements
from seks_addon.destination.host import Origin, is_address
from seks_addon.destination.wildcard import covering, parse_bound_origin
from seks_addon.errors import InputError
from seks_addon.placements import Placement
from seks_addon.policy import Policy


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One host, or a wildcard for hosts, and a port; and where a token may stand in a request to it."""

    origin: Origin
    placements: tuple[Placement, ...]
    encoded_slash: bool = False

    @classmethod
    def parse(cls, host: str, specs: Sequence[str], *, encoded_slash: bool = False) -> "Endpoint":
        """Read what a person or the catalog wrote; raises `InputError`."""
        origin = parse_bound_origin(host)
        if is_address(origin.host):
            raise InputError(
                f"{host!r} is an address; a secret is bound to a host name",
                hint="the name is what the upstream's certificate is verified for",
            )
        if not specs:
            raise InputError(f"no placement is given for {host}", hint="add --header 'Name: {}' or --placement")
        return cls(origin, tuple(placements.parse(spec) for spec in specs), encoded_slash)

    def to_json(self) -> dict[str, Any]:
        value: dict[str, Any] = {
            "host": self.origin.host,
            "port": self.origin.port,
            "placements": [placement.spec for placement in self.placements],
        }
        if self.encoded_slash:
            value["encoded_slash"] = True
        return value

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Endpoint":
        return cls(
            Origin(value["host"], value["port"]),
            tuple(placements.parse(spec) for spec in value["placements"]),
            bool(value.get("encoded_slash", False)),
        )


@dataclass(frozen=True)
class Binding:
    """All endpoints of one secret and its policy. Its digest is part of what the vault authenticates."""

    endpoints: tuple[Endpoint, ...]
    policy: Policy = field(default_factory=Policy)

    def __post_init__(self) -> None:
        origins = [endpoint.origin for endpoint in self.endpoints]
        if twice := next((origin for origin in origins if origins.count(origin) > 1), None):
            raise InputError(f"{twice} is named twice")

    def at(self, origin: Origin) -> Endpoint | None:
        """The endpoint for `origin`, or None where the secret isn't bound to it; a narrower one wins over a wider."""
        by_origin = {endpoint.origin: endpoint for endpoint in self.endpoints}
        return next((by_origin[wider] for wider in covering(origin) if wider in by_origin), None)

    def reaches(self, host: str) -> bool:
        """Tell whether the secret is bound to the canonical `host`, at any port."""
        return any(self.at(Origin(host, endpoint.origin.port)) for endpoint in self.endpoints)

    def check_value(self, value: str) -> None:
        """Raise `InputError` where one of the placements can't hold such a credential."""
        for endpoint in self.endpoints:
            for placement in endpoint.placements:
                placement.check_value(value)

    @property
    def hosts(self) -> list[str]:
        """The endpoints' hosts, with a port where it isn't 443, for printing."""
        return [str(endpoint.origin) for endpoint in self.endpoints]

    def to_json(self) -> dict[str, Any]:
        return {"endpoints": [e.to_json() for e in self.endpoints], "policy": self.policy.to_json()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Binding":
        return cls(
            tuple(Endpoint.from_json(endpoint) for endpoint in value["endpoints"]),
            Policy.from_json(value["policy"]),
        )

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON, in hex."""
        return canonical.digest(self.to_json())
