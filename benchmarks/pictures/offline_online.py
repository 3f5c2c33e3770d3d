"""Offline, item vectors go into an index; online, one user vector asks it."""

from __future__ import annotations

import numpy as np

import minitower as mt
from pictures.cells import cells
from pictures.example import data, trained
from pictures.svg import Picture

K, ROWS = 5, 18
USER = 107  # whose nearest items lie far apart: the same order on any processor


def box(picture: Picture, x: float, y: float, width: float, height: float, *lines: str) -> None:
    """A rounded box with centered lines."""
    picture.rect(x, y, width, height, "faint", stroke="line", radius=8)
    for i, line in enumerate(lines):
        middle = y + height / 2 + 21 * (i - (len(lines) - 1) / 2)
        picture.text(x + width / 2, middle, line, "ink", size=15, anchor="middle", bold=not i)


def draw() -> Picture:
    """Two lanes that share the index."""
    model, row = trained(1.0), USER
    items, user = mt.encode(model.item, data().items), mt.encode(model.user, data().users)[row]
    index = mt.ExactIndex(items)
    rows, scores = index.search(user[None], K, exclude=data().seen("all").take([row]))
    m, dim = items.shape
    picture = Picture(
        "Offline, all item vectors go into an index; online, one user vector asks it",
        f"Offline, the item tower computes {m} vectors of {dim} numbers, which an index holds. "
        f"Online, the user tower computes one vector, and the index returns the {K} items with the "
        f"largest cosines, from {scores[0, 0]:.2f} to {scores[0, -1]:.2f}.",
        340,
    )
    offline, online = 54, 258
    picture.text(20, 22, "offline, once a night", "ink", size=17, bold=True)
    picture.text(20, 232, "online, at each request", "ink", size=17, bold=True)
    picture.line([(20, 200), (412, 200)], "line", dashes="4 4")
    for y, what, tower in ((86, f"{m} items", "item tower"), (online, "1 user", "user tower")):
        box(picture, 20, y, 86, 60, *what.split(" ", 1))
        box(picture, 140, y, 100, 60, tower)
        for x in (108, 242):
            picture.line([(x, y + 30), (x + 28, y + 30)], "muted", thickness=1.5, arrow=True)
    most = float(np.abs(items).max())
    cells(picture, 276, offline, items[:ROWS], 9, 6.4, most=most)
    words = f"{m} vectors of {dim} numbers"
    picture.text(348, offline + 132, words, "muted", size=13, anchor="middle")
    cells(picture, 276, online + 24, user[None], 9, 12, most=most)
    picture.text(348, online + 52, "1 vector", "muted", size=13, anchor="middle")
    box(picture, 474, 136, 88, 128, "index", f"{m} × {dim}")
    picture.curve((424, 112), (472, 172), "muted", thickness=1.5)
    picture.curve((424, online + 30), (472, 228), "muted", thickness=1.5)
    picture.line([(564, 200), (592, 200)], "muted", thickness=1.5, arrow=True)
    picture.text(606, 112, f"the {K} nearest", "ink", size=15, bold=True)
    for i, (item, score) in enumerate(zip(rows[0], scores[0], strict=True)):
        picture.text(606, 144 + 28 * i, str(data().items.names[item]), "ink", size=13)
        picture.text(810, 144 + 28 * i, f"{score:.2f}", "muted", size=13, anchor="end")
    return picture
