"""What the proxy was told."""

import ipaddress
from pathlib import Path
from typing import Any

import pytest
import trustme

from seks_addon.destination.egress import Egress
from seks_addon.destination.host import HostPattern, Origin
from seks_addon.errors import ConfigError
from seks_addon.foreign import ForeignPolicy, Mode
from seks_addon.home import Home
from seks_addon.settings import FLAGS, LISTS, NUMBERS, SCALARS, Intercept, Settings, load_config

HOME = Home(Path("/nowhere"))


def test_nothing_said() -> None:
    """By default everything is intercepted, every public host is reachable and no private one."""
    settings = Settings.parse(HOME)

    assert settings == Settings(HOME)
    assert (settings.intercept, settings.egress.mode) == (Intercept.ALL, Egress.OPEN)
    assert not settings.allow_private
    assert not settings.tripwire_revoke
    assert not settings.connect_to


def test_all_said(tmp_path: Path) -> None:
    """Each setting is read into what it means."""
    ca = tmp_path / "ca.pem"
    ca.write_bytes(trustme.CA().cert_pem.bytes())

    settings = Settings.parse(
        HOME,
        require_agent_auth=True,
        intercept="bound",
        tunnel=["*.Example.com"],
        egress="list",
        allow_host=["a.example.com", "**.b.example.com"],
        deny_host=["*"],
        foreign_credentials="warn",
        foreign_credentials_at=["*.Example.com=block"],
        allow_private=["10.1.2.0/24", "fd00::/8", "192.0.2.7"],
        connect_to=["a.example.com:443:127.0.0.1:8443", "B.example.com:1:[::1]:2", "[::1]:3:c.example.com:4"],
        upstream_ca=[str(ca)],
        max_connections=100,
        max_connections_per_agent=10,
    )

    assert settings.require_agent_auth
    assert settings.intercept is Intercept.BOUND
    assert settings.tunnel == (HostPattern("*.example.com"),)
    assert settings.foreign == ForeignPolicy(Mode.WARN, ((HostPattern("*.example.com"), Mode.BLOCK),))
    assert settings.egress.mode is Egress.LIST
    assert settings.egress.allow == (HostPattern("a.example.com"), HostPattern("**.b.example.com"))
    assert settings.egress.deny == (HostPattern("*"),)
    assert settings.allow_private == tuple(map(ipaddress.ip_network, ("10.1.2.0/24", "fd00::/8", "192.0.2.7/32")))
    assert settings.connect_to == {
        Origin("a.example.com", 443): Origin("127.0.0.1", 8443),
        Origin("b.example.com", 1): Origin("::1", 2),
        Origin("::1", 3): Origin("c.example.com", 4),
    }
    assert settings.upstream_ca == (ca,)
    assert (settings.max_connections, settings.max_connections_per_agent) == (100, 10)


def test_the_first_connection_named_for_a_place_counts() -> None:
    """As for curl."""
    settings = Settings.parse(HOME, connect_to=["a.example.com:443:127.0.0.1:1", "A.example.com:443:127.0.0.1:2"])

    assert settings.connect_to == {Origin("a.example.com", 443): Origin("127.0.0.1", 1)}


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ({"intercept": "some"}, "intercept: 'some' is none of all, bound"),
        ({"intercept": ""}, "intercept"),
        ({"egress": "OPEN"}, "egress: 'OPEN' is none of open, bound, list"),
        ({"tunnel": ["ok.example.com", "*.*"]}, "tunnel"),
        ({"tunnel": ["example.com:443"]}, "tunnel"),
        ({"allow_host": ["http://example.com"]}, "allow-host"),
        ({"deny_host": [""]}, "deny-host"),
        ({"deny_host": ["example.com:443"]}, "deny-host"),
        ({"foreign_credentials": "refuse"}, "foreign-credentials: 'refuse' is none of block, warn, pass"),
        ({"foreign_credentials_at": ["example.com"]}, "foreign-credentials-at: 'example.com' names no mode"),
        ({"foreign_credentials_at": ["a b=block"]}, "foreign-credentials-at: 'a b'"),
        ({"allow_private": ["10.1.2.3/24"]}, "allow-private: '10.1.2.3/24'"),
        ({"allow_private": ["localhost"]}, "allow-private"),
        ({"connect_to": ["a.example.com:443:127.0.0.1"]}, "connect-to"),
        ({"connect_to": ["a.example.com:443:127.0.0.1:8443:1"]}, "connect-to"),
        ({"connect_to": ["a.example.com::127.0.0.1:8443"]}, "connect-to"),
        ({"connect_to": [":443:127.0.0.1:8443"]}, "connect-to"),
        ({"connect_to": ["a.example.com:443:127.0.0.1:99999"]}, "connect-to"),
        ({"connect_to": ["::1:1:a.example.com:2"]}, "connect-to"),
        ({"connect_to": [""]}, "connect-to"),
        ({"upstream_ca": ["/nowhere/ca.pem"]}, "upstream-ca: can't read /nowhere/ca.pem"),
        ({"upstream_ca": ["~nobody-is-called-so/ca.pem"]}, "upstream-ca"),
        ({"upstream_ca": ["/"]}, "upstream-ca"),
        ({"upstream_ca": [__file__]}, "upstream-ca: .* holds no certificate"),
        ({"max_connections": 0}, "max-connections: 0 is no whole number"),
        ({"max_connections": True}, "max-connections: True"),
        ({"max_connections_per_agent": "10"}, "max-connections-per-agent: '10'"),
    ],
)
def test_what_makes_no_sense(setting: dict[str, Any], named: str) -> None:
    """A setting that can't be read is named as it is typed."""
    with pytest.raises(ConfigError, match=named):
        Settings.parse(HOME, **setting)


def test_every_setting_has_a_name() -> None:
    """The lists of names and what `parse` takes are the same."""
    Settings.parse(
        HOME,
        **dict.fromkeys(LISTS, ()),
        **dict.fromkeys(FLAGS, True),
        **dict.fromkeys(NUMBERS, 1),
        intercept="all",
        egress="open",
        foreign_credentials="pass",
    )

    assert set(SCALARS) == {"intercept", "egress", "foreign_credentials"}


def test_no_config(tmp_path: Path) -> None:
    """Without a file there is nothing to read."""
    assert load_config(Home(tmp_path)) == {}


def test_config(tmp_path: Path) -> None:
    """Keys are the options' names, with dashes or underscores."""
    (tmp_path / "config.toml").write_text('egress = "list"\nallow-host = ["a"]\ndeny_host = ["b"]\nlog-level = "x"\n')

    values = load_config(Home(tmp_path))

    assert values == {"egress": "list", "allow_host": ["a"], "deny_host": ["b"], "log_level": "x"}


@pytest.mark.parametrize("name", [*FLAGS, "require_agent_auth"])
def test_config_knows_every_flag(tmp_path: Path, name: str) -> None:
    """A setting that is on or off is a boolean there."""
    (tmp_path / "config.toml").write_text(f"{name} = true\n")

    assert load_config(Home(tmp_path)) == {name: True}


@pytest.mark.parametrize("name", LISTS)
def test_config_knows_every_list(tmp_path: Path, name: str) -> None:
    """A setting that may be given more than once is a list there, in either spelling."""
    for spelling in (name, name.replace("_", "-")):
        (tmp_path / "config.toml").write_text(f'{spelling} = ["x"]\n')

        assert load_config(Home(tmp_path)) == {name: ["x"]}


@pytest.mark.parametrize("name", [*NUMBERS, "workers"])
def test_config_knows_every_number(tmp_path: Path, name: str) -> None:
    """A number is one there, whole and without quotes."""
    (tmp_path / "config.toml").write_text(f"{name} = 2\n")
    assert load_config(Home(tmp_path)) == {name: 2}

    for value in ("true", "1.5", '"2"', "[2]"):
        (tmp_path / "config.toml").write_text(f"{name} = {value}\n")

        with pytest.raises(ConfigError, match=f"{name}' must be a whole number"):
            load_config(Home(tmp_path))


@pytest.mark.parametrize("name", [*SCALARS, "listen", "ready_file", "log_format", "log_level"])
def test_config_knows_every_text(tmp_path: Path, name: str) -> None:
    """A setting that is a text is one there, in either spelling."""
    for spelling in (name, name.replace("_", "-")):
        (tmp_path / "config.toml").write_text(f'{spelling} = "x"\n')

        assert load_config(Home(tmp_path)) == {name: "x"}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (b'egress = "list"\ncolour = 1\n', "no setting 'colour'"),
        (b"egress = \n", "config.toml: "),
        (b'egress = "\xff"\n', "config.toml: "),
        (b'deny-host = "localhost"\n', "'deny_host' must be a list"),
        (b'tripwire-revoke = "no"\n', "'tripwire_revoke' must be true or false"),
        (b'egress = "a"\negress = "b"\n', "config.toml: "),
        (b'http2 = "no"\n', "'http2' must be true or false"),
        (b"http2 = 1\n", "'http2' must be true or false"),
    ],
)
def test_config_that_is_wrong(tmp_path: Path, text: bytes, named: str) -> None:
    """A broken file or an unknown key is named, with the file's path."""
    (tmp_path / "config.toml").write_bytes(text)

    with pytest.raises(ConfigError, match=named) as caught:
        load_config(Home(tmp_path))

    assert str(tmp_path / "config.toml") in caught.value.message
    assert caught.value.hint


def test_config_that_is_a_folder(tmp_path: Path) -> None:
    """Something else of that name is an error, not ignored."""
    (tmp_path / "config.toml").mkdir()

    with pytest.raises(ConfigError, match=r"config\.toml"):
        load_config(Home(tmp_path))
