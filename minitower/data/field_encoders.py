"""How one column becomes numbers that a tower can read. Chapter 3.

Each kind of field has one encoder, which :func:`encoder_of` names. It is fitted to the training
rows of its column and encodes any column. Its default stands for a value that is unknown,
missing or masked.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from minitower.data.columns import numbers, scalars, sets
from minitower.data.errors import DataError, Place, listed
from minitower.data.schema import Categorical, Continuous, Field, Id, MultiValued
from minitower.data.table import Feature, Ragged, Vocabulary
from minitower.formulas.arrays import Array

State = tuple[dict[str, Any], dict[str, Array]]


@dataclass(frozen=True, eq=False)
class RowEncoder:
    """Id and Categorical: the embedding row of the value, int32."""

    default: ClassVar[int] = 0
    field: Id | Categorical | MultiValued
    vocabulary: Vocabulary

    @classmethod
    def fit(cls, field: Any, column: Array, training: Array, place: Place) -> Self:
        """The vocabulary of the training rows (a mask)."""
        counts, members, place = cls._members(field, column, place)
        values, missing = scalars(members, place)
        known = values[np.repeat(training, counts) & ~missing]
        return cls(field, Vocabulary.fit(known, place))

    def extended(self, column: Array, place: Place) -> Self:
        """Append rows for the values of a column that have no row."""
        _, members, place = self._members(self.field, column, place)
        return type(self)(self.field, self.vocabulary.extended(members, place))

    @property
    def cardinality(self) -> int:
        """Rows of the embedding table, the default row included."""
        return len(self.vocabulary)

    def encode(self, column: Array, place: Place) -> Feature:
        """One row per value."""
        return self.vocabulary.encode(column, place)

    def to_state(self) -> State:
        """JSON and arrays that :meth:`from_state` reads back."""
        return {}, {"vocabulary": self.vocabulary.values}

    @classmethod
    def from_state(cls, field: Any, state: dict[str, Any], arrays: dict[str, Array]) -> Self:
        """The encoder that :meth:`to_state` wrote."""
        return cls(field, Vocabulary(arrays["vocabulary"]))

    @staticmethod
    def _members(field: Any, column: Array, place: Place) -> tuple[Array, Array, Place]:
        """The number of values in each row, all values, and their place."""
        return np.ones(len(column), np.int64), column, place


class SetEncoder(RowEncoder):
    """MultiValued: the rows of the known values; [0] for a set without a known value."""

    def encode(self, column: Array, place: Place) -> Feature:
        """One set per value."""
        counts, members, place = self._members(self.field, column, place)
        rows = self.vocabulary.encode(members, place)
        owner = np.repeat(np.arange(len(counts)), counts)
        known = np.bincount(owner[rows > 0], minlength=len(counts))
        filled = Ragged.from_counts(known, rows[rows > 0])
        return filled.replace(known == 0, 0)

    @staticmethod
    def _members(field: Any, column: Array, place: Place) -> tuple[Array, Array, Place]:
        return sets(column, field.separator, place)


class _Statistics:
    """What encoders of numbers share: statistics of the training rows, which stay as fitted."""

    @classmethod
    def from_state(cls, field: Any, state: dict[str, Any], arrays: dict[str, Array]) -> Self:
        """The encoder that `to_state` wrote."""
        return cls(field, **state, **arrays)  # type: ignore[call-arg]

    def extended(self, column: Array, place: Place) -> Self:
        """Itself: the tower has learned with these statistics."""
        return self


@dataclass(frozen=True, eq=False)
class NumberEncoder(_Statistics):
    """Continuous without buckets: (t(x) - shift) / scale as float32, t the log or nothing.

    Args:
        default: training mean of the encoded value.
    """

    field: Continuous
    shift: float
    scale: float
    default: float

    @staticmethod
    def fit(field: Continuous, column: Array, training: Array, place: Place) -> "NumberEncoder":
        """Mean and standard deviation of the training rows (a mask) that have a value."""
        x = numbers(column, place)
        x = _transformed(field, x, place)[training & ~np.isnan(x)]
        mean = float(x.mean()) if len(x) else 0.0
        if field.transform == "none":
            return NumberEncoder(field, 0.0, 1.0, mean)
        spread = float(x.std()) if len(x) else 0.0
        # A constant column has a tiny spread by rounding alone.
        scale = spread if spread > 1e-12 * abs(mean) else 1.0
        return NumberEncoder(field, mean, scale, 0.0)

    @property
    def cardinality(self) -> int:
        """A number has no embedding table."""
        raise DataError(f"field '{self.field.name}' is a number and has no embedding table")

    def encode(self, column: Array, place: Place) -> Feature:
        """One float32 per value."""
        x = numbers(column, place)
        missing = _missing(self.field, x, place)
        z = (_transformed(self.field, x, place) - self.shift) / self.scale
        with np.errstate(over="ignore"):
            feature = np.where(missing, self.default, z).astype(np.float32)
        place.refuse(~np.isfinite(feature), "too far from the training rows")
        return feature

    def to_state(self) -> State:
        """JSON and arrays that :meth:`from_state` reads back."""
        return {"shift": self.shift, "scale": self.scale, "default": self.default}, {}


@dataclass(frozen=True, eq=False)
class BucketEncoder(_Statistics):
    """Continuous in buckets: row r holds edges[r - 2] <= x < edges[r - 1], int32.

    Args:
        edges: ascending training values; every bucket holds at least one training row.
    """

    default: ClassVar[int] = 0
    field: Continuous
    edges: Array

    @staticmethod
    def fit(field: Continuous, column: Array, training: Array, place: Place) -> "BucketEncoder":
        """Quantiles of the training rows (a mask) that have a value."""
        x = numbers(column, place)
        x = x[training & ~np.isnan(x)]
        if not len(x):
            return BucketEncoder(field, np.empty(0))
        at = np.arange(1, field.buckets) / field.buckets
        # An edge that is a training value makes the bucket above it non-empty.
        edges = np.unique(np.quantile(x, at, method="inverted_cdf"))
        return BucketEncoder(field, edges[edges > x.min()])

    @property
    def cardinality(self) -> int:
        """Rows of the embedding table, the default row included."""
        return len(self.edges) + 2

    def encode(self, column: Array, place: Place) -> Feature:
        """One row per value, 0 where it is missing."""
        x = numbers(column, place)
        missing = _missing(self.field, x, place)
        bucket = 1 + np.searchsorted(self.edges, x, side="right")
        return np.where(missing, 0, bucket).astype(np.int32)

    def to_state(self) -> State:
        """JSON and arrays that :meth:`from_state` reads back."""
        return {}, {"edges": self.edges}


FieldEncoder = RowEncoder | NumberEncoder | BucketEncoder


def encoder_of(field: Field) -> type[FieldEncoder]:
    """The encoder of a kind of field."""
    if isinstance(field, Id | Categorical):
        return RowEncoder
    if isinstance(field, MultiValued):
        return SetEncoder
    return BucketEncoder if field.transform == "bucketise" else NumberEncoder


def fit_field(field: Field, column: Array, training: Array, place: Place) -> FieldEncoder:
    """The encoder of a field, fitted to the training rows (a mask) of its column."""
    return encoder_of(field).fit(field, column, training, place)  # type: ignore[arg-type]


def restore_field(field: Field, state: dict[str, Any], arrays: dict[str, Array]) -> FieldEncoder:
    """The encoder of a field with a fitted state.

    Raises:
        DataError: the state belongs to another kind of field.
    """
    try:
        return encoder_of(field).from_state(field, state, arrays)
    except (KeyError, TypeError) as error:
        raise DataError(
            f"the fitted state of field '{field.name}' is incomplete: {error}"
        ) from None


def _missing(field: Continuous, x: Array, place: Place) -> Array:
    missing = np.isnan(x)
    if not field.impute:
        place.refuse(missing, f"missing value; give one; {how_to_impute(field)}")
    return missing


def how_to_impute(field: Continuous) -> str:
    """How to train a model that takes missing values of a field, in Python and by command."""
    name = listed([field.name])
    override = f'{name}={{kind="continuous", transform="{field.transform}", impute=true}}'
    return (
        f"a model trained with Continuous('{name}', impute=True), or by minitower train "
        f"--override '{override}', takes the training mean instead"
    )


def _transformed(field: Continuous, x: Array, place: Place) -> Array:
    if field.transform != "log1p":
        return x
    place.refuse(x <= -1, lambda row: f"log1p needs a value above -1, got {x[row]:g}")
    return np.log1p(x)
