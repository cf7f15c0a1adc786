"""Handing a secret over, encrypted to the vault's public key."""

import base64
import hashlib
import itertools

import pytest
from nacl.public import PublicKey, SealedBox

from seks_addon.errors import InputError
from seks_addon.home import Home
from seks_addon.secret import MAX_BYTES, Secret
from seks_addon.vault import Vault, rotation
from seks_addon.vault.keysource import KeyFile
from seks_addon.vault.sealed import public_key, seal, unseal
from tests.samples import KEY
from tests.vault.conftest import Tenant


@pytest.mark.parametrize("value", [KEY, "x", "schlüssel 🔑", "a" * MAX_BYTES])
def test_round_trip(home: Home, vault: Vault, value: str) -> None:
    """What was sealed to the key, the vault opens; nothing of it can be seen."""
    sealed = seal(Secret(value), public_key(vault))

    with Vault.open(home) as again:
        assert unseal(again, f"{sealed}\n".encode()).reveal() == value
    assert sealed.isascii()
    assert len(value) < 8 or base64.urlsafe_b64encode(value.encode()).decode()[:12] not in sealed


def test_two_of_one_value(vault: Vault) -> None:
    """Nobody sees that two are alike."""
    assert seal(Secret(KEY), public_key(vault)) != seal(Secret(KEY), public_key(vault))


def test_made_by_any_nacl(vault: Vault) -> None:
    """With the printed key and a NaCl library, without SEKS."""
    label, encoded, _ = public_key(vault).split(":")
    box = SealedBox(PublicKey(base64.urlsafe_b64decode(encoded))).encrypt(KEY.encode())

    assert label == "seks-seal-key-v1"
    assert unseal(vault, b"seks-sealed-v1:" + base64.urlsafe_b64encode(box)).reveal() == KEY


def test_another_vault(vault: Vault, template: Home, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Of another vault under the same master key, neither the key nor what is sealed fits."""
    home = Home(tmp_path_factory.mktemp("other"))
    home.create()
    with Vault.create(home, KeyFile(template.master_key)) as other:
        assert public_key(other) != public_key(vault)
        with pytest.raises(InputError, match="sealed for another vault") as caught:
            unseal(other, seal(Secret(KEY), public_key(vault)).encode())

    assert "seal-key" in (caught.value.hint or "")


def test_after_new_keys(home: Home, vault: Vault, acme: Tenant) -> None:
    """It outlives another master key, and not other data keys: then there is another key to seal to."""
    sealed, key = seal(Secret(KEY), public_key(vault)).encode(), public_key(vault)

    rotation.rekey(vault, KeyFile(home.master_key, replaces=True))
    assert (unseal(vault, sealed).reveal(), public_key(vault)) == (KEY, key)
    rotation.reencrypt(vault, lambda *_: None)

    assert public_key(vault) != key
    with pytest.raises(InputError, match="another vault, or damaged"):
        unseal(vault, sealed)


@pytest.mark.parametrize("part", [20, 40, 80, -5, -20])
def test_damaged(vault: Vault, part: int) -> None:
    """One character that differs, anywhere, and it doesn't open."""
    sealed = seal(Secret(KEY), public_key(vault))
    changed = sealed[:part] + ("A" if sealed[part] != "A" else "B") + sealed[part:][1:]

    with pytest.raises(InputError) as caught:
        unseal(vault, changed.encode())

    assert changed not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff\xfe",
        KEY.encode(),
        b"seks-sealed-v1",
        b"seks-sealed-v1:",
        b"seks-sealed-v1:AAAA",
        b"seks-sealed-v1:AAAA:AAAA",
        b"seks-sealed-v1:not base64!",
        b"seks-sealed-v2:" + b"A" * 100,
        b"A" * (2 * MAX_BYTES + 1),
    ],
    ids=itertools.count(),
)
def test_no_sealed_value(vault: Vault, text: bytes) -> None:
    """Anything else is refused, and not quoted: somebody may have put the bare value there."""
    with pytest.raises(InputError) as caught:
        unseal(vault, text)

    assert KEY not in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("value", [b"", b"two\nlines", b"\xff\xfe", b"a" * (MAX_BYTES + 1)], ids=itertools.count())
def test_a_value_that_is_none(vault: Vault, value: bytes) -> None:
    """What can't be a secret isn't one because it was sealed."""
    box = SealedBox(PublicKey(base64.urlsafe_b64decode(public_key(vault).split(":")[1]))).encrypt(value)

    with pytest.raises(InputError):
        unseal(vault, b"seks-sealed-v1:" + base64.urlsafe_b64encode(box))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda key: "",
        lambda key: key[:-1],
        lambda key: key[:20] + ("A" if key[20] != "A" else "B") + key[21:],
        lambda key: key.replace("v1", "v2"),
        lambda key: key.replace("seks-seal-key", "seks-master-key"),
        lambda key: f"{key}:x",
        lambda key: key.replace(":", " "),
        lambda key: KEY,
        lambda key: "seks-seal-key-v1:ä:00000000",
    ],
    ids=itertools.count(),
)
def test_a_damaged_key(vault: Vault, spoil: object) -> None:
    """Nothing is sealed to a key that isn't whole."""
    assert callable(spoil)

    with pytest.raises(InputError, match="public key") as caught:
        seal(Secret(KEY), spoil(public_key(vault)))

    assert KEY not in str(caught.value)


def test_a_key_of_no_use(vault: Vault) -> None:
    """A point of low order, with a right checksum, is refused and not a crash."""
    raw = bytes(32)
    check = hashlib.sha256(b"seks seal key checksum" + raw).hexdigest()[:8]

    with pytest.raises(InputError):
        seal(Secret(KEY), f"seks-seal-key-v1:{base64.urlsafe_b64encode(raw).decode()}:{check}")
