"""The options of a training step are what the trainer was made of, and make it again."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.data import Dataset, Id, MultiValued, RandomSplit, Schema
from minitower.data.option_values import read_options
from minitower.data.table import Ragged
from minitower.towers.optimizers import SGD, Adagrad, Adam, RowWiseAdam
from minitower.towers.schedules import EpochSchedule, warmup
from minitower.towers.two_tower import TwoTower
from minitower.towers.user_history import UserHistory
from minitower.training.hard_negatives import HardNegatives, MinedNegatives
from minitower.training.negatives import MixedNegatives, SharedNegatives
from minitower.training.objectives import CrossBatchSoftmax, InBatchSoftmax
from minitower.training.recipe import TRAINING, Recipe, missing_options, read_recipe
from minitower.training.sampled_negatives import popular_negatives, uniform_negatives
from minitower.training.sampled_objectives import Listwise, Pointwise
from minitower.training.self_supervised import SelfSupervised
from minitower.training.trainer import Trainer

SCHEMA = Schema(user=[Id("user")], item=[Id("item"), MultiValued("tags"), MultiValued("kinds")])
N = 150
DATA = Dataset.from_columns(
    SCHEMA,
    {"user": np.arange(N) % 20, "item": np.arange(N)},
    items={"item": np.arange(N), "tags": ["a b", "b"] * 75, "kinds": ["x", "y z", "z"] * 50},
    split=RandomSplit(0, 0),
)
MODEL = TwoTower(DATA.schema, dim=2, hidden=(), history=UserHistory(3))

shares = st.floats(0.01, 1)
negatives = st.sampled_from(["uniform:3", "popular:2", "mined:1", "uniform:2+mined:1"])


@st.composite
def jobs(draw):
    objective = draw(
        st.sampled_from(["in-batch", "cross-batch", "pointwise", "pointwise-squared",
                         "pairwise", "pairwise-hinge", "listwise"])
    )  # fmt: skip
    in_batch = objective in ("in-batch", "cross-batch")
    correction = draw(st.sampled_from(["yi", "calibrated", "mixed", "none"]))
    views = draw(st.sampled_from(["none", "mask", "complementary", "dropout", "mask+dropout"]))
    return {
        "objective": objective,
        "negatives": draw(st.sampled_from(["none", "shared:7"]) if in_batch else negatives),
        "temperature": draw(shares),
        "correction": correction if objective == "in-batch" else "yi",
        "logq_weight": draw(shares) if correction == "yi" and objective == "in-batch" else 1.0,
        "log_sum_weight": draw(st.sampled_from([1.0, 1.25])),
        "decoupled": draw(st.booleans()) if objective == "in-batch" else False,
        "mask_known": draw(st.booleans()) if objective == "in-batch" else False,
        "margin": draw(shares),
        "bank": draw(st.integers(1, 99)),
        "positive_exponent": draw(st.sampled_from([1.0, 0.5])),
        "weight_decay": draw(st.sampled_from([0.0, 0.25])),
        "user_dropout": draw(st.sampled_from([0.0, 0.5])),
        "history_dropout": draw(st.sampled_from([0.0, 0.5])),
        "self_supervised": views,
        "alpha": draw(shares),
        "self_temperature": draw(shares),
        "self_batch_size": draw(st.integers(2, 50)),
        "self_sampling": draw(st.sampled_from(["uniform", "clicks"])),
        "hidden_fields": draw(st.sampled_from([None, 1])) if views.startswith("mask") else None,
        "mask_per_item": draw(st.booleans()),
        "optimizer": draw(st.sampled_from(["adagrad", "rowwise-adagrad", "adam", "rowwise-adam",
                                        "sgd"])),
        "learning_rate": draw(shares),
        "batch_size": draw(st.integers(2, 64)),
        "seed": draw(st.integers(0, 9)),
    }  # fmt: skip


def trainer_of(said):
    said = {name: value for name, value in said.items() if value is not None}
    options = read_options(TRAINING, {}, ("notes", said))
    return options.make(read_recipe, options).trainer(MODEL, DATA)


@given(jobs())
def test_recipe__makes_the_same_trainer_again(job):
    """Job -> trainer -> recipe -> Job -> trainer: the parts are equal, exactly."""
    trainer = trainer_of(job)
    written = Recipe.from_trainer(trainer).to_json()
    assert (
        missing_options(written, incremental=False)
        == missing_options(written, incremental=True)
        == []
    )
    assert set(written) <= set(TRAINING)
    again = trainer_of(written)
    for one, other in ((trainer, again), (again, trainer)):
        assert type(one.objective) is type(other.objective)
        assert type(one.optimizer) is type(other.optimizer)
    if dataclasses.is_dataclass(trainer.objective):
        ours, theirs = map(dataclasses.asdict, (trainer.objective, again.objective))
        words = {name for name, value in ours.items() if isinstance(value, str | bool)}
        assert {name: ours[name] for name in words} == {name: theirs[name] for name in words}
        numbers = ours.keys() - words
        assert [ours[n] for n in numbers] == pytest.approx([theirs[n] for n in numbers], rel=1e-15)
    else:
        assert trainer.objective.size == again.objective.size
        assert trainer.objective.temperature == again.objective.temperature
    if hasattr(trainer.objective, "log_sum_weight"):
        assert trainer.objective.log_sum_weight == again.objective.log_sum_weight
        assert trainer.objective.log_sum_weight == job["log_sum_weight"]
    for name in ("decoupled", "mask_known"):
        assert getattr(trainer.objective, name, False) == job[name]
    assert trainer.regularization.weight_decay == job["weight_decay"]
    for name in ("seed", "self_supervised", "regularization", "positive_exponent"):
        assert getattr(trainer, name) == getattr(again, name)
    assert trainer.optimizer.rate == again.optimizer.rate
    assert trainer.batches.size == again.batches.size
    kinds = [None if t.batches.negatives is None else t.batches.negatives.cli_option
             for t in (trainer, again)]  # fmt: skip
    assert kinds[0] == kinds[1] == (None if job["negatives"] == "none" else job["negatives"])


def test_recipe__goes_on_at_the_rate_where_the_schedule_ended():
    trainer = Trainer(MODEL.fresh(DATA.schema), DATA, optimizer=SGD(0.5))
    trainer.fit(1, schedule=EpochSchedule("linear", epochs=2, final=0.5))
    recipe = Recipe.from_trainer(trainer)
    assert recipe.optimizer.current_rate == recipe.to_json()["learning_rate"] == 0.375
    assert recipe.trainer(MODEL, DATA).optimizer.current_rate == 0.375
    assert trainer.optimizer.rate == 0.5


@pytest.mark.parametrize("options, lacking", [
    ({"objective": lambda users, items, batch: None}, ["objective"]),
    ({"objective": InBatchSoftmax(correction="none", mask_hits=True)}, ["objective"]),
    ({"objective": CrossBatchSoftmax(9, warmup=3)}, ["objective"]),
    ({"objective": Pointwise(bias=0.5)}, ["objective"]),
    ({"objective": Listwise(correction="calibrated")}, ["objective"]),
    ({"optimizer": Adagrad(warmup(0.1, 9))}, ["learning_rate"]),
    ({"negatives": HardNegatives(Ragged.from_counts([1] * 20, np.zeros(20, int)), 1)},
     ["negatives"]),
    ({"negatives": MinedNegatives(MODEL, DATA, 1, first=2, last=9)}, ["negatives"]),
    ({"negatives": uniform_negatives(DATA, 2, reject_known=False)}, ["negatives"]),
    ({"negatives": popular_negatives(DATA, 2, power=0.5)}, ["negatives"]),
    ({"negatives": MixedNegatives([uniform_negatives(DATA, 2)], [0.5])}, ["negatives"]),
    ({"negatives": SharedNegatives(popular_negatives(DATA, 2).sampler, 3)}, ["negatives"]),
    ({"self_supervised": SelfSupervised(augment="mask", symmetric=True)},
     ["self_supervised"]),
])  # fmt: skip
def test_recipe__what_no_option_says_is_missing(options, lacking):
    """An update then asks for it instead of training otherwise."""
    assert (
        missing_options(
            Recipe.from_trainer(Trainer(MODEL, DATA, **options)).to_json(), incremental=False
        )
        == lacking
    )


@pytest.mark.parametrize("scale, noted", [(1 / 0.07, 0.07), (10.0, 0.1), (1 / 0.3, 0.3)])
def test_read_recipe__notes_of_older_versions_train_the_same(scale, noted):
    """They were made with a scale, and note 1 / scale as the temperature."""
    for name in ("pointwise", "pairwise"):
        objective = trainer_of({"objective": name, "temperature": noted}).objective
        assert 1 / objective.temperature == scale


def test_missing_options__names_what_the_objective_needs():
    assert missing_options({}, incremental=True) == [
        "objective",
        "optimizer",
        "learning_rate",
        "batch_size",
    ]
    assert missing_options({"objective": "pairwise-hinge"}, incremental=False) == [
        "margin", "negatives", "positive_exponent", "self_supervised", "optimizer", "learning_rate",
        "batch_size",
    ]  # fmt: skip
    assert "log_sum_weight" not in missing_options({"objective": "in-batch"}, incremental=True)
    views = missing_options({"objective": "listwise", "self_supervised": "mask"}, incremental=False)
    assert {"temperature", "alpha", "self_batch_size"} <= set(views)


@pytest.mark.parametrize("optimizer", [
    SGD(0.1), Adagrad(0.1, start=0.5, epsilon=1e-3), RowWiseAdam(0.1, betas=(0.5, 0.75)),
    Adam(0.1, epsilon=1e-3, count="global"),
])  # fmt: skip
def test_settings__make_an_optimizer_the_same(optimizer):
    """With other settings, the same state would move parameters otherwise."""
    other = type(optimizer)(0.1)
    other.configure(optimizer.settings)
    parameters = [{"w": np.ones((3, 2))} for _ in range(2)]
    for one, where in zip((optimizer, other), parameters, strict=True):
        for _ in range(3):
            one.update(where, {"w": np.full((3, 2), 0.5)})
    assert np.array_equal(parameters[0]["w"], parameters[1]["w"])
    with pytest.raises(TypeError):
        other.configure({"momentum": 0.9})
