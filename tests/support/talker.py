"""A WebSocket server with TLS on loopback: a vendor's realtime API, which remembers all that it was told."""

import contextlib
import json
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus

import trustme
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve
from websockets.typing import Subprotocol

type Talk = Callable[[ServerConnection], None]


class Talker:
    """The server. Echoes, unless a test puts another function into `talk`."""

    def __init__(self, *hosts: str) -> None:
        self.hosts = hosts
        self.ca = trustme.CA()
        self.talk: Talk = self.echo
        self.choose: Callable[[Sequence[str]], str | None] = lambda _offered: None
        """Which of the offered subprotocols it takes."""
        self.rejects = False
        self.handshakes: list[list[tuple[str, str]]] = []
        """The headers of each, in their order; the target is the first one, called `:path`."""
        self.heard: list[str | bytes] = []
        self.ended: list[tuple[int | None, str | None]] = []
        """The close code and reason of each connection."""
        self.port = 0

    def clear(self) -> None:
        """Forget what was heard, and echo again."""
        self.talk, self.choose, self.rejects = self.echo, lambda _offered: None, False
        self.handshakes, self.heard, self.ended = [], [], []

    def header(self, name: str) -> str | None:
        """A header of the last handshake, given in lower case."""
        return next((value for key, value in self.handshakes[-1] if key.lower() == name), None)

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """Serve on a free port."""
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(*self.hosts).configure_cert(tls)
        server = serve(
            self._connection,
            "127.0.0.1",
            0,
            ssl=tls,
            select_subprotocol=lambda _connection, offered: self._choose(offered),
            process_request=self._process_request,
            ping_interval=None,
            max_size=None,
        )
        self.port = server.socket.getsockname()[1]
        with self._in_thread(server):
            yield

    @contextlib.contextmanager
    def _in_thread(self, server: Server) -> Iterator[None]:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()

    def _choose(self, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        chosen = self.choose(offered)
        return Subprotocol(chosen) if chosen is not None else None

    def _process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        self.handshakes.append([(":path", request.path), *request.headers.raw_items()])
        if not self.rejects:
            return None
        return connection.respond(HTTPStatus.FORBIDDEN, json.dumps(dict(request.headers.raw_items())))

    def _connection(self, connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            self.talk(connection)
            connection.close()
        self.ended.append((connection.close_code, connection.close_reason))

    def echo(self, connection: ServerConnection) -> None:
        """Say again what is said, until the other side goes; `headers` asks for those of the handshake."""
        assert connection.request is not None
        for message in connection:
            self.heard.append(message)
            asked = message == "headers"
            connection.send(json.dumps(dict(connection.request.headers.raw_items())) if asked else message)
