"""From the results file to accuracy against CPU seconds: a table and a figure.

The curve of an arm is the mean of its validation lines over the seeds, at every measured epoch. The
target is the best NDCG@20 of the curve of implicit's ALS.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bounds import Bounds
from drawing import svg

from .arms import ALS, ARMS, MINITOWER
from .lines import Lines, mean_curve
from .splits import CHOOSES
from .tables import NAMES, NONE, markdown, mean_and_sd

RATIO, LEAD = 2.5, 1.15
"""minitower reaches ALS's best in at most 2.5 times its seconds, and ends 15% above it."""

FEW = "minitower, few epochs"


@dataclass(frozen=True, eq=False)
class Curve:
    """Validation NDCG@20 by CPU seconds, the mean over the seeds."""

    arm: str
    cpu: np.ndarray
    ndcg: np.ndarray

    def seconds_to(self, target: float) -> float | None:
        """CPU seconds at the first measure that reaches the target."""
        reached = np.flatnonzero(self.ndcg >= target)
        return float(self.cpu[reached[0]]) if len(reached) else None


def curves(lines: Lines, split: str) -> list[Curve]:
    """The curve of every arm that has validated its chosen setting with every seed."""
    found = []
    for arm in ARMS:
        if lines.tuned(split, arm):
            of_arm = lines.of("valid", split, arm, lines.chosen(split, arm))
            cpu, ndcg = (mean_curve(of_arm, name)[1] for name in ("cpu", CHOOSES))
            found.append(Curve(arm, cpu, ndcg))
    return found


def target(found: list[Curve]) -> float | None:
    """The best of ALS; None: ALS was not run."""
    best = [float(curve.ndcg.max()) for curve in found if curve.arm == ALS]
    return best[0] if best else None


def table(found: list[Curve]) -> str:
    """CPU seconds to the best of ALS, and what each arm reaches."""
    aim = target(found)
    if aim is None:
        return ""
    (own,) = (curve.seconds_to(aim) for curve in found if curve.arm == ALS)
    assert own is not None
    rows = []
    for curve in found:
        seconds, best = curve.seconds_to(aim), int(curve.ndcg.argmax())
        cells = [NONE, NONE] if seconds is None else [f"{seconds:,.1f}", f"{seconds / own:.1f}"]
        over = f"{curve.ndcg[best] / aim:.2f}"
        rows.append(
            [curve.arm, *cells, mean_and_sd([curve.ndcg[best]]), over, f"{curve.cpu[best]:,.1f}"]
        )
    name = f"{NAMES[CHOOSES]} {mean_and_sd([aim])}"
    head = ["model", f"CPU s to {name}", "over ALS", f"best {NAMES[CHOOSES]}", "over ALS", "CPU s"]
    return markdown(head, rows)


def draw(found: list[Curve], path: Path) -> None:
    """The curves, on a logarithmic axis of seconds."""
    with svg(path, figsize=(8, 4.2)) as figure:
        (panel,) = figure.subplots(1, squeeze=False)[0]
        for curve in found:
            ours = curve.arm.startswith(MINITOWER)
            marker = "o" if len(curve.cpu) == 1 else "."
            panel.semilogx(
                np.maximum(curve.cpu, 0.01),
                curve.ndcg,
                label=curve.arm,
                marker=marker,
                ms=4,
                lw=2 if ours else 1.1,
            )
        aim = target(found)
        if aim is not None:
            panel.axhline(aim, color="gray", lw=0.8, ls="--")
        panel.set(xlabel="CPU seconds of training", ylabel=f"{NAMES[CHOOSES]} on validation")
        panel.grid(alpha=0.3)
        figure.legend(loc="outside right upper")


def check(found: list[Curve], bounds: Bounds) -> None:
    """Hold what is promised, where ALS and minitower were measured."""
    aim, by_arm = target(found), {curve.arm: curve for curve in found}
    if aim is None or MINITOWER not in by_arm:
        return
    own = by_arm[ALS].seconds_to(aim)
    assert own is not None
    ours = [by_arm[arm].seconds_to(aim) for arm in (MINITOWER, FEW) if arm in by_arm]
    seconds = min((s for s in ours if s is not None), default=np.inf)
    bounds.at_most(RATIO, seconds / own, "CPU seconds to the best of ALS, over ALS's own")
    bounds.at_least(LEAD, by_arm[MINITOWER].ndcg.max() / aim, "minitower at the end, over ALS")
