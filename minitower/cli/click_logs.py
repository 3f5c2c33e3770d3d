"""What ``minitower update`` reads: clicks after a cursor, and rows of users and items."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minitower.cli.progress import say
from minitower.data import DataError
from minitower.data.columns import Columns
from minitower.data.errors import Place
from minitower.data.regular_file import read_regular
from minitower.data.schema import Field, Id
from minitower.data.splits import Rule, parse_rule
from minitower.data.table import Table
from minitower.data.values import IdType, typed_ids
from minitower.store.snapshot import Store
from minitower.updating.streams import EventFields, Events
from minitower.updating.streams.events import object_columns
from minitower.updating.streams.parquet import read_parquet


def fields_of(base: Store, rule: Rule | None, timestamp: str) -> EventFields:
    """What the columns of clicks are called, and of which types ids are."""
    schema = base.model.schema.schema
    user_type, item_type = map(_id_type, (base.users, base.items))
    names = schema.user_id.name, schema.item_id.name, timestamp
    value = None if rule is None else rule.column
    return EventFields(*names, value=value, user_type=user_type, item_type=item_type)


def _id_type(table: Table) -> IdType:
    return "string" if table.ids.dtype.kind == "U" else "integer"


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


class Positives:
    """Picks the clicks of a stream that pass a rule, and counts; a missing value never passes.

    Args:
        rule: by which positives are told; None: all clicks are.
        text: the rule as it was typed.
    """

    def __init__(self, rule: Rule | None, text: str | None) -> None:
        self.rule, self.text = rule, text
        self.read = self.kept = self._rated = 0

    def __call__(self, clicks: Events) -> Events:
        """Those that pass."""
        self.read += len(clicks)
        if self.rule is not None:
            values = np.asarray(clicks.values)
            self._rated += int(np.count_nonzero(~np.isnan(values)))
            passed = self.rule.apply(Columns({self.rule.column: values}, Place("clicks")))
            clicks = clicks.take(passed)
        self.kept += len(clicks)
        return clicks

    def tell(self) -> None:
        """Say how many there were, where there is a rule."""
        if self.rule is not None:
            say(f"{self.kept:,} of {self.read:,} clicks are positives: {self.text}")

    def demand(self) -> None:
        """Refuse logs that do not say at all what is a positive.

        Raises:
            DataError: no click has the number.
        """
        if self.rule is not None and self.read and not self._rated:
            raise DataError(
                f"none of {self.read:,} clicks has a '{self.rule.column}', by which positives are "
                f"told ({self.text}); if every click is one, say --positive all"
            )


def read_rows(
    path: Path | None, fields: Sequence[Field], known: Table, name: str | None = None
) -> Columns | None:
    """The columns of a whole file of users or items; None of none, and of one without rows.

    Args:
        path: the file; None: none.
        fields: of the side.
        known: its table, whose type ids get.
        name: of one more column.

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
    if not len(columns):
        return None
    key = next(field.name for field in fields if isinstance(field, Id))
    ids = typed_ids(columns[key], _id_type(known), columns.at(key))
    return Columns({**columns.arrays, key: ids}, columns.place)


def _json_lines(path: Path, names: list[str]) -> Columns:
    """Unlike a log, the file is whole: its last line needs no end."""
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
    return object_columns(names, rows, Place(str(path), first_line=1, rows=lines))


def _parquet(path: Path, names: list[str]) -> Columns:
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
        text = read_regular(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: {error}") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")  # any end of line
