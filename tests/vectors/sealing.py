"""Vectors of what is encrypted, and of the keys for it."""

import base64
from typing import Any
from unittest import mock

from seks_addon.canonical import canonical_json, digest
from seks_addon.secret import Secret
from seks_addon.vault import sealed
from seks_addon.vault.envelope import Key
from seks_addon.vault.keysource.encoding import encode
from seks_addon.vault.keysource.passphrase import Passphrase
from tests.vectors.fixed import (
    AGENT,
    BINDING,
    CLIENT,
    DATA,
    MASTER,
    SECRET,
    SOURCE,
    TOKEN,
    UNUSUAL,
    VALUE,
    VAULT_ID,
    VAULT_KEY,
    Case,
    fixed,
)


def records() -> list[Case]:
    """Sealed records of every kind, and what may happen to one."""
    place = {"vault": VAULT_ID, "client": CLIENT}
    value = {
        "kind": "secret",
        **place,
        "secret": SECRET,
        "version": 1,
        "binding": digest(BINDING),
        "expires": None,
    }
    kinds: list[tuple[str, Key, bytes, Case]] = [
        (
            "vault key",
            MASTER,
            VAULT_KEY.pack(),
            {"kind": "vault key", "vault": VAULT_ID, "format": "1", "source": SOURCE},
        ),
        ("data key", MASTER, DATA.pack(), {"kind": "data key", **place, "name": "default"}),
        ("password", DATA, b"FAKEpassword000000000000", {"kind": "agent password", **place, "agent": AGENT}),
        (
            "token",
            DATA,
            ("seks_openai_" + "0" * 33 + "36DhGp").encode(),
            {"kind": "token", **place, "token": TOKEN, "secret": SECRET, "agent": AGENT},
        ),
        ("value", DATA, VALUE.encode(), value),
        (
            "value that isn't ASCII, with an end",
            DATA,
            UNUSUAL.encode(),
            {**value, "version": 12, "expires": "2026-01-02T03:04:05.000006Z"},
        ),
        ("empty value, context that isn't ASCII", DATA, b"", {"kind": "secret", "name": 'ü€😀 "\\\n\x01\x7f'}),
    ]
    cases = []
    for name, key, plaintext, context in kinds:
        with fixed(name):
            record = key.seal(plaintext, context)
        cases.append(_record("success", name, key, record, context, plaintext))
    good = bytes.fromhex(cases[4]["record"])

    def flipped(at: int) -> bytes:
        return good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]

    def failure(expect: str, name: str, record: bytes = good, key: Key = DATA, **other: Any) -> None:
        cases.append(_record(expect, name, key, record, {**value, **other}))

    failure("unknown version", "version 2", b"\2" + good[1:])
    failure("unknown version", "version 0", b"\0" + good[1:])
    failure("wrong key", "another key id", flipped(1))
    failure("wrong key", "another key", key=VAULT_KEY)
    failure("changed", "another key that says it has this id", key=Key(DATA.id, VAULT_KEY.material))
    for name, at in {"salt": 9, "nonce": 41, "commitment": 53, "ciphertext": 85, "tag": len(good) - 1}.items():
        failure("changed", name, flipped(at))
    failure("changed", "longer by a byte", good + b"\0")
    failure("changed", "shorter by a byte", good[:-1])
    failure("truncated", "one byte less than an empty value has", good[:100])
    failure("truncated", "nothing", b"")
    failure("moved", "another vault", vault="00000000-0000-4000-8000-000000000001")
    failure("moved", "another client", client="cli_000000000001")
    failure("moved", "another secret", secret="sec_000000000001")
    failure("moved", "another version", version=2)
    failure("moved", "another binding", binding=digest({**BINDING, "policy": {"methods": ["GET"]}}))
    failure("moved", "another end", expires="2036-01-01T00:00:00.000000Z")
    failure("moved", "another kind", kind="token")
    return cases


def _record(expect: str, name: str, key: Key, record: bytes, context: Case, plaintext: bytes | None = None) -> Case:
    case = {
        "expect": expect,
        "name": name,
        "key_id": key.id.hex(),
        "key": key.material.hex(),
        "context": context,
        "canonical": canonical_json(context).decode(),
        "record": record.hex(),
    }
    return case if plaintext is None else {**case, "plaintext": plaintext.hex()}


def keys() -> list[Case]:
    """What hangs from a key, and lines of key files."""
    cases: list[Case] = [
        {"expect": "success", "name": "key id", "key": MASTER.material.hex(), "id": MASTER.id.hex()},
        *(
            {
                "expect": "success",
                "name": f"derived for {purpose}",
                "key": VAULT_KEY.material.hex(),
                "purpose": purpose,
                "derived": VAULT_KEY.derive(purpose).hex(),
            }
            for purpose in ("lookup", "row mac", "sealed box")
        ),
    ]
    line = encode(MASTER)
    label, encoded, checksum = line.split(":")
    lines = [
        ("success", "the line", line),
        ("success", "among comments", f"# a comment\n\n  {line}\r\n"),
        ("bad checksum", "another checksum", f"{label}:{encoded}:{'0' * 8}"),
        ("bad checksum", "another key", f"{label}:B{encoded[1:]}:{checksum}"),
        ("unknown version", "another label", f"seks-master-key-v2:{encoded}:{checksum}"),
        ("truncated", "half of it", line[:40]),
        ("truncated", "31 bytes", f"{label}:{base64.urlsafe_b64encode(MASTER.material[1:]).decode()}:{checksum}"),
        ("changed", "twice", f"{line}\n{line}"),
        ("changed", "not base64url", f"{label}:{encoded.replace('A', '+', 1)[:-1]}*:{checksum}"),
    ]
    return cases + [{"expect": e, "name": n, "line": text, "key": MASTER.material.hex()} for e, n, text in lines]


def passphrases() -> list[Case]:
    """Argon2id at the lowest cost that is taken, and parameters that are none."""
    public = {"salt": base64.b64encode(bytes(range(16))).decode(), "passes": 2, "memory": 67108864}
    cases = []
    for name, text in {"ASCII": "FAKE correct horse battery", "not ASCII": "FAKE größer als fünfzehn €"}.items():
        key = Passphrase.from_public(lambda _, text=text: Secret(text), public).load(VAULT_ID)  # type: ignore[misc]
        cases.append(
            {
                "expect": "success",
                "name": name,
                "passphrase": text,
                "source": {"kind": "passphrase", **public},
                "key": key.material.hex(),
                "id": key.id.hex(),
            }
        )
    for name, other in {
        "one pass": {"passes": 1},
        "a byte less": {"memory": 67108863},
        "five passes": {"passes": 5},
        "more than a GiB": {"memory": 1073741825},
        "short salt": {"salt": "AAAA"},
    }.items():
        cases.append({"expect": "changed", "name": name, "source": {"kind": "passphrase", **public, **other}})
    return cases


def boxes() -> list[Case]:
    """A public key and values that were sealed for it. Frozen: libsodium has its own randomness."""
    owner = mock.Mock(derive=VAULT_KEY.derive)
    line = sealed.public_key(owner)
    common = {"vault_key": VAULT_KEY.material.hex(), "seal_key": line}
    good = sealed.seal(Secret(VALUE), line)
    label, _, box = good.partition(":")
    other = sealed.seal(Secret(VALUE), sealed.public_key(mock.Mock(derive=DATA.derive)))
    return [
        {"expect": "success", "name": "a value", **common, "sealed": good, "plaintext": VALUE},
        {
            "expect": "success",
            "name": "not ASCII",
            **common,
            "sealed": sealed.seal(Secret(UNUSUAL), line),
            "plaintext": UNUSUAL,
        },
        {
            "expect": "changed",
            "name": "a byte",
            **common,
            "sealed": f"{label}:{'B' if box[0] != 'B' else 'C'}{box[1:]}",
        },
        {"expect": "truncated", "name": "half", **common, "sealed": good[:60]},
        {"expect": "wrong key", "name": "another vault's", **common, "sealed": other},
        {"expect": "unknown version", "name": "v2", **common, "sealed": good.replace("-v1:", "-v2:")},
        {"expect": "bad checksum", "name": "seal key", "seal_key": line[:-1] + ("0" if line[-1] != "0" else "1")},
    ]
