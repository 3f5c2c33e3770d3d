"""Numbers as a grid of colored cells: blue above zero, orange below it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pictures.svg import Picture


def cells(
    picture: Picture,
    x: float,
    y: float,
    values: Sequence[Sequence[float]] | np.ndarray,
    width: float,
    height: float,
    *,
    gap: float = 1,
    most: float | None = None,
) -> None:
    """A cell for each number of a matrix, from its top left corner; `most` is full color."""
    grid = np.asarray(values, float)
    most = float(np.abs(grid).max()) if most is None else most
    for row, column in np.ndindex(grid.shape):
        value = grid[row, column]
        picture.rect(
            x + column * width,
            y + row * height,
            width - gap,
            height - gap,
            "blue" if value >= 0 else "orange",
            opacity=0.08 + 0.92 * min(abs(value) / most, 1),
        )
