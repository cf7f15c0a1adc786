"""`seks run`: the command's environment, and its exit code."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from seks_addon.ca import certificates
from seks_addon.home import Home
from seks_cli import run as run_module
from tests.cli.conftest import Seks
from tests.samples import KEY, OTHER_KEY

Process = Callable[..., subprocess.CompletedProcess[str]]

SHOW = (sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))")


@pytest.fixture
def run(ready: Seks, process: Process, port: int) -> Process:
    """`seks run` through a port that accepts."""

    def start(*words: str, options: tuple[str, ...] = (), **more: object) -> subprocess.CompletedProcess[str]:
        return process("run", "--proxy", f"http://127.0.0.1:{port}", *options, "--", *words, **more)

    return start


def test_the_command_has_tokens_and_no_credential(run: Process, add: Callable[..., str]) -> None:
    """Credentials go by their variable's name, and by their value under any name."""
    token = add("openai", KEY)
    real = {
        "OPENAI_API_KEY": KEY,
        "GITHUB_TOKEN": "ghp_somebodys",
        "MY_KEY": KEY,
        "DATABASE_URL": f"https://user:{KEY}@db.example",
        "SEKS_DEBUG": "1",
        "HARMLESS": "yes",
    }

    result = run(*SHOW, env=real)

    variables = json.loads(result.stdout)
    assert variables["OPENAI_API_KEY"] == token
    assert variables["HARMLESS"] == "yes"
    assert not {"GITHUB_TOKEN", "MY_KEY", "DATABASE_URL", "SEKS_DEBUG", "SEKS_HOME"} & set(variables)
    assert KEY not in result.stdout + result.stderr
    [note] = [line for line in result.stderr.splitlines() if line.startswith("seks: note: kept out")]
    assert all(name in note for name in ("GITHUB_TOKEN", "MY_KEY", "DATABASE_URL", "SEKS_DEBUG"))
    assert "OPENAI_API_KEY" not in note


def test_keep_env(run: Process, add: Callable[..., str]) -> None:
    add("openai", KEY)

    result = run(*SHOW, env={"GITHUB_TOKEN": "mine", "GH_TOKEN": "too"}, options=("--keep-env", "GITHUB_TOKEN"))

    variables = json.loads(result.stdout)
    assert variables["GITHUB_TOKEN"] == "mine"
    assert "GH_TOKEN" not in variables


def test_another_agents_secrets_stay_out(run: Process, ready: Seks, add: Callable[..., str]) -> None:
    """A variable that a secret of the client claims is withheld from an agent without a token of it."""
    ready("agent", "add", "bob")
    add("internal", OTHER_KEY, "--host", "a.example", "--placement", "bearer", "--env", "INTERNAL_KEY")

    result = run(*SHOW, env={"INTERNAL_KEY": "real"}, options=("--agent", "bob"))

    assert "INTERNAL_KEY" not in json.loads(result.stdout)


def test_node_gets_its_shim_beside_its_own_options(run: Process) -> None:
    variables = json.loads(run(*SHOW, env={"NODE_OPTIONS": "--max-old-space-size=4096"}).stdout)

    shim = Path(run_module.__file__).with_name("shims") / "node.cjs"
    assert variables["NODE_OPTIONS"] == f"--max-old-space-size=4096 --require {shim}"


def test_the_cas_of_the_parent_go_on_counting(run: Process, home: Home, tmp_path: Path) -> None:
    """A company's own CA, named in one variable, is in the files that all variables name."""
    own = tmp_path / "company.pem"
    trustme.CA().cert_pem.write_to_path(own)

    variables = json.loads(run(*SHOW, env={"NODE_EXTRA_CA_CERTS": str(own), "AWS_CA_BUNDLE": "/nowhere"}).stdout)

    bundle, extra = Path(variables["SSL_CERT_FILE"]), Path(variables["NODE_EXTRA_CA_CERTS"])
    [company] = certificates(own.read_bytes())
    [ca] = certificates(home.ca_cert.read_bytes())
    assert bundle.parent == extra.parent == home.run
    assert certificates(extra.read_bytes()) == [ca, company]
    assert set(certificates(bundle.read_bytes())) == {*certificates(home.ca_bundle.read_bytes()), company}
    assert variables["AWS_CA_BUNDLE"] == str(bundle)


def test_a_parent_without_cas_of_its_own(run: Process, home: Home) -> None:
    variables = json.loads(run(*SHOW, env={"SSL_CERT_FILE": str(home.ca_bundle)}).stdout)

    assert variables["SSL_CERT_FILE"] == str(home.ca_bundle)
    assert variables["NODE_EXTRA_CA_CERTS"] == str(home.ca_cert)
    assert "AWS_CA_BUNDLE" not in variables
    assert not list(home.run.glob("*.pem"))


def test_exit_codes_are_the_commands(run: Process) -> None:
    assert run("sh", "-c", "exit 7").returncode == 7
    assert run("sh", "-c", "kill -TERM $$").returncode == -signal.SIGTERM


@pytest.mark.parametrize("name", ["seks-no-such-command", "/nowhere/at/all", ""])
def test_a_command_that_is_not_there(run: Process, name: str) -> None:
    result = run(name)

    assert result.returncode == 127
    assert f"seks: error: there is no command {name!r}" in result.stderr


def test_a_command_that_is_none(run: Process, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("x")

    result = run(str(tmp_path / "data"))

    assert result.returncode == 126
    assert "seks: error: can't run" in result.stderr


def test_standard_streams_are_the_commands(run: Process) -> None:
    """SIGPIPE too: Python ignores it, and a command must not inherit that."""
    result = run("sh", "-c", "cat; yes | head -n 1", input="from outside\n", stdin=None)

    assert result.stdout == "from outside\ny\n"
    assert "Broken pipe" not in result.stderr


def test_words_that_look_like_options_are_the_commands(run: Process, process: Process, port: int) -> None:
    after = run(sys.executable, "-c", "import sys; print(sys.argv[1:])", "--agent", "-h", "--", "x")
    bare = process("run", "--proxy", f"127.0.0.1:{port}", "printf", "%s", "--json")

    assert after.stdout == "['--agent', '-h', '--', 'x']\n"
    assert bare.stdout == "--json"


def test_without_a_proxy_nothing_is_run(ready: Seks, process: Process, tmp_path: Path) -> None:
    result = process("run", "--proxy", "http://127.0.0.1:1", "--", "touch", str(tmp_path / "ran"))

    assert result.returncode == 1
    assert "no proxy answers at 127.0.0.1:1" in result.stderr
    assert "seks-proxy run" in result.stderr
    assert not (tmp_path / "ran").exists()


def test_a_command_is_needed(ready: Seks) -> None:
    assert ready("run").code == 2


def test_the_databases_are_closed(run: Process, home: Home) -> None:
    """The command inherits no handle to the vault, and no write-ahead log waits for it."""
    script = (
        "import os; files = [os.path.realpath(f'/proc/self/fd/{fd}') for fd in os.listdir('/proc/self/fd')];"
        "print([file for file in files if file.endswith('.db')])"
    )

    result = run(sys.executable, "-c", script)

    assert result.stdout == "[]\n"
    assert not home.vault.with_name("vault.db-wal").exists()
