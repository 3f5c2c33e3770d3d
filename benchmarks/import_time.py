"""What the first use of minitower adds to importing numpy, scipy.sparse and hnswlib.

    python benchmarks/import_time.py

Fresh processes take turns; each measures its own imports.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

from bounds import Bounds

SCRIPT = """
import time
start = time.perf_counter()
import numpy, scipy.sparse, hnswlib
core = time.perf_counter()
import minitower; minitower.TwoTower  # the first name imports the rooms
print(core - start, time.perf_counter() - core)
"""


def main(quick: bool) -> None:
    """Print the medians, after a round that fills the file caches."""
    bounds, rounds, runs = Bounds(binding=not quick), 2 if quick else 11, []
    # pip compiles what it installs; a checkout is compiled by the first round.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(rounds + 1):
        out = subprocess.run(
            [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, env=env
        )
        runs.append([float(part) for part in out.stdout.split()])
    core, added = (statistics.median(column) for column in zip(*runs[1:], strict=True))
    print(f"numpy, scipy.sparse, hnswlib: {core:.3f} s; minitower adds {added:.3f} s")
    bounds.at_most(0.1, added, "seconds that import minitower adds")
    bounds.close()


if __name__ == "__main__":
    main(quick="--quick" in sys.argv[1:])
