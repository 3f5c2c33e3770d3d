"""Negatives: the items that a training step pushes away from a user. Chapters 7 and 8.

Clicked items are the positives. Negatives have three sources (lecture, sections 2.1.1 and 2.1.2):

easy     the catalogue, because nearly all items are unretrieved
         (:mod:`minitower.training.sampled_negatives`, and :class:`SharedNegatives` here)
in-batch the other positives of the batch; the in-batch softmax needs nothing from here
hard     items that retrieval found and a later stage rejected
         (:mod:`minitower.training.hard_negatives`)

An item that was shown and not clicked is no negative for retrieval: it passed every stage.

Every source returns item rows and the log-probability of one draw, given the pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.random import Generator

from minitower.data import Dataset, Interactions
from minitower.formulas.arguments import number, shown, strict_integer
from minitower.formulas.arrays import Array
from minitower.formulas.sampling import Sampler, Uniform
from minitower.towers.two_tower import TwoTower

MAX_DRAWS = 2**24
"""Bound on the negatives of one pair, and on those that one batch shares."""


@dataclass(frozen=True, eq=False)
class NegativeSample:
    """Negatives of n pairs.

    Attributes:
        items: (e) rows of the item table.
        log_q: (e) log-probability that one draw, for this pair, is the item.
        pair_index: (e) the pair of each negative, never decreasing; None if all pairs share
            the negatives.
        samplers: (sampler, expected number of its draws) for the distributions over the
            catalogue that the negatives come from. Hard negatives have none.
        has_hard: whether some of these negatives are hard: no sampler of the catalogue drew them.
    """

    items: Array
    log_q: Array
    pair_index: Array | None
    samplers: tuple[tuple[Sampler, float], ...] = ()
    _: KW_ONLY
    has_hard: bool


class Negatives(Protocol):
    """A source of negatives. A pair may get fewer than asked for."""

    def draw(self, pairs: Interactions, positions: Array | None, rng: Generator) -> NegativeSample:
        """Draw negatives of these pairs, the training positives at these positions."""
        ...


@runtime_checkable
class Rebuildable(Protocol):
    """A source of negatives that can be made again, for another data set.

    Attributes:
        cli_option: the value of ``--negatives`` that makes this source, such as "uniform:5";
            None: no value does.
    """

    @property
    def cli_option(self) -> str | None: ...

    def rebuilt_for(self, model: TwoTower, data: Dataset) -> Negatives:
        """Make the same source for another model and the data it trains on.

        Raises ValueError: the source belongs to its own data.
        """
        ...


def rebuilt_for(negatives: Negatives, model: TwoTower, data: Dataset) -> Negatives:
    """Call the method :meth:`Rebuildable.rebuilt_for`.

    Raises ValueError: the source has no such method, or belongs to its own data.
    """
    if not isinstance(negatives, Rebuildable):
        name = type(negatives).__name__
        raise ValueError(f"{name} belongs to its data: it has no method 'rebuilt_for'")
    return negatives.rebuilt_for(model, data)


class SharedNegatives:
    """Draws from the catalogue that all pairs of a batch share, like in-batch negatives.

    Args:
        sampler: draws rows of the item table.
        size: draws per batch, 0 to 2^24.
    Raises ValueError: size is outside its domain.

    Reference: J. Yang et al., Mixed Negative Sampling, WWW 2020, section 3.
    """

    def __init__(self, sampler: Sampler, size: int) -> None:
        self.sampler, self.size = sampler, checked_draws("size", size)

    def draw(self, pairs: Interactions, positions: Array | None, rng: Generator) -> NegativeSample:
        items, log_q = self.sampler.draw(rng, self.size)
        samplers = ((self.sampler, self.size),)
        return NegativeSample(items, log_q, None, samplers, has_hard=False)

    @property
    def cli_option(self) -> str | None:
        return f"shared:{self.size}" if isinstance(self.sampler, Uniform) else None

    def rebuilt_for(self, model: TwoTower, data: Dataset) -> SharedNegatives:
        if not isinstance(self.sampler, Uniform):
            raise ValueError("shared negatives of a sampler of their own belong to their data")
        return SharedNegatives(Uniform(len(data.items)), self.size)


class MixedNegatives:
    """Negatives of several sources for every pair; each keeps the log q of its source.

    The lecture's half and half is ``MixedNegatives([uniform_negatives(data, 5),
    HardNegatives(rejected, 5)])``.

    Args:
        parts: the sources.
        shares: probability in [0, 1] to keep a negative of each part; all 1 by default. For one
            hard negative in a hundred, take k = 10 of both and (0.99, 0.01).
    Raises ValueError: parts are empty or hold SharedNegatives, or shares are outside [0, 1] or not
        one per part.
    """

    def __init__(self, parts: Sequence[Negatives], shares: Sequence[float] | None = None) -> None:
        if not parts:
            raise ValueError("a mixture needs a source")
        if any(isinstance(part, SharedNegatives) for part in parts):
            raise ValueError(
                "shared negatives do not mix with negatives of each pair; to share the draws of "
                "several samplers, pass SharedNegatives a Mixture of these samplers"
            )
        given = [1.0] * len(parts) if shares is None else shares
        self.shares = [number("shares", share) for share in given]
        if len(self.shares) != len(parts) or not all(0 <= share <= 1 for share in self.shares):
            raise ValueError(f"expected {len(parts)} shares in [0, 1], got {shown(self.shares)}")
        self.parts = list(parts)

    def draw(self, pairs: Interactions, positions: Array | None, rng: Generator) -> NegativeSample:
        samples = [part.draw(pairs, positions, rng) for part in self.parts]
        sizes = [len(sample.items) for sample in samples]
        part = np.repeat(np.arange(len(samples)), sizes)
        items = np.concatenate([sample.items for sample in samples])
        log_q = np.concatenate([sample.log_q for sample in samples])
        pair_index = np.concatenate([s.pair_index for s in samples if s.pair_index is not None])
        order = np.argsort(pair_index, kind="stable")
        if min(self.shares) < 1:
            order = order[rng.random(len(order)) < np.array(self.shares)[part[order]]]
        kept_shares = np.bincount(part[order], minlength=len(samples)) / np.maximum(sizes, 1)
        kept = list(zip(samples, kept_shares, strict=True))
        return NegativeSample(
            items[order],
            log_q[order],
            pair_index[order],
            tuple((sampler, share * n) for sample, share in kept for sampler, n in sample.samplers),
            has_hard=any(sample.has_hard and share > 0 for sample, share in kept),
        )

    @property
    def cli_option(self) -> str | None:
        options = [p.cli_option if isinstance(p, Rebuildable) else None for p in self.parts]
        written = [option for option in options if option is not None]
        is_complete = len(written) == len(options) and min(self.shares) == 1
        return "+".join(written) if is_complete else None

    def rebuilt_for(self, model: TwoTower, data: Dataset) -> MixedNegatives:
        return MixedNegatives([rebuilt_for(p, model, data) for p in self.parts], self.shares)


def checked_draws(name: str, k: int) -> int:
    """Return a number of draws; refuse one outside 0..2^24."""
    return strict_integer(name, k, 0, MAX_DRAWS)
