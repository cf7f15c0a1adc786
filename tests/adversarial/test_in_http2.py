"""The cases of the other tables, sent in HTTP/2 through a proxy that speaks it; the hosts speak HTTP/1.1."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from seks_addon.audit import AuditLog
from tests.adversarial import test_destinations, test_parsing, test_responses, test_tokens
from tests.adversarial.conftest import new_arena
from tests.adversarial.harness import Arena, Case, cases
from tests.adversarial.http2 import H2Play, over_http2
from tests.support.upstream import Upstream

#: What is sent by hand or in clear, or about names in upper case and reasons, which HTTP/2 doesn't have.
EXCEPT = {
    "a refused CONNECT, then another",
    "another client's agent",
    "token for a password",
    "later at another port",
    "header name",
    "reason",
    "reason of an error",
}
CASES = [
    *test_destinations.CASES,
    *(case for case in test_parsing.CASES if case.act is None),
    *test_responses.CASES,
    *test_tokens.CASES,
]


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def arena(ground: Path, hosts: dict[str, Upstream], options: list[str], names: Path) -> Iterator[Arena]:
    """A proxy that serves one case after the other."""
    arena = new_arena("http2", ground / "http2", hosts, options, names)
    arena.plays = H2Play
    with arena.proxy:
        arena.words["proxy port"] = str(arena.proxy.port)
        yield arena
    with AuditLog(arena.site.home.audit) as log:
        assert log.verify().intact


@cases(*filter(None, (over_http2(case) for case in CASES if case.id not in EXCEPT)))
def test_in_http2(arena: Arena, case: Case) -> None:
    """It ends as it does in HTTP/1.1."""
    arena.play(case)
