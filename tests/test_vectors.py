"""The format as `docs/vault-format.md` describes it, against the vectors in `tests/vectors/`.

Each vector is read by the library. Those that are to be read at all are read a second time by another program,
`tests/vectors/plain.py`.
"""

import base64
import contextlib
import hashlib
import hmac
import json
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from nacl import pwhash
from nacl.public import PrivateKey, SealedBox

from seks_addon.audit.log import verify
from seks_addon.audit.record import FIELDS, chain_hash
from seks_addon.canonical import canonical_json
from seks_addon.errors import InputError, MasterKeyError, SeksError, VaultError
from seks_addon.home import write_new
from seks_addon.secret import Secret
from seks_addon.tokens import is_token
from seks_addon.vault import Vault, envelope, sealed
from seks_addon.vault.check import check
from seks_addon.vault.envelope import Key
from seks_addon.vault.keysource.encoding import decode
from seks_addon.vault.keysource.passphrase import Passphrase
from tests.samples import new_home
from tests.vectors import fixed, make
from tests.vectors.fixed import Case
from tests.vectors.plain import (
    plain_derived,
    plain_hkdf,
    plain_json,
    plain_master,
    plain_open,
    plain_token,
    plain_vault,
)

FOLDER = Path(__file__).parent / "vectors"

#: What the library says of each class of failure in a sealed record.
SAYS = {
    "truncated": "cut short",
    "unknown version": "format",
    "wrong key": "another key|is not this vault's",
    "changed": "was changed",
    "moved": "moved",
}


def load(name: str) -> list[Case]:
    return list(json.loads((FOLDER / f"{name}.json").read_bytes())["cases"])


def cases(name: str, *, with_field: str = "expect", only: str | None = None) -> list[Any]:
    """The vectors of a file as parameters."""
    found = [c for c in load(name) if with_field in c and only in (None, c["expect"])]
    assert found
    return [pytest.param(case, id=f"{case['expect']}: {case['name']}") for case in found]


# The vectors themselves.


@pytest.mark.parametrize("name", [name for name, (_, _, always) in make.FILES.items() if always])
def test_the_script_makes_what_is_kept(name: str) -> None:
    """Nobody changed a vector, or what makes it, without the other."""
    kept = json.loads((FOLDER / f"{name}.json").read_bytes())

    made = make.document(name)

    assert json.loads(json.dumps(made)) == kept


# Sealed records.


@pytest.mark.parametrize("case", cases("records"))
def test_records(case: Case) -> None:
    """A record opens to its value, or says what is wrong with it."""
    key = Key(bytes.fromhex(case["key_id"]), bytes.fromhex(case["key"]))
    record = bytes.fromhex(case["record"])

    with failing(case):
        opened = key.open(record, case["context"])

        assert opened.hex() == case["plaintext"]
    assert canonical_json(case["context"]).decode() == case["canonical"]


@pytest.mark.parametrize("case", cases("records", only="success"))
def test_records_by_another_program(case: Case) -> None:
    """What the document says is enough to open a record."""
    key_id, key, record = (bytes.fromhex(case[name]) for name in ("key_id", "key", "record"))

    opened = plain_open(key_id, key, record, case["context"])

    assert opened.hex() == case["plaintext"]
    assert plain_json(case["context"]).decode() == case["canonical"]
    assert len(record) == 101 + len(opened)


@contextlib.contextmanager
def failing(case: Case) -> Iterator[None]:
    """Expect what the case expects of a record or a vault."""
    if case["expect"] == "success":
        yield
        return
    with pytest.raises(SeksError, match=SAYS[case["expect"]]) as caught:
        yield
    assert isinstance(caught.value, VaultError)


# Keys and where they come from.


@pytest.mark.parametrize("case", cases("keys", with_field="line"))
def test_lines_of_key_files(case: Case) -> None:
    """A line gives its key, or none at all."""
    if case["expect"] != "success":
        with pytest.raises(MasterKeyError, match="is no master key, or a damaged one"):
            decode(case["line"].encode(), "the line")
        return

    key = decode(case["line"].encode(), "the line")

    assert key.material.hex() == plain_master(case["line"]).hex() == case["key"]


@pytest.mark.parametrize("case", cases("keys", with_field="id"))
def test_key_ids(case: Case) -> None:
    """The master key's id follows from the key."""
    key = bytes.fromhex(case["key"])

    ids = {Key.from_material(key).id.hex(), plain_hkdf(key, b"", b"seks key id v1", 8).hex()}

    assert ids == {case["id"]}


@pytest.mark.parametrize("case", cases("keys", with_field="derived"))
def test_derived_keys(case: Case) -> None:
    """Each purpose has its key."""
    key = bytes.fromhex(case["key"])

    derived = {Key(bytes(8), key).derive(case["purpose"]).hex(), plain_derived(key, case["purpose"]).hex()}

    assert derived == {case["derived"]}


@pytest.mark.parametrize("case", cases("passphrases"))
def test_passphrases(case: Case) -> None:
    """A passphrase gives its key; parameters out of bounds are refused before anything is computed."""
    if case["expect"] != "success":
        with pytest.raises(MasterKeyError, match="out of bounds"):
            Passphrase.from_public(None, case["source"])
        return
    source = case["source"]

    key = Passphrase.from_public(lambda _: Secret(case["passphrase"]), source).load("any")
    plain = pwhash.argon2id.kdf(
        32,
        case["passphrase"].encode(),
        base64.b64decode(source["salt"]),
        opslimit=source["passes"],
        memlimit=source["memory"],
    )

    assert (key.material.hex(), key.id.hex()) == (case["key"], case["id"])
    assert plain.hex() == case["key"]


# Tokens, rows, sealed values, the audit chain.


@pytest.mark.parametrize("case", cases("tokens"))
def test_tokens(case: Case) -> None:
    """A token is known as one offline, and anything else isn't."""
    expected = case["expect"] == "success"

    assert is_token(case["token"]) == plain_token(case["token"]) == expected


@pytest.mark.parametrize("case", cases("tokens", only="success"))
def test_lookups(case: Case) -> None:
    """A token is found under its keyed hash."""
    key = bytes.fromhex(case["vault_key"])

    lookup = Vault.lookup(mock.Mock(_lookup_key=Key(bytes(8), key).derive("lookup")), case["token"])
    plain = hmac.digest(plain_derived(key, "lookup"), case["token"].encode(), "sha256")

    assert lookup.hex() == plain.hex() == case["lookup"]


@pytest.mark.parametrize("case", cases("rows"))
def test_rows(case: Case) -> None:
    """A row's MAC is that of its fields, and of no others."""
    key = bytes.fromhex(case["vault_key"])
    message = {"table": case["table"], **case["fields"]}

    mac = Vault.mac(mock.Mock(_mac_key=Key(bytes(8), key).derive("row mac")), case["table"], case["fields"])
    plain = hmac.digest(plain_derived(key, "row mac"), plain_json(message), "sha256")

    assert mac == plain
    assert (mac.hex() == case["mac"]) == (case["expect"] == "success")


@pytest.mark.parametrize("case", cases("sealed", with_field="sealed"))
def test_sealed_values(case: Case) -> None:
    """A value that was sealed for the vault opens there, and only whole."""
    key = bytes.fromhex(case["vault_key"])
    owner = mock.Mock(derive=Key(bytes(8), key).derive)
    if case["expect"] != "success":
        with pytest.raises(InputError, match="sealed"):
            sealed.unseal(owner, case["sealed"].encode())
        return

    value = sealed.unseal(owner, case["sealed"].encode()).reveal()
    label, box = case["sealed"].split(":")
    plain = SealedBox(PrivateKey(plain_derived(key, "sealed box"))).decrypt(base64.urlsafe_b64decode(box))

    assert value == plain.decode() == case["plaintext"]
    assert label == "seks-sealed-v1"


def test_seal_keys() -> None:
    """The public key's line is that of the private key, and a damaged one is recognised."""
    good, *_, bad = load("sealed")
    key = bytes.fromhex(good["vault_key"])
    raw = bytes(PrivateKey(plain_derived(key, "sealed box")).public_key)
    checksum = hashlib.sha256(b"seks seal key checksum" + raw).hexdigest()[:8]

    line = sealed.public_key(mock.Mock(derive=Key(bytes(8), key).derive))

    assert line == good["seal_key"] == f"seks-seal-key-v1:{base64.urlsafe_b64encode(raw).decode()}:{checksum}"
    assert bad["expect"] == "bad checksum"
    with pytest.raises(InputError, match="damaged"):
        sealed.seal(Secret(fixed.VALUE), bad["seal_key"])


@pytest.mark.parametrize("case", cases("audit"))
def test_audit_chains(case: Case) -> None:
    """A chain is intact, or broken at the record that is named."""
    verdict = verify(case["records"])

    assert verdict.bad_seq == case.get("bad_seq")


@pytest.mark.parametrize("case", cases("audit", only="success"))
def test_audit_chains_by_another_program(case: Case) -> None:
    """What the document says is enough to check a chain."""
    previous = "0" * 64
    for seq, record in enumerate(case["records"], 1):
        own = hashlib.sha256(plain_json({k: v for k, v in record.items() if k != "hash"})).hexdigest()

        assert (record["seq"], record["prev_hash"], record["hash"]) == (seq, previous, own)
        assert own == chain_hash(seq, {name: record[name] for name in FIELDS}, previous)
        previous = own


# A whole vault.


@pytest.mark.parametrize("case", cases("vault"))
def test_vault(case: Case, tmp_path: Path) -> None:
    """The vault of the vectors opens and is whole; what was done to its file is found, as what it is."""
    home = new_home(tmp_path)
    write_new(home.master_key, case.get("master_key", load("vault")[0]["master_key"]).encode())
    write_new(home.vault, database())
    if "sql" in case:
        with closing(sqlite3.connect(home.vault)) as connection, connection:
            assert connection.execute(case["sql"]).rowcount > 0

    with failing(case), Vault.open(home) as vault:
        problems = check(vault, lambda *_: None)
        if problems:
            raise VaultError(problems[0])
        found = contents(vault)

        assert_same(found, case["contents"])


def test_vault_by_another_program(tmp_path: Path) -> None:
    """What the document says is enough to read a vault with its master key."""
    good = load("vault")[0]
    file = tmp_path / "copy"
    file.write_bytes(database())

    found = plain_vault(file, plain_master(good["master_key"]))

    assert_same(found, good["contents"])


def database() -> bytes:
    return zlib.decompress(base64.b64decode(load("vault")[0]["vault_db"]))


def contents(vault: Vault) -> Case:
    """All that the library finds in a vault."""
    agents = [
        {"client": a.client, "name": a.name, "enabled": a.enabled, "password": vault.agents.password(a)}
        for a in vault.agents.list()
    ]
    secrets = [
        {
            "client": s.client,
            "name": s.name,
            "value": vault.secrets.reveal(s.id, s.client_id).reveal(),
            "version": s.version,
        }
        for s in vault.secrets.list()
    ]
    tokens = [
        {
            "client": t.client,
            "agent": t.agent,
            "secret": t.secret,
            "token": vault.tokens.text(t),
            "revoked": t.revoked is not None,
        }
        for t in vault.tokens.list()
    ]
    return {"vault_id": vault.id, "agents": agents, "secrets": secrets, "tokens": tokens, "epoch": vault.epoch}


def assert_same(found: Case, expected: Case) -> None:
    """Compare contents whose lists have no order."""
    for one in (found, expected):
        for value in one.values():
            if isinstance(value, list):
                value.sort(key=lambda row: json.dumps(row, sort_keys=True))
    assert found == expected


# The primitives, as published by others.


@pytest.mark.parametrize("case", cases("wycheproof_aes_gcm"))
def test_aes_gcm(case: Case) -> None:
    """AES-256-GCM does what Project Wycheproof says, and refuses what it says."""
    key, nonce, aad, message, ciphertext, tag = (
        bytes.fromhex(case[n]) for n in ("key", "iv", "aad", "msg", "ct", "tag")
    )
    if case["expect"] != "success":
        with pytest.raises(InvalidTag):
            AESGCM(key).decrypt(nonce, ciphertext + tag, aad)
        return

    assert AESGCM(key).encrypt(nonce, message, aad) == ciphertext + tag
    assert AESGCM(key).decrypt(nonce, ciphertext + tag, aad) == message


@pytest.mark.parametrize("case", cases("wycheproof_hkdf_sha256"))
def test_hkdf(case: Case) -> None:
    """HKDF-SHA-256 does what Project Wycheproof says, here and in the program above."""
    key, salt, info = (bytes.fromhex(case[name]) for name in ("ikm", "salt", "info"))
    if case["expect"] != "success":
        with pytest.raises(ValueError, match="larger than 8160"):
            envelope._expand(key, salt, info, case["size"])
        return

    given = envelope._expand(key, salt, info, case["size"])

    assert given.hex() == plain_hkdf(key, salt, info, case["size"]).hex() == case["okm"]
