"""How many connections there may be: in all, for an agent, and for an address that hasn't said which agent it is."""

from seks_addon.refusal import Refused


class Admission:
    """Counts open connections, each under a key of the caller's."""

    def __init__(self, total: int, each: int) -> None:
        """Admit `total` connections, `each` for one agent or one source address."""
        self._total = total
        self._each = each
        #: The groups of all connections, in the order they came in, and the members of each group.
        self._group: dict[str, tuple[str, str]] = {}
        self._members: dict[tuple[str, str], dict[str, None]] = {}

    def __len__(self) -> int:
        return len(self._group)

    def enter(self, key: str, source: str) -> str | None:
        """Count a connection from the address `source`; gives the key of one that must go for it.

        That is the one that has gone longest without saying which agent it is: who does say so at once is served,
        however many others are left open. Raises `Refused` where all have said it.
        """
        group = ("source", source)
        leaving = None
        if len(self._members.get(group, ())) >= self._each:
            leaving = next(iter(self._members[group]))
        elif len(self) >= self._total:
            leaving = next((other for other, (kind, _) in self._group.items() if kind == "source"), None)
            if leaving is None:
                raise Refused("overloaded", "The proxy has too many connections open.")
        if leaving is not None:
            self.leave(leaving)
        self._join(key, group)
        return leaving

    def name(self, key: str, agent: str) -> None:
        """Count a connection for `agent` from now on; raises `Refused` where it has too many."""
        group = ("agent", agent)
        if self._group.get(key, group) == group:
            return
        if len(self._members.get(group, ())) >= self._each:
            raise Refused(
                "overloaded",
                "This agent has too many connections open.",
                hint="Close some, or start the proxy with a higher --max-connections-per-agent.",
            )
        self.leave(key)
        self._join(key, group)

    def leave(self, key: str) -> None:
        """Count a connection no more."""
        if group := self._group.pop(key, None):
            del self._members[group][key]
            if not self._members[group]:
                del self._members[group]

    def _join(self, key: str, group: tuple[str, str]) -> None:
        self._group[key] = group
        self._members.setdefault(group, {})[key] = None
