"""Names that resolve to what a test says. A process finds this file where `PYTHONPATH` names its folder.

The JSON file that `SEKS_TEST_NAMES` names maps a name to its answers, each a list of addresses: one answer a lookup,
the last one from then on; a number among them is how many seconds the lookup takes.
Addresses and `localhost` are looked up as ever; no other name exists.
"""

import ipaddress
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

NAMES: dict[str, list[list[str | float]]] = json.loads(Path(os.environ["SEKS_TEST_NAMES"]).read_text("utf-8"))

system_getaddrinfo = socket.getaddrinfo


def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
    """As the one of `socket`."""
    if host is None or host == "localhost" or is_address(host):
        return system_getaddrinfo(host, port, *args, **kwargs)
    answers = NAMES.get(host)
    if answers is None:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")
    addresses = answers.pop(0) if len(answers) > 1 else answers[0]
    time.sleep(sum(seconds for seconds in addresses if not isinstance(seconds, str)))
    known = [address for address in addresses if isinstance(address, str)]
    return [answer for address in known for answer in system_getaddrinfo(address, port, *args, **kwargs)]


def is_address(host: Any) -> bool:
    """Tell whether there is nothing to look up."""
    try:
        ipaddress.ip_address(host.decode() if isinstance(host, bytes) else host)
    except ValueError:
        return False
    return True


socket.getaddrinfo = getaddrinfo
