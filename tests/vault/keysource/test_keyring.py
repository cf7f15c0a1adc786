"""The master key in a keyring.

By the real `keyring` library, with the file backend of `keyrings.alt`: a desktop's keyring can't be had where tests
run. What is tested is how SEKS uses the library, not how GNOME, KDE, macOS or Windows keep what it is given.
"""

import sys

import pytest

keyring = pytest.importorskip("keyring")
pytest.importorskip("keyring.backends.fail")

from seks_addon.errors import MasterKeyError, SeksError  # noqa: E402
from seks_addon.home import Home  # noqa: E402
from seks_addon.vault import Vault, keysource, rotation  # noqa: E402
from seks_addon.vault.keysource import Keyring  # noqa: E402
from seks_addon.vault.keysource.keyring import SERVICE  # noqa: E402
from tests.vault.conftest import Tamper  # noqa: E402

pytestmark = pytest.mark.usefixtures("keyring_store")


def test_the_vault_opens_with_it(home: Home) -> None:
    """The vault names the entry; the home has nothing of the key."""
    with Vault.create(home, Keyring()) as vault:
        entry = vault.source["entry"]
        assert keyring.get_password(SERVICE, entry).startswith("seks-master-key-v1:")
        assert entry.startswith(f"{vault.id}/")

    Vault.open(home).close()
    assert not home.master_key.exists()
    assert not home.key_location.exists()


def test_a_new_key_does_not_overwrite_the_old(home: Home) -> None:
    """A backup from before still finds its own."""
    with Vault.create(home, Keyring()) as vault:
        before = vault.source["entry"]

        rotation.rekey(vault, Keyring())

        assert vault.source["entry"] != before
        assert keyring.get_password(SERVICE, before)
    Vault.open(home).close()


def test_what_is_taken_back(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vault that couldn't be made leaves no entry, and so does a change of keys that failed."""

    def refuse(*_: object, **__: object) -> None:
        raise SeksError("refused")

    source = Keyring()
    with monkeypatch.context() as patch:
        patch.setattr(keysource, "remember", refuse)
        with pytest.raises(SeksError, match="refused"):
            Vault.create(home, source)

    assert keyring.get_password(SERVICE, source.public()["entry"]) is None
    source.discard()


def test_only_what_it_made_is_taken_back(home: Home) -> None:
    """Not the entry of a vault that it read, nor one that somebody put in its place."""
    with Vault.create(home, Keyring()) as vault:
        entry = vault.source["entry"]
    Keyring(entry).discard()
    source = Keyring()
    source.create("some vault")
    other = source.public()["entry"]
    keyring.set_password(SERVICE, other, "somebody's")

    source.discard()

    assert keyring.get_password(SERVICE, entry)
    assert keyring.get_password(SERVICE, other) == "somebody's"


def test_an_entry_that_is_gone(home: Home) -> None:
    """It says that the keyring doesn't have it."""
    with Vault.create(home, Keyring()) as vault:
        entry = vault.source["entry"]
    keyring.delete_password(SERVICE, entry)

    with pytest.raises(MasterKeyError, match="has no master key for this vault"):
        Vault.open(home)


@pytest.mark.parametrize("content", ["", "seks-fake-rubbish", "seks-master-key-v1:AAAA:00000000", "ä"])
def test_an_entry_that_is_none(home: Home, content: str) -> None:
    """Something else in its place is called damaged, and isn't quoted."""
    with Vault.create(home, Keyring()) as vault:
        keyring.set_password(SERVICE, vault.source["entry"], content)

    with pytest.raises(MasterKeyError, match="damaged") as caught:
        Vault.open(home)

    assert "rubbish" not in str(caught.value)


@pytest.mark.parametrize("entry", ["null", "5", '"other/entry"', "[]"])
def test_an_entry_that_somebody_named(home: Home, tamper: Tamper, entry: str) -> None:
    """A database can't point at something else in the keyring."""
    Vault.create(home, Keyring()).close()
    tamper("UPDATE meta SET value = ? WHERE key = 'source'", f'{{"entry":{entry},"kind":"keyring"}}'.encode())

    with pytest.raises(MasterKeyError, match="has no master key"):
        Vault.open(home)


def test_no_keyring(home: Home) -> None:
    """Where the system has none, the error says so and the vault isn't made."""
    keyring.set_keyring(keyring.backends.fail.Keyring())

    with pytest.raises(MasterKeyError, match="can't be used: NoKeyringError") as caught:
        Vault.create(home, Keyring())

    assert caught.value.hint
    assert not home.vault.exists()


def test_no_library(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra; the hint says how to get it."""
    monkeypatch.setitem(sys.modules, "keyring", None)

    with pytest.raises(MasterKeyError, match="not installed") as caught:
        Vault.create(home, Keyring())

    assert "seks[keyring]" in (caught.value.hint or "")
