"""What the proxy was told: options of `seks-proxy run`, keys of `config.toml`, options in a stock mitmproxy."""

import ipaddress
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from cryptography import x509

from seks_addon.destination.address import Network
from seks_addon.destination.egress import Egress, EgressPolicy
from seks_addon.destination.host import HostPattern, Origin, parse_user_origin
from seks_addon.errors import ConfigError, InputError
from seks_addon.foreign import ForeignPolicy, Mode, parse_rule
from seks_addon.home import Home


class Intercept(StrEnum):
    """`all`: every TLS connection; `bound`: only hosts that a secret is bound to, the rest is tunnelled."""

    ALL = "all"
    BOUND = "bound"


#: The settings that have one value in text form each, those that are on or off, and those that are lists of texts.
SCALARS: Final = ("intercept", "egress", "foreign_credentials")
FLAGS: Final = ("tripwire_revoke", "http2")
LISTS: Final = (
    "tunnel",
    "allow_host",
    "deny_host",
    "foreign_credentials_at",
    "allow_private",
    "connect_to",
    "upstream_ca",
)
#: Those that are numbers, each with its default and the least and the most that it can be.
NUMBERS: Final = MappingProxyType(
    {"max_connections": (1024, 1, 1_000_000), "max_connections_per_agent": (256, 1, 1_000_000)}
)
#: Those that are about the program, not about what it does with a request.
PROGRAM: Final = ("listen", "workers", "ready_file", "require_agent_auth", "log_format", "log_level")
_TEXTS: Final = (*SCALARS, "listen", "ready_file", "log_format", "log_level")


@dataclass(frozen=True, slots=True)
class Settings:
    """How one proxy behaves; read and checked once, at its start."""

    home: Home
    require_agent_auth: bool = False
    intercept: Intercept = Intercept.ALL
    tunnel: tuple[HostPattern, ...] = ()
    egress: EgressPolicy = field(default_factory=EgressPolicy)
    foreign: ForeignPolicy = field(default_factory=ForeignPolicy)
    #: Whether a token that is seen where it has no business is revoked.
    tripwire_revoke: bool = False
    allow_private: tuple[Network, ...] = ()
    #: Connections for the first go to the second, as curl's option of that name; the operator vouches for both.
    connect_to: Mapping[Origin, Origin] = field(default_factory=dict)
    upstream_ca: tuple[Path, ...] = ()
    http2: bool = False
    #: Open connections of agents, for a worker: in all, and of one agent or one address that named no agent yet.
    max_connections: int = NUMBERS["max_connections"][0]
    max_connections_per_agent: int = NUMBERS["max_connections_per_agent"][0]

    @classmethod
    def parse(  # noqa: PLR0913 - one parameter a setting
        cls,
        home: Home,
        *,
        require_agent_auth: bool = False,
        intercept: str = "all",
        tunnel: Sequence[str] = (),
        egress: str = "open",
        allow_host: Sequence[str] = (),
        deny_host: Sequence[str] = (),
        foreign_credentials: str = "pass",
        foreign_credentials_at: Sequence[str] = (),
        tripwire_revoke: bool = False,
        allow_private: Sequence[str] = (),
        connect_to: Sequence[str] = (),
        upstream_ca: Sequence[str] = (),
        http2: bool = False,
        max_connections: int = NUMBERS["max_connections"][0],
        max_connections_per_agent: int = NUMBERS["max_connections_per_agent"][0],
    ) -> "Settings":
        """Read texts; raises `ConfigError` that names the setting."""
        return cls(
            home=home,
            require_agent_auth=require_agent_auth,
            intercept=_choice("intercept", intercept, Intercept),
            tunnel=_patterns("tunnel", tunnel),
            egress=EgressPolicy(
                _choice("egress", egress, Egress),
                _patterns("allow-host", allow_host),
                _patterns("deny-host", deny_host),
            ),
            foreign=ForeignPolicy(
                _choice("foreign-credentials", foreign_credentials, Mode),
                tuple(_foreign_rule(text) for text in foreign_credentials_at),
            ),
            tripwire_revoke=tripwire_revoke,
            allow_private=tuple(_network(text) for text in allow_private),
            # Of two for the same place the first counts, as for curl.
            connect_to=dict(_redirection(text) for text in reversed(connect_to)),
            upstream_ca=tuple(_certificates(text) for text in upstream_ca),
            http2=http2,
            max_connections=_number("max_connections", max_connections),
            max_connections_per_agent=_number("max_connections_per_agent", max_connections_per_agent),
        )


def load_config(home: Home) -> dict[str, Any]:
    """Read `config.toml` where there is one; its keys are the names above, with dashes or underscores."""
    if not home.config.exists():
        return {}
    try:
        data = tomllib.loads(home.config.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{home.config}: {error}", hint="mend it, or remove it") from None
    values = {key.replace("-", "_"): value for key, value in data.items()}
    for key, value in values.items():
        if key not in (*PROGRAM, *SCALARS, *FLAGS, *LISTS, *NUMBERS):
            raise ConfigError(
                f"{home.config}: there is no setting {key!r}",
                hint="the settings are the options of `seks-proxy run`, without the leading dashes",
            )
        if key in _TEXTS and not isinstance(value, str):
            raise ConfigError(f"{home.config}: the setting {key!r} must be a text, in quotes")
        if key in LISTS and not isinstance(value, list):
            # A text would be taken for the list of its letters.
            raise ConfigError(f"{home.config}: the setting {key!r} must be a list", hint=f'write {key} = ["…"]')
        if key in (*NUMBERS, "workers") and (isinstance(value, bool) or not isinstance(value, int)):
            # click would make a whole number of anything that looks like one.
            raise ConfigError(f"{home.config}: the setting {key!r} must be a whole number", hint=f"write {key} = 2")
        if key in (*FLAGS, "require_agent_auth") and not isinstance(value, bool):
            raise ConfigError(
                f"{home.config}: the setting {key!r} must be true or false", hint=f"write {key} = true, without quotes"
            )
    return values


def _choice[T: StrEnum](name: str, text: str, choices: type[T]) -> T:
    try:
        return choices(text)
    except ValueError:
        raise ConfigError(f"{name}: {text!r} is none of {', '.join(choices)}") from None


def _number(name: str, value: object) -> int:
    _, least, most = NUMBERS[name]
    # To Python, true is 1.
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return value
    raise ConfigError(f"{name.replace('_', '-')}: {value!r} is no whole number from {least} to {most}")


def _patterns(name: str, texts: Sequence[str]) -> tuple[HostPattern, ...]:
    try:
        return tuple(HostPattern.parse(text) for text in texts)
    except InputError as error:
        raise ConfigError(f"{name}: {error.message}", hint=error.hint) from None


def _foreign_rule(text: str) -> tuple[HostPattern, Mode]:
    try:
        return parse_rule(text)
    except InputError as error:
        raise ConfigError(f"foreign-credentials-at: {error.message}", hint=error.hint) from None


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise ConfigError(
            f"allow-private: {text!r} is no network", hint="write it as 10.1.2.0/24 or fd00::/8"
        ) from None


def _redirection(text: str) -> tuple[Origin, Origin]:
    # An address of version 6 holds colons of its own, in brackets.
    parts, depth, start = [], 0, 0
    for index, character in enumerate(text):
        depth += (character == "[") - (character == "]")
        if character == ":" and depth == 0:
            parts.append(text[start:index])
            start = index + 1
    parts.append(text[start:])
    try:
        if len(parts) != 4:
            raise InputError("four parts are needed")
        return parse_user_origin(f"{parts[0]}:{parts[1]}"), parse_user_origin(f"{parts[2]}:{parts[3]}")
    except InputError as error:
        raise ConfigError(f"connect-to: {text!r}: {error.message}", hint="write HOST1:PORT1:HOST2:PORT2") from None


def _certificates(text: str) -> Path:
    try:
        path = Path(text).expanduser().absolute()
    except RuntimeError:
        raise ConfigError(f"upstream-ca: there is no user whose home {text} is below") from None
    try:
        x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"upstream-ca: can't read {path}: {error.strerror}") from None
    except ValueError:
        raise ConfigError(f"upstream-ca: {path} holds no certificate in PEM form") from None
    return path
