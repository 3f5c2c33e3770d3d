"""The logistic sigmoid: the slope of log(1 + exp(x)). Chapter 6."""

import numpy as np
from numpy.typing import ArrayLike

from minitower.formulas.arguments import as_floats
from minitower.formulas.arrays import Floats


def sigmoid(x: ArrayLike) -> Floats:
    """Compute 1 / (1 + exp(-x)) without overflow, exact in both tails.

    With e = exp(-|x|), it is 1 / (1 + e) for x >= 0 and e / (1 + e) below. (SciPy has it as
    ``scipy.special.expit``; loading that takes half as long as loading all of minitower.)

    Shapes: any->the same
    Raises ValueError: x is not an array of numbers.
    Properties: equals_scipy, reflects, float32_stays_float32

    >>> sigmoid([-1000.0, 0.0, 1000.0])
    array([0. , 0.5, 1. ])

    Reference: log(1 + exp(x)) is the loss of a pair in S. Rendle et al., BPR, UAI 2009.
    """
    x = as_floats("x", x)
    e = np.exp(-np.abs(x))
    result: Floats = np.where(x >= 0, 1, e) / (1 + e)
    return result
