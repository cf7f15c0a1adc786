"""What the upstream answers: the vendors' APIs, valid for their own SDKs, and paths that help to test."""

import asyncio
import gzip
import json
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

import h11

if TYPE_CHECKING:
    from .upstream import Received

type Answer = dict[str, Any] | list[bytes]
"""A JSON document, or the server-sent events of a streamed answer."""

type Headers = Iterable[tuple[str, str]]
type Route = Callable[[Received, Reply], Awaitable[None]]

ECHOED_BODY = 1 << 16
FILLER = 1 << 16

CREATED = 1_700_000_000
WORDS = ("Hello", " from", " the", " loopback", " upstream")
TEXT = "".join(WORDS)


class Reply:
    """Writes one answer, flushing after every piece."""

    def __init__(self, http: h11.Connection, writer: asyncio.StreamWriter, method: str, sse_gap: float) -> None:
        self._http = http
        self._writer = writer
        self._bodyless = method == "HEAD"
        self.sse_gap = sse_gap

    async def raw(self, data: bytes) -> None:
        """Send bytes behind the parser's back."""
        self._writer.write(data)
        await self._writer.drain()

    async def event(self, event: h11.Event) -> None:
        """Send one HTTP event."""
        await self.raw(self._http.send(event) or b"")

    async def start(self, status: int, headers: Headers = ()) -> None:
        """Send the head; without a Content-Length the body will be chunked."""
        encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        kind = h11.InformationalResponse if status < 200 else h11.Response
        await self.event(kind(status_code=status, headers=encoded, reason=b"Loopback"))

    async def data(self, data: bytes) -> None:
        """Send a piece of the body."""
        if not self._bodyless:
            await self.event(h11.Data(data=data))

    async def end(self) -> None:
        """End the body."""
        await self.event(h11.EndOfMessage())

    async def send(self, status: int, body: bytes, content_type: str, headers: Headers = ()) -> None:
        """Send a whole answer with its length."""
        length = [("Content-Type", content_type), ("Content-Length", str(len(body)))]
        await self.start(status, [*length, *headers])
        await self.data(body)
        await self.end()

    async def json(self, status: int, value: object, headers: Headers = ()) -> None:
        """Send a JSON answer."""
        await self.send(status, json.dumps(value).encode(), "application/json", headers)

    async def events(self, events: Iterable[bytes], gap: float) -> None:
        """Send server-sent events, `gap` seconds apart."""
        await self.start(200, [("Content-Type", "text/event-stream"), ("Cache-Control", "no-cache")])
        for number, event in enumerate(events):
            await asyncio.sleep(gap if number else 0)
            await self.data(event)
        await self.end()


def event(data: object, name: str | None = None) -> bytes:
    """Format one server-sent event; a string goes out as it is, all else as JSON."""
    text = data if isinstance(data, str) else json.dumps(data)
    return (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode()


def chat_completions(request: dict[str, Any]) -> Answer:
    """Answer `POST /v1/chat/completions`."""
    base = {"id": "chatcmpl-loopback", "created": CREATED, "model": request.get("model", "gpt-test")}
    usage = {"prompt_tokens": 3, "completion_tokens": len(WORDS), "total_tokens": 3 + len(WORDS)}
    if not request.get("stream"):
        message = {"role": "assistant", "content": TEXT, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        return {**base, "object": "chat.completion", "choices": [choice], "usage": usage}

    def chunk(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return event({**base, "object": "chat.completion.chunk", "choices": [choice]})

    deltas = [chunk({"content": word}) for word in WORDS]
    return [chunk({"role": "assistant", "content": ""}), *deltas, chunk({}, "stop"), event("[DONE]")]


def responses(request: dict[str, Any]) -> Answer:
    """Answer `POST /v1/responses`."""
    text = {"type": "output_text", "text": TEXT, "annotations": []}
    message = {"id": "msg_loopback", "type": "message", "role": "assistant", "status": "completed"}
    usage = {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": len(WORDS),
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 3 + len(WORDS),
    }
    answer: dict[str, Any] = {
        "id": "resp_loopback",
        "object": "response",
        "created_at": CREATED,
        "model": request.get("model", "gpt-test"),
        "status": "completed",
        "output": [{**message, "content": [text]}],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": usage,
    }
    if not request.get("stream"):
        return answer
    place = {"item_id": "msg_loopback", "output_index": 0, "content_index": 0, "logprobs": []}
    steps: list[dict[str, Any]] = [
        {"type": "response.created", "response": {**answer, "status": "in_progress", "output": []}},
        *({"type": "response.output_text.delta", **place, "delta": word} for word in WORDS),
        {"type": "response.completed", "response": answer},
    ]
    return [event({**step, "sequence_number": n}, step["type"]) for n, step in enumerate(steps)]


def messages(request: dict[str, Any]) -> Answer:
    """Answer `POST /v1/messages`."""
    message = {
        "id": "msg_loopback",
        "type": "message",
        "role": "assistant",
        "model": request.get("model", "claude-test"),
        "content": [{"type": "text", "text": TEXT}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": len(WORDS)},
    }
    if not request.get("stream"):
        return message
    usage = {"input_tokens": 3, "output_tokens": 0}
    start = {**message, "content": [], "stop_reason": None, "usage": usage}
    steps: list[dict[str, Any]] = [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}} for word in WORDS),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": len(WORDS)},
        },
        {"type": "message_stop"},
    ]
    return [event(step, step["type"]) for step in steps]


def models(_request: dict[str, Any]) -> Answer:
    """Answer `GET /v1/models`."""
    names = ("gpt-test", "claude-test")
    data = [{"id": name, "object": "model", "created": CREATED, "owned_by": "loopback"} for name in names]
    return {"object": "list", "data": data}


def unauthorized(path: str) -> dict[str, Any]:
    """The body of a 401, as the vendor whose path it is words it."""
    if path == "/v1/messages":
        error = {"type": "authentication_error", "message": "invalid x-api-key"}
        return {"type": "error", "error": error, "request_id": "req_loopback"}
    kind = {"type": "invalid_request_error", "param": None, "code": "invalid_api_key"}
    return {"error": {"message": "Incorrect API key provided.", **kind}}


ANSWERS: dict[tuple[str, str], Callable[[dict[str, Any]], Answer]] = {
    ("POST", "/v1/chat/completions"): chat_completions,
    ("POST", "/v1/responses"): responses,
    ("POST", "/v1/messages"): messages,
    ("GET", "/v1/models"): models,
}


async def echo(received: "Received", reply: Reply) -> None:
    """`/echo` says all about the request, in body and headers."""
    named = {"X-Echo-Authorization": "authorization", "X-Echo-Api-Key": "x-api-key"}
    headers = [(name, value) for name, source in named.items() if (value := received.header(source)) is not None]
    text = received.body[:ECHOED_BODY].decode(errors="replace")
    seen = {"method": received.method, "target": received.target, "headers": received.headers, "body": text}
    await reply.json(200, seen, headers)


async def filler(received: "Received", reply: Reply) -> None:
    """`/bytes/N` and `/chunked/N` are N bytes, with a length or chunked."""
    kind, size = received.path.split("/")[1:]
    left = int(size)
    headers = [("Content-Type", "application/octet-stream")]
    await reply.start(200, headers + [("Content-Length", size)] * (kind == "bytes"))
    while left:
        piece = min(left, FILLER)
        await reply.data(b"x" * piece)
        left -= piece
    await reply.end()


async def drip(received: "Received", reply: Reply) -> None:
    """`/drip` is five events with the Authorization value, 0.2 s apart."""
    await reply.events((f"data: {i} {received.authorization}\n\n".encode() for i in range(5)), 0.2)


async def upload(received: "Received", reply: Reply) -> None:
    """`/upload` tells length and digest of the body."""
    await reply.json(200, {"bytes": received.body_length, "sha256": received.body_sha256})


async def status(received: "Received", reply: Reply) -> None:
    """`/status/NNN` answers with that status; one below 200 comes before a 200."""
    code = int(received.path.removeprefix("/status/"))
    if code < 200:
        await reply.start(code)
    if code in (204, 304):
        await reply.start(code)
        await reply.end()
    else:
        await reply.json(max(code, 200), {"status": code})


async def split(received: "Received", reply: Reply) -> None:
    """`/split?at=K` is the credential of the Authorization header in two chunks, 30 ms apart."""
    credential = received.authorization.rpartition(" ")[2].encode("latin-1")
    at = int(received.query("at", "0"))
    await reply.start(200, [("Content-Type", "text/plain")])
    await reply.data(b"before " + credential[:at])
    await asyncio.sleep(0.03)
    await reply.data(credential[at:] + b" after")
    await reply.end()


async def redirect(received: "Received", reply: Reply) -> None:
    """`/redirect` is a 302 with the Authorization value in its Location."""
    location = f"https://elsewhere.example/?credential={received.authorization}"
    await reply.send(302, b"", "text/plain", [("Location", location)])


async def gzipped(received: "Received", reply: Reply) -> None:
    """`/gzip` is a compressed body with the Authorization value."""
    body = gzip.compress(f"credential: {received.authorization}\n".encode())
    await reply.send(200, body, "text/plain", [("Content-Encoding", "gzip")])


async def garbage(_received: "Received", reply: Reply) -> None:
    """`/garbage` answers with bytes that are no HTTP."""
    await reply.raw(b"\x00\x01\x02 this is not HTTP \xff\xfe\r\n\r\n")


async def close(_received: "Received", _reply: Reply) -> None:
    """`/close` says nothing."""


async def vendor(received: "Received", reply: Reply) -> None:
    """The vendors' paths, with the answers that their SDKs expect."""
    answer = ANSWERS[received.method, received.path](received.json())
    if isinstance(answer, list):
        await reply.events(answer, reply.sse_gap)
    else:
        await reply.json(200, answer)


ROUTES: list[tuple[str, str, Route]] = [
    *((method, re.escape(path), vendor) for method, path in ANSWERS),
    (".*", "/echo", echo),
    ("GET|HEAD", r"/(bytes|chunked)/\d+", filler),
    ("GET", "/drip", drip),
    ("POST|PUT", "/upload", upload),
    (".*", r"/status/[1-5]\d\d", status),
    ("GET", "/split", split),
    ("GET", "/redirect", redirect),
    ("GET", "/gzip", gzipped),
    ("GET", "/garbage", garbage),
    (".*", "/close", close),
]


async def nothing(_received: "Received", reply: Reply) -> None:
    """Anything else is not found."""
    await reply.json(404, {"error": {"message": "no such route", "type": "not_found"}})


def find(method: str, path: str) -> Route:
    """The route for a request."""
    for methods, pattern, route in ROUTES:
        if re.fullmatch(methods, method) and re.fullmatch(pattern, path):
            return route
    return nothing
