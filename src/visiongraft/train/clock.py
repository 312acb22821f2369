"""How long a training has taken."""

from time import perf_counter


class Clock:
    """How long a run took.

    Args:
        earlier: seconds that it took before this process.
    """

    def __init__(self, earlier: float) -> None:
        self._origin = perf_counter() - earlier
        self._saved = perf_counter()

    @property
    def seconds(self) -> float:
        """How long it took so far."""
        return perf_counter() - self._origin

    @property
    def since_saved(self) -> float:
        """How long ago the state was written."""
        return perf_counter() - self._saved

    def saved(self) -> None:
        """Note that the state was just written."""
        self._saved = perf_counter()
