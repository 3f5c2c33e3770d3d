"""Views act on encoded batches: what is hidden, what is dropped, and what stays as it was."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import datasets

from minitower.data import Categorical, Continuous, Dataset, Id, MultiValued, RandomSplit, Schema
from minitower.data.table import Ragged
from minitower.formulas.mutual_information import mutual_information
from minitower.training.views import drop, hide, pairwise_mutual_information


def row_of(feature, i):
    return feature.row(i).tolist() if isinstance(feature, Ragged) else feature[i]


def frozen(features):
    """The same features in arrays that cannot be written to."""
    for feature in features.values():
        arrays = (feature.indptr, feature.values) if isinstance(feature, Ragged) else (feature,)
        for array in arrays:
            array.setflags(write=False)
    return features


@given(datasets(), st.integers(0, 99))
def test_hide__is_the_default_where_hidden_and_the_value_elsewhere(data, seed):
    """Of every kind of field; what is not hidden is shared, and nothing is written to."""
    encoder, items = data.schema.item, frozen(data.items.columns)
    names = [field.name for field in encoder.inputs]
    mask = np.random.default_rng(seed).random((len(data.items), len(names))) < 0.4
    view, unknown = hide(encoder, items, names, mask), encoder.default_features(1)
    assert list(view) == list(items)
    for f, name in enumerate(names):
        if not mask[:, f].any():
            assert view[name] is items[name]
        for i in range(len(data.items)):
            expected = row_of(unknown[name], 0) if mask[i, f] else row_of(items[name], i)
            assert row_of(view[name], i) == expected


def test_hide__a_number_reads_as_the_mean_of_training_and_a_set_as_the_default_row():
    data = shop()
    view = hide(data.schema.item, data.items.columns, ["price", "tags"], np.ones((4, 2), bool))
    assert view["price"].dtype == np.float32
    assert view["price"].tolist() == [2.5] * 4
    assert view["tags"].values.tolist() == [0] * 4


@given(datasets(), st.sampled_from([0.3, 0.5, 0.9]), st.integers(0, 99))
def test_drop__only_sets_lose_values_and_keep_one(data, rate, seed):
    items = frozen(data.items.columns)
    view = drop(items, rate, np.random.default_rng(seed))
    for name, feature in items.items():
        if not isinstance(feature, Ragged):
            assert view[name] is feature
            continue
        assert view[name].values.dtype == np.int32
        for i in range(len(data.items)):
            before, after = row_of(feature, i), row_of(view[name], i)
            assert len(after) == len(before) - int(rate * len(before)) > 0
            assert set(after) <= set(before)


def shop(**price):
    schema = Schema(
        user=[Id("u")],
        item=[Id("i"), Continuous("price", **price), MultiValued("tags"), Categorical("code")],
    )
    return Dataset.from_columns(
        schema,
        {"u": [0, 0, 0, 0, 1, 1], "i": [0, 1, 2, 3, 1, 1]},
        items={
            "i": range(4),
            "price": [1, 2, 3, 4],
            "tags": ["x y", "x", "y", "x"],
            "code": ["a", "b", "c", "d"],
        },
        split=RandomSplit(0, 0),
    )


@pytest.mark.parametrize("transform", ["none", "standardise", "log1p", "bucketise"])
def test_pairwise_mutual_information__is_mutual_information_with_numbers_in_buckets(transform):
    """The id is not there; a field that identifies is, as NaN; clicks are repetitions."""
    rows = {"items": [0, 1, 2, 3], "clicks": [0, 1, 1, 1, 2, 3]}
    price, tags = np.array([0, 1, 1, 1]), ["xy", "x", "y", "x"]  # the upper bucket begins at 2
    for by, taken in rows.items():
        names, measured = pairwise_mutual_information(shop(transform=transform, buckets=2), by)
        assert names == ["price", "tags", "code"]
        assert np.isnan(measured[2]).all()
        assert np.isnan(measured[:, 2]).all()
        sets = [tags[i] for i in taken]
        csr = np.cumsum([0, *map(len, sets)]), np.array(list("".join(sets)))
        expected = mutual_information([price[taken], csr])
        assert measured[:2, :2] == pytest.approx(expected, abs=1e-12)


def test_pairwise_mutual_information__without_fields_is_empty():
    data = Dataset.from_columns(
        Schema(user=[Id("u")], item=[Id("i")]),
        {"u": [1], "i": [1]},
        split=RandomSplit(0, 0),
    )
    names, measured = pairwise_mutual_information(data)
    assert (names, measured.shape) == ([], (0, 0))
