"""One rule for what a positive is: stated, or the default of a column of a known name, or all."""

import dataclasses
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.data import (
    DataError,
    Dataset,
    Id,
    LastSplit,
    Schema,
    next_day,
    parse_rule,
    positive_rule,
)
from minitower.data.columns import read_columns
from minitower.data.errors import Place

IDS = Schema(user=[Id("user_id")], item=[Id("item_id")])


def log(**columns):
    n = len(next(iter(columns.values())))
    return {"user_id": list(range(n)), "item_id": list(range(n)), **columns}


def rule_of(stated=None, **columns):
    return positive_rule(read_columns(log(**columns), Place("interactions")), stated)


@pytest.mark.parametrize("name", ["click", "clicked", "is_click"])
@pytest.mark.parametrize(
    "values",
    [
        [0, 1, 1],
        [False, True, True],
        ["0", "1", "1"],
        np.array(["0", "1", "1"]),
        [0.0, 1.0, 1.0],
        np.array([0, 1, 1], np.uint8),
        [0, 1, None],
        ["0", "1", ""],
        [np.nan, 1.0, 0.0],
    ],
)
def test_positive_rule__a_column_of_clicks_is_asked(name, values):
    assert rule_of(**{name: values}) == f"{name} = 1"
    with pytest.warns(UserWarning, match=f"positives: where {name} = 1") as seen:
        data = Dataset.from_columns(IDS, log(**{name: values}), split=LastSplit(0, 0))
    assert (len(seen), seen[0].filename) == (1, __file__)
    ones = [row for row, value in enumerate(values) if str(value) in ("1", "True", "1.0")]
    assert data.train.users.tolist() == ones
    assert data.positive == f"{name} = 1"


@pytest.mark.parametrize("values", [[5, 1, 4], [4.5, np.nan, 0], ["5", "", "3.5"], [4, None, 0]])
def test_positive_rule__a_column_of_stars_is_asked(values):
    assert rule_of(rating=values) == "rating >= 4"


@pytest.mark.parametrize(
    "columns, message",
    [
        ({"click": [0, 1, 2]}, "^interactions, row 2, column 'click': 2 is neither 0 nor 1; "),
        ({"clicked": ["no", "yes"]}, "row 0, column 'clicked': 'no' is neither 0 nor 1"),
        ({"is_click": ["0", "1.0"]}, "row 1, column 'is_click': '1.0' is neither 0 nor 1"),
        ({"is_click": [0, 0.5]}, "row 1, column 'is_click': 0.5 is neither 0 nor 1"),
        ({"is_click": [[1], [0]]}, "column 'is_click': .* got \\[1\\]; state"),
        ({"is_click": [1, "1"]}, "column 'is_click': '1' among numbers; state"),
        ({"rating": [1, 2, 3]}, "column 'rating': no rating is 4 or more; state"),
        ({"rating": [80, 100]}, "row 0, column 'rating': 80 is not between 0 and 5; state"),
        ({"rating": [5, -1]}, "row 1, column 'rating': -1 is not between 0 and 5; state"),
        ({"rating": [None, None]}, "column 'rating': no rating is 4 or more"),
        ({"rating": ["good", "bad"]}, "row 0, column 'rating': expected a number, got 'good'"),
        ({"click": [1], "rating": [5]}, "^interactions: .*'click' and 'rating'.*; state"),
        ({"click": [1], "is_click": [1]}, "^interactions: .*'click' and 'is_click'.*; state"),
    ],
)
def test_positive_rule__refuses_what_is_not_of_the_documented_form(columns, message):
    for decide in (rule_of, lambda **given: Dataset.from_columns(IDS, log(**given))):
        with pytest.raises(DataError, match=message) as error:
            decide(**columns)
        assert "state the rule with positive= (--positive)" in str(error.value)
    with warnings.catch_warnings(action="error"):
        data = Dataset.from_columns(IDS, log(**columns), positive="all", split=LastSplit(0, 0))
    assert len(data.train) == len(next(iter(columns.values())))


@given(st.sampled_from(["all", "rating >= 3", "weather = 'sun'", "click != 1"]), st.booleans())
def test_positive_rule__what_is_stated_is_taken(stated, clicks):
    columns = {"click": [7]} if clicks else {"weather": ["rain"]}
    assert rule_of(stated, **columns) == stated


def test_positive_rule__without_a_known_column_all_are_and_nothing_is_warned_of():
    assert rule_of(weather=[0, 1]) == "all"
    data = Dataset.from_columns(IDS, log(weather=[0, 1]), split=LastSplit(0, 0))
    assert (data.positive, len(data.train)) == ("all", 2)


@given(
    st.sampled_from(["click", "rating"]),
    st.lists(st.sampled_from([0, 1, 2.5, 5, 100, None, "0", "1", "5", "x", True]), min_size=1),
)
def test_positive_rule__a_default_passes_no_missing_value_and_can_be_applied(name, values):
    columns = read_columns({name: values}, Place("t"))
    try:
        rule = positive_rule(columns, None)
    except DataError:
        return
    passed = parse_rule(rule).apply(columns)
    assert not any(value is None for value, kept in zip(values, passed) if kept)


def test_next_day__takes_the_recorded_rule_and_nothing_else():
    first = Dataset.from_columns(IDS, log(is_click=[0, 1]), positive="is_click = 1")
    day = next_day(first, log(is_click=[1, 0], rating=[9, 9]))
    assert (day.train.users.tolist(), day.positive) == ([0], "is_click = 1")
    with pytest.raises(DataError, match="column 'is_click' is missing"):
        next_day(first, log(weather=[1]))
    ids = Dataset.from_columns(IDS, log(weather=[1, 2]))
    assert len(next_day(ids, log(is_click=[0, 1])).train) == 2, "all, as it was for the first day"
    assert next_day(first, log(is_click=[1, 0]), positive="all").positive == "all"


def test_next_day__refuses_to_guess():
    unknown = next_day(Dataset.from_columns(IDS, log(a=[1])), log(a=[1]))
    unknown = dataclasses.replace(unknown, positive=None)
    with pytest.raises(DataError, match=r"does not say which .* positive="):
        next_day(unknown, log(a=[1]))
    assert len(next_day(unknown, log(a=[1]), positive="all").train) == 1
    none = {"user_id": [], "item_id": []}
    assert next_day(unknown, none, {"user_id": [9]}).positive is None, "there is nothing to judge"
