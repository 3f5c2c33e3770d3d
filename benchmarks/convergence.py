"""Does a corrected gradient become that of the full softmax, and after how many negatives?

    python benchmarks/convergence.py                  # prints the table, writes the book's figure
    python benchmarks/convergence.py --quick          # a few numbers of negatives, no figure

One user of known taste over a small catalogue, one clicked item, n negatives. The error is how
far the *mean* gradient over all draws is from the exact one, relative to it. Nothing is sampled.
Each form gives weight v_j to a negative j, drawn with probability r_j, and weight A to the
positive, so that with independent draws

    E d_j = n r_j v_j E 1 / (A + v_j + S),      S the weights of the n - 1 other draws
    E 1 / (c + S) = integral over t of exp(-c t) (sum_l r_l exp(-v_l t))^(n-1)

which one sum over t gives to rounding. That these weights are the library's is checked first:
for n = 1 to 3, every draw is put through its softmax.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
from bounds import Bounds
from drawing import svg
from numpy.typing import NDArray

from minitower.formulas.arrays import Floats
from minitower.formulas.hits import AccidentalHits
from minitower.formulas.logq import Correction, calibrated, cross_batch, mixed, uncorrected, yi
from minitower.formulas.sampling import power_law
from minitower.formulas.softmax import in_batch_softmax

FIGURE = Path(__file__).parent.parent / "docs" / "figures" / "convergence.svg"
K = 20


@dataclasses.dataclass(frozen=True)
class Form:
    """A published correction, of one pair and its negatives.

    Attributes:
        correct: log q and ids of the candidates, the positive first -> Correction.
        off: log q, its positive and n -> what it takes off each item as a negative, and
            off the positive.
        hits: whether negatives may be the positive again; else such draws are repeated.
    """

    correct: Callable[[Floats, NDArray[np.int64]], Correction]
    off: Callable[[Floats, int, int], tuple[Floats, float]]
    hits: bool = True


def _mixed_without_hits(log_q: Floats, ids: NDArray[np.int64]) -> Correction:
    return dataclasses.replace(mixed(log_q, 1), hits=AccidentalHits(ids, 1))


FORMS = {
    "none": Form(
        lambda log_q, ids: uncorrected(ids, n=1),
        lambda log_q, p, n: (0 * log_q, 0.0),
    ),
    "yi, logQ weight 0.25": Form(
        lambda log_q, ids: yi(log_q, logq_weight=0.25, n=1),
        lambda log_q, p, n: (log_q / 4, log_q[p] / 4),
    ),
    "yi": Form(
        lambda log_q, ids: yi(log_q, n=1),
        lambda log_q, p, n: (log_q, log_q[p]),
    ),
    "cross-batch": Form(
        lambda log_q, ids: cross_batch(log_q, ids, 1),
        lambda log_q, p, n: (log_q, log_q[p]),
        hits=False,
    ),
    "mixed": Form(
        lambda log_q, ids: mixed(log_q, 1),
        lambda log_q, p, n: (log_q, 0.0),
    ),
    "mixed, hits masked": Form(
        _mixed_without_hits,
        lambda log_q, p, n: (log_q, 0.0),
        hits=False,
    ),
    "calibrated": Form(
        lambda log_q, ids: calibrated(log_q, ids, n=1),
        lambda log_q, p, n: (np.log(n) + log_q - np.log1p(-np.exp(log_q[p])), 0.0),
        hits=False,
    ),
}


def world() -> tuple[Floats, Floats]:
    """Logits of one user who likes the most and the least popular item, and log q as 1/rank."""
    logits = np.random.default_rng(7).normal(size=K)
    logits[[0, -1]] = 2.5
    return logits, np.log(power_law(1 / np.arange(1, K + 1), 1.0))


def exact(logits: Floats, positive: int) -> Floats:
    """The gradient of the full softmax."""
    p = np.exp(logits - np.logaddexp.reduce(logits))
    p[positive] -= 1
    return p


def drawn_from(form: Form, log_q: Floats, positive: int) -> Floats:
    """What one negative is drawn from."""
    r = np.exp(log_q)
    if not form.hits:
        r[positive] = 0
    return r / r.sum()


def expected(form: Form, logits: Floats, log_q: Floats, positive: int, n: int) -> Floats:
    """The mean gradient over all draws of n negatives, by the integral above."""
    r = drawn_from(form, log_q, positive)
    off, off_positive = form.off(log_q, positive, n)
    v, own = np.exp(logits - off), np.exp(logits[positive] - off_positive)
    # With t = exp(x) the integrand is smooth, and the plain sum over x converges like exp(-10/h).
    x = np.arange(np.log(1e-17 / (own + n * v.max())), np.log(60 / own), h := 0.2)
    t = np.exp(x)[:, None]
    others = (np.exp(-v * t) @ r)[:, None] ** (n - 1)
    mean = h * (others * np.exp(-(own + v) * t) * t).sum(axis=0)
    gradient = n * r * v * mean
    gradient[positive] = 0
    gradient[positive] = -gradient.sum()  # a row of the gradient sums to zero
    return gradient


def enumerated(form: Form, logits: Floats, log_q: Floats, positive: int, n: int) -> Floats:
    """The same by putting every draw through the library."""
    r, gradient = drawn_from(form, log_q, positive), np.zeros(len(logits))
    for draws in itertools.product(np.flatnonzero(r), repeat=n):
        ids = np.array([positive, *draws])
        correction = form.correct(log_q[ids], ids)
        _, d_scores = in_batch_softmax(logits[ids][None], correction, temperature=1.0)
        np.add.at(gradient, ids, r[list(draws)].prod() * d_scores[0])
    return gradient


def error(gradient: Floats, truth: Floats) -> float:
    """Distance from the truth, relative to its length."""
    return float(np.linalg.norm(gradient - truth) / np.linalg.norm(truth))


def draw(sizes: NDArray[np.int64], curves: dict[str, dict[str, list[float]]], path: Path) -> None:
    """The figure: the same bytes every time."""
    with svg(path, figsize=(8, 3.6)) as figure:
        panels = figure.subplots(1, 2, sharey=True)
        for panel, (title, lines) in zip(panels, curves.items(), strict=True):
            for name, errors in lines.items():
                panel.loglog(sizes, errors, label=name, lw=2.2 if name == "calibrated" else 1.3)
            panel.set(title=title, xlabel="negatives n", ylim=(1e-5, 2))
            panel.grid(alpha=0.3)
        panels[0].set_ylabel("error of the mean gradient")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper")


def main(quick: bool, figure: Path | None) -> None:
    """Check the weights, print the table, draw the figure."""
    logits, log_q = world()
    bounds = Bounds(binding=True)
    few = slice(0, 4)
    deviation = max(
        float(np.abs(expected(*problem) - enumerated(*problem)).max())
        for form in FORMS.values()
        for n in ((1, 2) if quick else (1, 2, 3))
        for positive in (0, 3)
        for problem in [(form, logits[few], log_q[few], positive, n)]
    )
    bounds.at_most(1e-12, deviation, "integral against every draw through the library")

    sizes = np.unique(np.geomspace(1, 10_000, 5 if quick else 41).round().astype(int))
    curves = {}
    for title, positive in (("popular item clicked", 0), ("rare item clicked", K - 1)):
        truth = exact(logits, positive)
        curves[title] = {
            name: [error(expected(form, logits, log_q, positive, n), truth) for n in sizes]
            for name, form in FORMS.items()
        }
        print(f"\n{title}: q = {np.exp(log_q[positive]):.3f}, P = {1 + truth[positive]:.3f}")
        at = [int(np.argmin(abs(sizes - n))) for n in (1, 10, 100, 1_000, 10_000)]
        print(f"{'n':>20}" + "".join(f"{sizes[i]:>9}" for i in at))
        for name, errors in curves[title].items():
            print(f"{name:>20}" + "".join(f"{errors[i]:9.5f}" for i in at))
        # What the book says of the figure.
        last = {name: errors[-1] for name, errors in curves[title].items()}
        bounds.at_most(0.001, last["calibrated"], f"{title}, calibrated")
        for other in ("yi", "mixed"):
            bounds.at_most(0.01, last[other], f"{title}, {other}")
            bounds.at_most(last[other], last["calibrated"], f"{title}, calibrated beside {other}")
        for other in ("none", "yi, logQ weight 0.25", "cross-batch", "mixed, hits masked"):
            bounds.at_least(0.1, last[other], f"{title}, {other}")
    if figure is not None:
        draw(sizes, curves, figure)
    bounds.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few n, no figure")
    parser.add_argument("--figure", type=Path, help="where to write it")
    chosen = parser.parse_args()
    main(chosen.quick, chosen.figure or (None if chosen.quick else FIGURE))
