"""How benchmarks time: interleaved rounds, medians, ratios within the same round.

Machines are noisy and drift. Contenders take turns in every round, and a ratio is
formed within the round, so that what slows the machine slows both.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping

Rounds = dict[str, list[float]]


def interleave(
    contenders: Mapping[str, Callable[[], object]],
    rounds: int,
    warmup: int = 2,
    settle: float = 0.05,
) -> Rounds:
    """Seconds a call of each contender takes in each round, in turn, after a warm-up.

    Each turn first runs untimed for ``settle`` seconds: that ends what the last contender's
    thread pool still does (an idle pool spins for tens of milliseconds) and fills the caches,
    for all contenders alike. Then it is timed for as long, at least one call, without the
    collector of garbage, as `timeit` does: its turns would fall on one contender.
    """
    seconds: Rounds = {name: [] for name in contenders}
    for round_ in range(warmup + rounds):
        for name, run in contenders.items():
            _mean_seconds(run, settle)
            mean = _mean_seconds(run, settle)
            if round_ >= warmup:
                seconds[name].append(mean)
    return seconds


def _mean_seconds(run: Callable[[], object], at_least: float) -> float:
    gc.collect()
    gc.disable()
    try:
        calls, start = 0, time.perf_counter()
        while True:
            run()
            calls += 1
            passed = time.perf_counter() - start
            if passed >= at_least:
                return passed / calls
    finally:
        gc.enable()


def ratio(seconds: Rounds, over: str, under: str) -> float:
    """Median over the rounds of one contender's time over another's in the same round."""
    pairs = zip(seconds[over], seconds[under], strict=True)
    return statistics.median(a / b for a, b in pairs)


def milliseconds(seconds: Rounds, name: str) -> float:
    """Median time of a contender."""
    return 1e3 * statistics.median(seconds[name])


def table(header: list[str], rows: list[list[object]]) -> str:
    """Right-aligned columns of text."""
    cells = [
        header,
        *([f"{c:.2f}" if isinstance(c, float) else str(c) for c in row] for row in rows),
    ]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = ["  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in cells]
    return "\n".join(lines)
