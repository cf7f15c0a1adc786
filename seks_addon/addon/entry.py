"""Where a request goes and on whose behalf: what CONNECT, SNI, Host and target say, and whether it may."""

import logging

from mitmproxy import http

from seks_addon.addon.exchange import Exchange
from seks_addon.addon.patience import patience_of
from seks_addon.addon.service import Service
from seks_addon.addon.session import identify, require_enabled
from seks_addon.addon.stream import claim_of
from seks_addon.authorize import check_connect
from seks_addon.destination import authority
from seks_addon.destination.host import is_address
from seks_addon.head import Head
from seks_addon.refusal import Refused
from seks_addon.vault import Agent

logger = logging.getLogger("seks.proxy")


async def open_tunnel(flow: http.HTTPFlow, exchange: Exchange, service: Service) -> None:
    """Let a CONNECT through, and note whose tunnel it is and where it leads; raises `SeksError`."""
    session = exchange.session
    exchange.scheme = "https"
    assert exchange.head is not None
    service.vault.refresh()
    if session.tunnel is not None:
        raise Refused("request_malformed", "A tunnel holds no other tunnel.")
    exchange.origin = origin = authority.connect_origin(flow.request.data.authority.decode("latin-1"))
    session.agent = _agent_of(exchange.head, service)
    service.connections.name(flow.client_conn, session.agent.id)
    service.check_egress(origin)
    check_connect(exchange.head, origin, session.agent, service.vault.tokens.resolve)
    raw = service.is_tunnelled(origin)
    if raw or is_address(origin.host):
        # The last moment to say why not: nobody could read it inside.
        await service.upstream.resolve(origin, session.agent.id)
    # Looking up a name takes its time: a secret may be bound to the host by now.
    raw = raw and service.is_tunnelled(origin)
    if not raw:
        service.upstream.prepare_tls_to_agent(origin.host, session.agent.id)
        patience_of(flow.client_conn).head()
    session.tunnel, session.raw_tunnel = origin, raw
    session.approved = origin
    # From here on mitmproxy knows the host by its canonical name.
    flow.request.host, flow.request.port = origin.host, origin.port
    logger.debug("tunnel to %s for %s%s", origin, session.agent.user, ", unseen" if raw else "")


def enter(flow: http.HTTPFlow, exchange: Exchange, service: Service) -> None:
    """Fill in the exchange's origin and scheme and the session's agent; raises `Refused`."""
    if exchange.session.tunnel is not None:
        _enter_tunnel(flow, exchange, service)
    else:
        _enter_plain(flow, exchange, service)


def _enter_tunnel(flow: http.HTTPFlow, exchange: Exchange, service: Service) -> None:
    """A request inside a tunnel: its host was judged at the CONNECT, its agent is judged again."""
    session, client = exchange.session, flow.client_conn
    assert session.tunnel is not None and session.agent is not None
    exchange.origin = session.tunnel
    exchange.scheme = "https" if client.tls_established and flow.request.scheme == "https" else "http"
    session.agent = require_enabled(service.vault.agents.by_id(session.agent.id))
    service.check_egress(session.tunnel)
    if client.tls:
        authority.check_server_name(session.tunnel, client.sni)
    claim = claim_of(flow.request)
    _check_authority(exchange, claim.authority, claim.scheme)
    # The host gets the origin form; mitmproxy sees to that outside of tunnels only.
    flow.request.authority = ""


def _enter_plain(flow: http.HTTPFlow, exchange: Exchange, service: Service) -> None:
    """A request for an `http://` address: everything is judged at once."""
    session, claim = exchange.session, claim_of(flow.request)
    assert exchange.head is not None
    exchange.scheme = "http"
    if claim.authority is None:
        raise Refused(
            "request_malformed",
            "This is a forward proxy; it serves no pages of its own.",
            hint="Set HTTPS_PROXY to its address, as `seks env` prints it.",
        )
    session.agent = _agent_of(exchange.head, service)
    service.connections.name(flow.client_conn, session.agent.id)
    if claim.scheme != "http":
        raise Refused("cleartext_refused", "An https:// address is asked for without a tunnel.")
    exchange.origin = origin = authority.plain_origin(claim.authority)
    _check_authority(exchange, claim.authority, claim.scheme)
    service.check_egress(origin)
    session.approved = origin
    flow.request.data.host, flow.request.data.port = origin.host, origin.port


def _agent_of(head: Head, service: Service) -> Agent:
    """The agent that a head for the proxy itself names; raises `Refused`."""
    values = head.values("proxy-authorization")
    if len(values) > 1:
        raise Refused("agent_auth_failed")
    return identify(service.vault, values[0] if values else None, required=service.settings.require_agent_auth)


def _check_authority(exchange: Exchange, target: str | None, target_scheme: str) -> None:
    assert exchange.origin is not None and exchange.scheme is not None and exchange.head is not None
    authority.check_request(
        exchange.origin, exchange.scheme, exchange.head.values("host"), target, target_scheme or None
    )
