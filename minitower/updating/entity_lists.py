"""Lists that come with a full update: new or changed users and items, and those to remove.

Chapter 13.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minitower.data import DataError
from minitower.data.columns import Columns, read_columns
from minitower.data.csv_files import as_fitted
from minitower.data.errors import Place
from minitower.data.feature_encoder import FeatureEncoder
from minitower.data.files import read_regular
from minitower.data.roles import side_key
from minitower.data.schema import Id
from minitower.data.table import Table
from minitower.data.table_parts import READERS, read_table
from minitower.data.values import typed_ids
from minitower.formulas.arrays import Array
from minitower.store.full_version import Store
from minitower.updating.base import id_type
from minitower.updating.options import FullUpdateOptions
from minitower.updating.streams.events import object_rows


@dataclass(frozen=True)
class EntityLists:
    """The lists of one full update.

    Attributes:
        users, items: the columns of new or changed ones; None: no list, or an empty one.
        retired: ids of items to retire.
        retired_from: where the ids come from, for messages.
        forget: (n,) distinct ids of users to forget.
        item_name: the column of the items' names, where the list has it.
    """

    users: Columns | None
    items: Columns | None
    retired: list[int | str]
    retired_from: str
    forget: Array
    item_name: str | None

    @staticmethod
    def read(options: FullUpdateOptions, full: Store) -> EntityLists:
        """Read the files or columns that the options name.

        Raises:
            DataError: a file or a value in it cannot be read; names the line or the row.
        """
        name = full.notes.get("item_name") if options.items is not None else None
        schema, retire = full.model.encoders, options.retire
        users = read_list("users", options.users, schema.user, full.users)
        items = read_list("items", options.items, schema.item, full.items, name)
        retired = read_ids("retire", retire, schema.item, full.items)
        where = str(retire) if isinstance(retire, str | Path) else "retire"
        forget = read_ids("forget", options.forget, schema.user, full.users)
        dtype = object if full.users.ids.dtype.kind == "U" else np.int64
        distinct = np.unique(np.array(forget, dtype))
        return EntityLists(users, items, retired, where, distinct, name)

    @property
    def adds(self) -> bool:
        """Whether there are users or items to add or to change."""
        return self.users is not None or self.items is not None


def read_list(
    what: str, source: Any, side: FeatureEncoder, known: Table, name: str | None = None
) -> Columns | None:
    """The columns of a list of users or items; None without a list or without rows.

    Args:
        what: "users" or "items", for messages.
        source: a path, or anything table-like; None: no list.
        side: encodes the side; the columns of all its fields must be there.
        known: the side's table; the ids get the type of its ids.
        name: one more column to read.

    Raises:
        DataError: the file is missing, of another kind or incomplete, or a record or a column
            cannot be read; names the line or the row.
    """
    if source is None:
        return None
    key = next(field.name for field in side.fields if isinstance(field, Id))
    names = [key, *(field.name for field in side.fields), *([name] if name else [])]
    if isinstance(source, str | Path):
        columns = _read_file(Path(source), list(dict.fromkeys(names)), side)
    else:
        columns = read_columns(source, Place(what))
    return with_typed_ids(columns, side, known) if len(columns) else None


def with_typed_ids(columns: Columns, side: FeatureEncoder, known: Table) -> Columns:
    """The columns of a side with ids of the type that its table has.

    Raises:
        DataError: an id is of another type, or the column of ids is missing.
    """
    key = next(field.name for field in side.fields if isinstance(field, Id))
    ids = typed_ids(columns[key], id_type(known), columns.at(key))
    return Columns({**columns.arrays, key: ids}, columns.place)


def read_ids(what: str, source: Any, side: FeatureEncoder, table: Table) -> list[int | str]:
    """The ids of a list, of a file with one a line, or of the id column of a table in a file.

    Args:
        what: the option, for messages.
        source: ids; or a path; None: no ids. A name that ends with .csv, .jsonl or .parquet
            is a table.
        side: finds the column of ids, as training found it.
        table: of the side; the ids get the type of its ids.

    Raises:
        DataError: the file is missing, or an id is of another type than the table's. A list has
            the header of a table, or a table has no column of ids.
    """
    if source is None:
        return []
    key = next(field.name for field in side.fields if isinstance(field, Id))
    if not isinstance(source, str | Path):
        columns = read_columns({key: source}, Place(what))
    elif Path(source).suffix in (".jsonl", ".json", *READERS):
        columns = _read_file(Path(source), [key], side)
    else:
        columns = read_columns({key: _read_lines(Path(source), key, table)}, Place(str(source)))
    return with_typed_ids(columns, side, table)[key].tolist() if len(columns) else []


def _read_lines(path: Path, key: str, table: Table) -> list[int | str]:
    ids, lines = [], _text(path).split("\n")
    if key in re.split(r"[,;|\t\"]", lines[0]):
        raise DataError(
            f"{path}, line 1: the header of a table, not an id; name a table .csv, .jsonl or "
            ".parquet"
        )
    for number, line in enumerate(lines, start=1):
        try:
            ids += [table.parse_id(line)] if line else []
        except DataError as error:
            raise DataError(f"{path}, line {number}: {error}") from None
    return ids


def _read_file(path: Path, names: list[str], side: FeatureEncoder) -> Columns:
    """The named columns of a file of a side; the first, the id, is found as training found it."""
    is_there = path.is_file() or path.is_dir()
    if path.suffix not in (".jsonl", ".json", *READERS) or not is_there:
        raise DataError(f"{path}: expected a file whose name ends with .jsonl, .csv or .parquet")
    if path.suffix not in READERS:
        return _json_lines(path, names)
    columns = read_table(path)
    try:
        key = side_key(side.side, names[0], columns)
    except DataError as error:
        hint = "" if len(names) > 1 else "; for a list with one id a line, name the file .txt"
        raise DataError(f"{error}{hint}") from None
    given = dict(zip(names, [key, *names[1:]]))
    named = Columns({name: columns[given[name]] for name in names}, columns.place)
    return as_fitted(named, side) if columns.is_csv else named


def _json_lines(path: Path, names: list[str]) -> Columns:
    """Unlike a log, the file is complete: its last line needs no line end."""
    rows, lines = [], []
    for line, text in enumerate(_text(path).split("\n")):
        if not text.strip():
            continue
        try:
            record = json.loads(text)
            if not isinstance(record, dict):
                raise ValueError("expected an object")
        except (ValueError, RecursionError) as error:
            reason = getattr(error, "msg", None) or error
            raise DataError(f"{path}, line {line + 1}: {reason}") from None
        for name in names:
            if name not in record:
                raise DataError(f"{path}, line {line + 1}: no '{name}'; null is a missing value")
        rows.append([record[name] for name in names])
        lines.append(line)
    return object_rows(names, rows, Place(str(path), first_line=1, rows=lines))


def _text(path: Path) -> str:
    try:
        text = read_regular(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected text in UTF-8: {error}") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")  # any end of line
