"""``python -m minitower`` is the command ``minitower``. Chapter 15."""

import sys

from minitower.formulas.blas import one_thread_before_numpy


def run() -> int:
    """Run the command of this process's arguments; return the exit status."""
    one_thread_before_numpy()
    from minitower.cli import main

    return main()


if __name__ == "__main__":
    sys.exit(run())
