"""One column reads the same whoever made it, and says where it is wrong."""

import datetime

import numpy as np
import pytest

from minitower.data import DataError
from minitower.data.columns import as_array, numbers, read_columns, scalars, sets
from minitower.data.errors import Place

PLACE = Place("items.tsv", "x", first_line=2)
TABLE = {
    "id": [2**60 + 1, 2**60 + 2, 3],
    "rare": [2**60 + 1, None, 3],
    "city": ["rome", None, "oslo"],
    "price": [1.5, None, 3.0],
    "tags": [["a", "b"], [], ["c"]],
}


def frames():
    pandas, polars, arrow = map(pytest.importorskip, ("pandas", "polars", "pyarrow"))
    yield "dict", TABLE
    yield (
        "arrays",
        {
            name: np.array(v, object if name == "tags" else None)
            for name, v in TABLE.items()
            if name != "tags"
        }
        | {"tags": TABLE["tags"]},
    )
    yield "pandas", pandas.DataFrame(TABLE)
    nullable = pandas.DataFrame({name: TABLE[name] for name in ("id", "price", "city", "tags")})
    nullable["rare"] = pandas.array(TABLE["rare"], dtype="Int64")
    yield "pandas nullable", nullable.astype({"id": "Int64", "price": "Float64", "city": "string"})
    yield "pandas categorical", nullable.astype({"city": "category"})
    yield "polars", polars.DataFrame(TABLE)
    yield "pyarrow", arrow.table(TABLE)


def test_read_columns__libraries_agree():
    for library, frame in frames():
        columns = read_columns(frame, Place(library))
        assert len(columns) == 3
        ids, _ = scalars(columns["id"], PLACE)
        assert ids.tolist() == TABLE["id"], library
        cities, missing = scalars(columns["city"], PLACE)
        assert cities.tolist() == ["rome", "", "oslo"], library
        assert missing.tolist() == [False, True, False], library
        np.testing.assert_array_equal(numbers(columns["price"], PLACE), [1.5, np.nan, 3.0])
        counts, members, _ = sets(columns["tags"], " ", PLACE)
        assert (counts.tolist(), members.tolist()) == ([2, 0, 1], ["a", "b", "c"]), library
        if library != "pandas":  # which has made floats of them before we came
            assert scalars(columns["rare"], PLACE)[0].tolist() == [2**60 + 1, 0, 3], library


@pytest.mark.parametrize(
    "table, message",
    [
        ({"a": [1, 2], "b": [1]}, "^t: the columns must be equally long; lengths: a 2, b 1$"),
        ([1, 2], "^t: expected a dict of columns, .* got list$"),
        (None, "got NoneType"),
        ({"a": "xy"}, "^t, column 'a': expected a column of values, got 'xy'$"),
        ({"a": 5}, "expected a column of values, got 5"),
        ({"a": np.zeros((1, 2, 3))}, r"one value per row, got shape \(1, 2, 3\)"),
        ({"a": [1], 1: [1], "1": [1]}, "^t, column '1': the column occurs twice$"),
    ],
)
def test_read_columns__refuses(table, message):
    with pytest.raises(DataError, match=message):
        read_columns(table, Place("t"))


def test_read_columns__missing_column_names_the_others():
    with pytest.raises(DataError, match=r"^t: column 'c' is missing; columns: a, b$"):
        read_columns({"a": [1], "b": [2]}, Place("t"))["c"]


def test_numbers__parses_text_and_leaves_holes():
    np.testing.assert_array_equal(
        numbers(np.array(["1", "", "2.5", None, " 3 "], object), PLACE), [1, np.nan, 2.5, np.nan, 3]
    )
    np.testing.assert_array_equal(numbers(np.array(["1", "2"]), PLACE), [1, 2])
    np.testing.assert_array_equal(numbers(np.array([True, False]), PLACE), [1, 0])


@pytest.mark.parametrize(
    "values, message",
    [
        (["1", "", "x"], "^items.tsv, line 4, column 'x': expected a number, got 'x'$"),
        (["1", "2_0"], "line 3, column 'x': expected a number, got '2_0'$"),
        ([1.0, np.inf], "^items.tsv, line 3, column 'x': the number is infinite or too large$"),
        ([1.0, "-inf"], "line 3, column 'x': the number is infinite"),
        ([[1.0]], "line 2, column 'x': expected a number"),
        ([datetime.date(2020, 1, 1)], "line 2, column 'x': expected a number"),
        (np.array([1j]), "expected numbers, got values of type complex"),
    ],
)
def test_numbers__refuses(values, message):
    with pytest.raises(DataError, match=message):
        numbers(as_array(values, PLACE), PLACE)


def test_sets__cut_or_listed():
    column = [
        "a b  b",
        ["a", "b", "b"],
        ("a", "b", "b"),
        None,
        "",
        [],
        {"a"},
        np.array(["c"]),
    ]
    counts, members, _ = sets(as_array(column, PLACE), " ", PLACE)
    assert counts.tolist() == [3, 3, 3, 0, 0, 0, 1, 1]
    assert members.tolist() == ["a", "b", "b"] * 3 + ["a", "c"]
    counts, members, _ = sets(as_array(["a b|c", " a "], PLACE), "|", PLACE)
    assert (counts.tolist(), members.tolist()) == ([2, 1], ["a b", "c", "a"])
    counts, members, _ = sets(as_array(np.array([[1, 2], [3, 3]]), PLACE), " ", PLACE)
    assert (counts.tolist(), members.tolist()) == ([2, 2], [1, 2, 3, 3])
    counts, members, _ = sets(as_array([4, 5], PLACE), " ", PLACE)  # one value is a set of one
    assert (counts.tolist(), members.tolist()) == ([1, 1], [4, 5])


@pytest.mark.parametrize("value", [3.5, {"a": 1}, 7, b"ab"])
def test_sets__refuses(value):
    with pytest.raises(DataError, match="column 'x': expected a list of values or a string"):
        sets(as_array(["a", value], PLACE), " ", PLACE)


def test_as_array__what_is_masked_is_missing():
    hidden = [False, True, False]
    column = as_array(np.ma.array([1, 2, 3], mask=hidden), PLACE)
    values, missing = scalars(column, PLACE)
    assert (values.tolist(), missing.tolist()) == ([1, 0, 3], hidden)
    column = as_array(np.ma.array([1.5, 2.5, 3.5], mask=hidden), PLACE)
    np.testing.assert_array_equal(numbers(column, PLACE), [1.5, np.nan, 3.5])
    column = as_array(np.ma.array(["a", "b", "c"], mask=hidden), PLACE)
    assert scalars(column, PLACE)[0].tolist() == ["a", "", "c"]
    days = np.array(["2020-01-01", "2020-01-02", "2020-01-03"], "datetime64[ns]")
    assert np.isnat(as_array(np.ma.array(days, mask=hidden), PLACE)).tolist() == hidden
    assert as_array(np.ma.array([1, 2]), PLACE).tolist() == [1, 2]  # nothing is masked


def test_scalars__integers_end_at_64_bits():
    assert scalars(np.array([2**63 - 1], np.uint64), PLACE)[0].tolist() == [2**63 - 1]
    for values in (np.array([2**63], np.uint64), np.array([2**63], object)):
        with pytest.raises(DataError, match="line 2, column 'x': expected an integer of 64 bits"):
            scalars(values, PLACE)
