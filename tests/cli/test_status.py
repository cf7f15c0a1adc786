"""`seks status`."""

import json
import os
from collections.abc import Callable

from seks_addon.home import Home
from tests.cli.conftest import Seks
from tests.samples import KEY


def _announce(home: Home, pid: int, port: int) -> None:
    (home.run / "proxy-1.json").write_text(
        json.dumps({"pid": pid, "listen": f"127.0.0.1:{port}", "proxy_url": f"http://127.0.0.1:{port}"})
    )


def test_counts_and_places(ready: Seks, home: Home, add: Callable[..., str]) -> None:
    add("openai", KEY)
    ready("token", "revoke", add("groq", KEY))

    status = ready("status", "--json").json

    assert status["home"] == str(home.root)
    assert status["initialised"] is True
    assert status["key_source"] == "keyfile"
    assert (status["clients"], status["agents"], status["secrets"]) == (1, 1, 2)
    assert status["tokens"] == {"live": 1, "expired": 0, "revoked": 1}
    assert status["audit_records"] == 4
    assert status["proxy"] == {"running": False}


def test_a_proxy_runs_while_its_process_lives_and_its_port_accepts(ready: Seks, home: Home, port: int) -> None:
    _announce(home, os.getpid(), port)

    result = ready("status", "--json")

    assert result.json["proxy"]["running"] is True
    assert result.json["proxy"]["proxy_url"] == f"http://127.0.0.1:{port}"
    assert "running at" in ready("status").out


def test_what_a_dead_proxy_left_counts_for_nothing(ready: Seks, home: Home, port: int) -> None:
    """A process id above the kernel's limit is nobody's; a port may be somebody else's by now."""
    _announce(home, 2**30, port)

    assert ready("status", "--json").json["proxy"] == {"running": False}

    (home.run / "proxy-1.json").write_text("{")

    assert ready("status", "--json").json["proxy"] == {"running": False}
