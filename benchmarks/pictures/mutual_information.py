"""Mutual information as a matrix of the fields of an item, and what a correlated mask makes of it.

In each row, the seed of the row is hidden together with its closest relatives.
"""

from __future__ import annotations

import numpy as np

import minitower as mt
from pictures.svg import Picture
from pictures.tail_world import data

CELL, LEFT, TOP = 74, 120, 78


def draw() -> Picture:
    """A cell for each pair of fields; a ring where a mask hides both."""
    names, related = mt.pairwise_mutual_information(data())
    k = len(names)
    others = np.where(np.eye(k, dtype=bool), -np.inf, related)
    relatives = np.argsort(-others, axis=1)[:, : k // 2]
    pairs = ", ".join(
        f"{names[i]} and {names[j]} {related[i, j]:.2f}" for i in range(k) for j in range(i + 1, k)
    )
    hidden = "; ".join(
        f"with {names[i]}: {' and '.join(names[j] for j in relatives[i])}" for i in range(k)
    )
    picture = Picture(
        "Mutual information of the fields of an item, and the fields that a mask hides together",
        f"Nats: {pairs}. A correlated mask hides, {hidden}.",
        400,
    )
    most = others.max()
    picture.text(
        LEFT + k * CELL / 2,
        22,
        "how much one field tells about another, in nats",
        "muted",
        anchor="middle",
    )
    for i in range(k):
        picture.text(LEFT - 12, TOP + (i + 0.5) * CELL, names[i], "ink", size=15, anchor="end")
        picture.text(LEFT + (i + 0.5) * CELL, TOP - 16, names[i], "ink", size=15, anchor="middle")
        for j in range(k):
            x, y = LEFT + j * CELL, TOP + i * CELL
            if i == j:
                picture.rect(x + 2, y + 2, CELL - 4, CELL - 4, "faint", radius=6)
                continue
            picture.rect(
                x + 2,
                y + 2,
                CELL - 4,
                CELL - 4,
                "blue",
                opacity=0.06 + 0.6 * related[i, j] / most,
                radius=6,
            )
            picture.text(
                x + CELL / 2, y + CELL / 2, f"{related[i, j]:.2f}", "ink", size=16, anchor="middle"
            )
            if j in relatives[i]:
                picture.rect(
                    x + 4, y + 4, CELL - 8, CELL - 8, stroke="orange", thickness=2.5, radius=5
                )
    aside = LEFT + k * CELL + 50
    picture.text(aside, TOP - 16, "a correlated mask hides together", "orange", size=15, bold=True)
    for i in range(k):
        together = [names[i], *(names[j] for j in relatives[i])]
        shown = [name for name in names if name not in together]
        y = TOP + (i + 0.5) * CELL
        picture.text(aside, y - 10, ", ".join(together), "ink", size=15)
        picture.text(
            aside,
            y + 12,
            f"and leaves {', '.join(shown)}",
            "muted",
            size=13,
        )
    return picture
