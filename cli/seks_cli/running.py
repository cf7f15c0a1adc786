"""Whether a proxy runs for a home, and where agents reach it."""

import socket
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from seks_addon.errors import ConfigError
from seks_addon.home import Home
from seks_addon.proxy.listen import DEFAULT, announcements, exists, parse_listen
from seks_addon.settings import load_config

#: How long a proxy may take to accept a connection, in seconds.
PATIENCE: Final = 2.0


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a proxy says of itself; it may have died since."""

    pid: int
    proxy_url: str
    content: dict[str, Any]

    @property
    def alive(self) -> bool:
        """Tell whether its process exists and its port accepts connections."""
        return exists(self.pid) and accepts(self.proxy_url)


def running(home: Home) -> Announcement | None:
    """The proxy that runs for `home`, of several the one that was started last, or None."""
    for _, content in announcements(home):
        try:
            proxy = Announcement(int(content["pid"]), str(content["proxy_url"]), content)
        except (ValueError, KeyError, TypeError):
            continue
        if proxy.alive:
            return proxy
    return None


def proxy_url(home: Home) -> str:
    """Where agents reach the proxy: the running one, else where one would listen; raises `ConfigError`."""
    if proxy := running(home):
        return proxy.proxy_url
    host, port = parse_listen(str(load_config(home).get("listen", DEFAULT)))
    if port == 0:
        raise ConfigError(
            "no proxy is running, and it takes another port every time", hint="run `seks-proxy run`, or give --proxy"
        )
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - where it would be reached from here
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def accepts(url: str) -> bool:
    """Tell whether the port of a proxy URL accepts connections."""
    try:
        parts = urlsplit(url)
        with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=PATIENCE):
            return True
    except (OSError, ValueError):
        return False
