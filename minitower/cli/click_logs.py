"""What ``minitower update`` reads: clicks after a cursor, and rows of users and items."""

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from minitower.data import DataError
from minitower.data.schema import Field
from minitower.data.streams import Cursor, EventFields
from minitower.data.streams.events import IdType
from minitower.data.streams.folder import READERS
from minitower.data.table import Table
from minitower.retrieval import Store


def fields_of(base: Store) -> EventFields:
    """What the columns of clicks are called, and of which types ids are."""
    schema = base.model.schema.schema
    user_type, item_type = map(_id_type, (base.users, base.items))
    names = schema.user_id.name, schema.item_id.name
    return EventFields(*names, user_type=user_type, item_type=item_type)


def _id_type(table: Table) -> IdType:
    return "text" if table.ids.dtype.kind == "U" else "integer"


def cursor_in(notes: dict[str, Any], fields: EventFields) -> Cursor | None:
    """Where the clicks of a version end; None for one that came of no stream."""
    return Cursor.from_state(notes["cursor"], fields) if "cursor" in notes else None


def read_rows(
    path: Path | None, fields: tuple[Field, ...], name: str | None = None
) -> dict[str, np.ndarray] | None:
    """The columns of a file of users or items, with that of their names; None of none.

    Raises:
        DataError: there is no such file, it holds nothing, or a record of it cannot be read.
    """
    if path is None:
        return None
    if path.suffix not in READERS or not path.is_file():
        raise DataError(f"{path}: expected a file whose name ends with {', '.join(READERS)}")
    names = [field.name for field in fields]
    names += [name] if name is not None and name not in names else []
    blocks = list(READERS[path.suffix](path, 0, names))
    for wrong in chain.from_iterable(block.wrong for block in blocks):
        raise DataError(f"{path}, offset {wrong.offset}: {wrong.reason}")
    size = path.stat().st_size
    if not blocks or blocks[-1].stop < size:
        read = blocks[-1].stop if blocks else 0
        raise DataError(f"{path}: the {size - read} bytes at its end are no whole record"
                        if size else f"{path}: is empty")  # fmt: skip
    return {name: np.concatenate([block.columns[name] for block in blocks]) for name in names}


def read_ids(path: Path, table: Table) -> list[int | str]:
    """The ids in a file, one a line.

    Raises:
        DataError: there is no such file, or one of them is of another type than the table's.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {getattr(error, 'strerror', error)}") from None
    return [table.parse_id(line) for line in lines if line]
