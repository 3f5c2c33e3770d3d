"""How accurate is it, beside what others offer, on published splits?

    MINITOWER_DATA=folder python benchmarks/accuracy.py --units search           # on validation
    MINITOWER_DATA=folder python benchmarks/accuracy.py --units valid            # by epoch
    MINITOWER_DATA=folder python benchmarks/accuracy.py --units parts            # what each buys
    MINITOWER_DATA=folder python benchmarks/accuracy.py --units test             # once a seed
    MINITOWER_DATA=folder python benchmarks/accuracy.py --units habit            # last of all
    python benchmarks/accuracy.py --report                                       # tables alone
    python benchmarks/accuracy.py --quick                                        # tiny

Each unit is an arm with one setting and seed: a process of its own, one thread, at most 20 CPU
minutes, and one line of ``benchmarks/comparison/results.jsonl``. What is there is not run again:
a run can be stopped at any time. ``--split``, ``--arm`` and ``--jobs`` say which units, and how
many at a time. ``--set`` adds a setting to a search:

    python benchmarks/accuracy.py --units search --arm minitower --split gowalla-split \\
        --set temperature=0.12 --set epochs=30

Each arm has the same number of settings to try. Setting and epochs are chosen on validation, then
the model is trained on train and validation part, and tested once for each of three seeds. A
second reading of the test is refused. ``habit`` is what authors usually do: the best epoch on the
test. The peers need ``pip install ".[peers]"``.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "comparison" / "results.jsonl"
CHAPTER = "25-accuracy.md"


def one_thread() -> None:
    """One thread a unit: before NumPy is imported."""
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"


def pair(text: str) -> tuple[str, Any]:
    """A name and a value of a setting."""
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def read_options(arguments: list[str] | None) -> argparse.Namespace:
    """The flags."""
    from comparison.arms import ALL, ARMS
    from comparison.lines import KINDS

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--units", choices=KINDS, help="which; by default all but habit, in order")
    parser.add_argument("--search", dest="units", action="store_const", const="search")
    parser.add_argument("--split", action="append", choices=(*ALL, "tiny"), help="only these")
    parser.add_argument("--arm", action="append", choices=tuple(ARMS), help="only these")
    parser.add_argument("--jobs", type=int, default=2, help="units at a time; 0: in this process")
    parser.add_argument("--set", action="append", type=pair, default=[], metavar="NAME=VALUE")
    parser.add_argument("--list", action="store_true", help="print the missing units, run none")
    parser.add_argument("--report", action="store_true", help="run nothing; make the tables")
    parser.add_argument("--quick", action="store_true", help="the tiny split, a file of its own")
    parser.add_argument("--results", type=Path, help="the file of results")
    parser.add_argument("--book", type=Path, help="the folder of the chapter")
    options = parser.parse_args(arguments)
    if options.set and options.units != "search":
        parser.error("--set adds a setting to a search: give --units search")
    aside = Path(tempfile.mkdtemp()) if options.quick else None
    options.results = options.results or (aside / "results.jsonl" if aside else RESULTS)
    options.book = options.book or aside or ROOT / "docs"
    options.split = options.split or (["tiny"] if options.quick else list(ALL))
    options.arm = options.arm or list(ARMS)
    return options


def shown_splits(options: argparse.Namespace) -> tuple[str, ...]:
    """The splits of the page, whatever was run: all, or the tiny one."""
    from comparison.arms import ALL

    return ("tiny",) if options.quick else ALL


def run_missing(options: argparse.Namespace, kinds: list[str]) -> None:
    """Run, or list, what the file of results lacks."""
    from comparison.lines import Lines, Refused
    from comparison.units import run_all, todo

    lines = Lines(options.results)
    for kind in kinds:
        try:
            units = list(todo(lines, kind, options.split, options.arm, dict(options.set)))
        except Refused as refused:
            raise SystemExit(str(refused)) from None
        if options.list:
            for unit in units:
                print(kind, unit["split"], unit["arm"], "seed", unit["seed"], unit["setting"])
        else:
            run_all(units, lines, options.jobs)


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing, and write the tables."""
    from bounds import Bounds
    from comparison.lines import KINDS, Lines
    from comparison.tables import check, pages
    from drawing import put_between_marks

    options = read_options(arguments)
    if not options.report:
        run_missing(options, [options.units] if options.units else list(KINDS[:-1]))
    if options.list:
        return
    lines, splits = Lines(options.results), shown_splits(options)
    made = pages(lines, splits)
    put_between_marks(options.book / CHAPTER, "benchmarks/accuracy.py", made)
    print(made)
    bounds = Bounds(binding=not options.quick)
    check(lines, splits, bounds)
    bounds.close()


if __name__ == "__main__":
    one_thread()
    main()
