"""A proxy, the hosts behind it, and what is asked of every exchange."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from seks_addon.tokens import find_lookalikes
from tests.support.proxy import Proxy, wait_for
from tests.support.raw import Answer, Wire, bearer
from tests.support.site import Site
from tests.support.upstream import Upstream

HOST = "api.openai.com"
STATUS = {
    "request_malformed": 400,
    "token_misplaced": 400,
    "token_malformed": 400,
    "token_unknown": 401,
    "token_revoked": 401,
    "token_expired": 401,
    "host_not_allowed": 403,
    "method_not_allowed": 403,
    "path_not_allowed": 403,
    "agent_disabled": 403,
    "address_blocked": 403,
    "egress_denied": 403,
    "cleartext_refused": 403,
    "agent_auth_required": 407,
    "agent_auth_failed": 407,
    "body_too_large": 413,
    "headers_too_large": 431,
    "rate_limited": 429,
    "uses_exhausted": 429,
    "authority_mismatch": 421,
    "upstream_unreachable": 502,
    "upstream_untrusted": 502,
    "upstream_malformed": 502,
    "response_unsafe": 502,
    "vault_locked": 503,
    "audit_unavailable": 503,
    "overloaded": 503,
    "internal": 500,
}
"""The interface's table, written down a second time."""


@dataclass
class Bench:
    """One test's view of a proxy: what came before it is not in sight."""

    proxy: Proxy
    upstream: Upstream
    user: str | None = None
    owing: bool = False
    """Whether records are missing on purpose."""
    mark: int = field(init=False)
    key: str = field(init=False)
    token: str = field(init=False)

    def __post_init__(self) -> None:
        self.mark = self._settle()
        self.upstream.clear()
        self.key = self.site.credentials[0]
        self.token = self.site.token("openai")

    def _settle(self) -> int:
        """Wait until what came before is over; gives the number of its last record."""
        wait_for(lambda: self.owing or not self.site.owes_outcomes(), "the end of earlier exchanges")
        with self.proxy.wire() as wire:
            request_id = wire.connect("10.0.0.1:1", self.user).json()["error"]["request_id"]
        # One worker writes its records in their order.
        wait_for(lambda: any(r["request_id"] == request_id for r in self.site.records()), "the last record")
        return self.proxy.mark()

    @property
    def site(self) -> Site:
        """The proxy's home."""
        return self.proxy.site

    def refused(self, answer: Answer, code: str) -> dict[str, Any]:
        """Assert that a request was refused before a credential was used, and give its only audit record."""
        record = self.record(refusal(answer, code))
        assert (record["event"], record["outcome"], record["reason"]) == ("refused", "refused", code)
        assert record["status"] == STATUS[code]
        return record

    def tripped(self, answer: Answer, code: str) -> dict[str, Any]:
        """Assert that a request was refused and raised an alarm, each with one record; gives the alarm's."""
        refused, tripwire = self.records(refusal(answer, code), 2)
        assert (refused["event"], tripwire["event"]) == ("refused", "tripwire")
        for record in (refused, tripwire):
            assert (record["outcome"], record["reason"], record["status"]) == ("refused", code, STATUS[code])
        assert tripwire["token_id"]
        same = ("client", "agent", "source_ip", "method", "scheme", "host", "port", "path")
        assert [refused[name] for name in same] == [tripwire[name] for name in same]
        return tripwire

    def failed(self, answer: Answer, code: str) -> dict[str, Any]:
        """Assert that a request was refused after the use of a credential was announced, and give its outcome."""
        intent, outcome = self.records(refusal(answer, code), 2)
        assert (intent["event"], intent["outcome"], intent["reason"]) == ("intent", "allowed", None)
        assert (outcome["event"], outcome["outcome"], outcome["reason"]) == ("outcome", "failed", code)
        assert outcome["status"] == STATUS[code]
        return outcome

    def record(self, request_id: str) -> dict[str, Any]:
        """The only audit record of a request."""
        (record,) = self.records(request_id)
        return record

    def records(self, request_id: str, count: int = 1) -> list[dict[str, Any]]:
        """The audit records of a request, waited for; exactly `count`."""

        def found() -> list[dict[str, Any]]:
            return [record for record in self.site.records(self.mark) if record["request_id"] == request_id]

        wait_for(lambda: len(found()) >= count)
        assert len(found()) == count
        return found()

    def untouched(self, *, opened: int = 0) -> None:
        """Assert that no byte of a request reached the upstream, over at most `opened` connections."""
        assert (self.upstream.requests, self.upstream.malformed) == ([], [])
        assert self.upstream.accepts <= opened

    def serves(self, wire: Wire | None = None) -> None:
        """Assert that a good request passes: on `wire`, which is a tunnel to `HOST`, or on a connection of its own."""
        answer = wire.request("GET", "/v1/models", bearer(self.token), host=HOST) if wire else self.get("/v1/models")
        assert answer.status == 200, answer.text()

    def get(self, path: str, *headers: tuple[str, str]) -> Answer:
        """A request over a connection of its own, with a token unless other headers are given."""
        return self.proxy.get(HOST, path, *(headers or [bearer(self.token)]), user=self.user)

    def post(self, host: str, path: str, body: str, *headers: tuple[str, str], chunked: bool = False) -> Answer:
        """A request with a body over a connection of its own."""
        data = body.encode()
        framing = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(len(data)))
        if chunked:
            pieces = [data[at : at + 50_000] for at in range(0, len(data), 50_000)]
            data = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        with self.proxy.tunnel(host, user=self.user) as wire:
            wire.send_head("POST", path, framing, *headers, host=host)
            wire.send(data)
            return wire.answer("POST")

    def intents(self) -> Sequence[dict[str, Any]]:
        """The uses of a credential that were announced in this test."""
        return [record for record in self.site.records(self.mark) if record["event"] == "intent"]


def refusal(answer: Answer, code: str) -> str:
    """Assert that an answer is what the interface says for `code`, and give its request id."""
    assert (answer.status, answer.code) == (STATUS[code], code), answer.text()
    assert answer.header("content-type") == "application/json"
    document = answer.json()
    error = document["error"]
    assert list(document) == ["error"]
    assert list(error) == ["type", "code", "message", "hint", "request_id"]
    assert (error["type"], error["code"]) == ("seks_refused", code)
    assert error["message"]
    assert error["hint"]
    assert not find_lookalikes(answer.text())
    return str(error["request_id"])
