"""A SEKS home, made through the library as `seks init` makes one, and all that is put into it."""

import itertools
from datetime import datetime
from pathlib import Path
from typing import Any

from seks_addon import ca
from seks_addon.audit import AuditLog
from seks_addon.binding import Binding, Endpoint
from seks_addon.home import Home
from seks_addon.policy import Policy
from seks_addon.providers import Catalog
from seks_addon.secret import Secret
from seks_addon.timing import timestamp
from seks_addon.vault import DEFAULT, Vault
from tests.support.forms import forms

STEM = "sk-FAKE-not-a-real-key-"
"""What every credential begins with."""


class Site:
    """A home, and the credentials in it: no other place may ever hold one of them."""

    def __init__(self, root: Path) -> None:
        """Make it, with the client `default` and its agent `default`."""
        self.home = Home(root)
        self.home.create()
        self.credentials: list[str] = []
        self.passwords: dict[str, str] = {}
        self._numbers = itertools.count(1)
        with Vault.create(self.home) as vault:
            vault.agents.add(vault.clients.add(DEFAULT), DEFAULT)
        AuditLog(self.home.audit, create=True).close()
        ca.create(self.home)

    def vault(self) -> Vault:
        """Open the vault, as another process would."""
        return Vault.open(self.home)

    def agent(self, name: str, client: str = DEFAULT) -> str:
        """Add an agent, and its client where there is none; returns `USER:PASSWORD` for the proxy URL."""
        with self.vault() as vault:
            owner = vault.clients.find(client) or vault.clients.add(client)
            agent, password = vault.agents.add(owner, name)
        return f"{agent.user.replace('/', '%2F')}:{password}"

    def secret(
        self,
        name: str,
        *endpoints: tuple[str, str],
        client: str = DEFAULT,
        policy: Policy | None = None,
        expires: datetime | None = None,
    ) -> str:
        """Add a secret for a provider of its name, or for (host, placement) pairs; returns the credential."""
        credential = f"{STEM}{name}-{next(self._numbers):04}"
        provider = None if endpoints else Catalog().get(name)
        chosen = tuple(Endpoint.parse(host, [place]) for host, place in endpoints) if provider is None else None
        binding = Binding(chosen if provider is None else provider.endpoints, policy or Policy())  # type: ignore[arg-type]
        with self.vault() as vault:
            vault.secrets.add(
                vault.clients.get(client),
                name,
                Secret(credential),
                binding,
                provider=provider.name if provider else None,
                expires=timestamp(expires) if expires else None,
            )
        self.credentials.append(credential)
        return credential

    def token(
        self,
        secret: str,
        *,
        agent: str = DEFAULT,
        client: str = DEFAULT,
        policy: Policy | None = None,
        expires: datetime | None = None,
    ) -> str:
        """Issue a token."""
        with self.vault() as vault:
            owner = vault.clients.get(client)
            stored, holder = vault.secrets.get(owner, secret), vault.agents.get(owner, agent)
            return vault.tokens.issue(stored, holder, policy=policy, expires=expires)[1]

    def token_id(self, token: str) -> str:
        """The public name of a token."""
        with self.vault() as vault:
            return vault.tokens.get(token).id

    def revoke(self, token: str) -> None:
        """Revoke a token."""
        with self.vault() as vault:
            vault.tokens.revoke(vault.tokens.get(token))

    def records(self, after: int = 0) -> list[dict[str, Any]]:
        """The audit records with a higher number."""
        with AuditLog(self.home.audit) as log:
            return list(log.read(after=after))

    def last_record(self) -> dict[str, Any] | None:
        """The newest audit record."""
        with AuditLog(self.home.audit) as log:
            return next(log.read(last=1), None)

    def owes_outcomes(self) -> bool:
        """Whether there is an intent without its outcome."""
        with AuditLog(self.home.audit) as log:
            return bool(log.pending_runs())

    def assert_no_leak(self, *texts: bytes) -> None:
        """No credential stands in any of the texts, nor in any file of the home, in any usual form."""
        files = [path.read_bytes() for path in self.home.root.rglob("*") if path.is_file()]
        for text in (*texts, *files):
            for credential in self.credentials:
                assert not any(form in text for form in forms(credential)), "a credential got out"
