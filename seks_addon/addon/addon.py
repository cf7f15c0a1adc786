"""The hooks. Decide first, inject last; whatever goes wrong, nothing is forwarded."""

import asyncio
import contextlib
import logging
import weakref
from collections.abc import Set
from typing import Any, Final

from mitmproxy import connection, ctx, exceptions, http, tls
from mitmproxy.net.tls import starts_like_tls_record
from mitmproxy.proxy import layer, server_hooks
from mitmproxy.proxy.layers import modes
from mitmproxy.proxy.layers.http import HTTPMode
from mitmproxy.proxy.layers.tls import ServerTLSLayer

from seks_addon.addon import judge, options, shut
from seks_addon.addon.conversation import Conversation
from seks_addon.addon.entry import open_tunnel
from seks_addon.addon.exchange import Exchange, exchange_of
from seks_addon.addon.guard import fails_closed
from seks_addon.addon.layers import (
    CloseLayer,
    SeksClientTlsLayer,
    SeksHttpLayer,
)
from seks_addon.addon.malformed import Malformed
from seks_addon.addon.pool import remember_address
from seks_addon.addon.pressure import Hold
from seks_addon.addon.quiet import quiet_mitmproxy
from seks_addon.addon.service import Service
from seks_addon.addon.session import Session
from seks_addon.addon.sockets import SeksConnectionHandler
from seks_addon.addon.tunnels import TunnelWatch
from seks_addon.addon.websocket import Piece
from seks_addon.audit import Outcome
from seks_addon.destination.host import Origin, is_loopback
from seks_addon.errors import SeksError
from seks_addon.head import Head
from seks_addon.refusal import Refused

logger = logging.getLogger("seks.proxy")

#: When what an answer will need is made ready, behind the request, in seconds.
_LEISURE: Final = 0.002


class SeksAddon:
    """SEKS as a mitmproxy add-on. With `service` the proxy around it has read the settings; else options say."""

    name = "seks"

    def __init__(self, service: Service | None = None) -> None:
        self._service = service
        self._tunnels: TunnelWatch | None = None
        self._sessions: weakref.WeakKeyDictionary[connection.Client, Session] = weakref.WeakKeyDictionary()

    # Options and life.

    def load(self, loader: Any) -> None:
        options.declare(loader)
        try:
            options.take_given(ctx.options)
        except exceptions.OptionsError as error:
            # mitmproxy would swallow it and go on without SEKS; over a logged error it exits.
            logger.error("%s", error)

    def configure(self, updated: Set[str]) -> None:
        options.check(ctx.options, updated)
        if self._service is None and len(ctx.options.scripts) > 1:
            raise exceptions.OptionsError("seks: no other script may run beside SEKS")

    def running(self) -> None:
        try:
            options.fix(ctx.options)
            for name in options.REPLACED:
                if replaced := ctx.master.addons.get(name):
                    ctx.master.addons.remove(replaced)
            proxyserver = ctx.master.addons.get("proxyserver")
            listening = [(str(address[0]), address[1]) for address in proxyserver.listen_addrs()]
            if self._service is None:
                quiet_mitmproxy()
                loopback_only = all(is_loopback(host) for host, _ in listening)
                self._service = Service(options.read_settings(ctx.options, loopback_only=loopback_only))
        except (SeksError, exceptions.OptionsError) as error:
            # Without a service every hook refuses; mitmproxy exits over the logged error.
            said = options.as_options_error(error) if isinstance(error, SeksError) else error
            logger.error("%s", said)
            ctx.master.shutdown()
            return
        self.service().upstream.listening_at(listening)
        self._tunnels = TunnelWatch(self.service(), self._sessions, proxyserver.connections)
        self.service().connections.start()

    def done(self) -> None:
        if self._tunnels is not None:
            self._tunnels.end()
        if self._service is not None:
            for session in list(self._sessions.values()):
                self._end(session)
            self._service.close()
            self._service = None

    def service(self) -> Service:
        """The open service; raises `Refused` before there is one. No property: mitmproxy reads every attribute."""
        if self._service is None:
            raise Refused("internal", "The proxy is not ready.")
        return self._service

    @property
    def exchanges(self) -> int:
        """How many requests are under way."""
        return sum(len(session.exchanges) for session in self._sessions.values())

    # Client connections.

    def session(self, client: connection.Client) -> Session:
        """What is known of a client connection."""
        session = self._sessions.get(client)
        if session is None:
            session = self._sessions[client] = Session(client.peername[0])
        return session

    @fails_closed(shut.client)
    async def client_connected(self, client: connection.Client) -> None:
        handler = SeksConnectionHandler.take_over(ctx.master.addons.get("proxyserver").connections[client.id])
        await self.service().connections.enter(client, handler, self.session(client))

    @fails_closed(shut.nothing)
    def seks_hold(self, data: Hold) -> None:
        handler = ctx.master.addons.get("proxyserver").connections[data.client.id]
        handler.hold(data.connection, held=data.held)

    @fails_closed(shut.nothing)
    def client_disconnected(self, client: connection.Client) -> None:
        self._end(self.session(client))

    @fails_closed(shut.protocol)
    def next_layer(self, nextlayer: layer.NextLayer) -> None:
        context, data = nextlayer.context, nextlayer.data_client()
        if len(data) < 3:
            return
        is_tls = starts_like_tls_record(data)
        if isinstance(context.layers[-1], modes.HttpProxy):
            # A proxy that is itself reached over TLS is not offered.
            nextlayer.layer = CloseLayer(context) if is_tls else SeksHttpLayer(context, HTTPMode.regular)
        elif self.session(context.client).tunnel is None or (is_tls and context.client.tls):
            nextlayer.layer = CloseLayer(context)
        elif is_tls:
            to_host = ServerTLSLayer(context)
            to_host.child_layer = SeksClientTlsLayer(context)
            nextlayer.layer = to_host
        else:
            nextlayer.layer = SeksHttpLayer(context, HTTPMode.transparent)

    @fails_closed(shut.tunnel)
    async def http_connect(self, flow: http.HTTPFlow) -> None:
        exchange = self._begin(flow)
        await open_tunnel(flow, exchange, self.service())
        self.finish(exchange, status=200)

    @fails_closed(shut.handshake)
    def tls_start_client(self, data: tls.TlsData) -> None:
        agent = self.session(data.context.client).agent
        self.service().upstream.start_tls_to_agent(data, agent.id if agent else "")

    @fails_closed(shut.nothing)
    def tls_failed_client(self, data: tls.TlsData) -> None:
        session = self.session(data.context.client)
        logger.warning(
            "the client at %s broke off the TLS handshake for %s; does it trust the CA? (`seks ca path`)",
            session.source_ip,
            session.tunnel,
        )

    # Connections to hosts.

    @fails_closed(shut.server)
    async def server_connect(self, data: server_hooks.ServerConnectionHookData) -> None:
        address = data.server.address
        session = self.session(data.client)
        session.failure = None
        if address is None or (origin := Origin(address[0], address[1])) != session.approved:
            raise Refused("egress_denied", "A connection was asked for that no request is for.")
        remember_address(data.server)
        self.service().check_egress(origin)
        self.service().connections.open(data.client, data.server)
        await self.service().upstream.pin(data.server, origin, session.agent.id if session.agent else "")

    @fails_closed(shut.handshake)
    def tls_start_server(self, data: tls.TlsData) -> None:
        self.service().upstream.start_tls_to_host(data)

    @fails_closed(shut.handshake)
    def tls_established_server(self, data: tls.TlsData) -> None:
        if isinstance(data.conn, connection.Server):
            self.service().upstream.tls_established(data.conn)

    @fails_closed(shut.nothing)
    def tls_failed_server(self, data: tls.TlsData) -> None:
        session = self.session(data.context.client)
        if session.failure is None and self.service().upstream.failed_verification(data):
            session.failure = Refused(
                "upstream_untrusted", f"The certificate of {session.tunnel} could not be verified."
            )

    # Requests.

    @fails_closed(shut.request)
    async def requestheaders(self, flow: http.HTTPFlow) -> None:
        await judge.head(flow, self._begin(flow), self.service())

    @fails_closed(shut.request)
    async def request(self, flow: http.HTTPFlow) -> None:
        exchange = _required(flow)
        if exchange.body_places:
            await judge.body(flow, exchange, self.service())

    @fails_closed(shut.request)
    def seks_inject(self, flow: http.HTTPFlow) -> None:
        exchange = _required(flow)
        if exchange.carries_credential:
            judge.once_more(flow, exchange, self.service())
            exchange.inject(flow.request, self.service().reveal)

    @fails_closed(shut.nothing)
    def seks_sent(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        if exchange is not None and exchange.guarded:
            # A little later: what others wait for goes first.
            asyncio.get_running_loop().call_later(_LEISURE, self._learn, exchange)

    def _learn(self, exchange: Exchange) -> None:
        if not exchange.finished and exchange.refusal is None:
            # What fails here is tried again when the answer comes, and dealt with there.
            with contextlib.suppress(Exception):
                exchange.learn_credentials(self.service())

    @fails_closed(shut.nothing)
    def seks_malformed(self, data: Malformed) -> None:
        exchange = Exchange(self.session(data.context.client), request_id=data.request_id)
        exchange.origin = exchange.session.tunnel
        exchange.refuse(data.refused)
        self.finish(exchange, status=data.refused.status)

    # Answers.

    @fails_closed(shut.request)
    def responseheaders(self, flow: http.HTTPFlow) -> None:
        exchange = _required(flow)
        if flow.response is None:
            raise Refused("internal")
        exchange.restore(flow.request)
        if flow.response.status_code == 101 and exchange.handshake is not None:
            exchange.conversation = Conversation(exchange, self.service())
        if exchange.guarded:
            self.service().vault.refresh()
            exchange.learn_credentials(self.service())
        exchange.prepare_answer(flow.request, flow.response)

    @fails_closed(shut.nothing)
    def response(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        if exchange is not None and flow.websocket is None:
            self.finish(exchange, status=flow.response.status_code if flow.response else None)

    @fails_closed(shut.nothing)
    def error(self, flow: http.HTTPFlow) -> None:
        if flow.error and flow.error.msg != flow.error.KILLED_MESSAGE:
            # It may quote what came over the wire, and add-ons behind this one print it.
            flow.error.msg = "the exchange broke off"
        if exchange := exchange_of(flow):
            exchange.restore(flow.request)
            self.finish(exchange, status=None, failed=True)

    @fails_closed(shut.piece)
    async def seks_piece(self, piece: Piece) -> None:
        exchange = _required(piece.flow)
        if exchange.conversation is None:
            raise Refused("internal")
        await exchange.conversation.judge(piece)

    @fails_closed(shut.nothing)
    def websocket_end(self, flow: http.HTTPFlow) -> None:
        if exchange := exchange_of(flow):
            self.finish(exchange, status=101)

    # What the hooks share.

    def finish(self, exchange: Exchange, *, status: int | None, failed: bool = False) -> None:
        """Record how an exchange ended and say so in the log, once."""
        exchange.session.exchanges.discard(exchange)
        if exchange.finished:
            return
        refused = exchange.refusal
        outcome = Outcome.FAILED if failed or (refused and exchange.has_intents) else Outcome.ALLOWED
        exchange.log(status, failed=failed)
        try:
            exchange.finish(self.service().audit, outcome, status=status, reason=refused.code if refused else None)
            if refused and not exchange.has_intents:
                self.service().tripwires.look(exchange)
        except SeksError as error:
            # The answer is decided already. An intent without an outcome gets one at the next start.
            logger.error("%s could not be recorded: %s", exchange.request_id, error.message)

    def _begin(self, flow: http.HTTPFlow) -> Exchange:
        exchange = Exchange.begin(flow, self.session(flow.client_conn))
        exchange.head = _head(flow.request)
        exchange.session.exchanges.add(exchange)
        return exchange

    def _end(self, session: Session) -> None:
        for exchange in list(session.exchanges):
            # A WebSocket ends so; any other exchange breaks off.
            talked = exchange.conversation is not None
            self.finish(exchange, status=101 if talked else None, failed=not talked)


def _required(flow: http.HTTPFlow) -> Exchange:
    """The exchange of a flow that was begun; raises `Refused`: without one, nothing is known of the request."""
    exchange = exchange_of(flow)
    if exchange is None:
        raise Refused("internal")
    return exchange


def _head(request: http.Request) -> Head:
    data = request.data
    return Head(
        method=data.method.decode("latin-1"),
        target=data.path.decode("latin-1"),
        version=data.http_version.decode("latin-1"),
        headers=tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in data.headers.fields),
    )
