"""Samplers: draw items, and report the log-probability of each draw. Chapters 7 and 9.

A sampler returns ids together with log q. q is the probability that *one draw* is the
item; :mod:`minitower.formulas.draw_probability` converts it to the other quantities that
papers call a sampling probability.
"""

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from minitower.formulas.alias_table import build_alias_table, distribution
from minitower.formulas.arguments import as_floats, as_rows, integer, number
from minitower.formulas.arrays import Floats, Rows
from minitower.formulas.draw_probability import log_mixture, log_or_minus_inf, normalized

Size = int | tuple[int, ...]


def power_law(counts: ArrayLike, beta: float = 0.75) -> Floats:
    """Flatten click counts into a negative-sampling distribution.

        p_j = counts_j^beta / sum_l counts_l^beta,   0^beta = 0

    Shapes: (K)->(K)
    Args:
        beta: exponent, >= 0. 1 keeps the click distribution, 0.75 is the value of word2vec and
            the lecture, 0 is uniform over the clicked items. Others are never sampled.
    Raises ValueError: counts are empty, negative, not finite or all zero, or beta < 0.
    Properties: equals_naive, one_is_the_clicks, zero_is_uniform_over_the_clicked, keeps_order,
        scale_of_counts_changes_nothing

    >>> power_law([16, 1, 0]).round(3)          # 16 times the clicks, 8 times the draws
    array([0.889, 0.111, 0.   ])

    Reference: T. Mikolov et al., Distributed Representations of Words and Phrases, NIPS 2013,
        section 2.2; lecture, section 2.1; docs/07.
    """
    counts, beta = as_floats("counts", counts), number("beta", beta)
    share = normalized("counts", counts)
    if beta < 0:
        raise ValueError(f"beta must be finite and not negative, got {beta}")
    clicked = counts > 0  # whose share may have underflowed
    powers: Floats = np.where(clicked, (share / share.max()) ** beta, 0)
    return powers / float(powers.sum())


class Sampler(Protocol):
    """Draws items from a catalogue of K, independently and with replacement."""

    def __len__(self) -> int:
        """K."""
        ...

    def draw(self, rng: np.random.Generator, size: Size) -> tuple[Rows, Floats]:
        """Draw ids in 0..K-1; return them and their log q, both of shape ``size``."""
        ...

    def log_q(self, ids: Rows) -> Floats:
        """Log-probability that one draw is each id. Shapes: (...)->(...); -inf for never.

        Raises ValueError: an id is outside 0..K-1.
        """
        ...


class Uniform:
    """Draw every item with probability q = 1/K. Raises ValueError: K < 1.

    Properties: draws_every_item_alike
    """

    def __init__(self, K: int) -> None:
        self._k = integer("K", K, 1)

    def __len__(self) -> int:
        return self._k

    def draw(self, rng: np.random.Generator, size: Size) -> tuple[Rows, Floats]:
        ids = rng.integers(self._k, size=size)
        return ids, self.log_q(ids)

    def log_q(self, ids: Rows) -> Floats:
        return np.full(as_rows("ids", ids, self._k).shape, -math.log(self._k))


class AliasTable:
    """Draw from any distribution over K items, with two uniform numbers a draw.

    ``keep`` and ``alias`` are made by :func:`~minitower.formulas.alias_table.build_alias_table`.
    Building is O(K), a draw is O(1).

    Args:
        p: (K) weights >= 0, of any scale, at least one > 0.
    Raises ValueError: p is empty, negative, not finite or all zero.
    Properties: rebuilds_p, zeros_are_never_drawn, leftovers_are_one, draws_what_it_says,
        frequencies_follow_p

    >>> table = AliasTable([0.5, 0.5, 1.0, 0.0])
    >>> table.keep, table.alias
    (array([1., 1., 1., 0.]), array([0, 1, 2, 2]))
    >>> table.distribution()
    array([0.25, 0.25, 0.5 , 0.  ])

    Reference: A. Walker, An Efficient Method for Generating Discrete Random Variables with General
        Distributions, ACM TOMS 1977; docs/07.
    """

    def __init__(self, p: ArrayLike) -> None:
        p = normalized("p", p)
        self.keep, self.alias = build_alias_table(p)
        self._log_p = log_or_minus_inf(p)

    def __len__(self) -> int:
        return len(self.keep)

    def distribution(self) -> Floats:
        """Add up the probabilities of the slots. Shapes: ->(K)"""
        return distribution(self.keep, self.alias)

    def draw(self, rng: np.random.Generator, size: Size) -> tuple[Rows, Floats]:
        slot = rng.integers(len(self), size=size)
        ids = np.where(rng.random(size) < self.keep[slot], slot, self.alias[slot])
        return ids, self.log_q(ids)

    def log_q(self, ids: Rows) -> Floats:
        return self._log_p[as_rows("ids", ids, len(self))]


class Mixture:
    """Draw from one of several samplers, chosen at random by its share.

    log q is that of the mixture, whichever sampler made the draw.

    Args:
        parts: (share, sampler) pairs over one catalogue; shares >= 0 of any scale.
    Raises ValueError: shares are empty, negative, not finite or all zero, or the catalogues differ
        in size.
    Properties: log_q_is_that_of_the_mixture, draws_what_it_says, one_part_is_that_part

    >>> mixed = Mixture([(1024, AliasTable([3, 1, 0, 0])), (1024, Uniform(4))])
    >>> np.exp(mixed.log_q(np.arange(4)))
    array([0.5  , 0.25 , 0.125, 0.125])
    """

    def __init__(self, parts: Sequence[tuple[float, Sampler]]) -> None:
        self._choice = AliasTable([share for share, _ in parts])
        self._shares = [share for share, _ in parts]
        self._samplers = [sampler for _, sampler in parts]
        sizes = [len(sampler) for sampler in self._samplers]
        if len(set(sizes)) > 1:
            raise ValueError(f"the samplers draw from catalogues of different sizes, {sizes}")

    def __len__(self) -> int:
        return len(self._samplers[0])

    def draw(self, rng: np.random.Generator, size: Size) -> tuple[Rows, Floats]:
        chosen, _ = self._choice.draw(rng, size)
        ids = np.empty(chosen.shape, np.int64)
        for part, sampler in enumerate(self._samplers):
            here = chosen == part
            ids[here] = sampler.draw(rng, int(here.sum()))[0]
        return ids, self.log_q(ids)

    def log_q(self, ids: Rows) -> Floats:
        return log_mixture([sampler.log_q(ids) for sampler in self._samplers], self._shares)
