"""What may be sent of a request: its head is judged, then a body in which a token may stand, then all once more."""

from mitmproxy import http

from seks_addon import strict
from seks_addon.addon.entry import enter
from seks_addon.addon.exchange import Exchange
from seks_addon.addon.service import Service
from seks_addon.addon.session import require_enabled
from seks_addon.authorize import body_places, check_again, check_end, decide, decide_text
from seks_addon.handshake import is_handshake
from seks_addon.head import Head
from seks_addon.refusal import Refused
from seks_addon.timing import now


async def head(flow: http.HTTPFlow, exchange: Exchange, service: Service) -> None:
    """Judge a request's head, still with its tokens, and make of it what is sent on; raises `SeksError`.

    The body then streams, and the intents are on disk; unless a token may stand in it: then it is read whole, and
    `body` decides.
    """
    assert exchange.head is not None
    session = exchange.session
    strict.check_framing(exchange.head)
    service.vault.refresh()
    if exchange.head.method == "TRACE":
        raise Refused("request_malformed", "TRACE is not passed on.")
    enter(flow, exchange, service)
    assert exchange.origin is not None and exchange.scheme is not None and session.agent is not None
    exchange.judged_at = service.vault.version
    resolve = service.vault.tokens.resolve
    decision = decide(exchange.head, exchange.origin, exchange.scheme, session.agent, resolve, now())
    service.check_foreign(decision.head, exchange.origin, session.agent, exchange.request_id)
    exchange.substitutions = decision.substitutions
    sent = _prepared(decision.head, exchange, service)
    exchange.handshake = sent if is_handshake(sent) else None
    fields = ((name.encode("latin-1"), value.encode("latin-1")) for name, value in sent.headers)
    flow.request.headers.fields = exchange.judged = tuple(fields)
    if exchange.body_places:
        return
    flow.request.stream = exchange.count_request
    await exchange.record_intents(service.audit)


def _prepared(judged: Head, exchange: Exchange, service: Service) -> Head:
    """Note what the host may know, and where in the body a token may stand; gives the head that goes with that."""
    assert exchange.origin is not None and exchange.scheme is not None and exchange.session.agent is not None
    held = service.vault.secrets.held_at(exchange.origin.host, exchange.session.agent)
    exchange.body_places = body_places(judged, exchange.scheme, exchange.origin, held)
    exchange.guarded = bool(held or exchange.substitutions)
    if exchange.body_places:
        judged = strict.strip_for_token(judged)
        strict.check_body_size(int(next(iter(judged.values("content-length")), "0")))
    return strict.ask_for_plain(judged) if exchange.guarded else judged


async def body(flow: http.HTTPFlow, exchange: Exchange, service: Service) -> None:
    """Judge a body that was read whole, as a token may stand in it; raises `SeksError`."""
    assert exchange.origin is not None and exchange.head is not None and exchange.session.agent is not None
    content = flow.request.data.content or b""
    exchange.request_bytes = len(content)
    service.vault.refresh()
    with service.connections.spent(exchange.session.agent.id):
        exchange.substitutions += decide_text(
            exchange.head,
            content,
            exchange.body_places,
            exchange.origin,
            exchange.session.agent,
            service.vault.tokens.resolve,
            now(),
        )
    await exchange.record_intents(service.audit)


def once_more(flow: http.HTTPFlow, exchange: Exchange, service: Service) -> None:
    """Judge again right before credentials go out; raises `SeksError`.

    A body or a connection may have been waited for, as long as the agent liked.
    """
    assert exchange.origin is not None and exchange.session.agent is not None
    vault = service.vault
    vault.refresh()
    for substitution in exchange.substitutions:
        check_end(substitution.grant, now())
    if vault.version != exchange.judged_at:
        agent = require_enabled(vault.agents.by_id(exchange.session.agent.id))
        check_again(exchange.substitutions, exchange.origin, agent, vault.tokens.resolve, now())
    if not service.upstream.is_verified_for(flow.server_conn, exchange.origin):
        raise Refused("upstream_untrusted")
