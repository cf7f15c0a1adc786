"""What the inputs of each target look like. Mutation begins here; bytes below 0x20 are marks."""

import gzip
import zlib
from collections.abc import Iterator

import brotli
import zstandard

from tests.samples import HOST

_H1 = b"GET /v1/models HTTP/1.1\nHost: " + HOST.encode()
_H2 = b":method: POST\n:scheme: https\n:authority: " + HOST.encode() + b"\n:path: /v1/chat"
_UPGRADE = (
    b"\nConnection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
)
_BODY = b"data: a body that is long enough to be worth its compression " * 4

SEEDS: dict[str, list[bytes]] = {
    "request": [
        _H1,
        _H1 + b"\nAuthorization: Bearer \x01",
        _H1 + b"\nX-Api-Key: \x01\nX-Other: \x02",
        _H1 + b"\nAuthorization: Basic \x03",
        _H1 + b"\nAuthorization: Basic \x04\nConnection: close, X-Name",
        _H1 + b"\nCookie: a=b; session=\x01; c=d",
        _H1 + b"\nAuthorization: Bearer \x06",
        _H1 + b"\nAuthorization: Bearer \x07\nX-Method-Override: PUT",
        _H1 + _UPGRADE + b"\nSec-WebSocket-Protocol: chat, key.\x01",
        _H1.replace(b"/v1/models", b"/v1/a?a=b&key=\x01&c=d"),
        _H1.replace(b"/v1/models", b"/v1/a?key=\x01&key=b;c"),
        _H1.replace(b"/v1/models", b"/bot\x01/sendMessage?a=b"),
        _H1.replace(b"/v1/models", b"/bot\x05/send%2e%2e"),
        _H1.replace(b"/v1/models", b"/v1/%2e%2e/%6dodels;a") + b"\nContent-Length: 2\nTransfer-Encoding: chunked",
        _H2,
        _H2 + b"\nauthorization: Bearer \x01",
        _H2 + b"\ncookie: a=b\ncookie: session=\x01\nte: trailers",
        _H2 + b"\nhost: " + HOST.encode() + b"\ncontent-length: 10\nx-api-key: \x08",
    ],
    "placement": [
        b"bearer\nsk-key\n" + _H1 + b"\nAuthorization: bEARER  \x01",
        b"header:X-Api-Key: key={};v=1\nsk-key\n" + _H1 + b"\nx-api-key: key=\x01;v=1",
        b"basic:either\nsk-k\xc3\xa9y\n" + _H1 + b"\nAuthorization: Basic \x03",
        b"cookie:session\nsk-key\n" + _H1 + b"\nCookie: a=b ;session=\x01;c",
        b"query:key\nsk/k y+&\n" + _H1.replace(b"/v1/models", b"/?a=b&ke%79=\x01&c"),
        b"query:key\nsk-key\n" + _H1.replace(b"/v1/models", b"/?a=b&;key=\x01"),
        b"path:/bot{}/\nsk/../key\n" + _H1.replace(b"/v1/models", b"/bot\x01/send?a"),
        b"subprotocol:key.{}\nsk-key\n" + _H1 + _UPGRADE + b"\nSec-WebSocket-Protocol: a, key.\x01",
        b"form:client_secret\nsk k&y\na=b&client_secret=\x01&c=d",
        b'json:/client/0\nsk"key\n{"client": ["\x01"], "other": 1e999}',
        b'message:/d/token\nsk\\key\n{"op": 2, "d": {"token": "\x01"}}',
    ],
    "authority": [
        b"api.example.com:443\napi.example.com\napi.example.com:443\nAPI.example.com.\nhttps",
        b"[::1]:8443\n\n[::1]:8443\n",
        b"127.0.0.1:80\n127.0.0.1\n127.0.0.1",
        b"0x7f.1:443",
        b"xn--bcher-kva.example:1\nxn--bcher-kva.example",
        b"a_b.example\n\na_b.example\n\nhttp",
        b"\x01.example:443",
    ],
    "scrub": [
        b'\x07{"key": "\x01", "basic": "\x02", "escaped": "\x07"}',
        b"\x01<p>\x08 \x0f \x06 \x05 \x0b</p>",
        b"\x10\x0c\x0e\x0ek-te%73t&#x73;k=\r\n-test\\u0073\x0c\x03 \x04",
        b"\x3fsk-te=73t-not-a-r=\r\neal-key-\\x30\\u0030&#48;&#x30;%30000000000",
    ],
    "coding": [
        b"\x00\x05" + gzip.compress(_BODY, mtime=0),
        b"\x00\x05" + gzip.compress(_BODY, mtime=0) * 2,
        b"\x01\x05" + zlib.compress(_BODY),
        b"\x01\x05" + zlib.compress(_BODY, wbits=-zlib.MAX_WBITS),
        b"\x02\x05" + brotli.compress(_BODY),
        b"\x03\x05" + zstandard.ZstdCompressor().compress(_BODY),
        b"\x03\x3f" + zstandard.ZstdCompressor(write_checksum=True).compress(bytes(300_000)),
        b"\x04\x05" + _BODY,
    ],
    "path": [
        b"/v1/models\n/v1/%6dodels",
        b"/repos/*/issues/**\n/repos/a%2fb/issues/1",
        b"/**/a*b*/**\n/x/aab%2Fb/y",
        b"/bot{}/send*\n/bot{}/sendMessage",
        b"/f/ab*ba\n/f/aba",
        b"/v1/*\n/v1/a;b//%252f%5c",
    ],
    "json": [
        b'a/0/b\n{"a": [{"b": "\x01"}], "c": 1}',
        b'a\n {"b": {"a": 1}, "a" : "x\\u0022\\n", "d": [1.5e9, null, true, -0]} ',
        b'a\n{"a": "1", "\\u0061": "2"}',
        b'1/k\n[[], {"k": ""}]',
    ],
    "token": [b"\x01", b"\x01\x01", b"\x01\x02", b"seks_a_\x01 /bot\x02/ SEKS_openai_\x08", b"\x01_x\x05\x03"],
}


def words() -> Iterator[bytes]:
    """What mutation may put in: marks, and the words of the languages that are read."""
    for mark in range(1, 16):
        yield b"\\x%02x" % mark
    for word in _WORDS.split():
        yield word.replace(b"\\", b"\\\\").replace(b'"', b'\\"')


_WORDS = rb"""
Bearer Basic Cookie: session= key= key. Authorization: authorization: X-Api-Key: x-api-key: X-Other:
Host: host: Connection: Content-Length: Transfer-Encoding: chunked Expect: Sec-WebSocket-Protocol: Range:
:method: :path: /v1 /bot /send %2e%2e %2f %5c %25 ;.. /../ ** /*/ {} \u0073 \u00 &#x73; &#115; &#0 =73
%73 \x73 sk-test sk- seks_ api.example.com 0x7f.1 [::ffff:127.0.0.1] 127.1 :443 :65535 https http "a":
"b" \u0061 [0] 1e9 json:/a header: query: form: path:/
"""
