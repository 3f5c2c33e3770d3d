"""Every way to train, from the command line: what is put together, and what is refused."""

import numpy as np
import pytest

from minitower.cli.train import read_job
from minitower.data import DataError, Dataset, GivenSplit, Id, Schema
from minitower.towers.schedules import EpochSchedule
from minitower.towers.two_tower import TwoTower
from minitower.training.named import OBJECTIVES, OPTIMIZERS, parse_negatives
from minitower.training.negatives import MixedNegatives, SharedNegatives
from minitower.training.recipe import TRAINING, read_recipe
from minitower.training.regularization import Regularization
from minitower.training.sampled_negatives import SampledNegatives
from minitower.training.sampled_objectives import Pairwise, Pointwise
from minitower.training.self_supervised import SelfSupervised

LOG = {"u": [0, 1, 2, 3, 0, 1], "i": [0, 1, 2, 3, 1, 2], "part": ["train"] * 6}
DATA = Dataset.from_columns(
    Schema(user=[Id("u")], item=[Id("i")]),
    LOG,
    items={"i": range(200)},
    split=GivenSplit("part"),
)


def trainer(**options):
    job = read_job({"dim": "4", "hidden": "", **options})
    return job.make(read_recipe, job).trainer(job.make(TwoTower, DATA.schema), DATA)


def views(options):
    job = read_job(options)
    return job.make(read_recipe, job).self_supervised


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("negatives", [None, "uniform:2", "popular:2+mined:1"])
def test_every_objective_trains(objective, negatives):
    options = {"objective": objective} | ({"negatives": negatives} if negatives else {})
    one = trainer(**options)
    before = {name: p.copy() for name, p in one.model.parameters.items()}
    assert np.isfinite(one.fit(2).epochs[-1].loss)
    assert any(not np.array_equal(before[n], p) for n, p in one.model.parameters.items())


@pytest.mark.parametrize(
    "objective, k", [("pointwise", 2), ("pairwise", 1), ("listwise", 10), ("in-batch", None)]
)
def test_negatives_by_default(objective, k):
    source = trainer(objective=objective).batches.negatives
    if k is None:
        assert source is None
    else:
        assert isinstance(source, SampledNegatives)
        assert source.k == k


@pytest.mark.parametrize("name", OBJECTIVES)
def test_objectives__have_one_default(name):
    """The same in Python and on the command line."""
    one = trainer(objective=name).objective
    arguments = {"squared": ("squared",), "hinge": ("hinge",)}.get(name.rpartition("-")[2], ())
    kinds = {"pointwise": Pointwise, "pairwise": Pairwise}
    made = kinds.get(name.partition("-")[0], OBJECTIVES[name])(*arguments)
    assert type(made) is type(one)
    assert made.temperature == one.temperature == 0.07
    assert getattr(made, "margin", 0.1) == getattr(one, "margin", 0.1) == 0.1


@pytest.mark.parametrize("name, kind", OPTIMIZERS.items())
def test_optimizers__have_one_default(name, kind):
    """The same in Python and on the command line; its help says it."""
    assert kind().rate == trainer(optimizer=name).optimizer.rate == 0.05
    assert TRAINING["learning_rate"].default == 0.05


def test_options_reach_what_they_name():
    one = trainer(objective="pairwise-hinge", margin="0.4", negatives="uniform:1+popular:3")
    assert one.objective.margin == 0.4
    assert isinstance(one.batches.negatives, MixedNegatives)
    assert [part.k for part in one.batches.negatives.parts] == [1, 3]
    one = trainer(objective="cross-batch", bank="7", temperature="0.2", positive_exponent="0.5")
    assert (one.objective.size, one.objective.temperature) == (7, 0.2)
    assert one.batches.log_q[1] == pytest.approx(np.log(2**0.5 / (2 + 2 * 2**0.5)))
    for objective in ("in-batch", "cross-batch", "listwise"):
        one = trainer(objective=objective, log_sum_weight="1.25")
        assert one.objective.log_sum_weight == 1.25
    one = trainer(objective="pointwise", temperature="0.25")
    assert one.objective == Pointwise(temperature=0.25)
    one = trainer(negatives="shared:9", correction="mixed")
    assert isinstance(one.batches.negatives, SharedNegatives)
    assert one.objective.correction == "mixed"


@pytest.mark.parametrize("options", ["", "uniform", "uniform:x", "easy:3", "uniform:3+", 3])
def test_negatives_that_cannot_be_read(options):
    with pytest.raises(ValueError, match="expected none, uniform:K"):
        parse_negatives(options)


def test_what_does_not_go_together():
    with pytest.raises(DataError, match="do not mix"):
        trainer(negatives="shared:9+uniform:1")
    with pytest.raises(DataError, match=r"log_sum_weight 1\.25 has no minimum with similarity"):
        trainer(log_sum_weight="1.25", similarity="inner_product")
    with pytest.raises(DataError, match="expected one of in-batch"):
        read_job({"objective": "softmax"})


def test_what_regularizes_reaches_the_trainer():
    one = trainer(weight_decay="0.25", user_dropout="0.5", seed="3")
    assert one.regularization == Regularization(0.25, user_dropout=0.5, seed=3)


def test_the_schedule_is_made_of_options_and_ends_with_the_epochs():
    said = {"schedule": "cosine", "warmup_epochs": "1.5", "final_rate": "0.25", "epochs": "4"}
    job = read_job(said)
    assert job.make(EpochSchedule) == EpochSchedule("cosine", 4, 1.5, 0.25)
    with pytest.raises(DataError, match="warmup_epochs must be below the 1 epochs"):
        read_job({**said, "epochs": "1"}).make(EpochSchedule)


def test_self_supervision_is_put_together_from_its_options():
    options = {
        "self_supervised": "mask+dropout", "alpha": "0.4", "self_temperature": "0.3",
        "self_batch_size": "9", "self_sampling": "clicks", "hidden_fields": "1",
        "dropped_values": "0.6",
    }  # fmt: skip
    how = views({**options, "mask_per_item": True})
    assert how == SelfSupervised(
        augment="mask+dropout", alpha=0.4, temperature=0.3, batch_size=9, sampling="clicks",
        hidden=1, dropout=0.6, per_item=True,
    )  # fmt: skip
    assert views({"alpha": "0.4"}) is None
    assert views({"self_supervised": "mask"}) == SelfSupervised(augment="mask")
    assert trainer().contrastive_loss is None
