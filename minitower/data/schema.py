"""The schema: which columns of users and items are features, and of which kind. Chapter 3.

A schema has not seen any data. :mod:`minitower.data.feature_encoder` fits it to training rows.

Ids, categories and values of sets are integers of 64 bits or strings of at most 256 characters.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from minitower.data.errors import DataError

Pool = Literal["mean", "sum"]
Transform = Literal["none", "log1p", "standardise", "bucketise"]

HISTORY = "history"
"""The column of users that holds their latest clicks, for a model that reads it."""


@dataclass(frozen=True)
class Id:
    """The key of a user or an item, with an embedding of its own.

    Args:
        name: the column.
        dim: width of the embedding; None lets the tower choose.
        default_rate: probability, in [0, 1), that training replaces the value by the
            default row 0. So row 0 learns to stand for unknown ids. None means 0.01 where
            the side has other features, else 0.
        embed: False keeps the id as the key but hides it from the tower.
    """

    kind: ClassVar[str] = "id"
    name: str
    dim: int | None = None
    default_rate: float | None = None
    embed: bool = True

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True)
class Categorical:
    """One value of a vocabulary, an integer or a string. Missing and unknown: row 0.

    Args:
        name, dim: as in :class:`Id`.
        default_rate: as in :class:`Id`; 0 by default.
    """

    kind: ClassVar[str] = "categorical"
    name: str
    dim: int | None = None
    default_rate: float = 0.0

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True)
class MultiValued:
    """Any number of values out of a vocabulary, their embeddings pooled.

    A cell is a list (or set, tuple, array) of values, or one string that the separator
    splits. Values that training has not seen are dropped; an empty set is the default row 0.
    A value that occurs twice counts twice.

    Args:
        name, dim: as in :class:`Id`.
        pool: the mean or the sum of the embeddings.
        default_rate: probability that training replaces the whole set by [row 0].
        separator: splits strings; a space stands for any run of white space.
    """

    kind: ClassVar[str] = "multi_valued"
    name: str
    dim: int | None = None
    pool: Pool = "mean"
    default_rate: float = 0.0
    separator: str = " "

    def __post_init__(self) -> None:
        _check(self)
        if self.pool not in ("mean", "sum"):
            raise DataError(f"field '{self.name}': pool must be mean or sum, got {self.pool!r}")
        if not isinstance(self.separator, str) or not self.separator:
            raise DataError(
                f"field '{self.name}': separator must be a non-empty string, got {self.separator!r}"
            )


MOST_BUCKETS = 2**16


@dataclass(frozen=True)
class Continuous:
    """A number.

    Args:
        name: the column.
        transform: with statistics of the training rows:
            "none": x itself;
            "standardise": (x - mean) / standard deviation;
            "log1p": log(1 + x), for long tails, x > -1; then standardized;
            "bucketise": the quantile that x falls into, with an embedding.
        buckets: quantiles asked for, 2 to 65,536; equal quantiles become one ("bucketise").
        dim: width of the embedding ("bucketise").
        impute: True replaces missing values by the training mean ("bucketise": by row 0);
            False makes them an error.
        default_rate: probability that training replaces the value by the training mean
            ("bucketise": by row 0).
    """

    kind: ClassVar[str] = "continuous"
    name: str
    transform: Transform = "none"
    buckets: int = 10
    dim: int | None = None
    impute: bool = False
    default_rate: float = 0.0

    def __post_init__(self) -> None:
        _check(self)
        if self.transform not in ("none", "log1p", "standardise", "bucketise"):
            raise DataError(
                f"field '{self.name}': transform must be none, log1p, standardise or bucketise, "
                f"got {self.transform!r}"
            )
        if not _is_integer(self.buckets, 2) or self.buckets > MOST_BUCKETS:
            raise DataError(
                f"field '{self.name}': buckets must be an integer from 2 to {MOST_BUCKETS:,}, "
                f"got {self.buckets!r}"
            )


Field = Id | Categorical | MultiValued | Continuous
_KINDS: dict[str, type[Field]] = {
    cls.kind: cls for cls in (Id, Categorical, MultiValued, Continuous)
}


def _check(field: Any) -> None:
    if not isinstance(field.name, str) or not field.name:
        raise DataError(f"a field's name must be a non-empty string, got {field.name!r}")
    if field.dim is not None and not _is_integer(field.dim, 1):
        raise DataError(f"field '{field.name}': dim must be a positive integer, got {field.dim!r}")
    for option in ("embed", "impute"):
        value = getattr(field, option, False)
        if not isinstance(value, bool):
            raise DataError(f"field '{field.name}': {option} must be true or false, got {value!r}")
    rate = field.default_rate
    if rate is not None and not (
        isinstance(rate, int | float) and not isinstance(rate, bool) and 0 <= rate < 1
    ):
        raise DataError(f"field '{field.name}': default_rate must be in [0, 1), got {rate!r}")


def _is_integer(value: Any, least: int) -> bool:
    """Whether it is an int of at least `least`, and no boolean."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


class Schema:
    """The fields of both sides, exactly one Id on each.

    Raises:
        DataError: a side has no Id or several, one name occurs twice, or both have one Id.

    >>> schema = Schema(user=[Id("user_id")], item=[Id("item_id"), MultiValued("genres")])
    >>> schema.item_id.name
    'item_id'
    """

    def __init__(self, user: Sequence[Field], item: Sequence[Field]) -> None:
        self.user = tuple(user)
        self.item = tuple(item)
        self.user_id = _only_id("user", self.user)
        self.item_id = _only_id("item", self.item)
        if self.user_id.name == self.item_id.name:
            raise DataError(f"users and items have one id, '{self.user_id.name}'; rename a column")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schema) and (self.user, self.item) == (other.user, other.item)

    def __hash__(self) -> int:
        return hash((self.user, self.item))

    def __repr__(self) -> str:
        return f"Schema(user={list(self.user)}, item={list(self.item)})"


def field_to_json(field: Field) -> dict[str, Any]:
    """A field as a plain dict."""
    return {"kind": field.kind, **dataclasses.asdict(field)}


def field_from_json(state: dict[str, Any]) -> Field:
    """The field that :func:`field_to_json` wrote."""
    options = dict(state)
    kind = options.pop("kind", None)
    if not isinstance(kind, str) or kind not in _KINDS:
        raise DataError(f"a field of unknown kind {kind!r}; known: {', '.join(_KINDS)}")
    try:
        return _KINDS[kind](**options)
    except TypeError as error:
        raise DataError(f"a field of kind '{kind}': {error}") from None


def _only_id(side: str, fields: tuple[Field, ...]) -> Id:
    for field in fields:
        if not isinstance(field, Field):
            raise DataError(f"{side} side: {field!r} is not a field such as Id or Categorical")
    names = [field.name for field in fields]
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"{side} side: the field '{name}' occurs twice")
    ids = [field for field in fields if isinstance(field, Id)]
    if len(ids) != 1:
        raise DataError(f"{side} side: there must be exactly one Id, got {len(ids)}")
    return ids[0]
