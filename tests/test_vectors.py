"""The format as `docs/vault-format.md` describes it, against the vectors in `tests/vectors/`.

Each vector is read by the library. Those that are to be read at all are read a second time by the functions that begin
with `plain_`: they are written from the document, and use nothing of the library.
"""

import base64
import contextlib
import hashlib
import hmac
import json
import re
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
from tests.vectors import make

Case = dict[str, Any]

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


# Another program, from the document alone.


def plain_hkdf(key: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    extracted = hmac.digest(salt or bytes(32), key, "sha256")
    block = out = b""
    for number in range(1, -(-length // 32) + 1):
        block = hmac.digest(extracted, block + info + bytes([number]), "sha256")
        out += block
    return out[:length]


def plain_json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def plain_open(key_id: bytes, key: bytes, record: bytes, context: Any) -> bytes:
    version, used, salt, nonce = record[:1], record[1:9], record[9:41], record[41:53]
    commitment, ciphertext = record[53:85], record[85:]
    keys = plain_hkdf(key, salt, b"seks record v1\0" + plain_json(context), 64)
    assert (version, used, commitment) == (b"\1", key_id, keys[32:])
    return AESGCM(keys[:32]).decrypt(nonce, ciphertext, version + used + plain_json(context))


def plain_master(text: str) -> bytes:
    (line,) = (line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#"))
    label, encoded, checksum = line.split(":")
    key = base64.urlsafe_b64decode(encoded)
    assert (label, len(key)) == ("seks-master-key-v1", 32)
    assert checksum == hashlib.sha256(b"seks master key checksum" + key).hexdigest()[:8]
    return key


def plain_derived(vault_key: bytes, purpose: str) -> bytes:
    return plain_hkdf(vault_key, b"", b"seks derive v1\0" + purpose.encode(), 32)


def plain_token(text: str) -> bool:
    match = re.fullmatch(r"(seks_[a-z0-9]{1,32}_[0-9A-Za-z]{33})([0-9A-Za-z]{6})", text)
    if not match:
        return False
    number, digits = zlib.crc32(match[1].encode()), ""
    while len(digits) < 6:
        number, rest = divmod(number, 62)
        digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"[rest] + digits
    return digits == match[2]


def plain_vault(database: Path, master: bytes) -> Case:
    """Read and check all of a vault."""
    with closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row

        def rows(sql: str) -> list[sqlite3.Row]:
            return connection.execute(sql).fetchall()

        meta = {row["key"]: row["value"] for row in rows("SELECT * FROM meta")}
        vault = meta["vault_id"].decode()
        master_id = plain_hkdf(master, b"", b"seks key id v1", 8)
        context = {"kind": "vault key", "vault": vault, "format": "1", "source": json.loads(meta["source"])}
        vault_key = plain_open(master_id, master, meta["vault_key"], context)[8:]
        lookup_key, row_key = plain_derived(vault_key, "lookup"), plain_derived(vault_key, "row mac")

        def authenticate(table: str, mac: bytes, **fields: Any) -> None:
            assert mac == hmac.digest(row_key, plain_json({"table": table, **fields}), "sha256")

        number, mac = meta["epoch"].decode().split(":")
        authenticate("meta", bytes.fromhex(mac), epoch=int(number))

        data_keys, agents, secrets, tokens = {}, [], [], []
        names = {row["id"]: row["name"] for row in rows("SELECT id, name FROM clients")}
        for row in rows("SELECT * FROM clients"):
            context = {"kind": "data key", "vault": vault, "client": row["id"], "name": row["name"]}
            packed = plain_open(master_id, master, row["data_key"], context)
            data_keys[row["id"]] = packed[:8], packed[8:]
        for row in rows("SELECT * FROM agents"):
            enabled, client = bool(row["enabled"]), row["client_id"]
            authenticate("agents", row["mac"], id=row["id"], client=client, name=row["name"], enabled=enabled)
            context = {"kind": "agent password", "vault": vault, "client": client, "agent": row["id"]}
            password = plain_open(*data_keys[client], row["password"], context).decode()
            agents.append({"client": names[client], "name": row["name"], "enabled": enabled, "password": password})
        for row in rows(
            "SELECT * FROM secrets NATURAL JOIN (SELECT secret_id AS id, version, record FROM secret_values)"
        ):
            digest = hashlib.sha256(plain_json(json.loads(row["binding"]))).hexdigest()
            plain = {name: row[name] for name in ("id", "name", "provider", "version", "expires")}
            client = row["client_id"]
            authenticate("secrets", row["mac"], **plain, client=client, binding=digest, env=json.loads(row["env"]))
            context = {"kind": "secret", "vault": vault, "client": client, "secret": row["id"], "binding": digest}
            context |= {"version": row["version"], "expires": row["expires"]}
            value = plain_open(*data_keys[client], row["record"], context).decode()
            told = {"client": names[client], "name": row["name"], "value": value, "version": row["version"]}
            secrets.append(told)
        for row in rows(
            "SELECT tokens.*, client_id, secrets.name AS secret, (SELECT name FROM agents WHERE id = agent_id) AS agent"
            " FROM tokens JOIN secrets ON secrets.id = secret_id"
        ):
            plain = {name: row[name] for name in ("id", "secret_id", "agent_id", "policy", "expires", "revoked")}
            authenticate("tokens", row["mac"], **plain, lookup=row["lookup"].hex())
            context = {"kind": "token", "vault": vault, "client": row["client_id"], "token": row["id"]}
            context |= {"secret": row["secret_id"], "agent": row["agent_id"]}
            text = plain_open(*data_keys[row["client_id"]], row["token"], context).decode()
            assert row["lookup"] == hmac.digest(lookup_key, text.encode(), "sha256")
            whose = {"client": names[row["client_id"]], "agent": row["agent"], "secret": row["secret"]}
            tokens.append({**whose, "token": text, "revoked": row["revoked"] is not None})
    return {"vault_id": vault, "agents": agents, "secrets": secrets, "tokens": tokens, "epoch": int(number)}


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
        sealed.seal(Secret(make.VALUE), bad["seal_key"])


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
