"""From the results file to the tables of the book."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from bounds import Bounds
from scipy import stats

from .arms import ARMS, MINITOWER
from .lines import Line, Lines
from .published import PROMISED, PUBLISHED
from .recipe import RECIPES, Setting, half, with_parts
from .recipe import parts as parts_of
from .splits import CHOOSES, METRICS

NONE = "–"
NAMES = {"recall@20": "Recall@20", "ndcg@20": "NDCG@20"}
MOST = 25
"""Rows of the table of a search."""


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A table whose first column is text, and whose others are numbers."""
    marks = ["---"] + ["--:"] * (len(head) - 1)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, marks, *rows))


def mean_and_sd(values: list[float]) -> str:
    """Such as ".1882 ± .0003"; one value stands alone."""
    mean = f"{np.mean(values):.4f}".removeprefix("0")
    if len(values) < 2:
        return mean
    return f"{mean} ± {np.std(values, ddof=1):.4f}".replace("± 0", "± ")


def _figures(lines: list[Line]) -> list[str]:
    if not lines:
        return [NONE] * len(METRICS)
    return [mean_and_sd([line["figures"][name] for line in lines]) for name in METRICS]


def accuracy(lines: Lines, split: str) -> str:
    """What each arm reaches on the test, beside the authors' habit and published figures."""
    head = ["model", *(f"{NAMES[m]}, chosen on validation" for m in METRICS)]
    head += [f"{NAMES[m]}, best epoch on test" for m in METRICS]
    head += [*(f"{NAMES[m]}, published" for m in METRICS), "seeds", "CPU s"]
    rows = []
    for arm in ARMS:
        tests = lines.of("test", split, arm)
        if tests:
            seconds = f"{np.mean([line['cpu'] for line in tests]):,.0f}"
            cells = [*_figures(tests), *_figures(lines.of("habit", split, arm))]
            rows.append([arm, *cells, NONE, NONE, str(len(tests)), seconds])
    if not rows:
        return ""
    for figure in PUBLISHED.get(split, ()):
        ndcg = NONE if figure.ndcg is None else mean_and_sd([figure.ndcg])
        cells = [NONE] * 4 + [mean_and_sd([figure.recall]), ndcg]
        rows.append([f"{figure.model} ({figure.source})", *cells, NONE, NONE])
    return markdown(head, rows)


def budgets(lines: Lines, split: str) -> str:
    """How many settings each arm has tried, which one is chosen, and its epochs."""
    head = ["model", "settings tried", "epochs", *(f"{NAMES[m]}, validation" for m in METRICS)]
    rows, settings = [], []
    for arm in ARMS:
        if not lines.tuned(split, arm):
            continue
        setting = lines.chosen(split, arm)
        found, epochs = lines.of("valid", split, arm, setting), lines.epochs(split, arm, setting)
        at = [next(p for p in line["by_epoch"] if p["epoch"] == epochs) for line in found]
        figures = [mean_and_sd([point[name] for point in at]) for name in METRICS]
        tried = len(lines.of("search", split, arm))
        rows.append([arm, str(tried), f"{epochs} of {setting.get('epochs', 1)}", *figures])
        base = RECIPES[split].setting if "temperature" in setting and arm != MINITOWER else {}
        settings.append(f"* {arm}: {difference(setting, base) or 'no settings'}")
    return "\n\n".join([markdown(head, rows), "\n".join(settings)]) if rows else ""


def difference(setting: Setting, base: Setting) -> str:
    """The values of a setting that a base does not have."""
    changed = {name: value for name, value in setting.items() if base.get(name) != value}
    return ", ".join(f"{name.replace('_', ' ')} {shown(value)}" for name, value in changed.items())


def shown(value: object) -> str:
    """A value of a setting."""
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if value != [] else "none"


def search(lines: Lines, split: str) -> str:
    """What was tried for minitower on validation, the best first."""
    found = sorted(lines.of("search", split, MINITOWER), key=lambda line: -line["figures"][CHOOSES])
    if not found:
        return ""
    base = {**RECIPES[split].setting, "epochs": half(RECIPES[split].epochs)}
    rows = [
        [
            difference(line["setting"], base) or "the recipe",
            str(line["best_epoch"]),
            *_figures([line]),
            f"{line['cpu']:,.0f}",
        ]
        for line in found[:MOST]
    ]
    head = ["change", "best epoch", *(f"{NAMES[m]}, validation" for m in METRICS), "CPU s"]
    more = f"\n\nAnd {len(found) - MOST} below these." if len(found) > MOST else ""
    return markdown(head, rows) + more


def parts(lines: Lines, split: str) -> str:
    """What each part of minitower's recipe buys, alone and beside the others."""
    found = lambda kept: {
        line["seed"]: line["figures"][CHOOSES]
        for line in lines.of("parts", split, MINITOWER, with_parts(split, kept))
    }
    own = parts_of(split)
    plain, everything = found([]), found(own)
    if not plain or not everything:
        return ""
    rows = [
        [
            part,
            gain(found([part]), plain),
            gain(everything, found([other for other in own if other != part])),
        ]
        for part in own
    ]
    rows.append(["all of them", gain(everything, plain), gain(everything, plain)])
    of = [mean_and_sd(list(values.values())) for values in (plain, everything)]
    head = ["part", f"{NAMES[CHOOSES]}, beside nothing", f"{NAMES[CHOOSES]}, beside all others"]
    return (
        f"{NAMES[CHOOSES]} on validation: plain {of[0]}, the recipe {of[1]}. Differences with 95% "
        f"t-intervals over pairs of a seed:\n\n{markdown(head, rows)}"
    )


def gain(ours: dict[int, float], theirs: dict[int, float]) -> str:
    """The mean difference over the seeds of both, and its 95% t-interval."""
    seeds = sorted(ours.keys() & theirs.keys())
    if not seeds:
        return NONE
    over = np.array([ours[seed] - theirs[seed] for seed in seeds])
    if len(seeds) < 2:
        return f"{over.mean():+.4f}"
    half = stats.t.ppf(0.975, len(seeds) - 1) * over.std(ddof=1) / np.sqrt(len(seeds))
    return f"{over.mean():+.4f} [{over.mean() - half:+.4f}, {over.mean() + half:+.4f}]"


PARTS: dict[str, Callable[[Lines, str], str]] = {
    "On the test": accuracy,
    "What was chosen": budgets,
    "What each part of minitower's recipe buys, with half of the epochs": parts,
    "The search of minitower's recipe, with half of the epochs": search,
}


def pages(lines: Lines, splits: tuple[str, ...]) -> str:
    """All tables, split by split; nothing of a split without results."""
    made = []
    for split in splits:
        parts = {title: part(lines, split) for title, part in PARTS.items()}
        found = [f"**{title}.**\n\n{text}" for title, text in parts.items() if text]
        if found:
            made.append("\n\n".join([f"### {split}", *found]))
    return "\n\n".join(made) or "Nothing has been measured yet."


def check(lines: Lines, splits: tuple[str, ...], bounds: Bounds) -> None:
    """Hold what is promised of minitower, where every seed was tested."""
    for split in splits:
        tests = lines.of("test", split, MINITOWER)
        if len(tests) < ARMS[MINITOWER].seeds:
            continue
        for name, promised in PROMISED.get(split, {}).items():
            mean = float(np.mean([line["figures"][name] for line in tests]))
            bounds.at_least(promised, mean, f"{split}, mean test {name}")
