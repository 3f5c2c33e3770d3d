"""The mistakes that many formulas share. Chapter 17.

Each function takes the right formula, of which a mistake replaces a part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from minitower.conformance import links
from minitower.conformance.adapters import of_unit, of_unit_vectors
from minitower.conformance.composition import half, summed, then
from minitower.conformance.formula import Compute
from minitower.conformance.links import capped_softmax, normalized, smoothed
from minitower.conformance.mistake import SUM, Family, Known, Mistake, Words, replacing, table
from minitower.formulas.similarity import l2_normalize

LN2 = float(np.log(2))

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


def flipped(right: Compute) -> Compute:
    """The gradients with their signs turned."""
    return then(right, lambda gradients: tuple(-g for g in gradients))


def losses(right: Any, *wrong: dict[Words, links.Link]) -> Known:
    """Mistakes in the loss of logits: of rows alone, unless wrong names others."""
    every = wrong or (ROWS, WRONG_AXIS, _IN_A_SQUARE, DETACHED)
    replaced = replacing(right, "loss")
    return [
        Mistake(*SUM, summed(right)),
        *(mistake for one in every for mistake in table(one, replaced)),
        *caps(lambda c, form: replaced(partial(capped_softmax, c=c, form=form))),
        Family("label smoothing of {c}", "the label of a row is its positive alone",
               lambda c: replaced(partial(smoothed, c=c)), 1e-3, 0.999),
    ]  # fmt: skip


def caps(make: Callable[..., Compute]) -> list[Family]:
    """The logarithm of a probability with a constant, in three forms.

    Args:
        make: the variant with a constant and a form, as
            :func:`~minitower.conformance.links.capped` has them.
    """
    fix = (
        "the loss cannot exceed {cap}, and learning stops where it is most wrong; take the "
        "loss of logits"
    )
    forms = {"max": "max(p, {c})", "add": "p + {c}", "clip": "min(max(p, {c}), 1 - {c})"}
    return [
        Family(f"log of a clipped probability: log({term})", fix, partial(make, form=form),
               1e-60, 0.1)
        for form, term in forms.items()
    ]  # fmt: skip


TOO_WARM = "temperature of at least {c}", "a temperature may be lower: do not clamp it"


def temperatures(right: Any) -> Known:
    return [
        *table({
            TIMES_TAU: lambda t: t,
            NO_TAU: _one,
            ("temperature twice",
             "divide the scores once: other terms of the logits are no scores"):
                lambda t: 1 / t**2,
        }, replacing(right, "slope")),
        *fixed_temperatures(right),
    ]  # fmt: skip


def fixed_temperatures(right: Any) -> list[Family]:
    return [
        Family(*TOO_WARM, lambda c: partial(right, slope=lambda t: 1 / max(t, c)), 1e-4, 10),
        Family("temperature of {c}, whatever is given", "divide by the temperature that is given",
               lambda c: partial(right, slope=lambda t: 1 / c), 1e-3, 100),
    ]  # fmt: skip


def corrections(right: Any) -> Known:
    """Mistakes in subtracting log q."""
    rare = "clip below 1 / (all clicks), or rare items lose their correction"
    return [
        *any_offset(right),
        Family("q clipped at {c}", rare,
               lambda c: partial(right, adjust=lambda off, t: np.minimum(off, -np.log(c))),
               1e-17, 0.5),
        Family("{c} added to q", rare.replace("clip", "add"),
               lambda c: partial(right, adjust=lambda off, t: -np.log(np.exp(-off) + c)),
               1e-17, 10),
    ]  # fmt: skip


def any_offset(right: Any) -> Known:
    """Mistakes in subtracting log q, whatever log q is."""
    return [
        *table({
            ("log q added instead of subtracted", "logits = scores / temperature - log_q"):
                lambda offset, t: -offset,
            ("(score - log q) / temperature", "divide first, then subtract: log q is not a score"):
                lambda offset, t: offset / t,
            ("log q left out, or subtracted from entire rows, where it cancels",
             "subtract log_q[j] from column j: logits - log_q[None, :]"):
                lambda offset, t: 0 * offset,
            ("log q to base two", "use the natural logarithm, which exp undoes"):
                lambda offset, t: offset / LN2,
        }, replacing(right, "adjust")),
        Family("log q of another power: {c} log q", "subtract log q as it is",
               lambda c: partial(right, adjust=lambda off, t: c * off), 0.01, 100),
    ]  # fmt: skip


def masks(right: Any, drop: Callable[..., Any]) -> Known:
    """Mistakes in a mask, given the right one."""
    nothing = lambda *a: right(*a, drop=np.zeros_like(drop(*a)))
    leave_out = "leave masked candidates out of the sum: -inf before log sum exp"
    both = "mask before the loss, so that loss and gradient both see it"
    words = "mask that is not low enough: {} of -{{c}}"
    low = "logits may lie below any number: mask with -inf"
    return [
        *table({
            ("mask that does nothing", f"{leave_out}; adding a tiny number masks nothing"):
                nothing,
            ("masked logits set to zero", leave_out): partial(right, fill=0.0),
            ("mask inverted", leave_out): lambda *a: right(*a, drop=off_diagonal(~drop(*a))),
            ("mask only in the gradient", both): half(nothing, right),
            ("mask only in the loss", both): half(right, nothing),
        }),
        Family(words.format("logits"), low, lambda c: partial(right, fill=-c), 1, 1e6),
        Family(words.format("scores"), f"{low}, after the division by the temperature",
               lambda c: partial(right, fill=lambda t: -c / t), 1, 1e6),
    ]  # fmt: skip


def off_diagonal(mask: Any) -> Any:
    return mask & (np.eye(*mask.shape) == 0)


def hit_mask(ids: Any, n: int, since: int = 0) -> Any:
    """(n,m): whether candidate j >= since is row i's item, its own place left out."""
    return off_diagonal((ids[:n, None] == ids) & (np.arange(len(ids)) >= since))


def unit(right: Compute, mistakes: Sequence[Mistake | Family]) -> Known:
    """Mistakes in scaling vectors to length one, and those of the formula behind it."""
    as_they_are = lambda x: (x, lambda dy: dy)
    gradient = "d_x = (d_y - y (y . d_y)) / |x|"
    sides = "divide both sides by their lengths"
    small = "the length of a vector has no constant in it: guard zero vectors alone"
    scaled = replacing(of_unit_vectors(right), "normalize")

    def form(name: str) -> Callable[[float], Compute]:
        return lambda c: scaled(partial(normalized, c=c, form=name))

    return [
        *table({
            ("vectors not normalized", "divide each vector by its length"): right,
            ("only the first side normalized", sides):
                lambda *a: of_unit(*a, compute=right, other=as_they_are),
            ("only the second side normalized", sides):
                lambda *a: of_unit(*a, compute=right, normalize=as_they_are, other=l2_normalize),
        }),
        *table({
            ("normalized over the batch", "the length is a row's: sum over d"):
                links.over_the_batch,
            ("divided by the squared length", "take the root"): links.by_squared_length,
            ("gradient that forgets the normalization", f"{gradient}, not d_y"): links.passed_on,
            ("gradient that takes the length as constant", f"{gradient}, not d_y / |x|"):
                links.only_divided,
            ("a zero vector divided by (almost) nothing",
             "score 0 and gradient 0 for a vector without direction: x / max(|x|, eps) multiplies "
             "its gradient by 1 / eps, x / |x| gives NaN; --allow zero_vectors accepts it"):
                links.clamped,
        }, scaled),
        Family("{c} under the root of the length", small, form("root"), 1e-14, 10),
        Family("{c} added to the length", small, form("add"), 1e-14, 10),
        Family("length of at least {c}", small, form("max"), 1e-4, 10),
        *(mistake.lifted(of_unit_vectors) for mistake in mistakes),
    ]  # fmt: skip
