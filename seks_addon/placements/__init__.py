"""Where in a request a token may stand. One file a kind; `parse` reads the one syntax of all of them.

bearer                        Authorization: Bearer {}
header:x-api-key: {}          a named header, with a format
basic:password                Authorization: Basic, base64 of USER:{}   (also basic:username, basic:either)
cookie:session                one cookie of the Cookie header
query:key                     the value of a parameter in the query
path:/bot{}/                  the beginning of the path: a segment, or the rest of one, with what stands before it
form:client_secret            a field of a form in the body
json:/client_secret           a text in a JSON body, by its pointer
subprotocol:key.{}            a subprotocol that a WebSocket's handshake offers
message:/d/token              a field of a JSON text that the agent sends over a WebSocket
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from seks_addon.errors import InputError
from seks_addon.placements.base import BodyPlacement, Match, Place, Placement, TextPlacement
from seks_addon.placements.basic import BasicPlacement
from seks_addon.placements.cookie import CookiePlacement
from seks_addon.placements.form import FormPlacement
from seks_addon.placements.header import HeaderPlacement
from seks_addon.placements.json_text import JsonPlacement, MessagePlacement
from seks_addon.placements.path import PathPlacement
from seks_addon.placements.query import QueryPlacement
from seks_addon.placements.subprotocol import SubprotocolPlacement

__all__ = ["KINDS", "BodyPlacement", "Match", "Place", "Placement", "TextPlacement", "parse"]

#: A new kind is a new file and a line here: what stands before the first colon → the reader of the rest.
KINDS: Final[Mapping[str, Callable[[str], Placement]]] = MappingProxyType(
    {
        "bearer": HeaderPlacement.parse_bearer,
        "header": HeaderPlacement.parse,
        "basic": BasicPlacement.parse,
        "cookie": CookiePlacement.parse,
        "query": QueryPlacement.parse,
        "path": PathPlacement.parse,
        "form": FormPlacement.parse,
        "json": JsonPlacement.parse,
        "subprotocol": SubprotocolPlacement.parse,
        "message": MessagePlacement.parse,
    }
)


def parse(spec: str) -> Placement:
    """Read a placement as it is typed, stored and written in the catalog; raises `InputError`."""
    kind, _, argument = spec.partition(":")
    reader = KINDS.get(kind.strip())
    if reader is None:
        raise InputError(f"{spec!r} is no placement", hint=f"begin it with one of: {', '.join(KINDS)}")
    return reader(argument.strip())
