"""Weight decay and dropouts: what a step adds, exactly, and that without them it adds nothing."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from minitower.data import Categorical, Dataset, Id, RandomSplit, Schema
from minitower.data.schema import HISTORY
from minitower.data.table import Ragged
from minitower.formulas.similarity import l2_normalize
from minitower.towers.layers import RowGradient
from minitower.towers.optimizers import SGD
from minitower.towers.two_tower import TwoTower
from minitower.towers.user_history import UserHistory
from minitower.training.batches import Batches
from minitower.training.gradient_step import gradient_step
from minitower.training.objectives import InBatchSoftmax
from minitower.training.regularization import (
    Regularization,
    bound_rows,
    decay_rows,
    inverted_dropout,
)
from minitower.training.trainer import Trainer
from minitower.updating.incremental_update import IncrementalUpdate

USERS, ITEMS, KINDS = "user.u.embedding", "item.i.embedding", "item.kind.embedding"
RNG = np.random.default_rng(0)
DATA = Dataset.from_columns(
    Schema(user=[Id("u")], item=[Id("i"), Categorical("kind")]),
    {"u": RNG.integers(0, 30, 160), "i": RNG.integers(0, 20, 160)},
    items={"i": np.arange(20), "kind": RNG.choice(["a", "b", "c"], 20)},
    split=RandomSplit(0, 0),
)
shares = st.floats(0, 0.95)
vectors = arrays(float, (3, 4), elements=st.floats(-9, 9))


def small_model(**options):
    return TwoTower(DATA.schema, **({"dim": 4, "hidden": (6,), "seed": 1} | options))


def stepped(model, regularization=None, id_tables=None):
    batch = next(Batches(DATA, 16).epoch(np.random.default_rng(0)))
    how = {"id_tables": id_tables, "regularization": regularization}
    result = gradient_step(model, SGD(0.1), InBatchSoftmax(0.2), batch, **how)
    return result.loss, result.gradients


# ------------------------------------------------------------------ weight decay


@given(st.floats(0.01, 9))
def test_decay_rows__of_rows_in_use_alone(weight_decay):
    table, weight = np.arange(8.0).reshape(4, 2), np.ones((2, 2))
    gradients = {"t": RowGradient(np.array([1, 3]), np.ones((2, 2))), "w": weight}
    decayed = decay_rows(gradients, {"t": table, "w": weight}, weight_decay)
    assert decayed["t"].rows.tolist() == [1, 3]
    assert np.array_equal(decayed["t"].values, 1 + weight_decay * table[[1, 3]])
    assert decayed["w"] is weight, "dense layers do not decay"


def test_weight_decay__of_a_step_touches_the_rows_that_the_step_touches():
    """The others keep their bits; each touched row moves by -rate lambda w_r more, once."""
    plain, decayed = small_model(), small_model()
    before = {name: array.copy() for name, array in plain.parameters.items()}
    (loss, gradients), (same, _) = stepped(plain), stepped(decayed, Regularization(0.5))
    assert loss == same, "the loss is the objective's"
    for name, array in decayed.parameters.items():
        expected = plain.parameters[name].copy()
        if name in (USERS, ITEMS, KINDS):
            rows = gradients[name].rows
            assert len(rows) < len(array)
            expected[rows] -= 0.1 * 0.5 * before[name][rows]
        np.testing.assert_allclose(array, expected, rtol=0, atol=2e-7)
        untouched = np.setdiff1d(np.arange(len(array)), getattr(gradients[name], "rows", [0]))
        if name in (USERS, ITEMS, KINDS):
            assert np.array_equal(array[untouched], before[name][untouched])


def test_weight_decay__of_id_tables_leaves_the_rest_alone():
    """As an incremental update steps: all other parameters keep their bits, and so does row 0."""
    model, before = small_model(), small_model().parameters
    model.parameters[USERS][0] = before[USERS][0] = 1.0
    _, gradients = stepped(model, Regularization(0.5), [USERS])
    assert list(gradients) == [USERS]
    for name, array in model.parameters.items():
        assert np.array_equal(array, before[name]) == (name != USERS)
    assert np.array_equal(model.parameters[USERS][0], before[USERS][0])


# ------------------------------------------------------------------ bound of rows


@given(st.floats(0.01, 9), st.sampled_from([np.float32, np.float64]))
def test_bound_rows__of_rows_in_use_alone(max_norm, dtype):
    table = np.arange(12, dtype=dtype).reshape(4, 3)
    before, lengths = table.copy(), np.linalg.norm(table, axis=1)
    gradients = {"t": RowGradient(np.array([0, 1, 3]), np.ones((3, 3))), "w": np.ones((2, 2))}
    bound_rows({"t": table, "w": None}, gradients, max_norm)
    assert np.array_equal(table[2], before[2]), "a row without a gradient keeps its bits"
    for row in (0, 1, 3):
        if lengths[row] <= max_norm:
            assert np.array_equal(table[row], before[row])
        else:
            assert np.linalg.norm(table[row]) == pytest.approx(max_norm, rel=1e-6)
            assert table[row] * lengths[row] == pytest.approx(before[row] * max_norm, rel=1e-5)


def test_max_norm__bounds_what_a_step_moved_and_no_dense_layer():
    free, bound = small_model(), small_model()
    (_, gradients), _ = stepped(free), stepped(bound, Regularization(max_norm=0.5))
    for name, array in free.parameters.items():
        expected = array.copy()
        if name in (USERS, ITEMS, KINDS):
            rows = gradients[name].rows
            lengths = np.linalg.norm(array[rows], axis=1, keepdims=True)
            assert (lengths > 0.5).any(), "the step has rows to bound"
            expected[rows] *= np.minimum(1, 0.5 / lengths)
        np.testing.assert_allclose(bound.parameters[name], expected, rtol=1e-6, atol=1e-7)


def test_max_norm__of_id_tables_leaves_row_0_alone():
    model = small_model()
    model.parameters[USERS][0] = 3.0
    _, gradients = stepped(model, Regularization(max_norm=0.25), [USERS])
    lengths = np.linalg.norm(model.parameters[USERS], axis=1)
    assert lengths[gradients[USERS].rows] == pytest.approx(0.25)
    assert (model.parameters[USERS][0] == 3.0).all()


# ------------------------------------------------------------------ dropout


@given(vectors, st.sampled_from([0.0, 0.25, 0.5, 0.9]))
def test_inverted_dropout__keeps_the_mean(x, share):
    """Exactly: the sum over all masks of a row, each with its probability."""
    mean = np.zeros_like(x)
    for bits in product([True, False], repeat=4):
        keep = np.broadcast_to(bits, x.shape)
        probability = (1 - share) ** sum(bits) * share ** (4 - sum(bits))
        mean += probability * inverted_dropout(x, keep, share)[0]
    assert mean == pytest.approx(x, abs=1e-12)


@given(vectors, arrays(bool, (3, 4)), shares)
def test_inverted_dropout__gradient_is_the_transpose(x, keep, share):
    """The layer is linear in x: <d_y, f(x)> = <backward(d_y), x>."""
    d_y = np.random.default_rng(0).standard_normal(x.shape)
    y, backward = inverted_dropout(x, keep, share)
    assert np.vdot(d_y, y) == pytest.approx(np.vdot(backward(d_y), x), abs=1e-9)


def kept(regularization, step=0, shape=(400, 64)):
    return regularization.dropped(np.ones(shape), unit=False, step=step)[0] > 0


@given(st.floats(0.05, 0.95), st.integers(0, 9))
def test_user_dropout__drops_its_share(share, seed):
    mask = kept(Regularization(user_dropout=share, seed=seed))
    deviation = np.sqrt(share * (1 - share) / mask.size)
    assert abs((~mask).mean() - share) < 6 * deviation


def test_user_dropout__masks_are_a_function_of_seed_and_step():
    one, same, other = (Regularization(user_dropout=0.5, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(kept(one, 7), kept(same, 7))
    for mask in (kept(one, 8), kept(other, 7)):
        assert 0.45 < (mask == kept(one, 7)).mean() < 0.55


@given(vectors, st.floats(0.1, 0.9), st.integers(0, 9))
def test_user_dropout__of_unit_vectors_is_dropping_before_they_are_normalized(x, share, seed):
    """Both the vectors and the gradients, through the tower's own normalization."""
    how, d_y = Regularization(user_dropout=share, seed=seed), np.ones((3, 4))
    unit, back_unit = l2_normalize(x)
    got, back_drop = how.dropped(unit, unit=True, step=3)
    dropped, back_plain = how.dropped(x, unit=False, step=3)
    expected, back_norm = l2_normalize(dropped)
    clear = (np.linalg.norm(dropped, axis=1) > 1e-3) & (np.linalg.norm(x, axis=1) > 1e-3)
    assert got[clear] == pytest.approx(expected[clear], abs=1e-9)
    d_x = back_unit(back_drop(d_y))
    assert d_x[clear] == pytest.approx(back_plain(back_norm(d_y))[clear], rel=1e-6, abs=1e-6)


def test_user_dropout__is_in_the_step_and_in_the_step_alone():
    """It changes the loss; the model's own vectors and the order of the batches stay."""
    model = small_model()
    before = model.user(DATA.users.columns)[0]
    loss, _ = stepped(small_model())
    assert stepped(model, Regularization(user_dropout=0.5))[0] != loss
    assert np.array_equal(small_model().user(DATA.users.columns)[0], before)
    trainers = [
        Trainer(
            small_model(), DATA, batch_size=32, regularization=Regularization(user_dropout=share)
        )
        for share in (0.0, 0.5)
    ]
    for trainer in trainers:
        trainer.fit(1)
    one, other = (trainer.rng.random() for trainer in trainers)
    assert one == other, "shuffling drew the same numbers"


# ------------------------------------------------------------------ dropout of histories

LENGTHS = RNG.integers(0, 40, 300)
CLICKS = Ragged.from_counts(LENGTHS, np.arange(1, LENGTHS.sum() + 1))


def shortened(step=0, **options):
    """The clicks that a step keeps of histories whose clicks are all distinct."""
    return Regularization(**options).shortened({HISTORY: CLICKS, "u": LENGTHS}, step=step)


@given(st.floats(0.05, 0.95), st.integers(0, 9))
def test_history_dropout__keeps_its_share_of_the_clicks_in_their_order(share, seed):
    found = shortened(history_dropout=share, seed=seed)
    assert found["u"] is LENGTHS, "other features stay"
    for i, row in enumerate(rows := [found[HISTORY].row(i) for i in range(len(CLICKS))]):
        assert np.isin(row, CLICKS.row(i)).all(), "each click stays with its user"
        assert (np.diff(row) > 0).all()
    deviation = np.sqrt(share * (1 - share) / len(CLICKS.values))
    assert abs(sum(map(len, rows)) / len(CLICKS.values) - (1 - share)) < 6 * deviation


def test_history_dropout__is_a_function_of_seed_and_step():
    values = lambda *a, **k: shortened(*a, history_dropout=0.5, **k)[HISTORY].values.tolist()
    assert values(7, seed=1) == values(7, seed=1)
    assert values(7, seed=1) != values(8, seed=1)
    assert values(7, seed=1) != values(7, seed=2)


def test_history_dropout__is_in_the_step_and_in_the_step_alone():
    """The gradient of a step reaches the clicks that it kept; the batch holds all of them."""
    model = small_model(hidden=(), history=UserHistory(9, table="own"))
    batch = next(Batches(DATA, 16, last_clicks=9).epoch(np.random.default_rng(0)))
    how, before = Regularization(history_dropout=0.5), {*batch.users[HISTORY].values}
    kept_clicks = {*how.shortened(batch.users, step=0)[HISTORY].values}
    options = {"regularization": how}
    gradients = gradient_step(model, SGD(0.1), InBatchSoftmax(0.2), batch, **options).gradients
    assert {*gradients["user.history.embedding"].rows} - {0} == kept_clicks < before
    assert {*batch.users[HISTORY].values} == before


def test_history_dropout__needs_a_history():
    how = Regularization(history_dropout=0.5)
    with pytest.raises(ValueError, match="the model has no history"):
        Trainer(small_model(), DATA, regularization=how)
    with pytest.raises(ValueError, match="the model has no history"):
        IncrementalUpdate(small_model(), DATA, regularization=how)
    model = small_model(history=UserHistory(3))
    Trainer(model, DATA, regularization=how).fit(1)
    IncrementalUpdate(model, DATA, regularization=how)


# ------------------------------------------------------------------ off


def test_regularization__off_changes_no_bit():
    users = np.ones((2, 3), np.float32)
    off = Regularization(seed=9)
    assert off.dropped(users, unit=True, step=4)[0] is users
    gradients = {"w": np.ones(3)}
    assert off.decayed(gradients, {}) is gradients
    off.bound({}, {"t": RowGradient(np.zeros(1, int), np.ones((1, 1)))})
    features = {HISTORY: CLICKS}
    assert off.shortened(features, step=4) is features


@pytest.mark.parametrize("options", [
    {"weight_decay": -1}, {"weight_decay": np.inf}, {"max_norm": -1}, {"max_norm": np.nan},
    {"user_dropout": 1}, {"user_dropout": -0.1},
    {"user_dropout": "x"}, {"seed": -1}, {"history_dropout": 1}, {"history_dropout": -0.1},
])  # fmt: skip
def test_regularization__refuses(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Regularization(**options)
