"""From the results to the page of the book. No figure on the page is typed by hand."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

_BEGIN, _END = "<!-- made by benchmarks/bugs_found: begin -->", "<!-- end -->"

Line = dict[str, Any]


def read(path: Path) -> list[Line]:
    """The lines of a results file; of a check that was run again, the last one."""
    text = path.read_text("utf-8") if path.exists() else ""
    lines: list[Line] = [json.loads(line) for line in text.splitlines()]
    checks = {line["loss"]: line for line in lines if line["kind"] == "check"}
    return [*checks.values(), *(line for line in lines if line["kind"] != "check")]


def interval(differences: Iterable[float]) -> tuple[float, float]:
    """The mean of independent values, and half of its 95% t-interval."""
    x = np.asarray(list(differences))
    if len(x) < 2:
        return float(x.mean()), np.inf
    half = stats.t.ppf(0.975, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x))
    return float(x.mean()), float(half)


def write(lines: list[Line], page: Path) -> None:
    """Put the findings between the marks of the page; a file without marks is replaced."""
    text = page.read_text("utf-8") if page.exists() else ""
    marked = re.compile(f"{re.escape(_BEGIN)}.*?{re.escape(_END)}", re.DOTALL)
    if not marked.search(text):
        text = f"{_BEGIN}\n{_END}\n"
    page.write_text(marked.sub(lambda _: f"{_BEGIN}\n\n{made(lines)}\n{_END}", text), "utf-8")


def made(lines: list[Line]) -> str:
    """The table of all bugs, then each of them."""
    from bug import bugs

    checks = {line["loss"]: line for line in lines if line["kind"] == "check"}
    shown = [bug for bug in bugs() if bug.name in checks]
    used = ", ".join(dict.fromkeys(line["with"] for line in checks.values()))
    table = [
        f"{len(shown)} bugs; checked with {used}.",
        "",
        "| project | what it is | the checker says | cases that fail | cost |",
        "|---|---|---|---|---|",
    ]
    for bug in shown:
        line = checks[bug.name]
        table.append(
            f"| {bug.repository} | [{bug.name}](#{bug.name}) | {line['mistake']} | "
            f"{line['failed']} of {line['cases']} | {_short(_cost(bug, lines))} |"
        )
    sections = (_section(bug, checks[bug.name], lines) for bug in shown)
    return "\n".join([*table, "", *sections])


def _section(bug: Any, check: Line, lines: list[Line]) -> str:
    report = f"[report](https://github.com/{bug.repository}/{bug.thread})" if bug.thread else ""
    about = [f"[{bug.file}]({bug.source})", *([report] if report else [])]
    code = inspect.getsource(bug.loss)
    code = code[code.index("def ") :].rstrip()
    allowed = "".join(f" --allow {choice}" for choice in bug.allow)
    given = "".join(f" --with {name}={value:g}" for name, value in bug.given.items())
    return "\n".join([
        f"### {bug.name}",
        "",
        f"{bug.repository}: {', '.join(about)}. {bug.says} {bug.now}".rstrip(),
        "",
        "```python",
        code,
        "```",
        "",
        f"`--formula {bug.formula}{given}{allowed}`: {check['failed']} of {check['cases']} cases "
        f"fail, “{check['mistake']}”. Fix: {check['fix']}.",
        "",
        _cost_in_words(bug, lines),
        "",
    ])  # fmt: skip


def _cost(bug: Any, lines: list[Line]) -> Line | None:
    """Means of the right form and of the bug over the seeds that both have, and the difference."""
    own = {x["seed"]: x for x in lines if x["loss"] == bug.name and x["kind"] != "check"}
    if not own:
        return None
    if bug.framework == "numpy":
        figures = {seed: x["figures"] for seed, x in own.items()}
        right = {seed: {"reported": f["right"]} for seed, f in figures.items()}
        wrong = {seed: {"reported": f["wrong"]} for seed, f in figures.items()}
    else:
        of_right = [x for x in lines if x["loss"] == f"right {bug.formula}"]
        right = {x["seed"]: x["figures"] for x in of_right}
        wrong = {seed: x["figures"] for seed, x in own.items()}
    seeds = sorted(right.keys() & wrong.keys())
    if not seeds:
        return None
    found: Line = {"seeds": len(seeds), "stopped": [x["stopped"] for x in own.values()
                                                    if x.get("stopped")]}  # fmt: skip
    for name in wrong[seeds[0]]:
        a, b = ([side[s][name] for s in seeds] for side in (right, wrong))
        mean, half = interval(np.subtract(b, a))
        found[name] = {"right": float(np.mean(a)), "wrong": float(np.mean(b)), "mean": mean,
                       "low": mean - half, "high": mean + half}  # fmt: skip
    return found


def _short(cost: Line | None) -> str:
    if cost is None:
        return "not measured"
    if "reported" in cost:
        f = cost["reported"]
        return f"reports {f['wrong']:.3f} for {f['right']:.3f}"
    f = cost["clicks"]
    if f["low"] <= 0 <= f["high"]:
        return "none that shows"
    return f"recall@50 {f['right']:.3f} → {f['wrong']:.3f}"


def _cost_in_words(bug: Any, lines: list[Line]) -> str:
    cost = _cost(bug, lines)
    if cost is None:
        return "Its cost was not measured."
    if "reported" in cost:
        f = cost["reported"]
        return (
            f"It trains nothing. Of the same {cost['seeds']} models it reports {f['wrong']:.4f}, "
            f"and the right form {f['right']:.4f}: {_difference(f)}."
        )
    parts = []
    for name, words in (("clicks", "of later clicks"), ("best", "of the world's best items")):
        f = cost[name]
        parts.append(f"{words} {f['right']:.4f} → {f['wrong']:.4f}, {_difference(f)}")
    stopped = f" {len(cost['stopped'])} of the runs stopped: {cost['stopped'][0]}." if cost[
        "stopped"] else ""  # fmt: skip
    clicks = cost["clicks"]
    nothing = clicks["low"] <= 0 <= clicks["high"]
    judged = "No cost shows" if nothing else "It gains" if clicks["low"] > 0 else "It costs recall"
    return f"{judged}. Recall@50, {cost['seeds']} seeds: {'; '.join(parts)}.{stopped}"


def _difference(figure: Line) -> str:
    return f"{figure['mean']:+.4f} [{figure['low']:+.4f}, {figure['high']:+.4f}]"
