"""The spectral start: what it changes, what it leaves, and that training begins from it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

import minitower as mt
from minitower.cli.train import read_job
from minitower.data import DataError, RandomSplit
from minitower.data.option_values import read_options
from minitower.formulas.spectral import item_bias, spectral_vectors, with_bias
from minitower.towers.user_history import DEFAULT
from minitower.training.recipe import fit_by_options
from minitower.training.spectral_start import begin_again, spectral_start, start_model
from minitower.training.tune import KNOWN

USERS, ITEMS = "user.u.embedding", "item.i.embedding"
IDS = mt.Schema(user=[mt.Id("u")], item=[mt.Id("i")])


def two_tastes(split=None, schema=IDS, repeat=1, weights=None, seed=0):
    """40 users and 30 items; even users click even items."""
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(40), 6)
    item = 2 * rng.integers(0, 15, len(user)) + user % 2
    log = {"u": np.tile(user, repeat), "i": np.tile(item, repeat)}
    if weights is not None:
        log["weight"] = weights(len(log["u"]))
    return mt.Dataset.from_columns(
        schema,
        log,
        split=split or RandomSplit(0, 0),
        weight=None if weights is None else "weight",
    )


DATA = two_tastes()
LESS = replace(DATA, train=DATA.train.take(np.arange(90)))  # 25 users and some items are cold


def model_of(data=DATA, **options):
    return mt.TwoTower(data.schema, **({"dim": 6, "hidden": (), "seed": 3} | options))


def started(data=DATA, **options):
    model = model_of(data, **options)
    spectral_start(model, data)
    return model


def same(one, other):
    return all(np.array_equal(one.parameters[name], p) for name, p in other.parameters.items())


def rows_of(data, side):
    """Rows of the id embedding with and without training clicks, row 0 among the latter."""
    name, table = ("u", data.users) if side == "user" else ("i", data.items)
    clicked = data.train.users if side == "user" else data.train.items
    with_clicks = np.unique(table.columns[name][clicked])
    encoder = data.schema.user if side == "user" else data.schema.item
    n = encoder.cardinality(name)
    return with_clicks, np.setdiff1d(np.arange(n), with_clicks)


# ------------------------------------------------------------------ what changes


def test_spectral_start__rows_are_those_of_the_formula(monkeypatch):
    """Row by row: a matrix of distinct clicks by hand, its vectors and its biases."""
    monkeypatch.setattr("minitower.training.spectral_start.ROUNDS", 6)  # near enough to exact
    model = started(dtype=np.float64)
    of_user, of_item = DATA.users.columns["u"], DATA.items.columns["i"]
    dense = np.zeros((len(model.parameters[USERS]), len(model.parameters[ITEMS])))
    for user, item in zip(DATA.train.users, DATA.train.items, strict=True):
        dense[of_user[user], of_item[item]] = 1
    users, items = dense.any(axis=1), dense.any(axis=0)
    matrix = sparse.csr_array(dense[users][:, items])
    vectors = spectral_vectors(matrix, 5, np.random.default_rng(0))
    # The signs of singular vectors are free, and so the products are compared.
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in vectors[:2]]
    got = [model.parameters[name][rows] for name, rows in ((USERS, users), (ITEMS, items))]
    clicks = dense.sum(axis=0)[items]
    bias = 0.1 * (np.log(clicks) - (clicks * np.log(clicks)).sum() / clicks.sum())
    assert got[0][:, 0] == pytest.approx(np.sqrt(0.5))
    assert got[1][:, 0] == pytest.approx(bias)
    for rows, expected in zip(got, unit, strict=True):
        assert np.linalg.norm(rows, axis=1) == pytest.approx(1)
        rest = rows[:, 1:] / np.linalg.norm(rows[:, 1:], axis=1, keepdims=True)
        assert rest @ rest.T == pytest.approx(expected @ expected.T, abs=1e-3)
    expected = np.sqrt(0.5) * (bias + np.sqrt(1 - bias**2) * (unit[0] @ unit[1].T))
    assert got[0] @ got[1].T == pytest.approx(expected, abs=1e-3)


def test_spectral_start__is_the_formula_after_two_rounds():
    """To rounding, from the model's own generator."""
    model = started(dtype=np.float64)
    matrix = sparse.csr_array((np.ones(len(DATA.train)), (DATA.train.users, DATA.train.items)))
    matrix.sum_duplicates()
    matrix.data[:] = 1
    clicked = np.unique(DATA.train.items)
    rng = np.random.default_rng(np.random.SeedSequence(3, spawn_key=(2,)))
    users, items, _ = spectral_vectors(matrix[:, clicked], 5, rng, rounds=2)
    bias = item_bias(matrix.sum(axis=0)[clicked])
    of_user, of_item = DATA.users.columns["u"], DATA.items.columns["i"][clicked]
    expected = with_bias(np.full(len(users), np.sqrt(0.5)), users), with_bias(bias, items)
    assert model.parameters[USERS][of_user] == pytest.approx(expected[0], abs=1e-9)
    assert model.parameters[ITEMS][of_item] == pytest.approx(expected[1], abs=1e-9)


def test_spectral_start__a_row_that_no_vector_reaches_keeps_its_direction():
    """One pair that shares nothing with 200 users and 200 items of many clicks."""
    user, item = np.nonzero(np.random.default_rng(0).random((200, 200)) < 0.5)
    log = {"u": [*user, 200], "i": [*item, 200]}
    data = mt.Dataset.from_columns(IDS, log, split=RandomSplit(0, 0))
    model, before = started(data, dim=2), model_of(data, dim=2)
    bias = item_bias([1, *np.bincount(item)])[0]
    for name, table, first in ((USERS, data.users, np.sqrt(0.5)), (ITEMS, data.items, bias)):
        row = np.flatnonzero(table.ids == 200) + 1
        (got,), (random,) = model.parameters[name][row], before.parameters[name][row]
        assert got[0] == pytest.approx(first)
        assert got[1] == pytest.approx(np.sign(random[1]) * np.sqrt(1 - first**2))


def test_spectral_start__ranks_by_taste_and_then_by_popularity():
    """Three groups that share nothing: the own item first, then the one of the most clicks."""
    item = [0] * 20 + [1] * 5 + [2] * 2
    data = mt.Dataset.from_columns(IDS, {"u": range(27), "i": item}, split=RandomSplit(0, 0))
    model = started(data, dim=4)
    users, items = model.user(data.users.columns)[0], model.item(data.items.columns)[0]
    order = np.argsort(-(users[[0, 20, 26]] @ items.T), axis=1)
    assert order.tolist() == [[0, 1, 2], [1, 0, 2], [2, 0, 1]]


def test_spectral_start__users_meet_items_of_their_taste():
    model = started()
    users, items = model.user(DATA.users.columns)[0], model.item(DATA.items.columns)[0]
    cosines = users[:40] @ items[:30].T
    taste = np.equal.outer(np.arange(40) % 2, np.arange(30) % 2)
    assert cosines[taste].mean() - cosines[~taste].mean() > 0.3


@pytest.mark.parametrize("options", [
    {}, {"hidden": (5,)}, {"hidden": (5,), "residual": True}, {"similarity": "inner_product"},
    {"history": mt.UserHistory(3)}, {"history": mt.UserHistory(3, table="own")},
    {"hidden": (5,), "history": mt.UserHistory(3, "sum", "own")},
])  # fmt: skip
def test_spectral_start__keeps_cold_rows_and_what_is_no_id(options):
    """Bit for bit: row 0, rows without clicks, dense layers, the row of an empty history."""
    model, before = started(LESS, **options), model_of(LESS, **options)
    (users, cold_users), (items, cold_items) = rows_of(LESS, "user"), rows_of(LESS, "item")
    assert len(cold_users) == 26
    assert len(cold_items) > 1
    starts = {USERS: (users, cold_users), ITEMS: (items, cold_items)}
    if model.history is not None and model.history.table == "own":
        starts[DEFAULT] = (items, cold_items)
        own, of_items = (model.parameters[name][items] for name in (DEFAULT, ITEMS))
        assert own[:, 0] == pytest.approx(np.sqrt(0.5)), "as all users have it"
        both = own[:, 1:] * np.sqrt((1 - of_items[:, :1] ** 2) * 2)
        assert both == pytest.approx(of_items[:, 1:], abs=1e-5), "the same directions"
    assert 0 in cold_users
    assert 0 in cold_items
    for name, parameter in model.parameters.items():
        assert parameter.dtype == np.float32
        if name not in starts:
            assert np.array_equal(parameter, before.parameters[name]), name
            continue
        warm, cold = starts[name]
        assert np.array_equal(parameter[cold], before.parameters[name][cold]), name
        assert (parameter[warm] != before.parameters[name][warm]).any(axis=1).all(), name
        assert np.linalg.norm(parameter[warm], axis=1) == pytest.approx(1, abs=1e-5)


def test_spectral_start__clicks_of_unknown_ids_leave_row_0_alone():
    """Ids that the vocabularies do not know share row 0, which stands for no id."""
    log = {"u": [0, 0, 1, 1, 7], "i": [0, 1, 0, 1, 8], "part": ["train"] * 4 + ["valid"]}
    data = mt.Dataset.from_columns(IDS, log, split=mt.GivenSplit("part"))
    unknown = replace(data, train=data.valid)
    both = [
        np.concatenate(pair)
        for pair in zip(*((p.users, p.items) for p in (data.train, data.valid)), strict=True)
    ]
    more = replace(data, train=mt.Interactions(*both))
    assert not data.items.columns["i"][data.valid.items].any()
    assert same(started(more), started(data))
    with pytest.raises(ValueError, match="needs a training click"):
        started(unknown)


def test_spectral_start__columns_beyond_the_rank_stay_random():
    """Zeros on both sides would never get a gradient."""
    data = mt.Dataset.from_columns(
        IDS, {"u": [0, 0, 1, 1, 2], "i": [0, 1, 0, 1, 2]}, split=RandomSplit(0, 0)
    )
    model, before = started(data, dim=5), model_of(data, dim=5)
    for name in (USERS, ITEMS):
        got, random = model.parameters[name][1:], before.parameters[name][1:]
        assert np.array_equal(got[:, 3:], random[:, 3:]), "the matrix has rank 2"
        assert np.linalg.norm(got[:, :3], axis=1) == pytest.approx(1, abs=1e-6)


def test_spectral_start__tables_of_two_widths_share_their_first_columns():
    schema = mt.Schema(user=[mt.Id("u", dim=3)], item=[mt.Id("i", dim=5)])
    data = two_tastes(schema=schema)
    model = started(data, hidden=(4,))
    users, items = rows_of(data, "user")[0], rows_of(data, "item")[0]
    u, i = model.parameters[USERS][users], model.parameters[ITEMS][items]
    assert (u.shape[1], i.shape[1]) == (3, 5)
    for table in (u, i):
        assert np.linalg.norm(table, axis=1) == pytest.approx(1, abs=1e-5)
    wide = model_of(two_tastes(), dim=5, hidden=())
    spectral_start(wide, two_tastes())
    narrow = wide.parameters[USERS][users][:, 1:3]
    narrow *= np.sqrt(0.5) / np.linalg.norm(narrow, axis=1, keepdims=True)
    assert u[:, 0] == pytest.approx(np.sqrt(0.5))
    assert u[:, 1:] == pytest.approx(narrow, abs=1e-4)


@pytest.mark.parametrize("sides", ["item", "history"])
def test_spectral_start__of_one_side(sides):
    """A user tower that reads only a history begins at sums of spectral rows."""
    schema = mt.Schema(user=[mt.Id("u", embed=False)], item=[mt.Id("i")])
    if sides == "item":
        schema = mt.Schema(user=[mt.Id("u", embed=False), mt.Categorical("g")], item=[mt.Id("i")])
    rng = np.random.default_rng(0)
    user = np.repeat(np.arange(40), 6)
    data = mt.Dataset.from_columns(
        schema,
        {"u": user, "i": 2 * rng.integers(0, 15, 240) + user % 2, "timestamp": range(240)},
        users={"u": range(40), "g": list("ab") * 20},
        split=RandomSplit(0, 0),
    )
    model = started(data, history=mt.UserHistory(9) if sides == "history" else None)
    assert USERS not in model.parameters
    items = model.item(data.items.columns)[0]
    parity = np.array([int(name) % 2 for name in data.items.ids])
    alike = np.equal.outer(parity, parity)
    cosines = items @ items.T
    assert cosines[alike].mean() - cosines[~alike].mean() > 0.3
    if sides == "history":
        users = model.user(model.users(data).columns)[0]
        fits = np.equal.outer(np.arange(40) % 2, parity)
        assert (users @ items.T)[fits].mean() - (users @ items.T)[~fits].mean() > 0.3


# ------------------------------------------------------------------ what it reads


def test_spectral_start__reads_train_alone():
    """Other clicks in validation and test: the same rows, bit for bit."""
    log = {"u": np.arange(200) % 20, "i": np.arange(200) * 7 % 31}
    part = np.array(["train"] * 120 + ["valid"] * 40 + ["test"] * 40)
    later = {"u": log["u"], "i": np.where(part == "train", log["i"], log["i"] * 3 % 31)}
    models = []
    for columns in (log, later):
        data = mt.Dataset.from_columns(IDS, {**columns, "part": part}, split=mt.GivenSplit("part"))
        models.append(started(data))
    for name in (USERS, ITEMS):
        one, other = (model.parameters[name] for model in models)
        assert np.array_equal(one[: len(other)], other[: len(one)])


def test_spectral_start__repeats_count_once_and_weights_not_at_all():
    plain = started()
    assert same(started(two_tastes(repeat=3)), plain)
    weighted = two_tastes(weights=lambda n: np.random.default_rng(1).random(n))
    assert same(started(weighted), plain)


@given(st.integers(0, 99))
def test_spectral_start__same_seed_same_bits(seed):
    one, again = started(seed=seed), started(seed=seed)
    assert same(one, again)
    cold = rows_of(LESS, "user")[1][1:]
    one, other = started(LESS, seed=seed), started(LESS, seed=seed + 1)
    assert not np.array_equal(one.parameters[USERS][cold], other.parameters[USERS][cold])


# ------------------------------------------------------------------ what goes on from it


def test_spectral_start__training_begins_ahead():
    data = two_tastes(RandomSplit(0.2, 0, seed=1))
    losses, recalls = [], []
    for start in ("random", "spectral"):
        model = start_model(model_of(data, dim=8), data, start=start)
        recalls.append(mt.evaluate(model, data, split="valid", k=(5,)).metrics["recall@5"])
        trainer = mt.Trainer(model, data, batch_size=64, optimizer=mt.Adagrad(0.01))
        losses.append(trainer.fit(2, validate=False).epochs[0].loss)
    assert losses[1] < losses[0]
    assert recalls[1] > recalls[0]


def test_spectral_start__refit_starts_the_same_way():
    """Bit for bit what starting and training on everything gives; once random, always random."""
    data = two_tastes(RandomSplit(0.2, 0.1, seed=1))
    everything = data.everything()
    for start in ("random", "spectral"):
        trainer = mt.Trainer(start_model(model_of(data), data, start=start), data, batch_size=64)
        trainer.fit(1)
        again = trainer.refit()
        expected = start_model(model_of(everything), everything, start=start)
        assert again.model.start == expected.start == start
        mt.Trainer(expected, everything, batch_size=64).fit(1)
        assert same(again.model, expected)
    assert same(begin_again(started(), DATA), started())


def test_spectral_start__is_an_option():
    """Of train, of a job file and of tune; random by default."""
    assert read_job({})["start"] == "random"
    assert read_job({}, ("job.toml", {"start": "spectral"}))["start"] == "spectral"
    with pytest.raises(DataError, match="--start: expected one of random, spectral, got 'svd'"):
        read_job({"start": "svd"})
    given = {"dim": "6", "hidden": "", "epochs": "1", "seed": "3"}
    for start in ("random", "spectral"):
        options = read_options(KNOWN, {**given, "start": start})
        trainer, _ = fit_by_options(options, DATA)
        expected = start_model(model_of(), DATA, start=start)
        mt.Trainer(expected, DATA, seed=3).fit(1)
        assert same(trainer.model, expected)
        assert trainer.model.start == start


# ------------------------------------------------------------------ what is refused


def test_spectral_start__refuses_what_it_cannot_start():
    schema = mt.Schema(
        user=[mt.Id("u", embed=False), mt.Categorical("g")],
        item=[mt.Id("i", embed=False), mt.Categorical("k")],
    )
    data = mt.Dataset.from_columns(
        schema,
        {"u": [0, 1], "i": [0, 1]},
        users={"u": [0, 1], "g": ["a", "b"]},
        items={"i": [0, 1], "k": ["a", "b"]},
        split=RandomSplit(0, 0),
    )
    with pytest.raises(ValueError, match="needs a table of ids, and the model embeds neither 'u'"):
        spectral_start(model_of(data), data)
    model = model_of()
    with pytest.raises(DataError, match="were not fitted together"):
        spectral_start(model, data)
    with pytest.raises(ValueError, match="at least 2 columns"):
        spectral_start(model_of(dim=1), DATA)
    given = mt.TwoTower(DATA.schema, dim=6, hidden=(), parameters=model.parameters)
    with pytest.raises(ValueError, match="needs a model of random parameters"):
        spectral_start(given, DATA)
    with pytest.raises(ValueError, match="start must be one of random, spectral"):
        start_model(model, DATA, start="svd")
    assert same(model, model_of()), "a refusal changes nothing"


def test_spectral_start__refuses_data_without_clicks():
    data = replace(DATA, train=DATA.train.take(np.arange(0)))
    with pytest.raises(ValueError, match="needs a training click"):
        spectral_start(model_of(data), data)


def test_train__start_that_cannot_be_is_one_line(run, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/interactions.csv").write_text(
        "user_id,item_id\n" + "".join(f"{k % 5},{k % 7}\n" for k in range(60))
    )
    for flags, status in ((("--start", "spectral"), 0), (("--start", "pca"), 2)):
        got, _, err = run(
            "train", tmp_path / "data", "--out", tmp_path / flags[1], "--epochs", 1, *flags
        )
        assert got == status, err
    assert "--start: expected one of random, spectral, got 'pca'" in err
