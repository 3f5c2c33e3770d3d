"""MovieLens-100K and MovieLens-1M in the layouts GroupLens ships. Chapter 3.

100K: u.data (tabs), u.item and u.user (bars), optional u.genre. 1M: ratings.dat,
movies.dat and users.dat (two colons). All are Latin-1; ids are integers.

Users: age (100K: standardized years; 1M: code), gender, occupation. Items: genres, year.
Zip codes, release days and addresses are left out.

Reference: the README files of both data sets, grouplens.org/datasets/movielens.
"""

import re
from pathlib import Path

import numpy as np

from minitower.data.atomic_files import read_text, split_fields
from minitower.data.columns import Columns, numbers
from minitower.data.errors import DataError, Place
from minitower.data.log import RawData
from minitower.data.schema import Categorical, Continuous, Field, Id, MultiValued, Schema
from minitower.formulas.arrays import Array

_GENRES = (  # in the order of the flags of u.item
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime"),
    *("Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery"),
    *("Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
_YEAR = re.compile(r"\((\d{4})\)\s*$")


def read(folder: str | Path) -> RawData:
    """Read whichever of the two the folder holds.

    Raises:
        DataError: it holds neither, or a line that cannot be read (file and line named).
    """
    folder = Path(folder)
    if (folder / "u.data").exists():
        return _read_100k(folder)
    if (folder / "ratings.dat").exists():
        return _read_1m(folder)
    raise DataError(f"{folder}: found neither u.data (MovieLens-100K) nor ratings.dat (1M)")


def _read_100k(folder: Path) -> RawData:
    users = _table(folder / "u.user", "|", ["user_id", "age", "gender", "occupation", "zip"])
    names = ["item_id", "title", "release", "video", "url", *_GENRES]
    items = _table(folder / "u.item", "|", names)
    flags = np.stack([items[genre] == "1" for genre in _GENRES], axis=1)
    genres = np.fromiter(
        ("|".join(g for g, on in zip(_GENRES, row) if on) for row in flags), object, len(items)
    )
    years = np.fromiter((day[-4:] for day in items["release"]), object, len(items))
    return _raw(
        _log(folder / "u.data", "\t"),
        users,
        Continuous("age", "standardise"),
        items,
        genres,
        years,
    )


def _read_1m(folder: Path) -> RawData:
    users = _table(folder / "users.dat", "::", ["user_id", "gender", "age", "occupation", "zip"])
    items = _table(folder / "movies.dat", "::", ["item_id", "title", "genres"])
    found = (_YEAR.search(title) for title in items["title"])
    years = np.fromiter((match[1] if match else "" for match in found), object, len(items))
    return _raw(
        _log(folder / "ratings.dat", "::"), users, Categorical("age"), items, items["genres"], years
    )


def _raw(
    log: Columns, users: Columns, age: Field, items: Columns, genres: Array, years: Array
) -> RawData:
    arrays = {
        "item_id": _integers(items, "item_id"),
        "title": items["title"],
        "genres": genres,
        "year": years,
    }
    schema = Schema(
        user=[Id("user_id"), age, Categorical("gender"), Categorical("occupation")],
        item=[Id("item_id"), MultiValued("genres", separator="|"), Categorical("year")],
    )
    users = users.updated({"user_id": _integers(users, "user_id")})
    return RawData(schema, log, users, Columns(arrays, items.place), "title")


def _log(path: Path, separator: str) -> Columns:
    log = _table(path, separator, ["user_id", "item_id", "rating", "timestamp"])
    return log.updated({name: _integers(log, name) for name in log.arrays})


def _integers(columns: Columns, name: str) -> Array:
    return numbers(columns[name], columns.at(name))


def _table(path: Path, separator: str, names: list[str]) -> Columns:
    place = Place(str(path), first_line=1)
    fields = split_fields(read_text(path, "latin-1"), separator, len(names), place)
    return Columns(dict(zip(names, fields)), place)
