"""Foreign credentials: those in a request that are no tokens, so that an agent works in an account of its own.

What a request carries elsewhere (in its body, in a WebSocket's messages, under a name of nobody's) isn't seen.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from seks_addon import placements
from seks_addon.destination.host import HostPattern
from seks_addon.errors import InputError
from seks_addon.head import Head
from seks_addon.placements import Placement
from seks_addon.placements.basic import decode_basic
from seks_addon.refusal import Refused
from seks_addon.tokens import find_lookalikes

#: Where credentials stand at most APIs, whatever a secret declares.
WELL_KNOWN: Final = tuple(
    placements.parse(spec)
    for spec in (
        "header:Authorization: {}",
        "header:X-Api-Key: {}",
        "header:Api-Key: {}",
        "header:ApiKey: {}",
        "header:X-Goog-Api-Key: {}",
        "header:X-Auth-Token: {}",
        "header:X-Access-Token: {}",
        "header:Private-Token: {}",
        "header:Job-Token: {}",
        "header:Deploy-Token: {}",
        "query:key",
        "query:api_key",
        "query:api-key",
        "query:apikey",
        "query:access_token",
        "query:private_token",
        "query:job_token",
        "query:oauth_token",
        # Signed URLs (AWS Signature Version 4, Google Cloud Storage V4).
        "query:X-Amz-Credential",
        "query:X-Goog-Credential",
    )
)
#: Items of `Sec-WebSocket-Protocol` that go on with a key: OpenAI's and Kubernetes'.
SUBPROTOCOLS: Final = ("openai-insecure-api-key.", "base64url.bearer.authorization.k8s.io.")

#: Nothing, or a scheme alone: of a client that was given no key.
_NOTHING: Final = frozenset({"", "basic", "bearer", "token"})


class Mode(StrEnum):
    """What becomes of a request with a foreign credential: refused; passed, and said in the log; passed."""

    BLOCK = "block"
    WARN = "warn"
    PASS = "pass"


@dataclass(frozen=True, slots=True)
class ForeignPolicy:
    """A mode, and others for some hosts, of which the first that matches counts."""

    mode: Mode = Mode.PASS
    at: Sequence[tuple[HostPattern, Mode]] = ()

    def mode_at(self, host: str) -> Mode:
        return next((mode for pattern, mode in self.at if pattern.matches(host)), self.mode)


def parse_rule(text: str) -> tuple[HostPattern, Mode]:
    """Read `PATTERN=MODE`; raises `InputError`."""
    pattern, _, mode = text.rpartition("=")
    if mode not in tuple(Mode):
        raise InputError(f"{text!r} names no mode", hint=f"write PATTERN=MODE, with one of: {', '.join(Mode)}")
    return HostPattern.parse(pattern), Mode(mode)


def find(head: Head, declared: Iterable[Placement]) -> str | None:
    """The place, in a few words, of the first credential that is no token; None where there is none.

    `declared` are places beyond the well-known. The head was judged: every token in it stands where it may.
    """
    for placement in (*declared, *WELL_KNOWN):
        if any(_is_foreign(value) for value in placement.values(head)):
            return placement.where
    if any(_is_foreign(value) for value in _subprotocol_keys(head)):
        return "header Sec-WebSocket-Protocol"
    return None


def refusal(host: str, where: str) -> Refused:
    """What a foreign credential is refused with: by policy, as any other thing that may not go to a host."""
    return Refused(
        "egress_denied",
        f"The request to {host} carries a credential that is none of this agent's tokens ({where}).",
        hint="Send the token that `seks env` prints, or nothing; see --foreign-credentials.",
    )


def _is_foreign(value: str) -> bool:
    if (pair := decode_basic(value)) is None:
        return value.strip().lower() not in _NOTHING and not find_lookalikes(value)
    # The half beside a token is a user name, which vendors document: x-access-token, oauth2.
    return any(pair) and not any(find_lookalikes(part) for part in pair)


def _subprotocol_keys(head: Head) -> Iterator[str]:
    for value in head.values("sec-websocket-protocol"):
        for item in value.split(","):
            for prefix in SUBPROTOCOLS:
                if item.strip().lower().startswith(prefix):
                    yield item.strip()[len(prefix) :]
