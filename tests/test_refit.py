"""Once more, on everything: what is published has learned from every click."""

import numpy as np
import pytest

from minitower.data import Categorical, DataError, Dataset, Id, Schema, TimeSplit, next_day
from minitower.towers.optimizers import Adagrad, Adam
from minitower.towers.schedules import EpochSchedule, cosine_decay
from minitower.towers.two_tower import TwoTower
from minitower.training.hard_negatives import HardNegatives, MinedNegatives
from minitower.training.negatives import MixedNegatives, SharedNegatives
from minitower.training.objectives import CrossBatchSoftmax, InBatchSoftmax
from minitower.training.regularization import Regularization
from minitower.training.sampled_negatives import (
    SampledNegatives,
    popular_negatives,
    uniform_negatives,
)
from minitower.training.sampled_objectives import Pairwise
from minitower.training.self_supervised import SelfSupervised
from minitower.training.trainer import Trainer

SCHEMA = Schema(
    user=[Id("user")], item=[Id("item"), Categorical("kind"), Categorical("colour")]
)  # fmt: skip
N = 600
RNG = np.random.default_rng(5)
LOG = {
    "user": np.minimum(RNG.integers(0, 40, N) + np.arange(N) // 100, 40),
    "item": np.minimum(RNG.zipf(1.5, N) + np.arange(N) // 20, 150),
    "timestamp": np.arange(N),
}
ITEMS = {"item": np.arange(1, 151), "kind": [f"k{i % 7}" for i in range(150)],
         "colour": ["red", "blue", "green"] * 50}  # fmt: skip


def data_of(split=None):
    return Dataset.from_columns(SCHEMA, LOG, items=ITEMS, split=split or TimeSplit(0.1, 0.1))


DATA = data_of()


def by_hand(epochs, **options):
    """The same on a data set of everything, without a word of validation or test."""
    everything = data_of(TimeSplit(0, 0))
    model = TwoTower(everything.schema, dim=4, hidden=(6,), seed=3)
    make = {name: option(model, everything) for name, option in options.items()}
    Trainer(model, everything, batch_size=64, seed=2, **make).fit(epochs)
    return model


def trained(epochs, **options):
    model = TwoTower(DATA.schema, dim=4, hidden=(6,), seed=3)
    make = {name: option(model, DATA) for name, option in options.items()}
    trainer = Trainer(model, DATA, batch_size=64, seed=2, **make)
    trainer.fit(epochs)
    return trainer


@pytest.mark.parametrize("options", [
    {},
    {"optimizer": lambda model, data: Adam(0.01, betas=(0.5, 0.9))},
    {"objective": lambda model, data: CrossBatchSoftmax(100)},
    {"objective": lambda model, data: Pairwise(),
     "negatives": lambda model, data: uniform_negatives(data, 2)},
    {"objective": lambda model, data: Pairwise(),
     "negatives": lambda model, data: MixedNegatives([popular_negatives(data, 2, power=0.5),
                                                      MinedNegatives(model, data, 1, first=3)])},
    {"self_supervised": lambda model, data: SelfSupervised(augment="mask", alpha=0.5)},
    {"positive_exponent": lambda model, data: 0.5},
    {"regularization": lambda model, data: Regularization(0.01, 0.25, seed=2)},
])  # fmt: skip
def test_refit__is_training_on_everything_for_the_best_epochs(options):
    """Bit for bit: new vocabularies, samplers, optimizer and objective; old ones untouched."""
    trainer = trained(3, **options)
    before = {name: p.copy() for name, p in trainer.model.parameters.items()}
    again = trainer.refit()
    assert again.kept_epochs == trainer.kept_epochs >= 1
    expected = by_hand(trainer.kept_epochs, **options)
    assert again.model.parameters.keys() == expected.parameters.keys()
    for name, parameter in expected.parameters.items():
        assert np.array_equal(again.model.parameters[name], parameter), name
    for name, parameter in before.items():
        assert np.array_equal(trainer.model.parameters[name], parameter), name
    assert len(again.data.train) == N
    assert not len(again.data.valid) + len(again.data.test)


def test_refit__ids_of_the_held_out_part_get_rows_of_their_own():
    trainer = trained(1)
    rows = lambda model: model.parameters["item.item.embedding"].shape[0]
    assert rows(trainer.refit().model) > rows(trainer.model)


def test_refit__trains_as_many_epochs_as_are_behind_the_parameters():
    """Two calls of fit add up; with validation, up to the best epoch only."""
    trainer = trained(1)
    trainer.fit(2, validate=False)
    assert trainer.kept_epochs == trained(1).kept_epochs + 2
    assert trainer.refit().kept_epochs == trainer.kept_epochs
    spoiled = trained(1)
    spoiled.optimizer.rate = 1e3  # the epochs to come are worse
    history = spoiled.fit(3)
    assert history.best_epoch < 3
    assert spoiled.kept_epochs == 1 + history.best_epoch


def test_refit__a_schedule_keeps_its_place_in_the_epoch():
    """It was written for the steps of the training part; everything has more of them."""
    steps = len(trained(1).batches)
    trainer = trained(2, optimizer=lambda model, data: Adagrad(cosine_decay(0.1, 2 * steps)))
    again = trainer.refit()
    more = len(again.batches)
    assert more > steps
    rates = [again.optimizer.rate(step) for step in range(2 * more)]
    assert rates[0] == 0.1
    assert rates[-1] == pytest.approx(cosine_decay(0.1, 2 * steps)(2 * steps - 1), rel=0.5)
    assert rates[more] == pytest.approx(0.05, rel=0.2)


def test_refit__repeats_the_schedule_in_epochs():
    """To the end of the decay that fit was given, not to the end of the epochs it repeats."""
    schedule = EpochSchedule("linear", epochs=8, final=0.5)
    trainer = trained(1)
    history = trainer.fit(2, schedule=schedule, validate=False)
    again = trainer.refit()
    assert again.schedule == schedule
    ended = schedule(trainer.kept_epochs)
    assert again.optimizer.rate_share == trainer.optimizer.rate_share == ended
    assert history.epochs[-1].learning_rate == pytest.approx(
        0.05 * schedule(trainer.kept_epochs - 0.5)
    )


def test_refit__refuses_what_it_cannot_make_again():
    untrained = Trainer(TwoTower(DATA.schema, dim=2), DATA)
    with pytest.raises(ValueError, match="call fit first"):
        untrained.refit()
    parameters = TwoTower(DATA.schema, dim=2).parameters
    warm = Trainer(TwoTower(DATA.schema, dim=2, parameters=parameters), DATA)
    warm.fit(1)
    with pytest.raises(ValueError, match="did not begin with random parameters"):
        warm.refit()
    hard = HardNegatives(DATA.seen("valid").take(DATA.train.users), 1, per="pair")
    own = SampledNegatives(popular_negatives(DATA, 1).sampler, 1)
    shared = SharedNegatives(popular_negatives(DATA, 1).sampler, 2)
    for negatives in (hard, own, shared):
        trainer = trained(1, negatives=lambda model, data, given=negatives: given)
        with pytest.raises(ValueError, match="belong to their data"):
            trainer.refit()
    day = next_day(DATA, {name: column[:50] for name, column in LOG.items()})
    of_a_day = Trainer(TwoTower(day.schema, dim=2), day)
    of_a_day.fit(1)
    with pytest.raises(DataError, match="not at hand"):
        of_a_day.refit()


def test_refit__lists_of_hard_negatives_of_users_stay():
    """They name rows of the tables, which are the same."""
    lists = DATA.seen("valid")
    trainer = trained(1, negatives=lambda model, data: HardNegatives(lists, 1),
                      objective=lambda model, data: InBatchSoftmax())  # fmt: skip
    again = trainer.refit()
    assert again.batches.negatives.lists is lists
    assert np.array_equal(again.data.items.ids, DATA.items.ids)
