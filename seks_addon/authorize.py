"""May this request use these tokens? Plain values in, substitutions or a refusal out; nothing is decrypted here."""

import contextlib
import urllib.parse
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from seks_addon import strict
from seks_addon.binding import Endpoint
from seks_addon.destination.host import Origin
from seks_addon.head import Head, Header
from seks_addon.placements import BodyPlacement, Match, Place, TextPlacement
from seks_addon.placements.basic import decode_basic
from seks_addon.policy import expired
from seks_addon.refusal import Refused
from seks_addon.tokens import TOKEN_MARK, find_lookalikes, is_token
from seks_addon.vault.agents import Agent
from seks_addon.vault.secrets import StoredSecret
from seks_addon.vault.tokens import Grant

#: Looks a token up; None for one that isn't in the vault.
Resolve = Callable[[str], Grant | None]
#: Finds where one token stands in an endpoint's placements.
Find = Callable[[Endpoint, str], list[Match]]


@dataclass(frozen=True, slots=True)
class Substitution:
    """A token that stands where it may, and what it stands for."""

    match: Match
    grant: Grant


@dataclass(frozen=True, slots=True)
class Decision:
    """The head to send on, still with its tokens, and what is to be swapped in it."""

    head: Head
    substitutions: tuple[Substitution, ...]


class TokenRefused(Refused):
    """A refusal that concerns a known token, so that the audit log can name it."""

    def __init__(self, refusal: Refused, grant: Grant) -> None:
        super().__init__(refusal.code, refusal.message, hint=refusal.hint, retry_after=refusal.retry_after)
        self.grant = grant


def decide(head: Head, origin: Origin, scheme: str, agent: Agent, resolve: Resolve, moment: datetime) -> Decision:
    """Judge a request whose framing and authority are checked already, as the client sent it.

    Raises `Refused` (or `TokenRefused`) for the first thing that is wrong. A request without a token is
    passed as it is, but for the headers of this hop: many clients begin so, and wait for the 401.
    """
    found, sent = find_tokens(head), head
    head = strict.strip_hop_by_hop(sent)
    if not found:
        return Decision(head, ())
    if scheme != "https":
        raise Refused("cleartext_refused")
    head = strict.strip_for_token(head)
    grants = {token: live_grant(token, agent, resolve, moment) for token in found}
    substitutions = []
    for token, grant in grants.items():
        with _concerning(grant):
            endpoint = _endpoint(origin, grant)
            substitutions += _substitutions(head, endpoint, grant, _matches(head, endpoint, token))
    _refuse_strays(head, {sub.match.place for sub in substitutions}, grants)
    # What isn't sent on is no place either: whoever put a token there meant something by it.
    _refuse_any(
        [sent.method, *(text for h in sent.headers if h not in head.headers for text in _texts_of_header(h))], grants
    )
    return Decision(head, tuple(substitutions))


def decide_text(
    head: Head,
    text: bytes,
    places: Collection[TextPlacement],
    origin: Origin,
    agent: Agent,
    resolve: Resolve,
    moment: datetime,
) -> tuple[Substitution, ...]:
    """Judge what stands in the declared places of a body, or of a message on the WebSocket that `head` opened.

    What looks like a token elsewhere in it is only text. Raises `Refused` as `decide` does.
    """
    if TOKEN_MARK not in text:
        # Reading all of it takes time that others wait for.
        return ()
    kinds = {type(placement) for placement in places}
    alike = ((kind, [placement for placement in places if type(placement) is kind]) for kind in kinds)
    found = {match.token: match for kind, placements in alike for match in kind.match_all(text, placements)}
    if len(found) > 1:
        raise Refused("token_misplaced", "More than one token stands in the text; one can be swapped.")
    if found:
        strict.check_charset(head)
    substitutions: list[Substitution] = []
    for token, match in found.items():
        grant = live_grant(token, agent, resolve, moment)
        with _concerning(grant):
            endpoint = _endpoint(origin, grant)
            declared = [match] if match.where in (placement.where for placement in endpoint.placements) else []
            substitutions += _substitutions(head, endpoint, grant, declared)
    return tuple(substitutions)


def check_again(
    substitutions: Iterable[Substitution], origin: Origin, agent: Agent, resolve: Resolve, moment: datetime
) -> None:
    """Raise `Refused` where one of the tokens ended, or was bound elsewhere, since it was judged."""
    for substitution in substitutions:
        grant = live_grant(substitution.match.token, agent, resolve, moment)
        with _concerning(grant):
            _endpoint(origin, grant)


def body_places(head: Head, scheme: str, origin: Origin, held: Iterable[StoredSecret]) -> frozenset[BodyPlacement]:
    """The places in a request's body in which a token for one of the secrets may stand."""
    types = head.values("content-type")
    if scheme != "https" or len(types) != 1 or head.values("content-encoding"):
        return frozenset()
    media_type = types[0].partition(";")[0].strip().lower()
    return frozenset(
        placement
        for stored in held
        if (endpoint := stored.binding.at(origin))
        for placement in endpoint.placements
        if isinstance(placement, BodyPlacement) and placement.reads(media_type)
    )


def check_connect(head: Head, origin: Origin, agent: Agent, resolve: Resolve) -> None:
    """Raise `Refused` where a CONNECT carries a token that is not the agent's, or not bound to where it leads.

    Its headers go no further than here: what else is wrong with a token in them is a slip of the client's.
    """
    for token in filter(is_token, find_tokens(head)):
        grant = _own_grant(token, agent, resolve)
        with _concerning(grant):
            _endpoint(origin, grant)


def find_tokens(head: Head) -> list[str]:
    """Everything in a head that is a token or was meant as one, each once."""
    texts = [head.method, *_texts_of_target(head)]
    for header in head.headers:
        texts += _texts_of_header(header)
    return list(dict.fromkeys(token for text in texts for token in find_lookalikes(text)))


@contextlib.contextmanager
def _concerning(grant: Grant) -> Iterator[None]:
    """Let a refusal say which token it is about."""
    try:
        yield
    except TokenRefused:
        raise
    except Refused as refusal:
        raise TokenRefused(refusal, grant) from None


def live_grant(token: str, agent: Agent, resolve: Resolve, moment: datetime) -> Grant:
    """What a token of the agent's stands for; raises `Refused` unless it may be used at this moment."""
    if not is_token(token):
        raise Refused("token_malformed")
    grant = _own_grant(token, agent, resolve)
    if grant.revoked:
        raise TokenRefused(
            Refused(
                "token_revoked",
                f"The token for the secret {grant.secret!r} was revoked.",
                hint=f"Issue a new one with `seks token issue {grant.secret}`.",
            ),
            grant,
        )
    check_end(grant, moment)
    return grant


def check_end(grant: Grant, moment: datetime) -> None:
    """Raise `TokenRefused` where the token, or its secret, has expired."""
    for end, what in ((grant.expires, "token for the"), (grant.secret_expires, "")):
        if end and expired(datetime.fromisoformat(end), moment):
            raise TokenRefused(
                Refused(
                    "token_expired",
                    f"The {what} secret {grant.secret!r} expired.".replace("  ", " "),
                    hint=f"Issue a new token with `seks token issue {grant.secret}`."
                    if what
                    else "Add the secret again with a later --expires.",
                ),
                grant,
            )


def _own_grant(token: str, agent: Agent, resolve: Resolve) -> Grant:
    grant = resolve(token)
    if grant is None or grant.agent_id != agent.id:
        # Another's token and none at all can't be told apart.
        raise Refused("token_unknown", f"The agent {agent.name!r} has no such token.")
    return grant


def _endpoint(origin: Origin, grant: Grant) -> Endpoint:
    endpoint = grant.binding.at(origin)
    if endpoint is None:
        raise Refused(
            "host_not_allowed",
            f"The secret {grant.secret!r} is not bound to {origin}.",
            hint=f"It is bound to {', '.join(grant.binding.hosts)}.",
        )
    for _, whose, policy in grant.policies:
        policy.check_host(origin, whose=whose)
    return endpoint


def _substitutions(head: Head, endpoint: Endpoint, grant: Grant, matches: Sequence[Match]) -> list[Substitution]:
    if not matches:
        raise _misplaced(endpoint, grant)
    claimed = [match.place for match in matches if isinstance(match.place, int)]
    strict.check_with_token(head, claimed, encoded_slash=endpoint.encoded_slash)
    # A token in the path has no name that a policy could hold.
    path = head.path.replace(matches[0].token, "{}")
    for _, whose, policy in grant.policies:
        policy.check(head.method, path, whose=whose)
    return [Substitution(match, grant) for match in matches]


def _matches(head: Head, endpoint: Endpoint, token: str) -> list[Match]:
    by_place = {
        match.place: match
        for placement in endpoint.placements
        for match in placement.match(head)
        if match.token == token
    }
    return list(by_place.values())


def _refuse_strays(head: Head, claimed: set[int | Place], grants: dict[str, Grant]) -> None:
    """Raise where a token stands anywhere but in the claimed places, or more than once in one of them."""
    places = []
    # What is encoded in the target is in the decoded one too.
    if Place.TARGET not in claimed or len(find_lookalikes(_texts_of_target(head)[-1])) != 1:
        places.append(_texts_of_target(head))
    for index, header in enumerate(head.headers):
        texts = _texts_of_header(header)
        if index not in claimed or sum(len(find_lookalikes(text)) for text in texts) != 1:
            places.append(texts)
    for texts in places:
        _refuse_any(texts, grants)


def _refuse_any(texts: Sequence[str], grants: dict[str, Grant]) -> None:
    for text in texts:
        for token in find_lookalikes(text):
            grant = grants[token]
            raise TokenRefused(_misplaced(None, grant), grant)


def _misplaced(endpoint: Endpoint | None, grant: Grant) -> Refused:
    hint = None
    if endpoint is not None:
        hint = f"At this host it may stand in: {'; '.join(p.where for p in endpoint.placements)}."
    return Refused(
        "token_misplaced",
        f"A token for the secret {grant.secret!r} stands where the secret doesn't allow one.",
        hint=hint,
    )


def _texts_of_target(head: Head) -> list[str]:
    decoded = urllib.parse.unquote(head.target, "latin-1")
    return [head.target] if decoded == head.target else [head.target, decoded]


def _texts_of_header(header: Header) -> list[str]:
    return [*header, *(decode_basic(header[1]) or ())]
