"""The epoch: a number that grows with every change, so that a database of before is recognised.

It stands in the vault, authenticated, and in a file of the home as the highest that was seen here, with the vault's
id. A vault whose own is lower was put back from before a revocation, perhaps, and is refused; so is another vault.
Whoever can change that file too isn't stopped by this.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final

from seks_addon.errors import HomeError, VaultError
from seks_addon.home import TEMPORARY, move_over, write_over

if TYPE_CHECKING:
    from seks_addon.home import Home
    from seks_addon.vault.store import Vault

logger = logging.getLogger("seks.vault")

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
    """Write down an epoch that was reached, within `Home.changing`; raises `VaultError` as `seen` does."""
    if number > seen(vault):
        write_over(vault.home.epoch, _written(vault, number))


def prepare(vault: Vault, number: int) -> None:
    """Write an epoch down beside the file, within `Home.changing`: a full disk stops a change before it is made.

    `settle` or `forget` comes next; what a crash leaves is swept.
    """
    try:
        write_over(_prepared(vault.home), _written(vault, number))
    except HomeError as error:
        message = error.message.replace(str(_prepared(vault.home)), str(vault.home.epoch))
        raise HomeError(message, hint="nothing was changed; free some space, or check the disk") from None


def settle(vault: Vault) -> None:
    """Let what is prepared be the epoch that this home has seen.

    Comes after the commit: a crash between leaves the lower, which is safe. Where it fails, the change holds.
    """
    try:
        move_over(_prepared(vault.home), vault.home.epoch)
    except HomeError as error:
        logger.warning("%s: an older vault may pass for this one until the next change", error.message)
    finally:
        forget(vault)


def forget(vault: Vault) -> None:
    """Take back what is prepared."""
    _prepared(vault.home).unlink(missing_ok=True)


def _prepared(home: Home) -> Path:
    return home.epoch.with_name(f"{TEMPORARY}epoch")


def _written(vault: Vault, number: int) -> bytes:
    return json.dumps({"vault": vault.id, "epoch": number}).encode() + b"\n"


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
