"""Vectors of whole vaults."""

import base64
import tempfile
import zlib
from pathlib import Path

from seks_addon.binding import Binding, Endpoint
from seks_addon.home import Home
from seks_addon.policy import Policy
from seks_addon.secret import Secret
from seks_addon.vault import Vault
from seks_addon.vault.backup import backup
from seks_addon.vault.keysource.encoding import encode
from tests.vectors.fixed import MASTER, UNUSUAL, VALUE, Case


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
