"""The audit log: every use, refusal and act of administration, chained by hash, in a file of its own."""

from seks_addon.audit.log import AuditLog, Filter
from seks_addon.audit.record import Event, Outcome, Record
from seks_addon.audit.writer import AuditWriter

__all__ = ["AuditLog", "AuditWriter", "Event", "Filter", "Outcome", "Record"]
