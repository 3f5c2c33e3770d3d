"""Rules keep what they say; every split gives each interaction to one part, and fairly."""

import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.data import (
    DataError,
    GivenSplit,
    LastSplit,
    RandomSplit,
    Rule,
    TimeSplit,
    parse_rule,
)
from minitower.data.columns import read_columns
from minitower.data.errors import Place

OPERATORS = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
}


def log(**columns):
    return read_columns(columns, Place("log.inter", first_line=2))


# Rules


@given(
    st.sampled_from(sorted(OPERATORS)),
    st.integers(-3, 3),
    st.lists(st.integers(-3, 3) | st.none(), min_size=1),
    st.sampled_from(["", " ", "  "]),
    st.sampled_from(["numbers", "objects", "text"]),
)
def test_rule__equals_naive(symbol, value, column, space, kind):
    """Missing values never pass, not even !=."""
    expected = [v is not None and OPERATORS[symbol](v, value) for v in column]
    if kind == "text" and symbol in ("=", "==", "!="):
        column = ["" if v is None else str(v) for v in column]
    elif kind == "numbers":
        column = np.array([np.nan if v is None else v for v in column])
    rule = parse_rule(f"{space}r{space}{symbol}{space}{value}{space}")
    assert rule.apply(log(r=column)).tolist() == expected


@pytest.mark.parametrize(
    "text, rule",
    [
        ("rating >= 4", Rule("rating", ">=", "4")),
        ("click=1", Rule("click", "=", "1")),
        ("kind == 'pay now'", Rule("kind", "==", "pay now")),
        ('kind != "a"', Rule("kind", "!=", "a")),
        ("watch time > 2.5", Rule("watch time", ">", "2.5")),
    ],
)
def test_rule__parses(text, rule):
    assert parse_rule(text) == rule


def test_rule__text_and_truth():
    assert parse_rule("kind = buy").apply(log(kind=["buy", "see", None])).tolist() == [1, 0, 0]
    assert parse_rule("click = true").apply(log(click=[True, False])).tolist() == [1, 0]
    assert parse_rule("r > 3").apply(log(r=["4", "", "10", "3"])).tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize("text", ["rating", ">= 4", "rating >=", "", "rating 4"])
def test_rule__refuses_what_is_no_rule(text):
    with pytest.raises(DataError, match=r"cannot read the rule .*; write it like 'rating >= 4'"):
        parse_rule(text)


@pytest.mark.parametrize(
    "text, message",
    [
        ("stars > 3", "^log.inter: column 'stars' is missing; columns: r, kind$"),
        ("r >= high", "^log.inter, column 'r': the rule compares numbers with 'high'$"),
        ("r = high", "^log.inter, column 'r': the rule compares numbers with 'high'$"),
        ("kind > 3", "^log.inter, line 3, column 'kind': expected a number, got 'see'$"),
        ("kind > a", "^log.inter, line 3, column 'kind': expected a number, got 'see'$"),
    ],
)
def test_rule__refuses(text, message):
    with pytest.raises(DataError, match=message):
        parse_rule(text).apply(log(r=[1, 2], kind=["1", "see"]))


# Splits

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
