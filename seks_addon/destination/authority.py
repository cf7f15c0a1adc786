"""One authority: CONNECT target, TLS server name, Host header and request target all name the same host."""

from collections.abc import Sequence
from typing import Final

from seks_addon.destination.host import OddAddressError, Origin, canonical_host, is_address, parse_origin
from seks_addon.errors import InputError
from seks_addon.refusal import Refused
from seks_addon.tokens import find_lookalikes

DEFAULT_PORTS: Final = {"https": 443, "http": 80}


def connect_origin(target: str) -> Origin:
    """Read the target of a CONNECT (RFC 9110 section 9.3.6: host and port); raises `Refused`."""
    return _origin(target, default_port=None)


def plain_origin(authority: str) -> Origin:
    """Read the authority of an `http://` request; raises `Refused`."""
    return _origin(authority, default_port=DEFAULT_PORTS["http"])


def _origin(text: str, default_port: int | None) -> Origin:
    _refuse_token(text)
    try:
        return parse_origin(text, default_port)
    except OddAddressError:
        raise Refused("address_blocked", "The request names an address in an unusual spelling.") from None
    except InputError:
        raise Refused("request_malformed", "The request target is not HOST or HOST:PORT in canonical form.") from None


def _refuse_token(target: str) -> None:
    """Raise `Refused` where a token stands in a host name: it would get into records and messages."""
    if find_lookalikes(target):
        raise Refused("token_misplaced", "A token stands in the name of the host.")


def check_server_name(origin: Origin, server_name: str | None) -> None:
    """Require the TLS server name to be the CONNECT host; an address has none (RFC 6066 section 3)."""
    if is_address(origin.host):
        if server_name is not None:
            raise Refused("authority_mismatch", "The tunnel is for an address, the TLS server name is a name.")
        return
    if server_name is None:
        raise Refused(
            "authority_mismatch",
            f"The TLS handshake names no host; the tunnel is for {origin.host}.",
            hint="Use a client that sends SNI.",
        )
    if _host_or_none(server_name) != origin.host:
        raise Refused("authority_mismatch", f"The TLS server name is not {origin.host}, which the tunnel is for.")


def check_request(
    origin: Origin, scheme: str, host_headers: Sequence[str], target_authority: str | None, target_scheme: str | None
) -> None:
    """Require the only Host header, and the authority of an absolute-form target, to name `origin`.

    `scheme` is the one that the request really travels with, `target_scheme` and `target_authority` are what
    an absolute-form target claims (None for origin form).
    """
    if len(host_headers) != 1:
        raise Refused("authority_mismatch", "A request carries exactly one Host header.")
    claims = [host_headers[0]]
    if target_authority is not None:
        claims.append(target_authority)
        if target_scheme != scheme:
            raise Refused("authority_mismatch", "The request target's scheme is not the one it travels with.")
    for claim in claims:
        try:
            named = parse_origin(claim, default_port=DEFAULT_PORTS[scheme])
        except InputError:
            named = None
        if named != origin:
            raise Refused("authority_mismatch", f"The Host header or the request target does not name {origin.host}.")


def _host_or_none(text: str) -> str | None:
    try:
        return canonical_host(text)
    except InputError:
        return None
