"""Whether everything in the vault is as SEKS left it, and can be opened."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from seks_addon.database import translated
from seks_addon.errors import DatabaseDamagedError, SeksError
from seks_addon.vault import meta
from seks_addon.vault.consistent import snapshot
from seks_addon.vault.rotation import Progress
from seks_addon.vault.store import Vault

_VERSIONS: Final = "SELECT version FROM secret_values WHERE secret_id = ?"
_HOSTS: Final = "SELECT host, port FROM secret_hosts WHERE secret_id = ?"


def check(vault: Vault, progress: Progress) -> list[str]:
    """Open every value and check every row; gives what is wrong, a sentence each, without any value in it.

    It is looked at as it is at one moment. Raises `SeksError` where it can't be unlocked any more.
    """
    with snapshot(vault):
        return _problems(vault, progress)


def _problems(vault: Vault, progress: Progress) -> list[str]:
    problems: list[str] = []
    try:
        # What comes before a page that can't be read stays found.
        problems.extend(_database(vault))
        tests = list(_tests(vault))
    except DatabaseDamagedError as error:
        return [*problems, error.message]
    for done, (what, test) in enumerate(tests, 1):
        try:
            test()
        except SeksError as error:
            problems.append(f"{what}: {error.message}")
        except Exception as error:  # noqa: BLE001 - a damaged row may raise anything
            problems.append(f"{what}: {type(error).__name__}")
        progress(done, len(tests))
    return problems


def _database(vault: Vault) -> Iterator[str]:
    with translated(vault.path):
        for (message,) in vault.connection.execute("PRAGMA integrity_check(10)"):
            if message != "ok":
                yield f"the database: {' '.join(message.split())}"
        [page_size] = vault.connection.execute("PRAGMA page_size").fetchone()
        if vault.path.stat().st_size % page_size:
            # The rest of the last page may not be in use: then SQLite doesn't miss it.
            yield "the database: its last page is cut short"
        for table, *_ in vault.connection.execute("PRAGMA foreign_key_check"):
            yield f"the table {table} refers to a row that isn't there"
    for row in vault.rows("SELECT key FROM meta"):
        if row["key"] not in meta.KEYS:
            yield f"the table meta has a row {row['key']!r} that SEKS doesn't know"


def _tests(vault: Vault) -> Iterator[tuple[str, Callable[[], object]]]:
    for row in vault.rows("SELECT id, name FROM clients"):
        yield f"the client {row['name']!r}", partial(vault.clients.key, row["id"])
    for row in vault.rows("SELECT id, name FROM agents"):
        yield f"the agent {row['name']!r}", partial(_open_agent, vault, row["id"])
    for row in vault.rows("SELECT id, name FROM secrets"):
        yield f"the secret {row['name']!r}", partial(_open_secret, vault, row["id"])
    for row in vault.rows("SELECT id FROM tokens"):
        yield f"the token {row['id']}", partial(_open_token, vault, row["id"])


def _open_agent(vault: Vault, agent_id: str) -> None:
    vault.agents.password(vault.agents.require(agent_id))


def _open_secret(vault: Vault, secret_id: str) -> None:
    stored = vault.secrets.by_id(secret_id)
    vault.secrets.reveal(secret_id, stored.client_id)
    versions = [row["version"] for row in vault.rows(_VERSIONS, (secret_id,))]
    if versions != [stored.version]:
        raise SeksError("it has values of other versions")
    listed = {(row["host"], row["port"]) for row in vault.rows(_HOSTS, (secret_id,))}
    if listed != {(e.origin.host, e.origin.port) for e in stored.binding.endpoints}:
        raise SeksError("the list of its hosts doesn't match its binding")


def _open_token(vault: Vault, token_id: str) -> None:
    token = vault.tokens.get(token_id)
    grant = vault.tokens.resolve(vault.tokens.text(token))
    if grant is None or grant.token_id != token_id:
        raise SeksError("it can't be found by its text")
