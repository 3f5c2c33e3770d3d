"""nano.py is the package in one file: each function equals the package's, to 1e-12."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import chisquare
from test_words import problems

from minitower import nano
from minitower.conformance import check
from minitower.data import Categorical, Dataset, Id, MultiValued, RandomSplit, Schema
from minitower.data.table import Ragged
from minitower.formulas.alias_table import build_alias_table_vose, distribution
from minitower.formulas.augmentation import (
    complementary_masks,
    correlated_masks,
    drop_values,
    random_mask,
)
from minitower.formulas.logq import yi
from minitower.formulas.mutual_information import mutual_information
from minitower.formulas.pairwise import triplet_logistic
from minitower.formulas.pointwise import pointwise_logistic
from minitower.formulas.ranking import ranked
from minitower.formulas.sampling import AliasTable, power_law
from minitower.formulas.softmax import in_batch_softmax, info_nce, listwise_softmax
from minitower.search.index import ExactIndex
from minitower.towers.layers import RowGradient, add_gradients
from minitower.towers.optimizers import Adagrad
from minitower.towers.two_tower import TwoTower
from minitower.training.batches import Batch
from minitower.training.gradient_step import gradient_step
from minitower.training.objectives import InBatchSoftmax
from minitower.training.views import hide

FILE, ROOT = Path(nano.__file__), Path(__file__).parent.parent
PAGES = [ROOT / "docs" / "00-in-one-file.md", ROOT / "README.md"]
seeds = st.integers(0, 2**32).map(np.random.default_rng)
scales = st.floats(0.1, 20)


def scores_of(n, m):
    return arrays(float, st.tuples(n, m), elements=st.floats(-1, 1, width=32))


lists = scores_of(st.integers(1, 4), st.integers(2, 5))  # the clicked item and 1 to 4 negatives


def assert_equal(ours, theirs):
    """Two nested results of one shape, equal to 1e-12."""
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys()
        ours, theirs = ours.values(), [theirs[name] for name in ours]
    if isinstance(ours, np.ndarray | float):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)
        return
    for one, other in zip(ours, theirs, strict=True):
        assert_equal(one, other)


# A shop, in the package's form and in that of nano. The package's names say which id is meant.


def shop(rng, users=20, items=50, clicks=30):
    """A data set with fields like those of nano's world, and the items that each user clicks."""
    schema = Schema(
        user=[Id("user_id", dim=16), Categorical("interest")],
        item=[Id("item_id", dim=16), Categorical("brand"), MultiValued("tags")],
    )
    log = np.argsort(rng.random((users, items)), axis=1)[:, :clicks]
    tags = [rng.choice(8, rng.integers(1, 6), replace=False).tolist() for _ in range(items)]
    data = Dataset.from_columns(
        schema,
        {"user_id": np.repeat(np.arange(users), clicks), "item_id": log.ravel()},
        users={"user_id": np.arange(users), "interest": rng.integers(4, size=users)},
        items={"item_id": np.arange(items), "brand": rng.integers(5, size=items), "tags": tags},
        split=RandomSplit(0, 0),
    )
    x = {side: as_fields(data, side, table.columns) for side, table in tables(data).items()}
    return data, x, log


def tables(data):
    return {"user": data.users, "item": data.items}


def as_fields(data, side, columns):
    """The encoded values of a side, as nano's matrices of shares."""
    encoder, fields = getattr(data.schema, side), {}
    for name, values in columns.items():
        n = len(values)
        bags = values if isinstance(values, Ragged) else Ragged.from_counts([1] * n, values)
        shares = np.zeros((n, encoder.cardinality(name)))
        places = np.repeat(np.arange(n), bags.counts), bags.values
        np.add.at(shares, places, 1 / np.repeat(bags.counts, bags.counts))
        fields[name.removeprefix(f"{side}_")] = shares
    return fields


LAYERS = {"W1": "mlp.0.weight", "b1": "mlp.0.bias", "W2": "mlp.1.weight", "b2": "mlp.1.bias"}


def name_in_the_package(side, name):
    name = f"{side}_id" if name == "id" else name
    return f"{side}.{LAYERS.get(name, f'{name}.embedding')}"


def as_model(data, p):
    """The package's model with the parameters of nano's towers."""
    parameters = {
        name_in_the_package(side, name): value.copy()
        for side in p
        for name, value in p[side].items()
    }
    hidden, d = p["user"]["W2"].shape
    return TwoTower(data.schema, dim=d, hidden=(hidden,), dtype=float, parameters=parameters)


def as_nano(side, parameters, names):
    """The package's parameters or gradients of a side, by nano's names."""
    return {name: parameters[name_in_the_package(side, name)] for name in names}


def dense(gradients, like):
    """Gradients of rows as arrays of the shape of the parameters."""
    result = {}
    for name, gradient in gradients.items():
        if isinstance(gradient, RowGradient):
            full = np.zeros_like(like[name])
            full[gradient.rows] = gradient.values
            gradient = full
        result[name] = gradient
    return result


def new_towers(rng, x):
    """With so many hidden units that none of the rows has zeros alone, whose length is zero."""
    return {side: nano.new_tower(rng, x[side], hidden=24, d=6) for side in x}


# 1. Towers


@settings(max_examples=20)
@given(seeds)
def test_tower__equals_the_package_forward_and_backward(rng):
    data, x, _ = shop(rng)
    p = new_towers(rng, x)
    model = as_model(data, p)
    for side, table in tables(data).items():
        rows = rng.integers(len(table), size=9)
        ours, back = nano.tower(p[side], {name: a[rows] for name, a in x[side].items()})
        theirs, their_back = getattr(model, side)(table.take(rows))
        assert_equal(ours, theirs)
        d_unit = rng.normal(size=ours.shape)
        gradients = dense(their_back(d_unit), model.parameters)
        assert_equal(back(d_unit), as_nano(side, gradients, p[side]))


def test_new_tower__has_the_shapes_and_the_spread_of_the_package():
    rng = np.random.default_rng(0)
    data, x, _ = shop(rng, users=300, items=400)
    model = TwoTower(data.schema, dim=32, hidden=(64,), dtype=float)
    for side in x:
        ours = nano.new_tower(rng, x[side])
        theirs = as_nano(side, model.parameters, ours)
        assert {a: v.shape for a, v in ours.items()} == {a: v.shape for a, v in theirs.items()}
        for name, value in ours.items():
            assert value.std() == pytest.approx(theirs[name].std(), rel=0.3)


# 2. Negatives


@given(arrays(float, st.integers(1, 30), elements=st.integers(0, 1000).map(float)), seeds)
def test_alias_table__is_vose_and_its_probabilities_are_exact(counts, rng):
    p = power_law(counts + 1)
    keep, alias = nano.alias_table(p)
    theirs = build_alias_table_vose(p)
    assert np.array_equal([keep, alias], theirs)  # to the bit: leftovers are exactly 1
    assert_equal(distribution(keep, alias), p)


@given(seeds, st.integers(0, 2**32))
def test_draw__equals_the_package_on_the_same_table(rng, seed):
    table = AliasTable(rng.random(20))
    ours = nano.draw(np.random.default_rng(seed), table.keep, table.alias, (5, 3))
    theirs, _ = table.draw(np.random.default_rng(seed), (5, 3))
    assert np.array_equal(ours, theirs)


def test_draw__frequencies_follow_p():
    p = np.array([0.5, 0.3, 0.15, 0.05])
    drawn = nano.draw(np.random.default_rng(0), *nano.alias_table(p), 20_000)
    assert chisquare(np.bincount(drawn), p * 20_000).pvalue > 1e-3


@given(seeds, st.integers(0, 4), st.integers(1, 5))
def test_hard_negatives__are_of_these_ranks_and_not_clicked(rng, first, width):
    users, items = rng.normal(size=(6, 4)), rng.normal(size=(20, 4))
    clicked = rng.random((6, 20)) < 0.3
    scores = np.where(clicked, -np.inf, users @ items.T)
    drawn = nano.hard_negatives(rng, scores, first, first + width, (6, 50))
    known = Ragged.from_counts(clicked.sum(axis=1), np.nonzero(clicked)[1])
    by_rank, _ = ExactIndex(items).search(users, first + width, known)
    for i in range(6):
        assert set(drawn[i]) <= set(by_rank[i, first:])
    if width == 1:
        assert np.array_equal(drawn, np.repeat(by_rank[:, first:], 50, axis=1))
    assert drawn.shape == (6, 50)


# 3. Losses, with their gradients


@given(lists, scales)
def test_pointwise__equals_the_package(scores, scale):
    labels = np.tile([1] + [-1] * (scores.shape[1] - 1), len(scores))
    loss, (d_scores, _, _) = pointwise_logistic(scores.ravel(), labels, scale=scale)
    assert_equal(nano.pointwise(scores, scale), (loss, d_scores.reshape(scores.shape)))


@given(lists, scales)
def test_pairwise__equals_the_package(scores, scale):
    k = scores.shape[1] - 1
    positive, negative = np.repeat(scores[:, 0], k), scores[:, 1:].ravel()
    loss, (d_positive, d_negative) = triplet_logistic(positive, negative, scale=scale)
    d_positive, d_negative = (d.reshape(-1, k) for d in (d_positive, d_negative))
    expected = np.column_stack([d_positive.sum(axis=1), d_negative])
    assert_equal(nano.pairwise(scores, scale), (loss, expected))


@given(lists, st.floats(0.05, 2))
def test_listwise__equals_the_package(scores, t):
    loss, d_scores = listwise_softmax(scores[:, 0], scores[:, 1:], temperature=t)
    assert_equal(nano.listwise(scores, 0, t), (loss, np.column_stack(d_scores)))


@given(st.integers(1, 6).flatmap(lambda n: scores_of(st.just(n), st.just(n))), seeds)
def test_listwise__in_a_batch_equals_the_corrected_softmax_of_the_package(scores, rng):
    log_q = np.log(rng.dirichlet(np.ones(len(scores))))
    theirs = in_batch_softmax(scores, yi(log_q), temperature=0.1)
    assert_equal(nano.listwise(scores, np.arange(len(scores)), 0.1, log_q), theirs)


# 4. Recall


@given(arrays(float, (4, 9), elements=st.integers(0, 3).map(float)), st.integers(1, 9))
def test_nearest__ranks_as_the_package_and_ties_by_column(scores, k):
    assert np.array_equal(nano.nearest(scores, k), ranked(scores, k))


def unit(rng, *shape):
    x = rng.normal(size=shape)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@settings(max_examples=30)
@given(seeds, st.integers(1, 40), st.integers(1, 5))
def test_hnsw__with_full_effort_is_exact(rng, m, links):
    items, users = unit(rng, m, 3), unit(rng, 4, 3)
    index = nano.HNSW(rng, items, links=1 + links, effort=8)
    k = min(m, 5)
    exact, _ = ExactIndex(items).search(users, k)
    assert [index.recall(u, k, effort=m) for u in users] == exact.tolist()


@settings(max_examples=20)
@given(seeds, st.integers(2, 60))
def test_hnsw__layers_are_nested_and_links_go_both_ways(rng, m):
    index = nano.HNSW(rng, unit(rng, m, 3), links=3, effort=8)
    assert set(index.layers[-1]) == set(range(m))
    for upper, lower in zip(index.layers, index.layers[1:], strict=False):
        assert set(upper) <= set(lower)
    for layer in index.layers:
        assert all(i in layer[j] and i != j for i in layer for j in layer[i])
        assert all(len(links) == len(set(links)) for links in layer.values())


def test_hnsw__more_effort_finds_more_and_compares_more():
    rng = np.random.default_rng(0)
    items, users, found, compared = unit(rng, 600, 8), unit(rng, 50, 8), [], []
    index = nano.HNSW(rng, items)
    exact = nano.nearest(users @ items.T, 10)
    for effort in (10, 40, 160):
        index.compared = 0
        lists = np.array([index.recall(u, 10, effort) for u in users])
        found.append((lists[:, :, None] == exact[:, None]).any(axis=2).mean())
        compared.append(index.compared / len(users))
    assert found == sorted(found)
    assert found[0] > 0.6
    assert found[-1] > 0.99
    assert compared == sorted(compared)
    assert compared[0] < 200


# 5. Self-supervision


@settings(max_examples=30)
@given(seeds)
def test_mutual_information__equals_the_package(rng):
    data, x, _ = shop(rng)
    columns = [(v.indptr, v.values) if isinstance(v, Ragged) else v
               for v in data.items.columns.values()]  # fmt: skip
    theirs = mutual_information(columns, identifiers=True)
    for i, a in enumerate(x["item"].values()):
        for j, b in enumerate(x["item"].values()):
            if i != j or not isinstance(columns[i], tuple):  # several values: no entropy there
                assert nano.mutual_information(a, b) == pytest.approx(theirs[i, j], abs=1e-12)


@given(st.integers(0, 2**32), st.integers(0, 5), st.integers(3, 7))
def test_masks__equal_the_package(seed, n, f):
    rng = lambda: np.random.default_rng(seed)
    related = rng().integers(4, size=(f, f)).astype(float)
    assert_equal(nano.masks(rng(), "correlated", n, related), correlated_masks(rng(), n, related))
    assert_equal(nano.masks(rng(), "complementary", n, related), complementary_masks(rng(), n, f))
    first, second = nano.masks(rng(), "random", n, related)
    assert np.array_equal(first, random_mask(rng(), n, f, f // 2))
    assert np.all(second.sum(axis=1) == f // 2)


def test_masks__random_views_are_independent_of_each_other():
    first, second = nano.masks(np.random.default_rng(0), "random", 12_000, np.eye(4))
    kinds = [a @ [1, 2, 4, 8] for a in (first, second)]
    _, times = np.unique(kinds, axis=1, return_counts=True)
    assert len(times) == 36
    assert chisquare(times).pvalue > 1e-3


@settings(max_examples=20)
@given(seeds)
def test_hide__equals_the_package(rng):
    data, x, _ = shop(rng)
    mask = rng.random((len(data.items), 3)) < 0.5
    names = list(data.items.columns)
    theirs = hide(data.schema.item, data.items.columns, names, mask)
    assert_equal(nano.hide(x["item"], mask), as_fields(data, "item", theirs))


@given(seeds)
def test_drop_half__drops_the_values_that_the_package_drops(rng):
    data, x, _ = shop(rng)
    tags, keys = data.items.columns["tags"], rng.random(x["item"]["tags"].shape)
    order = np.concatenate([np.sort(row) for row in map(tags.row, range(len(tags)))])
    present = keys[x["item"]["tags"] > 0]
    dropped = Ragged(*drop_values(SimpleNamespace(random=lambda n: present), tags.indptr, order))
    ours = nano.drop_half(SimpleNamespace(random=lambda shape: keys), x["item"]["tags"])
    assert_equal(ours, as_fields(data, "item", {"tags": dropped})["tags"])


def test_drop_half__keeps_single_values_and_defaults():
    x = np.eye(4)
    assert np.array_equal(nano.drop_half(np.random.default_rng(0), x), x)


def contrast_of_the_package(model, data, names, rows, views, t):
    """InfoNCE of two masked views, and its gradients."""
    table = data.items.take(rows)
    (a, back_a), (b, back_b) = (
        model.item(hide(data.schema.item, table, names, mask)) for mask in views
    )
    loss, d = info_nce(a @ b.T, temperature=t)
    return loss, add_gradients(back_a(d @ b), back_b(d.T @ a))


@settings(max_examples=20)
@given(seeds, st.sampled_from(["random", "complementary", "correlated"]))
def test_contrastive__equals_the_package(rng, kind):
    data, x, _ = shop(rng)
    p = new_towers(rng, x)
    model, rows, names = as_model(data, p), rng.integers(50, size=8), list(data.items.columns)
    views = nano.masks(rng, kind, 8, np.arange(9.0).reshape(3, 3))
    some = {name: a[rows] for name, a in x["item"].items()}
    ours = nano.contrastive(p["item"], *(nano.hide(some, mask) for mask in views), 0.2)
    loss, gradients = contrast_of_the_package(model, data, names, rows, views, 0.2)
    assert_equal(ours, (loss, as_nano("item", dense(gradients, model.parameters), p["item"])))


# 6. Training and updates


def trained_by_the_package(seed, data, p, clicks, log_q, epochs, id_tables, related):
    """Steps of the package on the batches that nano draws from a generator of this seed."""
    rng, model, optimizer = np.random.default_rng(seed), as_model(data, p), Adagrad(0.1)
    pairs = np.array([(u, i) for items in clicks.T for u, i in enumerate(items)])
    if id_tables is None:
        pairs = np.concatenate([rng.permutation(pairs) for _ in range(epochs)])
    names = list(data.items.columns)

    def contrastive(model):
        rows = rng.integers(len(log_q), size=256)
        views = correlated_masks(rng, 256, related)
        loss, g = contrast_of_the_package(model, data, names, rows, views, 0.1)
        return 0.1 * loss, {name: 0.1 * a for name, a in dense(g, model.parameters).items()}

    for batch in np.array_split(pairs, 1 + len(pairs) // 256):
        users, items = batch.T
        if related is None:
            features = data.users.take(users), data.items.take(items)
            step = Batch(*features, users, items, log_q[items])
            gradient_step(model, optimizer, InBatchSoftmax(0.1), step, id_tables=id_tables)
        else:  # arrays of all rows, because those of the views are
            a, back_a = model.user(data.users.take(users))
            b, back_b = model.item(data.items.take(items))
            _, d = in_batch_softmax(a @ b.T, yi(log_q[items]), temperature=0.1)
            g = dense(add_gradients(back_a(d @ b), back_b(d.T @ a)), model.parameters)
            optimizer.update(model.parameters, add_gradients(g, contrastive(model)[1]))
    return {side: as_nano(side, model.parameters, p[side]) for side in p}


@pytest.mark.parametrize("kind", ["full", "incremental", "self-supervised"])
def test_train__equals_the_steps_of_the_package(kind):
    rng = np.random.default_rng(3)
    data, x, clicks = shop(rng)
    p = new_towers(rng, x)
    log_q = np.log(rng.dirichlet(np.ones(50)))
    related = rng.random((3, 3)) if kind == "self-supervised" else None
    ids_only, epochs = kind == "incremental", 1 if kind == "incremental" else 2
    (ours, _) = nano.train(np.random.default_rng(5), (p, {}), x, clicks, log_q, epochs, ids_only,
                           None if related is None else related.tolist())  # fmt: skip
    id_tables = {"user.user_id.embedding"} if ids_only else None
    theirs = trained_by_the_package(5, data, p, clicks, log_q, epochs, id_tables, related)
    assert_equal(ours, theirs)


def test_train__an_incremental_update_moves_the_ids_of_users_alone_in_time_order():
    rng = np.random.default_rng(3)
    _, x, clicks = shop(rng)
    model, log_q = (new_towers(rng, x), {}), np.zeros(50)
    clicks[0] = clicks[1]
    before = {side: {name: a.copy() for name, a in model[0][side].items()} for side in x}
    p, squares = nano.train(rng, model, x, clicks[:, :10], log_q, ids_only=True)
    moved = [
        (side, name)
        for side in p
        for name in p[side]
        if (p[side][name] != before[side][name]).any()
    ]
    assert moved == [("user", "id")]
    assert set(squares) == {("user", "id")}
    assert np.array_equal(p["user"]["id"][0], before["user"]["id"][0])  # the default row
    again, _ = nano.train(np.random.default_rng(9), model, x, clicks[:, :10], log_q, ids_only=True)
    assert_equal(again, p)  # no shuffle: the generator plays no part
    assert_equal(model[0], before)  # the model of the night stays for the next full update


def test_train__goes_on_with_the_squares_of_the_model():
    rng = np.random.default_rng(3)
    _, x, clicks = shop(rng)
    model, log_q = (new_towers(rng, x), {}), np.zeros(50)
    parts = clicks[:, :12], clicks[:, 12:24]  # 240 pairs each: one batch
    both = model
    for part in parts:
        both = nano.train(rng, both, x, part, log_q, ids_only=True)
    fresh = nano.train(rng, (both[0], {}), x, parts[0], log_q, ids_only=True)
    going_on = nano.train(rng, both, x, parts[0], log_q, ids_only=True)
    step = lambda model: np.abs(model[0]["user"]["id"] - both[0]["user"]["id"]).sum()
    assert step(going_on) < step(fresh)


# The file, and its run


def test_it_imports_numpy_alone_and_is_short():
    source = FILE.read_text("utf-8")
    modules = [
        getattr(node, "module", None) or node.names[0].name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert modules == ["numpy"]
    lines = source.splitlines()
    assert len(lines) <= 250
    assert max(map(len, lines)) <= 100
    assert f"one file of {len(lines)} lines" in PAGES[1].read_text("utf-8")


def test_world__the_order_of_clicks_is_that_of_draws_without_replacement():
    rng = np.random.default_rng(0)
    x, clicks = nano.world(rng, n=50, m=60)
    assert clicks.shape == (50, 40)
    assert all(len(set(items)) == 40 for items in clicks[10:])
    for fields in x.values():
        for share in fields.values():
            assert share.sum(axis=1) == pytest.approx(1)
            assert not share[:, 0].any()  # nothing is unknown


@pytest.fixture(scope="module")
def table():
    """What `python -m minitower.nano` prints, as text."""
    command = [sys.executable, "-m", "minitower.nano"]
    env = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # small products
    return subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout


def numbers(text):
    return [float(number.replace(",", "")) for number in re.findall(r"\d[\d,.]*\d|\d", text)]


def test_main__prints_a_table_that_tells_the_story(table):
    lines = table.splitlines()
    popular, plain, corrected, self_supervised, incremental, full, hnsw = map(numbers, lines)
    assert popular[0] > plain[0]  # without the correction, nothing is gained
    assert corrected[0] > 2 * max(popular[0], plain[0])
    assert plain[1] > 10 * corrected[1]  # popular items are pushed down, so rare ones come up
    assert self_supervised[0] > 0.9 * corrected[0]
    assert incremental[0] == 800 * 16  # the ids of all users
    assert incremental[1] > self_supervised[0] - 0.003  # some gain; seeds differ
    assert full[0] > 3 * incremental[0]
    assert full[1] > self_supervised[0] - 0.003
    assert hnsw[0] > 90
    assert hnsw[1] < hnsw[2] / 4


# What the pages show of it

page_name = lambda path: path.name


def test_the_chapter_shows_the_whole_file():
    pieces = re.findall(r"```python\n(?!>>>)(.*?)\n```", PAGES[0].read_text("utf-8"), re.DOTALL)
    assert "\n\n\n".join(pieces) + "\n" == FILE.read_text("utf-8")


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_the_table_on_the_page_is_what_the_file_prints(path, table):
    """The same words. Other kernels of the matrix product may move a recall in its third digit."""
    block = r"<!-- nano's table: begin -->\n```text\n(.*?)```\n<!-- end -->"
    shown = re.search(block, path.read_text("utf-8"), re.DOTALL)[1]
    words = lambda text: re.sub(r"\d[\d,.]*\d|\d", "0", text)
    assert words(shown) == words(table)
    for on_page, printed in zip(shown.splitlines(), table.splitlines(), strict=True):
        assert numbers(on_page) == pytest.approx(numbers(printed), rel=0.1, abs=0.01)


@pytest.mark.parametrize("path", [PAGES[0], PAGES[0].parent / "zh" / PAGES[0].name])
def test_the_text_quotes_the_table(path):
    """A recall (three decimals) or a percentage in the text is one of the table's."""
    shown, text = path.read_text("utf-8").split("<!-- end -->", 1)
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    quoted = re.findall(r"0\.\d{3}|\d+\.\d%", text)
    assert len(quoted) > 5
    assert set(quoted) <= set(re.findall(r"0\.\d{3}|\d+\.\d%", shown))


def test_the_chapter_speaks_plainly_and_its_mathematics_is_safe():
    text = re.sub(r"```.*?```", "", PAGES[0].read_text("utf-8"), flags=re.DOTALL)
    found = [p for part in re.split(r"\n\n|\n(?=[*\d])", text) for p in problems(part)]
    assert not found, "\n".join(found)
    assert "$" not in re.sub(r"\$`.*?`\$", "", text)
    assert "\\" not in re.sub(r"`.*?`", "", text)


@pytest.mark.parametrize("question", [
    "Why log q?", "Why minus?", "Why not when serving?", "What does an incremental update move?",
])  # fmt: skip
def test_the_chapter_answers(question):
    assert f"**{question}** " in PAGES[0].read_text("utf-8")


def test_the_exercises_have_a_judge():
    """What the chapter asks for passes the checker, and the asked-for mistake has a name."""

    def batch_loss(users, items, log_q, temperature):
        loss, d = nano.listwise(users @ items.T, np.arange(len(users)), temperature, log_q)
        return loss, (d @ items, d.T @ users)

    def added(users, items, log_q, temperature):
        return batch_loss(users, items, -log_q, temperature)

    def hinge(positive, negative, margin):
        short = negative - positive + margin
        d = (short > 0) / len(short)
        return np.maximum(short, 0).mean(), (-d, d)

    assert check(batch_loss, formula="in_batch_softmax").passed
    assert check(hinge, formula="triplet_hinge").passed
    report = check(added, formula="in_batch_softmax")
    assert report.mistake.name == "log q added instead of subtracted"
