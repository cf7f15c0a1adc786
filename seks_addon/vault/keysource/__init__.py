"""Where the master key comes from. One file a source, behind one small interface.

What has to be known of a key everywhere (the salt of a passphrase) is in the vault; where it is to be had on this
machine (a path, a command) is in the home's `key.toml`, and only where it isn't the usual place.
"""

import contextlib
import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from seks_addon.errors import DatabaseBusyError, MasterKeyError, SeksError
from seks_addon.home import NEW, Home, beside, move_over, write_over
from seks_addon.vault.envelope import Key
from seks_addon.vault.keysource.base import KeySource
from seks_addon.vault.keysource.command import Command
from seks_addon.vault.keysource.keyfile import KeyFile
from seks_addon.vault.keysource.keyring import Keyring
from seks_addon.vault.keysource.passphrase import Ask, Passphrase

__all__ = ["Ask", "Command", "KeyFile", "KeySource", "Keyring", "Passphrase", "key_file", "remember", "unlock"]
_MEND: Final = "it says where the master key is; mend it"


def remember(home: Home, source: KeySource, *, staged: bool = False) -> None:
    """Write down where `source` is to be had, unless it is the usual place; `staged`: beside the place of before."""
    place = {"kind": source.kind, **source.local()}
    target = _staged(home) if staged else home.key_location
    if place in ({"kind": source.kind}, {"kind": KeyFile.kind, "path": str(home.master_key)}) and not staged:
        target.unlink(missing_ok=True)
        return
    # JSON's strings and lists are TOML's too, but for characters that it writes as two escapes, and for DEL.
    lines = (f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in place.items())
    write_over(target, "".join(lines).replace("\x7f", "\\u007f").encode())


def local_place(home: Home) -> Mapping[str, Any]:
    """What the home says about where the key is to be had; empty for the usual place."""
    return _read(home.key_location)


def key_file(home: Home) -> Path:
    """The key file of a vault that has one."""
    return Path(local_place(home).get("path", home.master_key))


def forget_staged(home: Home) -> None:
    """Take back what `remember` staged."""
    _staged(home).unlink(missing_ok=True)


def confirm(home: Home, source: KeySource, vault_id: str, key_id: bytes, *, staged: bool = False) -> None:
    """Raise `MasterKeyError` unless `source` gives its key again, from the place that `remember` wrote down.

    A keyring may forget what it takes, and a command print another key each time. Nobody is asked for a passphrase
    once more: it is typed twice, and the vault keeps the salt.
    """
    if source.kind == Passphrase.kind:
        return
    why = "it gives another one"
    for candidate, is_staged in _candidates(home, {"kind": source.kind, **source.public()}, None):
        if is_staged == staged:
            try:
                if candidate.load(vault_id).id == key_id:
                    return
            except MasterKeyError as error:
                why = error.message
    raise MasterKeyError(
        f"the {source.kind} doesn't give the new master key again: {why}",
        hint="the vault is not put under a key that would be lost; use a source that keeps it",
    )


def settle(home: Home, source: KeySource) -> None:
    """Make a staged source the one: the vault has taken its key."""
    source.settle()
    remember(home, source)
    forget_staged(home)


def unlock(home: Home, vault_id: str, key_id: bytes, stored: Mapping[str, Any], ask: Ask | None = None) -> Key:
    """Get the master key with the id `key_id`; raises `MasterKeyError`.

    `stored` is the kind of the source and what it keeps in the vault. A change of keys that was cut off by a crash
    after the vault took the new one is brought to its end.
    """
    problem: SeksError | None = None
    for source, staged in _candidates(home, stored, ask):
        try:
            key = source.load(vault_id)
        except SeksError as error:
            problem = error
            continue
        problem = None
        if key.id == key_id:
            if staged:
                # Who is at it settles it; and by now another key may wait in the same place.
                with contextlib.suppress(DatabaseBusyError, MasterKeyError), home.exclusive(timeout=0):
                    finish(home, vault_id, key_id, stored)
            return key
    if problem:
        raise problem
    what = "the passphrase is wrong" if stored["kind"] == Passphrase.kind else "the master key is not this vault's"
    raise MasterKeyError(what, hint="put back the key that the vault was made with, or was given since")


def finish(home: Home, vault_id: str, key_id: bytes, stored: Mapping[str, Any]) -> None:
    """Settle what a change of keys left staged that was cut off after the vault took its key.

    Within `Home.exclusive`; what belongs to no vault is left as it is. Takes what `unlock` takes, and asks nobody.
    """
    for source, staged in _candidates(home, stored, None):
        if staged and (source.kind == Passphrase.kind or _gives(source, vault_id, key_id)):
            settle(home, source)
            return


def _gives(source: KeySource, vault_id: str, key_id: bytes) -> bool:
    try:
        return source.load(vault_id).id == key_id
    except SeksError:
        return False


def _candidates(home: Home, stored: Mapping[str, Any], ask: Ask | None) -> Iterator[tuple[KeySource, bool]]:
    """Where the key may be, and whether it waits there for a change of keys to be settled.

    What waits comes first: a key that is moved to its place between two looks is found at one of them.
    """
    kind = stored["kind"]
    if kind == Passphrase.kind:
        yield Passphrase.from_public(ask, stored), _is_staged(home, kind)
    elif kind == Keyring.kind:
        yield Keyring(str(stored.get("entry"))), _is_staged(home, kind)
    elif kind == KeyFile.kind:
        for place, staged in _places(home, kind):
            path = Path(place.get("path", home.master_key))
            if (waiting := KeyFile(path).staged).exists():
                yield _Waiting(path, waiting), True
            yield KeyFile(path), staged
    elif kind == Command.kind:
        commands = [(place["command"], staged) for place, staged in _places(home, kind) if place.get("command")]
        if not commands:
            raise MasterKeyError(
                f"{home.key_location} doesn't say which command prints the master key",
                hint='write `kind = "command"` and `command = ["…"]` into it',
            )
        for words, staged in commands:
            yield Command(words), staged
    else:
        raise MasterKeyError(f"the vault wants the unknown key source {kind!r}", hint="use a newer SEKS")


class _Waiting(KeyFile):
    """A key file that waits beside the one it replaces."""

    def __init__(self, path: Path, waiting: Path) -> None:
        super().__init__(waiting)
        self._target = path

    def settle(self) -> None:
        move_over(self.path, self._target)

    def local(self) -> Mapping[str, Any]:
        return {"path": str(self._target)}


def _places(home: Home, kind: str) -> list[tuple[Mapping[str, Any], bool]]:
    waiting, usual = _read(_staged(home)), _read(home.key_location)
    # What it says of another kind is of before, or of a vault that was restored since.
    places = [(usual if usual.get("kind", kind) == kind else {}, False)]
    return [(waiting, True), *places] if waiting.get("kind") == kind else places


def _is_staged(home: Home, kind: str) -> bool:
    return _read(_staged(home)).get("kind") == kind


def _read(path: Path) -> Mapping[str, Any]:
    try:
        place = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise MasterKeyError(f"{path}: {type(error).__name__}", hint=_MEND) from None
    words, file = place.get("command", []), place.get("path", "/")
    if not (isinstance(file, str) and isinstance(words, list)) or not all(isinstance(word, str) for word in words):
        raise MasterKeyError(f"{path} must have a text as `path`, or a list of texts as `command`", hint=_MEND)
    if not file.startswith("/") or "\0" in file:
        raise MasterKeyError(f"{path} must have a whole path as `path`, from the root on", hint=_MEND)
    return place


def _staged(home: Home) -> Path:
    return beside(home.key_location, NEW)
