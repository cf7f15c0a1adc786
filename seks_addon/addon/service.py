"""What a running proxy holds open: the vault, the audit log's writer, the way to the hosts."""

import contextlib
import logging
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Final, Self

from seks_addon import foreign
from seks_addon.addon.connections import Connections
from seks_addon.addon.tripwires import Tripwires
from seks_addon.addon.upstream import Upstream
from seks_addon.audit import AuditLog, AuditWriter
from seks_addon.audit.runs import Run, dead_runs
from seks_addon.descriptors import make_room
from seks_addon.destination.egress import Egress
from seks_addon.destination.host import Origin
from seks_addon.destination.wildcard import public_suffixes
from seks_addon.errors import NotFoundError, VaultError
from seks_addon.foreign import Mode
from seks_addon.head import Head
from seks_addon.placements import Placement
from seks_addon.scrub import Known
from seks_addon.secret import Secret
from seks_addon.settings import Intercept, Settings
from seks_addon.vault import Agent, Grant, Vault
from seks_addon.vault.envelope import Key

logger = logging.getLogger("seks.proxy")

#: How long a request waits for a locked vault, in seconds: it is read on the event loop.
VAULT_TIMEOUT: Final = 0.2


class Service:
    """Opened once a worker; every method reads the vault anew, so that a change holds from the next request."""

    def __init__(self, settings: Settings, key: Key | None = None) -> None:
        """Open everything; raises `SeksError` and then leaves nothing open.

        `key` is the vault's master key where it is known already; else its source must give it unattended.
        """
        settings.home.check()
        # Read here, not on the event loop at the first request.
        public_suffixes()
        self.settings = settings
        self.upstream = Upstream(settings)
        self.connections = Connections(make_room(settings.max_connections), settings.max_connections_per_agent)
        self.vault = Vault.open(settings.home, key=key, timeout=VAULT_TIMEOUT)
        self._placements_at = lru_cache(1024)(self._read_placements)
        try:
            with AuditLog(settings.home.audit) as log:
                interrupted = log.interrupt(dead_runs(settings.home.run, log.pending_runs()))
            if interrupted:
                logger.warning("%d requests of an earlier run were interrupted; the audit log says so", interrupted)
            self._run = Run(settings.home.run)
            self.audit = AuditWriter(settings.home.audit, self._run.id)
            self.tripwires = Tripwires(settings, self.vault, self.audit)
        except BaseException:
            self.vault.close()
            raise

    def close(self) -> None:
        self.connections.stop()
        self.tripwires.close()
        self.audit.close()
        self._run.close()
        self.vault.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def is_tunnelled(self, origin: Origin) -> bool:
        """Tell whether a connection to `origin` passes unseen. One to a host that a secret is bound to never does."""
        if self.vault.secrets.bound_to_host(origin.host):
            return False
        return self.settings.intercept is Intercept.BOUND or any(
            pattern.matches(origin.host) for pattern in self.settings.tunnel
        )

    def check_egress(self, origin: Origin) -> None:
        """Raise `Refused` unless agents may reach `origin`."""
        egress = self.settings.egress
        egress.check(origin.host, bound=egress.mode is Egress.BOUND and self.vault.secrets.bound_to(origin))

    def check_foreign(self, head: Head, origin: Origin, agent: Agent, request_id: str) -> None:
        """Raise `Refused`, or say it in the log, where a judged request carries a credential that is no token."""
        mode = self.settings.foreign.mode_at(origin.host)
        if mode is Mode.PASS:
            return
        declared = self._placements_at(self.vault.version, origin.host, agent.client_id)
        if declared is None or (where := foreign.find(head, declared)) is None:
            return
        if mode is Mode.BLOCK:
            raise foreign.refusal(origin.host, where)
        logger.warning("foreign credential for %s agent=%s in %s id=%s", origin, agent.user, where, request_id)

    def _read_placements(self, version: int | None, host: str, client_id: str) -> Sequence[Placement] | None:
        del version  # Only what is kept depends on it: read once until the vault changes.
        return self.vault.secrets.placements_at(host, client_id)

    def credentials_at(self, host: str, agent: Agent, *, but: Collection[str] = ()) -> list[Known]:
        """Each credential that an agent has the use of at `host`, with a token to show to it instead.

        `but` are ids of secrets that are known already. One that somebody touched can't have been used.
        """
        known = []
        for stored in self.vault.secrets.held_at(host, agent):
            if stored.id in but:
                continue
            with contextlib.suppress(VaultError, NotFoundError):
                token = self.vault.tokens.newest(agent, stored)
                value = self.vault.secrets.reveal(stored.id, stored.client_id)
                known.append(Known(value.reveal(), self.vault.tokens.text(token)))
        return known

    def reveal(self, grant: Grant) -> Secret:
        """Decrypt what a token stands for."""
        return self.vault.secrets.reveal(grant.secret_id, grant.client_id)
