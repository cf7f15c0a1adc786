"""Why a request is refused: one table of codes, and the exception that carries one of them."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from seks_addon.errors import SeksError


@dataclass(frozen=True, slots=True)
class Rule:
    """A row of the table: HTTP status, and the message and hint for when nothing better is known."""

    status: int
    message: str
    hint: str


RULES: Final = MappingProxyType(
    {
        "request_malformed": Rule(
            400, "The request is not one that may carry a token.", "Send plain HTTP/1.1 with one Host header."
        ),
        "token_misplaced": Rule(
            400,
            "A token stands where the secret doesn't allow one.",
            "Send it as the whole value of the header that the provider documents.",
        ),
        "token_malformed": Rule(
            400,
            "Something that looks like a SEKS token is not one: its checksum is wrong.",
            "Copy the whole token again, or print it with `seks env`.",
        ),
        "token_unknown": Rule(
            401,
            "This agent has no such token.",
            "List its tokens with `seks token list`; issue one with `seks token issue`.",
        ),
        "token_revoked": Rule(401, "The token was revoked.", "Issue a new one with `seks token issue`."),
        "token_expired": Rule(401, "The token has expired.", "Issue a new one with `seks token issue`."),
        "host_not_allowed": Rule(
            403, "The token's secret is not bound to this host.", "See `seks vault show` for its hosts."
        ),
        "method_not_allowed": Rule(
            403, "The token's policy doesn't allow this method.", "See `seks token show` for its policy."
        ),
        "path_not_allowed": Rule(
            403, "The token's policy doesn't allow this path.", "See `seks token show` for its policy."
        ),
        "agent_disabled": Rule(403, "The agent is disabled.", "Enable it with `seks agent enable`."),
        "address_blocked": Rule(
            403,
            "The host's address is private, local or otherwise not public.",
            "If it is meant to be reached, start the proxy with --allow-private CIDR.",
        ),
        "egress_denied": Rule(
            403, "The egress policy doesn't allow this host.", "Allow it with --allow-host, or bind a secret to it."
        ),
        "cleartext_refused": Rule(403, "A token never travels without TLS.", "Use https:// and an intercepted tunnel."),
        "agent_auth_required": Rule(
            407, "The proxy wants to know which agent this is.", "Put AGENT:PASSWORD@ into the proxy URL."
        ),
        "agent_auth_failed": Rule(
            407, "The agent's name or password is wrong.", "Print the proxy URL with `seks env --agent NAME`."
        ),
        "body_too_large": Rule(413, "The request body is too large.", "Send less at once."),
        "authority_mismatch": Rule(
            421,
            "CONNECT target, TLS server name, Host header and request target do not all name one host.",
            "Use the same host name for all of them.",
        ),
        "rate_limited": Rule(429, "The token's rate limit is reached.", "Wait, then try again."),
        "uses_exhausted": Rule(429, "The token's uses are exhausted.", "Issue a new one with `seks token issue`."),
        "headers_too_large": Rule(431, "The request's headers are too large.", "Send fewer or shorter headers."),
        "internal": Rule(500, "The proxy failed.", "See the proxy's log for the request id."),
        "upstream_unreachable": Rule(
            502, "The host could not be reached, or it closed the connection.", "Try again; see the proxy's log."
        ),
        "upstream_untrusted": Rule(
            502,
            "The host's certificate could not be verified.",
            "Add its CA with --upstream-ca if you trust it.",
        ),
        "upstream_malformed": Rule(502, "The host's answer is not valid HTTP.", "Ask the host's operator."),
        "response_unsafe": Rule(
            502,
            "The host's answer could not be made safe to hand on.",
            "Ask for another representation (no content coding, no range).",
        ),
        "vault_locked": Rule(503, "The vault can't be read.", "Run `seks status` on the proxy's host."),
        "audit_unavailable": Rule(
            503, "The audit log can't be written, so no credential is used.", "Run `seks status` on the proxy's host."
        ),
        "overloaded": Rule(503, "The proxy is at its limit.", "Wait, then try again."),
    }
)


class Refused(SeksError):
    """A request is refused. `code` is a key of `RULES`.

    `message` and `hint` are constants with names in them (secret, agent, host): never a credential, a
    token, bytes of the request, or bytes of the upstream's answer. `retry_after` is in seconds.
    """

    def __init__(
        self, code: str, message: str | None = None, *, hint: str | None = None, retry_after: int | None = None
    ) -> None:
        rule = RULES[code]
        super().__init__(message or rule.message, hint=hint or rule.hint)
        self.code = code
        self.status = rule.status
        self.retry_after = retry_after
