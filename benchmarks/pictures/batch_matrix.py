"""One batch: the matrix of n users and n items, with its diagonal and a popular item.

The picture takes the first batch of an epoch in which one item occurs three times.
"""

from __future__ import annotations

import numpy as np

from minitower.formulas.logq import uncorrected
from minitower.formulas.softmax import in_batch_softmax
from minitower.training.batches import Batch, Batches
from pictures.example import TEMPERATURE, data, trained
from pictures.svg import Picture

N = 12
CELL, LEFT, TOP = 32, 90, 44


def batch_with_a_popular_item() -> tuple[Batch, int]:
    """The batch, and the row of the item that occurs three times."""
    for batch in Batches(data(), size=N).epoch(np.random.default_rng(0)):
        items, times = np.unique(batch.item_rows, return_counts=True)
        if times.max() == 3:
            return batch, int(items[times.argmax()])
    raise ValueError("no item occurs three times in a batch")


def draw() -> Picture:
    """Cells of the gradient: the diagonal is pulled together, all others are pushed apart."""
    batch, popular = batch_with_a_popular_item()
    model = trained(0.0)
    users, items = model.user(batch.users)[0], model.item(batch.items)[0]
    correction = uncorrected(batch.item_rows, n=N)
    _, gradient = in_batch_softmax(users @ items.T, correction, temperature=TEMPERATURE)
    push = np.where(np.eye(N, dtype=bool), 0, gradient)
    columns = np.flatnonzero(batch.item_rows == popular)
    clicks = data().item_counts[batch.item_rows]
    share = push[:, columns].sum() / push.sum()

    negatives = N * (N - 1)
    picture = Picture(
        f"One batch: {N} clicked pairs give {N} positives and {negatives} negatives",
        f"A matrix of {N} users and {N} items. The diagonal holds the clicked pairs, every other "
        f"cell is a negative. The most popular item was clicked by {len(columns)} of the users, so "
        f"it stands in {len(columns)} columns, which receive {share:.0%} of the push.",
        530,
    )
    side = N * CELL
    for row in range(N):
        for column in range(N):
            x, y = LEFT + column * CELL, TOP + row * CELL
            if row == column:
                picture.rect(x + 1, y + 1, CELL - 2, CELL - 2, "blue", radius=3)
            else:
                strength = 0.1 + 0.9 * push[row, column] / push.max()
                picture.rect(x + 1, y + 1, CELL - 2, CELL - 2, "orange", opacity=strength, radius=3)
    picture.text(LEFT - 14, TOP + side / 2, f"{N} users", "muted", anchor="middle", rotated=True)
    picture.text(
        LEFT + side / 2, TOP - 18, f"the {N} items that they clicked", "muted", anchor="middle"
    )
    base = TOP + side + 84
    for column in range(N):
        x, height = LEFT + column * CELL, 70 * clicks[column] / clicks.max()
        color = "ink" if column in columns else "muted"
        picture.rect(x + 5, base - height, CELL - 10, height, color, radius=2)
        if column in columns:
            picture.rect(x, TOP, CELL, side, stroke="ink", thickness=2, radius=4)
    picture.text(LEFT - 10, base - 8, "clicks", "muted", size=13, anchor="end")
    aside = LEFT + side + 40
    notes = (
        ("blue", f"{N} positives", "the diagonal: each user and the clicked item"),
        ("orange", f"{negatives} negatives", "all other cells; strong color: strong push"),
        (
            "ink",
            "a popular item",
            f"{len(columns)} of {N} users clicked it: {share:.0%} of all push",
        ),
    )
    for i, (color, head, words) in enumerate(notes):
        y = TOP + 16 + 70 * i
        picture.text(aside, y, head, color, size=17, bold=True)
        picture.text(aside, y + 24, words, "muted")
    return picture
