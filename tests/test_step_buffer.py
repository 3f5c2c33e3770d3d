"""Clicks become steps of one size, whatever the pieces in which they come."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.data import DataError, Dataset, Id, RandomSplit, Schema
from minitower.towers.two_tower import TwoTower
from minitower.updating.incremental_update import StepBuffer
from minitower.updating.streams import Events

SCHEMA = Schema(user=[Id("u")], item=[Id("i")])
DATA = Dataset.from_columns(
    SCHEMA,
    {"u": np.arange(8), "i": np.arange(8) % 5},
    {"u": np.arange(10)},  # 8 and 9 are listed, and have no embedding of their own
    split=RandomSplit(0, 0),
)
MODEL = TwoTower(DATA.schema, dim=2, hidden=())


def clicks(n, seed=0):
    """Users 10 and 11, and items 5 and 6, are unknown."""
    rng = np.random.default_rng(seed)
    return Events(rng.integers(0, 12, n), rng.integers(0, 7, n), np.arange(float(n)))


@given(st.integers(0, 60), st.integers(2, 9), st.lists(st.integers(0, 60), max_size=5).map(sorted))
def test_step_buffer__steps_are_those_of_the_whole_stream(n, size, cuts):
    """Every click on a known item once, in order; the rest stays in the buffer."""
    stream, buffer, steps = clicks(n), StepBuffer(MODEL, DATA, size), []
    for start, end in pairwise([0, *(min(cut, n) for cut in cuts), n]):
        steps += buffer.add(stream.take(slice(start, end)))
    known = stream.items < 5
    users = np.where(stream.users < 10, stream.users, -1)[known]
    assert all(len(users) == len(items) == size for users, items in steps)
    assert len(buffer) == known.sum() % size
    rest = buffer.rest()
    assert (rest is None) == (known.sum() % size < 2)
    assert len(buffer) == (known.sum() % size if rest is None else 0)
    steps += [rest] if rest is not None else []
    taken = sum(len(items) for _, items in steps)
    assert np.concatenate([[], *(users for users, _ in steps)]).tolist() == users[:taken].tolist()
    items = np.concatenate([[], *(items for _, items in steps)])
    assert items.tolist() == stream.items[known][:taken].tolist()
    assert buffer.unknown_items == (~known).sum()
    assert buffer.unknown_users == (stream.users >= 8).sum()


def test_step_buffer__refuses_clicks_out_of_order_and_keeps_what_it_has():
    buffer = StepBuffer(MODEL, DATA, 8)
    buffer.add(clicks(5))
    before = len(buffer), buffer.unknown_users
    with pytest.raises(DataError, match="event 0 is older than the last"):
        buffer.add(clicks(2))
    with pytest.raises(DataError, match="must be vectors of one length"):
        buffer.add(Events(np.arange(3), np.arange(2), np.arange(3.0) + 100))
    assert (len(buffer), buffer.unknown_users) == before
