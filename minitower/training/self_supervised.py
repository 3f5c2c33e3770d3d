"""Self-supervised learning: two views of an item should find each other. Chapter 12.

Features of an item can be learned without clicks, which helps items that have few. Hide different
parts of each item, and train the item tower to match the two views of the same item.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from minitower.data import Dataset, Features, Ragged
from minitower.data.options import Option, check_options
from minitower.formulas.arguments import TEMPERATURES, choice
from minitower.formulas.arrays import Mask, Vectors
from minitower.formulas.augmentation import complementary_masks, correlated_masks, random_mask
from minitower.formulas.blocked import blocked_in_batch_softmax
from minitower.formulas.logq import uncorrected
from minitower.formulas.similarity import l2_normalize
from minitower.towers.layers import Gradients
from minitower.towers.two_tower import TwoTower
from minitower.training.views import drop, hide, pairwise_mutual_information

Augment = Literal[
    "mask",
    "dropout",
    "complementary",
    "correlated",
    "mask+dropout",
    "complementary+dropout",
    "correlated+dropout",
]
AUGMENTS: tuple[Augment, ...] = get_args(Augment)


@dataclass(frozen=True, kw_only=True)
class SelfSupervised:
    """Settings of the contrastive loss over views of items; training adds alpha times this loss.

    Args:
        augment: how two views are made. "mask" hides ``hidden`` random fields of each view.
            "complementary" hides a random half in one view and the rest in the other.
            "correlated" hides a random field and its closest relatives in one view, the rest in
            the other. "dropout" drops values of multi-valued fields. "mask+dropout" and so on
            first hide and then drop.
        alpha: weight of the contrastive loss, 0 to 1e6. 0 trains bit for bit as without it.
        batch_size: m >= 2, items of the catalogue a step, or all if the catalogue has fewer.
        temperature: 1e-6 to 1e12, of the cosines of the views.
        hidden: fields that "mask" hides; None: half of them, rounded down.
        dropout: share of a row's values that are dropped, in (0, 1).
        per_item: whether each item has masks of its own. By default the batch shares them, because
            otherwise the hidden fields would identify the item.
        rounding: of "correlated"; see :func:`correlated_masks`.
        mutual_information_over: of "correlated": fields are related by their mutual information
            over "items", each counted once, or over training "clicks"; see
            :func:`~minitower.training.views.pairwise_mutual_information`.
        symmetric: let second views find first ones, too, and take the mean of both losses.
        sampling: "uniform" draws m distinct items with equal probability. "clicks" draws them in
            proportion to training clicks, without replacement, and forgets the tail.

    The id is hidden at random like any field. If both views showed the id, the tower would learn
    nothing else. If both hid it, its embedding would learn nothing. "correlated" cannot measure
    the id or another field without a repeated value: a coin decides which view shows such a field.

    Raises ValueError: a parameter is outside its domain.

    Reference: T. Yao et al., Self-supervised Learning for Large-scale Item Recommendations, CIKM
        2021, Eqs. 3 and 5; the lecture, section 5.
    """

    augment: Augment
    alpha: Annotated[
        float, Option("weight of the self-supervised loss", 0, 1e6, metavar="ALPHA")
    ] = 0.1
    batch_size: Annotated[
        int, Option("items of which a step makes views", 2, metavar="N", name="self_batch_size")
    ] = 1024
    temperature: Annotated[
        float,
        Option(
            "temperature of the self-supervised loss",
            *TEMPERATURES,
            metavar="TAU",
            name="self_temperature",
        ),
    ] = 0.1
    hidden: Annotated[
        int | None,
        Option(
            "fields that mask hides (default: half of them)", 1, metavar="N", name="hidden_fields"
        ),
    ] = None
    dropout: Annotated[
        float,
        Option(
            "share of the values of a field that dropout drops",
            above=0,
            below=1,
            metavar="SHARE",
            name="dropped_values",
        ),
    ] = 0.5
    per_item: Annotated[
        bool,
        Option("hide other fields of each item, not the same in a batch", name="mask_per_item"),
    ] = False
    rounding: Literal["floor", "ceil"] = "floor"
    mutual_information_over: Literal["items", "clicks"] = "items"
    symmetric: bool = False
    sampling: Annotated[
        Literal["uniform", "clicks"],
        Option("draw those items uniformly, or by clicks", name="self_sampling"),
    ] = "uniform"

    def __post_init__(self) -> None:
        choice("augment", self.augment, AUGMENTS)
        choice("rounding", self.rounding, ("floor", "ceil"))
        choice("mutual_information_over", self.mutual_information_over, ("items", "clicks"))
        check_options(self)
        if self.hidden is not None and self.masking != "mask":
            raise ValueError(f"hidden belongs to mask; augment is {self.augment!r}")
        correlated = self.rounding, self.mutual_information_over
        if correlated != ("floor", "items") and self.masking != "correlated":
            raise ValueError(
                "rounding and mutual_information_over belong to correlated; "
                f"augment is {self.augment!r}"
            )

    @property
    def masking(self) -> str:
        """How fields are hidden; "" where none are."""
        return self.augment.partition("+")[0] if self.augment != "dropout" else ""

    @property
    def drops(self) -> bool:
        """Whether values of multi-valued fields are dropped."""
        return self.augment.endswith("dropout")


class ContrastiveLoss:
    """The contrastive part of a training step, on the items of a data set.

    Args:
        settings: how views are made and compared.
        data: the data set of the catalogue.
        seed: of draws and views, which have a generator of their own: shuffling and sampling
            draw the same with and without self-supervision.
    Raises ValueError: a view would keep nothing or hide nothing, for want of fields.
    """

    def __init__(self, settings: SelfSupervised, data: Dataset, seed: int = 0) -> None:
        self.settings, self.data = settings, data
        self.rng = np.random.default_rng(np.random.SeedSequence(seed).spawn(1)[0])
        self.fields = [field.name for field in data.schema.item.inputs]
        by_clicks = settings.sampling == "clicks"
        self._share = data.item_counts / len(data.train) if by_clicks else None
        if settings.masking == "correlated":
            names, related = pairwise_mutual_information(data, settings.mutual_information_over)
            known = ~np.isnan(np.diag(related))
            self._related = related[np.ix_(known, known)]
            measured = {name for name, is_known in zip(names, known, strict=True) if is_known}
            self._measured = np.array([name in measured for name in self.fields])
        self._check_views()

    def __call__(self, model: TwoTower) -> tuple[float, Gradients]:
        """Draw items, make two views of each, send them through the item tower and back.

        Returns:
            alpha times the contrastive loss, and its gradients.
        """
        vectors, backward = model.item(self.views(self.draw()))
        first, second = np.split(vectors, 2)
        loss, d_views = self._info_nce(first, second, model.similarity == "cosine")
        alpha = self.settings.alpha
        return alpha * loss, backward(alpha * np.concatenate(d_views))

    def draw(self) -> NDArray[np.integer[Any]]:
        """(m,) distinct rows of the catalogue."""
        n, m = len(self.data.items), self.settings.batch_size
        if self._share is not None:
            m = min(m, int(np.count_nonzero(self._share)))
        return np.arange(n) if m >= n else self.rng.choice(n, m, replace=False, p=self._share)

    def views(self, rows: NDArray[np.integer[Any]]) -> Features:
        """First views of these items, then their second views, as one batch for the tower.

        Shapes: (m)->2m rows of features
        """
        views = self.data.items.take(np.concatenate([rows, rows]))
        if self.settings.masking:
            mask = np.concatenate(self._masks(self.rng, len(rows)))
            views = hide(self.data.schema.item, views, self.fields, mask)
        return drop(views, self.settings.dropout, self.rng) if self.settings.drops else views

    def _masks(self, rng: np.random.Generator, n: int) -> tuple[Mask, Mask]:
        """The fields of the tower that each view hides, (n,k) and (n,k)."""
        settings, per_item, k = self.settings, self.settings.per_item, len(self.fields)
        if settings.masking == "mask":
            hidden = max(1, k // 2) if settings.hidden is None else settings.hidden
            first, second = (random_mask(rng, n, k, hidden, per_item=per_item) for _ in range(2))
            return first, second
        if settings.masking == "complementary":
            return complementary_masks(rng, n, k, per_item=per_item)
        measured, _ = correlated_masks(
            rng, n, self._related, rounding=settings.rounding, per_item=per_item
        )
        first = np.empty((n, k), bool)
        first[:, self._measured] = measured
        others = (n if per_item else 1, k - measured.shape[1])
        first[:, ~self._measured] = rng.integers(2, size=others, dtype=bool)
        return first, ~first

    def _info_nce(
        self, first: Vectors, second: Vectors, unit: bool
    ) -> tuple[float, tuple[Vectors, Vectors]]:
        """:func:`~minitower.formulas.softmax.info_nce` of the views' cosines, in little memory.

        Shapes: (m,d),(m,d)->(),((m,d),(m,d))
        """
        if not unit:
            (first, back_first), (second, back_second) = l2_normalize(first), l2_normalize(second)
        plain, temperature = uncorrected(np.arange(len(first))), self.settings.temperature
        loss, (d_first, d_second) = blocked_in_batch_softmax(
            first, second, plain, temperature=temperature
        )
        if self.settings.symmetric:
            reverse_loss, (reverse_d_second, reverse_d_first) = blocked_in_batch_softmax(
                second, first, plain, temperature=temperature
            )
            loss = (loss + reverse_loss) / 2
            d_first = (d_first + reverse_d_first) / 2
            d_second = (d_second + reverse_d_second) / 2
        return loss, (d_first, d_second) if unit else (back_first(d_first), back_second(d_second))

    def _check_views(self) -> None:
        """Refuse views that hide no field or drop no value of any item."""
        settings = self.settings
        if settings.masking:
            try:
                self._masks(np.random.default_rng(0), 1)
            except ValueError as error:
                fields = ", ".join(self.fields)
                raise ValueError(
                    f"{settings.augment} of an item's {fields}: {error}; choose other views"
                ) from None
        read = [self.data.items.columns[name] for name in self.fields]
        largest = max([x.counts.max(initial=0) for x in read if isinstance(x, Ragged)], default=0)
        if settings.drops and settings.dropout * largest < 1:
            raise ValueError(
                f"dropping {settings.dropout:g} of the values of a field changes no item here: "
                "none has a multi-valued field with enough of them"
            )
