"""The way to a host: the gate before every connection, and TLS in both directions."""

import ipaddress
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import certifi
from mitmproxy import connection, tls
from mitmproxy.addons.tlsconfig import DEFAULT_HOSTFLAGS
from OpenSSL import SSL

from seks_addon import ca
from seks_addon.addon.leaves import Leaves
from seks_addon.addon.lookup import Lookups
from seks_addon.destination.address import ITSELF, Address, AddressGuard
from seks_addon.destination.host import Origin, is_address
from seks_addon.refusal import Refused
from seks_addon.settings import Settings

#: What is offered, the best first (RFC 7301).
_HTTP1: Final = (b"http/1.1",)
_HTTP2: Final = (b"h2", *_HTTP1)


class Upstream:
    """Opens the way to one origin at a time: resolved, checked, pinned, verified."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._guard = AddressGuard(settings.allow_private)
        self._lookups = Lookups()
        self._authority = ca.load(settings.home)
        self._leaves = Leaves(self._authority)
        self._alpn = _HTTP2 if settings.http2 else _HTTP1
        self._to_agents = _agent_side(self._alpn)
        self._to_hosts = _host_side(settings.upstream_ca)
        self._origins: weakref.WeakKeyDictionary[connection.Server, Origin] = weakref.WeakKeyDictionary()
        self._verified: weakref.WeakSet[connection.Server] = weakref.WeakSet()

    def listening_at(self, addresses: Iterable[tuple[str, int]]) -> None:
        """Name the proxy's own addresses: no agent gets a connection to them."""
        own = [(ipaddress.ip_address(host.partition("%")[0]), port) for host, port in addresses]
        self._guard = AddressGuard(self._settings.allow_private, own)

    async def resolve(self, origin: Origin, agent: str) -> tuple[str, int]:
        """Give the address to connect to for `origin`; raises `Refused` unless every answer is safe.

        `agent` is on whose behalf: one that asks for too much at once is told so.
        """
        target = self._settings.connect_to.get(origin)
        if target is not None:
            # The operator's word, as for curl; the certificate is still verified for the origin.
            return str((await self._lookup(target, agent))[0]), target.port
        addresses = await self._lookup(origin, agent)
        if problem := self._guard.first_problem(addresses, origin.port):
            hint = "No option opens it." if problem == ITSELF else None
            raise Refused("address_blocked", f"The address of {origin.host} is not allowed: {problem}.", hint=hint)
        return str(addresses[0]), origin.port

    async def pin(self, server: connection.Server, origin: Origin, agent: str) -> None:
        """Let mitmproxy connect to the checked address, whatever the name resolves to in the meantime."""
        server.address = await self.resolve(origin, agent)
        server.sni = origin.host
        self._origins[server] = origin

    async def _lookup(self, origin: Origin, agent: str) -> list[Address]:
        if is_address(origin.host):
            return [ipaddress.ip_address(origin.host)]
        return await self._lookups.addresses(origin.host, origin.port, agent)

    def start_tls_to_host(self, data: tls.TlsData) -> None:
        """Verify the host's certificate for the origin, whatever the client or an option says."""
        assert isinstance(data.conn, connection.Server)
        origin = self._origins[data.conn]
        ssl_conn = SSL.Connection(self._to_hosts)
        # pyOpenSSL has no public way to set the name to verify; mitmproxy's own TLS add-on does the same.
        lib: Any = SSL._lib  # type: ignore[attr-defined]  # noqa: SLF001
        parameters = lib.SSL_get0_param(ssl_conn._ssl)  # noqa: SLF001
        lib.X509_VERIFY_PARAM_set_hostflags(parameters, DEFAULT_HOSTFLAGS)
        name = origin.host.encode("ascii")
        if is_address(origin.host):
            packed = ipaddress.ip_address(origin.host).packed
            done = lib.X509_VERIFY_PARAM_set1_ip(parameters, packed, len(packed))
        else:
            ssl_conn.set_tlsext_host_name(name)
            done = lib.X509_VERIFY_PARAM_set1_host(parameters, name, len(name))
        if done != 1:
            raise RuntimeError("OpenSSL refused the name to verify")
        # Whatever the agent speaks, unless the request can't be had in HTTP/2.
        ssl_conn.set_alpn_protos(list(data.conn.alpn_offers or self._alpn))
        ssl_conn.set_connect_state()
        data.ssl_conn = ssl_conn

    def tls_established(self, server: connection.Server) -> None:
        """Remember that the certificate was verified for the connection's origin."""
        self._verified.add(server)

    def is_verified_for(self, server: connection.Server, origin: Origin) -> bool:
        """Tell whether `server` is an open TLS connection whose certificate was verified for `origin`."""
        return server in self._verified and server.tls_established and self._origins.get(server) == origin

    @staticmethod
    def failed_verification(data: tls.TlsData) -> bool:
        """Tell whether a handshake with a host failed over its certificate."""
        if data.ssl_conn is None:
            return False
        result: int = SSL._lib.SSL_get_verify_result(data.ssl_conn._ssl)  # type: ignore[attr-defined]  # noqa: SLF001
        return result != 0

    def prepare_tls_to_agent(self, host: str, agent: str) -> None:
        """Have a certificate for `host` ready; raises `Refused` where `agent` asks for too many new ones."""
        self._leaves.get(host, agent)

    def start_tls_to_agent(self, data: tls.TlsData, agent: str) -> None:
        """Answer an agent's handshake with a certificate for the name that it asks for; raises `Refused`."""
        client = data.context.client
        name = client.sni or (data.context.server.address or ("",))[0]
        ssl_conn = SSL.Connection(self._to_agents)
        ssl_conn.use_certificate(self._leaves.get(name, agent))
        ssl_conn.use_privatekey(self._authority.key)  # type: ignore[arg-type] # it is one that signs
        ssl_conn.set_accept_state()
        data.ssl_conn = ssl_conn


def _agent_side(alpn: Sequence[bytes]) -> SSL.Context:
    context = _context(SSL.TLS_SERVER_METHOD)
    context.set_alpn_select_callback(
        lambda _, offers: next((name for name in alpn if name in offers), SSL.NO_OVERLAPPING_PROTOCOLS)
    )
    return context


def _host_side(upstream_ca: Iterable[Path]) -> SSL.Context:
    context = _context(SSL.TLS_CLIENT_METHOD)
    context.set_verify(SSL.VERIFY_PEER)
    for path in (certifi.where(), *upstream_ca):
        context.load_verify_locations(str(path))
    return context


def failing_tls() -> SSL.Connection:
    """The agent's side of a handshake that fails at once. Without any, mitmproxy would leave the socket open."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    ssl_conn = SSL.Connection(context)
    ssl_conn.set_accept_state()
    return ssl_conn


def _context(method: int) -> SSL.Context:
    context = SSL.Context(method)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    return context
