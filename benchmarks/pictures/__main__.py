"""The pictures of the book, as SVG files that follow light and dark pages.

    python benchmarks/pictures                         # all of them, into docs/figures
    python benchmarks/pictures batch_matrix            # one
    python benchmarks/pictures --out folder

Every number in a picture is computed here by the package, from a seed. Nothing is drawn by
matplotlib or by hand. A picture is one module beside this one: `draw()` returns it.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(variable, "1")  # the same sums everywhere: set before NumPy is imported

HERE = Path(__file__).parent
sys.path[0] = str(HERE.parent)  # so that this folder is the package `pictures`

PICTURES = (
    "funnel",
    "two_towers",
    "batch_matrix",
    "recall_by_popularity",
    "hnsw_walk",
    "offline_online",
    "three_losses",
    "alias_table",
    "logq_lever",
    "mutual_information",
    "two_views",
    "update_chain",
)
"""In the order of the book."""


def main() -> None:
    """Draw, and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("pictures", nargs="*", help=f"of {', '.join(PICTURES)}; all by default")
    parser.add_argument("--out", type=Path, default=HERE.parent.parent / "docs" / "figures")
    chosen = parser.parse_args()
    unknown = sorted(set(chosen.pictures) - set(PICTURES))
    if unknown:
        parser.error(f"unknown picture {', '.join(unknown)}; there are {', '.join(PICTURES)}")
    chosen.out.mkdir(parents=True, exist_ok=True)
    for name in chosen.pictures or PICTURES:
        path = chosen.out / f"{name.replace('_', '-')}.svg"
        path.write_text(importlib.import_module(f"pictures.{name}").draw().svg(), "utf-8")
        print(path.name)


if __name__ == "__main__":
    main()
