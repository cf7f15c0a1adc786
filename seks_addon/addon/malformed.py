"""What goes wrong in HTTP itself, in either version: heads that are no request, and mitmproxy's own errors."""

from dataclasses import dataclass
from typing import Final

from mitmproxy.proxy import commands
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http._events import ErrorCode, ResponseProtocolError

from seks_addon.refusal import Refused

#: How mitmproxy says that a host ended the connection, in HTTP/1 and in HTTP/2.
_CLOSED: Final = ("server closed connection", "peer closed connection")
#: What mitmproxy's reasons for failing are called here.
_CODES: Final = {
    ErrorCode.CONNECT_FAILED: "upstream_unreachable",
    ErrorCode.GENERIC_SERVER_ERROR: "upstream_malformed",
    ErrorCode.RESPONSE_VALIDATION_FAILED: "upstream_malformed",
    ErrorCode.RESPONSE_TOO_LARGE: "response_unsafe",
    ErrorCode.GENERIC_CLIENT_ERROR: "request_malformed",
    ErrorCode.REQUEST_VALIDATION_FAILED: "request_malformed",
    ErrorCode.DESTINATION_UNKNOWN: "request_malformed",
    ErrorCode.REQUEST_TOO_LARGE: "body_too_large",
    # A stream of HTTP/2 that the host ended without an answer.
    ErrorCode.CANCEL: "upstream_unreachable",
    ErrorCode.HTTP_1_1_REQUIRED: "upstream_unreachable",
}


@dataclass
class Malformed:
    """A head that is no request, and what is known of it."""

    context: Context
    refused: Refused
    request_id: str


@dataclass
class SeksMalformedHook(commands.StartHook):
    """A client sent a head that is no request."""

    data: Malformed


def code_of(event: ResponseProtocolError) -> str:
    """What a failure of mitmproxy's is called in the table of refusals."""
    if event.code is ErrorCode.GENERIC_SERVER_ERROR and event.message in _CLOSED:
        return "upstream_unreachable"
    return _CODES.get(event.code, "internal")
