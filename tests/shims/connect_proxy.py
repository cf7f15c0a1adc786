"""A proxy that knows CONNECT alone, and writes down what it was asked for."""

import base64
import json
import socket
import socketserver
import threading
import time
from typing import cast

REFUSALS = {
    "header.example": ("403 Forbidden", "X-Seks-Error: egress_denied\r\n", ""),
    "body.example": ("403 Forbidden", "", json.dumps({"error": {"code": "host_not_allowed"}})),
    "plain.example": ("502 Bad Gateway", "", "<html>no</html>"),
    "number.example": ("407 No", "", json.dumps({"error": {"code": 407}})),
}


class ConnectProxy(socketserver.ThreadingTCPServer):
    """A proxy that knows CONNECT alone: port 443 of any host is the upstream, other ports are loopback's."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, upstream_port: int) -> None:
        """Listen on a free port."""
        super().__init__(("127.0.0.1", 0), Tunnel)
        self.upstream_port = upstream_port
        self.targets: list[str] = []
        self.credentials: list[str | None] = []
        self.live = 0

    def url(self, userinfo: str = "") -> str:
        """What goes into HTTPS_PROXY."""
        return f"http://{userinfo}127.0.0.1:{self.server_address[1]}"


class Tunnel(socketserver.StreamRequestHandler):
    """One connection to the proxy."""

    def handle(self) -> None:
        """Answer CONNECT, then pass bytes both ways until both ends are done."""
        proxy = cast("ConnectProxy", self.server)
        proxy.live += 1
        try:
            self.tunnel(proxy)
        except OSError:
            pass
        finally:
            proxy.live -= 1

    def tunnel(self, proxy: ConnectProxy) -> None:
        """Answer CONNECT and relay."""
        target = self.rfile.readline().decode().split()[1]
        fields = dict(line.split(": ", 1) for line in iter(lambda: self.rfile.readline().decode().strip(), ""))
        authorization = fields.get("Proxy-Authorization", "").removeprefix("Basic ")
        proxy.targets.append(target)
        proxy.credentials.append(base64.b64decode(authorization).decode() if authorization else None)
        host, _, port = target.rpartition(":")
        if host == "silent.example":
            self.rfile.read()
            return
        if host == "close.example":
            return
        if host in REFUSALS:
            status, extra, body = REFUSALS[host]
            head = f"HTTP/1.1 {status}\r\n{extra}Content-Length: {len(body)}\r\n\r\n"
            for piece in (head, body[:4], body[4:]):
                self.wfile.write(piece.encode())
                time.sleep(0.02)
            self.rfile.read()
            return
        address = ("127.0.0.1", proxy.upstream_port if port == "443" else int(port))
        with socket.create_connection(address) as upstream:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=relay, args=(upstream, self.connection), daemon=True)
            back.start()
            relay(self.connection, upstream)
            back.join()


def relay(source: socket.socket, sink: socket.socket) -> None:
    """Pass bytes one way to the end."""
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        source.close()
        sink.close()
