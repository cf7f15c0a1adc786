"""How each kind of hook is shut when it failed or refused: nothing is forwarded, and the reason is kept."""

from typing import TYPE_CHECKING, Any

from mitmproxy import connection, http, tls
from mitmproxy.proxy import layer, server_hooks

from seks_addon.addon.exchange import Exchange, exchange_of
from seks_addon.addon.layers import CloseLayer
from seks_addon.addon.respond import refusal_response
from seks_addon.addon.upstream import failing_tls
from seks_addon.addon.websocket import Piece
from seks_addon.refusal import Refused

if TYPE_CHECKING:
    from seks_addon.addon.addon import SeksAddon


def request(addon: "SeksAddon", flow: http.HTTPFlow, refused: Refused) -> None:
    """Refuse the request, or what is left of it; the stream answers."""
    exchange = exchange_of(flow) or Exchange.begin(flow, addon.session(flow.client_conn))
    exchange.refuse(refused)


def tunnel(addon: "SeksAddon", flow: http.HTTPFlow, refused: Refused) -> None:
    """Refuse a CONNECT, with the answer that its client gets."""
    exchange = exchange_of(flow) or Exchange.begin(flow, addon.session(flow.client_conn))
    exchange.refuse(refused)
    flow.response = refusal_response(refused, exchange.request_id)
    addon.finish(exchange, status=refused.status)


def server(addon: "SeksAddon", data: server_hooks.ServerConnectionHookData, refused: Refused) -> None:
    """Don't connect to the host."""
    addon.session(data.client).failure = refused
    data.server.error = refused.code


def handshake(addon: "SeksAddon", data: tls.TlsData, refused: Refused) -> None:
    """Break off a TLS handshake."""
    data.ssl_conn = failing_tls() if isinstance(data.conn, connection.Client) else None
    addon.session(data.context.client).failure = refused


def protocol(_: "SeksAddon", nextlayer: layer.NextLayer, refused: Refused) -> None:
    """End a connection whose protocol was not decided on."""
    nextlayer.layer = CloseLayer(nextlayer.context)


def client(_: "SeksAddon", client: connection.Client, refused: Refused) -> None:
    """Don't serve the client."""
    client.error = refused.code


def piece(_: "SeksAddon", piece: Piece, refused: Refused) -> None:
    """End a WebSocket; what was said last goes no further."""
    piece.refused = refused
    if exchange := exchange_of(piece.flow):
        exchange.refuse(refused)


def nothing(_: "SeksAddon", data: Any, refused: Refused) -> None:
    """For hooks behind which there is nothing left to stop."""
