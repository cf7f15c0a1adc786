"""A refusal as the answer that a client gets."""

import json
import uuid

from mitmproxy import http

from seks_addon.refusal import Refused


def new_request_id() -> str:
    """A request's name in answers, logs and records."""
    return f"req_{uuid.uuid4().hex}"


def refusal_response(refused: Refused, request_id: str, *, close: bool = False) -> http.Response:
    """Make the JSON answer of the interface. Constant but for names and the request id."""
    body = json.dumps(
        {
            "error": {
                "type": "seks_refused",
                "code": refused.code,
                "message": refused.message,
                "hint": refused.hint,
                "request_id": request_id,
            }
        }
    ).encode()
    headers = {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "X-Seks-Error": refused.code,
        "Cache-Control": "no-store",
    }
    if refused.status == 407:
        headers["Proxy-Authenticate"] = 'Basic realm="seks", charset="UTF-8"'
    # Nothing is to be waited for where the uses are exhausted.
    if refused.code == "rate_limited" or refused.status == 503:
        headers["Retry-After"] = str(refused.retry_after or 5)
    if close:
        headers["Connection"] = "close"
    return http.Response.make(refused.status, body, headers)
