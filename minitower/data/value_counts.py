"""Count the values of a column, and cut numbers into buckets to compare fields of an item.

The counts of the parts of a column add up.

Chapter 21.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minitower.data.errors import DataError
from minitower.data.schema import Continuous, Field, Id
from minitower.data.table import Features, Ragged, Vocabulary, string_array
from minitower.formulas.arrays import Array

Values = Array | tuple[Array, Array]


@dataclass(frozen=True, eq=False)
class ValueCounts:
    """Distinct values and how often each occurs.

    Args:
        values: (v,) ascending: numbers, or fixed-width strings.
        counts: (v,) int64, > 0.

    >>> clicks = ValueCounts.of(np.array([7, 9])) + ValueCounts.of(np.array([9, 8, 9]))
    >>> clicks
    ValueCounts(values=array([7, 8, 9]), counts=array([1, 1, 3]))
    >>> clicks.counts_of(np.array([9, 5]))
    array([3, 0])
    """

    values: Array
    counts: Array

    @staticmethod
    def of(values: Array) -> "ValueCounts":
        """The counts of one column; strings may be objects."""
        plain = string_array(values.tolist()) if values.dtype == object else values
        distinct, counts = np.unique(plain, return_counts=True)
        return ValueCounts(distinct, counts.astype(np.int64))

    def __add__(self, other: "ValueCounts") -> "ValueCounts":
        """The counts of both columns together.

        Raises:
            DataError: one holds strings and the other numbers.
        """
        if not len(self.values) or not len(other.values):
            return self if len(self.values) else other
        if (self.values.dtype.kind == "U") != (other.values.dtype.kind == "U"):
            one, two = self.values[0].item(), other.values[0].item()
            raise DataError(f"{one!r} and {two!r} in one column; make them one type")
        both = np.concatenate([self.values, other.values])
        distinct, at = np.unique(both, return_inverse=True)
        counts = np.zeros(len(distinct), np.int64)
        np.add.at(counts, at, np.concatenate([self.counts, other.counts]))
        return ValueCounts(distinct, counts)

    @property
    def shares(self) -> Array:
        """(v,) the share of each value in all counts."""
        shares: Array = self.counts / max(int(self.counts.sum()), 1)
        return shares

    def counts_of(self, values: Array) -> Array:
        """(n,) int64: the count of each value, 0 for an unknown one.

        Raises:
            DataError: the values are strings and the counted ones numbers, or the reverse.
        """
        counted: Array = np.append(0, self.counts)[Vocabulary(self.values).encode(values)]
        return counted


def compared_fields(fields: Sequence[Field]) -> list[Field]:
    """All fields but the id, which determines every other field."""
    return [field for field in fields if not isinstance(field, Id)]


def needs_edges(field: Field) -> bool:
    """Whether the field is a number without buckets."""
    return isinstance(field, Continuous) and field.transform != "bucketise"


def quantile_edges(counts: ValueCounts, field: Field) -> Array:
    """Cut a number at quantiles over all items, into at most ``buckets`` parts.

    Shapes: ->(<= buckets - 1)

    >>> prices = ValueCounts.of(np.array([1.0, 1.0, 5.0, 9.0]))
    >>> quantile_edges(prices, Continuous("price", buckets=4))
    array([1., 5.])
    """
    assert isinstance(field, Continuous)
    below = np.cumsum(counts.counts)  # integers, so that rounding moves no quantile
    at = np.searchsorted(below * field.buckets, np.arange(1, field.buckets) * below[-1])
    return np.unique(counts.values[at])


def compared_values(features: Features, field: Field, edges: Array | None = None) -> Values:
    """The values of one field, as :func:`~minitower.formulas.mutual_information.count_together`
    takes them.

    Args:
        features: of items.
        field: one of the :func:`compared_fields`.
        edges: of a field that :func:`needs_edges`.
    """
    feature = features[field.name]
    if isinstance(feature, Ragged):
        return feature.indptr, feature.values
    return feature if edges is None else np.searchsorted(edges, feature, side="right")
