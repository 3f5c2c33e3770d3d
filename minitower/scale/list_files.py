"""Write lists of users to a file, block by block, so that memory does not grow with the users.

lists.parquet    user, item (int64 or string), score (double), rank (int64)
lists.csv        the same columns below a header
lists.jsonl      {"user": 7, "item": 3, "score": 0.5, "rank": 1}, an object a line

Chapter 15.
"""

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from minitower.data.errors import DataError
from minitower.data.files import new_path
from minitower.data.parquet import pyarrow_parquet
from minitower.store.lists import Lists

Write = Callable[[Lists], object]


def check_ending(path: Path) -> None:
    """Check the ending of a file for lists, before an hour of work.

    Raises:
        DataError: the ending is unknown.
        ModuleNotFoundError: the file is Parquet and pyarrow is not installed.
    """
    if path.suffix not in WRITERS:
        raise DataError(f"{path}: expected a name that ends with {', '.join(WRITERS)}")
    if path.suffix == ".parquet":
        pyarrow_parquet()


def write_lists(path: str | Path, blocks: Iterable[Lists]) -> int:
    """Write lists to a file whose ending names its format; returns the number of rows.

    The file appears when it is complete. A failure leaves the old file, or none.

    Args:
        path: ends with .parquet, .csv or .jsonl.
        blocks: as :func:`~minitower.store.lists.list_blocks` makes them.

    Raises:
        DataError: the ending is unknown, or the file cannot be written.
        ModuleNotFoundError: the file is Parquet and pyarrow is not installed.
    """
    path, rows = Path(path), 0
    check_ending(path)
    with new_path(path) as temporary, WRITERS[path.suffix](temporary) as write:
        for block in blocks:
            write(block)
            rows += len(block["rank"])
    return rows


def json_lines(block: Lists) -> str:
    """The rows of a block as JSON, an object a line.

    >>> import numpy as np
    >>> columns = {"user": ["u7"], "item": [3], "score": [0.5], "rank": [1]}
    >>> json_lines({name: np.array(column) for name, column in columns.items()})
    '{"user": "u7", "item": 3, "score": 0.5, "rank": 1}\\n'
    """
    keys = ", ".join(f'"{name}": %s' for name in block)
    encoded = (map(_quoted if c.dtype.kind == "U" else repr, c.tolist()) for c in block.values())
    return "".join(f"{{{keys % row}}}\n" for row in zip(*encoded, strict=True))


def _quoted(value: str) -> str:
    text = json.dumps(value, ensure_ascii=False)
    if text.isprintable():
        return text
    return json.dumps(value)  # a terminal obeys some of the characters that JSON leaves as they are


@contextmanager
def _parquet(path: Path) -> Iterator[Write]:
    """A row group for each block."""
    arrow, parquet = pyarrow_parquet()
    writer = None

    def write(block: Lists) -> None:
        nonlocal writer
        table = arrow.table(block)
        if writer is None:
            writer = parquet.ParquetWriter(path, table.schema, write_page_checksum=True)
        writer.write_table(table)

    try:
        yield write
    finally:
        if writer is not None:
            writer.close()


@contextmanager
def _csv(path: Path) -> Iterator[Write]:
    with path.open("x", encoding="utf-8", newline="") as file:
        # Strings are quoted: before Python 3.13, csv does not quote a lone carriage return.
        rows = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        header = False

        def write(block: Lists) -> None:
            nonlocal header
            if not header:
                csv.writer(file, lineterminator="\n").writerow(block)
                header = True
            rows.writerows(zip(*(column.tolist() for column in block.values()), strict=True))

        yield write


@contextmanager
def _json(path: Path) -> Iterator[Write]:
    with path.open("x", encoding="utf-8") as file:
        yield lambda block: file.write(json_lines(block))


WRITERS: dict[str, Callable[[Path], AbstractContextManager[Write]]] = {
    ".parquet": _parquet,
    ".csv": _csv,
    ".jsonl": _json,
}
"""Opens the writer of blocks, by the ending of the file."""
