"""A data set with the columns that it was made from: to show them, or to encode them again.

Chapter 3.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from minitower.data.columns import read_columns
from minitower.data.csv_files import as_fitted
from minitower.data.errors import Place
from minitower.data.feature_encoder import FeatureEncoders
from minitower.data.interactions import Dataset
from minitower.data.layouts import Reading, hashes, read_folder
from minitower.data.log import RawData
from minitower.data.positives import positive_rule
from minitower.formulas.arrays import Array


@dataclass(frozen=True)
class Source:
    """A data set and the columns it was made from.

    Attributes:
        name: name of the data, for people.
        raw: the columns.
        data: the data set.
        remarks: the decisions made in reading, one sentence each.
        files: SHA-256 -> name of the files of interactions; empty for a simulated world.
        how: the options of reading, with the roles of columns that were recognized.
        item_groups: what groups the items, if not one of their fields, and the group of each.
    """

    name: str
    raw: RawData
    data: Dataset
    remarks: tuple[str, ...] = ()
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    how: Reading = dataclasses.field(default_factory=Reading)
    item_groups: tuple[str, Array] | None = None

    def encoded_by(self, fitted: FeatureEncoders) -> "Source":
        """The same interactions; users and items are encoded as an older model knows them.

        Raises:
            DataError: a column that the model reads is missing.
        """
        users = self.raw.users or read_columns({}, Place(f"{self.name}: users"))
        items = self.raw.items or read_columns({}, Place(f"{self.name}: items"))
        if self.how.columns is not None:  # plain tables: perhaps strings that stand for integers
            users, items = as_fitted(users, fitted.user), as_fitted(items, fitted.item)

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


def open_folder(folder: Path, how: Reading) -> Source:
    """Read a folder of data, in a layout of :mod:`minitower.data.layouts`.

    Raises:
        DataError: the layout is unknown, or something in it is wrong; names the place.
    """
    raw = read_folder(folder, how)
    rule, remarks = positive_rule(raw.interactions, how.positive), list(raw.remarks)
    if how.positive is None:
        which = "all interactions" if rule == "all" else f"where {rule}"
        remarks.append(f"positives: {which} (use --positive RULE to change that)")
    data = Dataset.from_raw(raw, positive=rule)
    for side, listed, table in (("users", raw.users, data.users), ("items", raw.items, data.items)):
        if listed is not None and len(table) > len(listed):
            where = Path(listed.place.table).name
            absent = len(table) - len(listed)
            remarks.append(f"{side}: {absent:,} of the interactions have no row in {where}")
    remarks.append(describe_split(data))
    if raw.roles is not None:
        how = dataclasses.replace(how, columns=vars(raw.roles))
    return Source(folder.resolve().name, raw, data, tuple(remarks), hashes(folder), how)


def describe_split(data: Dataset) -> str:
    """One sentence on the number of positives in each part, and on their last time."""
    parts = []
    for name in ("train", "valid", "test"):
        part = data.split(name)
        size = f"{name} {len(part):,}"
        if len(part) and part.timestamps is not None:
            last = datetime.fromtimestamp(float(part.timestamps.max()), UTC)
            size += f" (until {last:%Y-%m-%d %H:%M})"
        parts.append(size)
    return "split: " + ", ".join(parts)
