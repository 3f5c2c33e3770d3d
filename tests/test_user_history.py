"""The history in the user tower: its gradient, its default row, and that it leaks nothing."""

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numerics import assert_slope
from objectives import OWN, SHARED
from test_two_tower import (
    check_whole_gradient,
    problems,
    regularized_loss,
)

import minitower as mt
from minitower.data.histories import TrainingHistories
from minitower.data.schema import HISTORY
from minitower.data.table import Ragged
from minitower.towers.user_history import DEFAULT, read_history_option

histories = st.builds(
    mt.UserHistory,
    st.integers(1, 3),
    st.sampled_from(["mean", "sum"]),
    st.sampled_from(["item", "own"]),
    st.sampled_from(["earlier", "others"]),
)
slow = settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])


@slow
@given(problems(history=histories), st.sampled_from(SHARED), st.integers(0, 99))
def test_gradient_of_the_whole_model_is_right(problem, objective, seed):
    """Both uses of the item table are summed: beside the item, and in the history."""
    promised, measured, smooth = check_whole_gradient(*problem, objective, seed)
    assume(smooth)
    assert_slope(promised, measured, 1e-7)


@slow
@given(problems(history=histories), st.sampled_from(SHARED), st.integers(0, 99))
def test_gradient_of_the_whole_model_is_right__with_dropped_clicks(problem, objective, seed):
    promised, measured, smooth = check_whole_gradient(*problem, objective, seed, regularized_loss)
    assume(smooth)
    assert_slope(promised, measured, 1e-7)


@slow
@given(
    problems(negatives=2, history=histories),
    st.sampled_from(OWN + SHARED),
    st.integers(0, 99),
)
def test_gradient_of_the_whole_model_is_right__with_negatives(problem, objective, seed):
    promised, measured, smooth = check_whole_gradient(*problem, objective, seed)
    assume(smooth)
    assert_slope(promised, measured, 1e-7)


SCHEMA = mt.Schema([mt.Id("user_id")], [mt.Id("item_id")])


def sessions(seed=0, users=200, items=100, clicks=12, timed=True):
    """Users who like one of ten themes: of what they click next, the history tells the theme."""
    rng = np.random.default_rng(seed)
    theme = np.repeat(rng.integers(0, 10, users), clicks)
    chosen = theme * 10 + rng.integers(0, items // 10, users * clicks)
    log = {"user_id": np.repeat(np.arange(users), clicks), "item_id": chosen}
    if timed:
        log["timestamp"] = np.tile(np.arange(clicks), users)
    return log


def read(log, schema=SCHEMA, split=None):
    return mt.Dataset.from_columns(schema, log, positive="all", split=split or mt.RandomSplit(0, 0))


def trained(data, history, epochs=5, **options):
    model = mt.TwoTower(data.schema, dim=16, hidden=(), history=history, **options)
    objective = mt.InBatchSoftmax(0.1)
    trainer = mt.Trainer(model, data, objective=objective, batch_size=256)
    trainer.fit(epochs, validate=False)
    return model


ONLY_HISTORY = mt.Schema([mt.Id("user_id", embed=False)], [mt.Id("item_id")])


@pytest.mark.parametrize("table", ["item", "own"])
@pytest.mark.parametrize("pool", ["mean", "sum"])
def test_users_that_training_never_saw_are_served_by_their_history(table, pool):
    data = read(sessions(), ONLY_HISTORY)
    model = trained(data, mt.UserHistory(8, pool, table))
    values = data.schema.item.vocabulary("item_id").values
    given_clicks = [[3, 5, 1], [42, 44], []]
    rows = Ragged.from_counts(
        [3, 2, 0], [np.searchsorted(values, i) + 1 for g in given_clicks for i in g]
    )
    vectors, _ = model.user({HISTORY: rows})
    best = np.argsort(-(vectors @ mt.encode(model.item, data.items).T), axis=1)[:, :5]
    themes = data.items.ids[best] // 10
    assert (themes[0] == 0).mean() >= 0.8
    assert (themes[1] == 4).mean() >= 0.8
    assert np.isfinite(vectors).all()
    assert np.linalg.norm(vectors[2]) == pytest.approx(1)


# --- the leak --------------------------------------------------------------------------------


class Leaking(TrainingHistories):
    """The planted mistake: the click itself is in its history."""

    def before(self, pairs):
        honest = super().before(pairs)
        clicked = self._row_of_item[pairs.items]
        rows = [np.append(honest.row(i), clicked[i]) for i in range(len(honest))]
        return Ragged.from_counts([len(row) for row in rows], np.concatenate(rows))


def loss_of_random_clicks(timed=True, which="earlier"):
    """The loss on clicks that nothing predicts, after training on others of the kind."""
    rng = np.random.default_rng(0)
    users, items, clicks = 200, 100, 12
    log = {
        "user_id": np.repeat(np.arange(users), clicks),
        "item_id": rng.integers(0, items, users * clicks),
    }
    if timed:
        log["timestamp"] = np.tile(np.arange(clicks), users)
    data = read(log, ONLY_HISTORY)
    model = mt.TwoTower(data.schema, dim=16, hidden=(), history=mt.UserHistory(3, clicks=which))
    trainer = mt.Trainer(
        model, data, objective=mt.InBatchSoftmax(0.1), optimizer=mt.Adagrad(0.02), batch_size=256
    )
    return trainer.fit(3, validate=False).epochs[0].loss


@pytest.mark.parametrize("how", [(True, "earlier"), (False, "earlier"), (True, "others")])
def test_the_click_itself_is_not_in_its_history(monkeypatch, how):
    """Of random clicks nothing is to be learned: the loss stays at log n or above it."""
    chance = np.log(256)
    assert loss_of_random_clicks(*how) > 0.97 * chance
    monkeypatch.setattr("minitower.training.batches.TrainingHistories", Leaking)
    assert loss_of_random_clicks(*how) < 0.8 * chance


@pytest.mark.parametrize("clicks, mean", [("earlier", 1.0), ("others", 2.0)])
def test_the_trainer_reads_the_clicks_that_the_model_names(clicks, mean):
    """Three clicks of each user: 0, 1 and 2 came earlier; two are beside each."""
    log = {"user_id": np.repeat([1, 2], 3), "item_id": np.arange(6), "timestamp": np.arange(6)}
    data = read(log)
    model = mt.TwoTower(data.schema, dim=2, history=mt.UserHistory(5, clicks=clicks))
    batch = next(mt.Trainer(model, data).batches.epoch(np.random.default_rng(0)))
    assert batch.users[HISTORY].counts.mean() == mean


def test_recall_is_unmoved_by_what_came_later():
    """Clicks of the test part are shuffled among the users: validation stays, bit for bit."""
    log = sessions(users=60)
    log["part"] = np.where(log["timestamp"] < 9, "train", "valid")
    log["part"][log["timestamp"] == 11] = "test"
    last = log["timestamp"] == 11
    shuffled = {**log, "item_id": log["item_id"].copy()}
    shuffled["item_id"][last] = np.random.default_rng(1).permutation(log["item_id"][last])
    reports = []
    for one in (log, shuffled):
        data = read(one, split=mt.GivenSplit("part"))
        model = trained(data, mt.UserHistory(5), epochs=2)
        reports.append(mt.evaluate(model, data, split="valid", k=(5,)).metrics)
    assert reports[0] == reports[1]


def test_test_users_have_training_and_validation_clicks():
    log = {"user_id": [1] * 4 + [2] * 3, "item_id": [1, 2, 3, 1, 1, 2, 3]}
    log |= {
        "timestamp": [1, 2, 3, 4, 1, 2, 3],
        "part": ["train", "valid", "valid", "test"] + ["train"] * 3,
    }
    data = read(log, split=mt.GivenSplit("part"))
    model = mt.TwoTower(data.schema, dim=2, hidden=(), history=mt.UserHistory(2))
    rows = {
        split: model.users(data, split).columns[HISTORY].row(0)
        for split in ("valid", "test", "all")
    }
    assert {split: found.tolist() for split, found in rows.items()} == {
        "valid": [1],
        "test": [2, 3],
        "all": [3, 1],
    }


# --- the parameters --------------------------------------------------------------------------


def test_an_empty_history_moves_its_own_row_and_no_item():
    data = read(sessions(users=20))
    model = mt.TwoTower(data.schema, dim=4, hidden=(), history=mt.UserHistory(5))
    assert model.parameters[DEFAULT].shape == (1, 4)
    nobody = Ragged.from_counts([0, 1], [0])
    vectors, back = model.user({"user_id": np.array([0, 0]), HISTORY: nobody})
    assert np.array_equal(vectors[0], vectors[1])
    gradients = back(np.ones((2, 4), np.float32))
    assert gradients[DEFAULT].rows.tolist() == [0]
    assert len(gradients["item.item_id.embedding"].rows) == 0


def test_a_table_of_its_own_has_a_row_for_each_item():
    data = read(sessions(users=20))
    items = data.schema.item.cardinality("item_id")
    model = mt.TwoTower(data.schema, dim=4, hidden=(), history=mt.UserHistory(5, table="own"))
    assert model.parameters[DEFAULT].shape == (items, 4)
    clicked = Ragged.from_counts([2], [3, 1])
    _, back = model.user({"user_id": np.array([1]), HISTORY: clicked})
    gradients = back(np.ones((1, 4), np.float32))
    assert gradients[DEFAULT].rows.tolist() == [1, 3]
    assert "item.item_id.embedding" not in gradients


def test_the_mean_is_of_the_items_that_are_known():
    data = read(sessions(users=20), ONLY_HISTORY)
    model = mt.TwoTower(
        data.schema, dim=4, hidden=(), history=mt.UserHistory(5), similarity="inner_product"
    )
    table = model.parameters["item.item_id.embedding"]
    vectors, _ = model.user({HISTORY: Ragged.from_counts([3], [2, 0, 7])})
    np.testing.assert_allclose(vectors[0], (table[2] + table[7]) / 2, rtol=1e-6)


def test_row_0_of_the_users_is_learned_beside_a_history():
    """An id alone has no default rate; beside a history it has, or new users were never seen."""
    data = read(sessions(users=20))
    assert not mt.TwoTower(data.schema, dim=4).parameters["user.user_id.embedding"][0].any()
    model = mt.TwoTower(data.schema, dim=4, history=mt.UserHistory(5))
    assert model.parameters["user.user_id.embedding"][0].any()
    assert data.schema.user.default_rates(history=True) == {HISTORY: 0.01, "user_id": 0.01}


def test_without_a_history_nothing_is_changed():
    data = read(sessions(users=20))
    plain = mt.TwoTower(data.schema, dim=4)
    assert "history" not in plain.config
    assert plain.users(data) is data.users
    assert not any(HISTORY in name for name in plain.parameters)


@pytest.mark.parametrize(
    "objective, negatives",
    [
        (mt.Pointwise(), mt.uniform_negatives),
        (mt.Pairwise(), mt.uniform_negatives),
        (mt.Listwise(), mt.popular_negatives),
        (mt.CrossBatchSoftmax(64), None),
        (mt.InBatchSoftmax(), None),
    ],
)
def test_every_objective_trains_with_a_history(objective, negatives):
    data = read(sessions(users=60))
    model = mt.TwoTower(data.schema, dim=8, hidden=(8,), residual=True, history=mt.UserHistory(5))
    trainer = mt.Trainer(
        model,
        data,
        objective=objective,
        negatives=negatives and negatives(data, 2),
        batch_size=128,
    )
    losses = [epoch.loss for epoch in trainer.fit(4, validate=False).epochs]
    assert losses[-1] < losses[0]
    assert mt.encode(trainer.refit().model.user, model.users(data)).shape == (60, 8)


def test_mined_negatives_and_views_train_with_a_history():
    log = sessions(users=60)
    items = {"item_id": np.arange(100), "theme": np.arange(100) // 10, "digit": np.arange(100) % 10}
    schema = mt.Schema(
        [mt.Id("user_id")], [mt.Id("item_id"), mt.Categorical("theme"), mt.Categorical("digit")]
    )
    data = mt.Dataset.from_columns(
        schema, log, items=items, positive="all", split=mt.RandomSplit(0, 0)
    )
    model = mt.TwoTower(data.schema, dim=8, history=mt.UserHistory(5))
    trainer = mt.Trainer(
        model,
        data,
        negatives=mt.MinedNegatives(model, data, 2, first=11, last=40, every=5),
        self_supervised=mt.SelfSupervised(augment="complementary"),
        batch_size=128,
    )
    losses = [epoch.loss for epoch in trainer.fit(4, validate=False).epochs]
    assert losses[-1] < losses[0]


def test_new_items_extend_the_tables():
    data = read(sessions(users=20))
    for table in ("item", "own"):
        model = mt.TwoTower(data.schema, dim=4, hidden=(), history=mt.UserHistory(5, table=table))
        day = mt.next_day(data, {"user_id": [1, 1], "item_id": [500, 501], "timestamp": [50, 51]})
        later = model.extended(day.schema)
        items = len(later.parameters["item.item_id.embedding"])
        assert items == len(model.parameters["item.item_id.embedding"]) + 2
        assert len(later.parameters[DEFAULT]) == (1 if table == "item" else items)
        assert later.history == model.history
        vectors = mt.encode(later.user, later.users(day))
        assert np.isfinite(vectors).all()


# --- options and refusals --------------------------------------------------------------------


@pytest.mark.parametrize("text, expected", [
    ("50", mt.UserHistory(50)),
    (7, mt.UserHistory(7)),
    ("1000:sum", mt.UserHistory(1000, "sum")),
    ("5:own", mt.UserHistory(5, "mean", "own")),
    ("5:own:sum", mt.UserHistory(5, "sum", "own")),
    ("5:mean:item", mt.UserHistory(5)),
    ("5:others", mt.UserHistory(5, clicks="others")),
    ("5:own:earlier", mt.UserHistory(5, table="own")),
    ("5:others:own:sum", mt.UserHistory(5, "sum", "own", "others")),
])  # fmt: skip
def test_the_option_is_read(text, expected):
    assert read_history_option(text) == read_history_option(str(expected)) == expected


def test_the_option_says_no_history():
    assert read_history_option("none") is None


@pytest.mark.parametrize(
    "value",
    [
        *("", "0", "-1", "1001", "x", "5:", "5:max", "5:sum:mean", "5:own:item"),
        *("5:others:earlier", True, 1.5, None, [5]),
    ],
)
def test_a_malformed_option_is_refused(value):
    with pytest.raises(ValueError, match="expected none, or clicks from 1 to 1,000"):
        read_history_option(value)


@pytest.mark.parametrize("options, message", [
    ({"last": 0}, "last"), ({"last": 1001}, "last"), ({"last": 2.5}, "last"),
    ({"pool": "max"}, "pool"), ({"table": "user"}, "table"), ({"clicks": "later"}, "clicks"),
])  # fmt: skip
def test_arguments_outside_their_domain_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        mt.UserHistory(**options)


def test_models_that_cannot_read_a_history_are_refused():
    data = read(sessions(users=20))
    with pytest.raises(ValueError, match="history must be a UserHistory"):
        mt.TwoTower(data.schema, history=50)
    with pytest.raises(ValueError, match="history must be a UserHistory"):
        mt.TwoTower(data.schema, history={"length": 50})
    hidden = mt.Schema([mt.Id("user_id")], [mt.Id("item_id", embed=False), mt.Categorical("kind")])
    log = sessions(users=20)
    items = {"item_id": np.arange(100), "kind": np.arange(100) % 7}
    data = mt.Dataset.from_columns(hidden, log, items=items, positive="all")
    with pytest.raises(ValueError, match=r'does not embed .item_id.*table="own"'):
        mt.TwoTower(data.schema, history=mt.UserHistory())
    mt.TwoTower(data.schema, history=mt.UserHistory(table="own"))
    named = mt.Schema([mt.Id("user_id"), mt.Categorical("history")], [mt.Id("item_id", dim=3)])
    users = {"user_id": np.arange(20), "history": np.arange(20) % 3}
    data = mt.Dataset.from_columns(named, log, users, positive="all")
    mt.Trainer(mt.TwoTower(data.schema, dim=4), data).fit(1)
    with pytest.raises(ValueError, match="'history' has the history's name; rename it"):
        mt.TwoTower(data.schema, history=mt.UserHistory())
    narrow = mt.Schema([mt.Id("user_id")], [mt.Id("item_id", dim=3), mt.Categorical("kind")])
    data = mt.Dataset.from_columns(narrow, log, items=items, positive="all")
    assert mt.TwoTower(data.schema, dim=4, history=mt.UserHistory()).user_tower.history.width == 3


def test_users_without_histories_are_refused_by_name():
    data = read(sessions(users=20))
    model = mt.TwoTower(data.schema, dim=4, history=mt.UserHistory())
    with pytest.raises(ValueError, match=r"take the users from model.users\(data\)"):
        mt.encode(model.user, data.users)
