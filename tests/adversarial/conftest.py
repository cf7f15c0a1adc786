"""Each front, and the hosts behind it: the good, the attacker's, and the bad."""

import datetime
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from seks_addon.audit import AuditLog
from seks_addon.policy import Policy
from seks_addon.timing import now
from seks_addon.tokens import new_token
from tests.adversarial.harness import CANARY, Arena
from tests.adversarial.names import ALLOWED, MOVING, NAMES
from tests.e2e.conftest import ExpiredCA
from tests.support.bench import HOST
from tests.support.faulty import VARIABLE
from tests.support.mitmdump import Mitmdump
from tests.support.proxy import ROOT, Proxy
from tests.support.raw import basic
from tests.support.site import Site
from tests.support.upstream import Upstream

#: Names that the attacker can have, with a good certificate for each.
ATTACKERS = (
    "evil.example.com",
    "evilapi.openai.com",
    "api.openai.com.evil.example.com",
    "api-openai.com",
    "openai.com",
    "www.api.openai.com",
)
BAD = ("expired", "self-signed", "unknown-ca", "wrong-name", "name-in-cn", "wildcard-too-wide")
#: It is the same add-on in both: `make test` asks the one, `make slow` the other.
EACH_FRONT = [pytest.param("seks-proxy"), pytest.param("mitmdump", marks=pytest.mark.slow)]
#: What each front is told so that it says all that it can.
TALKATIVE: Mapping[str, list[str]] = {
    "seks-proxy": ["--log-level", "debug"],
    "http2": ["--log-level", "debug", "--http2"],
    "mitmdump": ["--set", "flow_detail=4", "--set", "termlog_verbosity=debug"],
}


class OwnCA(trustme.CA):
    """Issues certificates in ways that none should be: signed by themselves, or with the name in its subject only."""

    def __init__(self, *, self_signed: bool = False) -> None:
        super().__init__()
        self._self_signed = self_signed

    def issue_cert(self, *identities: str, **_: object) -> trustme.LeafCert:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, identities[0])])
        authority = x509.load_pem_x509_certificate(self.cert_pem.bytes())
        today = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if self._self_signed else authority.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(today - timedelta(days=1))
            .not_valid_after(today + timedelta(days=1))
        )
        if self._self_signed:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(identities[0])]), critical=False)
        signer = key if self._self_signed else self._private_key
        certificate = builder.sign(signer, hashes.SHA256())  # type: ignore[arg-type]
        key_pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return trustme.LeafCert(key_pem, certificate.public_bytes(serialization.Encoding.PEM), [])


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all files are."""
    return tmp_path_factory.mktemp("adversarial")


@pytest.fixture(scope="session")
def hosts(ground: Path) -> Iterator[dict[str, Upstream]]:
    """All hosts there are, by what they are to a case."""
    ca = trustme.CA()
    expired, in_cn = ExpiredCA(), OwnCA()
    for name, authority in (("good", ca), ("expired", expired), ("in-cn", in_cn)):
        authority.cert_pem.write_to_path(str(ground / f"{name}.pem"))
    name = "{}.bad.example.com".format
    with ExitStack() as stack:
        yield {
            label: stack.enter_context(host)
            for label, host in {
                "bound": Upstream(HOST, "github.com", ca=ca),
                "canary": Upstream(CANARY, ca=ca),
                "attacker": Upstream(*ATTACKERS, ca=ca),
                "plain": Upstream(tls=False),
                "moving": Upstream(*MOVING, ca=ca, address=ALLOWED),
                "expired": Upstream(name("expired"), ca=expired),
                "self-signed": Upstream(name("self-signed"), ca=OwnCA(self_signed=True)),
                "unknown-ca": Upstream(name("unknown-ca")),
                "wrong-name": Upstream(name("wrong-name"), ca=ca, cert_hosts=[HOST]),
                "name-in-cn": Upstream(name("name-in-cn"), ca=in_cn),
                "wildcard-too-wide": Upstream(name("wildcard-too-wide"), ca=ca, cert_hosts=["*.example.com", "*.com"]),
            }.items()
        }


@pytest.fixture(scope="session")
def names(ground: Path) -> Path:
    """What each name resolves to: see `tests.support.resolver`."""
    path = ground / "names.json"
    path.write_text(json.dumps(NAMES))
    return path


@pytest.fixture(scope="session")
def options(ground: Path, hosts: dict[str, Upstream]) -> list[str]:
    """What a proxy must be told to reach the hosts."""
    reached = [word for host in hosts.values() if host.address != ALLOWED for word in host.connect_to()]
    reached += ["--connect-to", f"evil.example.com:80:127.0.0.1:{hosts['plain'].port}"]
    reached += ["--connect-to", f"{HOST}:80:127.0.0.1:{hosts['plain'].port}"]
    reached += ["--connect-to", f"{HOST}:8443:127.0.0.1:{hosts['attacker'].port}"]
    trusted = [word for name in ("good", "expired", "in-cn") for word in ("--upstream-ca", str(ground / f"{name}.pem"))]
    return [*reached, *trusted, "--allow-private", f"{ALLOWED}/32", "--deny-host", "**.denied.example.com"]


def new_arena(
    front: str,
    root: Path,
    hosts: dict[str, Upstream],
    options: list[str],
    names: Path,
    *,
    faults: Path | None = None,
) -> Arena:
    """A home with all that cases need, and the front that isn't started yet; it may be one that has faults."""
    site, words = furnished(root, hosts)
    environment = {"PYTHONPATH": str(ROOT / "tests/support/resolver"), "SEKS_TEST_NAMES": str(names)}
    module = None
    if faults is not None:
        environment[VARIABLE], module = str(faults), "tests.support.faulty"
    if front == "mitmdump":
        proxy: Proxy = Mitmdump(site, *options, more=TALKATIVE[front], module=module, env=environment)
    else:
        proxy = Proxy(site, *options, *TALKATIVE[front], module=module or "seks_cli.proxy", env=environment)
    user = site.agent("canary")
    canary = user, site.token("anthropic", agent="canary")
    return Arena(proxy, hosts, words, canary, prints_flows=front == "mitmdump")


def furnished(root: Path, hosts: dict[str, Upstream]) -> tuple[Site, dict[str, str]]:
    """A home, and the words that stand for what is in it."""
    site = Site(root)
    yesterday, foreigner = now() - timedelta(days=1), "foreigner"
    for name in ("openai", "anthropic", "github"):
        site.secret(name)
    site.secret("bad", *((f"{name}.bad.example.com", "bearer") for name in BAD))
    site.secret("moving", *((f"{name}:{hosts['moving'].port}", "bearer") for name in MOVING))
    site.secret("strict", (HOST, "bearer"), policy=Policy(methods=("GET",), path_prefixes=("/v1/models",)))
    site.secret("keyed", (HOST, "header:X-Key: {}"))
    site.secret("in-form", ("github.com", "form:client_secret"))
    site.secret("late", (HOST, "bearer"), expires=yesterday)
    site.agent("other")
    user = site.agent(foreigner, client=foreigner)
    site.secret("openai", (HOST, "bearer"), client=foreigner)
    tokens = {name: site.token(name) for name in ("github", "bad", "moving", "strict", "keyed", "late")}
    token, revoked = site.token("openai"), site.token("openai")
    site.revoke(revoked)
    words = {
        **tokens,
        "token": token,
        "second": site.token("openai"),
        "narrow": site.token("openai", policy=Policy(methods=("GET",), path_prefixes=("/v1/models",))),
        "other": site.token("openai", agent="other"),
        "foreign": site.token("openai", agent=foreigner, client=foreigner),
        "foreigner": basic(user),
        "anthropic": site.token("anthropic"),
        "expired": site.token("openai", expires=yesterday),
        "revoked": revoked,
        "invented": new_token("openai"),
        "upper": token.upper(),
        "title": token.capitalize(),
        "cut": token[:-1],
        "changed": token[:-1] + ("0" if token[-1] != "0" else "1"),
        "percent": "".join(f"%{byte:02x}" for byte in token.encode()),
        "some percent": token.replace("_", "%5f"),
        "twice percent": token.replace("_", "%255f"),
        "basic": basic(f"user:{token}").removeprefix("Basic "),
        "basic github": basic(f"x-access-token:{tokens['github']}").removeprefix("Basic "),
        "base64": basic(token).removeprefix("Basic "),
        "size": f"{len(token):x}",
        "hex": token.encode().hex(),
        "head": token[:20],
        "tail": token[20:],
        "lower": token.lower(),
        "moving port": str(hosts["moving"].port),
        "attacker port": str(hosts["attacker"].port),
        "bound port": str(hosts["bound"].port),
    }
    return site, words


@pytest.fixture(scope="session", params=EACH_FRONT)
def arena(
    request: pytest.FixtureRequest, ground: Path, hosts: dict[str, Upstream], options: list[str], names: Path
) -> Iterator[Arena]:
    """A proxy that serves one case after the other."""
    arena = new_arena(request.param, ground / request.param, hosts, options, names)
    with arena.proxy:
        arena.words["proxy port"] = str(arena.proxy.port)
        yield arena
    with AuditLog(arena.site.home.audit) as log:
        assert log.verify().intact
