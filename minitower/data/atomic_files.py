"""Read RecBole's atomic files: tab-separated values under a header of name:type. Chapter 3.

A folder holds `name.inter`, and optionally `name.user` and `name.item`. A header reads
`user_id:token<TAB>age:float<TAB>genres:token_seq`.

Reference: RecBole documentation, "Atomic Files".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minitower.data.columns import Columns, numbers
from minitower.data.errors import DataError, Place, listed, show
from minitower.data.files import read_regular
from minitower.data.log import RawData
from minitower.data.schema import Categorical, Continuous, Field, Id, MultiValued, Schema
from minitower.formulas.arrays import Array

Overrides = Mapping[str, Field | str | None]

_TYPES = ("token", "token_seq", "float", "float_seq")
_REFUSED = {
    "\r": "a carriage return without a line feed; end lines with LF or CRLF",
    "\0": "a zero character; the file is damaged, or has another encoding",
}


@dataclass(frozen=True)
class AtomicFile:
    """One file: its columns as strings, and the types that its header declares."""

    columns: Columns
    types: dict[str, str]


def read(
    folder: str | Path, schema: Schema | None = None, overrides: Overrides | None = None
) -> RawData:
    """Read a folder of atomic files.

    Without a schema, the columns of the .user and .item files become fields by their type:
    token Categorical, token_seq MultiValued, float Continuous (standardized). The ids are
    the columns user_id and item_id, or the first of their file. A column of items that is
    called title or name is shown to people. A title of type token is no feature: it says no
    more than the id.

    Args:
        folder: holds one .inter file.
        schema: the fields to use, instead of those the headers suggest.
        overrides: for a column: another field, another type, or None to leave the column out.

    Raises:
        DataError: names the file, line and column.
    """
    folder = Path(folder)
    log = read_file(_only_file(folder, ".inter"))
    users = _optional(folder, ".user")
    items = _optional(folder, ".item")
    overrides = dict(overrides or {})
    known = {name for file in (users, items) if file is not None for name in file.types}
    for name in overrides:
        if name not in known:
            raise DataError(
                f"{folder}: --override names an unknown column '{listed([name])}'; "
                f"columns: {listed(sorted(known))}"
            )
    title = None if items is None else _title(items.types)
    if schema is None:
        if title is not None and items is not None and items.types[title] == "token":
            overrides.setdefault(title, None)
        schema = Schema(
            user=_fields("user_id", users, overrides), item=_fields("item_id", items, overrides)
        )
    elif overrides:
        raise DataError(f"{folder}: give a schema or overrides, not both")
    floats = [name for name, kind in log.types.items() if kind == "float"]
    return RawData(
        schema,
        log.columns.updated({n: numbers(log.columns[n], log.columns.at(n)) for n in floats}),
        None if users is None else users.columns,
        None if items is None else items.columns,
        title,
    )


def read_file(path: Path) -> AtomicFile:
    """Read one atomic file.

    Raises:
        DataError: the header is not name:type, a line has too few or too many fields, or
            the file ends with the header.
    """
    header, _, body = read_text(path).partition("\n")
    place = Place(str(path), first_line=2)
    types: dict[str, str] = {}
    for cell in header.split("\t"):
        name, colon, kind = cell.rpartition(":")
        if not colon or kind not in _TYPES:
            raise DataError(
                f"{path}, line 1: expected a header of name:type, the types being "
                f"{', '.join(_TYPES)}, got {show(cell)}"
            )
        if name in types:
            raise Place(str(path), name, first_line=1).error("the column occurs twice", 0)
        types[name] = kind
    if not body:
        raise DataError(f"{path}: the file has no line below its header")
    arrays = split_fields(body, "\t", len(types), place)
    return AtomicFile(Columns(dict(zip(types, arrays)), place), types)


def _fields(default_id: str, file: AtomicFile | None, overrides: Overrides) -> list[Field]:
    if file is None:
        return [Id(default_id)]
    id_name = default_id if default_id in file.types else next(iter(file.types))
    fields: list[Field] = []
    for name, kind in file.types.items():
        field = overrides.get(name, Id(name) if name == id_name else kind)
        place = file.columns.at(name)
        if isinstance(field, str):
            field = field_of_type(name, field, place)
        if isinstance(field, Id) != (name == id_name):
            raise place.error("the id, and no other column, must be an Id")
        if field is None:
            continue
        if field.name != name:
            raise place.error(f"overridden by a field of another name, '{field.name}'")
        fields.append(field)
    return fields


def field_of_type(name: str, kind: str, place: Place) -> Field:
    """The field of a column of this type: token, token_seq or float.

    Raises:
        DataError: the type is another one.
    """
    if kind == "token":
        return Categorical(name)
    if kind == "token_seq":
        return MultiValued(name)
    if kind == "float":
        return Continuous(name, "standardise")
    raise place.error(
        f"the type {kind} is not a feature; leave the column out with the override "
        f"{name}=None, or give it one of token, token_seq, float"
    )


def _title(types: dict[str, str]) -> str | None:
    for word in ("title", "name"):
        for name in types:
            if word in name.lower().split("_"):
                return name
    return None


def _only_file(folder: Path, suffix: str) -> Path:
    if not folder.is_dir():
        raise DataError(f"{folder}: the folder does not exist")
    found = sorted(folder.glob(f"*{suffix}"))
    if len(found) != 1:
        names = listed(path.name for path in found)
        raise DataError(f"{folder}: expected one {suffix} file, got {names}")
    return found[0]


def _optional(folder: Path, suffix: str) -> AtomicFile | None:
    return read_file(_only_file(folder, suffix)) if any(folder.glob(f"*{suffix}")) else None


def read_text(path: Path, encoding: str = "utf-8") -> str:
    """Decode a whole file. All line ends become LF; those at the end are removed.

    Raises:
        DataError: the file is not a regular file, cannot be opened, is empty, or cannot be
            decoded; or it holds a zero character, or a carriage return without a line feed.
    """
    raw = read_regular(path)
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, line {line}: cannot be decoded as {encoding} ({error.reason})"
        ) from None
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").rstrip("\n")
    if not text:
        raise DataError(f"{path}: the file is empty")
    for character, what in _REFUSED.items():
        at = text.find(character)
        if at >= 0:
            line = text.count("\n", 0, at) + 1
            raise DataError(f"{path}, line {line}: {what}")
    return text


def split_fields(text: str, separator: str, n_fields: int, place: Place) -> list[Array]:
    """Split lines of equally many fields into columns.

    Raises:
        DataError: a line has more or fewer fields.
    """
    if len(separator) > 1:  # one byte is faster to find: the unit separator of ASCII
        text, separator = text.replace(separator, "\x1f"), "\x1f"
    raw = np.frombuffer(text.encode(), np.uint8)
    newline, stop = ord("\n"), ord(separator)
    stops = raw[(raw == newline) | (raw == stop)]
    line_ends = np.append(np.flatnonzero(stops == newline), len(stops))
    fields_in_line = np.diff(line_ends, prepend=-1)
    message = lambda row: f"expected {n_fields} fields, got {fields_in_line[row]}"
    place.refuse(fields_in_line != n_fields, message)
    fields = np.array(text.replace("\n", separator).split(separator), object)
    return list(fields.reshape(-1, n_fields).T)
