"""One step: the loss falls along its gradient, and what is not finite is named."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.data import Categorical, Dataset, GivenSplit, Id, Schema
from minitower.towers.layers import RowGradient, add_gradients
from minitower.towers.optimizers import SGD
from minitower.towers.two_tower import TwoTower
from minitower.training.batches import Batches
from minitower.training.gradient_step import TrainingError, gradient_step
from minitower.training.objectives import InBatchSoftmax
from minitower.training.self_supervised import ContrastiveLoss, SelfSupervised
from minitower.training.trainer import Trainer

USERS, ITEMS = "user.u.embedding", "item.i.embedding"


def dataset():
    rng = np.random.default_rng(0)
    log = {"u": rng.integers(0, 30, 160), "i": rng.integers(0, 20, 160), "part": ["train"] * 160}
    items = {"i": np.arange(20), "kind": rng.choice(["a", "b", "c"], 20)}
    schema = Schema(user=[Id("u")], item=[Id("i"), Categorical("kind")])
    return Dataset.from_columns(schema, log, None, items, split=GivenSplit("part"))


DATA = dataset()


def small_model(**options):
    return TwoTower(DATA.schema, **({"dim": 4, "hidden": (6,), "seed": 1} | options))


def one_batch(size=16, seed=0):
    return next(Batches(DATA, size).epoch(np.random.default_rng(seed)))


def stepped(model, batch, optimizer=None, **options):
    return gradient_step(model, optimizer or SGD(0.1), InBatchSoftmax(0.2), batch, **options)


@given(st.integers(2, 40), st.integers(0, 5))
def test_gradient_step__subtracts_rate_times_the_gradient(size, seed):
    """Plain SGD on the gradients of the towers, added by hand; the loss is that before the step."""
    batch, model, before = one_batch(size, seed), small_model(), small_model()
    users, back_users = before.user(batch.users)
    items, back_items = before.item(batch.items)
    loss, (d_users, d_items) = InBatchSoftmax(0.2)(users, items, batch)
    expected = add_gradients(back_users(d_users), back_items(d_items))
    got, contrastive, gradients = stepped(model, batch)
    assert (got, contrastive) == (loss, 0)
    assert gradients.keys() == expected.keys()
    for name, gradient in expected.items():
        parameter = before.parameters[name].copy()
        if isinstance(gradient, RowGradient):
            parameter[gradient.rows] -= np.float32(0.1) * gradient.values
        else:
            parameter -= np.float32(0.1) * gradient
        np.testing.assert_allclose(model.parameters[name], parameter, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("tables", [[USERS], [USERS, ITEMS]])
def test_gradient_step__id_tables_alone_move_as_they_would_with_all_others(tables):
    """The same rows by the same values; all other parameters keep their bits."""
    batch, model, free = one_batch(), small_model(), small_model()
    before = small_model().parameters
    _, _, gradients = stepped(model, batch, id_tables=tables)
    stepped(free, batch)
    assert list(gradients) == tables
    for name, parameter in model.parameters.items():
        wanted = free.parameters if name in tables else before
        np.testing.assert_array_equal(parameter, wanted[name])


def test_gradient_step__row_0_of_an_id_table_never_moves():
    """Row 0 is shared by all unknown ids."""
    batch = one_batch()
    batch.users["u"][:5] = 0
    model, free = small_model(), small_model()
    start = np.arange(1.0, 5.0, dtype=np.float32)
    for one in (model, free):
        one.parameters[USERS][0] = start
    _, _, gradients = stepped(model, batch, id_tables=[USERS])
    stepped(free, batch)
    assert gradients[USERS].rows.min() > 0
    np.testing.assert_array_equal(model.parameters[USERS][0], start)
    assert not np.array_equal(free.parameters[USERS][0], start)


def test_gradient_step__adds_the_self_supervised_gradient():
    """It returns the loss of the objective and that of the views apart."""
    batch, views = one_batch(), SelfSupervised(augment="mask", alpha=0.5, batch_size=8)
    with_views, without = small_model(), small_model()
    result = stepped(with_views, batch, contrastive_loss=ContrastiveLoss(views, DATA, seed=0))
    plain = stepped(without, batch)
    loss_of_views, of_views = ContrastiveLoss(views, DATA, seed=0)(small_model())
    assert result.loss == plain.loss
    assert result.contrastive_loss == loss_of_views > 0
    rows = of_views[ITEMS].rows
    apart = with_views.parameters[ITEMS] - without.parameters[ITEMS]
    np.testing.assert_allclose(apart[rows], -0.1 * of_views[ITEMS].values, atol=1e-6)


def poisoned(at, loss=1.0, gradient=0.0):
    """An objective that goes wrong at one step."""
    calls = iter(range(1, 100))

    def objective(users, items, batch):
        bad = next(calls) == at
        pull = np.full_like(users, gradient if bad else 0.0)
        return (loss if bad else 1.0), (pull, np.zeros_like(items))

    return objective


def test_a_loss_that_is_not_finite_stops_training_before_it_does_harm():
    model = small_model()
    before = {name: array.copy() for name, array in model.parameters.items()}
    with pytest.raises(TrainingError, match=r"^step 3: the loss is nan"):
        Trainer(model, DATA, objective=poisoned(3, loss=np.nan), batch_size=16).fit(1)
    for name, array in model.parameters.items():
        assert np.array_equal(array, before[name])


@pytest.mark.parametrize("what", [{"loss": np.inf}, {"gradient": np.nan}])
def test_what_is_not_finite_names_its_likely_cause(what):
    """At the first step no learning rate has acted; afterwards it is the first suspect."""
    cause = r"lower the learning rate if earlier steps went well; else .*temperature.*features$"
    with pytest.raises(TrainingError, match=rf"^step 2: .*{cause}"):
        Trainer(small_model(), DATA, objective=poisoned(2, **what), batch_size=16).fit(1)


def test_a_gradient_that_is_not_finite_is_named():
    trainer = Trainer(
        small_model(hidden=()), DATA, objective=poisoned(2, gradient=np.inf), batch_size=16
    )
    with pytest.raises(TrainingError, match=r"step 2: the gradient of 'user\.u\.embedding'"):
        trainer.fit(1)


def test_a_parameter_that_is_not_finite_is_named():
    objective = poisoned(2, gradient=1e35)
    model = TwoTower(DATA.schema, dim=8, hidden=(), similarity="inner_product")
    trainer = Trainer(model, DATA, objective=objective, optimizer=SGD(1e6), batch_size=16)
    with pytest.raises(TrainingError, match=r"step 2: the parameter 'user\.u\.embedding'"):
        trainer.fit(1)
