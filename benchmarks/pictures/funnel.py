"""The funnel: one request, and the items that are left after each stage.

A dot is an item. The stronger its color, the likelier this user clicks it, which the simulated
world knows. The items that the user clicked are orange in every stage.
"""

from __future__ import annotations

import numpy as np

from minitower.lab.funnel_log import Log
from pictures.example import world
from pictures.svg import Picture

STEP, MIDDLE = 13, 202
STARTS = (20, 330, 512, 662, 776)


def request_with_clicks(log: Log, at_least: int) -> int:
    """The first request whose user clicked so many items."""
    return int(np.flatnonzero(log.clicked.sum(axis=1) >= at_least)[0])


def draw() -> Picture:
    """A block of dots for each stage, the best items on top."""
    log, (_, ranked, shown) = world().log, world().sizes
    request = request_with_clicks(log, 2)
    user, hour = int(log.users[request]), int(log.hours[request])
    truth = world().truth(int(log.days[request]))
    items = log.items[request]
    clicked = items[:shown][log.clicked[request]]
    stages = (
        ("all open items", np.flatnonzero(truth.opened), 20),
        ("retrieval keeps", items, 10),
        ("pre-ranking keeps", items[:ranked], 6),
        ("ranking shows", items[:shown], 4),
        ("clicks", clicked, 1),
    )
    blocks = []
    for name, rows, width in stages:
        chances = truth.expected_click(user, rows, hour)
        order = np.argsort(-chances)
        blocks.append((name, rows[order], chances[order], width))
    told = ", ".join(f"{name} {len(p)} with {p.mean():.1%}" for name, _, p, _ in blocks)
    picture = Picture(
        "The funnel of one request: each stage keeps fewer items, and better ones",
        f"Numbers of items, and their mean probability of a click: {told}.",
        400,
    )
    most, edge = blocks[0][2].max(), None
    for (name, rows, chances, width), x in zip(blocks, STARTS, strict=True):
        height = STEP * -(-len(rows) // width)
        top = MIDDLE - height / 2
        if edge is not None:
            side, above, below = edge
            corners = [(side, above), (x - 8, top), (x - 8, top + height), (side, below)]
            picture.area(corners, "faint")
        edge = x + STEP * width + 4, top, top + height
        for i, (item, chance) in enumerate(zip(rows, chances, strict=True)):
            color = "orange" if item in clicked else "blue"
            strength = 1 if item in clicked else 0.14 + 0.86 * (chance / most) ** 0.5
            dot = x + STEP * (i % width + 0.5), top + STEP * (i // width + 0.5)
            picture.circle(*dot, 0.4 * STEP, color, opacity=strength)
        picture.text(
            x, 24, f"{len(rows)}", "orange" if name == "clicks" else "ink", size=22, bold=True
        )
        picture.text(x, 50, name, "muted", size=14)
        if name != "clicks":
            picture.text(x, 358, f"{chances.mean():.1%}", "blue", size=16, bold=True)
    picture.text(STARTS[0], 382, "mean probability of a click", "muted", size=13)
    return picture
