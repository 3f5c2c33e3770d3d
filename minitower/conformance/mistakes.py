"""Known mistakes: each classic mistake as a small variant of its formula.

An implementation that agrees with a variant on every golden case makes that mistake. Every
variant therefore differs from the right formula, and from every other variant, on some case;
a test holds the whole table to that.

A mistake in the gradient alone occurs in gradients written by hand; a framework
differentiates whatever the loss computes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minitower.conformance.formula import Compute
from minitower.conformance.metric_mistakes import METRIC_MISTAKES
from minitower.conformance.mistake_tables import FLIPPED, Mistake, then, unit, value_alone
from minitower.conformance.pair_mistakes import PAIR_MISTAKES
from minitower.conformance.softmax_mistakes import SOFTMAX_MISTAKES
from minitower.conformance.view_mistakes import VIEW_MISTAKES


def _inner(users: Any, items: Any, pull: Any) -> Any:
    return pull @ (users * items).sum(axis=1), (pull[:, None] * items, pull[:, None] * users)


_COSINE = unit(_inner, [Mistake(*FLIPPED, then(_inner, lambda g: (-g[0], -g[1])))])

_SERVING = [
    Mistake(name, fix, value_alone(compute))
    for name, fix, compute in (
        ("log q taken off at serving", "correct in training only; at serving the "
         "plain score is right, and subtracting log q ranks by lift", lambda u, v, q: u @ v.T - q),
        ("log q added at serving", "the score is right as it is", lambda u, v, q: u @ v.T + q),
        ("items' scores for users, transposed", "one row a user", lambda u, v, q: v @ u.T),
        ("each user with the item of their row only", "every user with every item",
         lambda u, v, q: np.diag(np.diag(u @ v.T))),
    )
]  # fmt: skip


def _scatter(combine: Callable[..., None]) -> Compute:
    def compute(table: Any, rows: Any, pull: Any) -> Any:
        d_table = np.zeros_like(table)
        combine(d_table, rows, pull)
        return (table[rows] * pull).sum(), (d_table,)

    return compute


def _assign(d_table: Any, rows: Any, pull: Any) -> None:
    d_table[rows] += pull


def _assign_backwards(d_table: Any, rows: Any, pull: Any) -> None:
    d_table[rows[::-1]] = pull[::-1]


def _average(d_table: Any, rows: Any, pull: Any) -> None:
    np.add.at(d_table, rows, pull)
    d_table /= np.maximum(1, np.bincount(rows, minlength=len(d_table)))[:, None]


def _next_row(d_table: Any, rows: Any, pull: Any) -> None:
    np.add.at(d_table, (rows + 1) % len(d_table), pull)


_LOOKUP = [
    Mistake(name, fix, _scatter(combine))
    for name, fix, combine in (
        ("duplicates lost in the scatter", "d[rows] += g keeps one gradient of a repeated row: "
         "add them up (np.add.at, index_add, segment sum)", _assign),
        ("first of the duplicates kept", "add the gradients of a repeated row up",
         _assign_backwards),
        ("mean over the duplicates", "add the gradients of a repeated row up, do not average",
         _average),
        ("gradient one row too far", "row 0 is a row of the table like any other", _next_row),
    )
]  # fmt: skip


def _shares(x: Any) -> Any:
    return x / x.sum()


_POWER_LAW = [
    Mistake(name, fix, value_alone(compute))
    for name, fix, compute in (
        ("not normalised", "divide by the sum", lambda c, b: c**b),
        ("exponent left out", "raise the counts to the power beta", lambda c, b: _shares(c)),
        ("uniform", "raise the counts to the power beta", lambda c, b: _shares(np.ones_like(c))),
        ("normalised before the exponent only", "the powers have to sum to one",
         lambda c, b: _shares(c) ** b),
        ("exponent one over beta", "beta flattens: 16 times the clicks, 8 times the draws",
         lambda c, b: _shares(c ** (1 / b))),
        ("one click added to every item", "smooth on purpose or not at all",
         lambda c, b: _shares((c + 1) ** b)),
        ("logarithm of the counts", "a power, not a logarithm", lambda c, b: _shares(np.log1p(c))),
        ("log-uniform by row", "that sampler wants items sorted by clicks, and is another law",
         lambda c, b: _shares(np.log1p(1 / np.arange(1.0, len(c) + 1)))),
    )
]  # fmt: skip

MISTAKES: dict[str, list[Mistake]] = {
    **SOFTMAX_MISTAKES,
    **VIEW_MISTAKES,
    **PAIR_MISTAKES,
    "cosine": _COSINE,
    "serving_scores": _SERVING,
    "embedding_lookup": _LOOKUP,
    "power_law": _POWER_LAW,
    **METRIC_MISTAKES,
}
"""The known mistakes of every formula, by its name."""
