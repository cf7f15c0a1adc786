"""Saying which rows of the vault a list leaves out, as somebody changed them outside of SEKS."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from seks_cli import edge, output

if TYPE_CHECKING:
    from seks_addon.vault.damage import DamagedRow, Named


def report(rows: "Sequence[DamagedRow]") -> None:
    """Say of each what it is and the way out; the command ends with exit code 3 then."""
    for row in rows:
        output.error(f"{row} was changed outside of SEKS, and is left out", row.way_out)
    if rows:
        raise click.exceptions.Exit(edge.FOUND)


def called(row: "Named | DamagedRow", kind: str) -> str:
    """How to speak of a row that may be a damaged one."""
    from seks_addon.vault.damage import DamagedRow

    if isinstance(row, DamagedRow):
        return f"{row}, which was changed outside of SEKS,"
    return f"the {kind} {row.name}"
