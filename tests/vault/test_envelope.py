"""Sealing one value."""

import hashlib
import hmac
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from seks_addon.canonical import canonical_json
from seks_addon.errors import VaultError
from seks_addon.vault.envelope import Key
from tests.samples import KEY

CONTEXT = {"kind": "secret", "vault": "v-1", "client": "cli_1", "secret": "sec_1", "version": 1, "expires": None}
MASTER = Key(b"k" * 8, b"m" * 32)
PLAIN = KEY.encode()
RECORD = MASTER.seal(PLAIN, CONTEXT)


def hkdf(material: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869 with SHA-256, written apart from the library."""
    key = hmac.digest(salt or bytes(32), material, "sha256")
    block, out = b"", b""
    while len(out) < length:
        block = hmac.digest(key, block + info + bytes([len(out) // 32 + 1]), "sha256")
        out += block
    return out[:length]


def test_format() -> None:
    """Another program that follows the description reads a record."""
    version, key_id, salt, nonce = RECORD[:1], RECORD[1:9], RECORD[9:41], RECORD[41:53]
    commitment, ciphertext = RECORD[53:85], RECORD[85:]
    context = (
        b'{"client":"cli_1","expires":null,"kind":"secret","secret":"sec_1","vault":"v-1","version":1}'  # as written
    )
    keys = hkdf(MASTER.material, salt, b"seks record v1\0" + context, 64)

    assert (version, key_id, commitment) == (b"\x01", MASTER.id, keys[32:])
    assert AESGCM(keys[:32]).decrypt(nonce, ciphertext, version + key_id + context) == PLAIN
    assert len(RECORD) == 85 + len(PLAIN) + 16


def test_a_record_made_by_another_program() -> None:
    """A record that was put together by hand opens."""
    salt, nonce = bytes(range(32)), bytes(range(12))
    keys = hkdf(MASTER.material, salt, b'seks record v1\0{"kind":"x"}', 64)
    head = b"\x01" + MASTER.id
    record = head + salt + nonce + keys[32:] + AESGCM(keys[:32]).encrypt(nonce, PLAIN, head + b'{"kind":"x"}')

    assert MASTER.open(record, {"kind": "x"}) == PLAIN


#: What can stand in a context.
VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=5)


@given(st.binary(max_size=200), st.dictionaries(st.text(max_size=5), VALUES))
def test_round_trip(plaintext: bytes, context: dict[str, Any]) -> None:
    """Whatever is sealed is opened again under the same context."""
    key = Key.generate()

    assert key.open(key.seal(plaintext, context), context) == plaintext


@given(st.dictionaries(st.text(max_size=5), VALUES, min_size=1), st.binary(min_size=1, max_size=50), VALUES, st.data())
def test_perturbed(context: dict[str, Any], plaintext: bytes, value: Any, data: st.DataObject) -> None:
    """No record opens with a field of its context changed, taken away or put in, or with any of its bits changed."""
    key = Key.generate()
    record = key.seal(plaintext, context)
    field = data.draw(st.sampled_from(sorted(context)))
    position = data.draw(st.integers(0, len(record) * 8 - 1))
    flipped = bytearray(record)
    flipped[position // 8] ^= 1 << position % 8

    others = [
        {**context, field: value},
        {name: kept for name, kept in context.items() if name != field},
        {**context, field + "x": value},
        {**context, field: [context[field]]},
    ]

    for other in (other for other in others if canonical_json(other) != canonical_json(context)):
        with pytest.raises(VaultError):
            key.open(record, other)
    with pytest.raises(VaultError):
        key.open(bytes(flipped), context)


def test_no_two_records_are_alike() -> None:
    """Sealing twice shares neither salt nor nonce nor anything else that is random."""
    one, other = MASTER.seal(PLAIN, CONTEXT), MASTER.seal(PLAIN, CONTEXT)

    assert one[:9] == other[:9]
    assert one[9:41] != other[9:41]
    assert one[41:53] != other[41:53]
    assert one[53:] != other[53:]


@pytest.mark.parametrize("position", range(len(RECORD)))
def test_every_byte_counts(position: int) -> None:
    """A record in which any byte is another, by one bit or by all, doesn't open."""
    for flip in (0x01, 0x80, 0xFF):
        changed = bytearray(RECORD)
        changed[position] ^= flip

        with pytest.raises(VaultError) as caught:
            MASTER.open(bytes(changed), CONTEXT)

        assert KEY not in str(caught.value)
        assert caught.value.hint


@pytest.mark.parametrize("length", range(len(RECORD)))
def test_cut(length: int) -> None:
    """A record that lacks its end doesn't open."""
    with pytest.raises(VaultError):
        MASTER.open(RECORD[:length], CONTEXT)


def test_prolonged() -> None:
    """A record with something behind it doesn't open."""
    with pytest.raises(VaultError):
        MASTER.open(RECORD + b"\0", CONTEXT)


@pytest.mark.parametrize(
    "context",
    [
        *({**CONTEXT, field: "another"} for field in CONTEXT),
        *({name: value for name, value in CONTEXT.items() if name != field} for field in CONTEXT),
        {**CONTEXT, "more": None},
        {**CONTEXT, "version": 2},
        {**CONTEXT, "version": True},
        {**CONTEXT, "version": "1"},
        {**CONTEXT, "expires": ""},
        {**CONTEXT, "client": "cli_1\0"},
        {},
    ],
)
def test_another_context(context: dict[str, Any]) -> None:
    """A record opens only as what it was sealed as."""
    with pytest.raises(VaultError, match="changed, moved, or bound"):
        MASTER.open(RECORD, context)


def test_order_of_the_context() -> None:
    """The context is a mapping: its order makes no difference."""
    assert MASTER.open(RECORD, dict(reversed(CONTEXT.items()))) == PLAIN


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (Key.generate(), "another key"),
        (Key(b"x" * 8, MASTER.material), "another key"),
        (Key(MASTER.id, b"x" * 32), "changed, moved"),
    ],
)
def test_another_key(key: Key, reason: str) -> None:
    """Neither another id nor other material opens a record, and the commitment is checked before anything else."""
    with pytest.raises(VaultError, match=reason):
        key.open(RECORD, CONTEXT)


def test_commitment_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under a wrong key nothing is decrypted: a ciphertext that opens under two keys is of no use."""

    def decrypt(*_: object) -> bytes:
        pytest.fail("it was decrypted")

    monkeypatch.setattr("seks_addon.vault.envelope.AESGCM", type("Watched", (), {"__init__": decrypt}))

    with pytest.raises(VaultError, match="changed, moved"):
        Key(MASTER.id, b"x" * 32).open(RECORD, CONTEXT)


def test_unknown_version() -> None:
    """A later format is named as such."""
    with pytest.raises(VaultError, match="unknown format 2"):
        MASTER.open(b"\x02" + RECORD[1:], CONTEXT)


def test_derived_keys() -> None:
    """Each purpose and salt has a key of its own; the same give the same."""
    keys = {
        MASTER.derive("lookup", b"a"),
        MASTER.derive("lookup", b"b"),
        MASTER.derive("row mac", b"a"),
        Key.generate().derive("lookup", b"a"),
    }

    assert len(keys) == 4
    assert MASTER.derive("lookup", b"a") == hkdf(MASTER.material, b"a", b"seks derive v1\0lookup", 32)


def test_key_id_follows_from_the_material() -> None:
    """A master key has the same id wherever it is read, and the id doesn't tell the key."""
    one = Key.from_material(MASTER.material)

    assert one == Key.from_material(MASTER.material)
    assert one.id == hkdf(MASTER.material, b"", b"seks key id v1", 8)
    assert one.id != hashlib.sha256(MASTER.material).digest()[:8]


def test_a_key_is_not_printed() -> None:
    """Its representation shows none of it."""
    key = Key(b"k" * 8, b"material-material-material-mater")

    assert "material-" not in f"{key} {key!r}"
