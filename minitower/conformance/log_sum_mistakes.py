"""Mistakes in the softmax whose log-sum has a weight. Chapter 17."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minitower.conformance.composition import half, summed, then
from minitower.conformance.formula import Compute
from minitower.conformance.links import chain, own_logit
from minitower.conformance.mistake_tables import (
    FLIPPED,
    SUM,
    corrections,
    table,
    temperatures,
)


def _weights(log_sum: Callable[[Any], float], own: Callable[[Any], float]) -> Compute:
    """log_sum(w) log sum exp - own(w) logit of the positive, of a row that has weight w."""

    def compute(u: Any, v: Any, q: Any, w: Any, t: Any, **link: Any) -> Any:
        a, b = log_sum(w), log_sum(w) - own(w)
        value, (d_users, d_items) = chain(u, v, t, -q, **link)
        logit, (d_own_users, d_own_items) = chain(u, v, t, -q, **link | {"loss": own_logit})
        return a * value + b * logit, (
            a * d_users + b * d_own_users,
            a * d_items + b * d_own_items,
        )

    return compute


RIGHT = _weights(lambda w: w, lambda w: 1.0)
_plain = _weights(lambda w: 1.0, lambda w: 1.0)


LOG_SUM_MISTAKES = table({
    ("exponent that cancels the log-sum's weight",
     "of -log(exp(s+/t1) / (sum exp(s/t2))^(t2/t1)) only t2 is left, and the plain loss: weigh "
     "the log-sum instead"): _weights(lambda w: 1 / w, lambda w: 1 / w),
    ("log-sum weight left out", "multiply log sum exp, and only that, by the weight"): _plain,
    ("whole loss multiplied by the log-sum weight",
     "multiply log sum exp alone: the positive keeps its weight of 1"):
        _weights(lambda w: w, lambda w: w),
    ("log-sum weight missing in the gradient", "the gradient carries weight times P as well"):
        half(RIGHT, _plain),
    ("log-sum weight on the positive", "multiply log sum exp: w log sum - own"):
        _weights(lambda w: 1.0, lambda w: w),
    ("one divided by the log-sum weight", "multiply log sum exp by the weight"):
        _weights(lambda w: 1 / w, lambda w: 1.0),
    SUM: summed(RIGHT),
    FLIPPED: then(RIGHT, lambda g: (-g[0], -g[1])),
}) + corrections(RIGHT) + temperatures(RIGHT)  # fmt: skip
