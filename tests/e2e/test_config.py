"""A configuration that is wrong: one line that says what, an exit code, and no traceback."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from seks_addon import __version__
from seks_cli.proxy import main
from tests.e2e.conftest import bound_site
from tests.support.site import Site


@pytest.fixture(scope="module")
def good(folder: Path) -> Site:
    """A home that no test changes."""
    return bound_site(folder / "good")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A home of the test's own."""
    return Site(tmp_path / "home")


type Run = Callable[..., list[str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `seks-proxy` for a home, which must fail; gives what it said."""

    def run(home: Path, command: str, *words: str, code: tuple[int, ...] = (1, 2)) -> list[str]:
        monkeypatch.setattr(sys, "argv", ["seks-proxy", command, "--home", str(home), *words])

        with pytest.raises(SystemExit) as ended:
            main()

        out, err = capsys.readouterr()
        lines = err.splitlines()
        assert ended.value.code in code
        assert out == ""
        assert lines[0].startswith("seks: error: ")
        assert "internal" not in lines[0]
        assert all(line.startswith("seks: hint: ") for line in lines[1:])
        assert len(lines) <= 2
        return lines

    return run


def test_good(site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`check` says that a good configuration is good, with every key that may be in the file."""
    (site.home.root / "config.toml").write_text(
        """
        listen = "127.0.0.1:0"
        workers = 2
        intercept = "bound"
        http2 = true
        egress = "list"
        tunnel = ["*.example.com"]
        allow-host = ["**.openai.com"]
        deny_host = ["bad.example.com"]
        allow-private = ["10.0.0.0/8", "fd00::/8"]
        connect-to = ["api.openai.com:443:127.0.0.1:8443", "a.example.com:443:[::1]:8443"]
        upstream-ca = []
        require-agent-auth = true
        max-connections = 100
        max_connections_per_agent = 10
        log-format = "json"
        log-level = "debug"
        """
    )
    monkeypatch.setattr(sys, "argv", ["seks-proxy", "check", "--home", str(site.home.root)])

    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 0
    assert "configuration is good" in capsys.readouterr().err


def test_good_address(good: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An address of version 6 is told apart from its port."""
    assert _ends(monkeypatch, "check", "--home", str(good.home.root), "--listen", "[::1]:7357") == 0

    assert "listening on [::1]:7357." in capsys.readouterr().err


def _ends(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["seks-proxy", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_home_anywhere(good: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The home may be named before the command too, as for `seks`; the last one counts."""
    home = str(good.home.root)

    assert _ends(monkeypatch, "--home", home, "check") == 0
    assert _ends(monkeypatch, "--home", "/nowhere", "check", "--home", home) == 0
    assert _ends(monkeypatch, "--home", home, "check", "--home", "/nowhere") == 1


@pytest.mark.parametrize("command", [[], ["run"], ["check"]], ids=" ".join)
def test_version_and_help(
    site: Site, command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are to be had of every command, with a configuration that is wrong too."""
    site.home.config.write_text("nonsense = 1")
    words = ["--home", str(site.home.root), *command]

    assert _ends(monkeypatch, *words, "--version") == 0
    assert capsys.readouterr().out == f"seks-proxy, version {__version__}\n"
    assert _ends(monkeypatch, *words, "--help") == 0
    assert "--home DIR" in capsys.readouterr().out


def test_completion(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Half a command line is completed, not refused."""
    monkeypatch.setenv("_SEKS_PROXY_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "seks-proxy run --listen")
    monkeypatch.setenv("COMP_CWORD", "3")

    _ends(monkeypatch)

    assert capsys.readouterr() == ("\n", "")


@pytest.mark.parametrize(
    "words",
    [
        ["--listen", "nonsense"],
        ["--listen", "127.0.0.1"],
        ["--listen", "127.0.0.1:99999"],
        ["--listen", "a b:80"],
        ["--workers", "0"],
        ["--workers", "many"],
        ["--intercept", "some"],
        ["--egress", "none"],
        ["--tunnel", "a b"],
        ["--tunnel", "https://example.com/"],
        ["--allow-host", "*.10.0.0.1"],
        ["--deny-host", ""],
        ["--deny-host", "a.*.example.com"],
        ["--allow-private", "10.0.0.1/8"],
        ["--allow-private", "localhost"],
        ["--connect-to", "api.openai.com:443"],
        ["--connect-to", "api.openai.com:443:127.0.0.1:0"],
        ["--connect-to", "::1:443:127.0.0.1:1"],
        ["--upstream-ca", "nowhere.pem"],
        ["--upstream-ca", __file__],
        ["--log-level", "loud"],
        ["--log-format", "xml"],
        ["--require-agent-auth=maybe"],
        ["--ready-file"],
        ["--ready-file", ""],
        ["--ready-file", "nowhere/ready.json"],
        ["--nonsense"],
        ["operand"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("command", ["run", "check"])
def test_option(run: Run, good: Site, command: str, words: list[str]) -> None:
    """An option that is wrong is named, and wrong usage, whoever reads it."""
    name = words[0].lstrip("-").partition("=")[0]

    said = run(good.home.root, command, *words, code=(2,))

    assert name in said[0]


@pytest.mark.parametrize("command", ["run", "check"])
def test_ready_file_in_a_place_of_seks_s_own(run: Run, good: Site, command: str) -> None:
    """It would take the vault's, or the key's."""
    for path in (good.home.vault, good.home.audit, good.home.master_key, good.home.key_location, good.home.ca):
        said = run(good.home.root, command, "--ready-file", str(path))

        assert f"{path} is a place of SEKS's own" in said[0]


@pytest.mark.parametrize(
    "text",
    [
        "nonsense = 1",
        "listen = 7357",
        'listen = "everywhere"',
        "workers = 0",
        'workers = "many"',
        "workers = true",
        "max-connections = 1.5",
        'max-connections-per-agent = "10"',
        'intercept = "some"',
        "intercept = true",
        'egress = "none"',
        'tunnel = "example.com"',
        "tunnel = [1]",
        'allow-host = ["a b"]',
        "deny-host = 1",
        'allow-private = ["10.0.0.1/8"]',
        'allow-private = "10.0.0.0/8"',
        'connect-to = ["nonsense"]',
        "connect-to = [[1]]",
        'upstream-ca = ["nowhere.pem"]',
        "upstream-ca = [1]",
        'require-agent-auth = "maybe"',
        'require-agent-auth = "true"',
        'log-level = "loud"',
        "log-format = 1",
        "ready-file = 1",
        "ready-file = [1]",
        "listen = ",
        "[listen]",
    ],
)
def test_config_file(run: Run, site: Site, text: str) -> None:
    """So is a key of the file."""
    site.home.config.write_text(text)

    said = run(site.home.root, "check")

    name = text.partition(" ")[0].strip("[]").replace("_", "-")
    assert name in said[0].replace("_", "-")


def test_config_file_that_is_no_text(run: Run, site: Site) -> None:
    """A file that is something else is named."""
    site.home.config.write_bytes(b"\xff\xfe\x00")

    assert str(site.home.config) in run(site.home.root, "check")[0]


def overwrite(path: Path) -> None:
    """Nothing in it is what it was."""
    path.write_bytes(b"this is something else, and long enough to be noticed " * 100)


DAMAGES: dict[str, Callable[[Site], object]] = {
    "home open to others": lambda site: site.home.root.chmod(0o755),
    "vault open to others": lambda site: site.home.vault.chmod(0o644),
    "CA open to others": lambda site: site.home.ca.chmod(0o640),
    "master key open to others": lambda site: site.home.master_key.chmod(0o604),
    "no master key": lambda site: site.home.master_key.unlink(),
    "another master key": lambda site: shutil.copy(
        Site(site.home.root / "other").home.master_key, site.home.master_key
    ),
    "damaged master key": lambda site: overwrite(site.home.master_key),
    "no vault": lambda site: site.home.vault.unlink(),
    "damaged vault": lambda site: overwrite(site.home.vault),
    "empty vault": lambda site: site.home.vault.write_bytes(b""),
    "no audit log": lambda site: site.home.audit.unlink(),
    "damaged audit log": lambda site: overwrite(site.home.audit),
    "no CA": lambda site: site.home.ca.unlink(),
    "damaged CA": lambda site: overwrite(site.home.ca),
    "CA without its key": lambda site: site.home.ca.write_bytes(site.home.ca_cert.read_bytes()),
    "no folder for runs": lambda site: site.home.run.rmdir(),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_home(run: Run, site: Site, damage: Callable[[Site], object]) -> None:
    """A home that can't be used is refused, and what is wrong with it said."""
    damage(site)

    run(site.home.root, "check", code=(1,))


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir(mode=0o700), lambda path: path.touch()])
def test_no_home(run: Run, tmp_path: Path, make: Callable[[Path], object]) -> None:
    """A home that isn't there, or is nothing yet, can't be used either."""
    make(tmp_path / "none")

    said = run(tmp_path / "none", "check", code=(1,))

    assert "seks init" in said[-1]
