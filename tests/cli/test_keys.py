"""Key sources, new keys, and secrets that are handed over sealed."""

import os
import pty
import shlex
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from seks_addon.home import Home
from seks_addon.secret import Secret
from seks_addon.vault import Vault
from seks_addon.vault.envelope import Key
from seks_addon.vault.keysource import passphrase
from seks_addon.vault.keysource.encoding import encode
from seks_cli import terminal
from tests.cli.conftest import Result, Seks, acts, command, environment, records
from tests.samples import KEY, OTHER_KEY, TOKEN, binding

type Process = Callable[..., subprocess.CompletedProcess[str]]

WORDS = "four obviously fake words"


def assert_refused(result: Result, says: str, code: int = 1) -> None:
    """One line of error, perhaps one of hint, nothing else."""
    lines = result.err.splitlines()
    assert (result.code, result.out) == (code, ""), result
    assert lines[0].startswith("seks: error: ")
    assert all(line.startswith("seks: hint: ") for line in lines[1:])
    assert len(lines) <= 2
    assert says in result.err
    assert "internal error" not in result.err


def value(seks: Seks, name: str = "openai") -> str:
    """What is stored, read as `seks run` would."""
    from seks_cli.workplace import Workplace

    workplace = Workplace()
    with workplace.vault() as vault:
        owner = vault.clients.get("default")
        return vault.secrets.reveal(vault.secrets.get(owner, name).id, owner.id).reveal()


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A passphrase from a file, and Argon2id cheaper than it may be."""
    (tmp_path / "words").touch(0o600)
    (tmp_path / "words").write_text(f"{WORDS}\n")
    monkeypatch.setenv("SEKS_PASSPHRASE_FILE", str(tmp_path / "words"))
    monkeypatch.setattr(passphrase, "_FLOOR", (1, 8192))
    monkeypatch.setattr(passphrase.Passphrase.__init__, "__defaults__", ((1, 8192),))


@pytest.fixture
def key_command(tmp_path: Path) -> str:
    """A command that prints a master key."""
    path = tmp_path / "printed.key"
    path.write_text(encode(Key.from_material(bytes(range(32)))))
    return f"cat '{path}'"


def options(kind: str, tmp_path: Path, key_command: str) -> list[str]:
    """How the key source is named on the command line."""
    match kind:
        case "elsewhere":
            return ["--key-file", str(tmp_path / "elsewhere.key")]
        case "command":
            return ["--key-command", key_command]
        case _:
            return ["--key-source", kind]


KINDS = ["keyfile", "elsewhere", "passphrase", "command"]


@pytest.mark.parametrize("kind", KINDS)
def test_init(seks: Seks, home: Home, tmp_path: Path, cheap: None, key_command: str, kind: str) -> None:
    """From every source there is a home that works, and that says where its key is."""
    result = seks("init", *options(kind, tmp_path, key_command), "--json")

    said = {"elsewhere": "keyfile"}.get(kind, kind)
    assert (result.code, result.json["key_source"]) == (0, said)
    status = seks("status", "--json").json
    assert status["key_source"] == said
    assert status["key_place"].startswith(said)
    assert home.master_key.exists() == (kind == "keyfile")
    assert home.key_location.exists() == (kind in {"elsewhere", "command"})
    assert seks("vault", "add", "openai", "--stdin", stdin=KEY).code == 0
    assert value(seks) == KEY
    assert WORDS not in result.out + result.err + seks("status").out


def test_init_with_a_descriptor(home: Home, seks: Seks) -> None:
    """Which can be read only once."""
    reader, writer = os.pipe()
    os.write(writer, WORDS.encode())
    os.close(writer)

    done = subprocess.run(
        command("init", "--key-source", "passphrase"),
        env={**os.environ, **environment(home), "SEKS_PASSPHRASE_FD": str(reader)},
        pass_fds=[reader],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    os.close(reader)

    assert done.returncode == 0, done.stderr
    assert "Argon2id with 3 passes over 256 MiB" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--key-source", "telepathy"], 2, "telepathy"),
        (["--key-source", "command"], 2, "--key-command"),
        (["--key-source", "keyfile", "--key-command", "x"], 2, "--key-command"),
        (["--key-source", "passphrase", "--key-file", "/x"], 2, "--key-file"),
        (["--key-file", "/nowhere/at/all.key"], 1, "/nowhere/at/all.key"),
        (["--key-command", ""], 2, "--key-command"),
        (["--key-command", "  "], 1, "empty"),
        (["--key-command", "x 'y"], 1, "open quote"),
        (["--key-command", "false"], 1, "failed with code 1"),
        (["--key-command", "/nowhere/at/all"], 1, "No such file"),
        (["--key-command", "echo rubbish"], 1, "no master key"),
        (["--key-source", "passphrase"], 1, "no terminal"),
    ],
)
def test_init_with_what_makes_no_sense(seks: Seks, home: Home, words: list[str], code: int, says: str) -> None:
    """It says so in a line, and makes nothing."""
    assert_refused(seks("init", *words), says, code)
    assert not home.root.exists()


def test_init_with_a_short_passphrase(seks: Seks, home: Home, tmp_path: Path, cheap: None) -> None:
    (tmp_path / "words").write_text("too short\n")

    result = seks("init", "--key-source", "passphrase")

    assert_refused(result, "shorter than 15")
    assert "too short" not in result.err
    assert not home.root.exists()


@pytest.mark.parametrize("new", KINDS)
@pytest.mark.parametrize("old", KINDS)
def test_rekey(
    seks: Seks,
    home: Home,
    tmp_path: Path,
    cheap: None,
    key_command: str,
    old: str,
    new: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every value is read as before, there is a record, and it is said which key file stays."""
    seks("init", *options(old, tmp_path, key_command))
    token = seks("vault", "add", "openai", "--stdin", stdin=KEY).last
    words = options(new, tmp_path, f"echo {seks('vault', 'new-key').last}" if old == "command" else key_command)
    if old == "elsewhere" and new in {"elsewhere", "keyfile"}:
        words = ["--key-file", str(tmp_path / "new.key" if new == "elsewhere" else home.master_key)]
    (tmp_path / "new words").touch(0o600)
    (tmp_path / "new words").write_text(WORDS.upper())
    monkeypatch.setenv("SEKS_NEW_PASSPHRASE_FILE", str(tmp_path / "new words"))

    result = seks("vault", "rekey", *words)

    if new == "passphrase":
        monkeypatch.setenv("SEKS_PASSPHRASE_FILE", str(tmp_path / "new words"))

    assert (result.code, result.out) == (0, ""), result.err
    assert "new master key" in result.err
    stays = {"keyfile": home.master_key, "elsewhere": tmp_path / "elsewhere.key"}.get(old)
    if stays and (old, new) != ("keyfile", "keyfile"):
        assert f"stays in the file {stays}: backups from before want it" in result.err
    else:
        assert "stays" not in result.err
    assert value(seks) == KEY
    assert seks("token", "show", token, "--json").json["state"] == "live"
    assert acts(seks) == ["init", "vault.add", "vault.rekey"]
    assert seks("vault", "check").code == 0


def test_rekey_without_a_word(seks: Seks, home: Home, tmp_path: Path) -> None:
    """The same source gives another key, in the same place of the home."""
    path = home.root / "keys" / "own.key"
    path.parent.mkdir(0o700, parents=True)
    home.root.chmod(0o700)
    seks("init", "--key-file", str(path))
    before = path.read_bytes()

    assert seks("vault", "rekey").code == 0

    assert path.read_bytes() != before
    assert not home.master_key.exists()
    assert seks("status", "--json").json["key_file"] == str(path)


@pytest.mark.parametrize(
    "words", [(), ("--key-source", "keyfile"), ("--key-file", "{}"), ("--key-file", "{}/../x.key")]
)
def test_rekey_of_one_that_shares_its_key_file(seks: Seks, tmp_path: Path, words: tuple[str, ...]) -> None:
    """Both vaults go on: the file stays, whatever way it is named, and a new key wants another name."""
    path = tmp_path / "x.key"
    homes = [("--home", str(tmp_path / name)) for name in ("one", "two")]
    for home in homes:
        assert seks("init", *home, "--key-file", str(path)).code == 0
    content = path.read_bytes()
    (tmp_path / "folder").mkdir()
    named = [word.format(path if word == "{}" else tmp_path / "folder") for word in words]

    assert_refused(seks("vault", "rekey", *homes[0], *named), "may be another vault's key")
    done = seks("vault", "rekey", *homes[0], "--key-file", str(tmp_path / "new.key"))

    assert done.code == 0
    assert f"stays in the file {path}" in done.err
    assert path.read_bytes() == content
    for home, file in zip(homes, (tmp_path / "new.key", path), strict=True):
        assert seks("vault", "check", *home).code == 0
        assert seks("status", *home, "--json").json["key_file"] == str(file)
    admin = [r["reason"] for r in seks("audit", "list", *homes[0], "--json").json if r["event"] == "admin"]
    assert admin == ["init", "vault.rekey"]


def test_rekey_of_a_linked_key_file(ready: Seks, home: Home, tmp_path: Path) -> None:
    """Neither the link nor what it leads to is replaced."""
    real = tmp_path / "real.key"
    home.master_key.rename(real)
    home.master_key.symlink_to(real)
    content = real.read_bytes()

    assert_refused(ready("vault", "rekey"), "is a link")

    assert home.master_key.readlink() == real
    assert real.read_bytes() == content
    assert ready("vault", "check").code == 0


def test_rekey_to_a_passphrase_that_nobody_names(seks: Seks, cheap: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old one's file isn't taken for the new one's; and the same one is no new one."""
    seks("init", "--key-source", "passphrase")

    assert_refused(seks("vault", "rekey"), "SEKS_NEW_PASSPHRASE_FILE")
    monkeypatch.setenv("SEKS_NEW_PASSPHRASE_FILE", os.environ["SEKS_PASSPHRASE_FILE"])
    assert_refused(seks("vault", "rekey"), "the passphrase that the vault has")

    assert seks("vault", "check").code == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["init", "--home", "{}/h\udcff"], "is not UTF-8"),
        (["init", "--key-file", "{}/k\udcff"], "is not UTF-8"),
        (["init", "--key-command", "cat {}/k\udcff"], "is not UTF-8"),
        (["status", "--home", "{}/h\udcff", "--json"], "is not UTF-8"),
        (["init", "--key-file", "~nobody-of-this-name/x"], "there is no user"),
    ],
)
def test_paths_that_cannot_be_written_down(seks: Seks, tmp_path: Path, words: list[str], says: str) -> None:
    """Bytes that are no text, as a command line may hold them, are refused before anything is made."""
    assert_refused(seks(*(word.replace("{}", str(tmp_path)) for word in words)), says)

    assert list(tmp_path.iterdir()) == []


def test_a_home_in_the_environment_that_is_no_text(seks: Seks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEKS_HOME", f"{tmp_path}/h\udcff")

    assert_refused(seks("init", "--json"), "is not UTF-8")


def test_init_into_a_folder(seks: Seks, home: Home) -> None:
    assert_refused(seks("init", "--key-file", ""), "is a folder", 2)


@pytest.mark.slow
def test_bytes_that_are_no_text_at_a_prompt(home: Home, seks: Seks, add: Callable[..., str]) -> None:
    """They are called what they are."""
    code, shown = on_terminal(home, "vault", "add", "groq", answers=["sk-\udcff\udcfe"])

    assert code == 1
    assert "not UTF-8 text" in shown


def test_rekey_leaves_the_key_of_another_vault_alone(ready: Seks, home: Home, tmp_path: Path) -> None:
    """A file that somebody names is taken as it is."""
    other = tmp_path / "other.key"
    other.touch(0o600)
    other.write_text(encode(Key.from_material(bytes(32))))
    content = other.read_bytes()

    assert ready("vault", "rekey", "--key-file", str(other)).code == 0

    assert other.read_bytes() == content
    with Vault.open(home) as vault:
        assert vault.master_key.material == bytes(32)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--key-source", "command"], 2, "--key-command"),
        (["--key-command", "false"], 1, "failed"),
        (["--key-file", "/nowhere/at/all.key"], 1, "/nowhere/at/all.key"),
        (["--key-file", "/proc/version"], 1, "/proc/version"),
        (["--key-source", "passphrase"], 1, "no terminal"),
    ],
)
def test_rekey_that_fails(
    ready: Seks, home: Home, add: Callable[..., str], words: list[str], code: int, says: str
) -> None:
    """The vault stays under the key that it has."""
    add("openai", KEY)
    before = home.master_key.read_bytes()

    assert_refused(ready("vault", "rekey", *words), says, code)

    assert home.master_key.read_bytes() == before
    assert value(ready) == KEY
    assert {path.name for path in home.root.iterdir() if "new" in path.name} == set()


def test_reencrypt(ready: Seks, home: Home, add: Callable[..., str]) -> None:
    """All is as before to see, under other keys."""
    token = add("openai", KEY)
    before, seal_key = ready("vault", "show", "openai").out, ready("vault", "seal-key").out

    result = ready("vault", "reencrypt")

    assert (result.code, result.out) == (0, "")
    assert value(ready) == KEY
    assert ready("vault", "show", "openai").out == before
    assert ready("token", "show", token, "--json").json["state"] == "live"
    assert ready("vault", "seal-key").out != seal_key
    assert acts(ready)[-1] == "vault.reencrypt"


def test_destroy_wants_to_be_meant(ready: Seks, add: Callable[..., str]) -> None:
    """Without a terminal to ask on and without --yes, it is wrong usage."""
    add("openai", KEY)

    assert_refused(ready("vault", "destroy"), "--yes", code=2)

    assert value(ready) == KEY
    assert acts(ready)[-1] == "vault.add"


def test_destroy(ready: Seks, home: Home, add: Callable[..., str]) -> None:
    """Everything of everybody; prints the agents' new passwords."""
    add("openai", KEY)
    ready("client", "add", "acme")
    ready("vault", "add", "groq", "--client", "acme", "--stdin", stdin=OTHER_KEY)

    result = ready("vault", "destroy", "--yes")

    assert result.code == 0
    assert "Destroyed 2 secrets" in result.err
    assert [line.split()[0] for line in result.out.splitlines()] == ["acme/default", "default"]
    assert ready("vault", "list", "--json").json == ready("token", "list", "--json").json == []
    assert [r["client"] for r in records(ready) if r["reason"] == "vault.destroy"] == ["acme", "default"]
    with Vault.open(home) as vault:
        for line in result.out.splitlines():
            assert vault.agents.authenticate(*line.split())


def test_destroy_one_client_s(ready: Seks, add: Callable[..., str]) -> None:
    """Others' stay."""
    add("openai", KEY)
    ready("client", "add", "acme")
    ready("vault", "add", "groq", "--client", "acme", "--stdin", stdin=OTHER_KEY)

    result = ready("vault", "destroy", "--client", "acme", "--yes", "--json")

    assert (result.json["destroyed"], list(result.json["passwords"])) == (1, ["acme/default"])
    assert value(ready) == KEY
    assert_refused(ready("vault", "destroy", "--client", "nobody", "--yes"), "nobody")


def test_destroy_what_was_added_at_its_prompt(
    ready: Seks, home: Home, add: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every client is every client at the moment of the change."""

    def confirm(*_: object, **__: object) -> None:
        with Vault.open(home) as vault:
            client = vault.clients.add("late")
            vault.agents.add(client, "robot")
            vault.secrets.add(client, "groq", Secret(OTHER_KEY), binding())

    add("openai", KEY)
    monkeypatch.setattr(terminal, "confirm", confirm)

    result = ready("vault", "destroy", "--yes", "--json")

    assert (result.json["destroyed"], list(result.json["passwords"])) == (2, ["default", "late/robot"])
    assert [r["client"] for r in records(ready) if r["reason"] == "vault.destroy"] == ["default", "late"]
    assert ready("vault", "list", "--json").json == []
    assert ready("vault", "check").code == 0


def test_destroy_counts(ready: Seks, add: Callable[..., str]) -> None:
    """One is one."""
    add("openai", KEY)

    assert "the 1 secret of every client" in ready("vault", "destroy").err
    assert "Destroyed 1 secret of every client" in ready("vault", "destroy", "--yes").err
    assert "Destroyed 0 secrets of every client" in ready("vault", "destroy", "--yes").err


def test_destroy_with_a_reader_in_the_way(
    ready: Seks, home: Home, add: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agents' passwords are said before it is said that remnants may be left."""
    add("openai", KEY)
    monkeypatch.setitem(Vault.open.__kwdefaults__, "timeout", 0.1)
    shutil.copy(home.vault, home.damaged_vault)
    with closing(sqlite3.connect(home.vault, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM secrets").fetchall()

        result = ready("vault", "destroy", "--yes")

    assert result.code == 1
    assert "remnants" in result.err
    with Vault.open(home) as vault:
        assert vault.agents.authenticate(*result.last.split())
    assert not home.damaged_vault.exists()


def test_destroy_removes_what_a_restore_put_aside(ready: Seks, home: Home, add: Callable[..., str]) -> None:
    add("openai", KEY)
    shutil.copy(home.vault, home.damaged_vault)

    result = ready("vault", "destroy", "--yes")

    assert (result.code, home.damaged_vault.exists()) == (0, False)
    assert str(home.damaged_vault) in result.err


def test_new_key(seks: Seks, tmp_path: Path) -> None:
    """One line that a key command may print; another one every time; it needs no home."""
    one, two = seks("vault", "new-key"), seks("vault", "new-key")
    (tmp_path / "key").write_text(one.out)

    assert (one.code, one.err, one.out.count("\n")) == (0, "", 1)
    assert one.out != two.out
    assert seks("init", "--key-command", f"cat {tmp_path / 'key'}").code == 0
    assert seks("vault", "list").code == 0


@pytest.fixture
def sealed(ready: Seks, tmp_path: Path) -> Path:
    """A file with a sealed value."""
    key = ready("vault", "seal-key").last
    path = tmp_path / "sealed.txt"
    path.write_text(ready("vault", "seal", key, "--stdin", stdin=KEY).out)
    return path


def test_add_and_rotate_what_was_sealed(ready: Seks, sealed: Path, tmp_path: Path) -> None:
    """From somebody who has the public key only; the value is in no output."""
    assert ready("vault", "seal-key", "--json").json == {"seal_key": ready("vault", "seal-key").last}
    assert KEY not in sealed.read_text()

    added = ready("vault", "add", "openai", "--sealed", str(sealed))
    assert (added.code, value(ready)) == (0, KEY)
    sealed.write_text(ready("vault", "seal", ready("vault", "seal-key").last, "--stdin", stdin=OTHER_KEY).out)
    rotated = ready("vault", "rotate", "openai", "--sealed", str(sealed))

    assert (rotated.code, value(ready)) == (0, OTHER_KEY)
    for result in (added, rotated):
        assert KEY not in result.out + result.err
        assert OTHER_KEY not in result.out + result.err
    assert acts(ready) == ["init", "vault.add", "vault.rotate"]


def test_sealing_needs_no_vault(ready: Seks, sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is done where the secret is."""
    key = ready("vault", "seal-key").last
    monkeypatch.setenv("SEKS_HOME", str(tmp_path / "none"))

    assert ready("vault", "seal", key, "--stdin", stdin=KEY).out.startswith("seks-sealed-v1:")

    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "no sealed value"),
        (KEY, "no sealed value"),
        ("seks-sealed-v1:AAAA", "another vault, or damaged"),
        ("x" * 200_000, "too long"),
        (None, "No such file"),
    ],
)
def test_what_is_not_sealed_for_this_vault(ready: Seks, tmp_path: Path, content: str | None, says: str) -> None:
    path = tmp_path / "sealed.txt"
    if content is not None:
        path.write_text(content)

    result = ready("vault", "add", "openai", "--sealed", str(path))

    assert_refused(result, says)
    assert KEY not in result.err
    assert ready("vault", "list", "--json").json == []


def test_sealed_for_another_vault_or_another_time(ready: Seks, sealed: Path) -> None:
    """After `reencrypt` it has to be sealed again."""
    ready("vault", "reencrypt")

    assert_refused(ready("vault", "add", "openai", "--sealed", str(sealed)), "seal-key")


def test_a_sealed_fake_token(ready: Seks, tmp_path: Path) -> None:
    """Sealed by SEKS it is refused, sealed by another program it isn't taken."""
    from seks_addon.secret import Secret
    from seks_addon.vault.sealed import seal

    key = ready("vault", "seal-key").last
    assert_refused(ready("vault", "seal", key, "--stdin", stdin=TOKEN), "fake token")
    (tmp_path / "sealed.txt").write_text(seal(Secret(TOKEN), key))

    result = ready("vault", "add", "openai", "--sealed", str(tmp_path / "sealed.txt"))

    assert_refused(result, "fake token")
    assert TOKEN not in result.err


@pytest.mark.parametrize("key", ["", "x", KEY, "seks-seal-key-v1:AAAA:00000000"])
def test_seal_to_what_is_no_key(ready: Seks, key: str) -> None:
    result = ready("vault", "seal", key, "--stdin", stdin=OTHER_KEY)

    assert_refused(result, "public key")
    assert KEY not in result.err
    assert OTHER_KEY not in result.err


def test_sealed_and_another_place(ready: Seks, sealed: Path) -> None:
    assert_refused(ready("vault", "add", "openai", "--sealed", str(sealed), "--stdin", stdin=KEY), "one place only", 2)


def on_terminal(home: Home, *words: str, answers: list[str], env: dict[str, str] | None = None) -> tuple[int, str]:
    """Run `seks` on a terminal, and answer each of its questions; gives exit code and what the terminal showed."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command(*words),
        env={**os.environ, **environment(home), "TERM": "dumb", **(env or {})},
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown, answered = b"", 0
    while True:
        try:
            shown += os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if len(shown) > answered and shown.endswith(b": ") and answers:
            answered = len(shown)
            os.write(ours, os.fsencode(f"{answers.pop(0)}\n"))
    os.close(ours)
    return process.wait(30), shown.decode()


@pytest.mark.slow
def test_a_passphrase_is_asked_for_once_a_command(home: Home, seks: Seks) -> None:
    """A new one twice; then once, by a command that opens the vault more than once; it is never shown."""
    made = on_terminal(home, "init", "--key-source", "passphrase", answers=[WORDS, WORDS])
    added = on_terminal(home, "vault", "add", "openai", "--from-env", "REAL", answers=[WORDS], env={"REAL": KEY})
    wrong = on_terminal(home, "vault", "list", answers=["some other fake words"])

    assert (made[0], made[1].count("New passphrase of the vault"), made[1].count("once more")) == (0, 1, 1), made
    assert (added[0], added[1].count("Passphrase of the vault")) == (0, 1), added
    assert wrong[0] == 1
    assert "passphrase is wrong" in wrong[1]
    assert "fake words" not in made[1] + added[1] + wrong[1]


@pytest.mark.slow
def test_two_passphrases_that_differ(home: Home, seks: Seks) -> None:
    code, shown = on_terminal(home, "init", "--key-source", "passphrase", answers=[WORDS, WORDS.upper()])

    assert code == 1
    assert "not the same" in shown
    assert not home.root.exists()


def test_rekey_to_the_same(seks: Seks, home: Home, tmp_path: Path, key_command: str) -> None:
    """Whoever changes the key after a leak must not be told that it was, where it wasn't."""
    seks("init", *options("command", tmp_path, key_command))

    result = seks("vault", "rekey", *options("command", tmp_path, key_command))

    assert_refused(result, "that is the master key that the vault has")
    assert seks("vault", "check").code == 0


@pytest.mark.parametrize("act", ["init", "rekey"])
def test_a_key_that_nobody_could_get_again(seks: Seks, home: Home, process: Process, act: str) -> None:
    """A command that prints another one each time, and a keyring that keeps nothing."""
    if act == "rekey":
        seks("init")
        seks("vault", "add", "openai", "--stdin", stdin=KEY)
    words = ("init",) if act == "init" else ("vault", "rekey")
    null = {"PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"}

    other = seks(*words, "--key-command", shlex.join(command("vault", "new-key")))
    forgotten = process(*words, "--key-source", "keyring", env=null)

    assert_refused(other, "doesn't give the new master key again: it gives another one")
    assert forgotten.returncode == 1
    assert "doesn't give the new master key again: the keyring has no master key" in forgotten.stderr
    if act == "init":
        assert not home.root.exists()
    else:
        assert value(seks) == KEY
        assert acts(seks) == ["init", "vault.add"]
        assert not list(home.root.glob("key.toml*"))


@pytest.mark.parametrize("backend", ["keyring.backends.null.Nope", "nope.Nope", "nodots"])
def test_a_keyring_that_there_is_not(ready: Seks, process: Process, backend: str) -> None:
    """What the library makes of such a variable is an error like others."""
    done = process("vault", "rekey", "--key-source", "keyring", env={"PYTHON_KEYRING_BACKEND": backend})

    assert_refused(Result(done.returncode, done.stdout, done.stderr), "keyring can't be used")
    assert "PYTHON_KEYRING_BACKEND" in done.stderr
    assert ready("vault", "check").code == 0


@pytest.mark.parametrize(
    ("name", "there"),
    [
        *((name, False) for name in ("key.toml", "key.toml.new", "vault.db", "vault.epoch", "audit.db-wal")),
        *((name, there) for name in ("config.toml", "run/proxy.json", "master.key.new") for there in (False, True)),
    ],
)
def test_a_key_file_in_seks_s_own_place(ready: Seks, home: Home, tmp_path: Path, name: str, there: bool) -> None:
    """SEKS would overwrite it, or take it for something else; whether it is a key or not, and by a link too."""
    place = home.root / name
    if there:
        place.touch(0o600)
        place.write_text(encode(Key.generate()))
    (tmp_path / "link").symlink_to(place)
    before = sorted(home.root.rglob("*")), place.exists() and place.read_bytes()

    for path in (place, tmp_path / "link"):
        assert_refused(ready("vault", "rekey", "--key-file", str(path)), "a place of SEKS's own")

    assert (sorted(home.root.rglob("*")), place.exists() and place.read_bytes()) == before


@pytest.mark.parametrize("name", ["key.toml", "vault.db", "config.toml", "ca/x.key"])
def test_init_with_a_key_file_in_seks_s_own_place(seks: Seks, home: Home, name: str) -> None:
    home.create()

    assert_refused(seks("init", "--key-file", str(home.root / name)), "a place of SEKS's own")
    assert not home.vault.exists()


def test_a_key_file_where_a_new_one_would_wait(seks: Seks, tmp_path: Path) -> None:
    """The next to open the vault would move it over the one before."""
    seks("init", "--key-file", str(tmp_path / "k"))

    assert_refused(seks("vault", "rekey", "--key-file", str(tmp_path / "k.new")), "waits for the place of", 2)
    assert not (tmp_path / "k.new").exists()


def test_a_rekey_that_may_have_been_done(
    seks: Seks, tmp_path: Path, cheap: None, key_command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is run again says that it was, if it was; the key's id tells."""
    seks("init", "--key-file", str(tmp_path / "first.key"))
    before = seks("status", "--json").json["key_id"]
    assert seks("vault", "rekey", "--key-file", str(tmp_path / "new.key")).code == 0
    after = seks("status", "--json").json["key_id"]

    again = seks("vault", "rekey", "--key-file", str(tmp_path / "new.key"))

    assert_refused(again, f"the vault has its key from {tmp_path / 'new.key'}")
    assert "a rekey to it that was cut off is done" in again.err
    assert before != after == seks("status", "--json").json["key_id"]
    for kind in ("command", "passphrase"):
        words = options(kind, tmp_path, key_command)
        monkeypatch.setenv("SEKS_NEW_PASSPHRASE_FILE", os.environ["SEKS_PASSPHRASE_FILE"])
        assert seks("vault", "rekey", *words).code == 0
        again = seks("vault", "rekey", *words)
        assert_refused(again, "that the vault has")
        assert "a rekey to it that was cut off is done" in again.err


def test_a_second_name_of_a_key_outside(seks: Seks, home: Home, tmp_path: Path, killed: Callable[..., None]) -> None:
    """What a killed command left of it there is removed by the next one, once nobody can be at work on it."""
    (tmp_path / "for-whole").mkdir(0o700)
    folder = tmp_path / "for-killed"
    folder.mkdir(0o700)

    killed(lambda instants: instants.index("after link"), "init", "--key-file", f"{tmp_path}/for-{{run}}/k")

    assert len(list(folder.iterdir())) == 2
    os.utime(folder / "k", (0, 0))
    assert seks("init", "--key-file", str(folder / "k")).code == 0
    assert [path.name for path in folder.iterdir()] == ["k"]
