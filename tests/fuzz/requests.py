"""What an agent sends: from a head's bytes to what may be swapped in it."""

import contextlib
import ipaddress
import json
import re
import socket
import urllib.parse
from collections.abc import Iterator
from dataclasses import replace

import h11

from seks_addon import placements, strict
from seks_addon.authorize import Decision, decide
from seks_addon.binding import Binding, Endpoint
from seks_addon.destination.authority import check_request, check_server_name, connect_origin, plain_origin
from seks_addon.destination.host import canonical_host, is_address
from seks_addon.errors import InputError
from seks_addon.h2head import H2Head, read_head
from seks_addon.head import Head
from seks_addon.placements import Match, Place, Placement, TextPlacement
from seks_addon.placements.basic import decode_basic
from seks_addon.placements.form import FormPlacement
from seks_addon.placements.json_text import JsonPlacement, MessagePlacement
from seks_addon.placements.query import QueryPlacement
from seks_addon.policy import Policy
from seks_addon.refusal import Refused
from seks_addon.tokens import find_lookalikes
from tests import samples
from tests.fuzz.marks import FOREIGN_TOKEN, TOKENS, spelt
from tests.samples import AGENT, HOST, KEY, NOW, ORIGIN, OTHER_KEY, OTHER_TOKEN, TOKEN, binding

SPECS = (
    "bearer",
    "header:X-Api-Key: {}",
    "basic:either",
    "cookie:session",
    "query:key",
    "path:/bot{}/",
    "subprotocol:key.{}",
)
GRANT = replace(
    samples.GRANT,
    binding=Binding((Endpoint.parse(HOST, SPECS),), Policy(("GET", "POST"), ("/v1",), ("/bot{}/send*",))),
)
OTHER_GRANT = replace(GRANT, token_id="tok_2", secret_id="sec_2", binding=binding("header:X-Other: {}"))
GRANTS = {
    TOKEN: GRANT,
    OTHER_TOKEN: OTHER_GRANT,
    FOREIGN_TOKEN: replace(GRANT, token_id="tok_3", agent_id="agt_2"),
}
VALUES = {TOKEN: KEY, OTHER_TOKEN: OTHER_KEY}
#: Headers that a declared place is in.
DECLARED = {"authorization", "x-api-key", "cookie", "sec-websocket-protocol", "x-other"}


def request(data: bytes) -> None:
    """A token is swapped in a declared place or the request is refused; none is left anywhere else."""
    head = _read(spelt(data, TOKENS))
    if head is None:
        return
    with contextlib.suppress(Refused):
        strict.check_framing(head)
        check_request(ORIGIN, "https", head.values("host"), None, None)
        decision = decide(head, ORIGIN, "https", AGENT, GRANTS.get, NOW)
        assert FOREIGN_TOKEN not in set(_lookalikes(head)), "another agent's token passed"
        sent = _injected(decision)
        assert not list(_lookalikes(sent)), "a token is left"
        _check_places(sent)
        if decision.substitutions:
            _check_policy(head, {sub.match.token for sub in decision.substitutions})
        else:
            assert not list(_lookalikes(head)), "a token passed"


def _read(text: bytes) -> Head | None:
    """The head that is written a line a header: of HTTP/2 where it begins with a colon, else of HTTP/1.1."""
    first, *lines = text.split(b"\n")
    if text.startswith(b":"):
        fields = [_field(line) for line in (first, *lines)]
        with contextlib.suppress(Refused):
            return _as_sent(read_head(fields, ended=len(text) % 2 == 0))
        return None
    method, target, version = [*first.decode("latin-1").split(" "), "", "HTTP/1.1"][:3]
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in map(_field, lines))
    return Head(method, target, version, headers)


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, value = re.fullmatch(rb"(:?[^:]*):?[ ]?(.*)", line, re.DOTALL).groups()  # type: ignore[union-attr]
    return name, value


def _as_sent(read: H2Head) -> Head:
    """What any HTTP/1.1 server must read as the same."""
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in read.fields)
    head = Head(read.method.decode(), read.path.decode(), "HTTP/1.1", headers)
    strict.check_framing(head)
    server = h11.Connection(h11.SERVER, max_incomplete_event_size=2 * strict.MAX_HEAD)
    lines = [b"%b %b HTTP/1.1" % (read.method, read.path), *(b"%b: %b" % field for field in read.fields), b"", b""]
    server.receive_data(b"\r\n".join(lines))
    event = server.next_event()
    assert isinstance(event, h11.Request)
    assert (event.method, event.target) == (read.method, read.path)
    assert [(name, value.lower()) for name, value in event.headers] == [
        # Blanks around a value are none of it (RFC 9110 section 5.5): an empty crumb of a cookie leaves one at the end.
        (name.lower(), value.lower().strip(b" "))
        for name, value in read.fields
    ]
    return head


def _injected(decision: Decision) -> Head:
    """The head as it goes out, each byte one character."""
    target, headers = decision.head.target, list(decision.head.headers)
    for substitution in decision.substitutions:
        match = substitution.match
        rendered = match.render(VALUES[match.token]).decode("latin-1")
        if match.place is Place.TARGET:
            target = rendered
        else:
            assert isinstance(match.place, int)
            headers[match.place] = (headers[match.place][0], rendered)
    return replace(decision.head, target=target, headers=tuple(headers))


def _texts(head: Head) -> Iterator[tuple[str, str]]:
    yield "method", head.method
    yield "target", head.target
    yield "target", urllib.parse.unquote(head.target, "latin-1")
    for name, value in head.headers:
        yield "name", name
        for text in (value, *(decode_basic(value) or ())):
            yield name.lower(), text


def _lookalikes(head: Head) -> Iterator[str]:
    return (token for _, text in _texts(head) for token in find_lookalikes(text))


def _check_places(sent: Head) -> None:
    for where, text in _texts(sent):
        for value in VALUES.values():
            if value in text:
                assert where in DECLARED | {"target"}, f"a credential is in {where}"
                assert text.count(value) == 1, f"a credential is twice in {where}"
                if where == "target":
                    quoted = re.escape(value)
                    names = [pair.partition("=")[0] for pair in re.split("[&;]", sent.query)]
                    once = [urllib.parse.unquote_plus(name) for name in names].count("key") == 1
                    in_query = once and re.search(rf"[?&][^&=]+={quoted}(&|$)", text)
                    assert in_query or re.match(rf"/bot{quoted}/", text)


def _check_policy(head: Head, used: set[str]) -> None:
    if TOKEN in used:
        assert head.method in {"GET", "POST"}
        path = urllib.parse.unquote(head.path.replace(TOKEN, "{}"), "latin-1")
        assert path == "/v1" or path.startswith("/v1/") or re.fullmatch(r"/bot\{\}/send[^/]*", path)
        assert ".." not in path.split("/")


def placement(data: bytes) -> None:
    """A placement is written as it is read, and what it renders is found again in the same place."""
    spec, credential, rest = [*spelt(data, TOKENS).split(b"\n", 2), b"", b""][:3]
    value = credential.decode("utf-8", "replace")
    head = _read(rest)
    try:
        place = placements.parse(spec.decode("utf-8", "replace"))
        assert placements.parse(place.spec) == place
        place.check_value(value)
        if head is not None and not isinstance(place, TextPlacement):
            strict.check_framing(head)
            strict.check_with_token(head, (), encoded_slash=True)
    except (InputError, Refused):
        return
    if not value or not value.isprintable():
        return
    for match in _matches(place, head, rest):
        assert find_lookalikes(match.token) == [match.token]
        rendered = match.render(value)
        assert match.form(value) in rendered
        assert match.place is Place.TEXT or not re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", rendered)
        assert _read_back(place, rendered) in (value, None), "the host reads another credential"
        again = _put(match, head, rest)
        assert (match.token, rendered) in [(other.token, other.render(value)) for other in _matches(place, *again)]


def _read_back(place: Placement, rendered: bytes) -> str | None:
    """What a host finds in the place; None where the credential stands as it is."""
    text = rendered.decode("utf-8", "replace")
    if isinstance(place, JsonPlacement | MessagePlacement):
        inner = json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
        for key in place.pointer.split("/")[1:]:
            name = key.replace("~1", "/").replace("~0", "~")
            inner = inner[name if isinstance(inner, dict) else int(name)]
        return str(inner)
    if isinstance(place, FormPlacement | QueryPlacement):
        query = text.partition("?")[2] if isinstance(place, QueryPlacement) else text
        return dict(urllib.parse.parse_qsl(query, keep_blank_values=True))[place.name]
    return None


def _matches(place: Placement, head: Head | None, text: bytes) -> list[Match]:
    if isinstance(place, TextPlacement):
        return list(place.match_text(text))
    return list(place.match(head)) if head is not None else []


def _put(match: Match, head: Head | None, text: bytes) -> tuple[Head | None, bytes]:
    """What was looked at, with its token written by the placement."""
    rendered = match.render(match.token)
    if match.place is Place.TEXT or head is None:
        return head, rendered
    if match.place is Place.TARGET:
        return replace(head, target=rendered.decode("latin-1")), text
    assert isinstance(match.place, int)
    headers = list(head.headers)
    headers[match.place] = (headers[match.place][0], rendered.decode("latin-1"))
    return replace(head, headers=tuple(headers)), text


def authority(data: bytes) -> None:
    """A host has one spelling, and what resolvers read as an address is one."""
    lines = [line.decode("latin-1") for line in spelt(data, TOKENS).split(b"\n")]
    target, server_name, host, claimed, scheme = [*lines, *[""] * 5][:5]
    with contextlib.suppress(Refused):
        origin = connect_origin(target) if scheme != "http" else plain_origin(target)
        assert canonical_host(origin.host) == origin.host
        assert not find_lookalikes(origin.host)
        written = f"[{origin.host}]" if ":" in origin.host else origin.host
        assert connect_origin(f"{written}:{origin.port}") == origin
        if is_address(origin.host):
            assert str(ipaddress.ip_address(origin.host)) == origin.host
        else:
            with contextlib.suppress(OSError):
                socket.inet_aton(origin.host)
                raise AssertionError("a resolver may read an address in it")
        check_server_name(origin, server_name or None)
        assert not server_name or canonical_host(server_name) == origin.host
        check_request(origin, "https", [host], claimed or None, scheme or None)
        assert claimed == "" or scheme == "https"
