"""A branch owns its id tables and shares the rest; a copy of it learns on its own."""

import numpy as np

from minitower.data import Categorical, Dataset, Id, RandomSplit, Schema
from minitower.towers.optimizers import Adagrad
from minitower.towers.two_tower import TwoTower
from minitower.training.batches import Batches
from minitower.training.objectives import InBatchSoftmax
from minitower.training.regularization import Regularization
from minitower.training.trainer import Trainer
from minitower.updating.branch import Branch

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
