"""Which items a step learns against.

Clicked items are positives. For negatives there are three sources (the lecture, sections 2.1
to 2.3): the whole catalogue, because what was not retrieved is nearly everything (easy); the
other positives of the batch (easy, and free: :class:`~minitower.training.objectives.InBatchSoftmax`
needs nothing from here); and what retrieval found but a later stage turned down (hard). What was
exposed and not clicked is no negative for retrieval: it was good enough to be shown.

Every source here returns item rows and the log-probability of one draw, given the pair. What
several stages may share is drawn by :mod:`minitower.formulas.sampling`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from minitower.data import Dataset, Interactions
from minitower.data.ragged import Ragged
from minitower.evaluation.encode import encode
from minitower.formulas.arguments import number_within, shown, strict_integer
from minitower.formulas.arrays import Array
from minitower.formulas.sampling import AliasTable, Sampler, Uniform, power_law
from minitower.search.index import ExactIndex
from minitower.towers.two_tower import TwoTower

MAX_DRAWS = 2**24
"""The most negatives that one pair, or one batch, may ask for."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """Negatives of n pairs.

    Attributes:
        items: (e,) rows of the item table.
        log_q: (e,) log-probability that one draw, for this pair, is the item.
        owners: (e,) the pair that each was drawn for, never decreasing; None: all pairs.
        samplers: what they were drawn from, where that is a distribution over the catalogue,
            and how many of them came from it; hard ones are not among these.
    """

    items: Array
    log_q: Array
    owners: Array | None
    samplers: tuple[tuple[Sampler, float], ...] = ()


class Negatives(Protocol):
    """A source of negatives. A pair may get fewer than asked for."""

    def draw(self, pairs: Interactions, positions: Array | None, rng: np.random.Generator) -> Drawn:
        """Negatives of these pairs; positions say which training positives they are."""
        ...


@runtime_checkable
class Portable(Protocol):
    """A source of negatives that another data set can have, too.

    Attributes:
        option: how ``--negatives`` writes it, such as "uniform:5"; None: it has no way to.
    """

    @property
    def option(self) -> str | None: ...

    def on(self, model: TwoTower, data: Dataset) -> Negatives:
        """The same source for another model and the data it trains on.

        Raises:
            ValueError: it belongs to its own data.
        """
        ...


class SharedNegatives:
    """Draws from the catalogue that all pairs of a batch share, as in-batch negatives are.

    Args:
        sampler: draws rows of the item table.
        size: draws a batch, 0 to 2^24.

    Raises:
        ValueError: size is outside.

    Reference: J. Yang et al., Mixed Negative Sampling, WWW 2020, section 3.
    """

    def __init__(self, sampler: Sampler, size: int) -> None:
        self.sampler, self.size = sampler, _draws("size", size)

    def draw(self, pairs: Interactions, positions: Array | None, rng: np.random.Generator) -> Drawn:
        """As :class:`Negatives` says."""
        items, log_q = self.sampler.draw(rng, self.size)
        return Drawn(items, log_q, None, ((self.sampler, self.size),))

    @property
    def option(self) -> str | None:
        """As :class:`Portable` says."""
        return f"shared:{self.size}" if isinstance(self.sampler, Uniform) else None

    def on(self, model: TwoTower, data: Dataset) -> SharedNegatives:
        """As :class:`Portable` says."""
        if not isinstance(self.sampler, Uniform):
            raise ValueError("shared negatives of a sampler of their own belong to their data")
        return SharedNegatives(Uniform(len(data.items)), self.size)


class EasyNegatives:
    """k draws from the catalogue for each pair, with replacement.

    Args:
        sampler: draws rows of the item table.
        k: draws a pair, 0 to 2^24.
        known: items that each user is known to have clicked, never to be drawn for that
            user; None draws them too. What is drawn then follows Q' = Q / (1 - Q(known)).
            A user who knows all that can be drawn gets none.

    Raises:
        ValueError: k is outside, or an item is known that is not in the catalogue.

    Reference: the lecture, section 2.1; T. Mikolov et al., NIPS 2013, section 2.2.
    """

    _ROUNDS = 10

    def __init__(self, sampler: Sampler, k: int, known: Ragged | None = None) -> None:
        self.sampler, self.k = sampler, _draws("k", k)
        self.option: str | None = None
        self._make: Callable[[Dataset], EasyNegatives] | None = None
        self._known = None
        if known is not None:
            checked_rows(known.values, len(sampler), "a catalogue of", "known item")
            users = np.repeat(np.arange(len(known)), known.counts)
            keys = np.unique(users * len(sampler) + known.values)
            users, items = np.divmod(keys, len(sampler))
            mass = np.bincount(users, np.exp(sampler.log_q(items)), minlength=len(known))
            with np.errstate(divide="ignore"):  # nothing is left to draw, and nothing is drawn
                self._known = keys, np.log1p(-np.minimum(mass, 1))

    def draw(self, pairs: Interactions, positions: Array | None, rng: np.random.Generator) -> Drawn:
        """As :class:`Negatives` says."""
        n = len(pairs.users)
        items, log_q = self.sampler.draw(rng, n * self.k)
        owners = np.repeat(np.arange(n), self.k)
        if self._known is None:
            return Drawn(items, log_q, owners, ((self.sampler, len(items)),))
        keys, log_left = self._known
        users = checked_rows(pairs.users, len(log_left), "known items of", "user")[owners]
        again = np.flatnonzero(_among(users * len(self.sampler) + items, keys))
        for _ in range(self._ROUNDS):
            items[again], log_q[again] = self.sampler.draw(rng, len(again))
            again = again[_among(users[again] * len(self.sampler) + items[again], keys)]
        keep = np.ones(len(items), bool)
        for user in np.unique(users[again]):  # they know nearly all: draw from what is left
            at = again[users[again] == user]
            catalogue = np.arange(len(self.sampler))
            left = catalogue[~_among(user * len(catalogue) + catalogue, keys)]
            q = self.sampler.log_q(left)
            p = np.exp(q - q.max(initial=-np.inf)) if np.isfinite(q).any() else np.empty(0)
            if len(p):
                drawn = rng.choice(len(left), len(at), p=p / p.sum())
                items[at], log_q[at] = left[drawn], q[drawn]
            keep[at] = len(p) > 0
        items, log_q, owners = items[keep], (log_q - log_left[users])[keep], owners[keep]
        return Drawn(items, log_q, owners, ((self.sampler, len(items)),))

    def on(self, model: TwoTower, data: Dataset) -> EasyNegatives:
        """As :class:`Portable` says."""
        if self._make is None:
            raise ValueError("negatives of a sampler of their own belong to their data")
        return self._make(data)


def uniform_negatives(data: Dataset, k: int, *, reject_known: bool = True) -> EasyNegatives:
    """Every item of the catalogue alike."""
    made = EasyNegatives(Uniform(len(data.items)), k, data.seen("valid") if reject_known else None)
    made._make = lambda data: uniform_negatives(data, k, reject_known=reject_known)
    made.option = f"uniform:{k}" if reject_known else None
    return made


def popular_negatives(
    data: Dataset, k: int, *, power: float = 0.75, reject_known: bool = True
) -> EasyNegatives:
    """Items in proportion to (clicks in training)^power: popular ones more often, but not as often
    as they are clicked."""
    power = number_within("power", power, (0, np.inf))
    sampler = AliasTable(power_law(data.item_counts, power))
    made = EasyNegatives(sampler, k, data.seen("valid") if reject_known else None)
    made._make = lambda data: popular_negatives(data, k, power=power, reject_known=reject_known)
    made.option = f"popular:{k}" if reject_known and power == 0.75 else None
    return made


class HardNegatives:
    """k draws, with replacement, from a list that each user or each pair brings.

    Such as what pre-ranking turned down (fairly hard), or what came last in the ranking
    (hardest). Where a list is empty, nothing is drawn.

    Args:
        lists: rows of the item table, a list for each user or each training positive.
        k: draws a pair, 0 to 2^24.
        of: whose lists they are, "user" or "pair".

    Reference: the lecture, section 2.2.
    """

    def __init__(self, lists: Ragged, k: int, *, of: str = "user") -> None:
        if of not in ("user", "pair"):
            raise ValueError(f"lists are of each user or of each pair, got {of!r}")
        if lists.values.min(initial=0) < 0:
            raise ValueError(f"lists hold rows of items, of which {lists.values.min()} is none")
        self.lists, self.k, self.of = lists, _draws("k", k), of

    def draw(self, pairs: Interactions, positions: Array | None, rng: np.random.Generator) -> Drawn:
        """As :class:`Negatives` says."""
        rows = pairs.users if self.of == "user" else positions
        if rows is None:
            raise ValueError("lists of each pair need pairs that are training positives")
        checked_rows(rows, len(self.lists), "lists of", self.of)
        counts = self.lists.indptr[rows + 1] - self.lists.indptr[rows]
        owners = np.repeat(np.flatnonzero(counts), self.k)
        size = counts[owners]
        items = self.lists.values[self.lists.indptr[rows][owners] + rng.integers(size)]
        return Drawn(items, -np.log(size), owners)

    @property
    def option(self) -> None:
        """As :class:`Portable` says."""
        return None

    def on(self, model: TwoTower, data: Dataset) -> HardNegatives:
        """As :class:`Portable` says; rows of users and items are those of the same columns."""
        if self.of == "pair":
            raise ValueError("hard negatives of each pair belong to their data")
        return self


def exposed_negatives(lists: Ragged, k: int, *, of: str = "user") -> HardNegatives:
    """Items that were shown and not clicked; it works, and warns.

    Reference: the lecture, section 2.2; J. Huang et al., KDD 2020, section 2.2.
    """
    warnings.warn(
        "what was shown and not clicked is no negative for retrieval: it passed every stage, the "
        "user may well like it, and it is a negative for ranking only",
        stacklevel=2,
    )
    return HardNegatives(lists, k, of=of)


class MinedNegatives:
    """k draws from ranks first to last of what the model itself would recall.

    Ranks before ``first`` are left out: many of them are positives that nobody has clicked yet.
    Items that the user is known to have clicked are never ranked.

    Args:
        model: the model in training; its vectors are read again every so many draws.
        data: users, items and their training positives.
        k: draws a pair, 0 to 2^24.
        first, last: ranks, counted from 1.
        every: batches between two searches, >= 1.

    Raises:
        ValueError: a parameter is outside its domain, or the catalogue ends before ``first``.

    Reference: J. Huang et al., Embedding-based Retrieval in Facebook Search, KDD 2020, section 6.1
        (ranks 101 to 500).
    """

    def __init__(
        self,
        model: TwoTower,
        data: Dataset,
        k: int,
        *,
        first: int = 101,
        last: int = 500,
        every: int = 1000,
    ) -> None:
        first, every = strict_integer("first", first, 1), strict_integer("every", every, 1)
        last = strict_integer("last", last, 1)
        if first > last:
            raise ValueError(f"expected first <= last, got {first} and {last}")
        if first > len(data.items):
            raise ValueError(f"rank {first} is beyond the {len(data.items)} items")
        self.model, self.data, self.k = model, data, _draws("k", k)
        self.first, self.last, self.every = first, last, every
        self._draws = 0
        self._hard: HardNegatives | None = None

    def draw(self, pairs: Interactions, positions: Array | None, rng: np.random.Generator) -> Drawn:
        """As :class:`Negatives` says."""
        if self._hard is None or self._draws % self.every == 0:
            self._hard = HardNegatives(self._mine(), self.k)
        self._draws += 1
        return self._hard.draw(pairs, positions, rng)

    @property
    def option(self) -> str | None:
        """As :class:`Portable` says."""
        usual = (self.first, self.last, self.every) == (101, 500, 1000)
        return f"mined:{self.k}" if usual else None

    def on(self, model: TwoTower, data: Dataset) -> MinedNegatives:
        """As :class:`Portable` says."""
        first, last, every = self.first, self.last, self.every
        return MinedNegatives(model, data, self.k, first=first, last=last, every=every)

    def _mine(self) -> Ragged:
        """What each user with a training positive would recall at these ranks."""
        trained = np.unique(self.data.train.users)
        index = ExactIndex(encode(self.model.item, self.data.items))
        known = self.data.seen("valid").take(trained)
        queries = encode(self.model.user, self.data.users, trained)
        ranked, _ = index.search(queries, min(self.last, len(self.data.items)), known)
        ranked = ranked[:, self.first - 1 :]
        counts = np.zeros(len(self.data.users), np.int64)
        counts[trained] = (ranked >= 0).sum(axis=1)  # -1 where fewer items remain
        return Ragged.from_counts(counts, ranked[ranked >= 0])


class MixedNegatives:
    """Negatives of several sources for every pair, as many as each source gives.

    The lecture's half and half is ``MixedNegatives([uniform_negatives(data, 5),
    HardNegatives(rejected, 5)])``. Each negative keeps the log q of the source it came from.

    Args:
        parts: the sources.
        shares: keep each negative of a part with this probability, in [0, 1]; for one hard
            negative in a hundred, k = 10 of both and (0.99, 0.01). None keeps all.

    Raises:
        ValueError: there is no source, or one whose negatives all pairs share; shares are not
            one for each part, or outside [0, 1].
    """

    def __init__(self, parts: Sequence[Negatives], shares: Sequence[float] | None = None) -> None:
        if not parts:
            raise ValueError("a mixture needs a source")
        if any(isinstance(part, SharedNegatives) for part in parts):
            raise ValueError(
                "shared negatives do not mix with those of a pair; give SharedNegatives a Mixture"
            )
        self.shares = [1.0] * len(parts) if shares is None else list(shares)
        if len(self.shares) != len(parts) or not all(0 <= share <= 1 for share in self.shares):
            raise ValueError(f"expected {len(parts)} shares in [0, 1], got {shown(self.shares)}")
        self.parts = list(parts)

    def draw(self, pairs: Interactions, positions: Array | None, rng: np.random.Generator) -> Drawn:
        """As :class:`Negatives` says."""
        drawn = [part.draw(pairs, positions, rng) for part in self.parts]
        owners = np.concatenate([one.owners for one in drawn if one.owners is not None])
        order = np.argsort(owners, kind="stable")
        if min(self.shares) < 1:
            share = np.repeat(self.shares, [len(one.items) for one in drawn])
            order = order[rng.random(len(order)) < share[order]]
        items = np.concatenate([one.items for one in drawn])
        log_q = np.concatenate([one.log_q for one in drawn])
        part = np.repeat(np.arange(len(drawn)), [len(one.items) for one in drawn])[order]
        kept = np.bincount(part, minlength=len(drawn)) / [max(len(one.items), 1) for one in drawn]
        samplers = tuple(
            (sampler, share * count)
            for one, share in zip(drawn, kept, strict=True)
            for sampler, count in one.samplers
        )
        return Drawn(items[order], log_q[order], owners[order], samplers)

    @property
    def option(self) -> str | None:
        """As :class:`Portable` says."""
        options = [part.option if isinstance(part, Portable) else None for part in self.parts]
        written = [option for option in options if option is not None]
        whole = len(written) == len(options) and min(self.shares) == 1
        return "+".join(written) if whole else None

    def on(self, model: TwoTower, data: Dataset) -> MixedNegatives:
        """As :class:`Portable` says."""
        return MixedNegatives([on(part, model, data) for part in self.parts], self.shares)


def on(negatives: Negatives, model: TwoTower, data: Dataset) -> Negatives:
    """The same source of negatives for another model and the data it trains on.

    Raises:
        ValueError: it belongs to its own data.
    """
    if not isinstance(negatives, Portable):
        raise ValueError(f"{type(negatives).__name__} belongs to its data: it has no method 'on'")
    return negatives.on(model, data)


def _among(keys: Array, ordered: Array) -> NDArray[np.bool_]:
    """Which keys are in a sorted array."""
    if not len(ordered):
        return np.zeros(len(keys), bool)
    place = np.minimum(np.searchsorted(ordered, keys), len(ordered) - 1)
    found: NDArray[np.bool_] = ordered[place] == keys
    return found


def checked_rows(rows: Array, end: int, among: str, what: str) -> Array:
    """Rows of something, refused where one is outside 0..end - 1."""
    if len(rows) and not 0 <= rows.min() <= rows.max() < end:
        bad = rows.min() if rows.min() < 0 else rows.max()
        raise ValueError(f"{what} {bad} is not one of {among} {end}")
    return rows


def _draws(name: str, k: int) -> int:
    return strict_integer(name, k, 0, MAX_DRAWS)
