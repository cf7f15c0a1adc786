"""Requests that lie about where they go, and hosts that aren't who they should be."""

from collections.abc import Iterator

from tests.adversarial.harness import (
    BEARER,
    CLOSED,
    GOOD,
    MODELS,
    Arena,
    Case,
    Play,
    Word,
    any_of,
    ask,
    cases,
)
from tests.support.bench import HOST

EVIL = "evil.example.com"
MISMATCH = "authority_mismatch"


def foreign(host: str) -> Case:
    """A token sent to a host of the attacker's, whose name looks like the right one."""
    return Case(
        f"token to {host}",
        "gets a credential for a name that looks like the right one",
        ask(BEARER, host=host),
        ("host_not_allowed",),
        connect=f"{host}:443",
    )


def server_name(id: str, name: str | None) -> Case:
    """An SNI that isn't the host of the CONNECT."""
    return Case(f"SNI {id}", "gets a certificate for another name", GOOD, (MISMATCH,), server_name=name)


def host_header(id: str, *values: str) -> Case:
    """Host headers that don't name the tunnel's host, once."""
    lines = "".join(f"\nHost: {value}" for value in values)
    return Case(
        f"Host {id}",
        "makes the host believe in another name",
        f"GET {MODELS} HTTP/1.1{lines}\n{BEARER}\n\n",
        (MISMATCH,),
    )


def target(id: str, text: str, *back: str) -> Case:
    """A request target that names something else, inside of a tunnel."""
    return Case(f"target {id}", "names another host in the target", ask(BEARER, target=text), (any_of(*back),))


def connect(id: str, text: str, code: str = "request_malformed") -> Case:
    """A CONNECT to what is no host and port."""
    return Case(f"CONNECT {id}", "has the proxy guess where to go", connect=text, back=(code,))


def bad_certificate(name: str) -> Case:
    """A bound host with a certificate that mustn't be trusted."""
    host = f"{name}.bad.example.com"
    return Case(
        f"certificate {name}",
        "sits between the proxy and the host",
        ask("Authorization: Bearer {bad}", host=host),
        ("upstream_untrusted",),
        connect=f"{host}:443",
        intents=1,
        opened=1,
    )


def good_token_after_refusal(play: Play) -> Iterator[Word]:
    """The same connection, first with a lie, then without."""
    wire = play.wire()
    assert play.enter(wire) is None
    yield from play.exchange(wire, ask(BEARER, host=EVIL))
    yield from play.exchange(wire, GOOD)


def handshake(play: Play) -> Iterator[Word]:
    """A tunnel and TLS in it, nothing more."""
    yield play.enter(play.wire()) or 200


def two_connects(play: Play) -> Iterator[Word]:
    """A CONNECT that is refused, then one that isn't, then TLS for the first."""
    wire = play.wire()
    yield play.enter(wire, "10.0.0.1:443") or 0
    assert wire.connect(f"{EVIL}:443").status == 200
    wire.start_tls(play.arena.site.home.ca_cert, HOST)
    yield from play.exchange(wire, GOOD)


CASES = (
    Case("control", "does what it may: the way to the host is open", GOOD, (200,), uses=1),
    Case(
        "control attacker",
        "talks to a host of its own, without a token",
        ask(host=EVIL),
        (200,),
        connect=f"{EVIL}:443",
        passes=1,
    ),
    Case(
        "control clear",
        "talks to a host of its own in clear, without a token",
        ask(target=f"http://{EVIL}{MODELS}", host=EVIL),
        (200,),
        connect=None,
        passes=1,
    ),
    Case("control case of SNI", "writes the same name otherwise", GOOD, (200,), server_name="API.OpenAI.com", uses=1),
    Case("control dot", "ends the name in a dot", ask(BEARER, host=f"{HOST}."), (200,), uses=1),
    Case("control case of Host", "writes Host otherwise", ask(BEARER, host="API.OPENAI.COM:443"), (200,), uses=1),
    Case("control absolute form", "names the same host", ask(BEARER, target=f"https://{HOST}{MODELS}"), (200,), uses=1),
    *(
        foreign(host)
        for host in (
            EVIL,
            "evilapi.openai.com",
            "api.openai.com.evil.example.com",
            "api-openai.com",
            "openai.com",
            "www.api.openai.com",
        )
    ),
    Case(
        "token to another port",
        "reaches another service of the same host",
        ask(BEARER, host=f"{HOST}:8443"),
        ("host_not_allowed",),
        connect=f"{HOST}:8443",
    ),
    Case(
        "all but CONNECT lie",
        "names the bound host everywhere but in the CONNECT",
        ask(BEARER, target=f"https://{HOST}{MODELS}"),
        (MISMATCH,),
        connect=f"{EVIL}:443",
        server_name=HOST,
    ),
    Case(
        "control international name",
        "has an xn-- name",
        act=handshake,
        connect="xn--bcher-kva.example:443",
        back=(200,),
    ),
    server_name("missing", None),
    server_name("of another host", EVIL),
    server_name("of the domain", "openai.com"),
    server_name("below", "www.api.openai.com"),
    Case(
        "SNI missing without token",
        "hides where it goes",
        ask(),
        (MISMATCH,),
        server_name=None,
    ),
    host_header("missing"),
    host_header("empty", ""),
    host_header("of another host", EVIL),
    host_header("with another port", f"{HOST}:8443"),
    host_header("twice the same", HOST, HOST),
    host_header("twice, another first", EVIL, HOST),
    host_header("twice, another last", HOST, EVIL),
    host_header("a list", f"{HOST}, {EVIL}"),
    host_header("with a user", f"{EVIL}@{HOST}"),
    host_header("with a path", f"{HOST}/"),
    host_header("with two dots", f"{HOST}.."),
    host_header("with a port that overflows", f"{HOST}:65979"),
    host_header("with a space in it", f"{HOST} {EVIL}"),
    host_header("with a tab", f"{HOST}\t{EVIL}"),
    host_header("an address", "127.0.0.1"),
    target("of another host", f"https://{EVIL}{MODELS}", MISMATCH),
    target("of another port", f"https://{HOST}:8443{MODELS}", MISMATCH),
    target("with another scheme", f"http://{HOST}{MODELS}", MISMATCH),
    target("with an odd scheme", f"ftp://{HOST}{MODELS}", MISMATCH, "request_malformed"),
    target("with a user", f"https://{EVIL}@{HOST}{MODELS}", MISMATCH, "request_malformed"),
    target("with a backslash", f"https://{HOST}\\@{EVIL}{MODELS}", MISMATCH, "request_malformed"),
    target("of an authority alone", f"{EVIL}:443", "request_malformed", MISMATCH),
    Case(
        "target with two slashes",
        "names another host as a link does: to the bound host it is a path",
        ask(BEARER, target=f"//{EVIL}{MODELS}"),
        (404,),
        uses=1,
    ),
    Case(
        "absolute form, Host of another",
        "lets target and Host disagree",
        ask(BEARER, target=f"https://{HOST}{MODELS}", host=EVIL),
        (MISMATCH,),
    ),
    Case(
        "asterisk with token",
        "asks for the whole server",
        ask(BEARER, target="*", method="OPTIONS"),
        (any_of("request_malformed", MISMATCH),),
    ),
    Case(
        "clear",
        "has the credential sent in clear",
        ask(BEARER, target=f"http://{HOST}{MODELS}"),
        ("cleartext_refused",),
        connect=None,
    ),
    Case(
        "clear, at port 443",
        "has the credential sent in clear to the TLS port",
        ask(BEARER, target=f"http://{HOST}:443{MODELS}", host=f"{HOST}:443"),
        ("cleartext_refused",),
        connect=None,
    ),
    Case(
        "clear, Host of another",
        "goes to itself while Host names the bound host",
        ask(BEARER, target=f"http://{EVIL}{MODELS}"),
        (MISMATCH,),
        connect=None,
    ),
    Case(
        "https without a tunnel",
        "speaks of https, in clear",
        ask(BEARER, target=f"https://{HOST}{MODELS}"),
        ("cleartext_refused",),
        connect=None,
    ),
    Case(
        "origin form to the proxy",
        "has the proxy go where Host says; who opens it in a browser is told what it is",
        GOOD,
        ("request_malformed",),
        connect=None,
        shows="HTTPS_PROXY",
    ),
    Case(
        "clear in a tunnel",
        "speaks HTTP in a tunnel to a TLS port",
        ask(BEARER, host=f"{HOST}:443"),
        ("cleartext_refused",),
        tls=False,
    ),
    Case(
        "clear in a tunnel to port 80",
        "speaks HTTP in a tunnel to port 80",
        GOOD,
        ("cleartext_refused",),
        connect=f"{HOST}:80",
        tls=False,
    ),
    Case(
        "tunnel in a tunnel",
        "opens another way inside of the first",
        "CONNECT api.openai.com:443 HTTP/1.1\nHost: api.openai.com:443\n\n",
        ("request_malformed",),
        connect=f"{EVIL}:443",
    ),
    Case(
        "a lie, then the truth",
        "has a refusal confuse what comes after it",
        act=good_token_after_refusal,
        back=(MISMATCH, 200),
        uses=1,
    ),
    Case(
        "a refused CONNECT, then another",
        "has a refused tunnel confuse the next",
        act=two_connects,
        back=("address_blocked", MISMATCH),
    ),
    Case(
        "denied",
        "goes where the egress policy says no",
        connect="deep.denied.example.com:443",
        back=("egress_denied",),
    ),
    connect("without a port", HOST),
    connect("port 0", f"{HOST}:0"),
    connect("port too high", f"{HOST}:65979"),
    connect("port with a sign", f"{HOST}:+443"),
    connect("no host", ":443"),
    connect("with a user", f"{EVIL}@{HOST}:443"),
    connect("with a path", f"{HOST}:443/"),
    connect("with a scheme", f"https://{HOST}:443"),
    connect("two ports", f"{HOST}:443:443"),
    connect("empty label", "api..openai.com:443"),
    connect("two dots at the end", f"{HOST}..:443"),
    connect("a NUL", f"{HOST}\0.evil.example.com:443"),
    connect("full-width letters", "\xef\xbd\x81pi.openai.com:443"),
    connect("percent-encoded", "%61pi.openai.com:443"),
    connect("a backslash", f"{HOST}\\.evil.example.com:443"),
    connect("a label too long", f"{'a' * 64}.example.com:443"),
    connect("a name too long", f"{'a.' * 130}example.com:443"),
    connect("broken brackets", "[::1:443", "request_malformed"),
    connect("a token for a name", "{lower}.evil.example.com:443", "token_misplaced"),
    *(
        bad_certificate(name)
        for name in ("expired", "self-signed", "unknown-ca", "wrong-name", "name-in-cn", "wildcard-too-wide")
    ),
    Case(
        "bad certificate without token",
        "reads what others see of a host that can't be trusted",
        ask(host="self-signed.bad.example.com"),
        ("upstream_untrusted",),
        connect="self-signed.bad.example.com:443",
        opened=1,
    ),
    Case(
        "TLS to the proxy itself",
        "confuses the proxy about whose handshake it is",
        b"\x16\x03\x01\x00\x05hello",
        (CLOSED,),
        connect=None,
    ),
)


@cases(*CASES)
def test_destination(arena: Arena, case: Case) -> None:
    """Nobody but the bound host gets the credential, and no other host gets the token."""
    arena.play(case)
