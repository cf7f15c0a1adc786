"""Another program that reads the formats: written from `docs/vault-format.md`, with nothing of the library in it."""

import base64
import hashlib
import hmac
import json
import re
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM


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


def plain_vault(database: Path, master: bytes) -> dict[str, Any]:
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
