"""Histories: what each user clicked before a moment, against a loop over the log."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.data import DataError, Dataset, GivenSplit, Id, Schema, next_day
from minitower.data.histories import TrainingHistories, clicks_before, latest, read_history
from minitower.data.table import Ragged

SCHEMA = Schema([Id("user_id")], [Id("item_id")])
PARTS = ["train", "valid", "test"]


def dataset(log, timed=True):
    """A data set of (user, item, time, part)."""
    users, items, times, parts = (list(column) for column in zip(*log, strict=True))
    columns = {"user_id": users, "item_id": items, "part": parts}
    if timed:
        columns["timestamp"] = times
    return Dataset.from_columns(SCHEMA, columns, split=GivenSplit("part"), positive="all")


def items_of(data, ragged):
    """The item ids of each row."""
    values = data.schema.item.vocabulary("item_id").values
    return [values[ragged.row(i) - 1].tolist() for i in range(len(ragged))]


logs = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 4), st.sampled_from(PARTS)),
    min_size=1,
    max_size=25,
).map(lambda log: [(0, 0, 0, "train"), *log])


@given(logs, st.sampled_from([*PARTS, "all"]), st.booleans(), st.integers(1, 4))
def test_clicks_before_a_split_are_those_of_the_log(log, split, timed, last):
    data = dataset(log, timed)
    known = {item for _, item, _, part in log if part == "train"}
    parts = PARTS[: [*PARTS, "all"].index(split)]
    kept = [click for part in parts for click in log if click[3] == part and click[1] in known]
    if timed:
        kept.sort(key=lambda click: click[2])  # stable
    expected = [[item for u, item, _, _ in kept if u == user] for user in data.users.ids]
    assert items_of(data, clicks_before(data, split)) == expected
    shortened = items_of(data, latest(clicks_before(data, split), last))
    assert shortened == [row[-last:] for row in expected]


@given(logs, st.integers(1, 4))
def test_with_times_a_history_is_what_came_strictly_earlier(log, last):
    data = dataset(log)
    found = items_of(data, TrainingHistories(data, last).before(data.train))
    train = [click for click in log if click[3] == "train"]
    for (user, _, time, _), history in zip(train, found, strict=True):
        earlier = [click for click in train if click[0] == user and click[2] < time]
        expected = [item for _, item, _, _ in sorted(earlier, key=lambda click: click[2])]
        assert history == expected[-last:]


@given(logs, st.integers(1, 4))
def test_without_times_a_history_leaves_the_click_out(log, last):
    data = dataset(log, timed=False)
    found = items_of(data, TrainingHistories(data, last).before(data.train))
    train = [click[:2] for click in log if click[3] == "train"]
    for (user, item), history in zip(train, found, strict=True):
        newest = [i for u, i in train if u == user][-last - 1 :]
        assert history == [i for i in newest if i != item][-last:]
        assert item not in history


@given(logs, st.integers(1, 4))
def test_the_other_clicks_with_times_are_those_beside_the_click(log, last):
    data = dataset(log)
    found = items_of(data, TrainingHistories(data, last, others=True).before(data.train))
    train = [click[:3] for click in log if click[3] == "train"]
    ordered = sorted(train, key=lambda click: click[2])  # stable
    for (user, item, _), history in zip(train, found, strict=True):
        newest = [i for u, i, _ in ordered if u == user][-last - 1 :]
        assert history == [i for i in newest if i != item][-last:]


@given(logs, st.permutations(range(26)))
def test_what_comes_later_changes_no_history(log, order):
    """The items of later clicks are shuffled: the histories of earlier clicks stay."""
    moment = 2
    later = [k for k, click in enumerate(log) if click[2] >= moment]
    shuffled = [later[k] for k in sorted(range(len(later)), key=lambda k: order[k])]
    other = list(log)
    for k, source in zip(later, shuffled, strict=True):
        other[k] = (log[k][0], log[source][1], log[k][2], "train")
    log = [click if k not in later else (*click[:3], "train") for k, click in enumerate(log)]
    before = []
    for one in (log, other):
        data = dataset(one)
        histories = items_of(data, TrainingHistories(data, 3).before(data.train))
        times = data.train.timestamps
        before.append([h for h, time in zip(histories, times, strict=True) if time <= moment])
    assert before[0] == before[1]


def test_a_day_goes_on_from_the_clicks_before_it():
    first = dataset([(1, 10, 1, "train"), (1, 11, 5, "train"), (2, 10, 3, "train")])
    log = {"user_id": [1, 3, 1], "item_id": [12, 10, 10], "timestamp": [4, 9, 8]}
    day = next_day(first, log)
    assert items_of(day, day.recent) == [[10, 11], [10], []]
    assert items_of(day, clicks_before(day, "all")) == [[10, 11, 12, 10], [10], [10]]
    histories = TrainingHistories(day, 2).before(day.train)
    assert items_of(day, histories) == [[10, 11], [], [11, 12]]


def test_an_item_without_a_row_of_its_own_is_in_no_history():
    data = dataset([(1, 10, 1, "train"), (1, 99, 2, "valid"), (1, 10, 3, "valid")])
    assert items_of(data, clicks_before(data, "test")) == [[10, 10]]


def test_the_split_must_be_known():
    data = dataset([(1, 10, 1, "train")])
    with pytest.raises(DataError, match="split must be one of train, valid, test, all, got 'x'"):
        clicks_before(data, "x")


@pytest.mark.parametrize(
    "given_ids, rows",
    [
        ([11, 10], [2, 1]),
        ([], []),
        (None, []),
        ([10, 99, 11], [1, 2]),
        (np.array([10] * 5), [1] * 3),
    ],
)
def test_a_profile_gives_a_history(given_ids, rows):
    data = dataset([(1, 10, 1, "train"), (1, 11, 5, "train")])
    assert read_history(data.schema.item, given_ids, 3).tolist() == rows


@pytest.mark.parametrize(
    "given_ids",
    [
        5,
        "10",
        [[10]],
        [[1], [2, 3]],
        {10},
        np.ones((2, 2), int),
        {"a": 1},
        1.5,
        ["10"],
        [None, "x"],
    ],
)
def test_a_profile_with_no_list_of_ids_is_refused(given_ids):
    data = dataset([(1, 10, 1, "train")])
    with pytest.raises(DataError, match="history"):
        read_history(data.schema.item, given_ids, 3)


def test_latest_of_no_clicks():
    empty = Ragged.from_counts([0, 0], [])
    assert latest(empty, 5).counts.tolist() == [0, 0]
