"""The port of chapter 22, its code taken from the page: every kind of tower, in PyTorch.

Runs where the extra ``peers`` is installed.
"""

import doctest
from pathlib import Path

import numpy as np
import pytest

import minitower as mt
from minitower.conformance import check
from minitower.data.histories import kept
from minitower.towers.layers import RowGradient

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install '.[peers]'")

PAGE = Path(__file__).parent.parent / "docs" / "22-moving-to-pytorch.md"
N = 60


@pytest.fixture(scope="module")
def page():
    """What the page defines: its classes and functions, nothing else of it."""
    defined = {}
    for example in doctest.DocTestParser().get_examples(PAGE.read_text("utf-8")):
        if example.source.startswith(("import ", "from ", "class ", "def ")):
            exec(example.source, defined)
    return defined


FIELDS = {
    "id": [mt.Id("item_id")],
    "categorical": [mt.Id("item_id", embed=False), mt.Categorical("color")],
    "mean of a set": [mt.Id("item_id", embed=False), mt.MultiValued("tags")],
    "sum of a set": [mt.Id("item_id", embed=False), mt.MultiValued("tags", pool="sum")],
    "numbers": [
        mt.Id("item_id"),
        mt.Continuous("price", "log1p"),
        mt.Continuous("year", "standardise", impute=True),
        mt.Continuous("size", "bucketise", buckets=4),
    ],
    "all": [
        mt.Continuous("price", "log1p"),
        mt.MultiValued("tags"),
        mt.Id("item_id"),
        mt.Categorical("color"),
        mt.Continuous("size", "bucketise", buckets=4),
    ],
}
SHAPES = {
    "summed": {"hidden": ()},
    "one layer": {"hidden": (8,)},
    "square layers": {"hidden": (8, 8, 8)},
    "inner product": {"hidden": (12,), "similarity": "inner_product"},
    "residual": {"hidden": (12,), "residual": True},
}


def world(fields, dtype, **shape):
    rng = np.random.default_rng(0)
    year = rng.integers(1990, 2020, N).astype(float)
    year[3] = np.nan
    items = {
        "item_id": np.arange(N),
        "color": rng.choice(["red", "green", "blue", ""], N),
        "tags": [rng.choice(list("abcd"), rng.integers(0, 5)).tolist() for _ in range(N)],
        "price": rng.gamma(2.0, 10.0, N),
        "size": rng.integers(0, 40, N),
        "year": year,
    }
    clicks = {"user_id": rng.integers(0, 20, 300), "item_id": rng.integers(0, N - 5, 300)}
    data = mt.Dataset.from_columns(
        mt.Schema(user=[mt.Id("user_id")], item=fields),
        clicks,
        items=items,
        split=mt.RandomSplit(valid=0, test=0),
    )
    model = mt.TwoTower(data.schema, dim=8, seed=0, dtype=dtype, **shape)
    for parameter in model.parameters.values():  # also what begins at zero
        parameter += 0.1 * rng.standard_normal(parameter.shape).astype(dtype)
    return data, model


@pytest.fixture(params=FIELDS)
def fields(request):
    return FIELDS[request.param]


@pytest.fixture(params=SHAPES)
def shape(request, fields):
    if request.param == "residual" and not all(
        field.embed for field in fields if isinstance(field, mt.Id)
    ):
        return SHAPES["one layer"]  # nothing to add without the id's embedding
    return SHAPES[request.param]


@pytest.mark.parametrize("history", [
    mt.UserHistory(5), mt.UserHistory(3, "sum"), mt.UserHistory(5, "mean", "own"),
])  # fmt: skip
@pytest.mark.parametrize("name", ["summed", "one layer", "residual"])
def test_port__a_history_gives_the_same_vectors_and_gradients(page, name, history):
    data, model = world([mt.Id("item_id")], "float64", **SHAPES[name], history=history)
    users = model.users(data).columns
    users["history"] = users["history"].replace(np.arange(len(data.users)) < 2, 0)
    users["history"] = kept(users["history"], users["history"].values > 0)  # two are empty
    own = {k: array for k, array in model.parameters.items() if k.startswith("user.")}
    items = page["ported"](model.item_tower, model.parameters)
    module = page["TorchUserTower"](model.user_tower, items.tables["item_id"]).double()
    module.load_state_dict({page["torch_name"](k): page["to_torch"](k, a) for k, a in own.items()})
    ours, backward = model.user(users)
    theirs = module(page["tensors"](users))
    assert np.abs(ours - theirs.detach().numpy()).max() <= 1e-12 * max(1, np.abs(ours).max())
    direction = np.random.default_rng(1).standard_normal(ours.shape)
    theirs.backward(torch.from_numpy(direction))
    found = dict(module.named_parameters())
    for k, gradient in backward(direction).items():
        if isinstance(gradient, RowGradient):
            whole = np.zeros_like(model.parameters[k])
            whole[gradient.rows] = gradient.values
            gradient = whole
        shared = k.startswith("item.")
        parameter = items.tables["item_id"].weight if shared else found[page["torch_name"](k)]
        turned = page["turned"](k, gradient)
        assert parameter.grad.numpy() == pytest.approx(turned, abs=1e-11), k


@pytest.mark.parametrize("dtype, close", [("float32", 1e-6), ("float64", 1e-12)])
def test_port__gives_the_same_vectors(page, fields, shape, dtype, close):
    data, model = world(fields, dtype, **shape)
    for tower, table in ((model.item_tower, data.items), (model.user_tower, data.users)):
        ours, _ = tower(model.parameters, table.columns)
        module = page["ported"](tower, model.parameters)
        theirs = module(page["tensors"](table.columns))
        theirs = theirs.detach().numpy()
        assert theirs.dtype == ours.dtype
        assert np.abs(ours - theirs).max() <= close * max(1, np.abs(ours).max())


def test_port__gives_the_same_gradients(page, fields, shape):
    data, model = world(fields, "float64", **shape)
    vectors, backward = model.item(data.items.columns)
    direction = np.random.default_rng(1).standard_normal(vectors.shape)
    module = page["ported"](model.item_tower, model.parameters)
    features = page["tensors"](data.items.columns)
    module(features).backward(torch.from_numpy(direction))
    theirs = {name: parameter.grad.numpy() for name, parameter in module.named_parameters()}
    ours = backward(direction)
    assert {page["torch_name"](name) for name in ours} == theirs.keys()
    for name, gradient in ours.items():
        if isinstance(gradient, RowGradient):
            whole = np.zeros_like(model.parameters[name])
            whole[gradient.rows] = gradient.values
            gradient = whole
        turned = page["turned"](name, gradient)
        assert theirs[page["torch_name"](name)] == pytest.approx(turned, abs=1e-11)


def test_port__a_weight_that_is_missing_is_refused(page):
    _, model = world(FIELDS["all"], "float32", hidden=(8,))
    lacking = {k: v for k, v in model.parameters.items() if k != "item.color.embedding"}
    with pytest.raises(RuntimeError, match=r"Missing key.*tables\.color\.weight"):
        page["ported"](model.item_tower, lacking)


def test_port__a_square_layer_that_is_not_transposed_shows_in_the_vectors(page, monkeypatch):
    """No shape differs: the comparison of vectors is what finds it."""
    data, model = world(FIELDS["all"], "float32", hidden=(8, 8))
    by_shape = lambda name, a: a.T if ".mlp." in name and a.shape[0] != a.shape[-1] else a
    monkeypatch.setitem(page, "turned", by_shape)
    module = page["ported"](model.item_tower, model.parameters)
    theirs = module(page["tensors"](data.items.columns)).detach().numpy()
    assert np.abs(theirs - model.item(data.items.columns)[0]).max() > 0.01


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_port__check_passes_the_loss_and_names_the_slip(page, dtype):
    right = check(page["softmax_loss"], formula="in_batch_softmax", framework="torch", dtype=dtype)
    assert right.passed
    slip = check(page["usual_slip"], formula="in_batch_softmax", framework="torch", dtype=dtype)
    assert slip.mistake.name == "(score - log q) / temperature"
