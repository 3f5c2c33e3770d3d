"""An id is read exactly or not at all, and alike by every reader."""

import datetime
import decimal

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minitower.data import DataError, Dataset, Id, Schema, Vocabulary
from minitower.data.columns import Columns, as_array, scalars, sets
from minitower.data.errors import Place
from minitower.data.log import read_ids
from minitower.data.table import Table
from minitower.data.values import typed_ids

PLACE = Place("log", "id")
LIMITS = [("float16", 11), ("float32", 24), ("float64", 53)]

number = st.integers(-3, 9) | st.sampled_from(
    [2**53 - 1, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, 2**70, True]
)
single = st.one_of(
    number,
    st.floats() | st.integers(-3, 9).map(float) | st.sampled_from([2.0**53 - 1, 2.0**53, 0.5]),
    st.sampled_from(["0", "7", "a", "é", "", "a\0", "\ud800", "b" * 256, "b" * 257, "1_0", " 1"]),
    st.integers(0, 4000).flatmap(
        lambda n: st.sampled_from(
            [np.float16(n), np.float32(n * 2**13), np.float64(n), np.int8(n % 100), np.uint64(n)]
        )
    ),
    st.sampled_from([np.str_("a"), np.str_("é"), np.bytes_(b"a"), b"a", np.bool(True), None]),
    st.sampled_from([np.timedelta64(1, "s"), datetime.timedelta(1), 1j, np.complex64(1)]),
    st.sampled_from([decimal.Decimal(1), datetime.date(2020, 1, 1), np.datetime64("2020"), [1]]),
)


@st.composite
def mixed_columns(draw):
    """A column of any make: mostly of one kind of value, with others among them."""
    common = st.lists(draw(st.sampled_from([number, single, st.text(max_size=3)])), max_size=6)
    values = [*draw(common), *draw(st.lists(single, max_size=2))]
    column = np.fromiter(values, object, len(values))
    if draw(st.booleans()):
        return column
    for make in draw(
        st.permutations(
            [
                lambda: column.astype(np.dtypes.StringDType()),
                lambda: np.array([v for v in values if isinstance(v, str)] or ["a"]),
                lambda: np.array([v for v in values if type(v) is int and v < 2**63] or [1]),
                lambda: np.array([v for v in values if type(v) is int] or [1], np.float64),
                lambda: np.array([v for v in values if isinstance(v, float)] or [1.0], "float32"),
                lambda: as_array(values, PLACE),
            ]
        )
    ):
        try:
            with np.errstate(all="ignore"):
                return make()
        except (ValueError, TypeError, OverflowError, UnicodeError):
            continue
    return column


def outcome(read, *args):
    try:
        return read(*args)
    except DataError:
        return None


@given(mixed_columns())
@example(np.array([np.str_("a"), "b"], object))
@example(np.array(["", 0], object))
@example(np.array(["a", "b"], np.dtypes.StringDType()))
@example(np.array([np.int64(2**63 - 1), np.float32(4.0)], object))
def test_typed_ids__reads_as_the_column_reader_does(column):
    """Both accept, with the same values, or both refuse.

    Documented: a stream knows its type, so that it may read strings of digits as integers, and
    any integer, a negative one too, as the string of its digits.
    """
    listed = outcome(read_ids, Columns({"id": column}, Place("log")), "id")
    if listed is not None:
        kind = "string" if listed.dtype == object else "integer"
        assert len(column) == 0 or outcome(typed_ids, column, kind, PLACE).tolist() == (
            listed.tolist()
        )
        assert {type(value) for value in listed.tolist()} <= {int, str}
        return
    for kind in ("integer", "string"):
        typed = outcome(typed_ids, column, kind, PLACE)
        if typed is not None and len(column):
            values = column.tolist()
            both = len({isinstance(value, str) for value in values}) == 2
            digits = kind == "string" and any(type(v) is int and not 0 <= v < 2**63 for v in values)
            assert both or digits
            assert len(typed) == len(column)


@pytest.mark.parametrize("dtype, bits", LIMITS)
@pytest.mark.parametrize("boxed", [False, True])
@pytest.mark.parametrize("sign", [1, -1])
def test_scalars__a_float_is_an_integer_as_long_as_it_is_exact(dtype, bits, boxed, sign):
    """From there on the next integer is the same float."""
    box = (lambda array: np.fromiter(array, object, 1)) if boxed else (lambda array: array)
    exact = box(np.array([sign * (2**bits - 1)], dtype))
    assert scalars(exact, PLACE)[0].tolist() == [sign * (2**bits - 1)]
    merged = np.array([sign * 2**bits, sign * (2**bits + 1)], dtype)
    assert merged[0] == merged[1]
    with pytest.raises(
        DataError, match=r"^log, row 0, column 'id': the float .* stands for severa"
    ):
        scalars(box(merged[:1]), PLACE)


@pytest.mark.parametrize("dtype, bits", LIMITS)
def test_floats_keep_their_width_in_every_library(dtype, bits):
    pandas, polars, arrow = map(pytest.importorskip, ("pandas", "polars", "pyarrow"))
    values = np.array([1, 2**bits], dtype)
    holes = [1.0, float(2**bits), None]
    kind = f"Float{dtype[5:]}"
    masked = np.ma.array([*values, 0], dtype, mask=[False, False, True])
    frames = [values, list(values), masked, arrow.array(values)]
    frames += [arrow.array(holes, getattr(arrow, dtype)())]
    frames += [pandas.Series(values)]
    if dtype != "float16":  # which has no more than these
        frames += [pandas.Series(values).astype("category")]
        frames += [pandas.Series([*values, np.nan], dtype=dtype).astype("category")]
        frames += [polars.Series(holes, dtype=getattr(polars, kind))]
        frames += [pandas.Series(holes, dtype=kind)]
        frames += [pandas.Series(holes, dtype=pandas.ArrowDtype(getattr(arrow, dtype)()))]
    for frame in frames:
        column = as_array(frame, PLACE)
        with pytest.raises(DataError, match=r"row 1, .* stands for several integers"):
            scalars(column, PLACE)
    for column in ([values], [list(values)], np.array([values])):
        _, members, place = sets(as_array(column, PLACE), " ", PLACE)
        with pytest.raises(DataError, match=r"row 0, .* stands for several integers"):
            scalars(members, place)


def odd_columns():
    yield "timedelta", np.array([1], "timedelta64[s]")
    yield "timedelta in a list", [np.timedelta64(1, "s")]
    yield "Python's timedelta", [datetime.timedelta(1), 1]
    yield "complex", np.array([1j])
    yield "complex in a list", [np.complex64(1), 1]
    yield "Decimal", [decimal.Decimal(1)]
    yield "datetime", [datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)]
    yield "datetime64", np.array(["2020-01-01"], "datetime64[D]")
    yield "bytes", np.array([b"a"])
    yield "records", np.array([(1,)], [("a", int)])


@pytest.mark.parametrize("column", [c for _, c in odd_columns()], ids=[n for n, _ in odd_columns()])
def test_ids__of_odd_types_are_refused_by_name(column):
    schema = Schema(user=[Id("u")], item=[Id("i")])
    with pytest.raises(DataError, match=r"column 'u': expected (an integer|integers)"):
        Dataset.from_columns(schema, {"u": column, "i": [1] * len(column)})
    with pytest.raises(DataError, match=r"expected (an integer|integers)"):
        Table(np.array([1, 2]), {}).rows_of(column)
    for kind in ("integer", "string"):
        with pytest.raises(DataError, match="column 'id': expected"):
            typed_ids(as_array(column, PLACE), kind, PLACE)


def test_typed_ids__an_integer_is_no_longer_a_string_than_another():
    column = np.array(["a", 10**255, 10**256], object)
    assert typed_ids(column[:2], "string", PLACE).tolist() == ["a", "1" + "0" * 255]
    with pytest.raises(DataError, match="row 2, column 'id': a string of 257 characters"):
        typed_ids(column, "string", PLACE)


@pytest.mark.parametrize("values", [[1, 2], [2**70, None], [None, 1]])
def test_ids__polars_integers_of_128_bits_are_refused(values):
    polars = pytest.importorskip("polars")
    with pytest.raises(DataError, match="column 'id': NumPy has no integers of type Int128; cast"):
        as_array(polars.Series(values, dtype=polars.Int128), PLACE)


def test_ids__booleans_are_none():
    schema = Schema(user=[Id("u")], item=[Id("i")])
    for column in ([True, False], np.array([True]), [1, True], [np.bool(True), None]):
        with pytest.raises(DataError, match="column 'u': expected an integer or a string, got T"):
            Dataset.from_columns(schema, {"u": column, "i": [1] * len(column)})
        with pytest.raises(
            DataError, match=r"^ids, row \d: expected an integer or a string, got T"
        ):
            Table(np.array([1, 2]), {}).rows_of(column)


def test_rows_of__does_not_find_another_id():
    table = Table(np.array([2**53, 2**53 + 1]), {})
    assert table.rows_of([2**53 + 1, 2**53]).tolist() == [1, 0]
    for ids in ([float(2**53)], np.array([2**53 + 1], np.float64), [np.float32(2**24)]):
        with pytest.raises(DataError, match=r"^ids, row 0: the float .* stands for several"):
            table.rows_of(ids)


@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_vocabulary__holds_integers_of_64_bits_exactly(values):
    vocabulary = Vocabulary.fit(values)
    known = [value for value in values if value is not None]
    assert vocabulary.values.tolist() == sorted(set(known))
