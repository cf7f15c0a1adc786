"""The home directory, its files and their modes."""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from seks_addon import home as home_module
from seks_addon.errors import HomeError
from seks_addon.home import TEMPORARY, Home, require_private, write_new, write_over


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    """The worst umask: whatever doesn't ask for a mode is open to all."""
    old = os.umask(0)
    yield
    os.umask(old)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def initialised(root: Path) -> Home:
    home = Home(root / "home")
    home.create()
    for path in (home.vault, home.audit, home.ca):
        write_new(path, b"")
    return home


@pytest.mark.parametrize(
    ("option", "env", "wanted"),
    [
        ("/a", {"SEKS_HOME": "/b"}, "/a"),
        (Path("/a/b"), {}, "/a/b"),
        (None, {"SEKS_HOME": "/b"}, "/b"),
        ("", {"SEKS_HOME": "/b/"}, "/b"),
        (None, {"SEKS_HOME": ""}, "~/.seks"),
        (None, {}, "~/.seks"),
        ("~/x", {}, "~/x"),
    ],
)
def test_find(option: str | Path | None, env: dict[str, str], wanted: str) -> None:
    """An option wins over the variable, the variable over the default; the path is absolute."""
    assert Home.find(option, env).root == Path(wanted).expanduser()


@pytest.mark.parametrize("mode_wanted", [0o600, 0o644])
def test_write_new_without_links(tmp_path: Path, mode_wanted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file system has none, it is as private as ever, and replaces nothing."""

    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)

    write_new(tmp_path / "new", b"content", mode_wanted)

    assert (tmp_path / "new").read_bytes() == b"content"
    assert mode(tmp_path / "new") == mode_wanted
    with pytest.raises(HomeError, match="exists already"):
        write_new(tmp_path / "new", b"other")
    assert (tmp_path / "new").read_bytes() == b"content"
    assert names(tmp_path) == ["new"]


def test_find_of_a_stranger() -> None:
    """A user that there isn't has no home."""
    with pytest.raises(HomeError, match="no user"):
        Home.find("~nobody-is-called-so/x", {})


def test_find_makes_a_relative_path_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change of directory later doesn't move the home."""
    monkeypatch.chdir(tmp_path)

    assert Home.find("here", {}).root == tmp_path / "here"


def test_create_is_private(tmp_path: Path) -> None:
    """Every folder of the home is its owner's alone."""
    home = Home(tmp_path / "deep" / "home")

    home.create()

    assert [mode(path) for path in (home.root, home.ca.parent, home.run)] == [0o700] * 3


def test_create_leaves_what_is_there(tmp_path: Path) -> None:
    """Creating again changes neither files nor modes."""
    home = initialised(tmp_path)
    home.root.chmod(0o750)

    home.create()

    assert mode(home.root) == 0o750
    assert home.vault.exists()


@pytest.mark.parametrize("blocked", ["home", "home/ca", "home/run"])
def test_create_over_a_file(tmp_path: Path, blocked: str) -> None:
    """A file where a directory belongs is named in the error."""
    path = tmp_path / blocked
    path.parent.mkdir(exist_ok=True)
    path.write_text("")

    with pytest.raises(HomeError, match=f"{path} is not a directory"):
        Home(tmp_path / "home").create()


def test_create_below_a_file(tmp_path: Path) -> None:
    """A home that can't be made is an error of ours."""
    (tmp_path / "file").write_text("")

    with pytest.raises(HomeError, match="can't make the home"):
        Home(tmp_path / "file" / "home").create()


def test_check_passes(tmp_path: Path) -> None:
    """A home that is initialised and private is fine."""
    initialised(tmp_path).check()


def test_check_without_a_home(tmp_path: Path) -> None:
    """A missing home says how to make one."""
    with pytest.raises(HomeError, match="there is no home") as caught:
        Home(tmp_path / "none").check()

    assert "seks init" in (caught.value.hint or "")


def test_check_without_a_vault(tmp_path: Path) -> None:
    """A home without a vault says how to initialise it, or how to put back the one that it had."""
    home = initialised(tmp_path)
    home.vault.unlink()

    with pytest.raises(HomeError, match="not initialised"):
        home.check()
    write_new(home.epoch, b"")
    with pytest.raises(HomeError, match="is missing") as caught:
        home.check()
    assert "seks vault restore" in (caught.value.hint or "")


@pytest.mark.parametrize("name", ["", "vault.db", "audit.db", "ca/seks-ca.pem"])
@pytest.mark.parametrize("bits", [0o040, 0o020, 0o004, 0o002, 0o001])
def test_check_finds_what_is_open(tmp_path: Path, name: str, bits: int) -> None:
    """Any bit for others on the home or a private file is refused, with the command that mends it."""
    home = initialised(tmp_path)
    path = home.root / name
    path.chmod(mode(path) | bits)

    with pytest.raises(HomeError, match="can be read by other users") as caught:
        home.check()

    assert (caught.value.hint or "").endswith(f"{path}`")
    assert "chmod 700" in (caught.value.hint or "") if path.is_dir() else "chmod 600" in (caught.value.hint or "")


def test_require_private_of_nothing(tmp_path: Path) -> None:
    """A file that can't be looked at isn't private."""
    with pytest.raises(HomeError, match="can't read"):
        require_private(tmp_path / "none")


@pytest.mark.parametrize("write", [write_new, write_over])
@pytest.mark.parametrize(("asked", "wanted"), [((), 0o600), ((0o644,), 0o644)])
def test_write_makes_a_file(tmp_path: Path, write: type, asked: tuple[int, ...], wanted: int) -> None:
    """A new file has its content and mode, and nothing lies beside it."""
    path = tmp_path / "file"

    write(path, b"content", *asked)

    assert path.read_bytes() == b"content"
    assert mode(path) == wanted
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("write", [write_new, write_over])
def test_write_is_private_before_it_has_content(tmp_path: Path, write: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """While data is written, nobody else can read it, not even where the file ends up public."""
    seen = []
    chmod = os.fchmod

    def watched(descriptor: int, wanted: int) -> None:
        status = os.fstat(descriptor)
        seen.append((stat.S_IMODE(status.st_mode), status.st_size))
        chmod(descriptor, wanted)

    monkeypatch.setattr(os, "fchmod", watched)

    write(tmp_path / "file", b"content", 0o644)

    assert seen == [(0o600, 7)]


def test_write_new_replaces_nothing(tmp_path: Path) -> None:
    """A file that exists stays as it is."""
    path = tmp_path / "file"
    path.write_bytes(b"old")

    with pytest.raises(HomeError, match="exists already"):
        write_new(path, b"new")

    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_write_over_replaces(tmp_path: Path) -> None:
    """An old file makes way in one step, with the new mode."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    before = path.open("rb")

    write_over(path, b"new")

    with before:
        assert before.read() == b"old"
    assert path.read_bytes() == b"new"
    assert mode(path) == 0o600


@pytest.mark.parametrize(
    ("write", "step"),
    [
        *((write, step) for write in (write_new, write_over) for step in ("fsync", "fchmod")),
        (write_new, "link"),
        (write_over, "replace"),
    ],
)
def test_write_fails_whole(tmp_path: Path, write: type, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk at any step leaves what was there, and no rest of the new file."""
    path = tmp_path / "file"
    if write is write_over:
        path.write_bytes(b"old")
    before = names(tmp_path)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(home_module.os, step, full)

    with pytest.raises(HomeError, match="No space left"):
        write(path, b"new")

    assert names(tmp_path) == before
    assert write is write_new or path.read_bytes() == b"old"


@pytest.mark.parametrize("write", [write_new, write_over])
def test_write_into_nothing(tmp_path: Path, write: type) -> None:
    """A missing folder is an error of ours."""
    with pytest.raises(HomeError, match="can't write"):
        write(tmp_path / "none" / "file", b"")


def test_what_a_killed_process_left(tmp_path: Path) -> None:
    """Half a file, with a key in it perhaps, doesn't stay; what somebody may still work on does."""
    home = Home(tmp_path / "home")
    home.create()
    old, new = home.root / f"{TEMPORARY}old", home.ca.parent / f"{TEMPORARY}new"
    for path in (old, new):
        path.touch(0o600)
    os.utime(old, (0, 0))

    home.sweep()

    assert not old.exists()
    assert new.exists()
