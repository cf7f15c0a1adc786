"""Writes the vectors beside it: `python -m tests.vectors.make [NAME...]`, all of them where none is named.

What is random comes from a stream that is always the same, but for `vault.json` and the boxes of `sealed.json`: those
hold moments, and libsodium's own randomness. They are made once and kept. Format 1 doesn't change, so neither does a
file here; a new format gets new files.
"""

import base64
import hashlib
import hmac
import json
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from seks_addon.audit.record import GENESIS, Event, Outcome, Record, chain_hash
from seks_addon.binding import Binding, Endpoint
from seks_addon.canonical import canonical_json, digest
from seks_addon.home import Home
from seks_addon.policy import Policy
from seks_addon.secret import Secret
from seks_addon.tokens import new_token
from seks_addon.vault import Vault, sealed
from seks_addon.vault.backup import backup
from seks_addon.vault.envelope import Key
from seks_addon.vault.keysource.encoding import encode
from seks_addon.vault.keysource.passphrase import Passphrase

FOLDER = Path(__file__).parent
VALUE = "sk-FAKE-not-a-real-key-0000000000000000"
UNUSUAL = "sk-FAKE-nicht-echt-ü€😀"
VAULT_ID = "00000000-0000-4000-8000-000000000000"
CLIENT, AGENT, SECRET, TOKEN = (f"{kind}_000000000000" for kind in ("cli", "agt", "sec", "tok"))
SOURCE = {"kind": "keyfile"}
MASTER = Key.from_material(bytes(range(32)))
DATA = Key(bytes(range(8)), bytes(range(32, 64)))
VAULT_KEY = Key(bytes(range(8, 16)), bytes(range(64, 96)))
BINDING = {"endpoints": [{"host": "api.example.com", "placements": ["bearer"], "port": 443}], "policy": {}}

Case = dict[str, Any]


@contextmanager
def fixed(seed: str) -> Iterator[None]:
    """Make the operating system's randomness a stream that hangs from `seed`."""
    count = 0

    def stream(length: int) -> bytes:
        nonlocal count
        count += 1
        return hashlib.shake_256(f"seks vectors {seed} {count}".encode()).digest(length)

    with mock.patch("os.urandom", stream), mock.patch("random._urandom", stream):
        yield


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


def tokens() -> list[Case]:
    """Tokens with their checksum, and the hash that each is found under."""
    cases = []
    lookup = VAULT_KEY.derive("lookup")
    for provider in ("openai", "custom", "a", "x" * 32):
        with fixed(provider):
            text = new_token(provider)
        cases.append(
            {
                "expect": "success",
                "name": provider,
                "token": text,
                "vault_key": VAULT_KEY.material.hex(),
                "lookup": _hmac(lookup, text.encode()).hex(),
            }
        )
    good = cases[0]["token"]
    for expect, name, text in [
        ("bad checksum", "another last digit", good[:-1] + ("0" if good[-1] != "0" else "1")),
        ("bad checksum", "two digits swapped", good[:12] + good[13] + good[12] + good[14:]),
        ("bad checksum", "another provider", good.replace("openai", "github")),
        ("truncated", "a digit less", good[:-1]),
        ("changed", "a digit more", good + "0"),
        ("changed", "capitals", good.replace("openai", "OPENAI")),
    ]:
        cases.append({"expect": expect, "name": name, "token": text})
    return cases


def rows() -> list[Case]:
    """MACs of rows."""
    agent = {"id": AGENT, "client": CLIENT, "name": "robot", "enabled": True}
    secret = {
        "id": SECRET,
        "client": CLIENT,
        "name": "api",
        "provider": None,
        "binding": digest(BINDING),
        "env": ["API_KEY"],
        "version": 1,
        "expires": None,
    }
    token = {
        "id": TOKEN,
        "lookup": "00" * 32,
        "secret_id": SECRET,
        "agent_id": AGENT,
        "policy": '{"methods":["GET"]}',
        "expires": None,
        "revoked": None,
    }
    cases = []
    key = VAULT_KEY.derive("row mac")
    for table, fields in (("agents", agent), ("secrets", secret), ("tokens", token), ("meta", {"epoch": 7})):
        message = canonical_json({"table": table, **fields})
        cases.append(
            {
                "expect": "success",
                "name": table,
                "vault_key": VAULT_KEY.material.hex(),
                "table": table,
                "fields": fields,
                "canonical": message.decode(),
                "mac": _hmac(key, message).hex(),
            }
        )
    for name, case, other in (
        ("let in again", cases[0], {"enabled": False}),
        ("retargeted", cases[1], {"binding": "0" * 64}),
        ("another agent's", cases[2], {"agent_id": "agt_000000000001"}),
        ("a later epoch", cases[3], {"epoch": 8}),
    ):
        short = {name: case[name] for name in ("vault_key", "table", "mac")}
        cases.append({"expect": "changed", "name": name, **short, "fields": {**case["fields"], **other}})
    return cases


def audit() -> list[Case]:
    """A chain of three records, and chains that are broken."""
    common: Case = {"client": "default", "agent": "default", "secret": "openai"}
    told = [
        Record(
            time="2026-01-02T03:04:05.000006Z",
            event=Event.ADMIN,
            outcome=Outcome.ALLOWED,
            reason="vault.add",
            **common,
        ),
        Record(
            time="2026-01-02T03:04:06.000000Z",
            event=Event.INTENT,
            outcome=Outcome.ALLOWED,
            request_id="req_1",
            host="api.example.com",
            port=443,
            path="/v1/ü",
            **common,
        ),
        Record(
            time="2026-01-02T03:04:06.100000Z",
            event=Event.OUTCOME,
            outcome=Outcome.ALLOWED,
            status=200,
            request_id="req_1",
            **common,
        ),
    ]
    chain: list[Case] = []
    previous = GENESIS
    for seq, record in enumerate(told, 1):
        own = chain_hash(seq, record.to_json(), previous)
        chain.append({"seq": seq, **record.to_json(), "prev_hash": previous, "hash": own})
        previous = own
    return [
        {"expect": "success", "name": "three records", "records": chain},
        {
            "expect": "changed",
            "name": "another host",
            "bad_seq": 2,
            "records": [chain[0], {**chain[1], "host": "evil.example"}, chain[2]],
        },
        {"expect": "changed", "name": "one taken out", "bad_seq": 2, "records": [chain[0], chain[2]]},
        {"expect": "moved", "name": "another order", "bad_seq": 1, "records": [chain[1], chain[0], chain[2]]},
        {"expect": "truncated", "name": "the first is gone", "bad_seq": 1, "records": chain[1:]},
    ]


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


def vault() -> list[Case]:
    """A whole vault with its master key, what is in it, and what somebody may do to its file. Frozen."""
    with tempfile.TemporaryDirectory() as name:
        home = Home(Path(name) / "home")
        home.create()
        with Vault.create(home) as made:
            expected = _fill(made)
            expected["epoch"] = made.epoch
            copy = Path(name) / "copy"
            backup(made, copy, lambda *_: None)
            line = encode(made.master_key)
            database = base64.b64encode(zlib.compress(copy.read_bytes(), 9)).decode()
    robots = "(SELECT id FROM secrets WHERE name = 'api')"
    return [
        {
            "expect": "success",
            "name": "as it was made",
            "about": "vault_db: vault.db, compressed (zlib), in base64",
            "master_key": line,
            "vault_db": database,
            "contents": expected,
        },
        {"expect": "wrong key", "name": "another master key", "master_key": encode(MASTER)},
        {
            "expect": "unknown version",
            "name": "a later format",
            "sql": "UPDATE meta SET value = CAST('2' AS BLOB) WHERE key = 'format'",
        },
        {
            "expect": "changed",
            "name": "other parameters of the key source",
            "sql": """UPDATE meta SET value = CAST('{"kind":"keyfile","passes":1}' AS BLOB) WHERE key = 'source'""",
        },
        {
            "expect": "changed",
            "name": "a later epoch",
            "sql": "UPDATE meta SET value = CAST('9' || CAST(value AS TEXT) AS BLOB) WHERE key = 'epoch'",
        },
        {"expect": "changed", "name": "an agent let in", "sql": "UPDATE agents SET enabled = 1 WHERE enabled = 0"},
        {
            "expect": "changed",
            "name": "a token revived",
            "sql": "UPDATE tokens SET revoked = NULL WHERE revoked IS NOT NULL",
        },
        {
            "expect": "changed",
            "name": "a secret sent elsewhere",
            "sql": "UPDATE secrets SET binding = replace(binding, 'api.example.com', 'evil.example')"
            f" WHERE id = {robots}",
        },
        {
            "expect": "moved",
            "name": "another secret's value",
            "sql": "UPDATE secret_values SET record = (SELECT record FROM secret_values AS other"
            f" WHERE other.secret_id = {robots}) WHERE secret_id <> {robots}",
        },
        {
            "expect": "moved",
            "name": "another client's data key",
            "sql": "UPDATE clients SET data_key = (SELECT data_key FROM clients AS other WHERE other.name = 'acme')"
            " WHERE name = 'default'",
        },
        {
            "expect": "truncated",
            "name": "values cut",
            "sql": "UPDATE secret_values SET record = substr(record, 1, 100)",
        },
        {
            "expect": "changed",
            "name": "values",
            "sql": "UPDATE secret_values SET record = CAST(record || x'00' AS BLOB)",
        },
    ]


def _fill(made: Vault) -> Case:
    policy = Policy.parse(["get"], ["/v1"])
    bindings = {
        "api": Binding((Endpoint.parse("api.example.com", ["bearer"]),), policy),
        "other": Binding((Endpoint.parse("other.example:8443", ["header:X-Key: {}"], encoded_slash=True),)),
    }
    expected: Case = {"vault_id": made.id, "agents": [], "secrets": [], "tokens": []}
    for client_name, agent_name in (("acme", "robot"), ("default", "default")):
        client = made.clients.add(client_name)
        agent, password = made.agents.add(client, agent_name)
        expected["agents"].append(
            {"client": client_name, "name": agent_name, "enabled": agent_name != "robot", "password": password}
        )
        for number, (name, bound) in enumerate(bindings.items()):
            if client_name == "acme" and number:
                continue
            value = f"{UNUSUAL if number else VALUE}-{client_name}-{name}"
            end = "2036-01-01T00:00:00.000000Z" if number else None
            secret = made.secrets.add(client, name, Secret("sk-FAKE-before"), bound, env=("API_KEY",), expires=end)
            made.secrets.rotate(client, name, Secret(value))
            expected["secrets"].append({"client": client_name, "name": name, "value": value, "version": 2})
            for revoked in (False, True):
                token, text = made.tokens.issue(secret, agent, policy=policy if revoked else None)
                if revoked:
                    made.tokens.revoke(token)
                expected["tokens"].append(
                    {
                        "client": client_name,
                        "agent": agent_name,
                        "secret": name,
                        "token": text,
                        "revoked": revoked,
                    }
                )
        if agent_name == "robot":
            made.agents.set_enabled(client, agent_name, False)
    return expected


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


#: File → what it is about, who makes its cases, and whether it is the same each time.
FILES: dict[str, tuple[str, Callable[[], list[Case]], bool]] = {
    "records": ("sealed records; bytes are in hex", records, True),
    "keys": ("key ids, derived keys, lines of key files", keys, True),
    "passphrases": ("master keys from passphrases", passphrases, True),
    "tokens": ("fake tokens, and the hashes that they are found under", tokens, True),
    "rows": ("MACs of rows", rows, True),
    "audit": ("chains of audit records", audit, True),
    "sealed": ("values that were sealed for a vault", boxes, False),
    "vault": ("a whole vault; later cases change the first one's database with SQL, or its key", vault, False),
}


def document(name: str) -> dict[str, Any]:
    """The content of a file."""
    about, make, _ = FILES[name]
    return {"format": "docs/vault-format.md, format 1", "about": about, "cases": make()}


if __name__ == "__main__":
    for chosen in sys.argv[1:] or FILES:
        text = json.dumps(document(chosen), indent=1, ensure_ascii=False)
        (FOLDER / f"{chosen}.json").write_text(text + "\n", "utf-8")
