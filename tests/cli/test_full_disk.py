"""A disk that is really full: each command changes all or nothing, and says why."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from seks_addon.home import Home
from seks_addon.secret import Secret
from seks_addon.vault import Vault
from tests.samples import KEY, binding

SIZE = 3 << 20


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """On a small file system of its own, where the system lets us mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=700", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    yield Home(folder / "home")
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("free", [0, 80])
@pytest.mark.parametrize(
    "words",
    [
        ("vault", "add", "groq", "--from-env", "GIVEN"),
        ("vault", "reencrypt"),
        ("vault", "rekey"),
        ("vault", "destroy", "--yes"),
        ("vault", "backup", "SMALL/second.seks"),
        ("vault", "restore", "COPY"),
        ("--home", "SMALL/other", "init", "--from-backup", "COPY", "--key-file", "SMALL/home/master.key"),
    ],
    ids=lambda words: words[1] if words[0] == "vault" else "from-backup",
)
def test_full(
    home: Home, process: Callable[..., CompletedProcess[str]], tmp_path: Path, words: tuple[str, ...], free: int
) -> None:
    """With so many KiB left; nothing of a failure stays."""
    small, copy = home.root.parent, tmp_path / "copy.seks"
    assert process("init").returncode == 0
    with Vault.open(home) as vault:
        for number in range(8):
            # Too much for what is left.
            vault.secrets.add(vault.clients.get("default"), f"s{number}", Secret(KEY * 400), binding())
    assert process("vault", "backup", str(copy)).returncode == 0
    before = {path.relative_to(small) for path in small.rglob("*")}
    with (small / "filler").open("wb", buffering=0) as filler:
        while filler.write(bytes(4096)) == 4096 and os.statvfs(small).f_bavail * 4096 > free << 10:
            pass

    chosen = [word.replace("SMALL", str(small)).replace("COPY", str(copy)) for word in words]
    result = process(*chosen, env={"GIVEN": KEY * 400})

    (small / "filler").unlink()
    assert (result.returncode, result.stdout) == (1, "")
    assert "full" in result.stderr or "No space left" in result.stderr
    assert process("vault", "check").returncode == process("audit", "verify").returncode == 0
    with Vault.open(home) as vault:
        assert len(vault.secrets.list()) == 8
    # The next command sweeps what SQLite had open.
    assert {path.relative_to(small) for path in small.rglob("*")} == before
