"""The master key in a file."""

import base64
import hashlib
import itertools
import os
import stat
from pathlib import Path

import pytest

from seks_addon.errors import HomeError, MasterKeyError, SeksError
from seks_addon.vault.envelope import Key
from seks_addon.vault.keysource import KeyFile

MATERIAL = bytes(range(32))
CHECK = hashlib.sha256(b"seks master key checksum" + MATERIAL).hexdigest()[:8]
LINE = f"seks-master-key-v1:{base64.urlsafe_b64encode(MATERIAL).decode()}:{CHECK}"


def write(path: Path, content: str | bytes) -> Path:
    path.touch(0o600)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_create_and_load(tmp_path: Path) -> None:
    """The file that is made is private and gives the same key back."""
    old = os.umask(0)
    try:
        key = KeyFile(tmp_path / "master.key").create("")
    finally:
        os.umask(old)

    assert stat.S_IMODE((tmp_path / "master.key").stat().st_mode) == 0o600
    assert KeyFile(tmp_path / "master.key").load("") == key
    assert len(key.material) == 32


def test_keys_are_random(tmp_path: Path) -> None:
    """No two are alike."""
    assert KeyFile(tmp_path / "one").create("") != KeyFile(tmp_path / "two").create("")


def test_create_replaces_nothing(tmp_path: Path) -> None:
    """A key that exists is used, and never overwritten."""
    path = tmp_path / "master.key"
    key = KeyFile(path).create("")
    content = path.read_bytes()

    source = KeyFile(path)
    again = source.create("")
    source.discard()

    assert again == key
    assert path.read_bytes() == content


def test_a_new_key_waits_beside_the_old_one(tmp_path: Path) -> None:
    """It takes the old one's place when the vault has taken it, and not before."""
    path = tmp_path / "master.key"
    key = KeyFile(path).create("")
    source = KeyFile(path, replaces=True)

    new = source.create("")

    assert new != key
    assert KeyFile(path).load("") == key
    assert stat.S_IMODE(source.staged.stat().st_mode) == 0o600
    source.settle()
    assert KeyFile(path).load("") == new
    assert not source.staged.exists()


def test_a_new_key_that_nobody_took(tmp_path: Path) -> None:
    """It is taken back, and the old one stays."""
    path = tmp_path / "master.key"
    key = KeyFile(path).create("")
    source = KeyFile(path, replaces=True)
    source.create("")

    source.discard()

    assert KeyFile(path).load("") == key
    assert [file.name for file in tmp_path.iterdir()] == ["master.key"]


@pytest.mark.parametrize("replaces", [False, True])
def test_a_key_that_somebody_put_there_since(tmp_path: Path, replaces: bool) -> None:
    """Only the key that was made is taken back, and only until it is taken up."""
    path = tmp_path / "master.key"
    source = KeyFile(path, replaces=replaces)
    source.create("")
    place = source.staged if replaces else path
    place.write_text(LINE)

    source.discard()

    assert place.read_text() == LINE
    taken = KeyFile(tmp_path / "other.key", replaces=replaces)
    key = taken.create("")
    taken.settle()
    taken.discard()
    assert KeyFile(taken.path).load("") == key


@pytest.mark.parametrize("content", [LINE, f"{LINE}\n", f"# a comment\n\n{LINE}\n# another\n", f"{LINE}  \r\n"])
def test_format(tmp_path: Path, content: str) -> None:
    """The line is what counts; comments and blanks around it don't."""
    assert KeyFile(write(tmp_path / "k", content)).load("") == Key.from_material(MATERIAL)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "# only a comment\n",
        LINE[:-1],
        LINE[:-8] + "00000000",
        LINE.replace("v1", "v2"),
        LINE.replace(":", " "),
        LINE + ":x",
        LINE.replace(LINE[25], "B" if LINE[25] != "B" else "C", 1),
        LINE.replace("AAEC", "AA"),
        f"seks-master-key-v1:{'A' * 44}:{CHECK}",
        base64.b64encode(MATERIAL).decode(),
        b"\xff" * 100,
        bytes(range(256)),
    ],
    ids=itertools.count(),
)
def test_damaged(tmp_path: Path, content: str | bytes) -> None:
    """A file that isn't a key, or was changed anywhere, says so and quotes nothing."""
    path = write(tmp_path / "k", content)

    with pytest.raises(MasterKeyError, match="is no master key, or a damaged one") as caught:
        KeyFile(path).load("")

    assert "AAEC" not in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o606, 0o644])
def test_open_to_others(tmp_path: Path, mode: int) -> None:
    """A key that others can read or write isn't used."""
    path = write(tmp_path / "k", LINE)
    path.chmod(mode)

    with pytest.raises(HomeError, match="other users"):
        KeyFile(path).load("")


def test_missing(tmp_path: Path) -> None:
    """Without the file the secrets are lost, and the error says so."""
    with pytest.raises(MasterKeyError, match="is missing") as caught:
        KeyFile(tmp_path / "k").load("")

    assert "copy" in (caught.value.hint or "")


def test_folder_in_its_place(tmp_path: Path) -> None:
    """A folder is no key."""
    (tmp_path / "k").mkdir(0o700)

    with pytest.raises(SeksError):
        KeyFile(tmp_path / "k").load("")
