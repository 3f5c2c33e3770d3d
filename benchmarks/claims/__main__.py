"""What is true of the lecture? Its claims, measured.

    MINITOWER_DATA=folder python benchmarks/claims                     # all that is missing
    python benchmarks/claims batch_correction strength --task funnel   # some of it
    python benchmarks/claims --report                                  # only the table and figures
    python benchmarks/claims --quick                                   # tiny worlds, a file aside

Every line of results.jsonl is one trained model; what is there is not run again. The table and
the figures of the book are made from that file alone. A claim is one small module beside this one.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(variable, "1")  # one model a core: set before NumPy is imported

HERE = Path(__file__).parent
CLAIMS = (
    "popular_negatives",
    "batch_correction",
    "strength",
    "easy_and_hard",
    "hard_share",
    "exposed",
    "three_ways",
    "ratio",
    "views",
    "view_weight",
    "view_sampling",
    "view_seed",
    "full_or_incremental",
    "shuffled",
    "full_and_incremental",
    "warm_start",
    "decay",
    "publishing",
    "window_bias",
    "stored_users",
    "item_cost",
)


def main() -> None:
    """Run, then write the table and the figures."""
    from report import write
    from tasks import METRIC
    from units import Results, run_all, tests, trials

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("claims", nargs="*", help=f"of {', '.join(CLAIMS)}; all by default")
    parser.add_argument("--task", action="append", choices=tuple(METRIC), help="only these data")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="models at a time")
    parser.add_argument("--quick", action="store_true", help="tiny worlds, two seeds")
    parser.add_argument("--report", action="store_true", help="train nothing")
    parser.add_argument("--results", type=Path, help="the file of results")
    parser.add_argument("--book", type=Path, help="the folder of the table and the figures")
    chosen = parser.parse_args()
    unknown = sorted(set(chosen.claims) - set(CLAIMS))
    if unknown:
        parser.error(f"there is no claim {', '.join(unknown)}; there are {', '.join(CLAIMS)}")
    names, tasks = chosen.claims or CLAIMS, chosen.task or tuple(METRIC)
    aside = Path(tempfile.mkdtemp()) if chosen.quick else None
    results = Results(chosen.results or (aside or HERE) / "results.jsonl")
    if not chosen.report:
        for upon in (False, True):
            todo = trials(names, tasks, results, chosen.quick, upon)
            run_all(todo, results, chosen.jobs, chosen.quick)
        run_all(tests(names, tasks, results, chosen.quick), results, chosen.jobs, chosen.quick)
    write(results, CLAIMS, chosen.book or aside or HERE.parent.parent / "docs")


if __name__ == "__main__":
    main()
