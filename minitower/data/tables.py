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
from minitower.data.csv_files import integers_of, plain_values
from minitower.data.errors import DataError, listed
from minitower.data.exposures import id_lists
from minitower.data.log import RawData
from minitower.data.roles import find_roles, side_key
from minitower.data.schema import Categorical, Field, Id, MultiValued, Schema
from minitower.data.table_parts import read_table
from minitower.data.times import recognized_seconds, seconds
from minitower.formulas.arrays import Array


def read_tables(
    paths: Mapping[str, Path], stated: Mapping[str, str | None], overrides: Overrides
) -> RawData:
    """Read tables, and recognize their columns.

    Args:
        paths: as :func:`~minitower.data.table_parts.table_paths` returns them.
        stated: roles of columns, by name; the others are recognized.
        overrides: features by the name of the column, or by "users.NAME" and "items.NAME".

    Raises:
        DataError: names the file, the line or row, and the column.
    """
    read = {name: read_table(path) for name, path in paths.items()}
    log, items = read["interactions"], read.get("items")
    roles = find_roles(stated, log, items)
    _refuse_unknown(overrides, read)
    remarks: list[str] = []
    left_out: list[str] = []
    sides: dict[str, Columns | None] = {}
    schema: dict[str, list[Field]] = {}
    for side in ("user", "item"):
        key, table = str(getattr(roles, side)), read.get(f"{side}s")
        if table is not None:
            given = side_key(side, key, table)
            if given != key:
                remarks.append(f"{side}s: column {given} is {key}")
                renamed = {key if n == given else n: a for n, a in table.arrays.items()}
                table = replace(table, arrays=renamed)
        log, table = _typed_ids(key, log, table)
        title = roles.title if side == "item" else None
        schema[side], sides[side], unused = _features(side, key, table, title, overrides)
        if len(schema[side]) > 1:
            remarks.append(f"{side}s: {', '.join(map(_described, schema[side][1:]))}")
        if unused:
            left_out.append(f"{side}s: left out {listed(unused, 20)}")
            remarks.append(left_out[-1])
    typed = (roles.user, roles.item, roles.time, roles.weight, roles.exposed)
    if log.is_csv:
        log = log.updated({n: plain_values(a) for n, a in log.arrays.items() if n not in typed})
    time = roles.time
    if time is not None:
        unit, column, place = stated.get("unit"), log[time], log.at(time)
        if unit is None:
            unit, times = recognized_seconds(column, place)
        else:
            times = seconds(column, place, unit)
        log, roles = log.updated({time: times}), replace(roles, unit=unit)
        remarks.append(f"times: column {time}, {unit}")
    elif "time" not in stated:
        remarks.append("times: no column is recognized (use --columns time=COLUMN to name one)")
    if roles.weight is not None:
        log = log.updated({roles.weight: numbers(log[roles.weight], log.at(roles.weight))})
        remarks.append(f"weights: column {roles.weight}")
    if roles.exposed is not None and roles.item is not None:
        column, dropped = log[roles.exposed], 0
        if column.dtype == object:
            tables = [table for table in (log, sides["item"]) if table is not None]
            known = np.concatenate([table[roles.item] for table in tables])
            lists, dropped = id_lists(column, known, log.at(roles.exposed))
            log = log.updated({roles.exposed: lists})
        unknown = f", {dropped:,} ids of unknown items ignored" if dropped else ""
        remarks.append(f"exposures: column {roles.exposed}{unknown}")
    try:
        of_both = Schema(schema["user"], schema["item"])
    except DataError as error:
        raise log.place.error(str(error)) from None
    return RawData(
        of_both,
        log,
        sides["user"],
        sides["item"],
        roles.title if items is not None else None,
        roles.time,
        roles.weight,
        roles.exposed,
        roles=roles,
        remarks=tuple(remarks),
        left_out=tuple(left_out),
    )


def _typed_ids(key: str, log: Columns, table: Columns | None) -> tuple[Columns, Columns | None]:
    """Both with ids as integers, where all ids of the side are plainly written integers."""
    in_log, in_table = _integers(log, key), None if table is None else _integers(table, key)
    if in_log is None or (table is not None and in_table is None):
        return log, table
    if table is not None and in_table is not None:
        table = table.updated({key: in_table})
    return log.updated({key: in_log}), table


def _integers(columns: Columns, name: str) -> Array | None:
    """A column of integers, or of strings of a CSV file that stand for integers; else None."""
    column = columns[name]
    if columns.is_csv:
        return integers_of(column)
    return column if column.dtype.kind in "iu" else None


def _features(
    side: str, key: str, table: Columns | None, title: str | None, overrides: Overrides
) -> tuple[list[Field], Columns | None, list[str]]:
    """The fields of a side, its columns with their types, and the columns that are no feature."""
    fields: list[Field] = [Id(key)]
    unused: list[str] = []
    if table is None:
        return fields, None, unused
    arrays: dict[str, Array] = {}
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
            column = plain_values(column) if table.is_csv else column
            field, why = kind_of(name, column)
            unused += [] if field else [f"{name} ({why})"]
        elif isinstance(stated, str):
            field = field_of_type(name, stated, table.at(name))
        else:
            field = stated
        if isinstance(field, Categorical) and table.is_csv:
            column = plain_values(column)
            if column.dtype.kind == "f" and not (np.isnan(column) | (column % 1 == 0)).all():
                column = table.arrays[name]  # a category has no fractions
        if field is not None:
            fields.append(field)
            arrays[name] = column
    return fields, table.updated(arrays), unused


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
