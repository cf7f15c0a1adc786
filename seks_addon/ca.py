"""The sandbox's certificate authority: made once, trusted by agents, used for nothing but intercepting them."""

import contextlib
import datetime
import re
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import certifi
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import NameOID

from seks_addon.errors import HomeError
from seks_addon.home import PUBLIC_FILE, Home, require_private, write_new, write_over

#: How long the CA is valid. Sandboxes are rebuilt more often; a leaf lives for a year at the most.
LIFETIME: Final = datetime.timedelta(days=3650)

_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----\s.+?\s-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Authority:
    """The CA's certificate and key."""

    certificate: x509.Certificate
    key: PrivateKeyTypes

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, in the usual form with colons."""
        return self.certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def create(home: Home) -> None:
    """Make a CA with its files, and the bundle; the CA must not exist.

    P-256, which every TLS client of the last decade knows and which signs far quicker than RSA. The extensions
    are those that strict verifiers ask for (RFC 5280 section 4.2.1; Python's `VERIFY_X509_STRICT`).
    """
    key = ec.generate_private_key(ec.SECP256R1())
    public = _self_signed(key).public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_new(home.ca, private + public)
    write_over(home.ca_cert, public, PUBLIC_FILE)
    write_bundle(home)


def _self_signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "SEKS"),
            # Two CAs of one name and different keys confuse trust stores.
            x509.NameAttribute(NameOID.COMMON_NAME, f"SEKS sandbox CA {x509.random_serial_number():x}"[:32]),
        ]
    )
    now = datetime.datetime.now(datetime.UTC)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # Sandboxes' clocks are sometimes behind.
        .not_valid_before(now - datetime.timedelta(days=2))
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=False,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=True,
                crl_sign=True,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(key, hashes.SHA256())
    )


def load(home: Home) -> Authority:
    """Read the CA; raises `HomeError`."""
    hint = "put back your copy of the folder `ca`"
    if not home.ca.exists():
        raise HomeError(f"the CA {home.ca} is missing", hint=hint)
    require_private(home.ca)
    try:
        pem = home.ca.read_bytes()
        return Authority(x509.load_pem_x509_certificate(pem), serialization.load_pem_private_key(pem, password=None))
    except OSError as error:
        raise HomeError(f"can't read {home.ca}: {error.strerror}") from None
    except (ValueError, TypeError):
        raise HomeError(f"{home.ca} is no CA, or a damaged one", hint=hint) from None


def bundle(home: Home) -> bytes:
    """The public roots and the CA's certificate: for clients that replace their trust store by what they are given.

    The roots are certifi's, and those of the system besides: an operator's own are there.
    """
    parts = [Path(certifi.where()).read_bytes()]
    system = ssl.get_default_verify_paths().openssl_cafile
    if Path(system).is_file() and Path(system).resolve() != Path(certifi.where()).resolve():
        parts.append(Path(system).read_bytes())
    own = load(home).certificate.public_bytes(serialization.Encoding.DER)
    return as_pem([*(root for part in parts for root in certificates(part)), own])


def certificates(pem: bytes) -> list[bytes]:
    """The certificates in a file of trust anchors, as DER, unread: stores hold some that strict parsers complain of."""
    found = []
    for block in _PEM.findall(pem):
        with contextlib.suppress(ValueError):
            found.append(ssl.PEM_cert_to_DER_cert(block.decode("ascii")))
    return found


def as_pem(found: Iterable[bytes]) -> bytes:
    """Write certificates in DER form as one PEM file, each once."""
    return "".join(map(ssl.DER_cert_to_PEM_cert, dict.fromkeys(found))).encode()


def write_bundle(home: Home) -> None:
    """Make `bundle.pem` anew, in one step."""
    write_over(home.ca_bundle, bundle(home), PUBLIC_FILE)
