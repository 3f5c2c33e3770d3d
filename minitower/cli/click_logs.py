"""What ``minitower update`` reads: clicks after a cursor, and rows of users and items."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minitower.data import DataError
from minitower.data.columns import Columns
from minitower.data.errors import Place
from minitower.data.schema import Field
from minitower.data.splits import Rule, parse_rule
from minitower.data.streams import Cursor, EventFields, Events
from minitower.data.streams.events import IdType, object_columns
from minitower.data.streams.parquet import is_complete, read_parquet
from minitower.data.table import Table
from minitower.retrieval import Store


def fields_of(base: Store, rule: Rule | None) -> EventFields:
    """What the columns of clicks are called, and of which types ids are."""
    schema = base.model.schema.schema
    user_type, item_type = map(_id_type, (base.users, base.items))
    names = schema.user_id.name, schema.item_id.name
    value = None if rule is None else rule.column
    return EventFields(*names, value=value, user_type=user_type, item_type=item_type)


def _id_type(table: Table) -> IdType:
    return "text" if table.ids.dtype.kind == "U" else "integer"


def numeric_rule(text: str | None) -> Rule | None:
    """The rule by which clicks are told that are positives; None where all are.

    Raises:
        DataError: it is none, or compares with a text; beside ids, clicks have numbers only.
    """
    if text is None or text == "all":
        return None
    rule = parse_rule(text)
    if rule.number is None:
        raise DataError(
            f"positives are where {text}, but beside ids a click has numbers only; where every "
            "click of the logs is a positive, say --positive all"
        )
    return rule


def positives(clicks: Events, rule: Rule | None) -> Events:
    """Those that pass; a missing value never does."""
    if rule is None:
        return clicks
    values = {rule.column: np.asarray(clicks.values)}
    return clicks.take(rule.apply(Columns(values, Place("clicks"))))


def cursor_in(notes: dict[str, Any], fields: EventFields) -> Cursor | None:
    """Where the clicks of a version end; None for one that came of no stream."""
    return Cursor.from_state(notes["cursor"], fields) if "cursor" in notes else None


def read_rows(
    path: Path | None, fields: Sequence[Field], name: str | None = None
) -> Columns | None:
    """The columns of a whole file of users or items; None of none, and of one without rows.

    Raises:
        DataError: there is no such file, it is of another kind or not complete, or a record
            or a column cannot be read; names the line or the row.
    """
    if path is None:
        return None
    if path.suffix not in (".jsonl", ".json", ".parquet") or not path.is_file():
        raise DataError(f"{path}: expected a file whose name ends with .jsonl or .parquet")
    names = list(dict.fromkeys([*(field.name for field in fields), *([name] if name else [])]))
    columns = (_parquet if path.suffix == ".parquet" else _json_lines)(path, names)
    return columns if len(columns) else None


def _json_lines(path: Path, names: list[str]) -> Columns:
    """Unlike a log, the file is whole: its last line needs no end."""
    rows, lines, known = [], [], set[str]()
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
        rows.append([record.get(name) for name in names])
        lines.append(line)
        known |= record.keys()
    for name in names if rows else ():
        if name not in known:
            told = ", ".join(sorted(known))
            raise DataError(f"{path}: there is no column '{name}'; columns: {told}")
    return object_columns(names, rows, Place(str(path), first_line=1, rows=lines))


def _parquet(path: Path, names: list[str]) -> Columns:
    if not is_complete(path):
        raise DataError(f"{path}: not complete: it has no footer")
    blocks = list(read_parquet(path, 0, names))
    arrays = {
        name: np.concatenate([block.columns[name] for block in blocks])
        for name in (names if blocks else ())
    }
    return Columns(arrays, Place(str(path)))


def read_ids(path: Path, table: Table) -> list[int | str]:
    """The ids in a file, one a line.

    Raises:
        DataError: there is no such file, or one of them is of another type than the table's.
    """
    ids = []
    for number, line in enumerate(_text(path).splitlines(), start=1):
        try:
            ids += [table.parse_id(line)] if line else []
        except DataError as error:
            raise DataError(f"{path}, line {number}: {error}") from None
    return ids


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
