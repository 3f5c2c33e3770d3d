"""How one column becomes numbers a tower can read, with statistics of training rows.

Every encoder is fitted to the training rows of its column, encodes any column, and knows
its default: what stands in for a value that is unknown, missing or masked.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minitower.data.columns import numbers, scalars, sets
from minitower.data.errors import DataError, Place, listed
from minitower.data.ragged import Ragged
from minitower.data.schema import Categorical, Continuous, Field, Id, MultiValued
from minitower.data.table import Feature
from minitower.data.vocabulary import Vocabulary
from minitower.formulas.arrays import Array

State = tuple[dict[str, Any], dict[str, Array]]


@dataclass(frozen=True, eq=False)
class RowEncoder:
    """Id and Categorical: the value's row, int32."""

    default: ClassVar[int] = 0
    field: Id | Categorical
    vocabulary: Vocabulary

    @staticmethod
    def fit(field: Id | Categorical, column: Array, training: Array, place: Place) -> "RowEncoder":
        """The vocabulary of the training rows (a mask)."""
        values, missing = scalars(column, place)
        return RowEncoder(field, Vocabulary.fit(values[training & ~missing], place))

    def grown(self, column: Array, place: Place) -> "RowEncoder":
        """With rows for the values of a column that have none."""
        values, missing = scalars(column, place)
        return RowEncoder(self.field, self.vocabulary.grown(values[~missing], place))

    @property
    def cardinality(self) -> int:
        """Rows of the embedding table, the default row included."""
        return len(self.vocabulary)

    def encode(self, column: Array, place: Place) -> Feature:
        """One row per value."""
        return self.vocabulary.encode(column, place)

    def to_state(self) -> State:
        """What is needed to build this encoder again, beside its field."""
        return {}, {"vocabulary": self.vocabulary.values}


@dataclass(frozen=True, eq=False)
class SetEncoder:
    """MultiValued: the rows of the known values; [0] where there is none."""

    default: ClassVar[int] = 0
    field: MultiValued
    vocabulary: Vocabulary

    @staticmethod
    def fit(field: MultiValued, column: Array, training: Array, place: Place) -> "SetEncoder":
        """The vocabulary of all values in the training rows (a mask)."""
        counts, members, place = sets(column, field.separator, place)
        values, missing = scalars(members, place)
        return SetEncoder(
            field, Vocabulary.fit(values[np.repeat(training, counts) & ~missing], place)
        )

    def grown(self, column: Array, place: Place) -> "SetEncoder":
        """With rows for the values of a column that have none."""
        _, members, place = sets(column, self.field.separator, place)
        values, missing = scalars(members, place)
        return SetEncoder(self.field, self.vocabulary.grown(values[~missing], place))

    @property
    def cardinality(self) -> int:
        """Rows of the embedding table, the default row included."""
        return len(self.vocabulary)

    def encode(self, column: Array, place: Place) -> Feature:
        """One set per value; a set without a known value is [0]."""
        counts, members, place = sets(column, self.field.separator, place)
        rows = self.vocabulary.encode(members, place)
        owner = np.repeat(np.arange(len(counts)), counts)
        known = np.bincount(owner[rows > 0], minlength=len(counts))
        filled = Ragged.from_counts(known, rows[rows > 0])
        return filled.replace(known == 0, 0)

    def to_state(self) -> State:
        """What is needed to build this encoder again, beside its field."""
        return {}, {"vocabulary": self.vocabulary.values}


@dataclass(frozen=True, eq=False)
class NumberEncoder:
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
        # What rounding leaves of a constant column is not a spread.
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
        if not np.isfinite(feature).all():
            raise place.error("too far from the training rows", int(np.isinf(feature).argmax()))
        return feature

    def to_state(self) -> State:
        """What is needed to build this encoder again, beside its field."""
        return {"shift": self.shift, "scale": self.scale, "default": self.default}, {}


@dataclass(frozen=True, eq=False)
class BucketEncoder:
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
        """What is needed to build this encoder again, beside its field."""
        return {}, {"edges": self.edges}


FieldEncoder = RowEncoder | SetEncoder | NumberEncoder | BucketEncoder


def fit_field(field: Field, column: Array, training: Array, place: Place) -> FieldEncoder:
    """The encoder of a field, fitted to the rows of the column where training holds."""
    if isinstance(field, Id | Categorical):
        return RowEncoder.fit(field, column, training, place)
    if isinstance(field, MultiValued):
        return SetEncoder.fit(field, column, training, place)
    if field.transform == "bucketise":
        return BucketEncoder.fit(field, column, training, place)
    return NumberEncoder.fit(field, column, training, place)


def restore_field(field: Field, state: dict[str, Any], arrays: dict[str, Array]) -> FieldEncoder:
    """The encoder whose to_state() this is.

    Raises:
        DataError: the state is of another kind of field.
    """
    try:
        return _restored(field, state, arrays)
    except (KeyError, TypeError) as error:
        raise DataError(
            f"the fitted state of field '{field.name}' is incomplete: {error}"
        ) from None


def _restored(field: Field, state: dict[str, Any], arrays: dict[str, Array]) -> FieldEncoder:
    if isinstance(field, Id | Categorical):
        return RowEncoder(field, Vocabulary(arrays["vocabulary"]))
    if isinstance(field, MultiValued):
        return SetEncoder(field, Vocabulary(arrays["vocabulary"]))
    if field.transform == "bucketise":
        return BucketEncoder(field, arrays["edges"])
    return NumberEncoder(field, **state)


def _missing(field: Continuous, x: Array, place: Place) -> Array:
    missing = np.isnan(x)
    if missing.any() and not field.impute:
        raise place.error(f"missing value; {how_to_impute(field)}", int(missing.argmax()))
    return missing


def how_to_impute(field: Continuous) -> str:
    """What replaces missing values of a field, in Python and on the command line."""
    name = listed([field.name])
    override = f'{name}={{kind="continuous", transform="{field.transform}", impute=true}}'
    return (
        f"impute replaces it by the training mean: Continuous('{name}', impute=True), or "
        f"--override '{override}' for atomic files"
    )


def _transformed(field: Continuous, x: Array, place: Place) -> Array:
    if field.transform != "log1p":
        return x
    if (x <= -1).any():
        row = int((x <= -1).argmax())
        raise place.error(f"log1p needs a value above -1, got {x[row]:g}", row)
    return np.log1p(x)
