"""What is done to the vault while a proxy serves from it."""

import contextlib
import socket
import sqlite3
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import trustme

from seks_addon.errors import MasterKeyError
from seks_addon.secret import Secret
from seks_addon.vault import Vault
from seks_addon.vault.backup import backup, restore
from seks_addon.vault.check import check
from seks_addon.vault.keysource import KeyFile, Passphrase
from seks_addon.vault.rotation import reencrypt, rekey
from tests.e2e.conftest import bound_site
from tests.support.bench import HOST, refusal
from tests.support.proxy import Proxy
from tests.support.raw import bearer
from tests.support.site import Site
from tests.support.upstream import Upstream

PASSPHRASE = "four obviously fake words"


def silent(_done: int, _total: int) -> None:
    """No progress is shown."""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return bound_site(tmp_path / "home")


@pytest.fixture
def proxy(site: Site, reach: list[str]) -> Iterator[Proxy]:
    """Two workers on the site."""
    with Proxy(site, *reach, "--workers", "2") as running:
        yield running


def codes(proxy: Proxy, token: str) -> set[str | None]:
    """Why requests are refused, if they are, over connections enough to meet both workers."""
    return {code(proxy, token) for _ in range(8)}


def code(proxy: Proxy, token: str) -> str | None:
    with proxy.wire() as wire:
        tunnel = wire.connect(f"{HOST}:443")
        if tunnel.status != 200:
            return tunnel.code
        wire.start_tls(proxy.site.home.ca_cert, HOST)
        return wire.request("GET", "/v1/models", bearer(token), host=HOST).code


def test_rekey(site: Site, proxy: Proxy, hosts: Upstream) -> None:
    """A new master key in the same place is taken up by the next request."""
    token = site.token("openai")
    assert codes(proxy, token) == {None}
    with site.vault() as vault:
        rekey(vault, KeyFile(site.home.master_key, replaces=True))

    assert codes(proxy, token) == {None}


def test_reencrypt(site: Site, proxy: Proxy, hosts: Upstream) -> None:
    """New data keys, lookups and rows are taken up by the next request."""
    token = site.token("openai")
    assert codes(proxy, token) == {None}
    with site.vault() as vault:
        reencrypt(vault, silent)

    assert codes(proxy, token) == {None}


def test_new_keys_under_traffic(site: Site, proxy: Proxy, hosts: Upstream) -> None:
    """A request that meets the very moment of a change is served as any other, and the vault is whole after."""
    token = site.token("openai")
    seen: list[str | None] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            seen.append(code(proxy, token))

    with ThreadPoolExecutor(3) as pool:
        askers = [pool.submit(ask) for _ in range(3)]
        with site.vault() as vault:
            for _ in range(12):
                rekey(vault, KeyFile(site.home.master_key, replaces=True))
                reencrypt(vault, silent)
        done.set()
        for asker in askers:
            asker.result()

    assert set(seen) == {None}
    assert codes(proxy, token) == {None}
    with site.vault() as vault:
        assert check(vault, silent) == []


def test_rekey_to_a_passphrase(site: Site, proxy: Proxy) -> None:
    """A proxy that would have to ask for the new key refuses, and says that the vault is locked."""
    token = site.token("openai")
    with site.vault() as vault:
        rekey(vault, Passphrase.new(lambda _new: Secret(PASSPHRASE)))

    assert codes(proxy, token) == {"vault_locked"}


def test_restore(site: Site, proxy: Proxy, tmp_path: Path) -> None:
    """A vault that is put back, knowing that it is older, serves from the next request on."""
    token = site.token("openai")
    with site.vault() as vault:
        backup(vault, tmp_path / "copy", silent)
    site.revoke(token)
    assert codes(proxy, token) == {"token_revoked"}

    restore(site.home, tmp_path / "copy", ask=None, accept_older=True, progress=silent)

    assert codes(proxy, token) == {None}


def test_restore_of_a_damaged_vault(site: Site, proxy: Proxy, tmp_path: Path) -> None:
    """The workers go over to the file that takes its place: what is revoked there is revoked for them."""
    token = site.token("openai")
    with site.vault() as vault:
        backup(vault, tmp_path / "copy", silent)
    assert codes(proxy, token) == {None}
    site.home.vault.write_bytes(b"this is no database, " * 500)

    restore(site.home, tmp_path / "copy", ask=None, accept_older=False, progress=silent)

    assert codes(proxy, token) == {None}
    site.revoke(token)
    assert codes(proxy, token) == {"token_revoked"}


def test_an_older_vault_put_back_by_hand(site: Site, proxy: Proxy, tmp_path: Path) -> None:
    """It isn't served from: what was revoked since would be valid again."""
    token = site.token("openai")
    with site.vault() as vault:
        backup(vault, tmp_path / "copy", silent)
    site.revoke(token)

    with site.vault() as vault, contextlib.closing(sqlite3.connect(tmp_path / "copy")) as older:
        older.backup(vault.connection)

    assert codes(proxy, token) == {"vault_locked"}


def test_unlocked_by_a_file(site: Site, reach: list[str], tmp_path: Path, hosts: Upstream) -> None:
    """A vault with a passphrase is unlocked unattended, once for all workers."""
    token = site.token("openai")
    with site.vault() as vault:
        rekey(vault, Passphrase.new(lambda _new: Secret(PASSPHRASE)))
    secret = tmp_path / "passphrase"
    secret.touch(0o600)
    secret.touch(0o600)
    secret.write_text(f"{PASSPHRASE}\n")
    environment = {"SEKS_PASSPHRASE_FILE": str(secret)}

    with Proxy(site, *reach, "--workers", "2", env=environment) as proxy:
        assert codes(proxy, token) == {None}

    with pytest.raises(MasterKeyError, match="passphrase"):
        Vault.open(site.home)


def test_revoked_while_the_connection_opens(folder: Path, tmp_path: Path) -> None:
    """A token that ends before its request leaves is not swapped any more, however long the host was waited for."""
    site, authority = Site(folder / "waits"), trustme.CA()
    site.secret("openai")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        reach = ["--connect-to", f"{HOST}:443:127.0.0.1:{listener.getsockname()[1]}"]
        with Proxy(site, *reach, "--upstream-ca", str(tmp_path / "ca.pem")) as proxy, proxy.tunnel(HOST) as wire:
            token = site.token("openai")
            wire.send_head("GET", "/v1/models", bearer(token), host=HOST)
            connection, _ = listener.accept()

            site.revoke(token)
            with context.wrap_socket(connection, server_side=True) as host:
                refusal(wire.answer(), "token_revoked")
                wire.close()
                assert host.recv(1) == b""
    intent, outcome = site.records()
    assert (intent["event"], outcome["event"]) == ("intent", "outcome")
    assert (outcome["outcome"], outcome["reason"]) == ("failed", "token_revoked")
