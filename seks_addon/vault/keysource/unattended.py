"""A passphrase that nobody types: from a file or a file descriptor that a variable names.

Never from a variable itself: children inherit those, and `ps` shows them.
"""

import os
import stat
from pathlib import Path
from typing import BinaryIO, Final

from seks_addon.errors import InputError, MasterKeyError
from seks_addon.secret import MAX_BYTES, Secret

FILE_VARIABLE: Final = "SEKS_PASSPHRASE_FILE"
DESCRIPTOR_VARIABLE: Final = "SEKS_PASSPHRASE_FD"
NEW_FILE_VARIABLE: Final = "SEKS_NEW_PASSPHRASE_FILE"
NEW_DESCRIPTOR_VARIABLE: Final = "SEKS_NEW_PASSPHRASE_FD"

_CURRENT: Final = (FILE_VARIABLE, DESCRIPTOR_VARIABLE)
_NEW: Final = (NEW_FILE_VARIABLE, NEW_DESCRIPTOR_VARIABLE)

_OTHERS: Final = 0o077
_OTHERS_WRITE: Final = 0o022
_ANYBODY_WRITES: Final = 0o222

_read_already: Final[set[int]] = set()


def read(*, new: bool, replaces: bool) -> Secret | None:
    """Get the passphrase, or a `new` one, which `replaces` another or is the first; None where no variable names it.

    Raises `MasterKeyError`, or `InputError` for what can't be one.
    """
    places = [_CURRENT]
    if new:
        # What names the passphrase that the vault has can't name another one.
        places = [_NEW] if replaces else [_NEW, _CURRENT]
    for file, descriptor in places:
        if path := os.environ.get(file):
            return _from_file(Path(path), file)
        if number := os.environ.get(descriptor):
            return _from_descriptor(number, descriptor)
    return None


def nobody_to_ask(*, new: bool) -> MasterKeyError:
    """The error where a passphrase is wanted, and nobody is there."""
    file, descriptor = _NEW if new else _CURRENT
    return MasterKeyError(
        f"the vault wants {'a new' if new else 'its'} passphrase, and there is no terminal to ask on",
        hint=f"name a file with {file}, or an open descriptor with {descriptor}",
    )


def parse(raw: bytes, what: str, hint: str) -> Secret:
    """Take a passphrase as a person or a file hands it in; raises `InputError`, which calls it `what`."""
    try:
        return Secret.parse(raw)
    except InputError as error:
        raise InputError(error.message.replace("the secret", what, 1), hint=hint) from None


def _from_file(path: Path, variable: str) -> Secret:
    try:
        with path.open("rb") as stream:
            _require_closed(stream.fileno(), variable)
            return _content(stream, variable)
    except OSError as error:
        raise _unreadable(variable, error.strerror) from None


def _from_descriptor(number: str, variable: str) -> Secret:
    try:
        descriptor = int(number)
        # Once a process: by now its number may be another file's. What was derived is handed on.
        if descriptor in _read_already:
            raise MasterKeyError(
                f"the descriptor that {variable} names was read already",
                hint="for a passphrase that is wanted twice, name a file instead",
            )
        _read_already.add(descriptor)
        with os.fdopen(descriptor, "rb") as stream:
            return _content(stream, variable)
    except OSError as error:
        raise _unreadable(variable, error.strerror) from None
    except (ValueError, OverflowError):
        raise _unreadable(variable, "it is no number of a descriptor") from None


def _content(stream: BinaryIO, variable: str) -> Secret:
    return parse(
        stream.read(MAX_BYTES + 3),
        f"the passphrase that {variable} names",
        hint="there must be one line of UTF-8 text in it, the passphrase",
    )


def _unreadable(variable: str, why: str | None) -> MasterKeyError:
    return MasterKeyError(f"can't read the passphrase that {variable} names: {why}")


def _require_closed(descriptor: int, variable: str) -> None:
    """Raise `MasterKeyError` where other users may read or write a passphrase file.

    A pipe has nobody else at its end. What a system hands out to a container or a service is mounted read-only, or
    is root's for others to read: nobody there could close it.
    """
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or os.fstatvfs(descriptor).f_flag & os.ST_RDONLY:
        return
    mode, user = stat.S_IMODE(status.st_mode), os.geteuid()
    if status.st_uid not in {0, user}:
        raise MasterKeyError(f"the file that {variable} names belongs to another user", hint="give it to yourself")
    handed_out = status.st_uid == 0 and (user != 0 or not mode & _ANYBODY_WRITES)
    if mode & (_OTHERS_WRITE if handed_out else _OTHERS):
        raise MasterKeyError(
            f"the file that {variable} names can be read or changed by other users (mode {mode:04o})",
            hint="run `chmod 600` on it, and change the passphrase if others had a chance to read it",
        )
