"""One request: what was decided, what is injected, what is owed to the audit log."""

import dataclasses
import logging
import time
import urllib.parse
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from mitmproxy import http

from seks_addon.addon.answer import Answer
from seks_addon.addon.respond import new_request_id
from seks_addon.addon.session import Session
from seks_addon.audit import AuditWriter, Event, Outcome, Record
from seks_addon.authorize import Substitution, TokenRefused
from seks_addon.destination.host import Origin
from seks_addon.head import Head
from seks_addon.placements import BodyPlacement, Place
from seks_addon.policy.limits import Exceeded, Quota
from seks_addon.refusal import Refused
from seks_addon.scrub import Known
from seks_addon.secret import Secret
from seks_addon.timing import now, timestamp
from seks_addon.tokens import redact
from seks_addon.vault import Grant

if TYPE_CHECKING:
    from seks_addon.addon.conversation import Conversation
    from seks_addon.addon.service import Service

logger = logging.getLogger("seks.proxy")

_MAX_PATH: Final = 2048

_exchanges: "weakref.WeakKeyDictionary[http.HTTPFlow, Exchange]" = weakref.WeakKeyDictionary()


def exchange_of(flow: http.HTTPFlow) -> "Exchange | None":
    """The exchange that belongs to a flow."""
    return _exchanges.get(flow)


@dataclass(slots=True, eq=False)
class Exchange:
    """Lives as long as its flow.

    `refusal` is what the request is answered with instead of being sent on, `answered` says that it was. `judged` are
    the request's headers as they were decided upon, which is what the indexes of `substitutions` are for.
    `body_places` are those in which a token may stand in the body, which is then read whole before the request is
    sent on. `guarded`: the host may know a credential of the agent's, from this request or from another. `judged_at` is
    the vault's version then. `handshake` is the head of a request that asks for a WebSocket, as it is sent but for the
    tokens; `conversation` is what came of it.
    """

    session: Session
    origin: Origin | None = None
    scheme: str | None = None
    head: Head | None = None
    substitutions: tuple[Substitution, ...] = ()
    judged: tuple[tuple[bytes, bytes], ...] = ()
    body_places: frozenset[BodyPlacement] = frozenset()
    handshake: Head | None = None
    conversation: "Conversation | None" = None
    refusal: Refused | None = None
    request_id: str = field(default_factory=new_request_id)
    started: float = field(default_factory=time.monotonic)
    request_bytes: int = 0
    guarded: bool = False
    judged_at: int | None = None
    answer: Answer = field(default_factory=Answer)
    finished: bool = False
    answered: bool = False
    _learned_at: int | None = None
    _intents: list[tuple[Record, int]] = field(default_factory=list)
    _as_sent: tuple[bytes, tuple[tuple[bytes, bytes], ...], bytes | None] | None = None

    @classmethod
    def begin(cls, flow: http.HTTPFlow, session: Session) -> "Exchange":
        exchange = cls(session)
        _exchanges[flow] = exchange
        return exchange

    @property
    def carries_credential(self) -> bool:
        """Whether this request is sent on with a real credential in it."""
        return bool(self.substitutions)

    @property
    def has_intents(self) -> bool:
        """Whether the use of a credential was announced to the audit log."""
        return bool(self._intents)

    @property
    def takes_trailers(self) -> bool:
        """Whether the client said that it reads what comes behind a body."""
        return self.head is not None and [value.lower() for value in self.head.values("te")] == ["trailers"]

    # What goes out.

    async def record_intents(self, writer: AuditWriter) -> None:
        """Make it durable that each of the tokens is about to be used; raises `AuditError`.

        Raises `TokenRefused` where a limit is reached. The first intent counts for all: a request is one use of each
        token and each secret, or, where any of them is used up, of none.
        """
        announced = {intent.token_id for intent, _ in self._intents}
        grants = [grant for grant in self._grants() if grant.token_id not in announced]
        limited = {
            subject: (Quota(subject, whose, policy.limits), grant)
            for grant in grants
            for subject, whose, policy in grant.policies
            if policy.limits
        }
        quotas = [quota for quota, _ in limited.values()]
        for grant in grants:
            record = self._record(Event.INTENT, Outcome.ALLOWED, grant=grant)
            try:
                number = await writer.intent(record, quotas)
                # A request is one use of each.
                quotas = []
            except Exceeded as exceeded:
                raise TokenRefused(exceeded, limited[exceeded.subject][1]) from None
            if self.finished:
                # The client went while the disk was busy; whoever ended the exchange didn't know of this one.
                failed = dataclasses.replace(record, event=Event.OUTCOME, outcome=Outcome.FAILED)
                writer.outcome(dataclasses.replace(failed, time=timestamp(now())), number)
                raise Refused("internal", "The exchange has ended.")
            self._intents.append((record, number))

    def inject(self, request: http.Request, reveal: Callable[[Grant], Secret]) -> None:
        """Swap the tokens in the request's head for what they stand for; `restore` undoes it."""
        target, content, fields = request.data.path, request.data.content, list(request.headers.fields)
        known: list[Known] = []
        for substitution in self.substitutions:
            match, value = substitution.match, reveal(substitution.grant).reveal()
            if match.place is Place.TARGET:
                target = match.render(value)
            elif match.place is Place.TEXT:
                content = match.render(value)
                length = b"%d" % len(content)
                fields = [(n, length if n.lower() == b"content-length" else v) for n, v in fields]
            else:
                # Looked for: since the decision mitmproxy took `Expect` out, and what was behind it moved up.
                index = fields.index(self.judged[match.place])
                fields[index] = (fields[index][0], match.render(value))
            known.append(Known(value, match.token, ((match.form(value), match.form(match.token)),)))
        self.answer.scrubber.add(known)
        self._as_sent = (request.data.path, request.headers.fields, request.data.content)
        request.data.path, request.headers.fields, request.data.content = target, tuple(fields), content

    async def use_in_message(self, substitutions: Iterable[Substitution], writer: AuditWriter) -> None:
        """Announce that tokens are about to be used on the WebSocket, each once; raises `AuditError`."""
        known = {substitution.match.token for substitution in self.substitutions}
        self.substitutions += tuple(sub for sub in substitutions if sub.match.token not in known)
        await self.record_intents(writer)

    def restore(self, request: http.Request) -> None:
        """Put the tokens back, so that nothing that looks at the flow later sees a credential."""
        if self._as_sent is not None:
            request.data.path, request.headers.fields, request.data.content = self._as_sent
            self._as_sent = None

    def count_request(self, chunk: bytes) -> list[bytes]:
        """Pass a piece of the request's body through."""
        self.request_bytes += len(chunk)
        return [chunk] if chunk else []

    # What comes back.

    def learn_credentials(self, service: "Service") -> None:
        """Have the answer searched for each credential that the host may know; nothing to do if the vault is as it was.

        Raises `SeksError` where the vault can't be read.
        """
        if self._learned_at == service.vault.version:
            return
        assert self.origin is not None and self.session.agent is not None
        used = [substitution.grant.secret_id for substitution in self.substitutions]
        self.answer.scrubber.add(service.credentials_at(self.origin.host, self.session.agent, but=used))
        self._learned_at = service.vault.version

    def pass_answer(self, chunk: bytes) -> list[bytes]:
        """Give what is clean of the next bytes of the answer's body; raises `Refused`, and keeps why."""
        try:
            return self.answer.take(chunk)
        except Refused as refused:
            self.refuse(refused)
            raise

    def prepare_answer(self, request: http.Request, response: http.Response) -> None:
        """Make the head of the answer safe, and set its body to stream; raises `Refused` where it can't be."""
        if response.status_code == 101:
            self.answer.accept_websocket(self.handshake, response)
            return
        closes = self.head is not None and _asks_to_close(self.head)
        self.answer.prepare(request, response, guarded=self.guarded, closes=closes)
        response.stream = self.pass_answer

    # What is recorded.

    def refuse(self, refused: Refused) -> None:
        """Answer with a refusal instead of going on; the first one counts."""
        if self.refusal is None:
            self.refusal = refused

    def finish(self, writer: AuditWriter, outcome: Outcome, *, status: int | None, reason: str | None = None) -> None:
        """Record how it ended, once."""
        if self.finished:
            return
        self.finished = True
        duration = round((time.monotonic() - self.started) * 1000)
        for intent, number in self._intents:
            writer.outcome(
                dataclasses.replace(
                    intent,
                    time=timestamp(now()),
                    event=Event.OUTCOME,
                    outcome=outcome,
                    reason=reason,
                    status=status,
                    request_bytes=self.request_bytes,
                    response_bytes=self.answer.size,
                    scrubbed=self.answer.scrubber.count,
                    duration_ms=duration,
                ),
                number,
            )
        if not self._intents and self.refusal is not None:
            grant = self.refusal.grant if isinstance(self.refusal, TokenRefused) else None
            record = self._record(Event.REFUSED, Outcome.REFUSED, grant=grant)
            writer.note(
                dataclasses.replace(record, reason=self.refusal.code, status=self.refusal.status, duration_ms=duration)
            )

    def trip(self, writer: AuditWriter, grant: Grant) -> None:
        """Record that a refused request held a token that has no business there."""
        assert self.refusal is not None
        record = self._record(Event.TRIPWIRE, Outcome.REFUSED, grant=grant)
        writer.note(dataclasses.replace(record, reason=self.refusal.code, status=self.refusal.status))

    def log(self, status: int | None, *, failed: bool) -> None:
        """Say in the log how it ended."""
        if self.refusal is None and self.head is not None and self.head.method == "CONNECT":
            return
        agent = self.session.agent.user if self.session.agent else "-"
        what = f"{self.origin or '-'} agent={agent}"
        if self.secrets:
            what += f" secret={','.join(self.secrets)}"
        if self.scrubbed:
            what += f" scrubbed={self.scrubbed}"
        if self.refusal is not None:
            logger.warning("refused %s %s: %s id=%s", what, self.refusal.code, self.refusal.message, self.request_id)
        elif failed:
            logger.warning("broke off %s id=%s", what, self.request_id)
        else:
            logger.info("%s %s id=%s", status, what, self.request_id)

    @property
    def scrubbed(self) -> int:
        """How many occurrences of a credential were removed from the answer."""
        return self.answer.scrubber.count

    @property
    def secrets(self) -> list[str]:
        """The names of the secrets that this request uses."""
        return [grant.secret for grant in self._grants()]

    def _grants(self) -> Sequence[Grant]:
        return list({sub.grant.token_id: sub.grant for sub in self.substitutions}.values())

    def _record(self, event: Event, outcome: Outcome, *, grant: Grant | None) -> Record:
        agent = self.session.agent
        return Record(
            time=timestamp(now()),
            event=event,
            outcome=outcome,
            request_id=self.request_id,
            client=agent.client if agent else None,
            agent=agent.name if agent else None,
            secret=grant.secret if grant else None,
            provider=grant.provider if grant else None,
            token_id=grant.token_id if grant else None,
            source_ip=self.session.source_ip,
            method=_printable(self.head.method, 32) if self.head else None,
            scheme=self.scheme,
            host=self.origin.host if self.origin else None,
            port=self.origin.port if self.origin else None,
            path=_printable(self.head.path, _MAX_PATH) if self.head else None,
        )


def _printable(text: str, limit: int) -> str:
    """What of a request may go into a record: no token, no control character, a bounded length."""
    decoded = urllib.parse.unquote(text, "latin-1")
    # A percent-encoded token is one too.
    clean = redact(text if redact(decoded) == decoded else decoded)[:limit]
    return "".join(c if c.isascii() and c.isprintable() else "�" for c in clean)


def _asks_to_close(head: Head) -> bool:
    named = {part.strip().lower() for value in head.values("connection") for part in value.split(",")}
    return "close" in named
