"""encode() and check_same_schema()."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import datasets

from minitower.data import DataError, Dataset, FeatureEncoders, Id, RandomSplit, Schema
from minitower.evaluation.encode import BLOCK, check_same_schema, encode
from minitower.towers.two_tower import TwoTower


def ids_only(n, seed=0):
    schema = Schema(user=[Id("user_id")], item=[Id("item_id")])
    log = {"user_id": np.arange(n), "item_id": np.arange(n) % 3}
    return Dataset.from_columns(schema, log, split=RandomSplit(seed=seed))


@given(datasets(), st.data())
def test_encode__equals_the_tower_row_by_row(data, draw):
    model = TwoTower(data.schema, dim=3, hidden=(4,), dtype=np.float64)
    rows = draw.draw(st.lists(st.integers(0, len(data.users) - 1), max_size=6))
    expected = [model.user(data.users.take(np.array([row])))[0][0] for row in rows]
    found = encode(model.user, data.users, rows)
    assert found.shape == (len(rows), 3)
    np.testing.assert_allclose(found, np.reshape(expected, (-1, 3)), atol=1e-12)


def test_encode__a_table_longer_than_a_block():
    data = ids_only(2 * BLOCK + 5)
    model = TwoTower(data.schema, dim=2, hidden=())
    vectors = encode(model.user, data.users)
    assert vectors.dtype == np.float32
    assert np.array_equal(vectors, model.user(data.users.columns)[0])


@pytest.mark.parametrize(
    "rows, message",
    [
        ([0.5], "rows must be integers"),
        ([np.nan], "rows must be integers"),
        (np.array([True, False]), "rows must be integers, got bool"),
        (["1"], "rows must be integers"),
        ([20], "rows must be within"),
        ([-1], "rows must be within"),
        (np.array([2**63], np.uint64), "rows must be below"),
    ],
)
def test_encode__refuses_rows_that_are_none(rows, message):
    data = ids_only(20)
    with pytest.raises(ValueError, match=message):
        encode(TwoTower(data.schema, dim=2, hidden=()).user, data.users, rows)


def test_encode__float16_of_a_tower_of_ones_own_becomes_float32():
    data = ids_only(5)
    half = lambda features: (np.ones((len(features["user_id"]), 2), np.float16), None)
    assert encode(half, data.users).dtype == np.float32


@given(datasets())
def test_same_schema__a_stored_one_is_the_same(data):
    check_same_schema(FeatureEncoders.from_state(*data.schema.to_state()), data.schema)


def test_same_schema__another_split_is_another_vocabulary():
    with pytest.raises(DataError, match="were not fitted together"):
        check_same_schema(ids_only(50, seed=0).schema, ids_only(50, seed=1).schema)
