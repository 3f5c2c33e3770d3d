"""Training, encoding and exact search have the same bits on one, two and four threads."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from objectives import OWN, SHARED

import minitower as mt
from minitower.data.table import Ragged
from minitower.evaluation import encode as encoding
from minitower.formulas import logq
from minitower.formulas.blocked import blocked_in_batch_softmax
from minitower.search import index as exact

THREADS = 1, 2, 4


@pytest.fixture(autouse=True)
def _one_thread_after():
    yield
    mt.use_threads(1)


def bits(x):
    """Every array in a nest of tuples, lists and dicts, as bytes."""
    if isinstance(x, dict):
        return [(name, bits(value)) for name, value in x.items()]
    if isinstance(x, tuple | list):
        return [bits(part) for part in x]
    return x if isinstance(x, str) else np.asarray(x).tobytes()


def on_all_threads(work):
    """The bits of what a call returns on one thread; they must be those on several."""
    found = []
    for n in THREADS:
        mt.use_threads(n)
        found.append(bits(work()))
    assert found[1:] == found[:1] * (len(THREADS) - 1)
    return found[0]


def clicks(n=1500, users=90, items=70):
    rng = np.random.default_rng(0)
    return mt.Dataset.from_columns(
        mt.Schema(
            user=[mt.Id("u"), mt.Categorical("group", dim=4)],
            item=[mt.Id("i"), mt.MultiValued("tags", dim=4), mt.Continuous("price")],
        ),
        {
            "u": np.concatenate([np.arange(users), rng.integers(0, users, n)]),
            "i": np.concatenate([np.arange(users) % items, rng.integers(0, items, n)]),
            "timestamp": np.arange(users + n),
            "weight": rng.random(users + n),
        },
        users={"u": np.arange(users), "group": np.arange(users) % 7},
        items={
            "i": np.arange(items),
            "tags": [[str(i % 5), str(i % 3)] for i in range(items)],
            "price": rng.random(items),
        },
        positive="all",
        split=mt.RandomSplit(valid=0, test=0),
    )


DATA = clicks()
MODELS = {
    "layers": {"hidden": (8,)},
    "layers and history": {"hidden": (8,), "history": mt.UserHistory(5)},
}
PARTS = {
    "hard": {"regularization": mt.Regularization(weight_decay=0.01, max_norm=1, user_dropout=0.2)},
    "views": {"self_supervised": mt.SelfSupervised(augment="mask", batch_size=40)},
}


def trained(objective, *, model=MODELS["layers"], batch_size=600, **options):
    """Parameters, state of the optimizer and losses after two epochs of three batches."""
    one = mt.TwoTower(DATA.schema, dim=8, seed=0, **model)
    trainer = mt.Trainer(one, DATA, objective=objective(), batch_size=batch_size, **options)
    history = trainer.fit(epochs=2)
    losses = [repr(replace(epoch, seconds=0)) for epoch in history.epochs]
    return one.parameters, trainer.optimizer.state, losses


@pytest.mark.parametrize("objective", [*SHARED, mt.CrossBatchSoftmax(900)], ids=repr)
def test_training__with_candidates_that_the_batch_shares(objective):
    again = lambda: mt.CrossBatchSoftmax(900)
    make = again if isinstance(objective, mt.CrossBatchSoftmax) else lambda: objective
    on_all_threads(lambda: trained(make, negatives=mt.shared_negatives(DATA, 300)))


@pytest.mark.parametrize("objective", OWN, ids=repr)
def test_training__with_negatives_of_each_pair(objective):
    on_all_threads(lambda: trained(lambda: objective, negatives=mt.uniform_negatives(DATA, 3)))


@pytest.mark.parametrize(
    "optimizer", [mt.SGD, mt.Adagrad, mt.Adam, mt.RowWiseAdagrad, mt.RowWiseAdam]
)
@pytest.mark.parametrize("model", MODELS)
def test_training__with_every_optimizer(optimizer, model):
    on_all_threads(
        lambda: trained(mt.InBatchSoftmax, model=MODELS[model], optimizer=optimizer(0.05))
    )


@pytest.mark.parametrize("part", PARTS)
def test_training__with_what_else_a_step_has(part):
    on_all_threads(lambda: trained(mt.InBatchSoftmax, **PARTS[part]))


def test_training__negatives_that_may_read_the_model_are_drawn_in_their_turn():
    """A source of the caller's own sees the model as the step before left it."""
    seen = []

    class Own:
        def draw(self, pairs, positions, rng):
            seen.append(trainer.optimizer.step)
            return shared.draw(pairs, positions, rng)

    mt.use_threads(2)
    shared = mt.shared_negatives(DATA, 30)
    model = mt.TwoTower(DATA.schema, dim=8, seed=0)
    trainer = mt.Trainer(model, DATA, batch_size=100, negatives=Own())
    trainer.fit(epochs=1)
    assert seen == list(range(len(trainer.batches)))


def test_training__of_several_trainers_at_once():
    """Each in a thread of its caller; they share the workers, and nothing else."""
    objectives = [mt.InBatchSoftmax, lambda: mt.CrossBatchSoftmax(900), mt.InBatchSoftmax]
    mt.use_threads(3)
    alone = [bits(trained(objective)) for objective in objectives]
    with ThreadPoolExecutor(len(objectives)) as callers:
        assert list(callers.map(lambda o: bits(trained(o)), objectives)) == alone


@given(
    n=st.integers(1, 30), extra=st.integers(0, 9), block=st.integers(1, 12), seed=st.integers(0, 99)
)
def test_blocked__sums_in_the_order_of_the_blocks(n, extra, block, seed):
    """Blocks of very unequal size in their sums: another order would round otherwise."""
    rng = np.random.default_rng(seed)
    users = (rng.standard_normal((n, 3)) * 10.0 ** rng.integers(-3, 2, (n, 1))).astype("f4")
    items = rng.standard_normal((n + extra, 3)).astype("f4")
    correction = logq.yi(np.log(rng.random(n + extra)), n=n)
    on_all_threads(
        lambda: blocked_in_batch_softmax(users, items, correction, temperature=0.1, block=block)
    )


def test_encode__of_several_blocks(monkeypatch):
    monkeypatch.setattr(encoding, "BLOCK", 16)
    model = mt.TwoTower(DATA.schema, dim=8, hidden=(8,), seed=0)
    on_all_threads(lambda: [mt.encode(model.user, DATA.users), mt.encode(model.item, DATA.items)])
    assert len(DATA.users) > 5 * 16


@pytest.mark.parametrize("excludes, deletes", [(False, False), (True, False), (True, True)])
def test_exact_search__of_several_blocks(excludes, deletes, monkeypatch):
    monkeypatch.setattr(exact, "_BLOCK", 700)
    rng = np.random.default_rng(0)
    index = mt.ExactIndex(rng.standard_normal((100, 6), np.float32).round(1))
    if deletes:
        index.delete(np.arange(10, 20))
    queries = rng.standard_normal((60, 6), np.float32)
    exclude = Ragged.from_counts([3] * 60, rng.integers(0, 100, 180)) if excludes else None
    on_all_threads(lambda: index.search(queries, 15, exclude))
