"""The families of mistakes of every formula: what people do with a constant of their choice.

Chapter 17.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from minitower.conformance import log_sum_mistakes, softmax_mistakes, view_mistakes
from minitower.conformance.adapters import of_unit_vectors
from minitower.conformance.constant_links import capped_softmax, normalized, smoothed
from minitower.conformance.family import Family, caps
from minitower.conformance.formula import Compute
from minitower.conformance.links import cross_entropy
from minitower.conformance.mistakes import COSINE
from minitower.conformance.pair_mistakes import PAIR_FAMILIES
from minitower.conformance.plain_mistakes import PLAIN_FAMILIES, SAMPLED, without_q
from minitower.formulas.sampling import power_law


def _losses(right: Any) -> list[Family]:
    return [
        *caps(lambda c, form: partial(right, loss=partial(capped_softmax, c=c, form=form))),
        Family("label smoothing of {c}", "the label of a row is its positive alone",
               lambda c: partial(right, loss=partial(smoothed, c=c)), 1e-3, 0.999),
    ]  # fmt: skip


def _temperatures(right: Any) -> list[Family]:
    return [
        Family("temperature of at least {c}", "a temperature may be lower: do not clamp it",
               lambda c: partial(right, slope=lambda t: 1 / max(t, c)), 1e-4, 10),
        Family("temperature of {c}, whatever is given", "divide by the temperature that is given",
               lambda c: partial(right, slope=lambda t: 1 / c), 1e-3, 100),
    ]  # fmt: skip


def _corrections(right: Any) -> list[Family]:
    rare = "clip below 1 / (all clicks), or rare items lose their correction"
    return [
        Family("q clipped at {c}", rare,
               lambda c: partial(right, adjust=lambda off, t: np.minimum(off, -np.log(c))),
               1e-17, 0.5),
        Family("{c} added to q", rare.replace("clip", "add"),
               lambda c: partial(right, adjust=lambda off, t: -np.log(np.exp(-off) + c)),
               1e-17, 10),
        *_powers(right),
    ]  # fmt: skip


def _powers(right: Any) -> list[Family]:
    return [Family("log q of another power: {c} log q", "subtract log q as it is",
                   lambda c: partial(right, adjust=lambda off, t: c * off), 0.01, 100)]  # fmt: skip


def _masks(right: Any) -> list[Family]:
    words = "mask that is not low enough: {} of -{{c}}"
    low = "logits may lie below any number: mask with -inf"
    return [
        Family(words.format("logits"), low, lambda c: partial(right, fill=-c), 1, 1e6),
        Family(words.format("scores"), f"{low}, after the division by the temperature",
               lambda c: partial(right, fill=lambda t: -c / t), 1, 1e6),
    ]  # fmt: skip


def _added_masks(right: Any) -> list[Family]:
    """A number added to dropped logits, for formulas whose argument before the last is the mask."""

    def made(c: float) -> Compute:
        def compute(*arguments: Any) -> Any:
            drop = arguments[-2]
            lower = np.column_stack([np.zeros(len(drop)), np.where(drop, -c, 0)])
            link = lambda logits, *rest: cross_entropy(logits + lower, *rest)
            return right(*arguments, drop=np.zeros_like(drop), loss=link)

        return compute

    return [Family("mask that is not low enough: -{c} added to logits",
                   "another logit may lie below that: mask with -inf", made, 1, 1e6)]  # fmt: skip


def _weights(right: Any) -> list[Family]:
    return [Family("weights clipped at {c}", "multiply each row's loss by its weight as it is",
                   lambda c: partial(_cut_weights, right=right, most=c), 1e-3, 1e3)]  # fmt: skip


def _cut_weights(u: Any, v: Any, q: Any, w: Any, t: Any, right: Any, most: float) -> Any:
    return right(u, v, q, np.minimum(w, most), t)


def _lengths(right: Any, families: list[Family]) -> list[Family]:
    small = "the length of a vector has no constant in it: guard zero vectors alone"

    def form(name: str) -> Callable[[float], Compute]:
        return lambda c: of_unit_vectors(right, partial(normalized, c=c, form=name))

    def inner(family: Family) -> Callable[[float], Compute]:
        return lambda c: of_unit_vectors(family.make(c))

    return [
        Family("{c} under the root of the length", small, form("root"), 1e-14, 10),
        Family("{c} added to the length", small, form("add"), 1e-14, 10),
        Family("length of at least {c}", small, form("max"), 1e-4, 10),
        *(Family(f.name, f.fix, inner(f), f.low, f.high) for f in families),
    ]


_yi = softmax_mistakes.RIGHT["in_batch_softmax"]
_info: Any = view_mistakes.RIGHT["info_nce"]
_both_ways: Any = view_mistakes.RIGHT["info_nce_symmetric"]
_learned: Any = view_mistakes.RIGHT["learned_temperature"]


def _clamped(scores: Any, temperature: Any, least: float) -> Any:
    value, (d_scores, slope) = _learned(scores, np.maximum(temperature, least))
    return value, (d_scores, slope * (temperature >= least))


def _all(right: Any, *parts: Any) -> list[Family]:
    return [family for part in (_losses, *parts) for family in part(right)]


FAMILIES: dict[str, list[Family]] = {
    "in_batch_softmax": _all(_yi, _temperatures, _corrections),
    "in_batch_softmax_cosine": _lengths(_yi, _all(_yi, _temperatures, _corrections)),
    "in_batch_softmax_log_sum": [
        *_corrections(log_sum_mistakes.RIGHT), *_temperatures(log_sum_mistakes.RIGHT)
    ],
    **{
        name: _all(softmax_mistakes.RIGHT[name], *parts)
        for name, parts in {
            "in_batch_softmax_weighted": (_temperatures, _corrections, _weights),
            "in_batch_softmax_masked": (_temperatures, _masks),
            "calibrated_softmax": (_temperatures, _corrections, _masks),
            "mixed_negatives": (_temperatures, _powers),
            "cross_batch_softmax": (_temperatures, _corrections, _masks),
        }.items()
    },
    "listwise_softmax": _all(
        view_mistakes.RIGHT["listwise_softmax"], _temperatures, _masks, _added_masks),
    "info_nce": _lengths(_info, _all(_info, _temperatures)),
    "info_nce_symmetric": _lengths(_both_ways, _all(_both_ways, _temperatures)),
    "learned_temperature": [*_all(_learned), Family(
        "temperature of at least {c}", "a temperature may be lower: do not clamp it",
        lambda c: partial(_clamped, least=c), 1e-4, 10)],
    "power_law": [Family("exponent of {c}, whatever is given", "raise the counts to the power beta",
                         lambda c: lambda counts, beta: (power_law(counts, c), ()), 0.05, 5)],
    "cosine": _lengths(COSINE, []),
    **PAIR_FAMILIES,
    **PLAIN_FAMILIES,
    "in_batch_softmax_plain": without_q(_all(_yi, _temperatures)),
    "listwise_softmax_log_q": _all(SAMPLED, _temperatures, _corrections, _masks, _added_masks),
}  # fmt: skip
