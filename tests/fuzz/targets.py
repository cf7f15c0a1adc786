"""Every target by its name."""

from collections.abc import Callable, Mapping
from typing import Final

from tests.fuzz import answers, requests, texts

TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = {
    "request": requests.request,
    "placement": requests.placement,
    "authority": requests.authority,
    "scrub": answers.scrub,
    "coding": answers.coding,
    "path": texts.path,
    "json": texts.json_text,
    "token": texts.token,
}
