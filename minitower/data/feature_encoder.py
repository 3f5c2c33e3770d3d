"""Encode the columns of users and items as features that a tower reads. Chapter 3.

Each side (users, or items) has one encoder, fitted to the entities that occur in training.
A feature is an array of int32 rows of an embedding table, a :class:`Ragged` of such rows for a
set, or float32 numbers. Row 0 of every embedding table is the default.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minitower.data.columns import Columns
from minitower.data.errors import DataError, Place, listed, show
from minitower.data.field_encoders import (
    FieldEncoder,
    NumberEncoder,
    RowEncoder,
    State,
    fit_field,
    how_to_impute,
    restore_field,
)
from minitower.data.schema import (
    HISTORY,
    Continuous,
    Field,
    Id,
    Schema,
    field_from_json,
    field_to_json,
)
from minitower.data.table import Feature, Features, Ragged, Table, Vocabulary
from minitower.formulas.arrays import Array

ID_DEFAULT_RATE = 0.01


class FeatureEncoder:
    """The fitted fields of one side.

    Args:
        side: "user" or "item".
        encoders: one per field, the Id among them.
    """

    def __init__(self, side: str, encoders: list[FieldEncoder]) -> None:
        self.side = side
        self.fields: tuple[Field, ...] = tuple(encoder.field for encoder in encoders)
        self._encoders = {encoder.field.name: encoder for encoder in encoders}

    @staticmethod
    def fit(
        side: str, fields: tuple[Field, ...], columns: Columns, ids: Array, training: Array
    ) -> "FeatureEncoder":
        """Fit every field to the entities that occur in training.

        Args:
            side: "user" or "item".
            fields: the fields of this side.
            columns: of the first len(columns) entities.
            ids: of all entities.
            training: (n,) bool, whether an entity has a positive in training.
        """
        encoders = []
        for field in fields:
            column, rows = ids, training
            if not isinstance(field, Id):
                column, rows = columns[field.name], training[: len(columns)]
            encoders.append(fit_field(field, column, rows, columns.at(field.name)))
        return FeatureEncoder(side, encoders)

    def extended(self, columns: Columns, ids: Array) -> "FeatureEncoder":
        """Append rows for the ids and values that have no row.

        Existing rows keep their numbers. Means, deviations and edges of buckets stay as
        fitted, because the tower has learned with them.

        Args:
            columns: of new or changed entities.
            ids: of entities.
        """
        encoders = []
        for name, encoder in self._encoders.items():
            column = ids if isinstance(encoder.field, Id) else columns[name]
            encoders.append(encoder.extended(column, columns.at(name)))
        return FeatureEncoder(self.side, encoders)

    @property
    def id_name(self) -> str:
        """The name of the column of ids."""
        return next(field.name for field in self.fields if isinstance(field, Id))

    @property
    def inputs(self) -> tuple[Field, ...]:
        """The fields that a tower reads: all but an Id with embed=False."""
        return tuple(f for f in self.fields if not (isinstance(f, Id) and not f.embed))

    def cardinality(self, name: str) -> int:
        """Rows of a field's embedding table, the default row included."""
        return self._encoders[name].cardinality

    def is_embedded(self, name: str) -> bool:
        """Whether the tower looks the field up in an embedding table."""
        encoder = self._encoders[name]
        hidden = isinstance(encoder.field, Id) and not encoder.field.embed
        return not hidden and not isinstance(encoder, NumberEncoder)

    def vocabulary(self, name: str) -> Vocabulary:
        """The known values of a field that is an Id, Categorical or MultiValued."""
        encoder = self._encoders[name]
        if isinstance(encoder, RowEncoder):
            return encoder.vocabulary
        raise DataError(f"field '{name}' is a number and has no vocabulary")

    def encode(self, columns: Columns, ids: Array, names: Array | None = None) -> Table:
        """Encode all entities of a side.

        Args:
            columns: of the first len(columns) entities. The others have missing values.
            ids: of all entities.
            names: of all entities, or None.

        Raises:
            DataError: a column is missing, or a value cannot be read.
        """
        unlisted = len(ids) - len(columns)
        features: Features = {}
        for name, encoder in self._encoders.items():
            place = columns.at(name)
            if isinstance(encoder.field, Id):
                features[name] = encoder.encode(ids, place)
                continue
            feature = encoder.encode(columns[name], place)
            if unlisted:
                if isinstance(encoder.field, Continuous) and not encoder.field.impute:
                    raise place.error(
                        f"{self.side} {show(ids[len(columns)])} has interactions but no row here; "
                        f"list it, with its number; {how_to_impute(encoder.field)}"
                    )
                feature = _append_default(feature, encoder, unlisted)
            features[name] = feature
        return Table(ids, features, names)

    def encode_profile(self, profile: Mapping[str, Any]) -> Features:
        """Encode one entity from a dict of values: features of one row.

        An absent key gives the default of the field (a number: the training mean). The value
        None is a missing value, as in a table.

        Raises:
            DataError: a key is not a field, or a value cannot be read.
        """
        features = self.default_features(1)
        for name, value in profile.items():
            if name not in self._encoders:
                known = listed(self._encoders)
                raise DataError(f"profile: unknown field '{name}'; fields: {known}")
            place = Place("profile", name, single=True)
            features[name] = self._encoders[name].encode(np.fromiter([value], object, 1), place)
        return features

    def default_features(self, n: int) -> Features:
        """Features of n unknown entities."""
        nothing = np.empty(0, object)
        return {
            name: _append_default(encoder.encode(nothing, Place("default", name)), encoder, n)
            for name, encoder in self._encoders.items()
        }

    def default_rates(self, *, history: bool = False) -> dict[str, float]:
        """The probability that training replaces each field by its default.

        Args:
            history: whether the tower reads the user's history as well.
        """
        undecided = ID_DEFAULT_RATE if len(self.inputs) + history > 1 else 0.0
        rates = {HISTORY: ID_DEFAULT_RATE} if history else {}
        for field in self.fields:
            rate = undecided if field.default_rate is None else field.default_rate
            rates[field.name] = rate if field in self.inputs else 0.0
        return rates

    def replace_by_default(self, features: Features, rng: np.random.Generator) -> Features:
        """Replace each value by its default with the default rate of its field.

        A set becomes [0] as a whole. The input is not changed; untouched arrays are shared.
        """
        masks = {}
        history = HISTORY in features and HISTORY not in self._encoders
        for name, rate in self.default_rates(history=history).items():
            if rate > 0:
                mask = rng.random(len(features[name])) < rate
                if mask.any():
                    masks[name] = mask
        return self.mask(features, masks)

    def mask(self, features: Features, masks: Mapping[str, Array]) -> Features:
        """Replace values by their field's default where a mask (n,) bool holds."""
        masked = dict(features)
        for name, mask in masks.items():
            feature = features[name]
            if isinstance(feature, Ragged):
                masked[name] = feature.replace(mask, 0)
            else:
                default = feature.dtype.type(self._encoders[name].default)
                masked[name] = np.where(mask, default, feature)
        return masked

    def to_state(self) -> State:
        """JSON and arrays that :meth:`from_state` reads back."""
        fields: list[dict[str, Any]] = []
        arrays: dict[str, Array] = {}
        for name, encoder in self._encoders.items():
            fitted, own = encoder.to_state()
            fields.append({"field": field_to_json(encoder.field), "fitted": fitted})
            arrays |= {f"{self.side}.{key}.{name}": array for key, array in own.items()}
        return {"side": self.side, "fields": fields}, arrays

    @staticmethod
    def from_state(state: dict[str, Any], arrays: Mapping[str, Array]) -> "FeatureEncoder":
        """The encoder that :meth:`to_state` wrote."""
        encoders = []
        parts = {tuple(name.split(".", 2)): array for name, array in arrays.items()}
        for entry in state["fields"]:
            field = field_from_json(entry["field"])
            own = {p[1]: a for p, a in parts.items() if p[::2] == (state["side"], field.name)}
            encoders.append(restore_field(field, entry["fitted"], own))
        return FeatureEncoder(state["side"], encoders)


@dataclass(frozen=True, eq=False)
class FeatureEncoders:
    """The fitted encoders of both sides. A model is built on them and saved with them."""

    user: FeatureEncoder
    item: FeatureEncoder

    @property
    def schema(self) -> Schema:
        """The schema that was fitted."""
        return Schema(self.user.fields, self.item.fields)

    def continues(self, earlier: "FeatureEncoders") -> bool:
        """Whether all rows of an earlier schema stand for the same values here."""
        (ours, now), (theirs, then) = self.to_state(), earlier.to_state()
        return ours == theirs and all(
            np.array_equal(now[name][: len(values)], values) for name, values in then.items()
        )

    def to_state(self) -> State:
        """JSON and arrays that :meth:`from_state` reads back."""
        (user, of_user), (item, of_item) = self.user.to_state(), self.item.to_state()
        return {"user": user, "item": item}, of_user | of_item

    @staticmethod
    def from_state(state: dict[str, Any], arrays: Mapping[str, Array]) -> "FeatureEncoders":
        """The fitted schema that :meth:`to_state` wrote."""
        return FeatureEncoders(
            FeatureEncoder.from_state(state["user"], arrays),
            FeatureEncoder.from_state(state["item"], arrays),
        )


def _append_default(feature: Feature, encoder: FieldEncoder, times: int) -> Feature:
    if isinstance(feature, Ragged):
        counts = np.append(feature.counts, np.ones(times, np.int64))
        return Ragged.from_counts(counts, np.append(feature.values, np.zeros(times, np.int32)))
    return np.append(feature, np.full(times, encoder.default, feature.dtype))
