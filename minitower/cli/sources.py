"""From a folder of data, of whichever layout, to a data set; and from a fitted one back."""

import dataclasses
import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from minitower.cli.job import Job
from minitower.cli.options import parse_split
from minitower.data import (
    Categorical,
    DataError,
    Dataset,
    Field,
    FittedSchema,
    GivenSplit,
    Id,
    MultiValued,
    Schema,
    Split,
    atomic_files,
    movielens,
    positive_rule,
    split_files,
)
from minitower.data.atomic_files import RawData
from minitower.data.columns import Columns, read_columns
from minitower.data.errors import Place
from minitower.data.regular_file import read_regular
from minitower.formulas.arrays import Array
from minitower.lab.funnel import simulate
from minitower.lab.funnel_words import THEMES

_INTERACTIONS = ("*.inter", "u.data", "ratings.dat", "train.txt", "valid.txt", "test.txt")


@dataclass(frozen=True)
class Source:
    """A data set and the columns it was made from.

    Attributes:
        name: what to call it.
        raw: the columns.
        data: the data set.
        remarks: how it was read, where that was decided for the user.
        rule: what makes an interaction a positive, or "all".
        item_groups: what items are grouped by, if not by one of their fields.
        files: SHA-256 -> name of the files of interactions; none of a simulated world.
    """

    name: str
    raw: RawData
    data: Dataset
    remarks: tuple[str, ...] = ()
    rule: str = "all"
    item_groups: tuple[str, Array] | None = None
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def encoded_by(self, fitted: FittedSchema) -> "Source":
        """The same interactions, their users and items encoded as an older model knows them.

        Raises:
            DataError: a column that the model reads is not there.
        """
        users = self.raw.users or read_columns({}, Place(f"{self.name}: users"))
        items = self.raw.items or read_columns({}, Place(f"{self.name}: items"))

        def encoded(data: Dataset) -> Dataset:
            remake = data.remake
            return dataclasses.replace(
                data,
                schema=fitted,
                users=fitted.user.encode(users, data.users.ids),
                items=fitted.item.encode(items, data.items.ids),
                remake=None if remake is None else lambda split: encoded(remake(split)),
            )

        return dataclasses.replace(self, data=encoded(self.data))

    def about_user(self, row: int) -> str:
        """The features of one user, for people."""
        return _about(self.raw.schema.user, self.raw.users, row)

    def about_item(self, row: int) -> str:
        """The features of one item but its name, for people."""
        fields = [field for field in self.raw.schema.item if field.name != self.raw.item_name]
        return _about(fields, self.raw.items, row)

    def groups(self) -> tuple[str, Array]:
        """What items are grouped by, for people, and the group of every item ("": none)."""
        if self.item_groups is not None:
            return self.item_groups
        for kind in (MultiValued, Categorical):
            for field in self.raw.schema.item:
                if isinstance(field, kind) and self.raw.items is not None:
                    cells = self.raw.items[field.name].tolist()
                    cut = field.separator if isinstance(field, MultiValued) else None
                    listed = [_first(str(cell), cut) for cell in cells]
                    unlisted = [""] * (len(self.data.items) - len(listed))
                    return field.name, np.array(listed + unlisted)
        return "", np.full(len(self.data.items), "")

    def item_name(self, row: int) -> str:
        """What an item is called, or its id."""
        names = self.data.items.ids if self.data.item_names is None else self.data.item_names
        return str(names[row])


def simulated(job: Job) -> Source:
    """The simulated world of :mod:`minitower.lab.funnel`.

    Raises:
        DataError: an option that only files have.
    """
    for name in ("positive", "valid", "override"):
        if getattr(job, name) is not None:
            raise DataError(f"--{name} is for real files: name a folder with --data")
    world = simulate(seed=job.seed)
    split = None if job.split is None else parse_split(job.split, job.seed)
    tables = {name: read_columns(table, Place(name)) for name, table in world.columns.items()}
    raw = RawData(world.schema, **tables, item_name="name")
    data = Dataset.from_raw(raw, positive="all", split=split)
    theme = {c: theme for theme, categories in THEMES.items() for c in categories}
    themes = np.array([theme[text.split()[0]] for text in world.items["category"].tolist()])
    return Source(
        "a simulated month in twenty cities",
        raw,
        data,
        (describe_split(data),),
        item_groups=("theme, which the model was never told", themes),
    )


def open_folder(folder: Path, job: Job) -> Source:
    """Read a folder of RecBole's atomic files, of GroupLens's layouts, or of split files.

    Args:
        folder: where the files are.
        job: says what a positive is, how to split, and what columns mean.

    Raises:
        DataError: no layout that is known, or something wrong within; names the place.
    """
    raw, split = _read(folder, job)
    remarks: list[str] = []
    raw = _without_other_keys(raw, job.override or {}, remarks)
    rule = positive_rule(raw.interactions, job.positive)
    if job.positive is None:
        which = "all interactions" if rule == "all" else f"where {rule}"
        remarks.append(f"positives: {which} (use --positive RULE to change that)")
    data = Dataset.from_raw(raw, positive=rule, split=split)
    name, remarks = folder.resolve().name, [*remarks, describe_split(data)]
    return Source(name, raw, data, tuple(remarks), rule, files=_hashes(folder))


def _hashes(folder: Path) -> dict[str, str]:
    """SHA-256 -> name of the files of interactions."""
    found = [path for pattern in _INTERACTIONS for path in sorted(folder.glob(pattern))]
    return {hashlib.sha256(read_regular(path)).hexdigest(): path.name for path in found}


def describe_split(data: Dataset) -> str:
    """One sentence on how many positives each part has, and until when."""
    parts = []
    for name in ("train", "valid", "test"):
        part = data.split(name)
        told = f"{name} {len(part):,}"
        if len(part) and part.timestamps is not None:
            told += f" (until {_moment(float(part.timestamps.max()))})"
        parts.append(told)
    return "split: " + ", ".join(parts)


def _moment(seconds: float) -> str:
    """A time as people write it."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"


def _read(folder: Path, job: Job) -> tuple[RawData, Split | None]:
    """The columns, and the split that was asked for or that the files give."""
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder")
    split = None if job.split is None else parse_split(job.split, job.seed)
    atomic = any(folder.glob("*.inter"))
    if job.override is not None and not atomic:
        raise DataError(f"{folder}: --override is for atomic files, and there is no .inter file")
    if job.valid is not None and not (folder / "train.txt").exists():
        raise DataError(f"{folder}: --valid is for split files; say --split to cut these")
    if atomic:
        return atomic_files.read(folder, overrides=job.override), split
    if (folder / "u.data").exists() or (folder / "ratings.dat").exists():
        return movielens.read(folder), split
    if (folder / "train.txt").exists():
        if split is not None:
            raise DataError(f"{folder}: split files are split already; leave --split out")
        raw = split_files.read(folder, valid=job.valid, seed=job.seed)
        return raw, GivenSplit("split")
    raise DataError(
        f"{folder}: found no data; expected *.inter (RecBole), u.data or ratings.dat (MovieLens), "
        "or train.txt (split files)"
    )


def _without_other_keys(raw: RawData, overridden: Collection[str], remarks: list[str]) -> RawData:
    """Leave out categories that are nearly as many as the entities, such as zip codes.

    Each of their values would be learned from one or two entities, as the id itself is.
    """

    def kept(fields: Sequence[Field], columns: Columns | None) -> list[Field]:
        fields_kept = []
        for field in fields:
            asked = field.name in overridden
            if isinstance(field, Categorical) and columns is not None and not asked:
                distinct = len(set(columns[field.name].tolist()))
                if 2 * distinct > len(columns) > 100:
                    remarks.append(
                        f"left out {field.name}: {distinct:,} values on {len(columns):,} rows "
                        f"(use --override {field.name}=token to keep it)"
                    )
                    continue
            fields_kept.append(field)
        return fields_kept

    schema = Schema(kept(raw.schema.user, raw.users), kept(raw.schema.item, raw.items))
    return raw._replace(schema=schema)


def _first(cell: str, separator: str | None) -> str:
    """The first value of a cell; with no separator it has only one."""
    if separator is None:
        return cell
    values = cell.split() if separator == " " else cell.split(separator)
    return values[0] if values else ""


def _about(fields: Sequence[Field], columns: Columns | None, row: int) -> str:
    if columns is None or row >= len(columns):
        return ""
    cells = (columns[field.name][row] for field in fields if not isinstance(field, Id))
    return " · ".join(str(cell) for cell in cells if str(cell))
