"""Read a column of lists of item ids that are written as strings, such as exposures. Chapter 3.

The known ids say which character separates the ids of a list.
"""

from collections.abc import Callable

import numpy as np

from minitower.data.errors import Place, show
from minitower.formulas.arrays import Array

_SEPARATORS = ("|", ";", ",", None)  # None: spaces
_TRIED = 1000  # strings that decide on the separator


def id_lists(column: Array, known: Array, place: Place) -> tuple[Array, int]:
    """Lists of the known ids in strings. Values that are lists already stay as they are.

    The separator is a bar, a semicolon, a comma or spaces: whichever finds the most known ids.

    Args:
        column: (n,) objects.
        known: the ids of all items.
        place: of the column.

    Returns:
        (n,) objects, lists and other values; and the number of ids that were dropped, because
        they are unknown.

    Raises:
        DataError: a list stands in brackets, or no id of the column is known.

    >>> lists, dropped = id_lists(np.array(["7|8", "9"], object), np.array([7, 8]), Place("log"))
    >>> lists.tolist(), dropped
    ([[7, 8], []], 1)
    """
    ids = {str(value): value for value in known.tolist()}
    strings = [value for value in column.tolist() if isinstance(value, str) and value]
    split = _splitter(strings[:_TRIED], ids)
    rows = np.empty(len(column), object)
    dropped = found = 0
    for row, value in enumerate(column.tolist()):
        if isinstance(value, str):
            if value.startswith(("[", "(", "{")) and value not in ids:
                raise place.error(f"{_WANTED}, got {show(value)}", row)
            parts = split(value)
            value = [ids[part] for part in parts if part in ids]
            found, dropped = found + len(value), dropped + len(parts) - len(value)
        rows[row] = value
    if dropped and not found:
        raise place.error(f"no item of the data is here; {_WANTED}, got {show(strings[0])}")
    return rows, dropped


_WANTED = "expected the ids of items with '|' between them"


def _splitter(strings: list[str], ids: dict[str, int | str]) -> Callable[[str], list[str]]:
    """The split of a string that finds the most known ids."""

    def split_at(separator: str | None) -> Callable[[str], list[str]]:
        return lambda text: [p for part in text.split(separator) if (p := part.strip())]

    splits = [split_at(separator) for separator in _SEPARATORS]
    return max(splits, key=lambda split: sum(p in ids for text in strings for p in split(text)))
