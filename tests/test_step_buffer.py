"""The steps of a stream: a function of the sequence of clicks, with the weights of each."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.data import DataError, Dataset, Id, RandomSplit, Schema
from minitower.towers.two_tower import TwoTower
from minitower.updating.branch import StepBuffer
from minitower.updating.streams import Events

IDS = Schema(user=[Id("u")], item=[Id("i")])
SMALL = Dataset.from_columns(
    IDS,
    {"u": np.arange(8), "i": np.arange(8) % 5},
    {"u": np.arange(10)},  # 8 and 9 are listed, and have no embedding of their own
    split=RandomSplit(0, 0),
)
SMALL_MODEL = TwoTower(SMALL.schema, dim=2, hidden=())


WEIGHED = replace(SMALL, weight="w")


def clicks(n, seed=0, weighed=False):
    """Users 10 and 11, and items 5 and 6, are unknown. Each weight is the number of the click."""
    rng = np.random.default_rng(seed)
    users, items, number = rng.integers(0, 12, n), rng.integers(0, 7, n), np.arange(float(n))
    return Events(users, items, number, weights=number if weighed else None)


@given(
    st.integers(0, 60),
    st.integers(2, 9),
    st.lists(st.integers(0, 60), max_size=5).map(sorted),
    st.booleans(),
)
def test_step_buffer__steps_are_those_of_the_whole_stream(n, size, cuts, weighed):
    """Every click on a known item once, in order; the rest stays in the buffer."""
    data = WEIGHED if weighed else SMALL
    stream, buffer, steps = clicks(n, weighed=weighed), StepBuffer(SMALL_MODEL, data, size), []
    for start, end in pairwise([0, *(min(cut, n) for cut in cuts), n]):
        steps += buffer.add(stream.take(slice(start, end)))
    known = stream.items < 5
    users = np.where(stream.users < 10, stream.users, -1)[known]
    assert all(len(step) == len(step.items) == size for step in steps)
    assert len(buffer) == known.sum() % size
    rest = buffer.rest()
    assert (rest is None) == (known.sum() % size < 2)
    assert len(buffer) == (known.sum() % size if rest is None else 0)
    steps += [rest] if rest is not None else []
    taken = sum(map(len, steps))
    assert np.concatenate([[], *(s.users for s in steps)]).tolist() == users[:taken].tolist()
    items = np.concatenate([[], *(s.items for s in steps)])
    if weighed:
        weights = np.concatenate([[], *(s.weights for s in steps)])
        assert weights.tolist() == stream.weights[known][:taken].tolist()
    else:
        assert all(step.weights is None for step in steps)
    assert items.tolist() == stream.items[known][:taken].tolist()
    assert buffer.unknown_items == (~known).sum()
    assert buffer.unknown_users == (stream.users >= 8).sum()


def test_step_buffer__refuses_clicks_out_of_order_and_keeps_what_it_has():
    buffer = StepBuffer(SMALL_MODEL, SMALL, 8)
    buffer.add(clicks(5))
    before = len(buffer), buffer.unknown_users
    with pytest.raises(DataError, match="event 0 is older than the last"):
        buffer.add(clicks(2))
    with pytest.raises(DataError, match="must be vectors of one length"):
        buffer.add(Events(np.arange(3), np.arange(2), np.arange(3.0) + 100))
    assert (len(buffer), buffer.unknown_users) == before


@pytest.mark.parametrize("weights, message", [
    (None, "events: weights are missing, but column 'w' weighs the clicks$"),
    ([1.0, -1.0], "events: weights must be at least 0$"),
    ([1.0, np.nan], "weights"),
    ([1.0], "must be vectors of one length$"),
])  # fmt: skip
def test_step_buffer__refuses_weights(weights, message):
    weights = None if weights is None else np.array(weights)
    events = Events(np.arange(2), np.arange(2), np.arange(2.0), weights=weights)
    with pytest.raises(DataError, match=message):
        StepBuffer(SMALL_MODEL, WEIGHED, 8).add(events)


def test_step_buffer__refuses_weights_that_training_did_not_know():
    with pytest.raises(DataError, match="have weights, but the data set has no column of weights"):
        StepBuffer(SMALL_MODEL, SMALL, 8).add(clicks(2, weighed=True))
