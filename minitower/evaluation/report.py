"""The report of an evaluation: metrics by name and cutoff, and recall by slice. Chapter 16."""

from dataclasses import asdict, dataclass, field
from typing import Any

from minitower.formulas import ranking
from minitower.formulas.arguments import INT64_MAX

ACCURACY = {
    "recall": ranking.recall,
    "ndcg": ranking.ndcg,
    "hit_rate": ranking.hit_rate,
    "mrr": ranking.mrr,
    "map": ranking.mean_average_precision,
    "precision": ranking.precision,
    "recall_capped": ranking.recall_capped,
}


def read_metric(metric: Any) -> str:
    """The name of a metric with its cutoff, checked.

    Raises:
        ValueError: the name is unknown, or the cutoff is no integer of at least 1.

    >>> read_metric("recall@20")
    'recall@20'
    """
    name, _, k = metric.partition("@") if isinstance(metric, str) else ("", "", "")
    cutoff = int(k) if k.isdecimal() and len(k) < 20 else 0
    if name not in ACCURACY or not 1 <= cutoff <= INT64_MAX or k != str(cutoff):
        raise ValueError(f"expected NAME@K, the name one of {', '.join(ACCURACY)}")
    return str(metric)


@dataclass(frozen=True)
class SliceReport:
    """Recall of one popularity slice of the catalogue.

    Attributes:
        name: "new" (no training click), or the range of clicks of its items.
        items, positives: the number of each in the slice.
        recall: by k; None where no user has a positive in the slice.
    """

    name: str
    items: int
    positives: int
    recall: dict[int, float | None]


@dataclass(frozen=True)
class Report:
    """The result of an evaluation; `report["recall@20"]` is one of its numbers.

    Attributes:
        split: the part of the data set.
        index: "exact", or the class of the index that ranked.
        users: users with at least one positive; all means are over them.
        users_without_positives: the number of other users.
        positives: distinct (user, item) pairs to find.
        repeated: pairs excluded because the user saw the item before the split.
        k: the cutoffs.
        metrics: "recall@20" and so on, for ndcg, hit_rate, mrr, map, precision,
            recall_capped, coverage, gini and novelty.
        slices: recall by popularity, rarest items first.
        seconds: the duration of the evaluation.
    """

    split: str
    index: str
    users: int
    users_without_positives: int
    positives: int
    repeated: int
    k: tuple[int, ...]
    metrics: dict[str, float]
    slices: tuple[SliceReport, ...]
    seconds: float = field(compare=False)

    def __getitem__(self, name: str) -> float:
        return self.metrics[name]

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        names = dict.fromkeys(name.partition("@")[0] for name in self.metrics)
        rows = [(name, [self.metrics[f"{name}@{k}"] for k in self.k]) for name in names]
        head = "".join(f"{f'@{k}':>9}" for k in self.k)
        lines = [
            f"{self.split}: {self.users:,} users, {self.positives:,} positives, "
            f"{self.index} index, {self.seconds:.1f} s",
            f"{'':24}{head}",
            *(f"{name:24}" + "".join(f"{v:9.4f}" for v in values) for name, values in rows),
            f"{'recall by popularity':24}",
        ]
        for part in (s for s in self.slices if s.items):
            cells = ["" if v is None else f"{v:.4f}" for v in part.recall.values()]
            lines.append(f"  {part.name:22}" + "".join(f"{cell:>9}" for cell in cells))
        return "\n".join(lines)
