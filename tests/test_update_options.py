"""The options of updates: how their strings are read, and what is refused."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.data import DataError
from minitower.data.options import declared
from minitower.updating.options import (
    FullUpdateOptions,
    IncrementalOptions,
    UpdateOptions,
    read_duration,
    read_lateness,
    read_moment,
)


@given(st.floats(1e-3, 1e6), st.sampled_from([("s", 1), ("m", 60), ("h", 3600)]))
def test_read_duration__is_the_number_times_its_unit(number, unit):
    letter, seconds = unit
    assert read_duration(f"{number!r}{letter}") == number * seconds
    assert read_lateness(f"{number!r}{letter}") == number * seconds
    assert read_lateness(repr(number)) == number


@pytest.mark.parametrize(
    "text", ["", "s", "5", "5x", "0m", "-1s", "nanh", "infs", "1e309s", "1h1h"]
)
def test_read_duration__refuses(text):
    with pytest.raises(ValueError, match="expected a time such as 90s, 20m or 2h"):
        read_duration(text)


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("0", 0.0),
        ("1e9", 1e9),
        (7, 7.0),
        ("1970-01-02", 86400.0),
        ("1970-01-01T01:00:00", 3600.0),
        ("1970-01-01T01:00:00+01:00", 0.0),
        ("start", -math.inf),
    ],
)
def test_read_moment__is_seconds_since_1970(text, seconds):
    assert read_moment(text) == seconds


@pytest.mark.parametrize("text", ["", "nan", "inf", "1e400", "yesterday", "2022-13-01", None])
def test_read_moment__refuses(text):
    with pytest.raises(ValueError, match="expected seconds since 1970 or a date"):
        read_moment(text)


def test_options__each_has_help_and_a_default():
    common = declared(UpdateOptions)
    for kind in (FullUpdateOptions, IncrementalOptions):
        options = declared(kind)
        assert common.keys() < options.keys()
        for name, option in options.items():
            assert option.help, name
            assert not option.required, name
    both = declared(FullUpdateOptions).keys() & declared(IncrementalOptions).keys()
    assert both == common.keys()


@pytest.mark.parametrize(
    "kind, said",
    [
        (UpdateOptions, {"max_error_rate": 1.01}),
        (UpdateOptions, {"max_error_rate": math.nan}),
        (UpdateOptions, {"min_errors": -1}),
        (UpdateOptions, {"min_errors": 1.5}),
        (UpdateOptions, {"max_clock_skew": -1.0}),
        (FullUpdateOptions, {"validate": -0.1}),
        (FullUpdateOptions, {"validate": math.nan}),
        (FullUpdateOptions, {"validate": 0.1, "at_least": math.nan}),
        (IncrementalOptions, {"allowed_lateness": -1}),
        (IncrementalOptions, {"every": math.inf}),
        (IncrementalOptions, {"training": {"self_supervised": "mask"}}),
    ],
)
def test_options__refuse_a_value_outside_the_domain(kind, said):
    with pytest.raises(DataError, match=list(said)[-1]):
        kind(**said)
