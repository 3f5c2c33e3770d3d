"""A time reads the same in a data set and in a stream."""

import time
from datetime import UTC, date, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.data import DataError, Dataset, Id, LastSplit, Schema
from minitower.data.columns import as_array, read_columns
from minitower.data.errors import Place
from minitower.data.times import LATEST, UNITS, parse_moment, recognized_seconds, seconds
from minitower.updating.streams import EventFields

IDS = Schema(user=[Id("user_id")], item=[Id("item_id")])
PLACE = Place("log", "at")

times = st.one_of(
    st.integers(-2, 2_000_000_000) | st.floats() | st.booleans() | st.none(),
    st.sampled_from([LATEST, np.nextafter(LATEST, 0), 1.65e12, -1e-9, "12", "1e3", "", "soon"]),
    st.datetimes(min_value=datetime(1960, 1, 1)) | st.dates(min_value=date(1960, 1, 1)),
)


def readings(column):
    """What a data set and a stream make of a column: seconds, or the end of the error."""
    log = {"user_id": range(len(column)), "item_id": range(len(column)), "timestamp": column}
    log = {name: list(v) if isinstance(v, range) else v for name, v in log.items()}
    for read in (
        lambda: Dataset.from_columns(IDS, log, split=LastSplit(0, 0)).train.timestamps,
        lambda: EventFields().events(read_columns(log, Place("interactions"))).timestamps,
    ):
        try:
            yield read().tolist()
        except DataError as error:
            yield str(error)


@given(st.lists(times, min_size=1, max_size=4))
def test_seconds__data_sets_and_streams_agree(column):
    data, stream = readings(column)
    assert data == stream
    if isinstance(data, list):
        assert all(0 <= second < LATEST for second in data)


def test_seconds__whole_arrays_agree_too():
    days = np.array(["1970-01-02", "1970-01-01T00:00:01"], "datetime64[ms]")
    for column in (days, np.array([86400, 1], np.uint32), np.array(["86400", "1"])):
        assert list(readings(column)) == [[86400.0, 1.0]] * 2
    assert (
        list(readings([date(1970, 1, 2), datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)]))
        == [[86400.0, 1.0]] * 2
    )


@pytest.mark.parametrize(
    "values, message",
    [
        ([1.0, 1.65e12], "row 1, .* since 1970, got 1650000000000.0; if these are millisecond"),
        ([1_650_000_000_000], "since 1970, got 1650000000000; .* milliseconds, divide by 1000$"),
        (["1650000000000000"], "got '1650000000000000'; .* microseconds, divide by 1000000$"),
        ([1650000000000000000], "got 1650000000000000000; .* nanoseconds, divide by 1000000000$"),
        ([1e30], "expected seconds since 1970, got 1e[+]30$"),
        ([5, -1], "row 1, .* expected seconds since 1970, got -1$"),
        ([date(1969, 12, 31)], "row 0, .* expected seconds since 1970, got datetime.date"),
        (np.array(["1969-12-31"], "datetime64[D]"), "row 0, .* since 1970, got datetime.date"),
        ([True], "row 0, .* expected a number, got True"),
        ([1, True], "row 1, .* expected a number, got True"),
        (["5", True], "row 1, .* expected a number, got True"),
        ([1, None], "row 1, column 'at': missing timestamp$"),
        (
            ["1", "01/05/2022"],
            "row 1, .* expected a number, got '01/05/2022'; write dates like 2022-",
        ),
    ],
)
def test_seconds__refuses(values, message):
    with pytest.raises(DataError, match=rf"^log, {message}" if "row" in message[:3] else message):
        seconds(as_array(values, PLACE), PLACE)


@given(st.lists(st.integers(1, 3), min_size=1))
def test_seconds__small_numbers_are_times(values):
    assert seconds(np.array(values), PLACE).tolist() == values


@given(
    st.datetimes(datetime(1970, 1, 1), datetime(4000, 1, 1)),
    st.sampled_from(["T", " "]),
)
def test_seconds__of_iso_strings_are_those_of_the_date(moment, between):
    expected = moment.replace(tzinfo=UTC).timestamp()
    for values in ([moment.isoformat(between)], [moment.isoformat(between) + "Z"], [moment]):
        assert seconds(as_array(values, PLACE), PLACE).tolist() == [expected]
    assert parse_moment(moment.isoformat(between)) == expected
    unit, found = recognized_seconds(as_array([moment.isoformat(between)], PLACE), PLACE)
    assert (unit, found.tolist()) == ("seconds", [expected])


@given(st.sampled_from(sorted(UNITS)), st.integers(10**9, 2 * 10**9), st.booleans())
def test_recognized_seconds__the_unit_is_found_and_undone(unit, second, as_text):
    number = second * UNITS[unit]
    column = as_array([str(number) if as_text else number, None], PLACE)[:1]
    found, times = recognized_seconds(column, PLACE)
    assert (found, times.tolist()) == (unit, [second])
    assert seconds(column, PLACE, unit).tolist() == [second]


@pytest.mark.parametrize("values, unit, message", [
    ([1.65e12, 1.65e9], "milliseconds", "log, row 1, column 'at': 1650000000.0 is too small"),
    ([1.65e9], "milliseconds", "too small for milliseconds"),
    (["2022-13-01"], "seconds", "expected a number, got '2022-13-01'"),
    (["2022-05-01", ""], "seconds", "row 1, column 'at': missing timestamp"),
])  # fmt: skip
def test_seconds__refuses_another_unit(values, unit, message):
    with pytest.raises(DataError, match=message):
        seconds(as_array(values, PLACE), PLACE, unit)


@pytest.mark.parametrize("values", [[20220501, 20220502], ["20220501"], [20220501.0]])
def test_recognized_seconds__refuses_to_guess_dates_without_dashes(values):
    with pytest.raises(DataError, match="could be seconds or a date; write dates like 2022-05-01"):
        recognized_seconds(as_array(values, PLACE), PLACE)


@pytest.mark.parametrize("text", ["", "soon", "1e99", "-1", "1_0", "2022-5-1", "nan", "1969-01-01"])
def test_parse_moment__refuses(text):
    with pytest.raises(ValueError, match="expected a date such as 2022-05-01, or seconds since"):
        parse_moment(text)


def test_parse_moment__does_not_ask_the_clock_of_the_machine(monkeypatch):
    if not hasattr(time, "tzset"):
        pytest.skip("the time zone of a process cannot be set here")
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    try:
        assert parse_moment("1970-01-02") == 86400
        assert seconds(as_array([date(1970, 1, 2)], PLACE), PLACE).tolist() == [86400]
    finally:
        monkeypatch.undo()
        time.tzset()
