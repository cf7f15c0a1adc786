"""The certificates that agents are shown."""

from pathlib import Path

import pytest
from cryptography import x509

from seks_addon import ca
from seks_addon.addon import leaves
from seks_addon.addon.leaves import BURST, INTERVAL, Leaves
from seks_addon.home import Home
from seks_addon.refusal import Refused


@pytest.fixture
def authority(tmp_path: Path) -> ca.Authority:
    """A CA."""
    home = Home(tmp_path / "home")
    home.create()
    ca.create(home)
    return ca.load(home)


def test_names(authority: ca.Authority) -> None:
    """A certificate is for its name, or its address, and from the CA."""
    signed = Leaves(authority)

    for name, general in (("a.example.com", x509.DNSName), ("192.0.2.1", x509.IPAddress)):
        leaf = signed.get(name, "one")
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value

        assert [str(value) for value in names.get_values_for_type(general)] == [name]
        leaf.verify_directly_issued_by(authority.certificate)
        assert signed.get(name, "two") is leaf


def test_new_names_of_an_agent(authority: ca.Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent may ask for so many new names at once, and then for one each time the next is due."""
    now = 10**12
    monkeypatch.setattr(leaves.time, "monotonic_ns", lambda: now)
    signed = Leaves(authority)
    for number in range(BURST):
        signed.get(f"n{number}.example.com", "one")

    with pytest.raises(Refused) as caught:
        signed.get("new.example.com", "one")
    assert (caught.value.code, caught.value.retry_after) == ("overloaded", 1)
    signed.get("n0.example.com", "one")
    signed.get("new.example.com", "two")
    now += INTERVAL
    signed.get("next.example.com", "one")
    with pytest.raises(Refused):
        signed.get("last.example.com", "one")


def test_kept(authority: ca.Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more are kept than that; those that were asked for last."""
    monkeypatch.setattr(leaves, "KEPT", 2)
    signed = Leaves(authority)
    first, second = signed.get("a.example.com", "one"), signed.get("b.example.com", "one")

    assert signed.get("a.example.com", "one") is first
    signed.get("c.example.com", "one")

    assert signed.get("a.example.com", "one") is first
    assert signed.get("b.example.com", "one") is not second
