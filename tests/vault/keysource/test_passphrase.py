"""The master key from a passphrase. Argon2id at its floor: the default takes a third of a second a key."""

import os
from pathlib import Path
from typing import Any

import pytest

from seks_addon.errors import InputError, MasterKeyError, SeksError, VaultError
from seks_addon.home import Home
from seks_addon.secret import Secret
from seks_addon.vault import Vault, rotation
from seks_addon.vault.keysource import Ask, Passphrase, passphrase, unattended
from tests.samples import KEY
from tests.vault.conftest import Tamper, tenant

WORDS = "four obviously fake words"
SALT = bytes(16)
FLOOR = passphrase._FLOOR


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*unattended._CURRENT, *unattended._NEW):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(unattended, "_read_already", set())


def write(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.touch()
    path.chmod(mode)
    path.write_bytes(content)
    return path


def saying(words: str) -> Ask:
    return lambda _new: Secret(words)


def never(new: bool) -> Secret:
    raise AssertionError("nobody is to be asked")


@pytest.fixture
def locked(home: Home) -> Home:
    """A home whose vault wants a passphrase."""
    with Vault.create(home, Passphrase(saying(WORDS), SALT, FLOOR)) as vault:
        tenant(vault, "acme", KEY)
    return home


def test_the_vault_opens_with_it(locked: Home) -> None:
    """It, and the public parameters in the vault, are all that is needed; nothing of it is in the home."""
    with Vault.open(locked, ask=saying(WORDS)) as vault:
        assert vault.source == {"kind": "passphrase", "salt": "A" * 22 + "==", "passes": 2, "memory": 64 << 20}

    assert not locked.master_key.exists()
    assert not locked.key_location.exists()
    assert not [path for path in locked.root.rglob("*") if path.is_file() and WORDS.encode() in path.read_bytes()]


def test_it_is_asked_for_once(locked: Home) -> None:
    """Not again for a change that failed, nor for new keys below the same master key."""
    asked = []

    def ask(new: bool) -> Secret:
        asked.append(new)
        return Secret(WORDS)

    with Vault.open(locked, ask=ask) as vault, Vault.open(locked, key=vault.master_key) as other:
        with other.change():
            other.replace_vault_key(other._vault_key)
        vault.refresh()
        with pytest.raises(SeksError):
            vault.clients.add("acme")
        vault.clients.add("second")

    assert asked == [False]


@pytest.mark.parametrize("words", [WORDS.upper(), f"{WORDS} ", WORDS[:-1]])
def test_a_wrong_one(locked: Home, words: str) -> None:
    """It is called wrong, and isn't quoted."""
    with pytest.raises(MasterKeyError, match="the passphrase is wrong") as caught:
        Vault.open(locked, ask=saying(words))

    assert words not in str(caught.value)


def test_a_short_one(home: Home) -> None:
    """A new one has to be long; nothing is left of the attempt."""
    with pytest.raises(MasterKeyError, match="shorter than 15") as caught:
        Vault.create(home, Passphrase(saying("fourteen chars"), SALT, FLOOR))

    assert caught.value.hint
    assert [path for path in home.root.iterdir() if path.is_file()] == []


def test_nobody_to_ask(locked: Home) -> None:
    """Without a terminal, it says what else there is."""
    with pytest.raises(MasterKeyError, match="no terminal") as caught:
        Vault.open(locked)

    assert "SEKS_PASSPHRASE_FILE" in (caught.value.hint or "")


def test_from_a_file(locked: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is read instead of asking; its line's end doesn't count."""
    monkeypatch.setenv("SEKS_PASSPHRASE_FILE", str(write(tmp_path / "words", f"{WORDS}\n".encode())))

    Vault.open(locked, ask=never).close()


def test_from_a_descriptor(locked: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A descriptor is read to its end, and closed."""
    reader, writer = os.pipe()
    os.write(writer, f"{WORDS}\n".encode())
    os.close(writer)
    monkeypatch.setenv("SEKS_PASSPHRASE_FD", str(reader))

    Vault.open(locked, ask=never).close()

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(reader)


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("SEKS_PASSPHRASE_FILE", "/nowhere/words", "SEKS_PASSPHRASE_FILE names: No such file"),
        ("SEKS_PASSPHRASE_FILE", "/", "directory"),
        ("SEKS_PASSPHRASE_FD", "99999", "SEKS_PASSPHRASE_FD names: Bad file descriptor"),
        ("SEKS_PASSPHRASE_FD", WORDS, "no number"),
        ("SEKS_PASSPHRASE_FD", "-1", "SEKS_PASSPHRASE_FD"),
    ],
)
def test_where_it_cannot_be_read(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str) -> None:
    """What is named wrongly is said, and a passphrase in the wrong place isn't repeated."""
    monkeypatch.setenv(variable, value)

    with pytest.raises(MasterKeyError, match=says) as caught:
        Passphrase(never, SALT, FLOOR).load("")

    assert WORDS not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines of words", b"\xff\xfe\xff\xfe", b"a" * 70_000])
def test_a_file_that_holds_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """What can't be a passphrase is refused, in words that fit a file."""
    monkeypatch.setenv("SEKS_PASSPHRASE_FILE", str(write(tmp_path / "words", content)))

    with pytest.raises(InputError, match="the passphrase that SEKS_PASSPHRASE_FILE names") as caught:
        Passphrase(never, SALT, FLOOR).load("")

    assert "line of UTF-8 text" in (caught.value.hint or "")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o602, 0o666])
def test_a_file_that_others_can_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int) -> None:
    """Where whoever runs this could close it, it has to be closed."""
    monkeypatch.setenv("SEKS_PASSPHRASE_FILE", str(write(tmp_path / "words", WORDS.encode(), mode)))

    with pytest.raises(MasterKeyError, match=f"other users .mode 0{mode:o}") as caught:
        Passphrase(never, SALT, FLOOR).load("")

    assert "chmod 600" in (caught.value.hint or "")


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@as_root
@pytest.mark.parametrize(
    ("owner", "mode", "reader", "says"),
    [
        (0, 0o444, 0, None),
        (0, 0o440, 0, None),
        (0, 0o444, 12345, None),
        (0, 0o644, 12345, None),
        (0, 0o646, 12345, "changed by other users"),
        (12345, 0o400, 12345, None),
        (12345, 0o444, 12345, "other users"),
        (12345, 0o644, 12345, "other users"),
        (12346, 0o604, 12345, "another user"),
        (12346, 0o444, 12345, "another user"),
        (12346, 0o400, 0, "another user"),
    ],
)
def test_whose_file_it_is(tmp_path: Path, owner: int, mode: int, reader: int, says: str | None) -> None:
    """What a system hands out is root's, and readable for all of a container; nobody else's is trusted."""
    path = write(tmp_path / "words", WORDS.encode())
    os.chown(path, owner, owner)
    path.chmod(mode)
    descriptor = os.open(path, os.O_RDONLY)

    try:
        os.seteuid(reader)
        if says is None:
            unattended._require_closed(descriptor, "THE_FILE")
        else:
            with pytest.raises(MasterKeyError, match=says):
                unattended._require_closed(descriptor, "THE_FILE")
    finally:
        os.seteuid(0)
        os.close(descriptor)


def test_a_pipe_is_nobody_else_s(locked: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is a pipe, as a shell's `<(…)` is, has no mode that says anything."""
    reader, writer = os.pipe()
    os.write(writer, WORDS.encode())
    os.close(writer)
    monkeypatch.setenv("SEKS_PASSPHRASE_FILE", f"/dev/fd/{reader}")

    Vault.open(locked, ask=never).close()

    os.close(reader)


def older(vault: Vault) -> Passphrase:
    """A source for a vault that has a passphrase, as cheap as can be."""
    source = Passphrase.new(None, older=(vault.source, vault.master_key_id))
    source._cost = FLOOR
    return source


@pytest.mark.parametrize("by", ["FILE", "FD"])
def test_a_new_one_is_read_elsewhere(locked: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    """What names the old one names the old one only; the vault opens with the new one then."""
    monkeypatch.setenv("SEKS_PASSPHRASE_FILE", str(write(tmp_path / "words", WORDS.encode())))
    new = write(tmp_path / "new", b"five other obviously fake words")
    with Vault.open(locked) as vault:
        with pytest.raises(MasterKeyError, match="a new passphrase, and there is no terminal") as caught:
            rotation.rekey(vault, older(vault))
        assert "SEKS_NEW_PASSPHRASE_FILE" in (caught.value.hint or "")
        value = str(new) if by == "FILE" else str(os.open(new, os.O_RDONLY))
        monkeypatch.setenv(f"SEKS_NEW_PASSPHRASE_{by}", value)

        rotation.rekey(vault, older(vault))

    with pytest.raises(MasterKeyError, match="the passphrase is wrong"):
        Vault.open(locked)
    monkeypatch.setenv("SEKS_PASSPHRASE_FILE", str(new))
    Vault.open(locked).close()


def test_the_same_again(locked: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever knows the old one would have the new key too."""
    words = str(write(tmp_path / "words", WORDS.encode()))
    monkeypatch.setenv("SEKS_PASSPHRASE_FILE", words)
    monkeypatch.setenv("SEKS_NEW_PASSPHRASE_FILE", words)
    with Vault.open(locked) as vault:
        before = vault.master_key_id

        with pytest.raises(MasterKeyError, match="the passphrase that the vault has"):
            rotation.rekey(vault, older(vault))

        assert vault.master_key_id == before


@pytest.mark.parametrize("also", [False, True])
def test_a_first_one(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, also: bool) -> None:
    """Where there is no old one, either variable names it, the one for a new one first."""
    first, second = write(tmp_path / "a", WORDS.encode()), write(tmp_path / "b", WORDS.upper().encode())
    monkeypatch.setenv("SEKS_PASSPHRASE_FILE", str(second if also else first))
    if also:
        monkeypatch.setenv("SEKS_NEW_PASSPHRASE_FILE", str(first))

    Vault.create(home, Passphrase(never, SALT, FLOOR)).close()

    monkeypatch.setenv("SEKS_PASSPHRASE_FILE", str(first))
    Vault.open(home, ask=never).close()


def test_one_descriptor_for_both(locked: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is empty the second time, or another file; also where its number is written in another way."""
    reader, writer = os.pipe()
    os.write(writer, WORDS.encode())
    os.close(writer)
    monkeypatch.setenv("SEKS_PASSPHRASE_FD", str(reader))
    monkeypatch.setenv("SEKS_NEW_PASSPHRASE_FD", f"0{reader}")

    with Vault.open(locked) as vault, pytest.raises(MasterKeyError, match="NEW_PASSPHRASE_FD names was read already"):
        rotation.rekey(vault, older(vault))


PUBLIC: dict[str, Any] = {"salt": "A" * 22 + "==", "passes": 2, "memory": 64 << 20}


@pytest.mark.parametrize(
    "change",
    [
        {"passes": 1},
        {"passes": 0},
        {"passes": -3},
        {"passes": 5},
        {"passes": 10**9},
        {"passes": float("inf")},
        {"passes": "many"},
        {"passes": None},
        {"memory": (64 << 20) - 1},
        {"memory": 8192},
        {"memory": (1 << 30) + 1},
        {"memory": 1 << 62},
        {"memory": []},
        {"salt": ""},
        {"salt": "AAAA"},
        {"salt": "?" * 24},
        {"salt": 7},
        {"salt": None},
    ],
    ids=str,
)
def test_parameters_out_of_bounds(change: dict[str, Any]) -> None:
    """Too cheap, too dear or none at all: refused before anything is asked or computed."""
    with pytest.raises(MasterKeyError, match="parameters") as caught:
        Passphrase.from_public(never, {**PUBLIC, **change})

    assert "changed the vault" in (caught.value.hint or "")


@pytest.mark.parametrize("cost", [passphrase._FLOOR, passphrase.DEFAULT_COST, passphrase._CEILING])
def test_parameters_within_bounds(cost: tuple[int, int]) -> None:
    """The floor, the default and the ceiling are ours."""
    source = Passphrase.from_public(never, Passphrase(never, SALT, cost).public())

    assert source.public() == {**PUBLIC, "passes": cost[0], "memory": cost[1]}


def test_a_new_one_costs_what_is_the_default() -> None:
    """libsodium's moderate profile, and a salt of its own."""
    one, two = Passphrase.new(never).public(), Passphrase.new(never).public()

    assert (one["passes"], one["memory"]) == (3, 256 << 20)
    assert one["salt"] != two["salt"]


@pytest.mark.parametrize("edit", ['"passes":3', '"passes":2,"extra":1'])
def test_parameters_that_somebody_edited(locked: Home, tamper: Tamper, edit: str) -> None:
    """Other parameters make another key; any other change in them is noticed when the vault's key is opened."""
    source = f'{{"kind":"passphrase","memory":67108864,{edit},"salt":"AAAAAAAAAAAAAAAAAAAAAA=="}}'
    tamper("UPDATE meta SET value = ? WHERE key = 'source'", source.encode())

    with pytest.raises(VaultError, match="passphrase is wrong" if "3" in edit else "changed"):
        Vault.open(locked, ask=saying(WORDS))


def test_too_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says how much is wanted."""

    def fail(*_: object, **__: object) -> bytes:
        raise RuntimeError

    monkeypatch.setattr("nacl.pwhash.argon2id.kdf", fail)

    with pytest.raises(MasterKeyError, match="64 MiB"):
        Passphrase(saying(WORDS), SALT, FLOOR).load("")
