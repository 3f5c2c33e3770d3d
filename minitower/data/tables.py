"""Read plain tables: interactions, users and items as CSV or Parquet. Chapter 3.

A folder holds ``interactions.csv`` (or ``.parquet``), and perhaps ``users.*`` and ``items.*``;
or the three files are named. Each may be a folder of files (:mod:`~minitower.data.table_parts`).
What the columns are is recognized by name and value (:mod:`~minitower.data.roles`,
:mod:`~minitower.data.column_kinds`), and what was decided is said. A job file can state all of it.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from minitower.data.atomic_files import Overrides, field_of_type
from minitower.data.column_kinds import kind_of
from minitower.data.columns import Columns, numbers
from minitower.data.csv_values import integers_of, plain_values
from minitower.data.errors import DataError, Place, listed
from minitower.data.id_lists import id_lists
from minitower.data.log import RawData
from minitower.data.roles import Roles, find_roles, side_key
from minitower.data.schema import Categorical, Field, Id, MultiValued, Schema
from minitower.data.table_parts import READERS, is_partitioned, read_table
from minitower.data.times import recognized_seconds, seconds
from minitower.formulas.arrays import Array

_SIDES = ("user", "item")


def table_paths(
    data: Path, users: Path | None = None, items: Path | None = None
) -> dict[str, Path]:
    """The files of plain tables: "interactions", and perhaps "users" and "items".

    Args:
        data: a folder, or the file of interactions. A table may be a folder of files, too.
        users, items: files; None: those of the folder, where it has them.

    Returns:
        Empty where the folder has no plain table of interactions.

    Raises:
        DataError: the folder has a table twice, or a file is of another kind.
    """
    found: dict[str, Path] = {}
    if data.is_file():
        found["interactions"] = data
    for name in ("interactions", "users", "items") if data.is_dir() else ():
        paths = [data / f"{name}{suffix}" for suffix in (*READERS, "")]
        paths = [path for path in paths if path.is_file() or path.is_dir()]
        if len(paths) > 1:
            raise DataError(f"{data}: has {paths[0].name} and {paths[1].name}; leave one of them")
        if paths:
            found[name] = paths[0]
    if "interactions" not in found:
        if not data.is_dir() or not is_partitioned(data):
            return {}
        found["interactions"] = data
    found |= {n: path for n, path in (("users", users), ("items", items)) if path is not None}
    for path in found.values():
        if path.suffix not in READERS and not path.is_dir():
            raise DataError(f"{path}: expected a file whose name ends with .csv or .parquet")
    return found


def read_tables(
    paths: Mapping[str, Path], stated: Mapping[str, str | None], overrides: Overrides
) -> RawData:
    """Read tables, and recognize their columns.

    Args:
        paths: as :func:`table_paths` returns them.
        stated: roles of columns, by name; the others are recognized.
        overrides: features by the name of the column, or by "users.NAME" and "items.NAME".

    Raises:
        DataError: names the file, the line or row, and the column.
    """
    opened = {name: read_table(path) for name, path in paths.items()}
    read = {name: table for name, (table, _) in opened.items()}
    strings = {name for name, (_, is_csv) in opened.items() if is_csv}
    log, items = read["interactions"], read.get("items")
    found = find_roles(stated, log, items)
    _refuse_unknown(overrides, read)
    remarks: list[str] = []
    left_out: list[str] = []
    arrays = dict(log.arrays)
    sides: dict[str, Columns | None] = {}
    schema: dict[str, list[Field]] = {}
    for side in _SIDES:
        key, table = str(found[side]), read.get(f"{side}s")
        if table is not None:
            given = side_key(side, key, table)
            if given != key:
                remarks.append(f"{side}s: column {given} is {key}")
                table = _renamed(table, given, key)
        arrays[key], table = _typed_ids(
            key, arrays[key], table, "interactions" in strings, f"{side}s" in strings
        )
        title = found["title"] if side == "item" else None
        fields, table, unused = _features(side, key, table, title, overrides, f"{side}s" in strings)
        sides[side], schema[side] = table, fields
        if len(fields) > 1:
            remarks.append(f"{side}s: {', '.join(map(_described, fields[1:]))}")
        if unused:
            left_out.append(f"{side}s: left out {listed(unused, 20)}")
            remarks.append(left_out[-1])
    roles = Roles(**found)
    for name, column in log.arrays.items():
        if name not in (roles.user, roles.item, roles.time, roles.exposed):
            arrays[name] = plain_values(column) if "interactions" in strings else column
    time = roles.time
    if time is not None:
        unit = stated.get("unit")
        if unit is None:
            unit, arrays[time] = recognized_seconds(*_at(log, time))
        else:
            arrays[time] = seconds(*_at(log, time), unit)
        roles = replace(roles, unit=unit)
        remarks.append(f"times: column {time}, {unit}")
    elif "time" not in stated:
        remarks.append("times: no column is recognized (use --columns time=COLUMN to name one)")
    if roles.weight is not None:
        arrays[roles.weight] = numbers(*_at(log, roles.weight))
        remarks.append(f"weights: column {roles.weight}")
    if roles.exposed is not None and roles.item is not None:
        column, place = _at(log, roles.exposed)
        dropped = 0
        if column.dtype == object:
            tables = [Columns(arrays, log.place), sides["item"]]
            known = np.concatenate([table[roles.item] for table in tables if table is not None])
            arrays[roles.exposed], dropped = id_lists(column, known, place)
        unknown = f", {dropped:,} ids of unknown items ignored" if dropped else ""
        remarks.append(f"exposures: column {roles.exposed}{unknown}")
    try:
        of_both = Schema(schema["user"], schema["item"])
    except DataError as error:
        raise log.place.error(str(error)) from None
    return RawData(
        of_both,
        Columns(arrays, log.place),
        sides["user"],
        sides["item"],
        found["title"] if items is not None else None,
        roles.time,
        roles.weight,
        roles.exposed,
        roles=roles,
        remarks=tuple(remarks),
        left_out=tuple(left_out),
    )


def _at(columns: Columns, name: str) -> tuple[Array, Place]:
    return columns[name], columns.at(name)


def _renamed(columns: Columns, old: str, new: str) -> Columns:
    return Columns({new if n == old else n: a for n, a in columns.arrays.items()}, columns.place)


def _typed_ids(
    key: str, ids: Array, table: Columns | None, log_is_csv: bool, table_is_csv: bool
) -> tuple[Array, Columns | None]:
    """Ids of CSV files as integers, where all ids of the side are plainly written integers."""
    read = [integers_of(ids) if log_is_csv else ids if ids.dtype.kind in "iu" else None]
    if table is not None:
        listed_ids = table[key]
        stored = listed_ids if listed_ids.dtype.kind in "iu" else None
        read.append(integers_of(listed_ids) if table_is_csv else stored)
    integers = [one for one in read if one is not None]
    if len(integers) < len(read):
        return ids, table
    if table is not None:
        table = Columns({**table.arrays, key: integers[1]}, table.place)
    return integers[0], table


def _features(
    side: str,
    key: str,
    table: Columns | None,
    title: str | None,
    overrides: Overrides,
    is_csv: bool,
) -> tuple[list[Field], Columns | None, list[str]]:
    """The fields of a side, its columns with their types, and the columns that are no feature."""
    fields: list[Field] = [Id(key)]
    unused: list[str] = []
    if table is None:
        return fields, None, unused
    arrays = dict(table.arrays)
    for name, column in table.arrays.items():
        stated = overrides.get(f"{side}s.{name}", overrides.get(name, ""))
        if not isinstance(stated, str | None):
            stated = replace(stated, name=name)  # its key may be users.NAME
        if name == key:
            if isinstance(stated, Id):
                fields[0] = stated
            elif stated != "":
                raise table.at(name).error("the column of ids must be an Id")
            continue
        if stated is None or (stated == "" and (name == title or not name)):
            continue
        if stated == "":
            column = plain_values(column) if is_csv else column
            field, why = kind_of(name, column)
            unused += [] if field else [f"{name} ({why})"]
        elif isinstance(stated, str):
            field = field_of_type(name, stated, table.at(name))
        else:
            field = stated
        if isinstance(field, Categorical) and is_csv:
            column = plain_values(column)
            if column.dtype.kind == "f" and not (np.isnan(column) | (column % 1 == 0)).all():
                column = table.arrays[name]  # a category has no fractions
        if field is not None:
            fields.append(field)
            arrays[name] = column
    return fields, Columns(arrays, table.place), unused


def _refuse_unknown(overrides: Overrides, read: Mapping[str, Columns]) -> None:
    known = {n for side in ("users", "items") if side in read for n in read[side].arrays}
    for name in overrides:
        if name not in known and name.partition(".")[2] not in known:
            absent = [side for side in ("users", "items") if side not in read]
            flags = " and ".join(f"--{side} FILE" for side in absent)
            fix = f"; a table is missing: name it with {flags}" if absent else ""
            raise DataError(
                f"--override names an unknown column '{listed([name])}'; "
                f"columns: {listed(sorted(known))}{fix}"
            )


def _described(field: Field) -> str:
    cut = field.separator if isinstance(field, MultiValued) else ""
    what = f"separated by '{cut}'" if cut.strip() else ""
    return f"{field.name} {getattr(field, 'transform', field.kind)} {what}".strip()
