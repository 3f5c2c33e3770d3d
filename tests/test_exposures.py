"""Exposures: what each user was shown and did not click; lists of ids in strings."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.data import DataError, Dataset, Id, LastSplit, Schema, TimeSplit, next_day
from minitower.data.errors import Place
from minitower.data.exposures import id_lists
from minitower.training.hard_negatives import exposed_negatives

IDS = Schema(user=[Id("u")], item=[Id("i")])
rows = st.tuples(
    st.integers(0, 2), st.integers(0, 4), st.integers(0, 9), st.booleans(),
    st.lists(st.integers(0, 6), max_size=3),
)  # fmt: skip


def lists(data):
    """{user: item ids} of the exposures of a data set."""
    exposed = data.exposed()
    return {
        user: set(data.items.ids[exposed.row(row)].tolist())
        for row, user in enumerate(data.users.ids.tolist())
    }


@given(st.lists(rows, min_size=1, max_size=12), st.booleans(), st.booleans())
def test_exposed__equals_naive(log, timed, listed):
    users, items, times, clicked, shown = zip(*log)
    columns = {"u": users, "i": items, "click": [int(c) for c in clicked]}
    columns |= {"timestamp": times} if timed else {}
    columns |= {"shown": list(shown)} if listed else {}
    split = TimeSplit(0, test_from=5) if timed else LastSplit(0, 0)
    try:
        data = Dataset.from_columns(
            IDS, columns, positive="click = 1", split=split, exposed="shown" if listed else None
        )
    except DataError:  # no positive in training
        return
    trains = [c and not (timed and t >= 5) for c, t in zip(clicked, times)]
    expected = {}
    for user in set(users):
        last = max([t for u, t, is_in in zip(users, times, trains) if u == user and is_in],
                   default=-1)  # fmt: skip
        seen = {i for u, i, is_in in zip(users, items, trains) if u == user and is_in}
        found = set()
        for u, i, t, c, shown_with, is_in in zip(users, items, times, clicked, shown, trains):
            counts = is_in or (not c and (not timed or t <= last))
            if u == user and counts:
                found |= ({i} if not c else set()) | (set(shown_with) if listed else set())
        expected[user] = (found & set(items)) - seen
    assert lists(data) == expected


def test_exposed__are_negatives_of_the_users_that_saw_them():
    log = {"u": [1, 1, 2], "i": [7, 8, 9], "click": [1, 0, 1], "shown": [[8, 9], [], "5 7"]}
    data = Dataset.from_columns(
        IDS, log, positive="click = 1", split=LastSplit(0, 0), exposed="shown"
    )
    with pytest.raises(DataError, match="among numbers"):
        data.exposed()
    log["shown"][2] = [5, 7]
    data = Dataset.from_columns(
        IDS, log, positive="click = 1", split=LastSplit(0, 0), exposed="shown"
    )
    assert lists(data) == {1: {8, 9}, 2: {7}}, "5 is no item"
    with pytest.warns(UserWarning, match="no negative for retrieval"):
        source = exposed_negatives(data.exposed(), 4)
    drawn = source.draw(data.train, None, np.random.default_rng(0))
    assert set(data.items.ids[drawn.items[drawn.pair_index == 1]].tolist()) == {7}


def test_exposed__of_a_day_is_unknown():
    data = Dataset.from_columns(IDS, {"u": [1, 1], "i": [7, 8]}, split=LastSplit(0, 0))
    assert lists(data) == {1: set()}
    with pytest.raises(DataError, match="the columns of this data set are not at hand"):
        next_day(data, {"u": [1], "i": [7]}).exposed()


PLACE = Place("log.csv", "exposed", first_line=2)
KNOWN = {
    "integers": [7, 12, 120],
    "with commas": ["pen, blue", "ink", "cup,"[:3]],
    "with spaces": ["blue pen", "ink", "a b c"],
}


def objects(values):
    return np.fromiter(values, object, len(values))


@given(st.sampled_from(sorted(KNOWN)), st.sampled_from(["|", ";", ",", " ", " | "]), st.data())
def test_id_lists__reads_what_was_joined(kind, separator, data):
    ids = [value for value in KNOWN[kind] if separator not in str(value)]
    lists = data.draw(st.lists(st.lists(st.sampled_from(ids)), min_size=1))
    strings = objects([separator.join(map(str, values)) for values in lists])
    found, dropped = id_lists(strings, objects(KNOWN[kind]), PLACE)
    assert found.tolist() == lists
    assert dropped == 0


def test_id_lists__unknown_ids_are_counted_and_lists_stay():
    found, dropped = id_lists(objects(["1,2,99", [2, 5], ""]), np.array([1, 2]), PLACE)
    assert found.tolist() == [[1, 2], [2, 5], []]
    assert dropped == 1


@pytest.mark.parametrize(
    "strings, message",
    [
        (["1,2", "[1, 2]"], r"log.csv, line 3, column 'exposed': .*'\|' between.*got '\[1, 2\]'"),
        (["a/b", "b/c"], r"log.csv, column 'exposed': no item of the data is here; .*got 'a/b'"),
    ],
)
def test_id_lists__refuses_other_forms(strings, message):
    with pytest.raises(DataError, match=message):
        id_lists(objects(strings), objects([1, 2, "a", "b"]), PLACE)
