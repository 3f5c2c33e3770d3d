"""The whole model: its gradient against finite differences, and what it promises."""

from copy import copy

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numerics import along, assert_slope, directional
from objectives import OWN, SHARED
from strategies import batches, datasets

import minitower.towers.layers as layers
import minitower.towers.tower as tower_module
from minitower.data import (
    Categorical,
    Continuous,
    Dataset,
    GivenSplit,
    Id,
    MultiValued,
    RandomSplit,
    Schema,
    next_day,
)
from minitower.formulas.sampling import Uniform
from minitower.towers.layers import RowGradient, add_gradients
from minitower.towers.optimizers import SGD
from minitower.towers.two_tower import TwoTower
from minitower.training.batches import Batches
from minitower.training.gradient_step import gradient_step
from minitower.training.objectives import InBatchSoftmax
from minitower.training.regularization import Regularization
from minitower.training.sampled_negatives import SampledNegatives


@st.composite
def problems(draw, negatives=0, history=None):
    """A data set of any schema, a float64 model on it, a batch with duplicates.

    With a strategy of histories the model reads one, if its schema allows that.
    """
    data = draw(datasets())
    sides = (data.schema.user, data.schema.item)
    embedded = [f for side in sides for f in side.inputs if side.is_embedded(f.name)]
    free = all(field.dim is None for field in embedded)
    hidden = draw(st.sampled_from([(), (3,), (4, 3)] if free else [(3,), (4, 3)]))
    ids_fit = all(
        isinstance(s.inputs[0], Id) or any(isinstance(f, Id) for f in s.inputs) for s in sides
    )
    ids_wide = all(f.dim is None for f in embedded if isinstance(f, Id))
    how = None if history is None else draw(history)
    item_id = data.schema.schema.item_id
    assume(how is None or how.table == "own" or item_id.embed)
    model = TwoTower(
        data.schema,
        history=how,
        dim=2,
        hidden=hidden,
        similarity=draw(st.sampled_from(["cosine", "inner_product"])),
        residual=bool(hidden) and ids_fit and ids_wide and draw(st.booleans()),
        seed=draw(st.integers(0, 99)),
        dtype=np.float64,
    )
    # Biases and default rows start at zero, where relu has its kink: move to a generic point.
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    for name, parameter in model.parameters.items():
        model.parameters[name] = parameter + rng.standard_normal(parameter.shape)
    pairs = draw(batches(data))
    source = SampledNegatives(Uniform(len(data.items)), negatives) if negatives else None
    assume(source is not None or len(data.train) > 1)
    last, others = (None, False) if how is None else (how.last, how.clicks == "others")
    maker = Batches(data, 8, source, last_clicks=last, other_clicks=others, known=True)
    maker.log_q = np.log(np.linspace(0.05, 0.3, len(data.items)))
    return model, maker.make_batch(pairs, np.random.default_rng(draw(st.integers(0, 99))))


def regularized_loss(model, batch, objective):
    """The loss of a training step with a fixed dropout mask, and with half of lambda |w|^2."""
    share = 0.4 if model.history else 0.0
    how = Regularization(weight_decay=0.4, user_dropout=0.4, history_dropout=share, seed=5)
    parameters = {name: array.copy() for name, array in model.parameters.items()}
    copied = copy(model)
    copied.parameters = parameters
    loss, _, gradients = gradient_step(copied, SGD(1e-3), objective, batch, regularization=how)
    for name, gradient in gradients.items():
        if isinstance(gradient, RowGradient):
            loss += 0.2 * (model.parameters[name][gradient.rows] ** 2).sum()
    return loss, gradients


def whole_loss(model, batch, objective):
    users, back_users = model.user(batch.users)
    items, back_items = model.item(batch.items)
    loss, (d_users, d_items) = objective(users, items, batch)
    return loss, add_gradients(back_users(d_users), back_items(d_items))


def as_dense(gradient, parameter):
    if not isinstance(gradient, RowGradient):
        return gradient
    table = np.zeros_like(parameter)
    table[gradient.rows] = gradient.values
    return table


def check_whole_gradient(model, batch, objective, seed=0, whole_loss=whole_loss):
    """Along a random direction through all parameters at once."""
    names = sorted(model.parameters)
    start = {name: model.parameters[name].copy() for name in names}
    rng = np.random.default_rng(seed)
    direction = [rng.standard_normal(start[name].shape) for name in names]

    def loss(*arrays):
        for name, array in zip(names, arrays, strict=True):
            model.parameters[name] = array
        return whole_loss(model, batch, objective)[0]

    _, gradients = whole_loss(model, batch, objective)
    dense = [
        as_dense(gradients.get(name, np.zeros_like(start[name])), start[name]) for name in names
    ]
    at = [start[name] for name in names]
    # Steps of several sizes: where they disagree a relu's kink or a vanishing vector is near.
    wide, narrow = (directional(loss, at, direction, h=h) for h in (2e-3, 5e-4))
    model.parameters.update(start)
    smooth = abs(wide - narrow) <= 1e-6 * max(1, abs(narrow))
    return along(dense, direction), narrow, smooth


@settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(problems(), st.sampled_from(SHARED), st.integers(0, 99))
def test_gradient_of_the_whole_model_is_right(problem, objective, seed):
    model, batch = problem
    promised, measured, smooth = check_whole_gradient(model, batch, objective, seed)
    assume(smooth)
    assert_slope(promised, measured, 1e-7)


@settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(problems(), st.sampled_from(SHARED), st.integers(0, 99))
def test_gradient_of_a_regularized_step_is_right(problem, objective, seed):
    """Weight decay of the rows in use, and user vectors with dropped components."""
    model, batch = problem
    promised, measured, smooth = check_whole_gradient(
        model, batch, objective, seed, regularized_loss
    )
    assume(smooth)
    assert_slope(promised, measured, 1e-7)


@settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(problems(negatives=2), st.sampled_from(OWN + SHARED), st.integers(0, 99))
def test_gradient_of_the_whole_model_is_right__with_negatives(problem, objective, seed):
    """Each pair's own, or, for the softmax over the batch, everybody's."""
    model, batch = problem
    promised, measured, smooth = check_whole_gradient(model, batch, objective, seed)
    assume(smooth)
    assert_slope(promised, measured, 1e-7)


def shop():
    """Six users and items, every kind of field, a missing value of each that allows it."""
    schema = Schema(
        user=[Id("u"), Categorical("city"), Continuous("age", "standardise")],
        item=[Id("i"), MultiValued("tags"), Continuous("price", "bucketise", buckets=2)],
    )
    return Dataset.from_columns(
        schema,
        {"u": [0, 1, 2, 3, 4, 0, 1, 0], "i": [0, 1, 2, 3, 4, 0, 0, 5], "part": ["train"] * 8},
        users={"u": range(6), "city": ["a", "b", None, "a", "b", "a"], "age": [1, 2, 3, 4, 5, 6]},
        items={
            "i": range(6),
            "tags": ["x y", "x", "", "y y", "z", "x"],
            "price": [1, 2, 3, 4, 5, 6],
        },
        split=GivenSplit("part"),
    )


def generic(model):
    rng = np.random.default_rng(0)
    for name, parameter in model.parameters.items():
        model.parameters[name] = parameter + rng.standard_normal(parameter.shape)
    return model


def whole_batch(data):
    return Batches(data, 8).make_batch(data.train, np.random.default_rng(0))


def test_item_tower_called_three_times__gradients_add_up():
    """Two views of the items beside the main call: each name's gradients are summed."""
    data = shop()
    model = generic(TwoTower(data.schema, dim=3, hidden=(4,), dtype=np.float64))
    rng = np.random.default_rng(1)
    calls = [data.items.take(rng.integers(0, 6, n)) for n in (4, 2, 5)]
    pulls = [rng.standard_normal((n, 3)) for n in (4, 2, 5)]

    def value():
        return sum(
            np.vdot(pull, model.item(call)[0]) for pull, call in zip(pulls, calls, strict=True)
        )

    total = add_gradients(
        *(model.item(call)[1](pull) for pull, call in zip(pulls, calls, strict=True))
    )
    names = [name for name in model.parameters if name.startswith("item.")]
    assert set(total) == set(names)
    start = [model.parameters[name] for name in names]
    direction = [rng.standard_normal(array.shape) for array in start]

    def moved(*arrays):
        model.parameters.update(zip(names, arrays, strict=True))
        return value()

    slope = directional(moved, start, direction)
    model.parameters.update(zip(names, start, strict=True))
    dense = [as_dense(total[name], model.parameters[name]) for name in names]
    assert_slope(along(dense, direction), slope, 1e-7)


def wrong_embedding(rows, table):
    """The classic: a row used twice keeps only one of its gradients."""

    def lossy(dy):
        distinct, first = np.unique(rows, return_index=True)
        return RowGradient(distinct, dy[first])

    return table[rows], lossy


def without(index):
    """A dense layer that forgets one of its gradients (0 dx, 1 weight, 2 bias)."""

    def dense(x, weight, bias):
        y, backward = layers.dense(x, weight, bias)
        return y, lambda dy: tuple(
            np.zeros_like(g) if i == index else g for i, g in enumerate(backward(dy))
        )

    return dense


def blind(layer, scale=1.001):
    """A layer whose way back is off by a thousandth."""

    def planted(*args, **options):
        y, backward = layer(*args, **options)

        def off(dy):
            g = backward(dy)
            return (
                RowGradient(g.rows, g.values * scale) if isinstance(g, RowGradient) else g * scale
            )

        return y, off

    return planted


@pytest.mark.parametrize(
    "name, mistake",
    [
        ("embedding", wrong_embedding),
        ("embedding", blind(layers.embedding)),
        ("embedding_bag", blind(layers.embedding_bag)),
        ("dense", without(0)),
        ("dense", without(1)),
        ("dense", without(2)),
        ("relu", lambda x: (np.maximum(x, 0), lambda dy: dy)),
        ("relu", blind(layers.relu)),
        ("l2_normalize", lambda x: (tower_module.l2_normalize(x)[0], lambda dy: dy)),
        ("l2_normalize", blind(tower_module.l2_normalize)),
        (
            "concatenate",
            lambda parts: (
                np.concatenate(parts, axis=1),
                lambda dy: [0 * g for g in layers.concatenate(parts)[1](dy)],
            ),
        ),
    ],
)
def test_a_planted_error_in_any_backward_is_caught(monkeypatch, name, mistake):
    data = shop()
    model = generic(TwoTower(data.schema, dim=3, hidden=(4,), dtype=np.float64))
    objective = InBatchSoftmax(0.5)
    promised, measured, smooth = check_whole_gradient(model, whole_batch(data), objective)
    assert smooth
    assert_slope(promised, measured, 1e-7)
    if name == "l2_normalize":
        original = tower_module.l2_normalize
        mistake = (
            blind(original)
            if mistake.__name__ == "planted"
            else (lambda x: (original(x)[0], lambda dy: dy))
        )
    monkeypatch.setattr(tower_module, name, mistake)
    promised, measured, _ = check_whole_gradient(model, whole_batch(data), objective)
    with pytest.raises(AssertionError):
        assert_slope(promised, measured, 1e-7)


def test_ids_alone_without_hidden_layers_are_matrix_factorisation():
    data = Dataset.from_columns(
        Schema(user=[Id("u")], item=[Id("i")]),
        {"u": [1, 2], "i": [3, 4], "part": ["train"] * 2},
        split=GivenSplit("part"),
    )
    model = TwoTower(data.schema, dim=5, hidden=(), similarity="inner_product")
    assert set(model.parameters) == {"user.u.embedding", "item.i.embedding"}
    vectors, _ = model.item(data.items.columns)
    assert np.array_equal(vectors, model.parameters["item.i.embedding"][1:])


def test_without_hidden_layers_features_are_summed():
    data = shop()
    model = generic(TwoTower(data.schema, dim=3, hidden=(), similarity="inner_product"))
    p = model.parameters
    vectors, _ = model.user(data.users.take([1]))
    columns = data.users.take([1])
    expected = (
        p["user.u.embedding"][columns["u"][0]]
        + p["user.city.embedding"][columns["city"][0]]
        + p["user.age.weight"][0] * columns["age"][0]
    )
    assert vectors[0] == pytest.approx(expected, abs=1e-6)


def test_residual_adds_the_id_embedding_to_what_the_layers_give():
    data = shop()
    options = {"dim": 3, "hidden": (4,), "similarity": "inner_product", "seed": 5}
    plain = TwoTower(data.schema, **options)
    residual = TwoTower(data.schema, residual=True, **options)
    rows = data.users.take([0, 3])
    gap = residual.user(rows)[0] - plain.user(rows)[0]
    assert gap == pytest.approx(plain.parameters["user.u.embedding"][rows["u"]], abs=1e-6)


def test_cosine_vectors_have_length_one_and_inner_product_ones_need_not():
    data = shop()
    lengths = {
        similarity: np.linalg.norm(
            TwoTower(data.schema, similarity=similarity).item(data.items.columns)[0], axis=1
        )
        for similarity in ("cosine", "inner_product")
    }
    assert lengths["cosine"] == pytest.approx(np.ones(6), abs=1e-6)
    assert np.abs(lengths["inner_product"] - 1).max() > 0.1


def test_initial_parameters_keep_the_scale():
    """He and Glorot: a unit-variance input leaves every layer with variance about one."""
    data = shop()
    model = TwoTower(data.schema, dim=400, hidden=(500, 600))
    weights = [model.parameters[f"user.mlp.{i}.weight"] for i in range(3)]
    gains = [2, 2, 1]
    for weight, gain in zip(weights, gains, strict=True):
        assert weight.var() * len(weight) == pytest.approx(gain, rel=0.02)
    tables = [p for name, p in model.parameters.items() if name.endswith("u.embedding")]
    assert np.linalg.norm(tables[0][1:], axis=1) == pytest.approx(np.ones(5), abs=0.2)


def test_default_row_starts_at_nothing_unless_training_shows_it():
    parameters = TwoTower(shop().schema).parameters
    assert parameters["user.u.embedding"][0].any()  # ids beside features: rate 0.01
    assert not parameters["user.city.embedding"][0].any()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"dim": 0}, "dim"),
        ({"hidden": (0,)}, "hidden"),
        ({"similarity": "euclid"}, "similarity"),
        ({"dtype": np.float16}, "dtype"),
        ({"residual": True, "hidden": ()}, "residual"),
    ],
)
def test_two_tower__refuses(options, message):
    with pytest.raises(ValueError, match=message):
        TwoTower(shop().schema, **options)


def test_two_tower__refuses_what_does_not_fit_the_schema():
    with pytest.raises(ValueError, match="feature encoders"):
        TwoTower(Schema(user=[Id("u")], item=[Id("i")]))
    schema = Schema(user=[Id("u", dim=7)], item=[Id("i", embed=False)])
    log = {"u": [1], "i": [1], "part": ["train"]}
    hidden_id = Dataset.from_columns(schema, log, split=GivenSplit("part"))
    with pytest.raises(ValueError, match="no feature"):
        TwoTower(hidden_id.schema, dim=7)
    wide = Schema(user=[Id("u", dim=7)], item=[Id("i")])
    with pytest.raises(ValueError, match="summed"):
        TwoTower(Dataset.from_columns(wide, log, split=GivenSplit("part")).schema, hidden=())


def extended_example(default_rate=0.0, hidden=(3,), **more):
    """A model and a day with a new user in a new city, whose row 0 says something."""
    city = Categorical("city", default_rate=default_rate)
    schema = Schema(user=[Id("u"), city], item=[Id("i")])
    users = {"u": [1, 2], "city": ["rome", "oslo"]}
    data = Dataset.from_columns(schema, {"u": [1, 2], "i": [5, 6]}, users, split=RandomSplit(0, 0))
    model = TwoTower(data.schema, dim=4, hidden=hidden, **more)
    day = next_day(data, {"u": [3, 1], "i": [5, 7]}, {"u": [3], "city": ["bern"]})
    return data, model, day


@pytest.mark.parametrize("hidden", [(), (3,)])
def test_extended__reads_what_was_known_as_before_and_what_is_new_as_the_unknown(hidden):
    data, model, day = extended_example(0.1, hidden)
    model.parameters["item.i.embedding"][0] = 0.5
    extended = model.extended(day.schema)
    for tower, old_table, table in (
        ("user", data.users, day.users),
        ("item", data.items, day.items),
    ):
        before, _ = getattr(model, tower)(old_table.columns)
        after, _ = getattr(extended, tower)(table.columns)
        assert np.array_equal(after[:2], before)
        unknown = getattr(data.schema, tower).default_features(1)
        np.testing.assert_allclose(
            after[2:], getattr(model, tower)(unknown)[0], rtol=1e-6, atol=2e-7
        )
    shapes = {name: array.shape for name, array in extended.parameters.items()}
    anew = TwoTower(day.schema, dim=4, hidden=hidden)
    assert shapes == {name: array.shape for name, array in anew.parameters.items()}


def test_extended__shares_nothing_and_changes_nothing():
    _, model, day = extended_example()
    before = {name: array.copy() for name, array in model.parameters.items()}
    extended = model.extended(day.schema)
    for array in extended.parameters.values():
        array += 1
    assert all(np.array_equal(model.parameters[name], array) for name, array in before.items())
    assert model.user_tower.tables["u"] == (3, 4)
    assert extended.user_tower.tables["u"] == (4, 4)


@pytest.mark.parametrize(
    "hidden, similarity, drawn",
    [((), "cosine", True), ((), "inner_product", False), ((3,), "cosine", False)],
)
def test_extended__a_row_is_drawn_where_a_zero_would_have_no_direction(hidden, similarity, drawn):
    """Item ids alone: training never shows their row 0, which stays zero."""
    _, model, day = extended_example(hidden=hidden, similarity=similarity)
    new = model.extended(day.schema).parameters["item.i.embedding"][-1]
    assert new.any() == drawn
    assert np.array_equal(new, model.extended(day.schema).parameters["item.i.embedding"][-1])
    other = model.extended(day.schema, seed=1).parameters["item.i.embedding"][-1]
    assert np.array_equal(new, other) == (not drawn)


def test_extended__refuses_a_schema_that_means_something_else():
    data, model, day = extended_example()
    later = model.extended(day.schema)
    with pytest.raises(ValueError, match="do not continue the model's"):
        later.extended(data.schema)
    schema = Schema(user=[Id("u"), Categorical("city")], item=[Id("i")])
    users = {"u": [1, 2], "city": ["nice", "oslo"]}
    other = Dataset.from_columns(schema, {"u": [1, 2], "i": [5, 6]}, users, split=RandomSplit(0, 0))
    with pytest.raises(ValueError, match="do not continue the model's"):
        model.extended(other.schema)
    ids_alone = Dataset.from_columns(Schema([Id("u")], [Id("i")]), {"u": [1], "i": [5]})
    with pytest.raises(ValueError, match="do not continue the model's"):
        model.extended(ids_alone.schema)
