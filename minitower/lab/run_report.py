"""The report of one run of the demo, as data: pages, plots and terminal output are made of it.

Chapter 16.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

METRICS = {
    "recall": "Recall",
    "ndcg": "NDCG",
    "hit_rate": "HitRate",
    "mrr": "MRR",
    "coverage": "Coverage",
}


@dataclass(frozen=True)
class System:
    """One line of the comparison.

    Attributes:
        name: its name in the table.
        metrics: values by "recall@10", "ndcg@10", ..., "coverage@100".
        slices: recall at the middle k by name of popularity slice; NaN where no test
            positive lies in the slice.
        losses: training loss by epoch; empty for a system that is not trained.
        validation: the validation metric by epoch; NaN after an epoch without validation.
    """

    name: str
    metrics: Mapping[str, float]
    slices: Mapping[str, float]
    losses: Sequence[float] = ()
    validation: Sequence[float] = ()


@dataclass(frozen=True)
class IndexPoint:
    """An index at one setting.

    Attributes:
        name: "exact", "ef=100".
        recall: share of what the exact index finds.
        milliseconds: per query.
        found: recall@k of the model on the test split, at the middle k, through this index.
        chosen: whether this is the setting the index was built with.
    """

    name: str
    recall: float
    milliseconds: float
    found: float | None = None
    chosen: bool = False


@dataclass(frozen=True)
class Recalled:
    """One item of the example recall; ``clicked`` says whether the test split knows it."""

    name: str
    about: str
    score: float
    clicked: bool = False


@dataclass(frozen=True)
class Example:
    """A recall for one user: who they are, what they took in training, what they get."""

    user: str
    about: str
    history: Sequence[str]
    recalled: Sequence[Recalled]


@dataclass(frozen=True)
class ItemMap:
    """Item vectors in a plane.

    Attributes:
        points: (x, y) of each item shown.
        groups: its position in ``names``, or -1 for none.
        names: at most six.
        field: the field whose values the groups are; "" without groups.
        caption: what the plane is and what the groups are.
    """

    points: Sequence[tuple[float, float]]
    groups: Sequence[int]
    names: Sequence[str]
    field: str
    caption: str


@dataclass(frozen=True)
class RunReport:
    """The report of one run.

    Attributes:
        data: what the data set is called.
        facts: short name -> value, in the order of the page.
        k: the cut-offs of the table, ascending; headlines use the middle one.
        systems: the comparison; the first is the model of the report, the last "most popular".
        slice_items: number of items by name of popularity slice, rarest first.
        validation_metric: what ``System.validation`` measures.
        exact, hnsw: the exact index; the approximate one at several settings, one chosen.
        example: a recall.
        map: where the items lie.
        notes: how the numbers came to be, one sentence each.
    """

    data: str
    facts: Mapping[str, str]
    k: Sequence[int]
    systems: Sequence[System]
    slice_items: Mapping[str, int]
    validation_metric: str
    exact: IndexPoint
    hnsw: Sequence[IndexPoint]
    example: Example
    map: ItemMap
    notes: Sequence[str]

    @property
    def middle(self) -> int:
        """The cut-off that headlines and slices use."""
        return self.k[len(self.k) // 2]

    @property
    def verdict(self) -> str:
        """One sentence: whether the best baseline finds less than the first system."""
        metric = f"recall@{self.middle}"
        ours, *_ = self.systems
        best = max((s for s in self.systems if not s.losses), key=lambda s: s.metrics[metric])
        mine, theirs = ours.metrics[metric], best.metrics[metric]
        word = "less than" if theirs < mine else "more than" if theirs > mine else "as much as"
        return (
            f"The best baseline, {best.name}, finds {word} {ours.name}: "
            f"{metric} {theirs:.4f} against {mine:.4f}."
        )

    @property
    def index(self) -> IndexPoint:
        """The approximate index as it was built."""
        return next(point for point in self.hnsw if point.chosen)

    @property
    def measured_slices(self) -> list[str]:
        """Names of the slices in which some test positive lies, rarest first."""
        first = self.systems[0].slices
        return [name for name in self.slice_items if not math.isnan(first.get(name, math.nan))]
