"""Batches: the clicked pairs of a training step and their negatives, as features.

Chapters 4, 7 and 9.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated

import numpy as np

from minitower.data import DataError, Dataset, Features, Interactions
from minitower.data.histories import TrainingHistories
from minitower.data.options import Option
from minitower.data.schema import HISTORY
from minitower.data.table import Ragged
from minitower.formulas.arguments import shown, strict_integer
from minitower.formulas.arrays import Array
from minitower.formulas.draw_probability import log_mixture
from minitower.formulas.sampling import AliasTable, power_law
from minitower.training.negatives import Negatives

BatchSize = Annotated[int, Option("positives per step", 1, metavar="N")]
PositiveExponent = Annotated[
    float,
    Option(
        "draw positives in proportion to their item's clicks^EXPONENT", 0, 1, metavar="EXPONENT"
    ),
]


@dataclass(frozen=True, eq=False)
class Batch:
    """n clicked pairs, and m >= n candidate items, the first n of them clicked.

    Attributes:
        users, items: features of n users and m items.
        user_rows, item_rows: (n,), (m,) their rows in the data set's tables.
        log_q: (m,) log q of each candidate. Without extra negatives, q is the item's share of
            the clicks. With them, q is the item's probability in the mixture of clicks and
            samplers. A hard negative gets the same q as any item: to correct for how it was
            mined would cancel the point of mining it.
        pair_index: (m - n,) the pair of each extra candidate; None: all pairs share them.
        negative_log_q: (m - n,) log-probability of drawing each extra candidate, given its pair.
        weights: (n,) weight of each pair in the loss, >= 0; None: all 1.
        known: n rows, the items that each pair's user has clicked; None: not looked up.
    """

    users: Features
    items: Features
    user_rows: Array
    item_rows: Array
    log_q: Array
    pair_index: Array | None = None
    negative_log_q: Array = field(default_factory=lambda: np.empty(0))
    weights: Array | None = None
    known: Ragged | None = None

    def __len__(self) -> int:
        return len(self.user_rows)


class TooFewClicks(DataError):
    """A single click without sampled negatives has nothing to be ranked against."""


class Batches:
    """The training positives of a data set, an epoch at a time.

    Every positive comes once an epoch, in random order; the last batch may be short. Without
    sampled negatives, a last pair that would be alone joins the batch before it. Values are
    replaced by their default row at each field's ``default_rate``: row 0 learns to stand for
    unknown values.

    Args:
        data: the data set; its ``train`` positives are read.
        size: pairs a batch, >= 1; >= 2 without negatives.
        negatives: source of sampled negatives; None: the batch's own items alone.
        positive_exponent: 1 takes the positives as they are. Below 1, an epoch draws the same
            number with replacement, each item in proportion to clicks^exponent; log q follows.
        last_clicks: length of the longest history that a model reads, as of each click; None:
            the model reads no history.
        other_clicks: a history holds the other clicks of its user, earlier or later.
        known: look up the items that each user has clicked before or in training.
    Raises ValueError: there is nothing to train on, size is too small, or the exponent is outside
        [0, 1]. TooFewClicks: there is one training positive, and no source of negatives.
    """

    def __init__(
        self,
        data: Dataset,
        size: int,
        negatives: Negatives | None = None,
        positive_exponent: float = 1.0,
        last_clicks: int | None = None,
        other_clicks: bool = False,
        known: bool = False,
    ) -> None:
        check_batch_size(size, with_negatives=negatives is not None)
        n = len(data.train)
        if not n:
            raise ValueError("no interaction to train on; does the positive rule pass any?")
        if n == 1 and negatives is None:
            raise TooFewClicks(
                "1 click is too few to train on: without sampled negatives it needs a second click "
                "in its batch; bring more clicks, or sample negatives (negatives=, --negatives)"
            )
        if not 0 <= positive_exponent <= 1:
            raise ValueError(f"positive_exponent must be in [0, 1], got {shown(positive_exponent)}")
        self.data, self.size, self.negatives = data, size, negatives
        self._batch_bounds = [*range(0, n, size), n]
        if negatives is None and n - self._batch_bounds[-2] == 1:
            del self._batch_bounds[-2]
        counts = data.item_counts
        self._known = data.seen("valid") if known else None
        self._histories: TrainingHistories | None = None
        if last_clicks is not None:
            self._histories = TrainingHistories(data, last_clicks, others=other_clicks)
        self._pair_sampler: AliasTable | None = None
        if positive_exponent < 1:
            weights = np.maximum(counts, 1.0) ** (positive_exponent - 1)
            self._pair_sampler = AliasTable(weights[data.train.items])
        with np.errstate(divide="ignore"):  # never clicked, never a positive
            self.log_q: Array = np.log(power_law(counts, positive_exponent))
        # Beside hard negatives, an item without clicks has the log q of an item with one click.
        self._log_q_floored = np.maximum(self.log_q, self.log_q[counts > 0].min())

    def __len__(self) -> int:
        return len(self._batch_bounds) - 1

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        """All batches of one epoch."""
        n = len(self.data.train)
        sampler = self._pair_sampler
        order = rng.permutation(n) if sampler is None else sampler.draw(rng, n)[0]
        for start, end in pairwise(self._batch_bounds):
            positions = order[start:end]
            yield self.make_batch(self.data.train.take(positions), rng, positions)

    def make_batch(
        self, pairs: Interactions, rng: np.random.Generator, positions: Array | None = None
    ) -> Batch:
        """The batch of these pairs.

        Args:
            pairs: n clicked pairs.
            rng: draws negatives, and values to replace by their default row.
            positions: (n,) positions of the pairs among the training positives; None: the pairs
                are no training positives.
        """
        rows, log_q, pair_index = pairs.items, self.log_q[pairs.items], None
        negative_log_q: Array = np.empty(0)
        if self.negatives is not None:
            sample = self.negatives.draw(pairs, positions, rng)
            pair_index, negative_log_q = sample.pair_index, sample.log_q
            rows = np.concatenate([rows, sample.items])
            sizes = [size for _, size in sample.samplers]
            of_clicks = self._log_q_floored if sample.has_hard else self.log_q
            parts = [of_clicks[rows]]
            parts += [sampler.log_q(rows) for sampler, _ in sample.samplers]
            log_q = log_mixture(parts, [len(pairs), *sizes])
        schema, users = self.data.schema, self.data.users.take(pairs.users)
        if self._histories is not None:
            users[HISTORY] = self._histories.before(pairs)
        return Batch(
            users=schema.user.replace_by_default(users, rng),
            items=schema.item.replace_by_default(self.data.items.take(rows), rng),
            user_rows=pairs.users,
            item_rows=rows,
            log_q=log_q,
            pair_index=pair_index,
            negative_log_q=negative_log_q,
            weights=pairs.weights,
            known=None if self._known is None else self._known.take(pairs.users),
        )


def check_batch_size(size: int, *, with_negatives: bool) -> None:
    """Refuse a number of pairs per batch from which nothing can be learned.

    Raises ValueError: size < 1, or size < 2 without sampled negatives.
    """
    strict_integer("batch_size", size, 1)
    if size == 1 and not with_negatives:
        raise ValueError(
            "a batch size of 1 trains nothing: the negatives of a pair are the other pairs of its "
            "batch; take a larger batch size, or sample negatives (negatives=, --negatives)"
        )
