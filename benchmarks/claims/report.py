"""From the results file to the table and the figures of the book."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from claim import Claim, Comparison
from figure import Panel, Row
from figure import draw as draw_panels
from scipy import stats
from tasks import METRIC
from units import Results, load_claim

sys.path.append(str(Path(__file__).parent.parent))  # for `drawing`

from drawing import put_between_marks

CHAPTER, DETAILS = "18-what-is-true.md", "28-the-claims-in-detail.md"
_LEVEL = 0.95
ALIKE = {
    "holds": "holds",
    "reversed": "is reversed",
    "not shown": "is not shown",
    "one seed": "has one seed",
}
"""What is said of a claim whose comparisons all came out alike, by how they did."""
SEVERAL = {
    "holds": ("holds", "hold"),
    "reversed": ("reversed", "reversed"),
    "not shown": ("not shown", "not shown"),
    "one seed": ("of one seed", "of one seed"),
}
CAPTION = (
    "*Small dots: one seed each. Large dot: their mean. Bar: its 95% interval.\n"
    "Made by `python benchmarks/claims {name}`.*"
)


@dataclass(frozen=True)
class Interval:
    """A mean over seeds and its 95% t-interval; NaN bounds with fewer than two."""

    mean: float
    low: float
    high: float
    n: int

    @staticmethod
    def of(values: Iterable[float]) -> Interval:
        """Of independent values."""
        x = np.asarray(list(values))
        if len(x) < 2:
            return Interval(float(x.mean()), np.nan, np.nan, len(x))
        half = stats.t.ppf((1 + _LEVEL) / 2, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x))
        return Interval(float(x.mean()), float(x.mean() - half), float(x.mean() + half), len(x))

    def __str__(self) -> str:
        if np.isnan(self.low):
            return f"{self.mean:+.4f}"
        return f"{self.mean:+.4f} [{self.low:+.4f}, {self.high:+.4f}]"


@dataclass(frozen=True)
class Effect:
    """What came out of a comparison on a data set.

    Attributes:
        interval: of the difference, paired by seed, or of the share of the way to the top.
        verdict: "holds" where the interval lies above zero, "reversed" where below it, "not
            shown" where it does not leave zero out; "" for a share.
    """

    comparison: Comparison
    task: str
    figure: str
    interval: Interval
    verdict: str


def effects(results: Results, name: str, claim: Claim, comparisons: Any) -> Iterator[Effect]:
    """The comparisons whose arms were run, on every data set."""
    for task in claim.tasks:
        for comparison in comparisons:
            figure = comparison.better[1] or METRIC[task]
            arms = [comparison.better, comparison.worse]
            if comparison.top is not None:
                arms.append((comparison.top, figure))
            values = [_by_seed(results, name, task, arm, own or figure) for arm, own in arms]
            seeds = sorted(set.intersection(*(set(v) for v in values)))
            if not seeds:
                continue
            better, worse, *top = (np.array([v[s] for s in seeds]) for v in values)
            if top:
                yield Effect(
                    comparison, task, figure, Interval.of((better - worse) / (top[0] - worse)), ""
                )
            else:
                interval = Interval.of(better - worse)
                yield Effect(comparison, task, figure, interval, _verdict(interval))


def _verdict(interval: Interval) -> str:
    if interval.n < 2:
        return "one seed"
    if interval.low > 0:
        return "holds"
    return "reversed" if interval.high < 0 else "not shown"


def _by_seed(results: Results, claim: str, task: str, arm: str, figure: str) -> dict[int, float]:
    lines = results.of(claim, task, arm, trial=False)
    return {x["seed"]: x["figures"][figure] for x in lines if figure in x["figures"]}


def summary(effects_: list[Effect]) -> str:
    """One verdict for a claim, from all that decides it, by data set where these differ."""
    by_task: dict[str, str] = {}
    for task in dict.fromkeys(effect.task for effect in effects_):
        verdicts = Counter(effect.verdict for effect in effects_ if effect.task == task)
        if len(verdicts) == 1:
            by_task[task] = ALIKE[next(iter(verdicts))]
        else:
            counts = (f"{verdicts[v]} {SEVERAL[v][verdicts[v] > 1]}" for v in ALIKE if verdicts[v])
            by_task[task] = f"mixed: {', '.join(counts)}"
    if len(set(by_task.values())) == 1:
        return f"{next(iter(by_task.values()))} ({', '.join(by_task)})"
    return "depends on the data: " + "; ".join(f"{v} on {t}" for t, v in by_task.items())


def summaries(results: Results, names: Iterable[str], details: str) -> str:
    """Markdown: a row for each claim, its number a link into the page of details."""
    rows = ["| | claim | measured |", "|---|---|---|"]
    for number, name in enumerate(names, start=1):
        says = load_claim(name).says
        link = f"[{number}]({details}#{_anchor(f'{number}. {says}')})"
        rows.append(f"| {link} | {says} | {summary(_decided(results, name))} |")
    return "\n".join(rows)


def details(results: Results, names: Iterable[str]) -> str:
    """Markdown: each claim with its figure, its comparisons and its arms."""
    parts = []
    for number, name in enumerate(names, start=1):
        claim = load_claim(name)
        decisive = _decided(results, name)
        also = list(effects(results, name, claim, claim.also))
        caption = CAPTION.format(name=name)
        parts.append(
            f"## {number}. {claim.says}\n\n"
            f"![{claim.says}](figures/claim-{name}.svg)\n\n{caption}\n\n"
            + _effects_table(decisive, also)
            + "\n\n"
            + _arms_table(results, name, claim)
        )
    return "\n\n".join(parts)


def _anchor(heading: str) -> str:
    """The name by which GitHub links to a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def _effects_table(decisive: list[Effect], also: list[Effect]) -> str:
    lines = [
        "| comparison | data | figure | difference, 95% interval | seeds | verdict |",
        "|---|---|---|---|---|---|",
    ]
    for effect in decisive + also:
        (better, _), (worse, other) = effect.comparison.better, effect.comparison.worse
        what = f"{better} − {worse}" if better != worse else f"{better}: beside {other}"
        if effect.comparison.top is not None:
            what = f"share of {worse} → {effect.comparison.top} that {better} goes"
        verdict = f"**{effect.verdict}**" if effect in decisive else effect.verdict
        lines.append(
            f"| {what} | {effect.task} | {effect.figure} | {effect.interval} | "
            f"{effect.interval.n} | {verdict} |"
        )
    return "\n".join(lines)


def _arms_table(results: Results, name: str, claim: Claim) -> str:
    lines = []
    for task in claim.tasks:
        tested = {arm: results.of(name, task, arm, trial=False) for arm in claim.arms_on(task)}
        tested = {arm: found for arm, found in tested.items() if found}
        if not tested:
            continue
        names = list(claim.columns or next(iter(tested.values()))[0]["figures"])
        head = ["chosen", *names] if claim.columns else ["chosen", "epochs", *names, "s"]
        lines += [f"| {task} | {' | '.join(head)} |", "|---" * (len(head) + 1) + "|"]
        for arm, found in tested.items():
            measured = [[x["figures"][f] for x in found if f in x["figures"]] for f in names]
            means = (np.mean(values) if values else np.nan for values in measured)
            setting = ", ".join(f"{k} {v:g}" for k, v in found[0]["setting"].items())
            cells = [setting, *(f"{mean:.4f}" for mean in means)]
            if not claim.columns:
                epochs = np.mean([line["best_epoch"] for line in found])
                cells.insert(1, f"{epochs:.1f} of {found[0]['epochs']}")
                cells.append(f"{np.median([line['seconds']['training'] for line in found]):.0f}")
            lines.append(f"| {arm} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines).rstrip()


def draw(results: Results, name: str, path: Path) -> None:
    """The figure that decides, of every arm: a dot for each seed, the mean and its interval."""
    claim = load_claim(name)
    panels = []
    for task in _tasks(results, name, claim):
        decides, rows, kind = claim.compare[0].better[1] or METRIC[task], [], ""
        for arm in claim.arms_on(task):
            figures = _over(results, claim, name, task, arm)
            if not figures or arm == claim.against:
                continue
            shown = _alike(decides, figures[0])
            kind = shown[0].partition(",")[0]
            for key in shown:
                values = [of_seed[key] for of_seed in figures if key in of_seed]
                interval = Interval.of(values)
                part = f"{'day ' * kind.endswith('day')}{key.partition(', ')[2]}"
                label = arm if len(shown) == 1 else f"{arm}: {part}"
                rows.append(Row(label, values, interval.mean, interval.low, interval.high))
        panels.append(Panel(task, kind, rows))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(draw_panels(claim.says, panels, claim.against).svg(), "utf-8")


def _decided(results: Results, name: str) -> list[Effect]:
    """The comparisons that decide, as far as their arms were run."""
    claim = load_claim(name)
    return list(effects(results, name, claim, claim.compare))


def _tasks(results: Results, name: str, claim: Claim) -> list[str]:
    """Where arms of a claim were tested."""
    return [t for t in claim.tasks if any(results.of(name, t, a, False) for a in claim.arms_on(t))]


def _over(results: Results, claim: Claim, name: str, task: str, arm: str) -> list[dict[str, float]]:
    """The figures of an arm by seed, less those of the arm that it is drawn against."""
    own = {x["seed"]: x["figures"] for x in results.of(name, task, arm, False)}
    if not claim.against:
        return list(own.values())
    base = {x["seed"]: x["figures"] for x in results.of(name, task, claim.against, False)}
    both = own.keys() & base.keys()
    return [{key: own[s][key] - base[s][key] for key in own[s] if key in base[s]} for s in both]


def _alike(figure: str, figures: dict[str, float]) -> list[str]:
    """The figures of one kind: "recall@20", or "accuracy, of this" and "accuracy, of that"."""
    kind = figure.partition(",")[0]
    return [name for name in figures if name.partition(",")[0] == kind]


def write(results: Results, names: Iterable[str], folder: Path) -> None:
    """Put the summary into one chapter, the details into another, and the figures beside them."""
    run = [name for name in names if _decided(results, name)]
    for name in run:
        draw(results, name, folder / "figures" / f"claim-{name}.svg")
    made = summaries(results, run, DETAILS)
    put_between_marks(folder / CHAPTER, "benchmarks/claims", made)
    put_between_marks(folder / DETAILS, "benchmarks/claims", details(results, run))
    print(made)
