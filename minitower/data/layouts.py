"""A folder of data in whichever layout it has, and the options that say how to read it. Chapter 3.

Plain tables             interactions.csv or .parquet, and perhaps users.* and items.*; a table
                         may be a folder of files, with partitions such as day=2022-05-01
RecBole's atomic files   *.inter, and perhaps *.user and *.item
MovieLens                u.data (100K) or ratings.dat (1M)
Split files              train.txt, test.txt and perhaps valid.txt
"""

import hashlib
import os
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from minitower.data import atomic_files, movielens, split_files
from minitower.data.atomic_files import Overrides
from minitower.data.columns import Columns
from minitower.data.errors import DataError
from minitower.data.files import read_regular
from minitower.data.log import RawData
from minitower.data.option_values import written
from minitower.data.options import Option, Seed
from minitower.data.roles import read_pairs, read_roles
from minitower.data.schema import Categorical, Field, Schema, field_from_json, field_to_json
from minitower.data.splits import parse_split
from minitower.data.table_parts import part_files, table_paths
from minitower.data.tables import read_tables

_INTERACTIONS = ("*.inter", "u.data", "ratings.dat", "train.txt", "valid.txt", "test.txt")
_MOST_DIM = 4096  # of a field that an option describes


def read_overrides(value: Any) -> dict[str, Field | str | None]:
    """What columns are read as: a table, or a list of COLUMN=TYPE.

    Raises:
        ValueError: the value is no table, or a type is unknown.

    >>> read_overrides(["genre=token_seq", "zip=none"])
    {'genre': 'token_seq', 'zip': None}
    """
    stated = read_pairs(value, "columns and their types")
    return {name: _override(name, kind) for name, kind in stated.items()}


def _override(name: str, kind: Any) -> Field | str | None:
    if isinstance(kind, str) and kind.startswith("{"):
        try:
            kind = tomllib.loads(f"field = {kind}")["field"]
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"column '{name}': {error}") from None
    if isinstance(kind, dict):
        field = field_from_json({"name": name, **kind})
        if (getattr(field, "dim", None) or 0) > _MOST_DIM:
            raise ValueError(f"column '{name}': dim must be at most {_MOST_DIM:,}")
        return field
    if not name or kind not in ("token", "token_seq", "float", "none"):
        raise ValueError("expected COLUMN=TYPE, the type one of token, token_seq, float, none")
    return None if kind == "none" else str(kind)


def _split(value: Any) -> str:
    parse_split(value)
    return str(value)


@dataclass(frozen=True)
class Reading:
    """How a folder of data becomes a data set."""

    positive: Annotated[
        str | None,
        Option(
            "rule of positive interactions, such as 'rating >= 4' or 'rating >= 4 and device = "
            "phone', with and, or and parentheses; or 'all' (default: decided by the columns, and "
            "printed)",
            metavar="RULE",
        ),
    ] = None
    split: Annotated[
        str | None,
        Option(
            "time:0.1,0.1 or random:0.1,0.1 (shares of validation and test); time:2022-05-01 or "
            "time:2022-04-01,2022-05-01 (test, or validation and test, from these days on, UTC); "
            "last:1,1 (per user); given:COLUMN (default: time where there are timestamps, else "
            "random)",
            parse=_split,
        ),
    ] = None
    valid: Annotated[
        float | None,
        Option("share of train to validate on, for split files without valid.txt", metavar="SHARE"),
    ] = None
    override: Annotated[
        Overrides | None,
        Option(
            "read a column of users or items as token, token_seq, float or none, or as a field "
            "such as '{kind=\"continuous\", impute=true}'; may be repeated",
            parse=read_overrides,
            metavar="COLUMN=TYPE",
        ),
    ] = None
    columns: Annotated[
        Mapping[str, str | None] | None,
        Option(
            "the column of a role in plain tables, where its name does not say it: user, item, "
            "time, weight, exposed or title (none: no such column); unit of the times: seconds, "
            "milliseconds, microseconds or nanoseconds; may be repeated",
            parse=read_roles,
            metavar="ROLE=COLUMN",
        ),
    ] = None
    users: Annotated[
        Path | None, Option("table of users, CSV or Parquet (default: users.* of the folder)")
    ] = None
    items: Annotated[
        Path | None, Option("table of items, CSV or Parquet (default: items.* of the folder)")
    ] = None
    seed: Seed = 0

    def to_json(self) -> dict[str, Any]:
        """The options that are set, without tables, weights and exposures of this data alone.

        It is JSON that :func:`~.option_values.read_options` takes.
        """
        options = self.to_job(Path())
        for path in ("users", "items"):  # of this data alone
            options.pop(path, None)
        for role in ("weight", "exposed"):  # for training only
            options.get("columns", {}).pop(role, None)
        return options

    def to_job(self, folder: Path) -> dict[str, Any]:
        """All options that are set, as a job file in a folder states them."""
        options = written(self)
        for path in ("users", "items"):
            if path in options:
                options[path] = os.path.relpath(options[path].absolute(), folder.absolute())
        if self.columns:
            options["columns"] = {role: name or "none" for role, name in self.columns.items()}
        if self.override:
            options["override"] = {
                name: kind if isinstance(kind, str) else _stated(kind) if kind else "none"
                for name, kind in self.override.items()
            }
        return options


def _stated(field: Field) -> dict[str, Any]:
    return {name: value for name, value in field_to_json(field).items() if value is not None}


def read_folder(folder: Path, how: Reading) -> RawData:
    """Read a folder, or the file of interactions of plain tables.

    Categories that are nearly as many as the entities, such as zip codes, are dropped: each
    value would be learned from one or two entities, as the id itself is.

    Raises:
        DataError: the layout is unknown, an option is for another one, or a file is wrong.
    """
    if not folder.exists():
        raise DataError(f"{folder}: the folder is missing")
    split = None if how.split is None else parse_split(how.split, how.seed)
    paths = table_paths(folder, how.users, how.items)
    atomic, split_in_files = any(folder.glob("*.inter")), (folder / "train.txt").exists()
    _refuse_options(folder, how, tables=bool(paths), atomic=atomic, split_in_files=split_in_files)
    if paths:
        raw = read_tables(paths, how.columns or {}, how.override or {})
    elif atomic:
        raw = atomic_files.read(folder, overrides=how.override)
    elif (folder / "u.data").exists() or (folder / "ratings.dat").exists():
        raw = movielens.read(folder)
    elif split_in_files:
        if split is not None:
            raise DataError(f"{folder}: split files are split already; leave --split out")
        raw = split_files.read(folder, valid=how.valid, seed=how.seed)
    else:
        raise DataError(
            f"{folder}: found no data; expected interactions.csv or .parquet (or a folder of such "
            "files), *.inter (RecBole), u.data or ratings.dat (MovieLens), or train.txt (split "
            "files)"
        )
    named = how.override or {}
    users, few_users = _without_other_keys("users", raw.schema.user, raw.users, named)
    items, few_items = _without_other_keys("items", raw.schema.item, raw.items, named)
    dropped = (*few_users, *few_items)
    return raw._replace(
        schema=Schema(users, items),
        split=split or raw.split,
        remarks=raw.remarks + dropped,
        left_out=raw.left_out + dropped,
    )


def _refuse_options(
    folder: Path, how: Reading, *, tables: bool, atomic: bool, split_in_files: bool
) -> None:
    """Refuse options of another layout."""
    if how.override is not None and not (atomic or tables):
        raise DataError(f"{folder}: --override is for plain tables and atomic files; leave it out")
    if how.valid is not None and not (split_in_files and not tables):
        raise DataError(f"{folder}: --valid is for split files; say --split to cut these")
    for name in ("columns", "users", "items"):
        if getattr(how, name) is not None and not tables:
            raise DataError(
                f"{folder}: --{name} is for plain tables, but interactions.csv or .parquet is "
                "missing"
            )


def _without_other_keys(
    side: str, fields: Sequence[Field], columns: Columns | None, named: Collection[str]
) -> tuple[list[Field], list[str]]:
    """The fields without such categories, and a remark on each of these."""
    left: list[Field] = []
    remarks: list[str] = []
    for field in fields:
        stated = field.name in named or f"{side}.{field.name}" in named
        if isinstance(field, Categorical) and columns is not None and not stated:
            values = columns[field.name].tolist()
            distinct = len(set(values))
            if 2 * distinct > len(columns) > 100:
                kind = "token_seq" if _are_word_lists(values) else "token"
                remarks.append(
                    f"dropped column {field.name}: {distinct:,} values on {len(columns):,} rows "
                    f"(use --override {field.name}={kind} to keep it)"
                )
                continue
        left.append(field)
    return left, remarks


def _are_word_lists(values: list[Any]) -> bool:
    """Whether strings hold words, by spaces, that occur ten times in the mean."""
    words = [word for value in values if isinstance(value, str) for word in value.split()]
    return len(words) > len(values) and len(words) >= 10 * len(set(words))


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 -> name of the files of interactions."""
    tables = table_paths(folder)
    found = [path for pattern in _INTERACTIONS for path in sorted(folder.glob(pattern))]
    found = part_files(tables["interactions"]) if tables else found
    above = folder.parent if folder.is_file() else folder
    return {
        hashlib.sha256(read_regular(path)).hexdigest(): path.relative_to(above).as_posix()
        for path in found
    }
