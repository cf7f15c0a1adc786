"""Ten thousand secrets, each with a token: a request costs what it does with ten, and every command copes."""

from pathlib import Path

import pytest

from seks_addon.home import Home
from seks_addon.secret import Secret
from seks_addon.vault import Vault, backup, check, rotation
from seks_addon.vault.keysource import KeyFile
from tests.samples import binding
from tests.vault.conftest import Tenant, no_progress

MANY = 10_000


def value(number: int) -> str:
    return f"sk-test-not-a-real-key-{number:08}"


def fill(vault: Vault, tenant: Tenant, first: int, count: int) -> list[str]:
    """Add secrets in one change; gives their tokens."""
    with vault.change():
        made = [
            vault.secrets.add(tenant.client, f"s{number}", Secret(value(number)), binding())
            for number in range(first, first + count)
        ]
        return [vault.tokens.issue(secret, tenant.agent)[1] for secret in made]


def steps(vault: Vault, text: str, number: int) -> int:
    """How many steps the database takes for a request with a token: what grows with its size, and with no machine."""
    counted = 0

    def count() -> int:
        nonlocal counted
        counted += 1
        return 0

    vault.connection.set_progress_handler(count, 1)
    try:
        vault.refresh()
        grant = vault.tokens.resolve(text)
        assert grant is not None
        assert vault.secrets.reveal(grant.secret_id, grant.client_id).reveal() == value(number)
    finally:
        vault.connection.set_progress_handler(None, 0)
    return counted


@pytest.mark.slow
def test_ten_thousand(home: Home, vault: Vault, acme: Tenant, tmp_path: Path) -> None:
    """Nothing is lost on the way through new keys of both kinds, a copy, and its restoring."""
    few = fill(vault, acme, 0, 10)
    cost = max(steps(vault, text, number) for number, text in enumerate(few))

    texts = [*few, *fill(vault, acme, 10, MANY - 10)]

    assert max(steps(vault, texts[number], number) for number in range(0, MANY, 997)) <= cost
    rotation.rekey(vault, KeyFile(home.master_key, replaces=True))
    rotation.reencrypt(vault, no_progress)
    backup.backup(vault, tmp_path / "copy", no_progress)
    rotation.destroy(vault)
    assert vault.tokens.resolve(texts[-1]) is None
    backup.restore(home, tmp_path / "copy", ask=None, accept_older=True, progress=no_progress)
    vault.refresh()
    assert vault.secrets.count() == MANY + 1
    assert check.check(vault, no_progress) == []
    assert max(steps(vault, texts[number], number) for number in range(0, MANY, 997)) <= cost
