"""Tokens where they may not stand, in forms they don't have, in the wrong hands, and at the wrong time."""

from collections.abc import Iterator

from seks_addon.vault import DEFAULT
from tests.adversarial.harness import BEARER, GOOD, MODELS, Arena, Case, Play, Word, any_of, ask, cases
from tests.support.bench import HOST

MISPLACED = "token_misplaced"
BROKEN_TOKEN = "token_malformed"
UNKNOWN = "token_unknown"


def misplaced(id: str, *headers: str, target: str = MODELS, fails: str = "") -> Case:
    """A token where no token may stand."""
    return Case(
        f"misplaced {id}",
        "has the credential put where it can be read",
        ask(*headers, target=target),
        (MISPLACED,),
        fails=fails,
    )


def refused(id: str, tries: str, value: str, *codes: str) -> Case:
    """A value of the right header that isn't a token which this agent may use."""
    return Case(id, tries, ask(f"Authorization: {value}"), (any_of(*codes),))


def literal(id: str, *headers: str, body: str = "", target: str = "/upload") -> Case:
    """A token that isn't one of the agent's doing: it is sent on as it is."""
    request = ask(*headers, method="POST", target=target, body=body)
    return Case(f"literal {id}", "has a token in somebody's text swapped", request, (200,), passes=1)


def revoked_in_between(play: Play) -> Iterator[Word]:
    """A token that is revoked in the middle of a connection."""
    site = play.arena.site
    token = site.token("openai")
    wire = play.wire()
    assert play.enter(wire) is None
    request = ask(f"Authorization: Bearer {token}")
    yield from play.exchange(wire, request)
    site.revoke(token)
    yield from play.exchange(wire, request)
    yield from play.exchange(wire, GOOD)


def disabled_in_between(play: Play) -> Iterator[Word]:
    """An agent that is disabled, and then removed, in the middle of a connection."""
    site = play.arena.site
    name = f"brief-{play.arena.mark}"
    user, token = site.agent(name), site.token("openai", agent=name)
    wire = play.wire()
    assert play.enter(wire, user=user) is None
    request = ask(f"Authorization: Bearer {token}")
    yield from play.exchange(wire, request)
    with site.vault() as vault:
        vault.agents.set_enabled(vault.clients.get(DEFAULT), name, False)
    yield from play.exchange(wire, request)
    with site.vault() as vault:
        vault.agents.remove(vault.clients.get(DEFAULT), name)
    yield from play.exchange(wire, request)


def another_client(play: Play) -> Iterator[Word]:
    """An agent of another client, with its own token, then with somebody else's."""
    wire = play.wire()
    connect = f"CONNECT {HOST}:443 HTTP/1.1\nHost: {HOST}:443\nProxy-Authorization: {{foreigner}}\n\n"
    wire.send(play.fill(connect))
    assert wire.answer("CONNECT").status == 200
    wire.start_tls(play.arena.site.home.ca_cert, HOST)
    yield from play.exchange(wire, ask("Authorization: Bearer {foreign}"))
    yield from play.exchange(wire, GOOD)


def guesses_a_password(play: Play) -> Iterator[Word]:
    """Somebody who is nobody, with a token for a password."""
    wire = play.wire()
    connect = f"CONNECT {HOST}:443 HTTP/1.1\nHost: {HOST}:443\nProxy-Authorization: Basic {{basic}}\n\n"
    yield from play.exchange(wire, connect)


def other_in_tunnel(play: Play) -> Iterator[Word]:
    """A request in a tunnel that names another agent than the tunnel's."""
    wire = play.wire()
    assert play.enter(wire) is None
    yield from play.exchange(wire, ask("Proxy-Authorization: {foreigner}", "Authorization: Bearer {foreign}"))


IN_TRAILER = "5\nhello\n0\nAuthorization: Bearer {token}\n\n"
CASES = (
    misplaced("another header", "X-Api-Key: {token}"),
    misplaced("another header too", BEARER, "X-Api-Key: {token}"),
    misplaced("header name", "{token}: a"),
    misplaced("query", target=f"{MODELS}?key={{token}}"),
    misplaced("query too", BEARER, target=f"{MODELS}?key={{token}}"),
    misplaced("query name", target=f"{MODELS}?{{token}}=a"),
    misplaced("path", target="/v1/{token}/models"),
    misplaced("path of a bot", target="/bot{token}/getMe"),
    misplaced("cookie", "Cookie: key={token}"),
    misplaced("cookie too", BEARER, "Cookie: key={token}"),
    misplaced("user agent", "User-Agent: agent/{token}"),
    misplaced("Referer", "Referer: https://evil.example.com/?{token}"),
    misplaced("Origin", "Origin: https://{token}.example.com"),
    misplaced("X-Forwarded-For", "X-Forwarded-For: {token}"),
    misplaced("Content-Type", "Content-Type: text/{token}"),
    misplaced("Accept-Encoding", "Accept-Encoding: {token}"),
    misplaced("Range", "X-Range: bytes={token}"),
    misplaced("without its scheme", "Authorization: {token}"),
    misplaced("another scheme", "Authorization: Token {token}"),
    misplaced("Basic", "Authorization: Basic {basic}"),
    misplaced("Basic, in another header", "X-Authorization: Basic {basic}"),
    misplaced("Digest", 'Authorization: Digest username="{token}"'),
    misplaced("in quotes", 'Authorization: Bearer "{token}"'),
    misplaced("twice in one", "Authorization: Bearer {token} {token}"),
    misplaced("with a comma", "Authorization: Bearer {token},"),
    misplaced("a list", "Authorization: Bearer {token}, Bearer {second}"),
    misplaced("a list with another scheme", "Authorization: Bearer {token}, Basic YTpi"),
    misplaced("with a parameter", "Authorization: Bearer {token}; a=b"),
    misplaced("with something before", "Authorization: Bearer x{token}"),
    misplaced("with something behind", "Authorization: Bearer {token}.x"),
    misplaced("with a dash behind", "Authorization: Bearer {token}-x"),
    misplaced("two tokens in two headers", BEARER, "X-Other: {second}"),
    misplaced("percent-encoded in the path", target="/v1/{percent}"),
    misplaced("percent-encoded in the query", target=f"{MODELS}?a={{percent}}"),
    misplaced("half percent-encoded", target=f"{MODELS}?a={{some percent}}"),
    misplaced("of another placement", "Authorization: Bearer {keyed}"),
    misplaced("Proxy-Authorization in a tunnel", BEARER, "Proxy-Authorization: Bearer {second}"),
    misplaced("a header that Connection names", BEARER, "Connection: X-Hop", "X-Hop: {second}"),
    Case(
        "misplaced Host",
        "has the token looked up as a name",
        ask(host="{token}.example.com"),
        (any_of(MISPLACED, "authority_mismatch"),),
    ),
    Case(
        "misplaced user of the target",
        "has the credential in the target",
        ask(target=f"https://{{token}}@{HOST}{MODELS}"),
        (any_of(MISPLACED, "request_malformed", "authority_mismatch"),),
    ),
    Case(
        "misplaced user of the target, in clear",
        "has the credential in the target",
        ask(target=f"http://{{token}}@{HOST}{MODELS}"),
        (any_of(MISPLACED, "authority_mismatch", "request_malformed"),),
        connect=None,
    ),
    Case("misplaced CONNECT", "has the token looked up", connect="{lower}.example.com:443", back=(MISPLACED,)),
    Case(
        "misplaced method",
        "has the credential in the method",
        ask(method="{token}"),
        (any_of(MISPLACED, "request_malformed"),),
    ),
    Case(
        "misplaced version",
        "has the credential in the version",
        ask(version="HTTP/1.1{token}"),
        (any_of(MISPLACED, "request_malformed"),),
    ),
    Case(
        "misplaced trailer",
        "has the credential behind all checks",
        ask("Transfer-Encoding: chunked", "Trailer: Authorization", method="POST", target="/upload", body=IN_TRAILER),
        (200,),
        passes=1,
        hides="{token}",
    ),
    Case(
        "misplaced chunk extension",
        "has the credential between the chunks",
        ask("Transfer-Encoding: chunked", method="POST", target="/upload", body="3;a={token}\nabc\n0\n\n"),
        (200,),
        passes=1,
        hides="seks_",
    ),
    Case(
        "token in a body",
        "has a token in somebody's text swapped",
        ask(BEARER, "Transfer-Encoding: chunked", method="POST", target="/echo", body="{size}\n{token}\n0\n\n"),
        (200,),
        uses=1,
    ),
    Case(
        "token in a body alone",
        "has a token in somebody's text swapped",
        ask("Transfer-Encoding: chunked", method="POST", target="/upload", body="{size}\n{token}\n0\n\n"),
        (200,),
        passes=1,
    ),
    literal("percent-encoded twice", target="/upload?a={twice percent}"),
    literal("base64 in a header", "X-Note: {base64}"),
    literal("hex in a header", "X-Note: {hex}"),
    literal("half in one header, half in another", "X-One: {head}", "X-Two: {tail}"),
    Case(
        "the same header twice",
        "has the host read the other one",
        ask(BEARER, "authorization: Bearer own"),
        ("request_malformed",),
    ),
    Case(
        "the same header twice, first another",
        "has the host read the other one",
        ask("Authorization: Bearer own", BEARER),
        ("request_malformed",),
    ),
    Case("the same token twice", "has it put in twice", ask(BEARER, BEARER), ("request_malformed",)),
    Case(
        "two tokens, two headers",
        "uses two at once",
        ask(BEARER, "AUTHORIZATION: Bearer {second}"),
        (any_of("request_malformed", MISPLACED),),
    ),
    Case(
        "control scheme in lower case",
        "writes the scheme otherwise",
        ask("authorization: bearer {token}"),
        (200,),
        uses=1,
    ),
    Case(
        "control Basic",
        "does what it may",
        ask("Authorization: Basic {basic github}", host="github.com"),
        (200,),
        connect="github.com:443",
        uses=1,
    ),
    refused("upper case", "changes the case", "Bearer {upper}", BROKEN_TOKEN),
    refused("title case", "changes the case", "Bearer {title}", BROKEN_TOKEN),
    refused("cut", "sends less than a token", "Bearer {cut}", BROKEN_TOKEN),
    refused("changed", "guesses a checksum", "Bearer {changed}", BROKEN_TOKEN),
    refused("token and garbage", "hangs something on a token", "Bearer {token}x", BROKEN_TOKEN),
    refused("two in a row", "hangs a token on a token", "Bearer {token}{second}", BROKEN_TOKEN, MISPLACED),
    refused("invented", "guesses a token", "Bearer {invented}", UNKNOWN),
    refused("another agent's", "uses what another agent was given", "Bearer {other}", UNKNOWN),
    refused("another client's", "uses what another client's agent was given", "Bearer {foreign}", UNKNOWN),
    refused("revoked", "uses what was revoked", "Bearer {revoked}", "token_revoked"),
    refused("expired", "uses what has expired", "Bearer {expired}", "token_expired"),
    refused("of an expired secret", "uses a secret that has expired", "Bearer {late}", "token_expired"),
    refused("of another host", "uses a secret elsewhere", "Bearer {bad}", "host_not_allowed"),
    Case(
        "method of the secret",
        "goes beyond the policy",
        ask("Authorization: Bearer {strict}", method="DELETE"),
        ("method_not_allowed",),
    ),
    Case(
        "method of the token",
        "goes beyond the policy",
        ask("Authorization: Bearer {narrow}", method="DELETE"),
        ("method_not_allowed",),
    ),
    Case(
        "path of the secret",
        "goes beyond the policy",
        ask("Authorization: Bearer {strict}", target="/v1/modelsx"),
        ("path_not_allowed",),
    ),
    Case(
        "path of the token",
        "goes beyond the policy",
        ask("Authorization: Bearer {narrow}", target="/v1/files"),
        ("path_not_allowed",),
    ),
    Case(
        "path, two slashes",
        "goes beyond the policy",
        ask("Authorization: Bearer {narrow}", target="//v1/models"),
        ("path_not_allowed",),
    ),
    Case(
        "path in other case",
        "goes beyond the policy",
        ask("Authorization: Bearer {narrow}", target="/V1/models"),
        ("path_not_allowed",),
    ),
    Case(
        "path in the query",
        "goes beyond the policy",
        ask("Authorization: Bearer {narrow}", target="/v2?/v1/models"),
        ("path_not_allowed",),
    ),
    Case(
        "path, encoded letter",
        "goes beyond the policy",
        ask("Authorization: Bearer {narrow}", target="/v1/%6dodels/%2e%2e/files"),
        ("request_malformed",),
    ),
    Case(
        "path, dot segments",
        "goes beyond the policy",
        ask("Authorization: Bearer {narrow}", target="/v1/models/../files"),
        ("request_malformed",),
    ),
    Case("control policy", "does what it may", ask("Authorization: Bearer {narrow}"), (200,), uses=1),
    Case(
        "revoked in mid-connection",
        "goes on after a revocation",
        act=revoked_in_between,
        back=(200, "token_revoked", 200),
        uses=2,
    ),
    Case(
        "disabled in mid-connection",
        "goes on after it was disabled, then removed",
        act=disabled_in_between,
        back=(200, "agent_disabled", "agent_auth_failed"),
        uses=1,
    ),
    Case("another client's agent", "uses a token of another client", act=another_client, back=(200, UNKNOWN), uses=1),
    Case(
        "token for a password",
        "says it is an agent whose password is a token",
        act=guesses_a_password,
        back=("agent_auth_failed",),
    ),
    Case(
        "another agent in the tunnel",
        "says that it is another",
        act=other_in_tunnel,
        back=(any_of(UNKNOWN, "agent_auth_failed"),),
    ),
)


@cases(*CASES)
def test_tokens(arena: Arena, case: Case) -> None:
    """A token works where, when and for whom it was meant to, and nowhere else."""
    arena.play(case)
