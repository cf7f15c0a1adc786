"""File descriptors: the limits are those of a process of its own."""

import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
from seks_addon.descriptors import make_room
soft, hard, wanted = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(make_room(wanted), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(
    ("limits", "room"),
    [
        ((256, 4096, 1024), "1024 2432"),
        ((3000, 4096, 1024), "1024 3000"),
        ((256, 1024, 1024), "320 1024"),
        ((64, 64, 1024), "1 64"),
    ],
    ids=str,
)
def test_room(limits: tuple[int, int, int], room: str) -> None:
    """The limit is raised as far as is needed and possible, and never lowered; it says how many fit."""
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, limits)], capture_output=True, text=True, timeout=60, check=True
    )

    assert ended.stdout.strip() == room
    assert ("has room for" in ended.stderr) == (not room.startswith("1024"))
