"""Claim 19: the clicks of minutes are more biased than those of hours.

Read in two ways. Of the data: how far the shares of the themes among a window's clicks lie from
those of its day, as a squared distance, above what as many clicks of any hour would give by
chance ("bias"). Of the training: nights that shuffle the day within windows only, all of them
with the same clicks.

Windows of 20 minutes at the setting of those of an hour were added after the others had been run:
the trials had chosen another rate for them, and strict order of time did better than they. They
decide as well: a difference that is gone at an equal rate is one of the rate.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from claim import Claim, Comparison, Figures, beats
from living import HOUR, MINUTE, Living, Service
from updating import FULL, full, in_windows

WINDOWS = {"20 min": 20 * MINUTE, "1 h": HOUR, "6 h": 6 * HOUR}


def biases(living: Living, service: Service) -> Figures:
    """What the task measures, and the distance of windows from their day, mean over clicks."""
    rng, means = np.random.default_rng(0), {}
    for name, seconds in WINDOWS.items():
        distances, by_chance = [], []
        for day in living.last:
            log = living.logs[day]
            request = np.nonzero(log.clicked)[0]
            themes = living.world.theme[log.exposed[log.clicked]]
            window = log.timestamps[request] // seconds
            distances.append(_distances(themes, window))
            shuffled = [_distances(rng.permutation(themes), window) for _ in range(20)]
            by_chance.append(np.mean(shuffled))
        means[f"distance, {name}"] = float(np.mean(distances))
        means[f"bias, {name}"] = float(np.mean(distances) - np.mean(by_chance))
    return {**living.judge(service), **means}


def _distances(themes: np.ndarray, window: np.ndarray) -> float:
    """Squared distance of a window's shares from all windows', mean over clicks."""
    _, window = np.unique(window, return_inverse=True)
    counts = np.zeros((window.max() + 1, themes.max() + 1))
    np.add.at(counts, (window, themes), 1)
    n = counts.sum(axis=1)
    apart = ((counts / n[:, None] - counts.sum(axis=0) / n.sum()) ** 2).sum(axis=1)
    return float(apart @ n / n.sum())


_MINUTES = "shuffled within 20 min"
_ALIKE = "shuffled within 20 min, set as 1 h"

CLAIM = Claim(
    says="The clicks of minutes are more biased than those of hours, and worse to train on.",
    arms={
        "shuffled within a day": replace(full(), same_as=FULL),
        **{f"shuffled within {name}": full(in_windows(s)) for name, s in WINDOWS.items()},
        _ALIKE: replace(full(in_windows(20 * MINUTE)), trials_of="shuffled within 1 h", seeds=5),
        "in order of time": replace(full(in_windows(1)), same_as=("shuffled", "in order of time")),
    },
    compare=(
        *beats("shuffled within 1 h", _MINUTES, _ALIKE),
        Comparison((_MINUTES, "bias, 20 min"), (_MINUTES, "bias, 1 h")),
    ),
    also=(
        Comparison((_MINUTES, "distance, 20 min"), (_MINUTES, "distance, 1 h")),
        Comparison((_MINUTES, "bias, 1 h"), (_MINUTES, "bias, 6 h")),
        *beats("shuffled within 6 h", "shuffled within 1 h", _MINUTES),
        *beats("shuffled within 1 h", "in order of time"),
        *beats("shuffled within a day", "shuffled within 6 h", _MINUTES),
    ),
    tasks=("living",),
    measure=biases,
    columns=("attained@50", "recall@50 of clicks"),
)
