"""The epoch: a number that grows with every change, so that a database of before is recognised.

It stands in the vault, authenticated, and in a file of the home as the highest that was seen here, with the vault's
id. A vault whose own is lower was put back from before a revocation, perhaps, and is refused; so is another vault.
Whoever can change that file too isn't stopped by this.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from seks_addon.errors import VaultError
from seks_addon.home import write_over

if TYPE_CHECKING:
    from seks_addon.home import Home
    from seks_addon.vault.store import Vault

#: Nobody makes so many changes; somebody planted one.
LIMIT: Final = 2**62


def known(home: Home) -> tuple[str | None, int]:
    """The id of the vault that this home had last, and the highest epoch that it has seen of it."""
    try:
        match json.loads(home.epoch.read_bytes()):
            # By its type: True and 5.0 are numbers too.
            case {"vault": str(vault_id), "epoch": number} if type(number) is int and 0 <= number <= LIMIT:
                return vault_id, number
    except FileNotFoundError:
        return None, 0
    except (OSError, ValueError, RecursionError):
        pass
    raise VaultError(f"{home.epoch} is damaged", hint="remove it if you know that the vault is the newest")


def seen(vault: Vault) -> int:
    """The highest epoch that this home has seen of this vault; raises `VaultError` where it had another vault."""
    vault_id, number = known(vault.home)
    if vault_id not in {None, vault.id}:
        raise another(vault)
    return number


def another(vault: Vault) -> VaultError:
    """What to say of a vault that isn't this home's."""
    return VaultError(
        f"{vault.path} is another vault than this home's",
        hint=f"name its own home with --home; if it is to be the one here, remove {vault.home.epoch}",
    )


def remember(vault: Vault, number: int) -> None:
    """Write down an epoch that was reached, within `Home.changing`; raises `VaultError` as `seen` does.

    Comes after the commit: a crash between leaves the lower, which is safe.
    """
    if number > seen(vault):
        write_over(vault.home.epoch, json.dumps({"vault": vault.id, "epoch": number}).encode() + b"\n")


def check(vault: Vault, *, accept_older: bool = False) -> None:
    """Raise `VaultError` where the vault is older than this home has seen it, or another."""
    # In this order: what is written down was committed before.
    highest = seen(vault)
    if (own := vault.epoch) < highest and not accept_older:
        raise VaultError(
            f"{vault.path} is older than this home has seen it (epoch {own}, not {highest})",
            hint="what was revoked since would be valid again; to take it all the same, `seks vault restore` it"
            " with --accept-older",
        )
