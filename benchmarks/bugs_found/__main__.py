"""Bugs found: checks the wrong losses of public repositories, trains with each, writes a page.

    python benchmarks/bugs_found                     # what results.jsonl lacks, then the page
    python benchmarks/bugs_found neurec_hinge        # of one bug
    python benchmarks/bugs_found --page-only         # the page, from the results that are there

A training that stands in the results is not run again. Needs PyTorch (the extra ``peers``).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import bugs_page

HERE = Path(__file__).parent
CHAPTER = HERE.parent.parent / "docs" / "24-bugs-found.md"


def main() -> None:
    """Check, train, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bugs", nargs="*", metavar="BUG", help="names of transcriptions")
    parser.add_argument(
        "--seeds", type=int, default=5, metavar="N", help="worlds, each with a model"
    )
    parser.add_argument("--results", type=Path, default=HERE / "results.jsonl", metavar="FILE")
    parser.add_argument("--page", type=Path, default=CHAPTER, metavar="FILE")
    parser.add_argument("--page-only", action="store_true", help="run nothing")
    parser.add_argument("--quick", action="store_true", help="a tiny world, one epoch")
    args = parser.parse_args()
    lines = bugs_page.read(args.results)
    if not args.page_only:
        with args.results.open("a", encoding="utf-8") as file:
            for line in missing(lines, args.bugs, args.seeds, args.quick):
                file.write(json.dumps(line) + "\n")
                file.flush()
                print(json.dumps(line), flush=True)
        lines = bugs_page.read(args.results)
    bugs_page.write(lines, args.page)


def missing(
    lines: list[dict[str, Any]], names: list[str], seeds: int, quick: bool
) -> Iterator[dict[str, Any]]:
    """Run what has no line yet, and return its lines: checks first, then seed by seed."""
    import bug_training
    from bug import bugs

    chosen = [bug for bug in bugs() if not names or bug.name in names]
    if names and len(chosen) != len(set(names)):
        raise SystemExit(f"bugs are {', '.join(bug.name for bug in bugs())}")
    for bug in chosen:
        line = checked(bug)
        if line not in lines:
            yield line
    done = {(line["loss"], line["seed"]) for line in lines if line["kind"] != "check"}
    for seed in range(1, seeds + 1):
        for bug in chosen:
            if bug.framework == "numpy":  # a metric
                if (bug.name, seed) not in done:
                    model, _ = bug_training.train(
                        bug_training.right("in_batch_softmax"), seed, quick
                    )
                    figures = bug_training.reported(bug, model, seed, quick)
                    yield {"kind": "metric", "loss": bug.name, "seed": seed, "figures": figures}
                continue
            for name in (f"right {bug.formula}", bug.name):
                if (name, seed) in done:
                    continue
                done.add((name, seed))
                right = name != bug.name
                loss = bug_training.right(bug.formula) if right else bug_training.wrong(bug)
                model, stopped = bug_training.train(loss, seed, quick)
                figures = bug_training.judged(model, seed, quick)
                yield {
                    "kind": "training", "loss": name, "seed": seed, "figures": figures,
                    "stopped": stopped,
                }  # fmt: skip


def checked(bug: Any) -> dict[str, Any]:
    """What the checker says of a transcription."""
    from minitower.conformance import check

    report = check(
        bug.loss, formula=bug.formula, framework=bug.framework, given=bug.given, allow=bug.allow
    )
    mistake = report.mistake
    return {
        "kind": "check",
        "loss": bug.name,
        "cases": len(report.cases),
        "failed": len(report.failed),
        "mistake": None if mistake is None else mistake.name,
        "fix": None if mistake is None else mistake.fix,
        "with": "NumPy" if bug.framework == "numpy" else f"PyTorch {version('torch')}",
    }


if __name__ == "__main__":
    main()
