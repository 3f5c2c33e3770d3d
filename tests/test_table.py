"""Row r >= 1 belongs to one value, row 0 to everything else; a ragged array is a list of lists."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import texts

from minitower.data import DataError, Ragged, Vocabulary

integers = st.integers(-(2**63), 2**63 - 1) | st.integers(-2, 2)
columns = st.lists(integers) | st.lists(texts | st.sampled_from(["a", "b"]))


def naive_rows(fitted, values):
    known = sorted({value for value in fitted if value not in (None, "")})
    return [known.index(value) + 1 if value in known else 0 for value in values]


@given(columns, st.data())
def test_vocabulary__equals_naive(fitted, data):
    same_kind = (st.just("") | texts) if fitted and isinstance(fitted[0], str) else integers
    values = data.draw(
        st.lists(st.sampled_from(fitted) | same_kind | st.none()) if fitted else st.lists(integers)
    )
    vocabulary = Vocabulary.fit(fitted)
    rows = vocabulary.encode(values)
    assert rows.dtype == np.int32
    assert rows.tolist() == naive_rows(fitted, values)
    assert len(vocabulary) == len(set(fitted)) + 1


@given(columns, st.randoms())
def test_vocabulary__every_value_owns_its_row_in_any_order(values, random):
    distinct = list(dict.fromkeys(values))
    random.shuffle(distinct)
    array = np.array(distinct) if distinct else np.empty(0, np.int64)
    vocabulary = Vocabulary(array)
    assert vocabulary.encode(distinct).tolist() == list(range(1, len(distinct) + 1))


@pytest.mark.parametrize("missing", [None, float("nan"), np.nan, np.float32("nan")])
def test_vocabulary__missing_is_row_0(missing):
    vocabulary = Vocabulary.fit([missing, 7, 0, missing])
    assert vocabulary.values.tolist() == [0, 7]  # what stands for missing inside is not 0
    assert vocabulary.encode([missing, 0, 7]).tolist() == [0, 1, 2]
    assert Vocabulary.fit(["", missing, "x"]).encode(["", missing, "x"]).tolist() == [0, 0, 1]


def test_vocabulary__kinds_of_arrays_agree():
    expected = [1, 2, 0]
    for dtype in (np.int8, np.uint16, np.int64, np.uint64, np.float32, object):
        assert Vocabulary.fit(np.array([3, 5], dtype)).encode([3, 5, 4]).tolist() == expected
    for dtype in ("U5", object, np.dtypes.StringDType()):
        fitted = Vocabulary.fit(np.array(["a", "b"], dtype))
        assert fitted.encode(np.array(["a", "b", "c"], dtype)).tolist() == expected
    assert Vocabulary.fit([True, False]).encode([False, True]).tolist() == [1, 2]


def test_vocabulary__large_integers_are_exact():
    """Next to a missing value, where a detour over floats would lose the last digits."""
    large = [2**63 - 1, 2**63 - 2, -(2**63)]
    vocabulary = Vocabulary.fit([*large, None])
    assert vocabulary.values.tolist() == sorted(large)
    assert vocabulary.encode([None, *sorted(large)]).tolist() == [0, 1, 2, 3]


def test_vocabulary__nothing_fitted_knows_nothing():
    empty = Vocabulary.fit([])
    assert len(empty) == 1
    assert empty.encode([1, 2]).tolist() == empty.encode(["a", None]).tolist() == [0, 0]


@pytest.mark.parametrize(
    "values, message",
    [
        ([1.5, 2], "row 0: expected an integer or a string, got .*1.5"),
        ([1, np.inf], "row 1: expected an integer or a string, got inf"),
        ([1, 2**63], "row 1: expected an integer of 64 bits"),
        (np.array([1, 2**63], np.uint64), "row 1: expected an integer of 64 bits"),
        ([None, 2, 2.5], "row 2: expected an integer or a string, got 2.5"),
        (["a", 1], "row 1: 1 among strings"),
        ([1, None, "a"], "row 2: 'a' among numbers"),
        ([b"a"], "expected an integer or a string, got b'a'"),
        (["a", ["b"]], r"row 1: expected an integer or a string, got \['b'\]"),
        ([["b"]], "expected an integer or a string"),
        (["a\0"], "zero character"),
        (["a", "b" * 257], "row 1: a string of 257 characters, more than 256: 'bbb"),
        (["a", None, "b" * 257], "row 2: a string of 257 characters"),
        ("abc", "expected a column of values, got 'abc'"),
        (3, "expected a column of values, got 3"),
        (np.zeros((1, 1, 1)), "one value per row"),
        (np.array(["2020-01-01"], "datetime64[D]"), "expected integers or strings"),
    ],
)
def test_vocabulary__refuses(values, message):
    with pytest.raises(DataError, match=message):
        Vocabulary.fit(values)


def test_vocabulary__refuses_the_other_kind():
    with pytest.raises(DataError, match="the vocabulary holds integers, the values are strings"):
        Vocabulary.fit([1]).encode(["1"])
    with pytest.raises(DataError, match="the vocabulary holds strings, the values are integers"):
        Vocabulary.fit(["1"]).encode([1])


@given(columns, st.data())
def test_extended__old_values_keep_their_rows_and_new_ones_follow(fitted, data):
    same_kind = texts if fitted and isinstance(fitted[0], str) else integers
    more = data.draw(st.lists((st.sampled_from(fitted) if fitted else same_kind) | same_kind))
    old = Vocabulary.fit(fitted)
    extended = old.extended(more)
    new = sorted(set(more) - set(fitted))
    assert extended.values.tolist() == [*old.values.tolist(), *new]
    assert extended.encode(fitted + more).tolist() == [
        extended.values.tolist().index(value) + 1 for value in fitted + more
    ]


def test_extended__is_itself_without_news_and_of_any_kind_while_empty():
    vocabulary, empty = Vocabulary.fit([1, 2]), Vocabulary.fit([])
    assert vocabulary.extended([2, None, 1]) is vocabulary
    assert empty.extended(["b", "a", ""]).values.tolist() == ["a", "b"]
    assert empty.extended([3]).values.tolist() == [3]
    assert Vocabulary.fit(["a"]).extended(["a longer one"]).values.tolist() == ["a", "a longer one"]
    with pytest.raises(DataError, match="the vocabulary holds integers, the values are strings"):
        vocabulary.extended(["1"])


lists = st.lists(st.lists(st.integers(0, 9), max_size=4), min_size=1, max_size=6)


def ragged(rows):
    return Ragged.from_counts([len(row) for row in rows], [v for row in rows for v in row])


def unragged(array):
    return [array.row(i).tolist() for i in range(len(array))]


@given(lists, st.data())
def test_ragged__take_equals_naive(rows, data):
    wanted = data.draw(st.lists(st.integers(0, len(rows) - 1)))
    taken = ragged(rows).take(np.array(wanted, np.int32))
    assert unragged(taken) == [rows[i] for i in wanted]
    assert (taken.indptr.dtype, taken.values.dtype) == (np.int64, np.int32)


@given(lists, st.data())
def test_ragged__replace_equals_naive(rows, data):
    mask = data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    before = ragged(rows)
    replaced = before.replace(np.array(mask), 3)
    assert unragged(replaced) == [[3] if hit else row for row, hit in zip(rows, mask)]
    assert unragged(before) == rows  # the input stays


@given(lists)
def test_ragged__knows_its_lengths(rows):
    array = ragged(rows)
    assert len(array) == len(rows)
    assert array.counts.tolist() == [len(row) for row in rows]
