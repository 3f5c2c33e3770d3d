"""Views of encoded items: the masks of :mod:`minitower.formulas.augmentation`, on a batch.

A view has new arrays for the fields that it changes, and shares all others with the batch.

Chapters 11 and 12.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from minitower.data import Dataset, FeatureEncoder, Features, Ragged
from minitower.data.value_counts import (
    ValueCounts,
    compared_fields,
    compared_values,
    needs_edges,
    quantile_edges,
)
from minitower.formulas.arrays import Floats, Mask
from minitower.formulas.augmentation import drop_values
from minitower.formulas.mutual_information import mutual_information


def pairwise_mutual_information(
    data: Dataset, by: Literal["items", "clicks"] = "items"
) -> tuple[list[str], Floats]:
    """The mutual information of every pair of an item's fields, over the catalogue.

    The id is left out, because it determines all other fields. Values are those that the tower
    reads: all values unseen in training are one value, the default. A number counts by its
    buckets. A field that does not bucketise its number gets quantile buckets of the catalogue
    here: as many as its ``buckets``, 10 by default.

    Args:
        by: count every item once, or as often as it is clicked in training.

    Returns:
        The names of k fields, and (k,k) as :func:`mutual_information` returns it, with NaN for a
        field in which no two items share a value.
    """
    fields = compared_fields(data.schema.item.inputs)
    features = data.items.columns
    edges = {
        field.name: quantile_edges(ValueCounts.of(np.asarray(features[field.name])), field)
        for field in fields
        if needs_edges(field)
    }
    columns = [compared_values(features, field, edges.get(field.name)) for field in fields]
    weights = data.item_counts if by == "clicks" else None
    matrix = mutual_information(columns, weights=weights) if fields else np.empty((0, 0))
    return [f.name for f in fields], matrix


def hide(encoder: FeatureEncoder, features: Features, names: Sequence[str], mask: Mask) -> Features:
    """Hide fields of some items: a hidden value becomes the default value.

    The default is embedding row 0, the set {row 0}, or the mean of a number in training.

    Shapes: n rows of features,(k),(n,k)->n rows of features
    Args:
        names: the field of each column of the mask.
    """
    hidden = {name: column for name, column in zip(names, mask.T, strict=True) if column.any()}
    return encoder.mask(features, hidden)


def drop(features: Features, rate: float, rng: np.random.Generator) -> Features:
    """Drop a share of the values of every multi-valued field; at least one of each row stays."""
    return {
        name: Ragged(*drop_values(rng, feature.indptr, feature.values, rate))
        if isinstance(feature, Ragged)
        else feature
        for name, feature in features.items()
    }
