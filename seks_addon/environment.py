"""The environment that an agent works in: fake tokens, the proxy, the CA, and no real credential.

Which variable does what for which client was measured, one client and one variable at a time; the names stand
here in the order in which they are printed.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from urllib.parse import quote, urlsplit

from seks_addon.base64_core import base64_core
from seks_addon.errors import InputError

#: Who connects to the proxy by which: most read the first two, wget and gRPC only lower case, Ruby only `HTTP_`.
PROXY: Final = (
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
    "WSS_PROXY",
    "wss_proxy",
    "YARN_HTTPS_PROXY",
    "YARN_HTTP_PROXY",
)
NO_PROXY: Final = ("NO_PROXY", "no_proxy")
#: Without brackets and without IPv6 networks: httpx takes what follows their first colon for a port, and fails.
DIRECT: Final = "localhost,127.0.0.1,::1"

#: What these name replaces a client's trust store, so they name the public roots and the CA.
BUNDLE: Final = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "PIP_CERT",
    "CARGO_HTTP_CAINFO",
    "HTTPLIB2_CA_CERTS",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
    "PERL_LWP_SSL_CA_FILE",
    "COMPOSER_CAFILE",
    "NIX_SSL_CERT_FILE",
    "npm_config_cafile",
)
#: What these name is added to a client's trust store.
EXTRA_CA: Final = ("NODE_EXTRA_CA_CERTS", "DENO_CERT")
#: Redirected where they are set, and else left out: the first breaks rclone, the third yarn 2.
BUNDLE_IF_SET: Final = ("AWS_CA_BUNDLE", "CODEX_CA_CERTIFICATE", "YARN_HTTPS_CA_FILE_PATH", "HTTPS_CA_FILE")

#: Left out where the parent has it: some clients take it for the whole of their trust store. The bundle has the
#: system's roots.
REPLACED: Final = ("SSL_CERT_DIR",)

#: Node from 22 on, and Perl, look at the proxy variables only when they are told to. Older ones ignore it.
FLAGS: Final = MappingProxyType({"NODE_USE_ENV_PROXY": "1", "PERL_LWP_ENV_PROXY": "1"})

#: What no secret may claim.
RESERVED: Final = frozenset((*PROXY, *NO_PROXY, *BUNDLE, *EXTRA_CA, *BUNDLE_IF_SET, *FLAGS, "NODE_OPTIONS"))

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

#: A shorter credential is looked for as a variable's whole value only: as a part it may stand there by chance.
MIN_PART: Final = 8


@dataclass(frozen=True, slots=True)
class Held:
    """A live token in an agent's hands, and the variables that clients read its secret from."""

    secret: str
    variables: tuple[str, ...]
    token: str


@dataclass(frozen=True, slots=True)
class Clash:
    """A variable that two secrets claim; `winner` has it."""

    variable: str
    winner: str
    loser: str


def is_variable(name: str) -> bool:
    """Tell whether a shell can set a variable of that name."""
    return bool(_VARIABLE.fullmatch(name))


def settings(proxy_url: str, ca_cert: str, bundle: str) -> dict[str, str]:
    """What makes clients use the proxy and trust its CA; the two are paths of files."""
    return {
        **dict.fromkeys(PROXY, proxy_url),
        **dict.fromkeys(NO_PROXY, DIRECT),
        **dict.fromkeys(BUNDLE, bundle),
        **dict.fromkeys(EXTRA_CA, ca_cert),
        **FLAGS,
    }


def credentials(held: Iterable[Held]) -> tuple[dict[str, str], list[Clash]]:
    """Give every variable its token; of two secrets that claim one, the first by name has it."""
    owners: dict[str, Held] = {}
    clashes = []
    for one in sorted(held, key=lambda one: one.secret):
        for variable in one.variables:
            owner = owners.setdefault(variable, one)
            if owner.secret != one.secret:
                clashes.append(Clash(variable, owner.secret, one.secret))
    return {variable: owner.token for variable, owner in owners.items()}, clashes


def with_user(proxy_url: str, user: str, password: str) -> str:
    """Put an agent's name and password into a proxy URL, unless it names somebody; raises `InputError`."""
    parts = urlsplit(proxy_url if "://" in proxy_url else f"http://{proxy_url}")
    try:
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port
    except ValueError:
        usable = None
    if not usable or parts.path not in ("", "/") or parts.query or parts.fragment:
        # It isn't quoted: it may hold a password.
        raise InputError("that is no URL of a proxy", hint="write it as http://127.0.0.1:7357")
    if "@" in parts.netloc:
        return f"{parts.scheme}://{parts.netloc}"
    return f"{parts.scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{parts.netloc}"


def child(
    parent: Mapping[str, str],
    own: Mapping[str, str],
    *,
    bundle: str,
    withheld: Collection[str],
    real: Sequence[str],
    keep: Collection[str] = (),
) -> tuple[dict[str, str], list[str]]:
    """The environment of a command that an agent runs, and the names of the parent's variables that it lacks.

    It is the parent's with `own` over it. Left out is what `own` has no token for: the variables in `withheld`,
    SEKS's own, and those whose value is, or holds, one of the `real` credentials. `keep` names variables that
    stay as the parent has them.
    """
    stay = {name: parent[name] for name in keep if name in parent}
    redirected = {name: bundle for name in BUNDLE_IF_SET if name in parent}
    replaced = {**redirected, **own, **stay}
    names = {name.upper() for name in withheld}
    lacking = sorted(
        name
        for name, value in parent.items()
        if name not in replaced and (name.upper() in names or name.startswith("SEKS_") or _holds(value, real))
    )
    kept = {name: parent[name] for name in parent if name not in lacking and name not in REPLACED}
    return {**kept, **replaced}, lacking


def with_preload(options: str, script: str) -> str:
    """Append `--require SCRIPT` to a value of `NODE_OPTIONS`, once; quoted as Node reads it there."""
    if any(character in script for character in ' "\\'):
        script = '"' + script.replace("\\", "\\\\").replace('"', '\\"') + '"'
    addition = f"--require {script}"
    return options if addition in options else f"{options} {addition}".strip()


def _holds(value: str, real: Sequence[str]) -> bool:
    # A blank that was pasted along is no part of a credential.
    return any(
        value.strip() == bare or (len(bare) >= MIN_PART and any(form in value for form in _forms(bare)))
        for bare in (credential.strip() for credential in real)
    )


def _forms(credential: str) -> list[str]:
    """A credential as it is, and as the part of a base64 text that doesn't depend on what is around it."""
    cores = [base64_core(credential.encode(), before).decode() for before in range(3)]
    return [credential, *cores, *(core.replace("+", "-").replace("/", "_") for core in cores)]
