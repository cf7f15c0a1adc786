"""Writing records from the event loop without blocking it: one thread, one commit for all that waits."""

import asyncio
import contextlib
import dataclasses
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from seks_addon.audit.log import AuditLog, Entry
from seks_addon.audit.record import Event, Outcome, Record
from seks_addon.errors import AuditError, SeksError
from seks_addon.policy.limits import Exceeded, Quota
from seks_addon.timing import now, timestamp

logger = logging.getLogger("seks.audit")

#: How long an intent may wait for the database, in seconds; then its request is refused.
PATIENCE: Final = 2.0
#: Records that may wait at once; one more is refused.
CAPACITY: Final = 10_000
#: Records in one commit.
BATCH: Final = 500
#: How often an outcome that can't be written is tried again, in seconds.
RETRY: Final = 1.0


@dataclass(slots=True)
class _Job:
    entry: Entry
    done: Future[int]
    #: An intent is refused when it can't be written; anything else is kept and tried again.
    keep: bool


class AuditWriter:
    """Appends records in the order they are handed in. Made and closed by the thread that runs the event loop."""

    def __init__(self, path: Path, run: str, *, open_log: Callable[..., AuditLog] = AuditLog) -> None:
        self._path = path
        self._run = run
        self._open_log = open_log
        self._queue: queue.Queue[_Job | None] = queue.Queue(CAPACITY)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="seks-audit", daemon=True)
        self._thread.start()

    async def intent(self, record: Record, quotas: Sequence[Quota] = ()) -> int:
        """Make an intent durable and give its number.

        Raises `AuditError` where it can't be written in time, and `Exceeded` where one of the quotas is reached.
        """
        job = _Job(Entry(record, run=self._run, quotas=tuple(quotas)), Future(), keep=False)
        self._put(job)
        try:
            return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(job.done)), PATIENCE + 1)
        except (TimeoutError, asyncio.CancelledError) as error:
            # It may be on its way to the disk: then nobody else gives it an outcome.
            if not job.done.cancel():
                job.done.add_done_callback(lambda done: self._abandon(record, done))
            if isinstance(error, TimeoutError):
                raise AuditError("the audit log doesn't answer") from None
            raise

    def _abandon(self, record: Record, done: Future[int]) -> None:
        if done.exception() is None:
            failed = dataclasses.replace(
                record, event=Event.OUTCOME, outcome=Outcome.FAILED, reason="interrupted", time=timestamp(now())
            )
            self.outcome(failed, done.result())

    def outcome(self, record: Record, intent: int) -> None:
        """Record how an intent ended. Doesn't wait; tried again until it is written or the process ends."""
        self._put(_Job(Entry(record, settles=intent), Future(), keep=True))

    def note(self, record: Record) -> None:
        """Record something that owes nothing, such as a refusal. Doesn't wait."""
        self._put(_Job(Entry(record), Future(), keep=True))

    def close(self, timeout: float = 5.0) -> None:
        """Write what waits, then end the thread."""
        self._closing.set()
        with contextlib.suppress(queue.Full):
            self._queue.put(None, timeout=timeout)
        self._thread.join(timeout)

    def _put(self, job: _Job) -> None:
        try:
            self._queue.put_nowait(job)
        except queue.Full:
            raise AuditError("too many audit records wait to be written") from None

    def _work(self) -> None:
        log: AuditLog | None = None
        kept: list[_Job] = []
        ending = False
        while not ending:
            jobs, ending = self._collect(kept)
            try:
                log = log or self._open_log(self._path, timeout=PATIENCE)
                self._append(log, jobs)
                kept = []
            except SeksError as error:
                logger.error("the audit log can't be written: %s", error.message)
                if log is not None:
                    log.close()
                    log = None
                # Some may be written already: those that went one by one.
                waiting = [job for job in jobs if not job.done.done()]
                for job in waiting:
                    if not job.keep:
                        job.done.set_exception(AuditError(f"the audit log can't be written: {error.message}"))
                kept = [job for job in waiting if job.keep]
                ending = ending or (len(kept) >= BATCH and self._closing.is_set())
        if kept:
            logger.error("%d audit records could not be written", len(kept))
        if log is not None:
            log.close()

    def _append(self, log: AuditLog, jobs: list[_Job]) -> None:
        try:
            results = log.append([job.entry for job in jobs])
        except SeksError:
            raise
        except Exception as error:  # noqa: BLE001
            # One record that can't be written must not take the others with it.
            if len(jobs) > 1:
                for job in jobs:
                    self._append(log, [job])
                return
            logger.error("an audit record could not be written: %s", type(error).__name__)
            jobs[0].done.set_exception(AuditError("the audit record could not be written"))
            return
        for job, result in zip(jobs, results, strict=True):
            if isinstance(result, Exceeded):
                job.done.set_exception(result)
            else:
                job.done.set_result(result)

    def _collect(self, kept: list[_Job]) -> tuple[list[_Job], bool]:
        """Give what is to be written now, the kept first, and whether it is the last."""
        if len(kept) >= BATCH:
            # Nothing new is taken before these are written: what waits stays bounded.
            self._closing.wait(RETRY)
            return kept, False
        jobs = list(kept)
        timeout: float | None = RETRY if kept else None
        while len(jobs) < BATCH:
            try:
                job = self._queue.get(timeout=timeout) if timeout != 0 else self._queue.get_nowait()
            except queue.Empty:
                break
            if job is None:
                return jobs, True
            if job.done.set_running_or_notify_cancel():
                jobs.append(job)
            timeout = 0
        return jobs, False
