"""Cases: a Python call that is valid but for one or two of its arguments.

Data (tables, columns, ids, arrays, profiles, the arguments of formulas) must never end in a
TypeError. An option that is no data may end in a TypeError or an AttributeError where the *type*
of its value is plainly wrong: a str for a number, None for a Dataset. What counts as a wrong type
stands in ``odd.py``. A message about a wrong type need not name the option.
"""

from __future__ import annotations

from functools import cache
from random import Random
from typing import Any

import api_data
import api_formulas
import api_serving
import api_training
import numpy as np
import odd
from case import Case, brief
from target import Target

_ENDLESS = ("epochs", "patience")  # a large number is what the user asked for, for hours
_PATHS = ("path", "folder", "aside")  # the value itself names the place
_PLAIN = {  # other words for an argument
    **dict.fromkeys(("user_id", "user_ids"), ("id", "ids", "user")),
    **dict.fromkeys(("item_id", "item_ids", "exclude"), ("id", "ids", "item")),
    **dict.fromkeys(("users", "items"), ("id", "ids")),
    "positive": ("rule",),
    "parent": ("version",),
}
_BOOLEANS = (None, "x", 2, 0, 1, [], odd.math.nan, np.bool(True))
Mutated = tuple[Any, bool]  # a value, and whether its type is wrong


def make(rng: Random) -> Case:
    """A case of this kind."""
    found = targets()
    name = rng.choices(list(found), [target.weight for target in found.values()])[0]
    target = found[name]
    arguments = target.valid()
    places, wrong, said = target.places, False, []
    for key in rng.sample(list(arguments), min(rng.choice((1, 1, 1, 2)), len(arguments))):
        places += (key, *_PLAIN.get(key, ()))
        if key in target.tables:
            arguments[key], names = odd.table(rng, arguments[key])
            places += names
        else:
            arguments[key], wrong_type = _mutated(rng, target, key, arguments[key])
            wrong |= wrong_type and key not in target.data
        if key in _PATHS and isinstance(arguments[key], str):
            places += (arguments[key], repr(arguments[key])[1:-1], arguments[key][-100:])
            if not arguments[key]:  # the folder that the case runs in
                places += (".", "box", "CURRENT")
        said.append(f"{key}={brief(arguments[key])}")

    def step() -> object:
        return target.call(**arguments)

    step.__name__ = name
    what = f"{name}({', '.join(said)})"
    return Case(
        "python", what, (step,), places, target.uses, (), ("aside.jsonl",), wrong_type=wrong
    )


def _mutated(rng: Random, target: Target, key: str, valid: Any) -> Mutated:
    """An odd value of an argument."""
    if key in target.columns:
        return odd.column(rng, valid), False
    if key in target.data and not isinstance(valid, str | int | float):
        return odd.numbers(rng, valid), False
    if isinstance(valid, bool):
        return rng.choice(_BOOLEANS), True
    if isinstance(valid, str):
        return odd.word(rng)
    if isinstance(valid, int | float):
        value, wrong = odd.number(rng, valid)
        if key in _ENDLESS and not wrong:
            value = rng.choice((0, -1, 1.5, odd.math.nan, 2, True))
        return value, wrong
    if isinstance(valid, tuple | list | np.ndarray):
        pool = rng.choice((odd.INTEGERS, odd.FLOATS))
        return rng.choice((([rng.choice(pool)], False), (odd.numbers(rng, valid), True)))
    return rng.choice((*odd.WRONG, 1, 1.5, True)), True


@cache
def targets() -> dict[str, Target]:
    """All of them by name."""
    return {
        **api_data.targets(),
        **api_training.targets(),
        **api_serving.targets(),
        **api_formulas.targets(),
    }
