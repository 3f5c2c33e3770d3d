"""BLAS: the library that computes NumPy's matrix products, and its own threads. Chapter 4.

BLAS cuts a product into one part for each core and waits for the slowest. Beside other programs
that is slow, and the bits of a product depend on the number of parts. This package takes one
thread of BLAS and shares out whole products (:mod:`minitower.formulas.threads`).
"""

import os
import warnings

VARIABLES = "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"
"""Environment variables that BLAS libraries read when NumPy is imported."""


def one_thread_before_numpy() -> None:
    """Set the variables of this process. They have no effect once NumPy is imported.

    OMP_NUM_THREADS stays as it is: Faiss, which has no other setting, reads it.
    """
    os.environ.update(dict.fromkeys(VARIABLES, "1"))


def one_thread() -> None:
    """Take one thread for each product from now on, by threadpoolctl (extra ``cli``).

    Warns UserWarning: threadpoolctl is not installed, and no variable says 1.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ModuleNotFoundError:
        if not any(os.environ.get(name) == "1" for name in (*VARIABLES, "OMP_NUM_THREADS")):
            warnings.warn(
                "BLAS keeps threads of its own beside these: pip install 'minitower[cli]', or set "
                "OPENBLAS_NUM_THREADS=1 before NumPy is imported",
                stacklevel=3,
            )
    else:
        threadpool_limits(1, "blas")
