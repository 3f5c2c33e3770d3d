"""The values by which fields of an item are compared; numbers are cut into buckets."""

from collections.abc import Sequence

import numpy as np

from minitower.data.ragged import Ragged
from minitower.data.schema import Continuous, Field, Id
from minitower.data.table import Features
from minitower.data.value_counts import ValueCounts
from minitower.formulas.arrays import Array

Values = Array | tuple[Array, Array]


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
