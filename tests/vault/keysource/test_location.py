"""`key.toml`: where the master key is to be had on this machine."""

import itertools
from pathlib import Path

import pytest

from seks_addon.errors import MasterKeyError, VaultError
from seks_addon.home import Home
from seks_addon.vault import Vault, keysource
from seks_addon.vault.envelope import Key
from seks_addon.vault.keysource import Command, KeyFile
from seks_addon.vault.keysource.encoding import encode
from tests.vault.conftest import Tamper

GOOD = encode(Key.from_material(bytes(range(32))))


def test_the_usual_place_needs_no_word(home: Home) -> None:
    """A home with its key in it has no such file, and loses one that is there from before."""
    home.key_location.write_text('kind = "command"\ncommand = ["false"]\n')

    Vault.create(home).close()

    assert not home.key_location.exists()
    Vault.open(home).close()


@pytest.mark.parametrize("name", ["my key", 'a"b', "a\\b", "schlüssel-🔑", "line\nbreak", "tab\there", "del\x7fete"])
def test_any_path(home: Home, tmp_path: Path, name: str) -> None:
    """What TOML would stumble over, the key is found again."""
    Vault.create(home, KeyFile(tmp_path / name)).close()

    Vault.open(home).close()
    assert keysource.local_place(home)["path"] == str(tmp_path / name)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "kind = ",
        "\xff\xfe",
        'kind = "command"\n',
        'kind = "command"\ncommand = []\n',
        'kind = "command"\ncommand = "echo x"\n',
        'kind = "command"\ncommand = [1, 2]\n',
        'kind = "command"\ncommand = {a = 1}\n',
        'kind = "keyfile"\npath = "/x"\n',
        "path = 7\n",
        "kind = 7\n",
        f"kind = {'[' * 5000}",
    ],
    ids=itertools.count(),
)
def test_damaged(home: Home, content: str) -> None:
    """Whatever it says, opening the vault fails with a word on where to look."""
    Vault.create(home, Command(["echo", GOOD])).close()
    home.key_location.write_bytes(content.encode("latin-1"))

    with pytest.raises(MasterKeyError, match=r"key\.toml") as caught:
        Vault.open(home)

    assert caught.value.hint


@pytest.mark.parametrize("path", ["master.key", "~/master.key", "", r"/a\u0000b"])
def test_no_whole_path(home: Home, path: str) -> None:
    """It would be another file in every folder, or none: the key isn't called missing."""
    Vault.create(home).close()
    home.key_location.write_text(f'kind = "keyfile"\npath = "{path}"\n')

    with pytest.raises(MasterKeyError, match="must have a whole path"):
        Vault.open(home)


def test_unreadable(home: Home) -> None:
    """A folder in its place is no such file."""
    Vault.create(home).close()
    home.key_location.mkdir()

    with pytest.raises(MasterKeyError, match="IsADirectoryError"):
        Vault.open(home)


def test_what_it_says_of_another_kind(home: Home) -> None:
    """It is of before, or of another vault that was here: the usual place is looked at."""
    Vault.create(home).close()
    home.key_location.write_text('kind = "command"\ncommand = ["false"]\n')

    Vault.open(home).close()


@pytest.mark.parametrize(
    "source", [b"", b"no JSON", b"[]", b"{}", b'{"kind":5}', b"\xff", b'{"kind":"telepathy"}', b'{"kind":"keyring"}']
)
def test_a_source_that_somebody_edited(home: Home, tamper: Tamper, source: bytes) -> None:
    """The vault's own word on its source, damaged or unknown, opens nothing."""
    Vault.create(home).close()
    tamper("UPDATE meta SET value = ? WHERE key = 'source'", source)

    with pytest.raises(VaultError):
        Vault.open(home)


def test_a_source_with_a_word_more(home: Home, tamper: Tamper) -> None:
    """It is authenticated whole."""
    Vault.create(home).close()
    tamper("UPDATE meta SET value = ? WHERE key = 'source'", b'{"kind":"keyfile","path":"/tmp/other.key"}')

    with pytest.raises(VaultError, match="changed"):
        Vault.open(home)
