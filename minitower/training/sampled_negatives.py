"""Sampled negatives: draws from the catalogue, for each pair or for the whole batch.

Chapters 6, 7 and 8.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from minitower.data import Dataset, Interactions
from minitower.data.table import Ragged
from minitower.formulas.arguments import as_rows, number_within
from minitower.formulas.arrays import Array, Mask, distinct
from minitower.formulas.sampling import AliasTable, Sampler, Uniform, power_law
from minitower.towers.two_tower import TwoTower
from minitower.training.negatives import NegativeSample, SharedNegatives, checked_draws

MAX_REDRAWS = 10
"""How often a rejected draw is repeated. After that, all remaining items are listed."""


class SampledNegatives:
    """k draws from the catalogue for each pair, with replacement.

    Args:
        sampler: draws rows of the item table.
        k: draws per pair, 0 to 2^24.
        known: items that each user has clicked. A draw of a known item is rejected, so
            negatives follow Q' = Q / (1 - Q(known)). A user who knows all items of the
            sampler gets no negatives. None rejects nothing.
        cli_option: the value of ``--negatives`` that makes these negatives; None: no value does.
        rebuild: makes these negatives for another data set; None: they belong to their data.
    Raises ValueError: k is outside its domain, or a known item is not in the catalogue.

    Reference: lecture, section 2.1; T. Mikolov et al., NIPS 2013, section 2.2; docs/07.
    """

    def __init__(
        self,
        sampler: Sampler,
        k: int,
        known: Ragged | None = None,
        *,
        cli_option: str | None = None,
        rebuild: Callable[[Dataset], SampledNegatives] | None = None,
    ) -> None:
        self.sampler, self.k = sampler, checked_draws("k", k)
        self._known = None if known is None else _KnownItems(known, sampler)
        self.cli_option, self._rebuild = cli_option, rebuild

    def draw(self, pairs: Interactions, positions: Array | None, rng: Generator) -> NegativeSample:
        n, known = len(pairs.users), self._known
        items, log_q = self.sampler.draw(rng, n * self.k)
        pair_index = np.repeat(np.arange(n), self.k)
        if known is not None:
            users = as_rows("users of the pairs", pairs.users, len(known.log_remaining))
            users = users[pair_index]
            rejected = np.flatnonzero(known.contain(users, items))
            for _ in range(MAX_REDRAWS):
                items[rejected], log_q[rejected] = self.sampler.draw(rng, len(rejected))
                rejected = rejected[known.contain(users[rejected], items[rejected])]
            keep = np.ones(len(items), bool)
            for user in np.unique(users[rejected]):  # users who know nearly everything
                at = rejected[users[rejected] == user]
                remaining, p = known.remaining_for(user)
                if len(p):
                    items[at] = remaining[rng.choice(len(remaining), len(at), p=p)]
                    log_q[at] = self.sampler.log_q(items[at])
                keep[at] = len(p) > 0
            log_q = log_q - known.log_remaining[users]
            items, log_q, pair_index = items[keep], log_q[keep], pair_index[keep]
        samplers = ((self.sampler, len(items)),)
        return NegativeSample(items, log_q, pair_index, samplers, has_hard=False)

    def rebuilt_for(self, model: TwoTower, data: Dataset) -> SampledNegatives:
        if self._rebuild is None:
            raise ValueError("negatives of a sampler of their own belong to their data")
        return self._rebuild(data)


class _KnownItems:
    """The items that each user has clicked, under a sampler of the catalogue.

    Attributes:
        log_remaining: (users) log(1 - Q(known items of the user)).
    """

    def __init__(self, known: Ragged, sampler: Sampler) -> None:
        K = len(sampler)
        as_rows("known items", known.values, K)
        users = np.repeat(np.arange(len(known)), known.counts)
        self._keys = distinct(users * K + known.values)  # one integer per (user, item)
        self._sampler = sampler
        users, items = np.divmod(self._keys, K)
        mass = np.bincount(users, np.exp(sampler.log_q(items)), minlength=len(known))
        with np.errstate(divide="ignore"):  # -inf where no item remains to draw
            self.log_remaining: Array = np.log1p(-np.minimum(mass, 1))

    def contain(self, users: Array | int, items: Array) -> Mask:
        """Whether each user knows each item. Shapes: (e),(e)->(e)"""
        if not len(self._keys):
            return np.zeros(len(items), bool)
        keys = users * len(self._sampler) + items
        place = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        found: Mask = self._keys[place] == keys
        return found

    def remaining_for(self, user: int) -> tuple[Array, Array]:
        """The items that a user does not know, and their probabilities; () if all are 0."""
        catalogue = np.arange(len(self._sampler))
        remaining = catalogue[~self.contain(user, catalogue)]
        log_q = self._sampler.log_q(remaining)
        if not np.isfinite(log_q).any():
            return remaining, np.empty(0)
        p = np.exp(log_q - log_q.max())
        return remaining, p / p.sum()


def uniform_negatives(data: Dataset, k: int, *, reject_known: bool = True) -> SampledNegatives:
    """Draw every item of the catalogue with equal probability.

    Args:
        data: the data set to train on.
        k: draws per pair, 0 to 2^24.
        reject_known: whether to reject items that the user has clicked.
    """
    return SampledNegatives(
        Uniform(len(data.items)),
        k,
        data.seen("valid") if reject_known else None,
        cli_option=f"uniform:{k}" if reject_known else None,
        rebuild=lambda other: uniform_negatives(other, k, reject_known=reject_known),
    )


def popular_negatives(
    data: Dataset, k: int, *, power: float = 0.75, reject_known: bool = True
) -> SampledNegatives:
    """Draw items in proportion to (training clicks)^power.

    Args:
        data, k, reject_known: as in :func:`uniform_negatives`.
        power: exponent beta >= 0 of :func:`~minitower.formulas.sampling.power_law`.
    """
    power = number_within("power", power, (0, np.inf))
    return SampledNegatives(
        AliasTable(power_law(data.item_counts, power)),
        k,
        data.seen("valid") if reject_known else None,
        cli_option=f"popular:{k}" if reject_known and power == 0.75 else None,
        rebuild=lambda other: popular_negatives(other, k, power=power, reject_known=reject_known),
    )


def shared_negatives(data: Dataset, size: int) -> SharedNegatives:
    """Draw items of the catalogue with equal probability, once for all pairs of a batch.

    The softmax of a batch then has its own items and these as candidates, and log q is that of
    the mixture of both. Every item can become a negative, and not only the clicked ones. It is
    ``--negatives shared:N`` of the command line.

    Args:
        data: the data set to train on.
        size: draws per batch, 0 to 2^24.

    Reference: J. Yang et al., Mixed Negative Sampling, WWW 2020, section 3.
    """
    return SharedNegatives(Uniform(len(data.items)), size)
