"""The contrastive part of training: its views, its gradient, and what it leaves alone."""

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numerics import along, assert_slope, directional
from strategies import datasets
from test_two_tower import as_dense, generic, whole_loss

import minitower as mt
from minitower.data import Categorical, Continuous, Dataset, GivenSplit, Id, MultiValued, Schema
from minitower.data.table import Ragged, Table
from minitower.formulas.similarity import cosine
from minitower.formulas.softmax import info_nce
from minitower.towers.layers import add_gradients
from minitower.training.batches import Batches
from minitower.training.self_supervised import AUGMENTS, ContrastiveLoss, SelfSupervised


def shop(n=40, seed=0):
    """Items with a field of every kind, those of a colour alike; users click one colour."""
    rng = np.random.default_rng(seed)
    colour = np.arange(n) % 4
    schema = Schema(
        user=[Id("u")],
        item=[
            Id("i"),
            Categorical("colour"),
            MultiValued("tags"),
            Continuous("price", "standardise"),
            Continuous("weight", "bucketise", buckets=3),
        ],
    )
    user = np.repeat(np.arange(30), 8)
    item = 4 * rng.integers(0, n // 4, len(user)) + user % 4
    return Dataset.from_columns(
        schema,
        {"u": user, "i": item, "part": np.where(np.arange(len(user)) % 8, "train", "valid")},
        items={
            "i": np.arange(n),
            "colour": colour.astype(str),
            "tags": [f"t{c} t{c + 1} t{rng.integers(9)} x" for c in colour],
            "price": colour + rng.random(n),
            "weight": rng.random(n),
        },
        split=GivenSplit("part"),
    )


DATA = shop()


def model_of(data=DATA, **options):
    return mt.TwoTower(data.schema, **({"dim": 8, "hidden": (6,)} | options))


def trainer_of(alpha=0.3, data=DATA, model=None, **options):
    how = {"augment": "complementary", "batch_size": 16} | options
    return mt.Trainer(
        model or model_of(data),
        data,
        batch_size=32,
        self_supervised=SelfSupervised(alpha=alpha, **how),
    )


# ---------------------------------------------------------------- views


def row_of(feature, i):
    return feature.row(i).tolist() if isinstance(feature, Ragged) else feature[i]


def hidden_in(contrast, n=40):
    """(n,k) for each view: which fields of an item read as unknown. No item of DATA has any."""
    views, unknown = contrast.views(np.arange(n)), DATA.schema.item.default_features(1)
    hidden = [
        [row_of(views[name], i) == row_of(unknown[name], 0) for name in contrast.fields]
        for i in range(2 * n)
    ]
    return np.split(np.array(hidden), 2)


@pytest.mark.parametrize("per_item", [False, True])
@given(seed=st.integers(0, 999))
def test_complementary__each_view_hides_what_the_other_shows(per_item, seed):
    how = SelfSupervised(augment="complementary", per_item=per_item)
    first, second = hidden_in(ContrastiveLoss(how, DATA, seed))
    assert np.array_equal(first, ~second)
    assert (first.sum(axis=1) == 2).all()  # of five
    assert (first == first[0]).all() != per_item


@pytest.mark.parametrize("per_item", [False, True])
@given(seed=st.integers(0, 999), rounding=st.sampled_from(["floor", "ceil"]))
def test_correlated__relatives_in_one_view_and_the_id_in_either(per_item, seed, rounding):
    """Of k = 4 measured fields the first view hides a seed and two relatives."""
    how = SelfSupervised(augment="correlated", per_item=per_item)
    contrast = ContrastiveLoss(how, DATA, seed)
    first, second = hidden_in(contrast)
    assert np.array_equal(first, ~second)
    assert (first[:, 1:].sum(axis=1) == 3).all()
    for fields in (first[:, 1:], first[:, :1]):  # the seed, and the coin
        assert (fields == fields[0]).all() != per_item


def test_correlated__a_coin_shows_the_id_in_one_view_or_the_other():
    contrast = ContrastiveLoss(SelfSupervised(augment="correlated"), DATA)
    sides = [hidden_in(contrast, 1)[0][0, 0] for _ in range(200)]
    assert 70 < sum(sides) < 130


def test_correlated__hides_the_seed_with_what_tells_most_about_it():
    """Colour, tags and price hang together; where weight is hidden, one of them is seen."""
    contrast = ContrastiveLoss(SelfSupervised(augment="correlated"), DATA)
    names, related = mt.pairwise_mutual_information(DATA)
    groups = {frozenset([s, *sorted({0, 1, 2, 3} - {s}, key=lambda f: -related[s, f])[:2]])
              for s in range(4)}  # fmt: skip
    seen = set()
    for _ in range(100):
        first, _ = hidden_in(contrast, 1)
        seen.add(frozenset(np.flatnonzero(first[0, 1:]).tolist()))
    assert contrast.fields[1:] == names
    assert seen == groups


@pytest.mark.parametrize("over, closest", [("items", "b"), ("clicks", "c")])
def test_correlated__relatives_by_items_or_by_clicks(over, closest):
    """Over eight items that are clicked once a settles b, over four that are popular it settles c.

    To b and c a is the closest, so that what a hides as a seed is hidden twice in three times.
    """
    a, b, c = "0011" * 3, "0011" * 2 + "0101", "0101" * 2 + "0011"
    clicked = np.repeat(np.arange(12), [1] * 8 + [10] * 4)
    data = Dataset.from_columns(
        Schema(user=[Id("u")], item=[Id("i"), *map(Categorical, "abc")]),
        {"u": np.arange(len(clicked)), "i": clicked},
        items={"i": np.arange(12), "a": list(a), "b": list(b), "c": list(c)},
        split=mt.RandomSplit(0, 0),
    )
    how = SelfSupervised(augment="correlated", mutual_information_over=over, per_item=True)
    views = ContrastiveLoss(how, data).views(np.zeros(900, np.int64))
    assert 500 < (views[closest][:900] == 0).sum() < 700


@pytest.mark.parametrize("hidden", [None, 1, 4])
def test_mask__hides_so_many_of_each_view_by_itself(hidden):
    contrast = ContrastiveLoss(SelfSupervised(augment="mask", hidden=hidden, per_item=True), DATA)
    first, second = hidden_in(contrast)
    for mask in (first, second):
        assert (mask.sum(axis=1) == (2 if hidden is None else hidden)).all()
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("augment", AUGMENTS)
def test_views__same_seed_same_views_and_the_catalogue_stays(augment):
    how = SelfSupervised(augment=augment, per_item=True)
    before = DATA.items.to_arrays()
    before = {name: array.copy() for name, array in before.items()}
    one, two, other = (ContrastiveLoss(how, DATA, seed) for seed in (1, 1, 2))
    drawn = [Table(DATA.items.ids, c.views(c.draw())) for c in (one, two, other)]
    first, again, differs = (table.to_arrays() for table in drawn)
    equal = lambda a, b: all(np.array_equal(a[name], b[name]) for name in a)
    assert equal(first, again)
    assert not equal(first, differs)
    halves = [Table(DATA.items.ids, drawn[0].take(part)) for part in np.split(np.arange(80), 2)]
    assert not equal(*(half.to_arrays() for half in halves)), "two views of an item differ"
    assert equal(before, DATA.items.to_arrays())


def test_dropout__comes_after_the_mask():
    """A hidden set is one value, which stays; a set that is seen loses one of its four."""
    contrast = ContrastiveLoss(SelfSupervised(augment="complementary+dropout", dropout=0.25), DATA)
    counts = contrast.views(np.arange(40))["tags"].counts
    assert {tuple(set(half)) for half in np.split(counts, 2)} == {(1,), (3,)}


# ---------------------------------------------------------------- which items


def test_draw__distinct_items_of_the_catalogue_each_as_likely():
    contrast = ContrastiveLoss(SelfSupervised(augment="complementary", batch_size=10), DATA)
    drawn = np.array([contrast.draw() for _ in range(2000)])
    assert all(len(set(rows.tolist())) == 10 for rows in drawn)
    share = np.bincount(drawn.ravel(), minlength=40) / 2000
    assert share == pytest.approx(np.full(40, 0.25), abs=0.05)


def test_draw__everything_where_there_is_no_more():
    contrast = ContrastiveLoss(SelfSupervised(augment="complementary", batch_size=99), DATA)
    assert contrast.draw().tolist() == list(range(40))


def test_draw__by_clicks_takes_what_is_clicked_and_the_popular_more_often():
    data = Dataset.from_columns(
        Schema(user=[Id("u")], item=[Id("i"), Categorical("c")]),
        {"u": range(10), "i": [0] * 8 + [1, 2], "part": ["train"] * 10},
        items={"i": range(4), "c": ["a", "b", "a", "b"]},
        split=GivenSplit("part"),
    )
    options = {"augment": "complementary", "sampling": "clicks"}
    contrast = ContrastiveLoss(SelfSupervised(batch_size=2, **options), data)
    drawn = np.array([contrast.draw() for _ in range(500)])
    assert not (drawn == 3).any()
    # Two distinct ones in turn: 1 - 2/10 (1/9) for the popular one.
    assert (drawn == 0).any(axis=1).mean() == pytest.approx(1 - 2 / 90, abs=0.02)
    everything = ContrastiveLoss(SelfSupervised(batch_size=9, **options), data).draw()
    assert sorted(everything) == [0, 1, 2]


# ---------------------------------------------------------------- the loss


@pytest.mark.parametrize("similarity", ["cosine", "inner_product"])
@pytest.mark.parametrize("both", [False, True])
def test_contrast__is_info_nce_of_the_cosines_of_the_views(similarity, both):
    options = {"augment": "correlated", "temperature": 0.3, "batch_size": 12}
    how = SelfSupervised(alpha=0.7, symmetric=both, **options)
    model = generic(model_of(similarity=similarity, dtype=np.float64))
    contrast, same = ContrastiveLoss(how, DATA, 5), ContrastiveLoss(how, DATA, 5)
    loss, _ = contrast(model)
    first, second = np.split(model.item(same.views(same.draw()))[0], 2)
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (first, second)]
    expected, _ = info_nce(unit[0] @ unit[1].T, temperature=0.3, symmetric=both)
    assert loss == pytest.approx(0.7 * expected, rel=1e-10)
    assert cosine(first, second)[0] == pytest.approx(np.einsum("nd,nd->n", *unit))


@st.composite
def problems(draw):
    """A data set of any schema, a float64 model on it, a batch, and views that it allows."""
    data = draw(datasets())
    assume(len(data.train) > 1)
    how = SelfSupervised(
        augment=draw(st.sampled_from(AUGMENTS)),
        alpha=draw(st.sampled_from([0.2, 3.0])),
        batch_size=draw(st.integers(2, 6)),
        temperature=0.4,
        per_item=draw(st.booleans()),
        symmetric=draw(st.booleans()),
    )
    try:
        ContrastiveLoss(how, data)
    except ValueError:
        assume(False)
    similarity = draw(st.sampled_from(["cosine", "inner_product"]))
    model = mt.TwoTower(data.schema, dim=3, hidden=(4,), similarity=similarity, dtype=np.float64)
    pairs = data.train.take(np.arange(min(len(data.train), 4)))
    return generic(model), Batches(data, 8).make_batch(pairs, np.random.default_rng(0)), how, data


def joint(model, batch, how, data, seed):
    """main + alpha * self, and its gradients."""
    loss, gradients = whole_loss(model, batch, mt.InBatchSoftmax(0.4))
    added, of_views = ContrastiveLoss(how, data, seed)(model)
    return loss + added, add_gradients(gradients, of_views)


@settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(problems(), st.integers(0, 99))
def test_gradient_of_the_joint_objective_is_right(problem, seed):
    """Through every kind of field, both views and the main batch, at the same views."""
    promised, measured, smooth = slopes(*problem, seed)
    assume(smooth)
    assert_slope(promised, measured, 1e-7)


@pytest.mark.parametrize("augment", AUGMENTS)
def test_gradient_of_the_joint_objective_is_right__all_fields_at_once(augment):
    how = SelfSupervised(augment=augment, alpha=2.0, batch_size=20, temperature=0.4)
    model = generic(model_of(dtype=np.float64))
    batch = Batches(DATA, 16).make_batch(DATA.train.take(np.arange(16)), np.random.default_rng(0))
    promised, measured, smooth = slopes(model, batch, how, DATA, 3)
    assert smooth
    assert_slope(promised, measured, 1e-7)


def slopes(model, batch, how, data, seed):
    """Along a random direction: promised, measured, and whether no kink is near."""
    names = sorted(model.parameters)
    start = [model.parameters[name].copy() for name in names]
    rng = np.random.default_rng(seed)
    direction = [rng.standard_normal(array.shape) for array in start]

    def loss(*arrays):
        model.parameters.update(zip(names, arrays, strict=True))
        return joint(model, batch, how, data, seed)[0]

    wide, narrow = (directional(loss, start, direction, h=h) for h in (1e-3, 2.5e-4))
    model.parameters.update(zip(names, start, strict=True))
    _, gradients = joint(model, batch, how, data, seed)
    dense = [
        as_dense(gradients.get(n, np.zeros_like(p)), p) for n, p in zip(names, start, strict=True)
    ]
    return along(dense, direction), narrow, abs(wide - narrow) <= 1e-7 * max(1, abs(narrow))


@given(st.floats(0.01, 10), st.sampled_from(AUGMENTS), st.integers(0, 99))
def test_contrast__is_linear_in_alpha_and_moves_the_item_tower_alone(alpha, augment, seed):
    model = generic(model_of(dtype=np.float64))
    (one, of_one), (some, of_some) = (
        ContrastiveLoss(SelfSupervised(augment=augment, alpha=a), DATA, seed)(model)
        for a in (1.0, alpha)
    )
    assert some == pytest.approx(alpha * one)
    assert of_one.keys() == {name for name in model.parameters if name.startswith("item.")}
    for name, gradient in of_one.items():
        expected, got = (as_dense(g, model.parameters[name]) for g in (gradient, of_some[name]))
        assert got == pytest.approx(alpha * expected, rel=1e-9, abs=1e-12)


# ---------------------------------------------------------------- in training


class Recorder(mt.SGD):
    """An optimizer that keeps what it is given and moves nothing."""

    def update(self, parameters, gradients):
        self.seen = [*getattr(self, "seen", []), gradients]


def gradients_of_an_epoch(self_supervised):
    recorder, model = Recorder(0.1), generic(model_of(dtype=np.float64))
    trainer = mt.Trainer(
        model, DATA, optimizer=recorder, batch_size=64, self_supervised=self_supervised
    )
    trainer.fit(1, validate=False)
    return [{n: as_dense(g, model.parameters[n]) for n, g in s.items()} for s in recorder.seen]


def test_step__is_main_plus_alpha_times_self_and_users_do_not_notice():
    """The same main batches come whatever alpha is, and the step's gradient is linear in it."""
    how = lambda alpha: SelfSupervised(augment="correlated", alpha=alpha, batch_size=16)
    main, one, three = (gradients_of_an_epoch(h) for h in (None, how(1.0), how(3.0)))
    assert len(main) == len(one) == len(three) > 1
    for a, b, c in zip(main, one, three, strict=True):
        for name in a:
            if name.startswith("user."):
                assert np.array_equal(a[name], b[name])
                assert np.array_equal(a[name], c[name])
            else:
                assert np.abs(b[name] - a[name]).max() > 0
                assert c[name] - a[name] == pytest.approx(3 * (b[name] - a[name]), abs=1e-12)


@pytest.mark.parametrize("make", [lambda: mt.Adagrad(0.1), lambda: mt.RowWiseAdam(0.01)])
def test_alpha_zero_is_training_without_it_bit_for_bit(make):
    runs = []
    for how in (None, SelfSupervised(augment="mask+dropout", alpha=0.0)):
        model = model_of()
        trainer = mt.Trainer(
            model, DATA, optimizer=make(), batch_size=32, self_supervised=how, seed=3
        )
        trainer.fit(3)
        runs.append(model.parameters)
    assert all(np.array_equal(runs[0][name], runs[1][name]) for name in runs[0])


def test_same_seed_same_parameters_bit_for_bit():
    runs = []
    for seed in (0, 0, 1):
        model = model_of()
        how = SelfSupervised(augment="correlated+dropout", batch_size=16)
        mt.Trainer(model, DATA, batch_size=300, self_supervised=how, seed=seed).fit(2)
        runs.append(model.parameters)
    assert all(np.array_equal(runs[0][name], runs[1][name]) for name in runs[0])
    assert not np.array_equal(runs[0]["item.mlp.0.weight"], runs[2]["item.mlp.0.weight"])


def test_views_draw_by_the_seed_and_other_numbers_than_the_shuffling():
    how = SelfSupervised(augment="complementary")
    trainers = [mt.Trainer(model_of(), DATA, self_supervised=how, seed=s) for s in (3, 3, 4)]
    one, same, other = (trainer.contrastive_loss.rng.random() for trainer in trainers)
    assert one == same != other
    assert one != trainers[0].rng.random()


def test_training__brings_the_views_of_an_item_together():
    trainer = trainer_of(alpha=1.0, batch_size=40, temperature=0.2)
    history = trainer.fit(20)
    losses = [epoch.self_supervised for epoch in history.epochs]
    assert losses[-1] < 0.8 * losses[0]
    plain = mt.Trainer(model_of(), DATA, batch_size=32).fit(1)
    assert plain.epochs[0].self_supervised == 0


def test_history__has_the_objective_and_what_was_added_apart():
    """Before the first update both are those of the untrained model."""
    trainer = trainer_of(alpha=0.5, batch_size=99)
    trainer.batches = Batches(DATA, len(DATA.train))  # one step
    fresh = model_of()
    batch = next(Batches(DATA, len(DATA.train)).epoch(np.random.default_rng(0)))
    expected, _ = whole_loss(fresh, batch, mt.InBatchSoftmax())
    added, _ = ContrastiveLoss(trainer.contrastive_loss.settings, DATA, 0)(fresh)
    epoch = trainer.fit(1).epochs[0]
    assert epoch.loss == pytest.approx(expected, rel=1e-5)
    assert epoch.self_supervised == pytest.approx(added, rel=1e-5)


def test_training__stops_where_the_added_loss_is_not_finite(monkeypatch):
    trainer = trainer_of()
    monkeypatch.setattr(trainer, "contrastive_loss", lambda model: (np.nan, {}))
    with pytest.raises(mt.TrainingError, match="step 1: the loss is nan"):
        trainer.fit(1)


def test_serving_sees_no_views():
    """What is encoded, ranked and recalled after training is the whole item."""
    trainer = trainer_of()
    trainer.fit(1)
    vectors = mt.encode(trainer.model.item, DATA.items)
    assert np.array_equal(vectors, trainer.model.item(DATA.items.columns)[0])


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("options, message", [
    ({"augment": "crop"}, "augment must be one of mask, dropout"),
    ({"augment": "dropout+mask"}, "augment must be one of"),
    ({"alpha": -0.1}, "alpha must be a number from 0"),
    ({"alpha": 1e300}, "alpha must be a number from 0"),
    ({"temperature": 1e-300}, "temperature must be a number from"),
    ({"alpha": float("nan")}, "alpha must be a number from 0"),
    ({"temperature": 0}, "temperature must be a number from"),
    ({"temperature": float("inf")}, "temperature must be a number from"),
    ({"augment": "mask", "rounding": "ceil"}, "belong to correlated"),
    ({"augment": "dropout", "mutual_information_over": "clicks"}, "belong to correlated"),
    ({"batch_size": 1}, "batch_size must be an integer of at least 2"),
    ({"dropout": 0}, "dropout must be a number above 0 and below 1"),
    ({"dropout": 1}, "dropout must be a number above 0 and below 1"),
    ({"augment": "mask", "hidden": 0}, "hidden must be an integer of at least 1"),
    ({"hidden": 2}, "hidden belongs to mask"),
    ({"rounding": "up"}, "rounding must be"),
    ({"mutual_information_over": "users"}, "mutual_information_over must be"),
    ({"sampling": "log"}, "sampling must be"),
])  # fmt: skip
def test_self_supervised__refuses(options, message):
    with pytest.raises(ValueError, match=message):
        SelfSupervised(**({"augment": "complementary"} | options))


def few(*fields, **columns):
    """Two items, of these fields."""
    return Dataset.from_columns(
        Schema(user=[Id("u")], item=list(fields)),
        {"u": [1, 1, 1], "i": [1, 2, 3], "part": ["train"] * 3},
        items={"i": [1, 2, 3], **columns},
        split=GivenSplit("part"),
    )


TWO = few(Id("i"), Categorical("c"), MultiValued("t"), c=["a", "b", "a"], t=["x y", "x", "x"])
CODES = few(
    Id("i"), Categorical("c"), Categorical("d"), Categorical("e"), c=["a", "b", "a"],
    d=["a", "b", "a"], e=["1", "2", "3"],
)  # fmt: skip
ALONE = few(Id("i"))


@pytest.mark.parametrize("data, options, message", [
    (ALONE, {"augment": "mask"}, "mask of an item's i: hiding 1 of 1 fields leaves no view"),
    (ALONE, {"augment": "complementary"}, "k must be an integer within 2"),
    (ALONE, {"augment": "correlated"}, "all of 0 fields"),
    (ALONE, {"augment": "dropout"}, "none has a multi-valued field"),
    (TWO, {"augment": "correlated"}, "correlated of an item's i, c, t: .* all of 2 fields"),
    (TWO, {"augment": "mask", "hidden": 3}, "hiding 3 of 3 fields"),
    (TWO, {"augment": "dropout", "dropout": 0.4}, "changes no item"),
    (CODES, {"augment": "correlated"}, "all of 2 fields"),
    (shop(), {"augment": "mask+dropout", "dropout": 0.2}, "changes no item"),
])  # fmt: skip
def test_trainer__refuses_views_that_would_keep_nothing_or_change_nothing(data, options, message):
    """When it is put together; what identifies an item is not among the measured fields."""
    for alpha in (0.3, 0.0):
        with pytest.raises(ValueError, match=message):
            trainer_of(alpha, data, **options)


def test_correlated__ceil_needs_one_field_more():
    how = {"augment": "correlated", "rounding": "ceil"}
    assert ContrastiveLoss(SelfSupervised(**how), DATA)
    data = few(
        Id("i"), Categorical("c"), Categorical("d"), Categorical("e"), c=["a", "b", "a"],
        d=["a", "b", "a"], e=["1", "1", "3"],
    )  # fmt: skip
    assert ContrastiveLoss(SelfSupervised(augment="correlated"), data)
    with pytest.raises(ValueError, match="all of 3 fields"):
        ContrastiveLoss(SelfSupervised(**how), data)
