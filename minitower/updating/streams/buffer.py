"""Events in time order while more of them arrive."""

import numpy as np

from minitower.updating.streams.events import Events


class Buffer:
    """Buffered events, of which the oldest are taken out.

    Events are kept in sorted runs whose lengths at least halve from one to the next, so that
    n events cost O(n log n) however many at a time arrive. Events of the same time stay in the
    order in which they arrived.

    Args:
        events: the first ones, in time order.
    """

    def __init__(self, events: Events) -> None:
        self._runs = [events]

    def __len__(self) -> int:
        return sum(map(len, self._runs))

    def add(self, events: Events) -> None:
        """Add events that arrived after all others, in any order of time."""
        if not len(events):
            return
        self._runs.append(_in_time_order(events))
        while len(self._runs) > 1 and len(self._runs[-2]) < 2 * len(self._runs[-1]):
            self._merge_last()

    def until(self, time: float) -> int:
        """The number of events that are dated no later."""
        return sum(int(np.searchsorted(run.timestamps, time, side="right")) for run in self._runs)

    def take(self, n: int) -> tuple[Events, Events]:
        """Take the n oldest events out; returns them and the others."""
        while len(self._runs) > 1:
            self._merge_last()
        (events,) = self._runs
        rest = events.take(slice(n, None))
        self._runs = [rest]
        return events.take(slice(None, n)), rest

    def _merge_last(self) -> None:
        last = self._runs.pop()
        self._runs[-1] = _in_time_order(Events.concatenate(self._runs[-1], last))


def _in_time_order(events: Events) -> Events:
    return events.take(np.argsort(events.timestamps, kind="stable"))
