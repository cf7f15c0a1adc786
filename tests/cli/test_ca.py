"""`seks ca`: handing the CA to others."""

import ssl
from pathlib import Path

import pytest

from seks_addon import ca
from seks_addon.home import Home
from tests.cli.conftest import Seks


def test_path(ready: Seks, home: Home) -> None:
    assert ready("ca", "path").out == f"{home.ca_cert}\n"
    assert ready("ca", "path", "--json").json == {"path": str(home.ca_cert)}


def test_show(ready: Seks, home: Home) -> None:
    shown = ready("ca", "show", "--json").json

    assert shown["sha256"] == ca.load(home).fingerprint
    assert "SEKS" in shown["subject"]
    assert shown["not_before"] < shown["not_after"]
    assert shown["sha256"] in ready("ca", "show").out


def test_the_homes_bundle_is_made_anew(ready: Seks, home: Home) -> None:
    home.ca_bundle.write_text("old")

    result = ready("ca", "bundle")

    assert result.out == f"{home.ca_bundle}\n"
    assert home.ca_cert.read_text().strip() in home.ca_bundle.read_text()


def test_a_bundle_elsewhere(ready: Seks, tmp_path: Path) -> None:
    """It holds public roots and the CA, and is what OpenSSL reads."""
    target = tmp_path / "bundle.pem"

    result = ready("ca", "bundle", str(target))

    assert (result.code, result.out) == (0, "")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(target)
    assert len(context.get_ca_certs()) > 50
    assert "PRIVATE" not in target.read_text()


#: SEKS's own places in the home, in one spelling or another.
OWN = ["vault.db", "VAULT.DB-wal", "audit.db", "master.key", "key.toml", "config.toml", "vault.epoch", "ca/seks-ca.pem"]


@pytest.mark.parametrize("name", OWN)
def test_a_bundle_in_a_place_of_seks_s_own(ready: Seks, home: Home, tmp_path: Path, name: str) -> None:
    """Nothing there is replaced, by whatever way it is named; the bundle that lies there already may be."""
    before = {path: path.read_bytes() for path in home.root.rglob("*") if path.is_file()}
    (tmp_path / "link").symlink_to(home.root)

    for folder in (home.root, tmp_path / "link", home.run / ".."):
        result = ready("ca", "bundle", str(folder / name))

        assert result.code == 1
        assert "SEKS's own" in result.err
    assert {path: path.read_bytes() for path in home.root.rglob("*") if path.is_file()} == before
    assert ready("ca", "bundle", str(home.ca_bundle)).code == 0


def test_a_bundle_that_can_not_be_written(ready: Seks, tmp_path: Path) -> None:
    result = ready("ca", "bundle", str(tmp_path / "nowhere" / "bundle.pem"))

    assert result.code == 1
    assert "can't write" in result.err


def test_a_missing_ca(ready: Seks, home: Home) -> None:
    home.ca.unlink()

    result = ready("ca", "show")

    assert result.code == 1
    assert "seks: hint:" in result.err
