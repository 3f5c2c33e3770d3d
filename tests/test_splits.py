"""Every split gives each interaction to one part, and fairly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.data import (
    DataError,
    GivenSplit,
    LastSplit,
    RandomSplit,
    TimeSplit,
)
from minitower.data.columns import read_columns
from minitower.data.errors import Place
from minitower.data.splits import part_labels


def log(**columns):
    return read_columns(columns, Place("log.inter", first_line=2))


users_and_times = st.integers(1, 40).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 4), min_size=n, max_size=n).map(np.array),
        st.lists(st.integers(0, 20), min_size=n, max_size=n).map(lambda t: np.array(t, float)),
    )
)
shares = st.tuples(st.integers(0, 5), st.integers(0, 4)).map(lambda s: (s[0] / 10, s[1] / 10))


@given(users_and_times, shares)
def test_time_split__no_part_reaches_into_the_one_before(pairs, share):
    users, times = pairs
    labels = TimeSplit(*share).labels(users, times)
    assert (labels == 0).any()
    for earlier in range(3):
        for later in range(earlier + 1, 3):
            if (labels == earlier).any() and (labels == later).any():
                assert times[labels == earlier].max() < times[labels == later].min()


@given(users_and_times, shares)
def test_time_split__shares_are_exact_where_no_times_are_equal(pairs, share):
    n = len(pairs[0])
    times = np.random.default_rng(n).permutation(n).astype(float)
    sizes = np.bincount(TimeSplit(*share).labels(pairs[0], times), minlength=3)
    assert sizes.tolist() == expected_sizes(n, *share)


@given(users_and_times, st.integers(0, 21), st.none() | st.integers(0, 21), st.booleans())
def test_time_split__by_dates_is_what_the_dates_say(pairs, end, start, as_text):
    users, times = pairs
    write = (lambda t: f"1970-01-01T00:00:{t:02}") if as_text else float
    dates = {"test_from": write(end), "validation_from": None if start is None else write(start)}
    if start is not None and start > end:
        with pytest.raises(DataError, match="a test_from that is not earlier"):
            TimeSplit(**dates)
        return
    labels = TimeSplit(**dates).labels(users, times)
    assert (labels == 2).tolist() == (times >= end).tolist()
    if start is not None:
        assert (labels == 1).tolist() == ((times >= start) & (times < end)).tolist()
        return
    before = times < end
    expected = TimeSplit(0.1, 0).labels(users[before], times[before]) if before.any() else []
    assert labels[before].tolist() == list(expected), "a share of what comes before the date"


def test_time_split__dates_are_utc_or_have_a_time_zone():
    times = np.array([1651363199.0, 1651363200.0])
    for date in ("2022-05-01", "2022-05-01T02:00+02:00", "1651363200", 1651363200):
        assert TimeSplit(0, test_from=date).labels(times, times).tolist() == [0, 2]
    with pytest.raises(DataError, match="TimeSplit: test_from: expected a date such as 2022-05-01"):
        TimeSplit(test_from="May 1st")
    with pytest.raises(DataError, match=r"the split TimeSplit.* leaves no positive for training"):
        part_labels(log(a=[1, 2]), times, times, "all", TimeSplit(test_from=0))


@given(users_and_times)
def test_time_split__equal_times_go_to_the_earlier_part(pairs):
    users, times = pairs
    labels = TimeSplit(0.2, 0.2).labels(users, times)
    assert (labels == 2).sum() <= round(len(users) * 0.2)  # ties only ever move out of test
    assert not TimeSplit(0.2, 0.2).labels(users, np.zeros(len(users))).any()


@given(users_and_times, st.integers(0, 3), st.integers(0, 3), st.booleans())
def test_last_split__equals_naive(pairs, valid, test, timed):
    users, times = pairs
    labels = LastSplit(valid, test).labels(users, times if timed else None)
    for user in set(users.tolist()):
        mine = np.flatnonzero(users == user).tolist()
        ordered = sorted(mine, key=lambda i: times[i]) if timed else mine  # stable
        n_test = min(test, len(mine) - 1)
        n_valid = min(valid, len(mine) - 1 - n_test)
        parts = [0] * (len(mine) - n_valid - n_test) + [1] * n_valid + [2] * n_test
        assert labels[ordered].tolist() == parts


@given(st.integers(1, 60), shares, st.integers(0, 5))
def test_random_split__has_its_sizes_and_its_seed(n, share, seed):
    users = np.zeros(n, int)
    labels = RandomSplit(*share, seed=seed).labels(users, None)
    assert np.bincount(labels, minlength=3).tolist() == expected_sizes(n, *share)
    assert np.array_equal(labels, RandomSplit(*share, seed=seed).labels(users, None))


def test_random_split__is_by_lot():
    n = 20_000
    labels = RandomSplit(0.1, 0.2).labels(np.zeros(n, int), None)
    for half in (labels[: n // 2], labels[n // 2 :]):
        assert np.bincount(half) / len(half) == pytest.approx([0.7, 0.1, 0.2], abs=0.02)
    assert not np.array_equal(labels, RandomSplit(0.1, 0.2, seed=1).labels(np.zeros(n, int), None))


def expected_sizes(n, valid, test):
    train = max(1, n - round(n * (valid + test)))
    held_out = min(round(n * test), n - train)
    return [train, n - train - held_out, held_out]


def test_given_split__reads_its_column():
    parts = ["test", "train", "valid", "train"]
    for column in (parts, np.array(parts)):
        assert GivenSplit("s").read(log(s=column)).tolist() == [2, 0, 1, 0]


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: GivenSplit("s").read(log(s=["train", "dev"])),
         "^log.inter, line 3, column 's': expected train, valid or test, got 'dev'$"),
        (lambda: GivenSplit("s").read(log(s=["train", None])), "line 3, .* got None$"),
        (lambda: GivenSplit("s").read(log(t=["train"])), "column 's' is missing"),
        (lambda: TimeSplit().labels(np.zeros(3, int), None), "needs a column of timestamps"),
        (lambda: TimeSplit(0.5, 0.5), "leave some for training; got 0.5 and 0.5"),
        (lambda: RandomSplit(-0.1, 0.5), "must be in"),
        (lambda: RandomSplit(float("nan"), 0.5), "must be in"),
        (lambda: LastSplit(1, -1), "LastSplit: test must be an integer within 0"),
    ],
)  # fmt: skip
def test_splits__refuse(call, message):
    with pytest.raises(DataError, match=message):
        call()


def test_time_split__refuses_an_integer_beyond_floats():
    with pytest.raises(DataError, match=r"^TimeSplit: test_from: "):
        TimeSplit(test_from=10**400)
