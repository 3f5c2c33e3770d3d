"""What importing minitower adds to importing numpy, scipy.sparse and hnswlib.

    python benchmarks/import_time.py

A name is imported on first use: a program that trains needs three of them, and imports half of
the package. Fresh processes take turns; each measures its own imports.
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
import minitower
minitower.Dataset, minitower.TwoTower, minitower.Trainer
training = time.perf_counter()
import minitower.api
print(core - start, training - core, time.perf_counter() - core)
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
    core, training, everything = (statistics.median(c) for c in zip(*runs[1:], strict=True))
    print(
        f"numpy, scipy.sparse, hnswlib: {core:.3f} s; minitower adds {training:.3f} s to train, "
        f"{everything:.3f} s with every public name"
    )
    # The disk and the processor move both alike.
    bounds.at_most(0.5, training / core, "import of what trains over that of the libraries")
    bounds.close()


if __name__ == "__main__":
    main(quick="--quick" in sys.argv[1:])
