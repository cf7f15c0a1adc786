"""The sandbox's certificate authority."""

import base64
import datetime
import os
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from seks_addon import ca
from seks_addon.errors import HomeError
from seks_addon.home import Home
from tests.samples import HOST, new_home


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A home with a CA, made under the worst umask."""
    old = os.umask(0)
    made = new_home(tmp_path)
    ca.create(made)
    yield made
    os.umask(old)


def leaf(authority: ca.Authority) -> bytes:
    """A host's certificate as the proxy makes them, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    issuer = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert isinstance(authority.key, ec.EllipticCurvePrivateKey)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def certificates(path: Path) -> list[bytes]:
    """The certificates of a PEM file, unread: some public roots are older than the rules."""
    parts = path.read_bytes().split(b"-----BEGIN CERTIFICATE-----")[1:]
    return [base64.b64decode(part.partition(b"-----END")[0]) for part in parts]


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    """Run a TLS handshake in memory; raises what the client finds wrong."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(down, up, server_hostname=HOST),
        server.wrap_bio(up, down, server_side=True),
    ]
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue


def test_files(home: Home) -> None:
    """The key is its owner's alone, the certificate and the bundle are anybody's."""
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in home.ca.parent.iterdir()}

    assert modes == {"seks-ca.pem": 0o600, "seks-ca-cert.pem": 0o644, "bundle.pem": 0o644}
    assert b"PRIVATE KEY" in home.ca.read_bytes()
    assert b"PRIVATE KEY" not in home.ca_cert.read_bytes() + home.ca_bundle.read_bytes()


def test_certificate(home: Home) -> None:
    """It is a CA, for leaves only, and says so in a way that no verifier may overlook."""
    certificate = ca.load(home).certificate

    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert constraints.critical
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)
    assert usage.critical
    assert usage.value.key_cert_sign
    assert not usage.value.digital_signature
    assert certificate.not_valid_before_utc < datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    assert certificate.not_valid_after_utc > datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=3000)


def test_load(home: Home) -> None:
    """What is read is a certificate with its key, and the public file is that certificate."""
    authority = ca.load(home)

    assert authority.key.public_key() == authority.certificate.public_key()
    assert x509.load_pem_x509_certificate(home.ca_cert.read_bytes()) == authority.certificate
    assert authority.fingerprint.replace(":", "").lower() == authority.certificate.fingerprint(hashes.SHA256()).hex()


def test_strict_clients_trust_it(home: Home, tmp_path: Path) -> None:
    """A client with the bundle alone accepts a leaf, with every check that Python's verifier has."""
    pem = tmp_path / "leaf.pem"
    pem.write_bytes(leaf(ca.load(home)))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    client = ssl.create_default_context(cafile=home.ca_bundle)
    client.verify_flags |= ssl.VERIFY_X509_STRICT

    shake_hands(server, client)

    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(server, ssl.create_default_context(cafile=certifi.where()))


def test_bundle_holds_the_roots(home: Home) -> None:
    """The bundle replaces a trust store: every public root is in it, and the CA, each once."""
    bundle = certificates(home.ca_bundle)

    assert set(certificates(Path(certifi.where()))) < set(bundle)
    assert bundle.count(certificates(home.ca_cert)[0]) == 1
    assert len(set(bundle)) == len(bundle)


def test_bundle_holds_the_operator_s_roots(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A root that the system has and certifi hasn't is in it, whatever the comments beside it."""
    (tmp_path / "other").mkdir()
    other = new_home(tmp_path / "other")
    ca.create(other)
    system = tmp_path / "system.pem"
    system.write_bytes(b"# caf\xe9\n" + other.ca_cert.read_bytes())
    paths = ssl.get_default_verify_paths()._replace(openssl_cafile=str(system))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)

    ca.write_bundle(home)

    assert {*certificates(other.ca_cert), *certificates(home.ca_cert)} < set(certificates(home.ca_bundle))


def test_two_are_told_apart(home: Home, tmp_path: Path) -> None:
    """Two homes' CAs differ in name and key."""
    (tmp_path / "second").mkdir()
    second = new_home(tmp_path / "second")
    ca.create(second)

    one, other = ca.load(home).certificate, ca.load(second).certificate
    assert one.subject != other.subject
    assert one.public_key() != other.public_key()


def test_create_replaces_nothing(home: Home) -> None:
    """A CA that exists stays."""
    before = home.ca.read_bytes()

    with pytest.raises(HomeError, match="exists already"):
        ca.create(home)

    assert home.ca.read_bytes() == before


def test_missing(home: Home) -> None:
    """Without the file, the error says what to do."""
    home.ca.unlink()

    with pytest.raises(HomeError, match="is missing") as caught:
        ca.load(home)

    assert "copy" in (caught.value.hint or "")


def test_open_to_others(home: Home) -> None:
    """A key that others can read isn't used."""
    home.ca.chmod(0o644)

    with pytest.raises(HomeError, match="other users"):
        ca.load(home)


@pytest.mark.parametrize("part", ["nothing", "key", "certificate", "half", "garbage"])
def test_damaged(home: Home, part: str) -> None:
    """A file that isn't a CA says so, and quotes nothing of itself."""
    whole = home.ca.read_bytes()
    key, mark, certificate = whole.partition(b"-----BEGIN CERTIFICATE")
    content = {
        "nothing": b"",
        "key": key,
        "certificate": mark + certificate,
        "half": whole[:-100],
        "garbage": os.urandom(500),
    }[part]
    home.ca.write_bytes(content)

    with pytest.raises(HomeError, match="no CA, or a damaged one") as caught:
        ca.load(home)

    assert "BEGIN" not in str(caught.value)
