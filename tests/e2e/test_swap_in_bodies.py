"""A token in the body of a request: swapped in a declared field of a form or of JSON, text anywhere else."""

import time
from datetime import timedelta

import pytest

from seks_addon.timing import now
from seks_addon.tokens import new_token
from tests.support.bench import HOST, Bench, refusal
from tests.support.raw import bearer

JSON = "application/json; charset=utf-8"
FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    ("secret", "kind", "body"),
    [
        ("in-form", FORM, "grant_type=client_credentials&client_secret={}&scope=a+b"),
        ("in-json", JSON, '{{ "n": 1.50, "auth": {{"secret": "{}"}}, "ä": [] }}'),
        ("in-json", "application/vnd.api+json", '{{"auth":{{"secret":"{}"}}}}'),
    ],
)
def test_body(bench: Bench, secret: str, kind: str, body: str, chunked: bool) -> None:
    """In a declared field of the body the token goes out as the credential; the rest stays, and the length is right."""
    token = bench.site.token(secret)
    key = next(key for key in bench.site.credentials if f"-{secret}-" in key)

    answer = bench.post("places.example.com", "/echo", body.format(token), ("Content-Type", kind), chunked=chunked)

    (received,) = bench.upstream.requests
    assert received.body.decode() == body.format(key)
    assert received.complete
    assert answer.status == 200
    bench.site.assert_no_leak(answer.text().encode())
    intent, outcome = bench.proxy.records(bench.mark, 2)
    assert (intent["event"], outcome["event"], outcome["outcome"]) == ("intent", "outcome", "allowed")
    assert outcome["request_bytes"] == len(body.format(token).encode())


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (JSON, '{{"prompt": "my token is {}"}}'),
        (JSON, '{{"auth": ["secret", "{}"]}}'),
        (JSON, '{{"auth": {{"secret": "{0}", "secret": "{0}"}}}}'),
        (JSON, '{{"auth": {{"secret": "{}"}}'),
        (JSON, '{{"auth": {{"secret": "Bearer {}"}}}}'),
        (FORM, "other={}"),
        (FORM, "client_secret={0}&client_secret={0}"),
        ("text/plain", "client_secret={}"),
        ("multipart/form-data; boundary=x", "client_secret={}"),
    ],
)
def test_a_token_elsewhere_in_a_body(bench: Bench, kind: str, body: str) -> None:
    """It is text like any other, and is never swapped."""
    text = body.format(bench.site.token("in-json"))

    answer = bench.post("places.example.com", "/echo", text, ("Content-Type", kind))

    (received,) = bench.upstream.requests
    assert answer.status == 200
    assert received.body.decode() == text
    assert not bench.intents()


@pytest.mark.parametrize(
    ("secret", "code"),
    [("openai", "host_not_allowed"), ("in-json", "token_misplaced"), (None, "token_unknown")],
)
def test_another_token_in_the_field(bench: Bench, secret: str | None, code: str) -> None:
    """What stands in the field is judged as anywhere else."""
    # Who has no token for the form is free to send one with anything in it.
    bench.site.token("in-form")
    token = bench.site.token(secret) if secret else new_token("openai")

    answer = bench.post("places.example.com", "/echo", f"client_secret={token}", ("Content-Type", FORM))

    bench.refused(answer, code)
    bench.untouched(opened=0)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (f"{JSON}; charset=UTF-8", None),
        (f'{JSON};a=b;Charset="utf8"', None),
        (f"{JSON}; charset=utf-16", "request_malformed"),
        (f"{JSON}; charset=utf-8; charset=utf-7", "request_malformed"),
        (f"{JSON}; charset='shift_jis'", "request_malformed"),
    ],
)
def test_charset(bench: Bench, kind: str, code: str | None) -> None:
    """A body isn't read in another way than its host is told to."""
    token = bench.site.token("in-json")
    with_token, without = (f'{{"auth": {{"secret": "{text}"}}}}' for text in (token, "x"))

    answer = bench.post("places.example.com", "/echo", with_token, ("Content-Type", kind))

    if code:
        bench.refused(answer, code)
        bench.untouched(opened=0)
    else:
        assert answer.status == 200
    assert bench.post("places.example.com", "/echo", without, ("Content-Type", kind)).status == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_a_long_body(bench: Bench, chunked: bool) -> None:
    """Where a token may stand in it, a body is read whole, up to a limit; elsewhere bodies have none."""
    bench.site.token("in-form")
    text = "a" * (2 << 20)

    answer = bench.post("places.example.com", "/echo", text, ("Content-Type", FORM), chunked=chunked)

    bench.refused(answer, "body_too_large")
    bench.untouched(opened=0)
    assert bench.post("places.example.com", "/echo", text, ("Content-Type", "text/plain")).status == 200


def test_token_in_body_stays(bench: Bench) -> None:
    """A token in a body is a part of somebody's text: it is sent on as it is."""
    body = f'{{"prompt": "my key is {bench.token}"}}'.encode()

    with bench.proxy.tunnel(HOST) as wire:
        answer = wire.request("POST", "/upload", bearer(bench.token), host=HOST, body=body)

    assert answer.status == 200
    assert bench.upstream.requests[0].body == body


def test_expired_while_a_body_is_awaited(bench: Bench) -> None:
    """A token in the head isn't good for as long as an agent takes for the body."""
    bench.site.token("in-form")
    token = bench.site.token("in-query", expires=now() + timedelta(seconds=1))
    with bench.proxy.tunnel("places.example.com") as wire:
        form = (("Content-Type", FORM), ("Content-Length", "3"))
        wire.send_head("POST", f"/echo?key={token}", *form, host="places.example.com")
        time.sleep(1.5)
        wire.send(b"a=b")
        refusal(wire.answer("POST"), "token_expired")

    assert bench.upstream.requests == []
    intent, outcome = bench.proxy.records(bench.mark, 2)
    assert (intent["event"], outcome["outcome"], outcome["reason"]) == ("intent", "failed", "token_expired")
