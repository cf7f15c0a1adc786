"""What there is of something, in all and for one agent: connections to hosts, bytes that are held whole."""

from collections import Counter


class Allotment:
    """Counts what is taken. Who takes it asks first, and says what isn't taken any more."""

    def __init__(self, total: int, each: int, *, always: int = 0) -> None:
        """`each` is what one agent may have, `always` what it may have even where the others took all of `total`."""
        self._total, self._each, self._always = total, each, always
        self._taken: Counter[str] = Counter()

    def has_room(self, agent: str) -> bool:
        """Tell whether the agent may take more."""
        taken = self._taken[agent]
        return taken < self._each and (taken < self._always or self._taken.total() < self._total)

    def take(self, agent: str, amount: int = 1) -> None:
        """Count what the agent has more, or, below zero, less than before."""
        self._taken[agent] += amount
        if not self._taken[agent]:
            del self._taken[agent]

    def give_back(self, agent: str, amount: int = 1) -> None:
        """Count it no more."""
        self.take(agent, -amount)
