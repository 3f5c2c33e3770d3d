"""Declared options: domain, reading, checks; one rule for each integer of public functions."""

import re
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minitower as mt
from minitower.cli.train import OPTIONS
from minitower.data.columns import as_array
from minitower.data.errors import Place
from minitower.data.layouts import Reading
from minitower.data.options import Option, declared
from minitower.formulas import augmentation, draw_probability, mutual_information
from minitower.formulas.arguments import number
from minitower.formulas.sampling import Uniform
from minitower.store.full_version import publish_model
from minitower.store.version_log import VersionLog
from minitower.training.named import OBJECTIVES, OPTIMIZERS
from minitower.training.recipe import Recipe
from minitower.updating.streams import ClickStream

LOG = {"u": [0, 0, 1, 1, 2], "i": [0, 1, 2, 0, 1]}
SHOP = mt.Dataset.from_columns(mt.Schema(user=[mt.Id("u")], item=[mt.Id("i")]), LOG)
model = lambda: mt.TwoTower(SHOP.schema, dim=2, hidden=())
train = lambda **options: mt.Trainer(model(), SHOP, **options)
judge = lambda **options: mt.evaluate(model(), SHOP, split="train", **options)
mined = lambda **options: mt.MinedNegatives(model(), SHOP, **{"k": 1, "first": 1, **options})
views = lambda **options: mt.SelfSupervised(augment="mask", **options)
hnsw = lambda **options: mt.ApproximateIndex.build(
    "hnsw", np.eye(3), similarity="cosine", **options
)
BAD = [True, np.bool(True), 1.5, 2.0, np.nan, -1, 2**63, 10**60, 10**400]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: repr(bad)[:30])
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("seed", lambda bad: mt.TwoTower(SHOP.schema, seed=bad)),
        ("seed", lambda bad: model().extended(SHOP.schema, seed=bad)),
        ("seed", lambda bad: mt.train_full_update(model(), SHOP, seed=bad)),
        ("seed", lambda bad: train(seed=bad)),
        ("seed", lambda bad: mt.RandomSplit(seed=bad)),
        ("seed", lambda bad: hnsw(seed=bad)),
        ("dim", lambda bad: mt.TwoTower(SHOP.schema, dim=bad)),
        ("hidden", lambda bad: mt.TwoTower(SHOP.schema, hidden=(bad,))),
        ("batch_size", lambda bad: train(batch_size=bad)),
        ("epochs", lambda bad: train().fit(bad)),
        ("patience", lambda bad: train().fit(1, patience=bad)),
        ("size", lambda bad: mt.SharedNegatives(Uniform(3), bad)),
        ("k", lambda bad: mt.uniform_negatives(SHOP, bad)),
        ("k", lambda bad: mt.popular_negatives(SHOP, bad)),
        ("k", lambda bad: mined(k=bad)),
        ("first", lambda bad: mined(first=bad)),
        ("last", lambda bad: mined(last=bad)),
        ("every", lambda bad: mined(every=bad)),
        ("size", lambda bad: mt.CrossBatchSoftmax(bad)),
        ("batch_size", lambda bad: views(batch_size=bad)),
        ("hidden", lambda bad: views(hidden=bad)),
        ("steps", lambda bad: mt.warmup(0.1, bad)),
        ("steps", lambda bad: mt.cosine_decay(0.1, bad)),
        ("test", lambda bad: mt.LastSplit(test=bad)),
        ("k", lambda bad: judge(k=[bad])),
        ("slices", lambda bad: judge(slices=bad)),
        ("k", lambda bad: mt.ExactIndex(np.eye(3)).search(np.eye(3), bad)),
        ("k", lambda bad: hnsw().search(np.eye(3), bad)),
    ],
)
def test_options__that_count_are_integers_and_named(name, call, bad):
    with pytest.raises(ValueError, match=rf"\b{name} must be an integer") as refusal:
        call(bad)
    assert len(str(refusal.value)) < 500


@pytest.mark.parametrize("most", [2**31, 2**53 + 1, 2**63 - 1])
def test_negatives__beyond_memory_are_refused_before_any_is_taken(most):
    for make in (mt.uniform_negatives, mt.popular_negatives):
        with pytest.raises(ValueError, match=r"k must be an integer within 0\.\.16777216"):
            make(SHOP, most)


@pytest.mark.parametrize("metric", ["x" * 10_000, np.array(3), "recall@0", "recall@" + "9" * 20])
def test_metric__is_refused_by_name(metric):
    with pytest.raises(
        ValueError, match=r"^metric: expected NAME@K, the name one of recall"
    ) as refusal:
        train().fit(1, validate=True, metric=metric)
    assert len(str(refusal.value)) < 500


@pytest.mark.parametrize("dtype", ["\ud800", "x", "float16", "x" * 10_000])
def test_two_tower__refuses_a_dtype_that_is_none(dtype):
    with pytest.raises(ValueError, match=r"^dtype must be float32 or float64") as refusal:
        mt.TwoTower(SHOP.schema, dtype=dtype)
    assert len(str(refusal.value)) < 500


def test_hnsw__counts_with_the_small_integers_of_numpy():
    index, items = hnsw(), np.eye(3)
    for k in (np.uint8(2), np.int8(2)):
        assert np.array_equal(index.search(items, k)[0], index.search(items, 2)[0])


@pytest.mark.parametrize("bad", [np.nan, 10**400, "x"])
def test_train_full_update__refuses_a_bound_that_is_no_number(bad):
    with pytest.raises(ValueError, match=r"^at_least must be"):
        mt.train_full_update(model(), SHOP, at_least=bad)


@pytest.mark.parametrize("rate", [10**400, -1.0, np.nan])
def test_schedules__refuse_a_rate_that_is_none(rate):
    for schedule in (mt.warmup, mt.cosine_decay):
        with pytest.raises(ValueError, match=r"^rate must be"):
            schedule(rate, 3)


def test_publish__of_a_parent_in_a_folder_without_a_store_leaves_nothing(tmp_path):
    with pytest.raises(mt.DataError, match="expected a store"):
        publish_model(model(), SHOP, tmp_path / "new", index="exact", parent=2)
    assert not list(tmp_path.iterdir())
    store = publish_model(model(), SHOP, tmp_path / "store", index="exact")
    for bad in (True, 1.0, 0, 10**300):
        with pytest.raises(mt.DataError, match="parent must be an integer of at least 1") as error:
            publish_model(model(), SHOP, tmp_path / "store", index="exact", parent=bad)
        assert len(str(error.value)) < 500
    assert VersionLog.read(tmp_path / "store").current == store.version.number


def test_encode__takes_rows_of_one_dimension():
    for rows in ([[0], [1]], [[0, 1]]):
        with pytest.raises(ValueError, match=r"^rows must be of shape"):
            mt.encode(model().item, SHOP.items, np.array(rows))


@pytest.mark.parametrize("path", ["\0", "a\0b", "\ud800"])
def test_paths__that_no_system_can_take_are_refused(path):
    with pytest.raises(mt.DataError, match="folder is no path"):
        mt.save_model(path, model())
    with pytest.raises(mt.DataError, match="folder is no path"):
        ClickStream(folder=path)
    with pytest.raises(mt.DataError, match="dead_letter_file is no path"):
        ClickStream(folder="clicks", dead_letter_file=path)


@pytest.mark.parametrize("name", ["allowed_lateness", "max_clock_skew"])
@pytest.mark.parametrize("bad", [10**400, -1.0, np.nan])
def test_click_stream__refuses_seconds_that_are_none(name, bad):
    with pytest.raises(ValueError, match=rf"^{name} must be"):
        ClickStream(folder="clicks", **{name: bad})


@pytest.mark.parametrize("bad", [True, 1.5, 0])
def test_click_stream__counts_a_batch_in_integers(bad):
    with pytest.raises(ValueError, match=r"^size must be an integer of at least 1"):
        next(ClickStream(folder="clicks").batches(bad))


@pytest.mark.parametrize("bad", [10**400, -0.1, np.nan, 1.0])
def test_splits__refuse_shares(bad):
    for split in (mt.TimeSplit, mt.RandomSplit):
        for shares in ((bad, 0.0), (0.0, bad)):
            with pytest.raises(mt.DataError, match="the shares of valid and test") as refusal:
                split(*shares)
            assert len(str(refusal.value)) < 500


def test_columns__of_foreign_kinds_are_refused_with_their_place():
    class Raises:
        def __iter__(self):
            return iter(())

        def __array__(self, *_, **__):
            raise ValueError("cannot be an array\nat all")

    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    odd = pd.MultiIndex.from_arrays([[1, 2], [1, 2]])
    for bad in (odd, pl.DataFrame({"a": [1]}), pl.DataFrame({"a": [1]}).lazy(), pd.DataFrame()):
        with pytest.raises(mt.DataError, match=r"^ids: expected a column of values, got"):
            as_array(bad, Place("ids"))
    with pytest.raises(mt.DataError, match=r"^ids: cannot be an array at all$"):
        as_array(Raises(), Place("ids"))


def test_formulas__refuse_what_cannot_be_paired():
    log_q = np.log([0.5, 0.5])
    with pytest.raises(ValueError, match="log_q and log_q_positive must broadcast"):
        draw_probability.log_q_without_positive(np.log([0.1, 0.2, 0.7]), log_q)
    with pytest.raises(ValueError, match="log_inclusion must be at most 0"):
        draw_probability.log_q_from_inclusion_probability([0.1], 3)
    with pytest.raises(ValueError, match="fields must be a list of columns"):
        mutual_information.mutual_information(np.array(1))
    with pytest.raises(ValueError, match="indptr and values must be vectors"):
        augmentation.drop_values(np.random.default_rng(0), [0, 1], np.array(None))
    with pytest.raises(ValueError, match="bias must be one finite number"):
        number("bias", np.longdouble("1e4000"))


# ---------------------------------------------------------------- declared options


@given(st.integers() | st.integers().map(str) | st.text(max_size=6) | st.floats() | st.booleans())
def test_read__an_integer_is_an_int_in_its_bounds(value):
    option = Option("", -5, 40, type=int)
    digits = str(value) if type(value) is int else value
    wanted = isinstance(digits, str) and re.fullmatch("-?[0-9]+", digits) is not None
    if wanted and -5 <= int(digits) <= 40:
        assert option.read(value) == int(digits)
        return
    with pytest.raises(ValueError, match="expected an integer from -5 to 40"):
        option.read(value)


@pytest.mark.parametrize("value", ["a\0b", "\ud800", "", 3, None, ["a"]])
def test_read__what_is_no_path(value):
    with pytest.raises(ValueError, match="expected a path"):
        Option("", type=Path).read(value)


@pytest.mark.parametrize("bounds, domain, inside, outside", [
    ({"low": 0, "high": 1}, "a number from 0 to 1", (0, 1), (-1e-9, 1.1)),
    ({"above": 0, "high": 1}, "a number above 0 and at most 1", (1e-9, 1), (0, 1.1)),
    ({"above": 0, "below": 1}, "a number above 0 and below 1", (1e-9, 0.999), (0, 1)),
    ({"low": 0, "below": 1}, "a number from 0 and below 1", (0, 0.999), (-1, 1)),
    ({"low": 2}, "a number of at least 2", (2, 1e300), (1.9,)),
    ({}, "a number", (-1e300, 0), ()),
])  # fmt: skip
def test_read__a_number_is_in_its_bounds(bounds, domain, inside, outside):
    option = Option("", type=float, parameter="x", **bounds)
    assert option.domain == domain
    for value in inside:
        assert option.read(value) == option.read(str(value)) == option.check(value) == value
    for value in (*outside, "nan", "1e999", "x", None, True, 10**400, [], float("inf")):
        with pytest.raises(ValueError, match=f"^expected {domain}$"):
            option.read(value)
    for value in (*outside, float("nan"), "x", None, 10**400):
        with pytest.raises(ValueError, match=f"^x must be {domain}, got "):
            option.check(value)


def test_declared__of_a_class_a_function_and_a_method():
    class Box:
        def __init__(self, size: Annotated[int, Option("edge", 1, name="edge")] = 7) -> None: ...

        def fill(
            self, n: Annotated[int | None, Option("pieces")] = None, other: int = 3
        ) -> None: ...

    def paint(color: Annotated[Literal["red", "blue"], Option("color", default="red")]) -> None: ...

    edge = declared(Box)["edge"]
    assert (edge.parameter, edge.type, edge.default, edge.low) == ("size", int, 7, 1)
    assert list(declared(Box.fill)) == list(declared(Box().fill)) == ["n"]
    assert declared(Box.fill)["n"].type is int
    assert declared(paint)["color"].choices == ("red", "blue")
    assert list(declared(Box, paint, Box.fill)) == ["edge", "color", "n"]


def test_declared__an_option_of_several_makers_has_one_default_and_one_domain():
    for name, option in OPTIONS.items():
        for maker in (*OBJECTIVES.values(), *OPTIMIZERS.values(), Recipe, mt.Trainer, Reading,
                      mt.TwoTower, mt.Trainer.fit):  # fmt: skip
            other = declared(maker).get(name)
            if other is not None:
                assert (other.default, other.domain, other.help) == (
                    option.default, option.domain, option.help
                )  # fmt: skip
