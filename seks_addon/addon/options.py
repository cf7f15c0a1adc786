"""mitmproxy's options are a security boundary: which of them are fixed, and the ones that SEKS adds."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from mitmproxy import exceptions, optmanager

from seks_addon.errors import ConfigError, SeksError
from seks_addon.home import Home
from seks_addon.settings import FLAGS, LISTS, NUMBERS, SCALARS, Settings, load_config

#: Options that have this value while SEKS runs. One that was set to something else is refused by name; where
#: only mitmproxy's default differs, the value is set.
FIXED: Final[Mapping[str, Any]] = MappingProxyType(
    {
        # Nothing is connected to before the request was judged; the certificate shown to an agent needs no upstream.
        "connection_strategy": "lazy",
        "upstream_cert": False,
        "add_upstream_certs_to_client_chain": False,
        # HTTP/1.1 and WebSocket only: no other protocol passes unseen. `seks_http2` is what adds HTTP/2.
        "mode": ["regular"],
        "http2": False,
        "http3": False,
        "rawtcp": False,
        "websocket": True,
        "tcp_hosts": [],
        "udp_hosts": [],
        "allow_hosts": [],
        "ignore_hosts": [],
        "validate_inbound_headers": True,
        # Certificates are verified, and no key of the proxy's own is offered.
        "ssl_insecure": False,
        "client_certs": None,
        "request_client_cert": False,
        "certs": [],
        # Bodies stream, and nothing is kept or written.
        "store_streamed_bodies": False,
        "stream_large_bodies": None,
        "body_size_limit": None,
        "save_stream_file": None,
        "hardump": "",
        "proxy_debug": False,
        # Silence while a request is under way: an answer may be thought about for long. The rest of waiting is SEKS's.
        "tcp_timeout": 3600,
        # Nobody else changes, answers, holds or replays a request.
        "onboarding": False,
        "proxyauth": None,
        "upstream_auth": None,
        "stickyauth": None,
        "stickycookie": None,
        "intercept": None,
        "map_local": [],
        "map_remote": [],
        "modify_body": [],
        "modify_headers": [],
        "block_list": [],
        "client_replay": [],
        "server_replay": [],
        "rfile": None,
    }
)

#: mitmproxy's add-ons whose work SEKS does itself.
REPLACED: Final = ("nextlayer", "tlsconfig")

_PREFIX: Final = "seks_"
_REQUIRE: Final = ("auto", "yes", "no")


def declare(loader: Any) -> None:
    """Add the options of `seks-proxy run` to a stock mitmproxy, each with `seks_` before its name."""
    loader.add_option("seks_home", str, "", "SEKS's home directory; default $SEKS_HOME or ~/.seks.")
    loader.add_option(
        "seks_require_agent_auth",
        str,
        "auto",
        "Refuse agents that don't say who they are; auto: unless mitmproxy listens on loopback only.",
        choices=_REQUIRE,
    )
    for name in SCALARS:
        loader.add_option(_PREFIX + name, str, "", f"As --{name.replace('_', '-')} of `seks-proxy run`.")
    for name in FLAGS:
        loader.add_option(_PREFIX + name, bool, False, f"As --{name.replace('_', '-')} of `seks-proxy run`.")
    for name in LISTS:
        loader.add_option(_PREFIX + name, Sequence[str], [], f"As --{name.replace('_', '-')} of `seks-proxy run`.")
    for name in NUMBERS:
        loader.add_option(_PREFIX + name, int | None, None, f"As --{name.replace('_', '-')} of `seks-proxy run`.")


def take_given(options: optmanager.OptManager) -> None:
    """Set what was given on the command line before the options were declared; raises `OptionsError`."""
    try:
        options.process_deferred()
    except exceptions.OptionsError as error:
        raise exceptions.OptionsError(f"seks: {error}") from None
    for name in options.deferred:
        if name.startswith(_PREFIX):
            raise exceptions.OptionsError(f"seks: there is no option {name!r}")


def read_settings(options: optmanager.OptManager, *, loopback_only: bool) -> Settings:
    """Read what `declare` declared, over `config.toml`; raises `SeksError`."""
    home = Home.find(options.seks_home)
    home.check()
    config = load_config(home)
    names = ("require_agent_auth", *SCALARS, *FLAGS, *LISTS, *NUMBERS)
    values = {name: config[name] for name in names if name in config}
    for name in (*SCALARS, *FLAGS, *LISTS):
        if given := getattr(options, _PREFIX + name):
            values[name] = list(given) if name in LISTS else given
    for name in NUMBERS:
        if (number := getattr(options, _PREFIX + name)) is not None:
            values[name] = number
    if options.seks_require_agent_auth not in _REQUIRE:
        # mitmproxy prints the choices and takes anything.
        raise ConfigError(f"seks_require_agent_auth is none of {', '.join(_REQUIRE)}")
    if options.seks_require_agent_auth != "auto":
        values["require_agent_auth"] = options.seks_require_agent_auth == "yes"
    values.setdefault("require_agent_auth", not loopback_only)
    return Settings.parse(home, **values)


def fix(options: optmanager.OptManager) -> None:
    """Set the fixed options; raises `OptionsError` for one that was set to something else by hand."""
    for name, value in FIXED.items():
        if name in options and getattr(options, name) != value:
            if options.has_changed(name):
                raise exceptions.OptionsError(_complaint(name))
            options.update(**{name: value})


def check(options: optmanager.OptManager, updated: Iterable[str]) -> None:
    """Raise `OptionsError` where one of the `updated` options is fixed and has another value."""
    for name in updated:
        if name in FIXED and getattr(options, name) != FIXED[name] and options.has_changed(name):
            raise exceptions.OptionsError(_complaint(name))


def as_options_error(error: SeksError) -> exceptions.OptionsError:
    """Say it in the way that mitmproxy prints."""
    return exceptions.OptionsError(f"seks: {error.message}" + (f" ({error.hint})" if error.hint else ""))


def _complaint(name: str) -> str:
    return f"seks: the option {name!r} is fixed while SEKS runs; leave it at its default"
