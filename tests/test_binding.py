"""What a secret is bound to."""

import json
from dataclasses import replace

import pytest

from seks_addon.binding import Binding, Endpoint
from seks_addon.destination.host import Origin
from seks_addon.errors import InputError
from seks_addon.policy import Policy

BINDING = Binding(
    (
        Endpoint.parse("API.Example.com", ["bearer", "header:X-Key: {}"]),
        Endpoint.parse("git.example.com:8443", ["basic:either"], encoded_slash=True),
    ),
    Policy(("GET",), ("/v1",)),
)
NESTED = ("**.example.com", "**.b.example.com", "*.b.example.com", "a.b.example.com")


@pytest.mark.parametrize(
    ("origin", "index"),
    [
        (Origin("api.example.com", 443), 0),
        (Origin("git.example.com", 8443), 1),
        (Origin("api.example.com", 8443), None),
        (Origin("git.example.com", 443), None),
        (Origin("example.com", 443), None),
        (Origin("x.api.example.com", 443), None),
    ],
)
def test_at(origin: Origin, index: int | None) -> None:
    """A binding holds at exactly its hosts and ports."""
    assert BINDING.at(origin) == (None if index is None else BINDING.endpoints[index])


def test_the_narrower_wins() -> None:
    """Of a host and the wildcards that cover it, the placements of the narrowest hold."""
    specs = {host: f"header:X-{number}: {{}}" for number, host in enumerate(NESTED)}
    binding = Binding(tuple(Endpoint.parse(host, [spec]) for host, spec in specs.items()))

    for host, expected in (
        ("a.b.example.com", "a.b.example.com"),
        ("x.b.example.com", "*.b.example.com"),
        ("x.y.b.example.com", "**.b.example.com"),
        ("b.example.com", "**.example.com"),
    ):
        endpoint = binding.at(Origin(host, 443))
        assert endpoint is not None
        assert endpoint.placements[0].spec == specs[expected]
    assert binding.at(Origin("example.com", 443)) is None
    assert binding.at(Origin("a.b.example.com", 8443)) is None
    assert Binding.from_json(json.loads(json.dumps(binding.to_json()))) == binding


def test_reaches() -> None:
    """A host is reached where any of its ports is."""
    wide = Binding((Endpoint.parse("*.example.com:8443", ["bearer"]),))

    assert BINDING.reaches("git.example.com")
    assert not BINDING.reaches("example.com")
    assert wide.reaches("a.example.com")
    assert not wide.reaches("a.b.example.com")


def test_hosts() -> None:
    """Hosts are printed with a port where it isn't the usual one."""
    assert BINDING.hosts == ["api.example.com", "git.example.com:8443"]


@pytest.mark.parametrize(
    ("host", "specs", "reason"),
    [
        ("192.0.2.1", ["bearer"], "is an address"),
        ("[2001:db8::1]:443", ["bearer"], "is an address"),
        ("*.co.uk", ["bearer"], "public suffix"),
        ("*.192.0.2.1", ["bearer"], "is an address"),
        ("https://example.com", ["bearer"], "no host name"),
        ("example.com:0", ["bearer"], "port"),
        ("", ["bearer"], "no host name"),
        ("example.com", [], "no placement"),
        ("example.com", ["bearer", "trailer"], "no placement"),
    ],
)
def test_endpoint_that_is_none(host: str, specs: list[str], reason: str) -> None:
    """A secret is bound to host names and known placements."""
    with pytest.raises(InputError, match=reason) as caught:
        Endpoint.parse(host, specs)

    assert caught.value.hint


def test_json() -> None:
    """A binding is stored as plain JSON and read back the same."""
    stored = json.loads(json.dumps(BINDING.to_json()))

    assert Binding.from_json(stored) == BINDING
    assert stored["endpoints"][0] == {
        "host": "api.example.com",
        "port": 443,
        "placements": ["header:Authorization: Bearer {}", "header:X-Key: {}"],
    }
    assert stored["endpoints"][1]["encoded_slash"] is True


def test_digest_covers_everything() -> None:
    """A change of any part of a binding changes its digest."""
    first, second = BINDING.endpoints
    variants = [
        BINDING,
        replace(BINDING, endpoints=(first,)),
        replace(BINDING, endpoints=(second, first)),
        replace(BINDING, endpoints=(replace(first, origin=Origin("evil.example.com", 443)), second)),
        replace(BINDING, endpoints=(replace(first, origin=Origin("api.example.com", 444)), second)),
        replace(BINDING, endpoints=(replace(first, placements=first.placements[:1]), second)),
        replace(BINDING, endpoints=(replace(first, encoded_slash=True), second)),
        replace(BINDING, policy=Policy()),
        replace(BINDING, policy=Policy(("GET", "POST"), ("/v1",))),
        replace(BINDING, policy=Policy(("GET",), ("/v2",))),
    ]

    assert len({variant.digest for variant in variants}) == len(variants)
    assert Binding.from_json(BINDING.to_json()).digest == BINDING.digest
