"""Two towers: features to a vector on each side, and one number where they meet.

All cells are numbers of one clicked pair in the trained model of chapter 4.
"""

from __future__ import annotations

import numpy as np

import minitower as mt
from minitower.data.table import Features
from minitower.formulas.similarity import l2_normalize
from minitower.towers.layers import dense, relu
from minitower.towers.tower import Tower
from pictures.cells import cells
from pictures.example import data, trained, world
from pictures.svg import Picture

HEIGHT = 160


def stages(model: mt.TwoTower, tower: Tower, features: Features) -> list[np.ndarray]:
    """What a tower computes on its way: the concatenated inputs, the hidden layer, the vector."""
    parameters = model.parameters
    inputs = [tower._input(field, parameters, features[field.name])[0] for field in tower.fields]
    values = [np.concatenate(inputs, axis=1)]
    for i, (name, _, _) in enumerate(tower.layers):
        x = dense(values[-1], parameters[f"{name}.weight"], parameters[f"{name}.bias"])[0]
        values.append(relu(x)[0] if i < len(tower.layers) - 1 else l2_normalize(x)[0])
    assert np.allclose(values[-1], tower(parameters, features)[0], atol=1e-6)
    return [value[0] for value in values]


def shown(value: object) -> str:
    """A value of a table, for a reader."""
    if isinstance(value, float | np.floating):
        return f"{value:.1f}"
    words = (
        " ".join(map(str, value)) if isinstance(value, list | tuple | np.ndarray) else str(value)
    )
    return words if len(words) < 20 else " ".join(words.split()[:2]) + " …"


def draw() -> Picture:
    """A row for each tower, from the features at the left to the cosine at the right."""
    model, pairs = trained(1.0), data().train
    user, item = int(pairs.users[0]), int(pairs.items[0])
    sides = (
        (
            "a",
            "user tower",
            model.user_tower,
            data().users.take([user]),
            world().users,
            user,
            62,
        ),
        (
            "b",
            "item tower",
            model.item_tower,
            data().items.take([item]),
            world().items,
            item,
            292,
        ),
    )
    users, items = model.user(sides[0][3])[0], model.item(sides[1][3])[0]
    cosine = float(users[0] @ items[0])
    picture = Picture(
        "Two towers: features become vectors, and the vectors meet in one number",
        "User tower and item tower, side by side. Each looks up a row of a table for each feature, "
        f"joins the rows, and sends them through dense layers to a vector of {len(users[0])} "
        f"numbers. The cosine of the two vectors is {cosine:.2f}.",
        480,
    )
    for letter, title, tower, features, table, row, top in sides:
        values = stages(model, tower, features)
        picture.text(20, top - 30, title, "ink", size=17, bold=True)
        step = HEIGHT / len(tower.fields)
        for i, field in enumerate(tower.fields):
            y = top + (i + 0.5) * step
            rows, width = tower.tables.get(field.name, (0, 1))
            picture.text(20, y, field.name, "muted")
            picture.text(106, y, shown(table[field.name][row]), "ink")
            size = f"table {rows} × {width}" if rows else "1 number"
            picture.text(372, y, size, "muted", size=13, anchor="end")
        places = (396, 490, 584)
        for x, numbers, label in zip(places, values, ("joined", "hidden", letter), strict=True):
            height = HEIGHT / len(numbers)
            cells(picture, x, top, numbers[:, None], 22, height, gap=0.4 if height < 4 else 1)
            picture.text(x + 11, top - 12, label, "muted", size=13, anchor="middle")
            size = f"{len(numbers)}"
            picture.text(x + 11, top + HEIGHT + 12, size, "muted", size=13, anchor="middle")
        for x in places[:2]:
            middle = top + HEIGHT / 2
            picture.line([(x + 34, middle), (x + 82, middle)], "muted", thickness=1.5, arrow=True)
    picture.line([(618, 62 + HEIGHT / 2), (668, 242)], "ink", thickness=2, arrow=True)
    picture.line([(618, 292 + HEIGHT / 2), (668, 282)], "ink", thickness=2, arrow=True)
    picture.text(664, 262, f"cos(a, b) = {cosine:.2f}", "ink", size=17, bold=True)
    return picture
