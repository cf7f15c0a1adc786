"""Where everything lives: the home directory, its files, and who may read them."""

import contextlib
import errno
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from seks_addon.errors import DatabaseBusyError, HomeError
from seks_addon.lock import COMMAND_TIMEOUT, locked

PRIVATE_FILE: Final = 0o600
PRIVATE_DIR: Final = 0o700
PUBLIC_FILE: Final = 0o644

#: How files begin that are on their way to another name, and the age in seconds at which nobody works on one.
TEMPORARY: Final = ".seks-tmp-"
_ABANDONED: Final = 3600

#: How the files end that a database consists of.
BESIDE: Final = ("", "-wal", "-shm", "-journal")

#: How a file ends that waits to take another's place.
NEW: Final = ".new"

#: How a file system says that it has no links.
_NO_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})


@dataclass(frozen=True, slots=True)
class Home:
    """The paths below one home directory."""

    root: Path

    @classmethod
    def find(cls, option: str | os.PathLike[str] | None = None, env: Mapping[str, str] = os.environ) -> "Home":
        """Take the home from an option, else `$SEKS_HOME`, else `~/.seks`."""
        chosen = Path(option or env.get("SEKS_HOME") or "~/.seks")
        return cls(plain_path(chosen))

    @property
    def vault(self) -> Path:
        return self.root / "vault.db"

    @property
    def damaged_vault(self) -> Path:
        """What a restore found in the vault's place and couldn't read; it may hold what was in the vault."""
        return self.root / "vault.db.damaged"

    @property
    def audit(self) -> Path:
        return self.root / "audit.db"

    @property
    def master_key(self) -> Path:
        return self.root / "master.key"

    @property
    def key_location(self) -> Path:
        """Where the master key is to be had, when it isn't the usual place."""
        return self.root / "key.toml"

    @property
    def epoch(self) -> Path:
        """The highest epoch of the vault that was seen here."""
        return self.root / "vault.epoch"

    @property
    def ca(self) -> Path:
        return self.root / "ca" / "seks-ca.pem"

    @property
    def ca_cert(self) -> Path:
        return self.root / "ca" / "seks-ca-cert.pem"

    @property
    def ca_bundle(self) -> Path:
        return self.root / "ca" / "bundle.pem"

    @property
    def config(self) -> Path:
        return self.root / "config.toml"

    @property
    def providers(self) -> Path:
        """Catalog entries of the user's own, beside the ones that come with SEKS."""
        return self.root / "providers"

    @property
    def run(self) -> Path:
        """What running proxies say of themselves."""
        return self.root / "run"

    @property
    def stage(self) -> Path:
        """Where `seks init` makes the parts, before each takes its place in one step."""
        return self.root / ".init"

    def owns(self, path: Path) -> bool:
        """Whether `path`, or what it is a link to, is where SEKS keeps a file of its own or would take one for it."""
        databases = [beside(file, suffix) for file in (self.vault, self.audit) for suffix in BESIDE]
        keys = [
            self.master_key,
            self.key_location,
            *(beside(file, NEW) for file in (self.master_key, self.key_location)),
        ]
        folders = [self.ca.parent, self.providers, self.run, self.stage]
        own = {file.name for file in (*databases, *keys, *folders, self.damaged_vault, self.epoch, self.config)}
        root = os.path.realpath(self.root)
        for place in (Path(os.path.realpath(path)), Path(os.path.realpath(path.parent), path.name)):
            if place.is_relative_to(root) and place != Path(root):
                first, *rest = place.relative_to(root).parts
                # Where a file system takes upper case and lower case for the same, so must this.
                if first.casefold() in own and (not rest or Path(root, first).is_dir()):
                    return True
        return False

    def require_foreign(self, path: Path) -> None:
        """Raise `HomeError` where a file that somebody names is one that the home `owns`."""
        if self.owns(path):
            raise HomeError(f"{path} is a place of SEKS's own in the home", hint="name another file")

    def create(self) -> None:
        """Make the home, readable by its owner only; an existing one is left as it is."""
        try:
            self.root.mkdir(mode=PRIVATE_DIR, parents=True, exist_ok=True)
            for folder in (self.ca.parent, self.run):
                folder.mkdir(mode=PRIVATE_DIR, exist_ok=True)
        except FileExistsError as error:
            raise HomeError(f"{error.filename} is not a directory") from None
        except OSError as error:
            raise HomeError(f"can't make the home {self.root}: {error.strerror}") from None

    @contextlib.contextmanager
    def exclusive(self, timeout: float = COMMAND_TIMEOUT) -> Iterator[None]:
        """Let one at a time do what takes many steps, and perhaps a question to somebody: init, rekey, restore.

        Changes of the vault go on meanwhile: a revocation waits for nobody's answer. Raises `DatabaseBusyError`.
        """
        with locked(self.root, timeout):
            yield
            sync(self.root)

    @contextlib.contextmanager
    def changing(self, timeout: float = COMMAND_TIMEOUT) -> Iterator[None]:
        """Let one at a time change the vault and what the home has seen of it, or put another in its place.

        Who takes `exclusive` too takes it first. Raises `DatabaseBusyError`.
        """
        # A directory of its own: SQLite's locks on the database would be lost with a descriptor that is closed.
        with contextlib.suppress(OSError):
            self.run.mkdir(mode=PRIVATE_DIR, exist_ok=True)
        with locked(self.run, timeout):
            yield

    def sweep(self) -> None:
        """Remove what processes that were killed left half written: it may hold a key."""
        for folder in (self.root, self.ca.parent, self.run):
            sweep(folder)
        if self.stage.is_dir() and self.vault.exists():
            with contextlib.suppress(DatabaseBusyError, HomeError, OSError), self.exclusive(timeout=0):
                self._end_init()

    def _end_init(self) -> None:
        """Take what is left to do of an `init` that was killed when its vault had its place already."""
        left = Home(self.stage)
        if left.epoch.exists() and not (left.vault.exists() or self.epoch.exists()):
            left.epoch.rename(self.epoch)
        shutil.rmtree(left.root, ignore_errors=True)

    def check(self, *, lost_vault: bool = False) -> None:
        """Raise `HomeError` unless the home is initialised and closed to other users; sweeps it.

        `lost_vault`: its vault may be gone.
        """
        if not self.root.is_dir():
            raise HomeError(
                f"there is no home at {self.root}",
                hint="make one with `seks init`; from a backup, with `seks init --from-backup FILE`",
            )
        if not os.access(self.root, os.R_OK | os.X_OK):
            raise HomeError(f"{self.root} belongs to another user", hint="name your own with --home")
        if not lost_vault and not self.vault.exists():
            if self.epoch.exists():
                raise HomeError(f"the vault {self.vault} is missing", hint="put it back with `seks vault restore FILE`")
            raise HomeError(f"the home {self.root} is not initialised", hint="run `seks init`")
        require_private(self.root)
        for path in (self.vault, self.audit, self.ca):
            if path.exists():
                require_private(path)
        self.sweep()


def beside(path: Path, suffix: str) -> Path:
    """The file next to another that is called as it is, with `suffix` at the end."""
    return path.with_name(path.name + suffix)


def sweep(folder: Path) -> None:
    """Remove what processes that were killed left half written in a folder, or under two names."""
    for path in folder.glob(f"{TEMPORARY}*"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < time.time() - _ABANDONED:
                path.unlink()


def plain_path(path: Path) -> Path:
    """Make a path that somebody named absolute, with `~` for his home; raises `HomeError`."""
    try:
        plain = path.expanduser().absolute()
        str(plain).encode()
    except RuntimeError:
        raise HomeError(f"there is no user whose home {path} is below") from None
    except UnicodeEncodeError:
        # Neither TOML nor JSON could name it.
        raise HomeError(f"the path {str(path)!a} is not UTF-8", hint="use another name") from None
    return plain


def require_private(path: Path) -> None:
    """Raise `HomeError` where other users may read or write `path`."""
    try:
        status = path.stat()
    except OSError as error:
        raise HomeError(f"can't read {path}: {error.strerror}") from None
    if status.st_uid != os.geteuid():
        raise HomeError(f"{path} belongs to another user", hint="use a home of your own, or give it to yourself")
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        wanted = PRIVATE_DIR if path.is_dir() else PRIVATE_FILE
        raise HomeError(f"{path} can be read by other users (mode {mode:04o})", hint=f"run `chmod {wanted:o} {path}`")


def write_new(path: Path, data: bytes, mode: int = PRIVATE_FILE) -> None:
    """Create `path` with `data`, whole or not at all; it must not exist, and is never readable by others first."""
    _write(path, data, mode, replace=False)


def write_over(path: Path, data: bytes, mode: int = PRIVATE_FILE) -> None:
    """Put `data` at `path` in one step: a reader sees the old content or the new, a crash leaves one of them."""
    _write(path, data, mode, replace=True)


def move_over(source: Path, target: Path) -> None:
    """Give a file another's name, durably; both are in one directory. One that is gone was moved by somebody else."""
    try:
        with contextlib.suppress(FileNotFoundError):
            source.replace(target)
        sync(target.parent)
    except OSError as error:
        raise HomeError(f"can't write {target}: {error.strerror}") from None


def give_name(source: Path, target: Path) -> None:
    """Give a whole file the name `target` too, which nothing may have; raises `OSError`.

    Where the file system has no links (FAT, some of the network) it is copied: a crash may leave a part of it.
    """
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _copy_new(source, target)


def _copy_new(source: Path, target: Path) -> None:
    descriptor = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE)
    try:
        with source.open("rb") as given, os.fdopen(descriptor, "wb") as file:
            shutil.copyfileobj(given, file)
            file.flush()
            mode = stat.S_IMODE(os.fstat(given.fileno()).st_mode)
            if stat.S_IMODE(os.fstat(descriptor).st_mode) != mode:
                os.fchmod(descriptor, mode)
            os.fsync(descriptor)
    except BaseException:
        target.unlink()
        raise


def _write(path: Path, data: bytes, mode: int, *, replace: bool) -> None:
    temporary: str | None = None
    try:
        # mkstemp opens with O_EXCL and 0600.
        descriptor, temporary = tempfile.mkstemp(prefix=TEMPORARY, dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        if replace:
            Path(temporary).replace(path)
            temporary = None
        else:
            give_name(Path(temporary), path)
        sync(path.parent)
    except FileExistsError:
        raise HomeError(f"{path} exists already") from None
    except OSError as error:
        raise HomeError(f"can't write {path}: {error.strerror}") from None
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Put a file on disk, or which files a directory has."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
