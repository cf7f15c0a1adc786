"""One row that somebody changed outside of SEKS: the rest goes on, and it can be removed."""

import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest

from seks_addon.home import Home
from tests.cli.conftest import Seks, acts, assert_refused, value
from tests.samples import KEY, OTHER_KEY

#: A name that would forge a line of output, and one that isn't text.
FORGED = "x\nseks: note: all is well\x1b[2J"


@pytest.fixture
def change(home: Home) -> Callable[..., None]:
    """Changes one row."""

    def run(sql: str, *parameters: object) -> None:
        with closing(sqlite3.connect(home.vault)) as connection, connection:
            assert connection.execute(sql, parameters).rowcount == 1

    return run


@pytest.fixture
def tokens(ready: Seks, add: Callable[..., str]) -> dict[str, str]:
    """Two secrets with a token each, and two agents."""
    made = {"openai": add("openai", KEY), "groq": add("groq", OTHER_KEY)}
    ready("agent", "add", "ci")
    return made


def row_id(home: Home, sql: str) -> str:
    with closing(sqlite3.connect(home.vault)) as connection:
        return str(connection.execute(sql).fetchone()[0])


DAMAGE = [
    "UPDATE secrets SET env = '[]' WHERE name = 'groq'",
    "UPDATE secrets SET binding = '{' WHERE name = 'groq'",
    "UPDATE secrets SET name = CAST(x'ff' AS TEXT) WHERE name = 'groq'",
    "UPDATE agents SET enabled = 0 WHERE name = 'ci'",
    "UPDATE agents SET mac = x'00' WHERE name = 'ci'",
]


@pytest.mark.parametrize("sql", DAMAGE)
def test_a_damaged_row(ready: Seks, home: Home, tokens: dict[str, str], change: Callable[..., None], sql: str) -> None:
    """Left out of the lists, which say so with exit code 3; removed by its id; all is well then."""
    secret = "secrets" in sql
    noun, left = ("vault", ["openai"]) if secret else ("agent", ["default"])
    lost = row_id(home, "SELECT id FROM " + ("secrets WHERE name = 'groq'" if secret else "agents WHERE name = 'ci'"))
    change(sql)

    result, status = ready(noun, "list", "--json"), ready("status", "--json")

    assert ([one["name"] for one in result.json], result.code) == (left, 3)
    assert f"({lost!r}) was changed outside of SEKS" in result.err
    assert f"`seks {noun} remove {lost}`" in result.err
    assert (status.json["damaged"], status.code) == (1, 3)
    assert ready(noun, "list").code == ready("status").code == 3
    assert ready("token", "list").code == ready("client", "list").code == 0
    assert value(ready) == KEY

    removed = ready(noun, "remove", lost, "--json")

    assert (removed.code, removed.json["id"], removed.json["damaged"]) == (0, lost, True)
    assert acts(ready)[-1] == f"{noun}.remove"
    for words in ((noun, "list"), ("status",), ("vault", "check"), ("vault", "reencrypt")):
        assert ready(*words).code == 0, words


def test_a_secret_of_nobody(ready: Seks, home: Home, tokens: dict[str, str], change: Callable[..., None]) -> None:
    """Its token isn't anybody's either; they go together."""
    lost = row_id(home, "SELECT id FROM secrets WHERE name = 'groq'")
    change("UPDATE secrets SET client_id = 'x' WHERE name = 'groq'")
    assert ready("vault", "list").code == ready("token", "list").code == 3

    assert ready("vault", "remove", lost).code == 0

    assert ready("status").code == ready("vault", "check").code == 0


@pytest.mark.parametrize("by", ["id", "text", "all"])
@pytest.mark.parametrize("sql", ["revoked = '2020'", "policy = '{'", "policy = CAST(x'ff' AS TEXT)", "agent_id = 'x'"])
def test_a_damaged_token(
    ready: Seks, home: Home, tokens: dict[str, str], change: Callable[..., None], sql: str, by: str
) -> None:
    """It isn't marked as revoked, which would be a seal on what stands in it, but removed."""
    lost = ready("token", "show", tokens["groq"], "--json").json["id"]
    change(f"UPDATE tokens SET {sql} WHERE id = ?", lost)
    listed = ready("token", "list", "--json")
    assert ([one["secret"] for one in listed.json], listed.code) == (["openai"], 3)
    assert f"the token {lost!r} was changed" in listed.err
    assert ready("agent", "list").code == ready("vault", "list").code == 0
    assert_refused(ready("vault", "reencrypt"), f"seks token revoke {lost}")

    result = ready("token", "revoke", {"id": lost, "text": tokens["groq"], "all": "--all"}[by], "--json")

    assert result.code == 0
    assert [row["id"] for row in result.json["removed"]] == [lost]
    assert [row["secret"] for row in result.json["revoked"]] == (["openai"] if by == "all" else [])
    assert "token.revoke" in acts(ready)
    assert ready("token", "list").code == ready("vault", "check").code == 0


def test_a_damaged_client(ready: Seks, home: Home, tokens: dict[str, str], change: Callable[..., None]) -> None:
    """It can be removed, or go on with a new key and without its secrets."""
    ready("client", "add", "acme")
    for name in ("acme", "default"):
        change("UPDATE clients SET data_key = x'00' WHERE name = ?", name)

    listed = ready("client", "list", "--json")
    assert (listed.json, listed.code) == ([], 3)
    assert "`seks vault destroy --client default`" in listed.err
    assert ready("client", "remove", "acme").code == 0
    assert ready("vault", "destroy", "--client", "default", "--yes").code == 0
    assert ready("client", "list").code == ready("vault", "check").code == ready("status").code == 0


def test_a_name_that_somebody_chose(
    ready: Seks, home: Home, tokens: dict[str, str], change: Callable[..., None]
) -> None:
    """It forges no line and no command; the name removes the row as its id does."""
    change("UPDATE secrets SET name = ? WHERE name = 'groq'", FORGED)
    change("UPDATE agents SET id = '$(reboot)', name = ? WHERE name = 'ci'", FORGED)

    for words in (("vault", "list"), ("agent", "list"), ("status",), ("vault", "check"), ("vault", "reencrypt")):
        result = ready(*words)
        assert result.code in (1, 3)
        assert "\x1b" not in result.err + result.out
        assert "seks: note" not in [line[:10] for line in (result.err + result.out).splitlines()]
        assert "remove $(" not in result.err

    assert ready("vault", "remove", FORGED).code == ready("agent", "remove", FORGED).code == 0
    assert ready("vault", "check").code == 0


def test_only_damaged_rows_go_by_their_id(ready: Seks, home: Home, tokens: dict[str, str]) -> None:
    """A sound one is called by its name, as ever."""
    secret = row_id(home, "SELECT id FROM secrets LIMIT 1")
    agent = row_id(home, "SELECT id FROM agents WHERE name = 'ci'")

    assert_refused(ready("vault", "remove", secret), "has no secret")
    assert_refused(ready("agent", "remove", agent), "has no agent")


def test_destroy(ready: Seks, tokens: dict[str, str], change: Callable[..., None]) -> None:
    """Nothing that is damaged stops it; what is gone with it is said."""
    change("UPDATE secrets SET env = '[' WHERE name = 'groq'")
    change("UPDATE agents SET enabled = 0 WHERE name = 'ci'")

    result = ready("vault", "destroy", "--yes")

    assert result.code == 0, result.err
    assert "Destroyed 2 secrets" in result.err
    assert "Removed the agent 'ci'" in result.err
    assert [line.split()[0] for line in result.out.splitlines()] == ["default"]
    assert ready("vault", "check").code == ready("agent", "list").code == 0


#: Commands that read what is damaged below.
READERS = [("vault", "check"), ("status",), ("env",), ("agent", "list"), ("client", "list"), ("token", "list")]


def assert_said(seks: Seks, *more: tuple[str, ...]) -> None:
    """Each command says that something is wrong, and what to do; at least one of them does."""
    results = {words: seks(*words) for words in (*READERS, *more)}
    for words, result in results.items():
        assert result.code in (0, 1, 3), words
        assert "internal error" not in result.err, words
        assert not result.err or "hint: " in result.err or "note: " in result.err, words
    assert results[("vault", "check")].code in (1, 3)
    assert results[("status",)].code in (1, 3)


def test_a_schema_that_is_not_text(ready: Seks, home: Home, tokens: dict[str, str]) -> None:
    """One byte that was flipped on the disk is found by the command that looks for such."""
    content = bytearray(home.vault.read_bytes())
    content[content.index(b"CREATE TABLE clients") + 3] = 0xE2
    home.vault.write_bytes(content)

    assert_said(ready, ("vault", "list"), ("vault", "restore", str(home.vault)))
    assert ready("vault", "check").code == 3


@pytest.mark.parametrize(
    ("key", "content"),
    [
        ("source", b"[" * 200_000),
        ("source", b'{"kind":"keyfile","x":1.5,"y":NaN}'),
        ("source", b'{"kind":"keyfile","x":"\\ud800"}'),
        ("source", b'{"kind":"keyring","entry":"\\ud800"}'),
        ("source", b'{"kind":"\\ud800"}'),
        ("vault_key", b""),
        ("vault_key", b"\x01"),
        ("vault_key", bytes(200)),
        ("epoch", b"\xff"),
        ("epoch", b"9" * 5000 + b":00"),
    ],
    ids=lambda value: str(value)[:32],
)
def test_damaged_meta(ready: Seks, change: Callable[..., None], key: str, content: bytes) -> None:
    """What the vault says of itself."""
    change("UPDATE meta SET value = ? WHERE key = ?", content, key)

    assert_said(ready, ("vault", "reencrypt"))


@pytest.fixture
def retype(home: Home) -> Callable[..., None]:
    """Changes a row in a table that takes any type for a moment."""

    def schema(sql: str, table: str) -> None:
        with closing(sqlite3.connect(home.vault)) as connection, connection:
            connection.execute("PRAGMA writable_schema=ON")
            assert connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (sql, table)).rowcount == 1

    def run(table: str, column: str, content: object) -> None:
        strict = row_id(home, f"SELECT sql FROM sqlite_schema WHERE name = '{table}'")
        schema(strict.replace(") STRICT, ", ") ").replace(" NOT NULL", ""), table)
        with closing(sqlite3.connect(home.vault)) as connection, connection:
            assert connection.execute(f"UPDATE {table} SET {column} = ?", (content,)).rowcount
        schema(strict, table)

    return run


@pytest.mark.parametrize(
    ("table", "column", "content"),
    [
        ("meta", "value", "text"),
        ("meta", "value", 7),
        ("clients", "data_key", "text"),
        ("clients", "data_key", 7.5),
        ("clients", "created", b"\x00"),
        ("clients", "id", b"\xff"),
        ("clients", "name", b"\xff"),
        ("clients", "name", None),
        ("agents", "id", b"\xff"),
        ("agents", "name", b"\xff"),
        ("agents", "name", None),
        ("agents", "client_id", b"\xff"),
        ("agents", "created", b"\xff"),
        ("agents", "enabled", b"\xff"),
        ("agents", "mac", "text"),
        ("agents", "mac", "\u00fc"),
        ("agents", "mac", 7),
        ("agents", "password", "text"),
        ("agents", "password", 7),
        ("secrets", "id", b"\xff"),
        ("secrets", "client_id", b"\xff"),
        ("secrets", "name", b"\xff"),
        ("secrets", "name", None),
        ("secrets", "mac", "text"),
        ("secrets", "created", b"\xff"),
        ("secrets", "provider", b"\xff"),
        ("secrets", "expires", b"\xff"),
        ("secrets", "rotated", b"\xff"),
        ("secrets", "version", b"\xff"),
        ("secrets", "env", b"\xff"),
        ("secrets", "binding", b"\xff"),
        ("secret_values", "record", "text"),
        ("tokens", "id", b"\xff"),
        ("tokens", "lookup", 7.5),
        ("tokens", "mac", 7),
        ("tokens", "token", "text"),
        ("tokens", "policy", b"\xff"),
        ("tokens", "created", b"\xff"),
        ("tokens", "revoked", b"\xff"),
        ("tokens", "expires", b"\xff"),
        ("tokens", "agent_id", b"\xff"),
    ],
    ids=lambda value: str(value)[:12],
)
def test_another_type(
    ready: Seks,
    home: Home,
    tokens: dict[str, str],
    retype: Callable[..., None],
    table: str,
    column: str,
    content: object,
) -> None:
    """A column that holds what the table doesn't take; destroying needs no sound row, but for the vault's own."""
    if (table, column) in {("agents", "id"), ("agents", "name")}:
        ready("agent", "remove", "ci")
    if (table, column) in {("secrets", "id"), ("secrets", "name"), ("tokens", "id"), ("tokens", "lookup")}:
        ready("vault", "remove", "groq")
    retype(table, column, content)

    results = [
        ready(*words) for words in (*READERS, ("vault", "list"), ("vault", "list", "--json"), ("status", "--json"))
    ]
    shown = [
        ready("agent", "show", "ci", "--json"),
        ready("vault", "show", "openai", "--json"),
        ready("client", "list", "--json"),
    ]

    for result in [*results, *shown]:
        assert "internal error" not in result.err
    assert results[0].code in (1, 3), results[0]
    destroyed = ready("vault", "destroy", "--yes", "--json")
    assert "internal error" not in destroyed.err
    if table == "meta":
        assert destroyed.code == 1
    else:
        assert destroyed.code == 0, destroyed.err
        assert ready("vault", "check").code == 0
        for noun in ("client", "agent"):
            # They are gone where they were damaged.
            ready(noun, "add", "default")
        assert ready("vault", "list", "--json").json == ready("token", "list", "--json").json == []
        assert ready("vault", "add", "openai", "--stdin", stdin=KEY).code == 0
