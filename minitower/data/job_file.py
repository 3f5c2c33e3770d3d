"""Write what was recognized in a folder of data as a TOML job file, to edit and to train with.

Chapter 3.
"""

import dataclasses
import json
import re
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
    lines = [f"data = {_value(str(path.resolve()))}"]
    for name in ("users", "items"):
        if (table := getattr(how, name)) is not None:
            lines.append(f"{name} = {_value(str(table.resolve()))}")
    lines.append(f"positive = {_value(data.positive)}")
    if how.columns is not None and (names := _rule_columns(raw.interactions, Roles(**how.columns))):
        lines.append(f"# A rule may name: {listed(names, 20)}")
    if not isinstance(raw.split, GivenSplit) or how.split is not None:
        kind = "time" if data.timestamp is not None else "random"
        lines.append(f"split = {_value(how.split or f'{kind}:0.1,0.1')}")
    if how.valid is not None:
        lines.append(f"valid = {how.valid}")
    if how.seed:
        lines.append(f"seed = {how.seed}")
    if how.columns is not None:
        stated = Roles(**how.columns)
        lines += ["", "[columns]  # of interactions; title: of items; none: no such column"]
        lines += [f"{role} = {_value(name or 'none')}" for role, name in vars(stated).items()]
    sides = {"users": (raw.users, raw.schema.user), "items": (raw.items, raw.schema.item)}
    if how.columns is not None or how.override is not None:
        overrides = [line for side in sides for line in _features(side, sides)]
        lines += ["", "[override]  # features of users and items", *overrides] if overrides else []
    return _HEAD + "\n".join(lines) + "\n"


def _rule_columns(log: Columns, roles: Roles) -> list[str]:
    """The columns of interactions that may decide on positives."""
    ids_and_lists = (roles.user, roles.item, roles.time, roles.exposed)
    return [name for name in log.arrays if name and name not in ids_and_lists]


def _features(side: str, sides: dict[str, tuple[Columns | None, tuple[Field, ...]]]) -> list[str]:
    """One line for each column of a side but the id; "none" for those that are no feature."""
    columns, fields = sides[side]
    if columns is None:
        return []
    others = {
        name for s, (c, _) in sides.items() if s != side and c is not None for name in c.arrays
    }
    known = {field.name: field for field in fields}
    lines = []
    for name in columns.arrays:
        field = known.get(name)
        if isinstance(field, Id) or not name:
            continue
        key = f"{side}.{name}" if name in others else name
        lines.append(f"{_key(key)} = {_value('none' if field is None else _options(field))}")
    return lines


def _options(field: Field) -> dict[str, Any]:
    """The options of a field that differ from their defaults, and its kind."""
    defaults = {f.name: f.default for f in dataclasses.fields(field)}
    stated = {n: v for n, v in field_to_json(field).items() if v != defaults.get(n, "")}
    stated.pop("name")
    if field.kind == "continuous":
        stated.setdefault("transform", getattr(field, "transform", "none"))
    return stated


def _key(name: str) -> str:
    return name if re.fullmatch("[A-Za-z0-9_-]+", name) else _value(name)


def _value(value: Any) -> str:
    """A value as TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(name)} = {_value(v)}" for name, v in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
