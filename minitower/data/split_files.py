"""Published splits: `train.txt`, `test.txt` and perhaps `valid.txt`. Chapter 25.

A line is a user and the items of that user, integers between spaces:
`user item item item ...`. Features and times are missing.

Reference: the layout of LightGCN (He et al., SIGIR 2020) and its successors.
"""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from minitower.data.atomic_files import read_text
from minitower.data.columns import Columns
from minitower.data.errors import DataError, Place, show
from minitower.data.log import RawData
from minitower.data.schema import Id, Schema
from minitower.data.splits import GivenSplit
from minitower.formulas.arrays import Array

Paths = str | Path | Sequence[str | Path]


def read(
    folder: str | Path | None = None,
    *,
    train: Paths | None = None,
    valid: Paths | float | None = None,
    test: Paths | None = None,
    seed: int = 0,
) -> RawData:
    """Read a published split.

    Args:
        folder: holds train.txt, test.txt and perhaps valid.txt; or give the files.
        train, test: a file each, or several files to concatenate.
        valid: the same; or a share in (0, 1) of train, drawn at random; None is valid.txt
            of the folder if it exists, else no validation.
        seed: of the random share.

    Raises:
        DataError: names the file and line.
    """
    if folder is not None:
        if train is not None or test is not None:
            raise DataError(f"give a folder or the files, not both: {folder}")
        folder = Path(folder)
        train, test = folder / "train.txt", folder / "test.txt"
        given = folder / "valid.txt"
        if given.exists():
            if valid is not None:
                raise DataError(
                    f"{given} exists; to use another validation, name the files of "
                    "train and test instead of the folder"
                )
            valid = given
    if not train:
        raise DataError("split files: name a folder or the file of train")
    parts = {"train": train, "test": test}
    if not isinstance(valid, float | int):
        parts["valid"] = valid
    pairs = {part: _read_all(paths) for part, paths in parts.items() if paths}
    labels = np.repeat(list(pairs), [users.size for users, _ in pairs.values()])
    if isinstance(valid, float | int):
        if not 0 < valid < 1:
            raise DataError(f"split files: valid must be a share between 0 and 1, got {valid}")
        n = pairs["train"][0].size
        cut = np.random.default_rng(seed).choice(n, round(n * valid), replace=False)
        labels[cut] = "valid"  # train comes first
    arrays = {
        "user_id": np.concatenate([users for users, _ in pairs.values()]),
        "item_id": np.concatenate([items for _, items in pairs.values()]),
        "split": labels,
    }
    schema = Schema(user=[Id("user_id")], item=[Id("item_id")])
    return RawData(schema, Columns(arrays, Place("split files")), split=GivenSplit("split"))


def read_pairs(path: str | Path) -> tuple[Array, Array]:
    """The users and the items of one file, (n,) int64 each.

    Raises:
        DataError: a word is not an integer, or is negative; names the line.
    """
    path = Path(path)
    lines = [line.split() for line in read_text(path).split("\n")]
    counts = np.fromiter(map(len, lines), np.int64, len(lines))
    if not (counts.all() and _is_digits("".join(chain.from_iterable(lines)))):
        raise _bad_line(path, lines)
    try:
        flat = np.fromiter(map(int, chain.from_iterable(lines)), np.int64, int(counts.sum()))
    except (ValueError, OverflowError):  # more than 64 bits
        raise _bad_line(path, lines) from None
    is_user = np.zeros(len(flat), bool)
    is_user[np.cumsum(counts) - counts] = True
    return np.repeat(flat[is_user], counts - 1), flat[~is_user]


def _read_all(paths: Paths) -> tuple[Array, Array]:
    files = [paths] if isinstance(paths, str | Path) else list(paths)
    pairs = [read_pairs(file) for file in files]
    return np.concatenate([u for u, _ in pairs]), np.concatenate([i for _, i in pairs])


def _is_digits(text: str) -> bool:
    """Whether all characters are digits; int() would also accept "+1" and "1_0"."""
    return text.isascii() and text.isdigit()


def _bad_line(path: Path, lines: list[list[str]]) -> DataError:
    place = Place(str(path), first_line=1)
    for row, line in enumerate(lines):
        if not line:
            return place.error("the line is empty; expected: user item item ...", row)
        for word in line:
            if not _is_digits(word) or len(word) > 18:
                return place.error(
                    f"expected integers that are not negative, got {show(word)}", row
                )
    return place.error("cannot be read")
