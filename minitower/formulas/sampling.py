"""Drawing items, and saying how likely each was.

A sampler returns ids together with log q. Its q is always the probability that *one
draw* is the item, summing to 1 over the catalogue. Sources that speak of a sampling
probability may mean another quantity: the probability to be drawn at all, or the expected
number of draws. All three are here, in logs, under their own names.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minitower.formulas.arguments import floats, integer, number, positive_number, rows
from minitower.formulas.arrays import Floats, Ids

Size = int | tuple[int, ...]


def normalised(name: str, weights: ArrayLike) -> Floats:
    """Weights of any scale, divided by their sum."""
    w = floats(name, weights).astype(float)
    if w.ndim != 1 or not np.all((w >= 0) & (w < np.inf)) or not w.any():
        raise ValueError(
            f"{name} must be a vector of finite numbers >= 0, not all zero, got shape {w.shape}"
            + (f" from {w.min()} to {w.max()}" if w.size else "")
        )
    w = w / float(w.max())  # the sum cannot overflow
    return w / float(w.sum())


def power_law(counts: ArrayLike, beta: float = 0.75) -> Floats:
    """Popular items are drawn more often, but less so than they are clicked.

        p_j = counts_j^beta / sum_l counts_l^beta,   0^beta = 0

    Shapes: (K)->(K)

    Args:
        counts: clicks of each item, >= 0, at least one of them > 0.
        beta: >= 0. 1 is the clicks' own distribution, 0.75 what word2vec found best and
            the lecture takes over, 0 uniform over the clicked items: an item without a
            click is never drawn, at beta = 0 as at every beta above. To reach it,
            smooth the counts or mix in :class:`Uniform`.

    Raises:
        ValueError: counts are empty, negative, not finite or all zero, or beta < 0.

    Properties: equals_naive, one_is_the_clicks, zero_is_uniform_over_the_clicked,
        keeps_order, scale_of_counts_changes_nothing

    >>> power_law([16, 1, 0]).round(3)          # 16 times the clicks, 8 times the draws
    array([0.889, 0.111, 0.   ])

    Reference: T. Mikolov et al., Distributed Representations of Words and Phrases,
        NIPS 2013, section 2.2; the lecture, section 2.1.
    """
    share, beta = normalised("counts", counts), number("beta", beta)
    if not 0 <= beta < np.inf:
        raise ValueError(f"beta must be finite and not negative, got {beta}")
    clicked = floats("counts", counts) > 0  # whose share may have underflowed
    powers: Floats = np.where(clicked, (share / share.max()) ** beta, 0)
    return powers / float(powers.sum())


class Sampler(Protocol):
    """What draws items of a catalogue of K, independently and with replacement."""

    def __len__(self) -> int:
        """K."""
        ...

    def draw(self, rng: np.random.Generator, size: Size) -> tuple[Ids, Floats]:
        """Ids in 0..K-1 and the log-probability that one draw is this id, both of shape size."""
        ...

    def log_q(self, ids: Ids) -> Floats:
        """The log-probability that one draw is this id, of the ids' shape; -inf for never.

        Raises:
            ValueError: an id is outside 0..K-1.
        """
        ...


class Uniform:
    """Every item of the catalogue alike: q = 1/K.

    Raises:
        ValueError: K < 1.

    Properties: draws_every_item_alike
    """

    def __init__(self, K: int) -> None:
        self._k = integer("K", K, 1)

    def __len__(self) -> int:
        return self._k

    def draw(self, rng: np.random.Generator, size: Size) -> tuple[Ids, Floats]:
        """As :class:`Sampler` says."""
        ids = rng.integers(self._k, size=size)
        return ids, self.log_q(ids)

    def log_q(self, ids: Ids) -> Floats:
        """As :class:`Sampler` says."""
        return np.full(rows("ids", ids, self._k).shape, -math.log(self._k))


class AliasTable:
    """Any distribution over K items, at the price of two uniform numbers a draw.

    K slots are equally likely. Slot i returns i with probability keep_i, else alias_i:

        p_j = (keep_j + sum_{i: alias_i = j} (1 - keep_i)) / K

    Shapes: (K). O(K) to build, O(1) a draw.

    Args:
        p: >= 0, of any scale, at least one > 0.

    Attributes:
        keep: (K,) in [0, 1]; 0 for an item of probability zero, 1 for a slot that needs
            no alias.
        alias: (K,) item rows, never one of probability zero; i itself where keep is 1.

    Raises:
        ValueError: p is empty, negative, not finite or all zero.

    Properties: rebuilds_p, zeros_are_never_drawn, leftovers_are_one, draws_what_it_says,
        frequencies_follow_p

    >>> table = AliasTable([0.5, 0.5, 1.0, 0.0])
    >>> table.keep, table.alias
    (array([1., 1., 1., 0.]), array([0, 1, 2, 2]))
    >>> table.distribution()
    array([0.25, 0.25, 0.5 , 0.  ])

    Reference: A. Walker, An Efficient Method for Generating Discrete Random Variables with
        General Distributions, ACM TOMS 1977; M. Vose, IEEE TSE 1991. By prefix sums: L.
        Hübschle-Schneider and P. Sanders, Parallel Weighted Random Sampling, ESA 2019.
    """

    def __init__(self, p: ArrayLike) -> None:
        p = normalised("p", p)
        q = len(p) * p
        # In whole units, a slot being `one` of them, so that sums are exact.
        one = 2 ** (62 - len(p).bit_length())
        units = np.rint(q * one).astype(np.int64)
        is_heavy = units >= min(one, units.max())
        light, heavy = np.flatnonzero(~is_heavy), np.flatnonzero(is_heavy)
        # What light items lack and what heavy ones have to spare, each laid end to end. A gap
        # is filled by the heavy item on whose stretch it begins. Where the gap reaches beyond
        # the stretch, the heavy item is now light itself and is filled by the next one.
        spare = np.cumsum(np.maximum(units[heavy] - one, 0))
        gaps = np.concatenate([[0], np.cumsum(one - units[light])])
        gaps = np.minimum(gaps, spare[-1])  # equal but for the rounding of q
        filler = np.minimum(np.searchsorted(spare, gaps[:-1], side="right"), len(heavy) - 1)
        over = gaps[np.searchsorted(gaps[:-1], spare)] - spare

        self.keep: Floats = q
        self.keep[heavy] = 1 - np.maximum(over, 0) / one
        self.alias: Ids = np.arange(len(p))
        self.alias[light] = heavy[filler]
        self.alias[heavy[:-1]] = np.where(self.keep[heavy[:-1]] < 1, heavy[1:], heavy[:-1])
        self._log_p = _log(p)

    def __len__(self) -> int:
        return len(self.keep)

    def distribution(self) -> Floats:
        """(K,) the probabilities that the table draws with, added up from its slots."""
        # Of the slots that name an item, counted exactly, the part that they keep is taken off.
        slots = np.bincount(self.alias, minlength=len(self))
        kept = np.bincount(self.alias, weights=self.keep, minlength=len(self))
        return (slots - kept + self.keep) / len(self)

    def draw(self, rng: np.random.Generator, size: Size) -> tuple[Ids, Floats]:
        """As :class:`Sampler` says."""
        slot = rng.integers(len(self), size=size)
        ids = np.where(rng.random(size) < self.keep[slot], slot, self.alias[slot])
        return ids, self.log_q(ids)

    def log_q(self, ids: Ids) -> Floats:
        """As :class:`Sampler` says."""
        return self._log_p[rows("ids", ids, len(self))]


class Mixture:
    """Each draw asks one of several samplers, chosen by share.

    Whichever was asked, the item's probability is the mixture's own: it could have come
    from any of them.

    Args:
        parts: (share, sampler) pairs over one catalogue; shares >= 0 of any scale.

    Raises:
        ValueError: shares are empty, negative, not finite or all zero, or the
            catalogues differ in size.

    Properties: log_q_is_the_mixtures_own, draws_what_it_says, one_part_is_that_part

    >>> mixed = Mixture([(1024, AliasTable([3, 1, 0, 0])), (1024, Uniform(4))])
    >>> np.exp(mixed.log_q(np.arange(4)))
    array([0.5  , 0.25 , 0.125, 0.125])
    """

    def __init__(self, parts: Sequence[tuple[float, Sampler]]) -> None:
        self._which = AliasTable([share for share, _ in parts])
        self._shares = [share for share, _ in parts]
        self._samplers = [sampler for _, sampler in parts]
        if len({len(sampler) for sampler in self._samplers}) > 1:
            sizes = [len(sampler) for sampler in self._samplers]
            raise ValueError(f"the samplers draw from catalogues of different sizes, {sizes}")

    def __len__(self) -> int:
        return len(self._samplers[0])

    def draw(self, rng: np.random.Generator, size: Size) -> tuple[Ids, Floats]:
        """As :class:`Sampler` says."""
        which, _ = self._which.draw(rng, size)
        ids = np.empty(which.shape, np.int64)
        for part, sampler in enumerate(self._samplers):
            chosen = which == part
            ids[chosen] = sampler.draw(rng, int(chosen.sum()))[0]
        return ids, self.log_q(ids)

    def log_q(self, ids: Ids) -> Floats:
        """As :class:`Sampler` says."""
        return log_mixture([sampler.log_q(ids) for sampler in self._samplers], self._shares)


def log_mixture(log_qs: Sequence[ArrayLike], shares: ArrayLike) -> Floats:
    """The probability under a mixture, from that under each part.

        log Q*_j = log sum_c share_c exp(log q_cj) / sum_c share_c

    Shapes: c times (...),(c)->(...). In-batch and uniform negatives, B and B' of them,
    are the mixture with shares B and B' (Yang et al.).

    Raises:
        ValueError: shares are not one per part, empty, negative, not finite or all zero.

    Properties: equals_naive, scale_of_shares_changes_nothing, far_below_underflow

    Reference: J. Yang et al., Mixed Negative Sampling, WWW 2020 companion, Eq. 5.
    """
    weights = normalised("shares", shares)
    if len(weights) != len(log_qs):
        raise ValueError(f"log_qs has {len(log_qs)} parts, but there are {len(weights)} shares")
    terms = [share + floats("log_qs", part) for share, part in zip(_log(weights), log_qs)]
    mixed: Floats = np.logaddexp.reduce(terms)
    return mixed


def excluding(log_q: ArrayLike, log_q_positive: ArrayLike) -> Floats:
    """The probability of an item when a draw of the positive is thrown away and repeated.

        log Q'_j = log q_j - log(1 - q_positive)       of j other than the positive

    Shapes: broadcast; (n,k),(n,1)->(n,k) for k negatives of each of n rows.

    Raises:
        ValueError: q_positive is 1 or more: nothing else can be drawn.

    Properties: sums_to_one_over_the_others, equals_rejection

    Reference: K. Khrylchenko et al., Correcting the LogQ Correction, RecSys 2025.
    """
    own = floats("log_q_positive", log_q_positive).astype(float)
    others = floats("log_q", log_q)
    try:
        np.broadcast_shapes(own.shape, others.shape)
    except ValueError:
        raise ValueError(
            f"log_q and log_q_positive must broadcast, got shapes {others.shape} and {own.shape}"
        ) from None
    if not np.all(own < 0):
        raise ValueError(
            "log_q_positive must be below 0: an item of probability 1 leaves no other to be drawn"
        )
    return others - _log1m_exp(own)


def expected_count(log_q: ArrayLike, draws: float) -> Floats:
    """log(draws q): how often the item comes, on average, in so many independent draws.

    What logQ corrections ask for: a sum over draws weighs each by its expected number.
    May exceed 1. Back: :func:`from_expected_count`. Shapes: (...)->(...); draws > 0.

    Properties: equals_enumeration, and_back, at_least_the_inclusion_probability
    """
    return floats("log_q", log_q).astype(float) + math.log(positive_number("draws", draws))


def from_expected_count(log_count: ArrayLike, draws: float) -> Floats:
    """The log-probability of one draw behind :func:`expected_count`'s value."""
    counts = floats("log_count", log_count).astype(float)
    return counts - math.log(positive_number("draws", draws))


def inclusion_probability(log_q: ArrayLike, draws: float) -> Floats:
    """log(1 - (1 - q)^draws): whether the item comes at all in so many independent draws.

    Near draws q while that is small, at most 1. Back: :func:`from_inclusion_probability`.
    Shapes: (...)->(...); log_q <= 0, draws > 0.

    Raises:
        ValueError: log_q is above 0 or NaN, or draws is not positive and finite.

    Properties: equals_enumeration, and_back, rare_items_keep_their_digits,
        equals_many_digits
    """
    log_q, draws = floats("log_q", log_q).astype(float), positive_number("draws", draws)
    # 1 - (1 - q)^draws = 1 - exp(-lost), lost = -draws log(1 - q). Below e^-37 log(1 - q) is -q,
    # and the inclusion is lost, to the last digit. There q or lost itself may underflow.
    rare = log_q < -37
    log_1mq = _log1m_exp(np.where(rare, -1, log_q), "log_q")
    root = np.exp(log_q / 2)  # its square is q
    lost = np.where(rare, root * draws * root, draws * -log_1mq)
    with np.errstate(divide="ignore"):
        log_lost = math.log(draws) + np.where(rare, log_q, np.log(-log_1mq))
    result: Floats = np.where(log_lost < -37, log_lost, _log1m_exp(-lost))
    return result


def from_inclusion_probability(log_inclusion: ArrayLike, draws: float) -> Floats:
    """The log-probability of one draw behind :func:`inclusion_probability`'s value.

    An inclusion that is certain to rounding has lost it.
    """
    log_inclusion = floats("log_inclusion", log_inclusion)
    _check_log_p(log_inclusion, "log_inclusion")
    return inclusion_probability(log_inclusion, 1 / positive_number("draws", draws))


def _check_log_p(log_p: NDArray[np.floating[Any]], name: str) -> None:
    if not (log_p <= 0).all():
        raise ValueError(
            f"{name} must be at most 0, as the logarithm of a probability is, got {log_p.max()}"
        )


def _log1m_exp(log_p: Floats, name: str = "log_p") -> Floats:
    """log(1 - p) from log p <= 0, to full precision at both ends (M. Mächler, 2012)."""
    _check_log_p(log_p, name)
    with np.errstate(divide="ignore"):
        near_one, near_zero = np.log(-np.expm1(log_p)), np.log1p(-np.exp(log_p))
    result: Floats = np.where(log_p > -math.log(2), near_one, near_zero)
    return result


def _log(p: Floats) -> Floats:
    """log p, -inf at 0."""
    return np.log(p, out=np.full_like(p, -np.inf), where=p > 0)
