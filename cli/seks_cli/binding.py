"""What the options of `vault add` bind a secret to."""

from collections.abc import Sequence
from dataclasses import dataclass

from seks_addon.binding import Binding, Endpoint
from seks_addon.environment import RESERVED, is_variable
from seks_addon.errors import InputError, UsageError
from seks_addon.policy import Policy
from seks_addon.providers import Catalog, Provider
from seks_addon.tokens import find_lookalikes
from seks_cli.options import reading


@dataclass(frozen=True, slots=True)
class Target:
    """Where a new secret may go, and the variables that clients read it from."""

    provider: Provider | None
    binding: Binding
    variables: tuple[str, ...]


def bind(
    catalog: Catalog,
    name: str,
    *,
    provider: str | None,
    hosts: Sequence[str],
    placements: Sequence[str],
    variables: Sequence[str],
    policy: Policy,
) -> Target:
    """Put catalog and options together: what is given wins over what the provider says; raises `SeksError`."""
    _refuse_credential(catalog, name)
    known = catalog.get(provider) if provider else catalog.find(name)
    if known is None and not (hosts and placements):
        raise UsageError(
            "no provider of the catalog is called so, and there is no --host with a --header or --placement",
            hint="name one with --provider (see `seks provider list`), or say where the secret goes: "
            "--host api.example.com --header 'Authorization: Bearer {}'",
        )
    with reading():
        return Target(known, Binding(_endpoints(known, hosts, placements), policy), _variables(known, variables))


def _refuse_credential(catalog: Catalog, name: str) -> None:
    """Raise `UsageError` where a name looks like a credential: somebody put the value on the command line."""
    if find_lookalikes(name) or any(p.native_prefix and p.looks_native(name) for p in catalog):
        raise UsageError(
            "the name looks like a credential; a value never comes from the command line, where others can see it",
            hint="write `seks vault add NAME`; you are asked for the value then. Revoke the one that was seen.",
        )


def _endpoints(provider: Provider | None, hosts: Sequence[str], placements: Sequence[str]) -> tuple[Endpoint, ...]:
    endpoints = provider.endpoints if provider else ()
    if not hosts and not placements:
        return endpoints
    if not hosts:
        return tuple(
            Endpoint.parse(str(endpoint.origin), placements, encoded_slash=endpoint.encoded_slash)
            for endpoint in endpoints
        )
    specs = placements or list(dict.fromkeys(p.spec for endpoint in endpoints for p in endpoint.placements))
    encoded_slash = any(endpoint.encoded_slash for endpoint in endpoints)
    parsed = [Endpoint.parse(host, specs, encoded_slash=encoded_slash) for host in hosts]
    return tuple({endpoint.origin: endpoint for endpoint in parsed}.values())


def _variables(provider: Provider | None, variables: Sequence[str]) -> tuple[str, ...]:
    for variable in variables:
        if not is_variable(variable):
            raise InputError(f"{variable!r} is no environment variable", hint="write letters, digits and underscores")
        if variable in RESERVED or variable.startswith("SEKS_"):
            raise InputError(f"the variable {variable} is SEKS's own; a token can't be put there")
    return tuple(dict.fromkeys(variables)) or (provider.env if provider else ())
