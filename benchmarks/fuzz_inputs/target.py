"""What Python calls are made of: a target, and valid data and models to hand to it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from world import items, log, users

import minitower as mt

Arguments = dict[str, Any]


@dataclass(frozen=True)
class Target:
    """Something to call.

    Attributes:
        call: by keyword.
        valid: makes arguments that it accepts; every one of them is mutated.
        data: those that are data.
        tables, columns: of these, tables and columns.
        uses: of the world.
        places: more names by which a message may name its place.
        weight: how often.
    """

    call: Callable[..., object]
    valid: Callable[[], Arguments]
    data: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    weight: float = 1.0


def valid_schema() -> mt.Schema:
    return mt.Schema(
        user=[mt.Id("user_id"), mt.Continuous("age", "standardise"), mt.Categorical("gender")],
        item=[mt.Id("item_id"), mt.MultiValued("genres"), mt.Continuous("price", "log1p")],
    )


def valid_tables() -> Arguments:
    return {"interactions": log(0, 0), "users": users(), "items": items()}


def valid_data() -> mt.Dataset:
    return mt.Dataset.from_columns(valid_schema(), **valid_tables())


def valid_model(data: mt.Dataset | None = None) -> mt.TwoTower:
    return mt.TwoTower((data or valid_data()).schema, dim=4, hidden=())


def trained(trainer: Arguments | None = None, **fit: Any) -> object:
    data = valid_data()
    model = valid_model(data)
    return mt.Trainer(model, data, **{"batch_size": 64, **(trainer or {})}).fit(
        **{"epochs": 1, **fit}
    )


def options_of(make: Callable[..., object]) -> Arguments:
    """The options of a class with their defaults, where they are numbers, words or booleans."""
    found = inspect.signature(make).parameters.values()
    return {p.name: p.default for p in found if isinstance(p.default, int | float | str)}
