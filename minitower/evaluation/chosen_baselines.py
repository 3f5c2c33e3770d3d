"""The baselines of a table: "most popular", ItemKNN and EASE, chosen on validation where cheap.

Chapter 16.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from minitower.data.errors import DataError
from minitower.data.interactions import Dataset
from minitower.evaluation.baselines import ItemToItem, ease, item_knn
from minitower.evaluation.evaluator import (
    Evaluator,
    HistoryScorer,
    NothingToFind,
    PopularityScorer,
    Scorer,
)
from minitower.evaluation.report import Report

MOST_TO_CHOOSE = 5_000
"""Items up to which the settings are chosen on validation; above, the defaults serve."""

_METRIC = "ndcg@20"
_POPULARITY = 0.01, 0.1, 1.0
_SHRINKAGE = 3.0, 30.0, 300.0
_L2 = 30.0, 100.0, 300.0, 1000.0


@dataclass(frozen=True)
class Baseline:
    """A baseline of a table.

    Attributes:
        name: its name in the table.
        scorer: to evaluate.
        settings: the values it was made with, and where they come from; "" without any.
    """

    name: str
    scorer: Scorer | HistoryScorer
    settings: str = ""


MOST_POPULAR = Baseline("most popular", PopularityScorer())


def baselines(
    data: Dataset, split: str = "test", say: Callable[[str], object] = lambda remark: None
) -> list[Baseline]:
    """Fit "most popular", ItemKNN and EASE on the training clicks.

    The settings are those of the best NDCG@20 on validation, of 9 for ItemKNN and 12 for EASE.
    They are the defaults where the catalogue has more than :data:`MOST_TO_CHOOSE` items, where
    validation has nothing to find, and where validation itself is measured.

    Args:
        data: the data set.
        split: the part that will be measured.
        say: gets a remark: the settings of a baseline, or why it is left out.
    """
    evaluator = None
    if split == "test" and len(data.items) <= MOST_TO_CHOOSE:
        with contextlib.suppress(NothingToFind):
            evaluator = Evaluator(data, "valid", (20,), slices=1)
    fitted = [MOST_POPULAR]
    for name, fit, setting, values in (
        ("ItemKNN", item_knn, "shrinkage", _SHRINKAGE),
        ("EASE", ease, "l2", _L2),
    ):
        try:
            if evaluator is None:
                fitted.append(Baseline(name, fit(data), "default settings"))
            else:
                fitted.append(_chosen(name, partial(fit, data), setting, values, evaluator))
        except DataError as error:
            say(f"{name} is left out: {error}")
        else:
            say(f"{name}: {fitted[-1].settings}")
    return fitted


def _chosen(
    name: str,
    fit: Callable[..., ItemToItem],
    setting: str,
    values: tuple[float, ...],
    evaluator: Evaluator,
) -> Baseline:
    """The best on validation; of equal ones the first."""
    best: tuple[float, Baseline] | None = None
    for value in values:
        full = fit(popularity=1.0, **{setting: value})
        for popularity in _POPULARITY:
            model = ItemToItem(full.weights, popularity * full.popularity)
            found = evaluator(model)[_METRIC]
            if best is None or found > best[0]:
                settings = f"{setting} {value:g}, popularity {popularity:g}, chosen on validation"
                best = found, Baseline(name, model, settings)
    assert best is not None
    return best[1]


def verdict(reports: Mapping[str, Report], model: str, metric: str) -> str:
    """One sentence: whether the best baseline is above the model.

    Args:
        reports: by the names of a table, the model among the baselines.
        model: its name.
        metric: such as "recall@50".
    """
    ours = reports[model][metric]
    others = {name: report[metric] for name, report in reports.items() if name != model}
    name = max(others, key=lambda other: others[other])
    word = "below" if others[name] < ours else "above" if others[name] > ours else "equal to"
    return (
        f"the best baseline, {name}, is {word} {model}: {metric} {others[name]:.4f} "
        f"against {ours:.4f}"
    )
