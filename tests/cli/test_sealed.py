"""`seks vault seal-key`, `seal` and `add --sealed`: secrets that somebody hands over unseen."""

from pathlib import Path

import pytest

from seks_addon.secret import Secret
from tests.cli.conftest import Seks, acts, assert_refused, value
from tests.samples import KEY, OTHER_KEY, TOKEN


@pytest.fixture
def sealed(ready: Seks, tmp_path: Path) -> Path:
    """A file with a sealed value."""
    key = ready("vault", "seal-key").last
    path = tmp_path / "sealed.txt"
    path.write_text(ready("vault", "seal", key, "--stdin", stdin=KEY).out)
    return path


def test_add_and_rotate_what_was_sealed(ready: Seks, sealed: Path, tmp_path: Path) -> None:
    """From somebody who has the public key only; the value is in no output."""
    assert ready("vault", "seal-key", "--json").json == {"seal_key": ready("vault", "seal-key").last}
    assert KEY not in sealed.read_text()

    added = ready("vault", "add", "openai", "--sealed", str(sealed))
    assert (added.code, value(ready)) == (0, KEY)
    sealed.write_text(ready("vault", "seal", ready("vault", "seal-key").last, "--stdin", stdin=OTHER_KEY).out)
    rotated = ready("vault", "rotate", "openai", "--sealed", str(sealed))

    assert (rotated.code, value(ready)) == (0, OTHER_KEY)
    for result in (added, rotated):
        assert KEY not in result.out + result.err
        assert OTHER_KEY not in result.out + result.err
    assert acts(ready) == ["init", "vault.add", "vault.rotate"]


def test_sealing_needs_no_vault(ready: Seks, sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is done where the secret is."""
    key = ready("vault", "seal-key").last
    monkeypatch.setenv("SEKS_HOME", str(tmp_path / "none"))

    assert ready("vault", "seal", key, "--stdin", stdin=KEY).out.startswith("seks-sealed-v1:")
    assert ready("vault", "seal", key, "--stdin", "--json", stdin=KEY).json["sealed"].startswith("seks-sealed-v1:")

    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "no sealed value"),
        (KEY, "no sealed value"),
        ("seks-sealed-v1:AAAA", "another vault, or damaged"),
        ("x" * 200_000, "too long"),
        (None, "No such file"),
    ],
)
def test_what_is_not_sealed_for_this_vault(ready: Seks, tmp_path: Path, content: str | None, says: str) -> None:
    path = tmp_path / "sealed.txt"
    if content is not None:
        path.write_text(content)

    result = ready("vault", "add", "openai", "--sealed", str(path))

    assert_refused(result, says)
    assert KEY not in result.err
    assert ready("vault", "list", "--json").json == []


def test_sealed_for_another_vault_or_another_time(ready: Seks, sealed: Path) -> None:
    """After `reencrypt` it has to be sealed again."""
    ready("vault", "reencrypt")

    assert_refused(ready("vault", "add", "openai", "--sealed", str(sealed)), "seal-key")


def test_a_sealed_fake_token(ready: Seks, tmp_path: Path) -> None:
    """Sealed by SEKS it is refused, sealed by another program it isn't taken."""
    from seks_addon.vault.sealed import seal

    key = ready("vault", "seal-key").last
    assert_refused(ready("vault", "seal", key, "--stdin", stdin=TOKEN), "fake token")
    (tmp_path / "sealed.txt").write_text(seal(Secret(TOKEN), key))

    result = ready("vault", "add", "openai", "--sealed", str(tmp_path / "sealed.txt"))

    assert_refused(result, "fake token")
    assert TOKEN not in result.err


@pytest.mark.parametrize("key", ["", "x", KEY, "seks-seal-key-v1:AAAA:00000000"])
def test_seal_to_what_is_no_key(ready: Seks, key: str) -> None:
    result = ready("vault", "seal", key, "--stdin", stdin=OTHER_KEY)

    assert_refused(result, "public key")
    assert KEY not in result.err
    assert OTHER_KEY not in result.err


def test_sealed_and_another_place(ready: Seks, sealed: Path) -> None:
    assert_refused(ready("vault", "add", "openai", "--sealed", str(sealed), "--stdin", stdin=KEY), "one place only", 2)
