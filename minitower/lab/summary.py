"""The run report of the demo: a line for each system, an example, a map, notes. Chapter 16."""

import math
import platform
from collections.abc import Sequence

import numpy as np

from minitower import __version__
from minitower.data import Categorical, Dataset, Field, Id, MultiValued
from minitower.data.columns import Columns
from minitower.data.option_values import Options
from minitower.data.source import Source
from minitower.evaluation.report import Report
from minitower.formulas.arrays import Array
from minitower.lab.run_report import Example, ItemMap, Recalled, System
from minitower.search.approximate import ApproximateIndex
from minitower.search.index import Index
from minitower.store.recommender import Recommender
from minitower.towers.two_tower import TwoTower
from minitower.training.history import History

MAPPED = 2000  # items on the map


def system(
    name: str, report: Report, k: int, history: History | None = None, metric: str = ""
) -> System:
    """One line of the comparison; a trained system has a history with a validation metric."""
    epochs = [] if history is None else history.epochs
    measured = any(epoch.metrics for epoch in epochs)
    return System(
        name,
        report.metrics,
        {part.name: _or_nan(part.recall[k]) for part in report.slices},
        losses=[epoch.loss for epoch in epochs],
        validation=[epoch.metrics.get(metric, math.nan) for epoch in epochs] if measured else [],
    )


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def views_note(pair: list[tuple[Options, System]], k: int) -> str:
    """What self-supervision did, above all to the tail; one of the two jobs has it."""
    (_, without), (job, views) = sorted(pair, key=lambda one: one[0]["self_supervised"] != "none")
    tail = next((n for n, r in without.slices.items() if n != "new" and not math.isnan(r)), None)
    change = f"from {without.metrics[f'recall@{k}']:.3f} to {views.metrics[f'recall@{k}']:.3f}"
    if tail is not None:
        rare = f"{without.slices[tail]:.3f} to {views.slices[tail]:.3f}"
        change += f", and of the rarest items that were clicked ({tail}) from {rare}"
    return (
        f"Self-supervision ({job['self_supervised']} views, alpha {job['alpha']:g}, temperature "
        f"{job['self_temperature']:g}) moved recall@{k} {change}."
    )


def example(source: Source, model: TwoTower, index: Index) -> Example:
    """A recall for the first user with some history, if the recall finds something.

    "Some" is five items before the test and three in it; where nobody is like that, anybody
    with a positive in the test will do.
    """
    data = source.data
    seen, wanted = data.seen("test"), data.test.by_user(len(data.users))
    store = Recommender(model, data.items, model.users(data, "test"), seen, index)
    users = np.flatnonzero((seen.counts >= 5) & (wanted.counts >= 3))[:200]
    if not len(users):
        users = np.flatnonzero(wanted.counts > 0)[:1]
    for user in users.tolist():
        ids, scores = store.recall(data.users.ids[user], k=10)
        rows = data.items.rows_of(ids)
        hits = np.isin(rows, wanted.row(user))
        if hits.any():
            break
    names = store.names(ids)
    features = [f for f in source.raw.schema.item if f.name != source.raw.item_name]
    abouts = [about(features, source.raw.items, row) for row in rows.tolist()]
    return Example(
        user=str(data.users.ids[user]),
        about=about(source.raw.schema.user, source.raw.users, user),
        history=[item_name(data, row) for row in _latest(data, user, 6)],
        recalled=[
            Recalled(*item)
            for item in zip(names, abouts, scores.tolist(), hits.tolist(), strict=True)
        ],
    )


def about(fields: Sequence[Field], columns: Columns | None, row: int) -> str:
    """The features of a user or an item, for people: the names of the fields, and the values."""
    if columns is None or row >= len(columns):
        return ""
    cells = [(f.name, str(columns[f.name][row])) for f in fields if not isinstance(f, Id)]
    return " · ".join(f"{name}: {cell}" for name, cell in cells if cell)


def item_name(data: Dataset, row: int) -> str:
    """The name of an item, or its id."""
    return str((data.items.ids if data.items.names is None else data.items.names)[row])


def grouped(source: Source) -> tuple[str, Array]:
    """The field that items are grouped by, and the group of every item; "" without one."""
    raw = source.raw
    for kind in (MultiValued, Categorical):
        for field in raw.schema.item:
            if isinstance(field, kind) and raw.items is not None:
                cells = raw.items[field.name].tolist()
                cut = field.separator if isinstance(field, MultiValued) else None
                listed = [_first(str(cell), cut) for cell in cells]
                unlisted = [""] * (len(source.data.items) - len(listed))
                return field.name, np.array(listed + unlisted)
    return "", np.full(len(source.data.items), "")


def _first(cell: str, separator: str | None) -> str:
    """The first value of a cell; without a separator the cell is one value."""
    if separator is None:
        return cell
    values = cell.split() if separator == " " else cell.split(separator)
    return values[0] if values else ""


def _latest(data: Dataset, user: int, n: int) -> list[int]:
    """The last items that a user saw before the test, latest first."""
    parts = [part.take(part.users == user) for part in (data.train, data.valid)]
    items = np.concatenate([part.items for part in parts])
    if parts[0].timestamps is not None and parts[1].timestamps is not None:
        items = items[np.argsort(np.concatenate([p.timestamps for p in parts]), kind="stable")]
    return list(dict.fromkeys(items[::-1].tolist()))[:n]


def item_map(source: Source, vectors: Array, seed: int) -> ItemMap:
    """Item vectors in the plane in which the means of the groups lie furthest apart."""
    what, group_of = source.item_groups or grouped(source)
    names, counts = np.unique(group_of[group_of != ""], return_counts=True)
    names = names[np.argsort(-counts, kind="stable")][:6]
    groups = np.full(len(vectors), -1)
    for g, name in enumerate(names):
        groups[group_of == name] = g
    centred = vectors - vectors.mean(axis=0)
    spread = centred
    if len(names) > 2:
        size = np.bincount(groups[groups >= 0])[:, None]
        spread = np.stack([centred[groups == g].mean(axis=0) for g in range(len(names))])
        spread = spread * np.sqrt(size)
    plane = np.linalg.svd(spread, full_matrices=False)[2][:2]
    shown = np.random.default_rng(seed).permutation(len(vectors))[:MAPPED]
    points = np.zeros((len(shown), 2))
    points[:, : len(plane)] = centred[shown] @ plane.T  # one dimension only gives a line
    caption = "Item vectors in the plane in which "
    caption += f"they differ most by {what}." if len(names) > 2 else "they differ most."
    return ItemMap(
        [(float(x), float(y)) for x, y in points],
        groups[shown].tolist(),
        [str(name) for name in names],
        what.partition(",")[0] if len(names) else "",
        caption,
    )


def notes(
    source: Source,
    seed: int,
    report: Report,
    index: ApproximateIndex,
    exactly: int,
    history: History,
) -> list[str]:
    tuning = index.tuning
    epoch = (
        f"Epoch {history.best_epoch} is chosen, the best on validation."
        if history.epochs[-1].metrics
        else "Without validation, the last epoch is chosen."
    )
    return [
        *(f"{remark[0].upper()}{remark[1:]}." for remark in source.remarks),
        f"All {len(source.data.items):,} items are ranked for every user, except those that the "
        "user saw before the test.",
        f"Means are over the {report.users:,} users with positives in the test; "
        f"{report.users_without_positives:,} have none and do not count.",
        epoch,
        f"HNSW chose ef = {tuning.effort} to find {tuning.target:.0%} of the exact top "
        f"{tuning.k}. Times are medians of queries sent one by one.",
        "The example is the first user with at least five items before the test, three in it, "
        "and a hit among the recalled items. If no user has a hit, it is the last one tried.",
        f"For {exactly:,} of the {report.users:,} users the HNSW index answered exactly. The graph "
        "must also fetch the items that a user saw, and above an eighth of all items it has no "
        "advantage.",
        f"minitower {__version__}, Python {platform.python_version()}, "
        f"NumPy {np.__version__}, seed {seed}.",
    ]
