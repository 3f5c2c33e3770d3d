"""Which index: the table and the figure of chapter 20, made by the commands that it shows.

    MINITOWER_DATA=folder python benchmarks/choosing.py   # two minutes; writes both
    python benchmarks/choosing.py --quick                 # tiny: only shows that it runs

Trains one epoch on the check-ins of gowalla-split, 41,000 places, and tries every index that is
installed on the store.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
from bounds import Bounds

from minitower.cli import main
from minitower.store.recommender import Recommender

BOOK = Path(__file__).parent.parent / "docs"
CHAPTER, FIGURE = BOOK / "20-choosing-an-index.md", BOOK / "figures" / "index-bench.svg"
MARKED = re.compile(r"(<!-- made by benchmarks/choosing.py: begin -->).*?(<!-- end -->)", re.DOTALL)
TARGET = 0.95


def tiny(folder: Path) -> Path:
    """A folder of split files: 60 users and 300 items."""
    rng = np.random.default_rng(0)
    for part, clicks in (("train", 30), ("test", 5)):
        lines = (f"{user} {' '.join(map(str, rng.integers(0, 300, clicks)))}" for user in range(60))
        (folder / f"{part}.txt").write_text("\n".join(lines))
    return folder


def command(*arguments: object) -> str:
    """What a command of minitower prints."""
    with redirect_stdout(io.StringIO()) as printed:
        if main([str(argument) for argument in arguments]):
            raise SystemExit(1)
    return printed.getvalue()


def run(data: Path, place: Path, figure: Path, bounds: Bounds, *options: str) -> str:
    """Train, compare; the Markdown of what was chosen."""
    store = place / "store"
    command("train", data, "--epochs", 1, "--out", store)
    printed = command("index-bench", store, "--plot", figure, "--target-recall", TARGET, *options)
    head, *rows = (line.split("\t")[:-1] for line in printed.splitlines() if line[-1] != "\t")
    for name, *_, recall, _, _ in rows:
        bounds.at_least(TARGET, float(recall), f"recall of {name}")
    items, dim = Recommender.open(store).store.index.vectors.shape
    marks = ["---"] + ["--:"] * (len(head) - 1)
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in (head, marks, *rows))
    return f"{table}\n\n{items:,} items of {dim} numbers, {os.cpu_count()} cores."


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    bounds = Bounds(binding=not quick)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        if quick:
            few = ("--only", "exact", "hnsw", "-k", "10")
            print(run(tiny(place), place, place / "plot.svg", bounds, *few))
        else:
            made = run(Path(os.environ["MINITOWER_DATA"]) / "gowalla-split", place, FIGURE, bounds)
            CHAPTER.write_text(MARKED.sub(rf"\1\n\n{made}\n\n\2", CHAPTER.read_text()))
            print(made)
    bounds.close()
