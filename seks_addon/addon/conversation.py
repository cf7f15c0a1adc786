"""What is said on one WebSocket: who may go on talking, what is swapped, what is scrubbed."""

from datetime import datetime
from typing import Final

from seks_addon.addon.exchange import Exchange
from seks_addon.addon.service import Service
from seks_addon.addon.session import require_enabled
from seks_addon.addon.websocket import Piece
from seks_addon.authorize import decide_text, live_grant
from seks_addon.placements import TextPlacement
from seks_addon.placements.json_text import MessagePlacement
from seks_addon.refusal import Refused
from seks_addon.scrub import Known
from seks_addon.timing import now
from seks_addon.tokens import TOKEN_MARK

#: How long a text message may be in which a token is looked for, in bytes: it is read on the event loop.
MAX_SWAPPED: Final = 1024 * 1024


class Conversation:
    """Lives as long as its WebSocket. Whatever is said, it is asked first whether the agent still may."""

    def __init__(self, exchange: Exchange, service: Service) -> None:
        """Take over from the handshake; from here on, all of the agent's credentials are scrubbed."""
        self._exchange = exchange
        self._service = service
        self._version: int | None = None
        self._end: datetime | None = None
        self._places: list[TextPlacement] = []
        self.check()

    def check(self) -> None:
        """Raise `Refused` where the agent, or a token that this WebSocket was given a credential for, ended.

        Costs a few microseconds as long as nobody changes the vault.
        """
        vault = self._service.vault
        vault.refresh()
        if vault.version == self._version and (self._end is None or now() < self._end):
            return
        exchange = self._exchange
        assert exchange.origin is not None and exchange.session.agent is not None
        agent = require_enabled(vault.agents.by_id(exchange.session.agent.id))
        self._service.check_egress(exchange.origin)
        tokens = {substitution.match.token for substitution in exchange.substitutions}
        grants = [live_grant(token, agent, vault.tokens.resolve, now()) for token in tokens]
        ends = [end for grant in grants for end in (grant.expires, grant.secret_expires) if end]
        self._end = min(map(datetime.fromisoformat, ends), default=None)
        exchange.answer.scrubber.add(self._service.credentials_at(exchange.origin.host, agent))
        held = vault.secrets.held_at(exchange.origin.host, agent)
        endpoints = [stored.binding.at(exchange.origin) for stored in held]
        places = (place for endpoint in endpoints if endpoint for place in endpoint.placements)
        self._places = [place for place in places if isinstance(place, MessagePlacement)]
        self._version = vault.version

    async def judge(self, piece: Piece) -> None:
        """Make a piece what may pass; raises `Refused`, or `AuditError` where a use can't be recorded."""
        self.check()
        if piece.from_agent:
            self._exchange.request_bytes += len(piece.data)
            if piece.text and TOKEN_MARK in piece.data and len(piece.data) <= MAX_SWAPPED:
                await self._swap(piece)
            return
        self._exchange.answer.size += len(piece.data)
        scrubber = self._exchange.answer.scrubber
        if piece.control:
            piece.data = scrubber.whole(piece.data)
        else:
            piece.data = scrubber.feed(piece.data) + (scrubber.finish() if piece.last else b"")

    async def _swap(self, piece: Piece) -> None:
        exchange = self._exchange
        assert exchange.origin is not None and exchange.handshake is not None and exchange.session.agent is not None
        with self._service.connections.spent(exchange.session.agent.id):
            substitutions = decide_text(
                exchange.handshake,
                piece.data,
                self._places,
                exchange.origin,
                exchange.session.agent,
                self._service.vault.tokens.resolve,
                now(),
            )
        if not substitutions:
            return
        if exchange.scheme != "https":
            raise Refused("cleartext_refused")
        if not self._service.upstream.is_verified_for(piece.flow.server_conn, exchange.origin):
            raise Refused("upstream_untrusted")
        await exchange.use_in_message(substitutions, self._service.audit)
        # Its end may come before those that are known, or have come while the disk was busy.
        self._version = None
        self.check()
        for substitution in substitutions:
            match, value = substitution.match, self._service.reveal(substitution.grant).reveal()
            exchange.answer.scrubber.add([Known(value, match.token, ((match.form(value), match.form(match.token)),))])
            piece.data = match.render(value)
