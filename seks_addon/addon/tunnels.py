"""Open tunnels that pass unseen: nothing in them can be judged, so they are judged again from time to time."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final

from mitmproxy.connection import Client

from seks_addon.addon.guard import as_refusal
from seks_addon.addon.service import Service
from seks_addon.addon.session import Session, require_enabled
from seks_addon.errors import SeksError

logger = logging.getLogger("seks.proxy")

#: How often it is asked whether the vault was changed, in seconds.
INTERVAL: Final = 1.0


class TunnelWatch:
    """Closes tunnels that would not be opened any more: to a host that has a secret now, or of a disabled agent."""

    def __init__(self, service: Service, sessions: Mapping[Client, Session], handlers: Mapping[str, Any]) -> None:
        """`sessions` are those of all clients, `handlers` mitmproxy's, by client id; both as they come and go."""
        self._service = service
        self._sessions = sessions
        self._handlers = handlers
        self._seen: int | None = None
        self._task = asyncio.get_running_loop().create_task(self._watch())

    def end(self) -> None:
        self._task.cancel()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            try:
                self.look()
            except Exception as error:  # noqa: BLE001
                # It goes on with the next look; one that ended would be missed by nobody.
                as_refusal("tunnel watch", error)

    def look(self) -> None:
        """Judge every unseen tunnel as if it was asked for now, if the vault was changed since the last time."""
        tunnels = [(client, session) for client, session in list(self._sessions.items()) if session.raw_tunnel]
        if not tunnels:
            return
        unreadable = None
        try:
            self._service.vault.refresh()
            if self._service.vault.version == self._seen:
                return
            self._seen = self._service.vault.version
        except SeksError as error:
            # Nobody would get a tunnel now.
            unreadable = error.message
        for client, session in tunnels:
            if reason := unreadable or self._objection(session):
                logger.warning("closed an unseen tunnel to %s: %s", session.tunnel, reason)
                self._close(client)

    def _close(self, client: Client) -> None:
        handler = self._handlers.get(client.id)
        if handler is not None and client in handler.transports:
            handler.close_connection(client)

    def _objection(self, session: Session) -> str | None:
        assert session.tunnel is not None and session.agent is not None
        try:
            require_enabled(self._service.vault.agents.by_id(session.agent.id))
            self._service.check_egress(session.tunnel)
            tunnelled = self._service.is_tunnelled(session.tunnel)
        except SeksError as error:
            return error.message
        return None if tunnelled else "a secret is bound to this host now"
