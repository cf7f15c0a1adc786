"""Vectors of what the vault keeps in clear: tokens and the hashes of them, and the MACs of rows."""

import hmac

from seks_addon.canonical import canonical_json, digest
from seks_addon.tokens import new_token
from tests.vectors.fixed import AGENT, BINDING, CLIENT, SECRET, TOKEN, VAULT_KEY, Case, fixed


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


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")
