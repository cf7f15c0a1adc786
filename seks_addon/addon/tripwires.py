"""What follows when a token is seen where it has no business: a record, a line in the log, its revocation."""

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from seks_addon.addon.exchange import Exchange
from seks_addon.audit import AuditLog, AuditWriter
from seks_addon.errors import SeksError
from seks_addon.settings import Settings
from seks_addon.tripwire import tripped
from seks_addon.vault import Grant, Vault
from seks_addon.vault.envelope import Key

logger = logging.getLogger("seks.proxy")


class Tripwires:
    """Looks at every refused request. Used by the event loop's thread; a thread of its own revokes."""

    def __init__(self, settings: Settings, vault: Vault, audit: AuditWriter) -> None:
        self._settings = settings
        self._vault = vault
        self._audit = audit
        self._revoker = ThreadPoolExecutor(1, thread_name_prefix="seks-revoke")
        self._pending: set[str] = set()

    def close(self) -> None:
        """Finish the revocations that wait."""
        self._revoker.shutdown()

    def look(self, exchange: Exchange) -> None:
        """Raise the alarm where a refused request holds such a token: once a request; raises `SeksError`.

        The agent is told nothing of it: its answer is decided already.
        """
        agent, head, origin = exchange.session.agent, exchange.head, exchange.origin
        if agent is None or head is None or origin is None or exchange.scheme is None:
            return
        grants = tripped(head, origin, exchange.scheme, agent, self._vault.tokens.resolve)
        if not grants:
            return
        if self._settings.tripwire_revoke:
            for grant in grants:
                self._revoke(grant, exchange.request_id)
        worst = grants[0]
        logger.warning(
            "tripwire: %s token %s of the secret %r seen at %s agent=%s id=%s",
            "its own" if worst.agent_id == agent.id else "another agent's",
            worst.token_id,
            worst.secret,
            origin,
            agent.user,
            exchange.request_id,
        )
        exchange.trip(self._audit, worst)

    def _revoke(self, grant: Grant, request_id: str) -> None:
        if grant.revoked or grant.token_id in self._pending:
            return
        self._pending.add(grant.token_id)
        job = self._revoker.submit(_revoke, self._settings, self._vault.master_key, grant.token_id, request_id)
        job.add_done_callback(partial(self._revoked, grant.token_id))

    def _revoked(self, token_id: str, job: Future[None]) -> None:
        self._pending.discard(token_id)
        if error := job.exception():
            reason = error.message if isinstance(error, SeksError) else type(error).__name__
            logger.error("the token %s could not be revoked: %s", token_id, reason)


def _revoke(settings: Settings, key: Key, token_id: str, request_id: str) -> None:
    """Revoke a token and record it, as `seks token revoke` does; in a vault of this thread's own."""
    home = settings.home
    with Vault.open(home, key=key) as vault, AuditLog(home.audit) as audit, vault.change():
        token = vault.tokens.get(token_id)
        if token.revoked:
            return
        vault.tokens.revoke(token)
        # Last: the log is on disk before the vault is.
        audit.admin(
            "token.revoke",
            request_id=request_id,
            client=token.client,
            agent=token.agent,
            secret=token.secret,
            provider=token.provider,
            token_id=token.id,
        )
    logger.warning("the tripwire revoked the token %s id=%s", token_id, request_id)
