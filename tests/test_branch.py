"""A branch owns its id tables and shares the rest; a copy of it learns on its own.

The steps of a stream are a function of the sequence of clicks, with the weights of each.
"""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.data import Categorical, DataError, Dataset, Id, RandomSplit, Schema
from minitower.towers.optimizers import Adagrad
from minitower.towers.two_tower import TwoTower
from minitower.training.batches import Batches
from minitower.training.objectives import InBatchSoftmax
from minitower.training.regularization import Regularization
from minitower.training.trainer import Trainer
from minitower.updating.branch import Branch
from minitower.updating.step_buffer import StepBuffer
from minitower.updating.streams import Events

USERS = "user.u.embedding"
SCHEMA = Schema(user=[Id("u"), Categorical("city")], item=[Id("i")])
RNG = np.random.default_rng(0)
DATA = Dataset.from_columns(
    SCHEMA,
    {"u": RNG.integers(0, 20, 100), "i": RNG.integers(0, 10, 100)},
    {"u": np.arange(20), "city": ["rome", "oslo"] * 10},
    split=RandomSplit(0, 0),
)
FULL, OPTIMIZER = TwoTower(DATA.schema, dim=4, hidden=(6,)), Adagrad(0.1)
Trainer(FULL, DATA, batch_size=20, optimizer=OPTIMIZER).fit(1)


def branch_off(regularization=None):
    regularization = regularization or Regularization()
    return Branch.off(FULL, OPTIMIZER, InBatchSoftmax(), regularization, [USERS])


def batches(seed):
    return list(Batches(DATA, 20).epoch(np.random.default_rng(seed)))


def test_branch__shares_all_arrays_but_those_that_move():
    branch = branch_off()
    for name, parameter in FULL.parameters.items():
        assert np.shares_memory(parameter, branch.model.parameters[name]) == (name != USERS)
    for key, state in OPTIMIZER.state.items():
        shared = np.shares_memory(state, branch.optimizer.state[key])
        assert shared == (not key.startswith(USERS))


def test_branch__moved_rows_are_those_that_differ_from_the_full_model():
    branch, (first, *_) = branch_off(), batches(1)
    assert branch.moved_rows() == {}
    branch.step(first)
    ((name, (rows, values)),) = branch.moved_rows().items()
    assert name == USERS
    assert rows.tolist() == sorted(set(first.users["u"].tolist()) - {0})
    assert np.array_equal(values, branch.model.parameters[USERS][rows])
    assert branch.pairs == 20
    branch.model.parameters[USERS][rows[0]] = FULL.parameters[USERS][rows[0]]
    assert branch.moved_rows()[USERS][0].tolist() == rows[1:].tolist(), "moved there and back"


def test_branch__a_copy_learns_on_its_own():
    branch, other = (branch_off() for _ in range(2))
    first, second, *_ = batches(2)
    for one in (branch, other):
        one.step(first)
    copied = branch.copy()
    copied.step(second)
    assert (copied.pairs, branch.pairs) == (40, 20)
    assert copied.total_loss > branch.total_loss == other.total_loss
    for arrays, wanted in (
        (branch.model.parameters, other.model.parameters),
        (branch.optimizer.state, other.optimizer.state),
        (branch.touched, other.touched),
    ):
        assert all(np.array_equal(arrays[name], wanted[name]) for name in wanted)
    other.step(second)
    assert np.array_equal(copied.model.parameters[USERS], other.model.parameters[USERS])
    assert copied.optimizer.step == other.optimizer.step


def test_branch__steps_with_the_regularization_of_the_full_model():
    """A copy, too: more decay for each row that moves, and another mask in each step."""
    how = Regularization(weight_decay=0.5, user_dropout=0.25)
    plain, branch = branch_off(), branch_off(how)
    first, second, *_ = batches(2)
    plain.step(first)
    branch.step(first)
    assert not np.array_equal(branch.model.parameters[USERS], plain.model.parameters[USERS])
    copied = branch.copy()
    for one in (branch, copied):
        one.step(second)
    assert np.array_equal(branch.model.parameters[USERS], copied.model.parameters[USERS])


# --- steps of clicks

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
