"""Two views of one item, and the m × m matrix in which each first view looks for its second."""

from __future__ import annotations

import numpy as np

import minitower as mt
from minitower.data.table import Features
from minitower.training.self_supervised import ContrastiveLoss
from pictures.chart import signed
from pictures.svg import Picture
from pictures.tail_world import AUGMENT, data, trained

M, TEMPERATURE, SEED = 9, 0.1, 13
CELL, LEFT, TOP = 36, 480, 70


def words(features: Features, row: int) -> list[str]:
    """The values of an item as a view shows them; a hidden one is a dash."""
    shown = []
    for field in data().schema.item.inputs:
        values = features[field.name]
        if not data().schema.item.is_embedded(field.name):
            shown.append("–" if values[row] == 0 else signed(round(values[row], 1)))
            continue
        known = ["–", *data().schema.item.vocabulary(field.name).values.tolist()]
        rows = values.row(row) if isinstance(field, mt.MultiValued) else values[row : row + 1]
        shown.append(" ".join(known[r] for r in rows))
    return shown


def draw() -> Picture:
    """The views at the left, the matrix of all items of the step at the right."""
    rows = np.random.default_rng(SEED).choice(len(data().items), M, replace=False)
    views = ContrastiveLoss(mt.SelfSupervised(augment=AUGMENT), data()).views(rows)
    first, second = np.split(trained().item(views)[0], 2)
    scores = first @ second.T / TEMPERATURE
    share = np.exp(scores - scores.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    found = int((share.argmax(axis=1) == np.arange(M)).sum())
    picture = Picture(
        f"Two views of an item, and the {M} × {M} matrix that compares the views of {M} items",
        "At the left, the fields of one item: each view shows a part and hides the rest. At the "
        "right, the softmax over the second views for each first view. The diagonal holds the two "
        f"views of one item; for {found} of {M} items it is the largest cell of its row.",
        450,
    )
    picture.text(20, 26, "one item, two views", "ink", size=17, bold=True)
    picture.text(LEFT - 20, 26, f"{M} items: which second view is mine?", "ink", size=17, bold=True)
    fields = [field.name for field in data().schema.item.inputs]
    for column, (x, title) in enumerate(((110, "first view"), (270, "second view"))):
        picture.text(x, TOP - 6, title, "muted")
        for i, value in enumerate(words(views, column * M)):
            y = TOP + 16 + 44 * i
            hidden = value == "–"
            picture.rect(
                x - 8,
                y,
                150,
                34,
                "faint" if hidden else "blue",
                opacity=1 if hidden else 0.16,
                radius=6,
            )
            picture.text(
                x + 4, y + 17, "hidden" if hidden else value, "muted" if hidden else "ink", size=13
            )
            if not column:
                picture.text(20, y + 17, fields[i], "muted")
    picture.line([(110, TOP + 262), (430, TOP + 262)], "muted", thickness=1.5, arrow=True)
    picture.text(262, TOP + 282, "both views through the same item tower", "muted", anchor="middle")
    for i in range(M):
        for j in range(M):
            x, y = LEFT + j * CELL, TOP + i * CELL
            picture.rect(
                x + 1,
                y + 1,
                CELL - 2,
                CELL - 2,
                "blue" if i == j else "orange",
                opacity=0.06 + 0.94 * share[i, j],
                radius=3,
            )
            if i == j:
                picture.rect(x + 1, y + 1, CELL - 2, CELL - 2, stroke="blue", thickness=2, radius=3)
    side = M * CELL
    picture.text(LEFT + side / 2, TOP - 14, "second views", "muted", anchor="middle")
    picture.text(LEFT - 14, TOP + side / 2, "first views", "muted", anchor="middle", rotated=True)
    picture.text(
        LEFT + side / 2, TOP + side + 20, f"{found} of {M} find their own", "muted", anchor="middle"
    )
    return picture
