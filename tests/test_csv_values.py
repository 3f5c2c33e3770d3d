"""Strings of a CSV file stand for integers and numbers only where nothing is lost."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.data import Categorical, Dataset, Id, LastSplit, Schema
from minitower.data.columns import Columns
from minitower.data.csv_values import as_fitted, integers_of, plain_values
from minitower.data.errors import Place


def strings(*values):
    return np.array(values, object)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_integers_of__come_back(values):
    found = integers_of(strings(*map(str, values)))
    assert found.tolist() == values


@given(st.lists(st.text("0123456789+-. ", max_size=4), min_size=1))
def test_integers_of__keep_distinct_strings_distinct(values):
    found = integers_of(strings(*values))
    if found is not None:
        assert [str(number) for number in found.tolist()] == values


@pytest.mark.parametrize("values, found", [
    (["1", "2.5"], [1.0, 2.5]),
    (["1", ""], [1, None]),
    (["1.5", ""], [1.5, np.nan]),
    (["true", "False", ""], [True, False, None]),
    (["007", "7"], ["007", "7"]),
    (["1", "x"], ["1", "x"]),
    (["1_0"], ["1_0"]),
    (["nan", "1"], ["nan", "1"]),
    (["inf"], ["inf"]),
    (["", ""], ["", ""]),
    (["1e3", "-0.5"], [1000.0, -0.5]),
])  # fmt: skip
def test_plain_values(values, found):
    assert str(plain_values(strings(*values)).tolist()) == str(found)


@pytest.mark.parametrize("trained, given, rows", [
    (["7", "x"], [7, 8], [1, 0]),
    ([7, 9], ["9", "x"], [2, 0]),
    ([7, 9], ["9", ""], [2, 0]),
    ([True, False], ["true", "FALSE"], [2, 1]),
])  # fmt: skip
def test_as_fitted__categories_get_the_type_of_the_vocabulary(trained, given, rows):
    schema = Schema([Id("u"), Categorical("c")], [Id("i")])
    log, users = {"u": [1, 2], "i": [3, 3]}, {"u": [1, 2], "c": trained}
    data = Dataset.from_columns(schema, log, users, split=LastSplit(0, 0))
    columns = Columns({"u": np.array([1, 2]), "c": plain_values(strings(*given))}, Place("t"))
    fitted = as_fitted(columns, data.schema.user)
    assert data.schema.user.encode(fitted, np.array([1, 2])).columns["c"].tolist() == rows
