"""How tests compare: finite differences, and the tolerance they are held to."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def directional(
    f: Callable[..., float], at: Sequence[Array], direction: Sequence[Array], h: float = 1e-3
) -> float:
    """Slope of f at a tuple of arrays along a tuple of directions.

    Central differences at steps h, h/2, h/4, extrapolated to step zero (Richardson): the
    error is of order h^6 instead of h^2, so h may stay large and rounding small.
    """

    def central(step: float) -> float:
        ahead = f(*(x + step * d for x, d in zip(at, direction, strict=True)))
        behind = f(*(x - step * d for x, d in zip(at, direction, strict=True)))
        return (ahead - behind) / (2 * step)

    a, b, c = central(h), central(h / 2), central(h / 4)
    ab, bc = (4 * b - a) / 3, (4 * c - b) / 3
    return (16 * bc - ab) / 15


def along(gradients: Sequence[Array], direction: Sequence[Array]) -> float:
    """The slope that gradients promise along a direction."""
    return float(sum(np.vdot(g, d) for g, d in zip(gradients, direction, strict=True)))


def assert_slope(promised: float, measured: float, tolerance: float) -> None:
    """|promised - measured| <= tolerance * max(1, |promised|)."""
    assert abs(promised - measured) <= tolerance * max(1.0, abs(promised)), (promised, measured)
