"""Job files: options as TOML, and what was recognized in a folder of data, to edit. Chapter 3.

The standard library reads TOML, but does not write it.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minitower.data.columns import Columns
from minitower.data.errors import listed
from minitower.data.roles import Roles
from minitower.data.schema import Field, Id, field_to_json
from minitower.data.source import Source
from minitower.data.splits import GivenSplit

_HEAD = """\
# What minitower recognized. Edit it, then: minitower train --job FILE
# Transforms of numbers: none, log1p, standardise, bucketise. Split: time:DATE or shares,
# random, last, given:COLUMN. A positive is where the rule passes: and, or, parentheses.
"""


def job_file(path: Path, source: Source) -> str:
    """The job file of a source of data, as TOML.

    Args:
        path: of the data.
        source: the data, as :func:`~minitower.data.source.open_folder` read them.
    """
    how, raw, data = source.how, source.raw, source.data
    tables = {name: getattr(how, name) for name in ("users", "items")}
    paths = {name: str(table.resolve()) for name, table in tables.items() if table is not None}
    text = _HEAD + toml({"data": str(path.resolve()), **paths, "positive": data.positive})
    roles = None if how.columns is None else Roles(**how.columns)
    if roles is not None and (names := _rule_columns(raw.interactions, roles)):
        text += f"# A rule may name: {listed(names, 20)}\n"
    settings: dict[str, Any] = {"valid": how.valid, "seed": how.seed or None}
    if not isinstance(raw.split, GivenSplit) or how.split is not None:
        kind = "time" if data.timestamp is not None else "random"
        settings = {"split": how.split or f"{kind}:0.1,0.1", **settings}
    text += toml({name: value for name, value in settings.items() if value is not None})
    if roles is not None:
        text += "\n[columns]  # of interactions; title: of items; none: no such column\n"
        text += toml({role: name or "none" for role, name in vars(roles).items()})
    sides = {"users": (raw.users, raw.schema.user), "items": (raw.items, raw.schema.item)}
    features = {name: kind for side in sides for name, kind in _features(side, sides).items()}
    if features and (roles is not None or how.override is not None):
        text += f"\n[override]  # features of users and items\n{_lines(features)}"
    return text


def _rule_columns(log: Columns, roles: Roles) -> list[str]:
    """The columns of interactions that may decide on positives."""
    ids_and_lists = (roles.user, roles.item, roles.time, roles.exposed)
    return [name for name in log.arrays if name and name not in ids_and_lists]


def _features(
    side: str, sides: Mapping[str, tuple[Columns | None, tuple[Field, ...]]]
) -> dict[str, Any]:
    """What each column of a side but the id is read as; "none" for those that are no feature."""
    columns, fields = sides[side]
    if columns is None:
        return {}
    others = {
        name for s, (c, _) in sides.items() if s != side and c is not None for name in c.arrays
    }
    known = {field.name: field for field in fields}
    features: dict[str, Any] = {}
    for name in columns.arrays:
        field = known.get(name)
        if not isinstance(field, Id) and name:
            key = f"{side}.{name}" if name in others else name
            features[key] = "none" if field is None else _options(field)
    return features


def _options(field: Field) -> dict[str, Any]:
    """The options of a field that differ from their defaults, and its kind."""
    defaults = {f.name: f.default for f in dataclasses.fields(field)}
    stated = {n: v for n, v in field_to_json(field).items() if v != defaults.get(n, "")}
    stated.pop("name")
    if field.kind == "continuous":
        stated.setdefault("transform", getattr(field, "transform", "none"))
    return stated


def toml(table: Mapping[str, Any]) -> str:
    r"""A table of strings, numbers, booleans, lists and tables as TOML, one key a line.

    Tables come last, each with its own heading; a table in a table stands on one line.

    >>> print(toml({"hidden": (128, 64), "dim": 32, "override": {"age": "float"}}))
    hidden = [128, 64]
    dim = 32
    <BLANKLINE>
    [override]
    age = "float"
    <BLANKLINE>
    """
    flat = {k: v for k, v in table.items() if not isinstance(v, Mapping)}
    text = _lines(flat)
    for name, inner in table.items():
        if isinstance(inner, Mapping):
            text += f"\n[{_key(name)}]\n{_lines(inner)}"
    return text


def _lines(table: Mapping[str, Any]) -> str:
    return "".join(f"{_key(name)} = {_value(value)}\n" for name, value in table.items())


def _key(name: str) -> str:
    bare = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if bare else _value(name)


def _value(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        inner = (f"{_key(name)} = {_value(one)}" for name, one in value.items())
        return "{" + ", ".join(inner) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    raise TypeError(f"TOML has no {type(value).__name__}")
