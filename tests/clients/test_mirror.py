"""A host that returns a request's headers, in every form, coding and framing, to clients that read what is left."""

import base64
import html
import json
import shutil
import sys
import urllib.parse
from collections.abc import Callable, Iterable

import pytest

from tests.clients.agent import Agent, python
from tests.clients.conftest import NODE
from tests.support.forms import holds
from tests.support.upstream import Received, Send
from tests.test_codings import PACKED
from tests.test_scrub_forms import FORMS

pytestmark = pytest.mark.clients

CODINGS = {"": ("", bytes), **PACKED}


async def with_length(head: bytes, body: bytes, send: Send) -> bool:
    await send(b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body))
    return True


async def to_the_end(head: bytes, body: bytes, send: Send) -> bool:
    await send(head + b"Connection: close\r\n\r\n" + body)
    return False


async def in_chunks(head: bytes, body: bytes, send: Send, size: int = 7) -> bool:
    await send(head + b"Transfer-Encoding: chunked\r\n\r\n")
    for start in range(0, len(body), size):
        piece = body[start : start + size]
        await send(b"%x\r\n%b\r\n" % (len(piece), piece))
    await send(b"0\r\n\r\n")
    return True


async def in_bytes(head: bytes, body: bytes, send: Send) -> bool:
    return await in_chunks(head, body, send, 1)


FRAMINGS = {framing.__name__: framing for framing in (with_length, to_the_end, in_chunks, in_bytes)}
#: Each form once; the rest in turn.
SOME = [
    (form, [*CODINGS][at % len(CODINGS)], [*FRAMINGS][at // len(CODINGS) % len(FRAMINGS)])
    for at, form in enumerate(FORMS)
]


def url(form: str, coding: str, framing: str) -> str:
    return f"https://api.openai.com/mirror?{[*FORMS].index(form)}&{[*CODINGS].index(coding)}&{framing}"


async def mirror(received: Received, send: Send) -> bool:
    """Return the headers as the address says."""
    form, coding, framing = received.target.partition("?")[2].split("&")
    header, pack = [*CODINGS.values()][int(coding)]
    text = "".join(f"{name}: {value}\n" for name, value in received.headers)
    coded = f"Content-Encoding: {header}\r\n".encode() if header else b""
    return await FRAMINGS[framing](b"HTTP/1.1 200 OK\r\n" + coded, pack([*FORMS.values()][int(form)](text)), send)


def decoded(text: bytes) -> bytes:
    """Read base64 of either alphabet that may be escaped."""
    plain = html.unescape(urllib.parse.unquote(text.decode().replace("\\/", "/")))
    return base64.b64decode(plain.translate(str.maketrans("-_", "+/")).rstrip("=") + "==")


def with_curl(agent: Agent, urls: list[str]) -> Iterable[bytes]:
    lines = [f'url = "{url}"\noutput = "{number}"\n' for number, url in enumerate(urls)]
    (agent.folder / "config").write_text("".join(lines), "utf-8")
    agent.run("sh", "-c", 'curl -sS --fail --max-time 50 -K config -H "Authorization: Bearer $OPENAI_API_KEY"')
    return ((agent.folder / str(number)).read_bytes() for number in range(len(urls)))


def with_program(agent: Agent, urls: list[str], *command: str) -> Iterable[bytes]:
    (agent.folder / "urls").write_text("\n".join(urls), "utf-8")
    # A form may have what Unicode takes for the end of a line.
    lines = agent.run(*command, "urls").rstrip("\n").split("\n")
    return (json.loads(line).encode("latin-1") for line in lines)


CLIENTS: dict[str, Callable[[Agent, list[str]], Iterable[bytes]]] = {
    "requests": lambda agent, urls: with_program(agent, urls, *python("mirror", "requests")),
    "httpx": lambda agent, urls: with_program(agent, urls, *python("mirror", "httpx")),
    "fetch": lambda agent, urls: with_program(agent, urls, "node", str(NODE / "mirror.mjs")),
    "curl": with_curl,
}


def check(agent: Agent, client: str, asked: list[tuple[str, str, str]]) -> None:
    """No form of the key is in what comes back, and the token is."""
    program = {"fetch": "node", "curl": "curl"}.get(client, sys.executable)
    if not shutil.which(program):
        pytest.skip(f"no {program} on the PATH")
    agent.upstream.route("GET", "/mirror", mirror)
    key, token = agent.office.keys["openai"], agent.office.tokens["openai"]

    answers = [*CLIENTS[client](agent, [url(*one) for one in asked])]

    assert len(answers) == len(asked)
    for (form, coding, framing), answer in zip(asked, answers, strict=True):
        what = f"{form}, {coding}, {framing}: {answer!r}"
        assert not holds(answer, key), what
        assert FORMS[form](key) not in answer, what
        read = decoded(answer) if form.startswith("base64") else answer
        assert key.encode() not in read, what
        assert any(made(token) in read for made in (str.encode, FORMS[form])), what
    assert {received.authorization for received in agent.upstream.requests} == {f"Bearer {key}"}


@pytest.mark.parametrize("client", CLIENTS)
def test_every_form(agent: Agent, client: str) -> None:
    check(agent, client, SOME)


@pytest.mark.slow
@pytest.mark.parametrize("framing", FRAMINGS)
def test_every_form_in_every_coding_and_framing(agent: Agent, framing: str) -> None:
    check(agent, "curl", [(form, coding, framing) for form in FORMS for coding in CODINGS])
