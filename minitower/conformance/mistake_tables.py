"""What a mistake is, and the mistakes that many formulas share. Chapter 17."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from minitower.conformance import links
from minitower.conformance.adapters import of_unit_vectors
from minitower.conformance.composition import half, summed
from minitower.conformance.formula import Compute
from minitower.formulas.similarity import l2_normalize

Words = tuple[str, str]
"""(name, fix) of a mistake."""


@dataclass(frozen=True)
class Mistake:
    """A known way to get a formula wrong.

    Attributes:
        name: the mistake, in the words of the field.
        fix: what to do about it, in one line.
        compute: the formula with the mistake in it.
    """

    name: str
    fix: str
    compute: Compute


def table(
    mistakes: Mapping[Words, Any], make: Callable[[Any], Compute] = lambda compute: compute
) -> list[Mistake]:
    """Make mistakes from {(name, fix): the part that differs}; ``make`` completes the formula."""
    return [Mistake(*words, make(part)) for words, part in mistakes.items()]


def replacing(right: Compute, link: str) -> Callable[[Any], Compute]:
    """Make variants of a formula that differ in one of its keyword arguments."""
    return lambda part: partial(right, **{link: part})


LN2 = float(np.log(2))

SUM = "sum instead of mean", "divide the loss by the number of rows"
BITS = "logarithm to base two", "use the natural logarithm"
FLIPPED = "sign of the gradient", "return d loss / d input; the optimizer is what subtracts it"
OVERFLOW = (
    "exp overflows, or log of zero",
    "log sum exp(z) = max + log sum exp(z - max), log(1 + exp(z)) = max(z, 0) + log1p(exp(-|z|))",
)

_one: Callable[[Any], float] = lambda z: 1.0

ROWS: dict[Words, links.Link] = {
    ("mean over all logits instead of rows", "divide by n, not by n m"):
        links.times(lambda z: 1 / z.shape[1], lambda z: 1 / z.shape[1]),
    BITS: links.times(lambda z: 1 / LN2, lambda z: 1 / LN2),
    FLIPPED: links.times(_one, lambda z: -1),
    ("gradient of the sum beside the mean", "divide the gradient by n as well"):
        links.times(_one, len),
    OVERFLOW: links.unshifted,
    ("softmax applied twice", "the cross-entropy wants logits, and got probabilities"):
        links.softmax_twice,
    ("positive left out of the denominator", "the sum runs over the positive as well"):
        links.without_positive,
    ("binary cross-entropy instead of a softmax", "candidates compete: one softmax a row"):
        links.binary,
    ("gradient that forgets the positive", "the gradient is P, minus one at the positive"):
        links.positive_forgotten,
}  # fmt: skip
"""Mistakes in the loss of one row."""

WRONG_AXIS: dict[Words, links.Link] = {
    ("softmax over the wrong axis", "each row is one softmax over its candidates"):
        links.other_axis,
}  # fmt: skip
_IN_A_SQUARE: dict[Words, links.Link] = {
    ("both directions averaged", "one direction: each row over its candidates"):
        links.both_directions,
    ("first column taken as every row's positive", "row i's positive is column i"):
        links.first_column,
    ("labels shifted by one row", "row i's positive is column i, also in a gathered batch"):
        links.next_column,
    ("softmax over the pairs of the batch", "each row is one softmax over its candidates"):
        links.own_pairs,
}  # fmt: skip
DETACHED: dict[Words, links.Link] = {
    ("no gradient through the negatives", "negatives are pushed away: do not detach them"):
        links.positive_alone,
}  # fmt: skip

TIMES_TAU = "multiplied by the temperature", "divide the scores by it"
NO_TAU = "temperature left out", "divide the scores by it"


def losses(right: Any, *wrong: dict[Words, links.Link]) -> list[Mistake]:
    """Mistakes in the loss of logits: of rows alone, unless wrong names others."""
    every = wrong or (ROWS, WRONG_AXIS, _IN_A_SQUARE, DETACHED)
    return [
        Mistake(*SUM, summed(right)),
        *(mistake for one in every for mistake in table(one, replacing(right, "loss"))),
    ]


def temperatures(right: Any) -> list[Mistake]:
    return table({
        TIMES_TAU: lambda t: t,
        NO_TAU: _one,
        ("temperature twice", "divide the scores once: other terms of the logits are no scores"):
            lambda t: 1 / t**2,
    }, replacing(right, "slope"))  # fmt: skip


def corrections(right: Any) -> list[Mistake]:
    """Mistakes in subtracting log q, whatever log q is."""
    return table({
        ("log q added instead of subtracted", "logits = scores / temperature - log_q"):
            lambda offset, t: -offset,
        ("(score - log q) / temperature", "divide first, then subtract: log q is not a score"):
            lambda offset, t: offset / t,
        ("log q left out, or subtracted from entire rows, where it cancels",
         "subtract log_q[j] from column j: logits - log_q[None, :]"):
            lambda offset, t: 0 * offset,
        ("log q to base two", "use the natural logarithm, which exp undoes"):
            lambda offset, t: offset / LN2,
    }, replacing(right, "adjust"))  # fmt: skip


def masks(right: Any, drop: Callable[..., Any]) -> list[Mistake]:
    """Mistakes in a mask, given the right one."""
    nothing = lambda *a: right(*a, drop=np.zeros_like(drop(*a)))
    leave_out = "leave masked candidates out of the sum: -inf before log sum exp"
    both = "mask before the loss, so that loss and gradient both see it"
    return table({
        ("mask that does nothing", f"{leave_out}; adding a tiny number masks nothing"): nothing,
        ("masked logits set to zero", leave_out): partial(right, fill=0.0),
        ("mask inverted", leave_out): lambda *a: right(*a, drop=off_diagonal(~drop(*a))),
        ("mask only in the gradient", both): half(nothing, right),
        ("mask only in the loss", both): half(right, nothing),
    })  # fmt: skip


def off_diagonal(mask: Any) -> Any:
    return mask & (np.eye(*mask.shape) == 0)


def hit_mask(ids: Any, n: int, since: int = 0) -> Any:
    """(n,m): whether candidate j >= since is row i's item, its own place left out."""
    return off_diagonal((ids[:n, None] == ids) & (np.arange(len(ids)) >= since))


def unit(right: Compute, mistakes: Iterable[Mistake]) -> list[Mistake]:
    """Mistakes in scaling vectors to length one, and those of the formula behind it."""

    def first_only(first: Any, *others: Any) -> Any:
        normal, backward = l2_normalize(first)
        value, (d_normal, *gradients) = right(normal, *others)
        return value, (backward(d_normal), *gradients)

    gradient = "d_x = (d_y - y (y . d_y)) / |x|"

    def second_only(first: Any, second: Any, *others: Any) -> Any:
        normal, backward = l2_normalize(second)
        value, (d_first, d_normal) = right(first, normal, *others)
        return value, (d_first, backward(d_normal))

    return table({
        ("vectors not normalized", "divide each vector by its length"): right,
        ("only the first side normalized", "divide both sides by their lengths"): first_only,
        ("only the second side normalized", "divide both sides by their lengths"): second_only,
    }) + table({
        ("normalized over the batch", "the length is a row's: sum over d"): links.over_the_batch,
        ("divided by the squared length", "take the root"): links.by_squared_length,
        ("gradient that forgets the normalization", f"{gradient}, not d_y"): links.passed_on,
        ("gradient that takes the length as constant", f"{gradient}, not d_y / |x|"):
            links.only_divided,
        ("a zero vector divided by (almost) nothing",
         "score 0 and gradient 0 for a vector without direction: x / max(|x|, eps) multiplies its "
         "gradient by 1 / eps, x / |x| gives NaN; --allow zero_vectors accepts it"): links.clamped,
    }, partial(of_unit_vectors, right)) + [
        Mistake(m.name, m.fix, of_unit_vectors(m.compute)) for m in mistakes
    ]  # fmt: skip
