"""The socket that agents connect to, and how the proxy says where it is."""

import contextlib
import errno
import ipaddress
import json
import os
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from seks_addon.destination.host import parse_user_origin
from seks_addon.errors import ConfigError, InputError, ProxyError
from seks_addon.home import Home, write_over

DEFAULT: Final = "127.0.0.1:7357"
#: Connections that wait to be accepted; the kernel may allow fewer.
BACKLOG: Final = 1024


def parse_listen(text: str) -> tuple[str, int]:
    """Read HOST:PORT; port 0 takes a free one. Raises `ConfigError`."""
    host, colon, port = text.rpartition(":")
    try:
        if not colon or not port.isdigit() or int(port) > 65535:
            raise InputError("the port is missing")
        name = "localhost" if host == "localhost" else parse_user_origin(f"{host}:1").host
    except InputError:
        raise ConfigError(f"listen: {text!r} is not HOST:PORT", hint=f"for example {DEFAULT}") from None
    return name, int(port)


def bind(host: str, port: int) -> socket.socket:
    """Open the listening socket; raises `ProxyError`."""
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = answers[0]
        # With the protocol named, asyncio sets TCP_NODELAY on what is accepted; without, answers wait 40 ms.
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ProxyError(f"can't listen on {host}: {error.strerror}", hint="see --listen") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        where = with_port(host, port)
        if error.errno == errno.EADDRINUSE:
            raise ProxyError(
                f"{where} is in use", hint="end the other program, or choose another port with --listen (0: a free one)"
            ) from None
        raise ProxyError(f"can't listen on {where}: {error.strerror}", hint="see --listen") from None
    return listener


def announcement(home: Home, listener: socket.socket, *, workers: int, require_agent_auth: bool) -> dict[str, Any]:
    """What `--ready-file` says."""
    host, port = listener.getsockname()[:2]
    # Nobody can connect to `0.0.0.0` from elsewhere; from here, loopback is meant.
    reachable = host
    if ipaddress.ip_address(host).is_unspecified:
        reachable = "::1" if ":" in host else "127.0.0.1"
    return {
        "pid": os.getpid(),
        "listen": with_port(host, port),
        "proxy_url": f"http://{with_port(reachable, port)}",
        "ca_cert": str(home.ca_cert),
        "workers": workers,
        "require_agent_auth": require_agent_auth,
    }


def announced_at(home: Home) -> Path:
    """Where this process's announcement lies; a home may have more than one proxy."""
    return home.run / f"proxy-{os.getpid()}.json"


def announcements(home: Home) -> Iterator[tuple[Path, dict[str, Any]]]:
    """What proxies of a home say of themselves, the newest first; one that was killed says it still."""
    found = []
    for path in home.run.glob("proxy-*.json"):
        with contextlib.suppress(OSError, ValueError):
            content = json.loads(path.read_bytes())
            if isinstance(content, dict):
                found.append((path.stat().st_mtime_ns, path, content))
    for _, path, content in sorted(found, key=lambda one: one[0], reverse=True):
        yield path, content


def exists(pid: int) -> bool:
    """Tell whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return pid > 0


def forget_killed(home: Home) -> None:
    """Remove the announcements of processes that are no more."""
    for path, content in announcements(home):
        if isinstance(pid := content.get("pid"), int) and not exists(pid):
            path.unlink(missing_ok=True)


def announce(paths: Iterable[Path], content: dict[str, Any]) -> None:
    """Write the ready files, each in one step."""
    for path in paths:
        write_over(path, json.dumps(content).encode() + b"\n")


def withdraw(paths: Iterable[Path]) -> None:
    """Remove the ready files that are still this process's own."""
    for path in paths:
        try:
            if json.loads(path.read_bytes())["pid"] == os.getpid():
                path.unlink()
        except (OSError, ValueError, KeyError):
            continue


def with_port(host: str, port: int) -> str:
    """Write a host with its port as in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
