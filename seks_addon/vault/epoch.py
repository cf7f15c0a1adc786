"""The epoch: a number that grows with every change, so that a database of before is recognised.

It stands in the vault, authenticated, and in a file of the home as the highest that was seen here. A vault whose own
is lower was put back from before a revocation, perhaps, and is refused. Whoever can change that file too isn't
stopped by this.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from seks_addon.errors import VaultError
from seks_addon.home import write_over

if TYPE_CHECKING:
    from seks_addon.home import Home
    from seks_addon.vault.store import Vault


def known(home: Home) -> tuple[str | None, int]:
    """The id of the vault that this home had last, and the highest epoch that it has seen of it."""
    try:
        content = json.loads(home.epoch.read_bytes())
        return content["vault"], int(content["epoch"])
    except FileNotFoundError:
        return None, 0
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        hint = "remove it if you know that the vault is the newest"
        raise VaultError(f"{home.epoch} is damaged", hint=hint) from None


def seen(vault: Vault) -> int:
    """The highest epoch that this home has seen of this vault."""
    vault_id, number = known(vault.home)
    return number if vault_id == vault.id else 0


def remember(vault: Vault, number: int) -> None:
    """Write down an epoch that was reached. Comes after the commit: a crash between leaves the lower, which is safe."""
    if number <= seen(vault):
        # Another process made a change after ours, and was quicker here.
        return
    write_over(vault.home.epoch, json.dumps({"vault": vault.id, "epoch": number}).encode() + b"\n")


def check(vault: Vault, own: int) -> None:
    """Raise `VaultError` where the vault is older than this home has seen it."""
    if own < (highest := seen(vault)):
        raise VaultError(
            f"{vault.path} is older than this home has seen it (epoch {own}, not {highest})",
            hint="what was revoked since would be valid again; to take it all the same, `seks vault restore` it"
            " with --accept-older",
        )
