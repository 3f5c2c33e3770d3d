"""The loop: what it promises of randomness, of the best epoch, and of numbers that run away."""

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.data import Dataset, GivenSplit, Id, LastSplit, Schema
from minitower.towers.optimizers import SGD, Adagrad, RowWiseAdam
from minitower.towers.schedules import EpochSchedule
from minitower.towers.two_tower import TwoTower
from minitower.training import trainer
from minitower.training.batches import Batches, TooFewClicks
from minitower.training.objectives import CrossBatchSoftmax, InBatchSoftmax
from minitower.training.sampled_negatives import uniform_negatives
from minitower.training.trainer import Trainer
from minitower.training.validation import Validation


def two_tastes(valid=True, users=40, per_user=6, seed=0):
    """Even users click even items, odd users odd ones: something to learn."""
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(users), per_user)
    item = 2 * rng.integers(0, 10, len(user)) + user % 2
    part = np.where((np.arange(len(user)) % per_user == 0) & valid, "valid", "train")
    schema = Schema(user=[Id("u")], item=[Id("i")])
    return Dataset.from_columns(
        schema, {"u": user, "i": item, "part": part}, split=GivenSplit("part")
    )


DATA = two_tastes()


def small_model(data=DATA, seed=0):
    return TwoTower(data.schema, dim=8, hidden=(), seed=seed)


def trained(data=DATA, seed=0, epochs=3, **options):
    model = small_model(data)
    Trainer(model, data, batch_size=32, seed=seed, **options).fit(epochs)
    return model.parameters


@pytest.mark.parametrize("make", [lambda: Adagrad(0.1), lambda: RowWiseAdam(0.01)])
def test_same_seed_same_parameters_bit_for_bit(make):
    one, two, other = (trained(seed=seed, optimizer=make()) for seed in (0, 0, 1))
    for name in one:
        assert np.array_equal(one[name], two[name])
        assert not np.array_equal(one[name], other[name])


def cosine_gap(model):
    """Mean cosine of users with items of their taste, less that with the others."""
    users, _ = model.user(DATA.users.columns)
    items, _ = model.item(DATA.items.columns)
    own = DATA.users.ids[:, None] % 2 == DATA.items.ids % 2
    cosines = users @ items.T
    return cosines[own].mean() - cosines[~own].mean()


def test_training_finds_the_two_tastes():
    model = small_model()
    before = cosine_gap(model)
    history = Trainer(model, DATA, batch_size=32, optimizer=Adagrad(0.3)).fit(15)
    assert history.epochs[-1].loss < history.epochs[0].loss
    assert abs(before) < 0.1
    assert cosine_gap(model) > 0.15


def few(n):
    """n training clicks of n users."""
    log = {"u": np.arange(n), "i": np.arange(n) % 3, "part": ["train"] * n}
    schema = Schema(user=[Id("u")], item=[Id("i")])
    return Dataset.from_columns(schema, log, split=GivenSplit("part"))


@given(st.integers(2, 60), st.integers(0, 5), st.booleans())
def test_batches__every_positive_once_an_epoch(size, seed, drawn):
    batches = Batches(DATA, size, uniform_negatives(DATA, 1) if drawn else None)
    seen = list(batches.epoch(np.random.default_rng(seed)))
    assert len(seen) == len(batches)
    assert all(len(batch) == size for batch in seen[:-1])
    n = len(DATA.train)
    joined = n % size == 1 and not drawn
    assert len(seen[-1]) == (size + 1 if joined else (n - 1) % size + 1)
    order = np.random.default_rng(seed).permutation(n)
    if not drawn:  # the order is that of the generator's first draw, whatever the cuts
        got = np.concatenate([batch.user_rows for batch in seen])
        assert np.array_equal(got, DATA.train.users[order])
    clicked = [batch.item_rows[: len(batch)] for batch in seen]
    pairs = [p for b, i in zip(seen, clicked) for p in zip(b.user_rows, i, strict=True)]
    assert sorted(pairs) == sorted(zip(DATA.train.users, DATA.train.items, strict=True))


@given(st.integers(2, 12), st.integers(2, 12))
def test_batches__no_pair_is_alone_with_itself(n, size):
    """A batch of one has no negative and no gradient."""
    sizes = [len(batch) for batch in Batches(few(n), size).epoch(np.random.default_rng(0))]
    assert sum(sizes) == n
    assert 2 <= min(sizes) <= max(sizes) <= size + 1


def test_batches__of_one_pair_need_negatives():
    with pytest.raises(ValueError, match=r"a batch size of 1 trains nothing.*--negatives"):
        Batches(DATA, 1)
    with pytest.raises(TooFewClicks, match="1 click is too few to train on"):
        Batches(few(1), 8)
    drawn = uniform_negatives(DATA, 2)
    assert {len(batch) for batch in Batches(DATA, 1, drawn).epoch(np.random.default_rng(0))} == {1}
    assert len(Batches(few(1), 8, uniform_negatives(few(1), 1))) == 1


@pytest.mark.parametrize("objective", [InBatchSoftmax(), CrossBatchSoftmax(8)])
def test_trainer__refuses_batches_that_train_nothing(objective):
    with pytest.raises(ValueError, match="trains nothing"):
        Trainer(small_model(), DATA, batch_size=1, objective=objective)
    with pytest.raises(TooFewClicks):
        Trainer(small_model(few(1)), few(1), objective=objective)


def test_trainer__every_step_moves_something():
    """65 clicks in steps of 16: the last one is not alone."""
    data, moves = few(65), []
    model = small_model(data)

    def watch(progress):
        moves.append(model.parameters["user.u.embedding"].copy())

    watch(None)
    Trainer(model, data, batch_size=16, on_progress=watch).fit(1)
    assert len(moves) == 5
    assert all(not np.array_equal(a, b) for a, b in pairwise(moves))


def test_batches__log_q_is_the_share_of_training_clicks():
    batch = next(Batches(DATA, 50).epoch(np.random.default_rng(0)))
    counts = np.bincount(DATA.train.items, minlength=len(DATA.items))
    assert np.exp(batch.log_q) == pytest.approx(counts[batch.item_rows] / len(DATA.train))


def test_batches__order_differs_between_epochs():
    batches, rng = Batches(DATA, 1000), np.random.default_rng(0)
    first, second = (next(batches.epoch(rng)).user_rows for _ in range(2))
    assert not np.array_equal(first, second)


def test_batches__features_are_those_of_the_pairs_or_the_default():
    schema = Schema(user=[Id("u", default_rate=0.5)], item=[Id("i")])
    log = {"u": np.arange(500), "i": np.arange(500), "part": ["train"] * 500}
    data = Dataset.from_columns(schema, log, split=GivenSplit("part"))
    batch = next(Batches(data, 500).epoch(np.random.default_rng(0)))
    kept = batch.users["u"] > 0
    assert np.array_equal(batch.users["u"][kept], data.users.columns["u"][batch.user_rows][kept])
    assert 0.4 < kept.mean() < 0.6
    assert np.array_equal(batch.items["i"], data.items.columns["i"][batch.item_rows])


def test_batches__items_are_replaced_by_their_default_too():
    schema = Schema(user=[Id("u")], item=[Id("i", default_rate=0.5)])
    log = {"u": np.arange(500), "i": np.arange(500), "part": ["train"] * 500}
    data = Dataset.from_columns(schema, log, split=GivenSplit("part"))
    batch = next(Batches(data, 500).epoch(np.random.default_rng(0)))
    assert 0.4 < (batch.items["i"] > 0).mean() < 0.6
    assert (batch.users["u"] > 0).all()


class Prepared:
    """A validation with prepared values, that remembers the parameters it saw."""

    can_measure = True

    def __init__(self, values):
        self.values, self.saw = iter(values), []

    def metrics(self, model):
        self.saw.append({name: array.copy() for name, array in model.parameters.items()})
        return {"recall@20": next(self.values)}


def validated(monkeypatch, values, **options):
    validation, model = Prepared(values), small_model()
    monkeypatch.setattr(trainer, "Validation", lambda data, metric, **sample: validation)
    history = Trainer(model, DATA, batch_size=64).fit(len(values), **options)
    return validation, model, history


def test_best_epoch_is_kept(monkeypatch):
    validation, model, history = validated(monkeypatch, [0.1, 0.5, 0.5, 0.2])
    assert history.best_epoch == 2  # the first of equals
    for name, array in model.parameters.items():
        assert np.array_equal(array, validation.saw[1][name])
        assert not np.array_equal(array, validation.saw[3][name])


def test_the_optimizer_goes_on_from_the_best_epoch(monkeypatch):
    """As after training that ended there: state of rows, step and all."""
    model, other = small_model(), small_model()
    long, short = (Trainer(m, DATA, batch_size=64, optimizer=RowWiseAdam()) for m in (model, other))
    validation = Prepared([0.1, 0.5, 0.2])
    monkeypatch.setattr(trainer, "Validation", lambda data, metric, **sample: validation)
    long.fit(3)
    short.fit(2, validate=False)
    assert long.optimizer.step == short.optimizer.step > 0
    assert long.optimizer.state.keys() == short.optimizer.state.keys()
    for name, kept in short.optimizer.state.items():
        assert np.array_equal(long.optimizer.state[name], kept)


@pytest.mark.parametrize("every, at", [(1, [1, 2, 3, 4]), (3, [3, 4]), (2, [2, 4]), (9, [4])])
def test_validate_every__measures_those_epochs_and_the_last(monkeypatch, every, at):
    values = [0.1, 0.5, 0.4, 0.3]
    validation, _, history = validated(monkeypatch, values, validate_every=every)
    assert [epoch.epoch for epoch in history.epochs if epoch.metrics] == at
    assert history.best_epoch == at[int(np.argmax(values[: len(at)]))]
    assert len(validation.saw) == len(at)


@pytest.mark.parametrize("patience, epochs", [(1, 3), (2, 4), (3, 6)])
def test_patience_counts_epochs_without_a_better_one(monkeypatch, patience, epochs):
    _, _, history = validated(monkeypatch, [0.1, 0.5, 0.4, 0.3, 0.6, 0.1], patience=patience)
    assert len(history.epochs) == epochs


def test_patience_ends_training_at_a_validated_epoch_only(monkeypatch):
    """Epochs 2, 4 and 6 are validated; epoch 5 is the third without a better one."""
    options = {"patience": 3, "validate_every": 2}
    _, _, history = validated(monkeypatch, [0.5, 0.4, 0.3, 0.2, 0.2, 0.2, 0.2, 0.2], **options)
    assert (history.best_epoch, len(history.epochs)) == (2, 6)


def test_validation_users__are_a_sample_that_stays(monkeypatch):
    """By the trainer's seed, the same after each epoch; parameters do not depend on it."""
    asked = []

    class Watching(Validation):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            asked.append(self._evaluator.users.tolist())

    monkeypatch.setattr(trainer, "Validation", Watching)
    models = [small_model() for _ in range(4)]
    for model, seed, users in zip(models, (0, 0, 1, 0), (5, 5, 5, 1000), strict=True):
        Trainer(model, DATA, batch_size=64, seed=seed).fit(1, validation_users=users)
    first, again, other, everybody = asked
    assert len(first) == 5
    assert first == again != other
    assert set(first) < set(everybody)
    for name, parameter in models[0].parameters.items():
        assert np.array_equal(parameter, models[3].parameters[name])


class Rates(SGD):
    """Remembers the share of the learning rate of each step."""

    def update(self, parameters, gradients):
        super().update(parameters, gradients)
        self.shares = [*getattr(self, "shares", []), self.rate_share]


def test_fit__takes_each_step_at_the_rate_of_the_schedule():
    schedule = EpochSchedule("cosine", epochs=3, warmup=1, final=0.25)
    one = Trainer(small_model(), DATA, batch_size=64, optimizer=Rates(0.5))
    steps = len(one.batches)
    history = one.fit(4, schedule=schedule, validate=False)
    expected = [schedule.of_step(e, s, steps) for e in range(1, 5) for s in range(1, steps + 1)]
    assert one.optimizer.shares == expected
    rates = np.reshape(expected, (4, steps)).mean(axis=1) * 0.5
    assert [epoch.learning_rate for epoch in history.epochs] == pytest.approx(rates)
    assert (one.optimizer.rate_share, one.optimizer.current_rate) == (0.25, 0.125)
    again = one.fit(1, validate=False)
    assert again.epochs[0].learning_rate == 0.125, "goes on where the schedule ended"
    one.fit(1, schedule=EpochSchedule("linear", epochs=10), validate=False)
    assert one.optimizer.shares[-1] == EpochSchedule("linear", epochs=10).of_step(6, steps, steps)
    assert one.optimizer.fresh().rate_share == 1


def test_fit__a_share_of_the_rate_is_that_rate():
    """SGD at half of its rate moves parameters by the same bits as SGD of half the rate."""
    models, half = [small_model() for _ in range(2)], SGD(0.5)
    half.rate_share = 0.5
    batch = next(Batches(DATA, 64).epoch(np.random.default_rng(0)))
    Trainer(models[0], DATA, optimizer=half).step(batch)
    Trainer(models[1], DATA, optimizer=SGD(0.25)).step(batch)
    for name, parameter in models[0].parameters.items():
        assert np.array_equal(parameter, models[1].parameters[name])


def test_fit__writes_its_history(tmp_path):
    path = tmp_path / "history.jsonl"
    history = Trainer(small_model(), DATA, batch_size=64).fit(3, validate_every=2, history=path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert [line["loss"] for line in lines] == [epoch.loss for epoch in history.epochs]
    assert ["recall@20" in line for line in lines] == [False, True, True]
    assert lines[2]["recall@20"] == history.epochs[2].metrics["recall@20"]
    assert {line["learning_rate"] for line in lines} == {0.05}


def test_without_validation_the_last_epoch_is_kept():
    data = two_tastes(valid=False)
    model = small_model(data)
    history = Trainer(model, data).fit(3)
    assert history.best_epoch == 3
    assert [epoch.metrics for epoch in history.epochs] == [{}, {}, {}]


def test_progress_is_reported_after_every_step_and_its_loss_is_the_mean():
    reported = []
    model = small_model()
    history = Trainer(model, DATA, batch_size=64, on_progress=reported.append).fit(2)
    steps = len(Batches(DATA, 64))
    assert [(p.epoch, p.step) for p in reported] == [
        (e, s) for e in (1, 2) for s in range(1, steps + 1)
    ]
    assert reported[-1].metrics == history.epochs[-1].metrics != {}
    assert reported[-1].loss == history.epochs[-1].loss


def test_the_loss_of_an_epoch_is_the_mean_over_pairs_however_short_the_last_batch():
    """Before any step moves a parameter: batches of 190 and of 10."""
    data = two_tastes(valid=False, per_user=5)
    trainer = Trainer(small_model(data), data, batch_size=190, optimizer=SGD(1e-30), seed=3)
    batches = Batches(data, 190).epoch(np.random.default_rng(3))
    losses = [(trainer.step(batch).loss, len(batch)) for batch in batches]
    again = Trainer(small_model(data), data, batch_size=190, optimizer=SGD(1e-30), seed=3).fit(1)
    assert [size for _, size in losses] == [190, 10]
    assert losses[1][0] < 0.9 * losses[0][0]
    assert again.epochs[0].loss == pytest.approx((losses[0][0] * 190 + losses[1][0] * 10) / 200)


def test_the_step_moves_only_the_rows_of_its_batch():
    model = small_model()
    before = {name: array.copy() for name, array in model.parameters.items()}
    trainer = Trainer(model, DATA, batch_size=3)
    batch = next(trainer.batches.epoch(np.random.default_rng(0)))
    trainer.step(batch)
    for side, used in (("user.u", batch.users["u"]), ("item.i", batch.items["i"])):
        now, then = model.parameters[f"{side}.embedding"], before[f"{side}.embedding"]
        moved = np.flatnonzero((now != then).any(axis=1))
        assert set(moved) == set(used.tolist())


@pytest.mark.parametrize("correction", ["yi", "calibrated", "none"])
def test_an_item_that_everybody_clicked_is_harmless(correction):
    data = Dataset.from_columns(
        Schema(user=[Id("u")], item=[Id("i")]),
        {"u": range(5), "i": [7] * 5, "part": ["train"] * 5},
        split=GivenSplit("part"),
    )
    for size in (2, 5):
        model = small_model(data)
        Trainer(model, data, batch_size=size, objective=InBatchSoftmax(0.1, correction)).fit(2)
        assert all(np.isfinite(array).all() for array in model.parameters.values())


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Trainer(small_model(), DATA, batch_size=0), "batch_size"),
        (lambda: Trainer(small_model(), DATA).fit(0), "epochs"),
        (
            lambda: Trainer(small_model(), DATA).fit(1, metric="accuracy@3"),
            "metric: expected NAME@K",
        ),
        (lambda: Trainer(small_model(), DATA).fit(1, metric="recall"), "expected NAME@K"),
        (lambda: Trainer(small_model(), DATA).fit(1, metric="recall@020"), "expected NAME@K"),
        (lambda: Trainer(small_model(), DATA).fit(1, validate=False, patience=1), "patience"),
        (lambda: Trainer(small_model(), DATA).fit(1, validate_every=0), "validate_every"),
        (lambda: Trainer(small_model(), DATA).fit(1, validation_users=0), "validation_users"),
        (
            lambda: Trainer(small_model(), DATA).fit(1, validate=False, validate_every=2),
            "validate_every needs a validation split",
        ),
        (
            lambda: Trainer(small_model(), DATA).fit(1, validate=False, validation_users=2),
            "validation_users needs a validation split",
        ),
        (lambda: InBatchSoftmax(0), "temperature"),
        (lambda: InBatchSoftmax(1, "tfrs"), "correction"),
        (lambda: InBatchSoftmax(1, "yi", 2), "logq_weight"),
        (lambda: InBatchSoftmax(1, "calibrated", 0.5), "logq_weight belongs to yi"),
        (lambda: InBatchSoftmax(float("nan")), "temperature"),
        (lambda: InBatchSoftmax(1, "yi", mask_hits=True), "mask_hits belongs to none"),
        (lambda: Trainer(small_model(), DATA).fit(1, patience=0), "patience"),
    ],
)
def test_training__refuses(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_batches__known_items_are_those_seen_before_validation():
    batches = Batches(DATA, 4, known=True)
    seen = DATA.seen("valid")
    for batch in batches.epoch(np.random.default_rng(0)):
        for i, user in enumerate(batch.user_rows):
            assert batch.known.row(i).tolist() == seen.row(user).tolist()
            assert batch.item_rows[i] in batch.known.row(i)
    assert next(Batches(DATA, 4).epoch(np.random.default_rng(0))).known is None


def test_training__with_known_items_out_of_the_negatives():
    """It trains to other parameters, in the trainer and in its refit."""
    ours, theirs = (
        Trainer(small_model(), DATA, objective=InBatchSoftmax(mask_known=masked), batch_size=8)
        for masked in (True, False)
    )
    for one in (ours, theirs):
        one.fit(2, validate=False)
    tables = [t.refit().model.parameters["user.u.embedding"] for t in (ours, theirs)]
    assert not np.array_equal(*tables)


@pytest.mark.parametrize("objective", [InBatchSoftmax, CrossBatchSoftmax])
def test_training__with_a_weight_of_the_log_sum(objective):
    """It learns, and learns something else than without it."""
    model, plain = small_model(), small_model()
    Trainer(plain, DATA, objective=objective()).fit(8, validate=False)
    trainer = Trainer(model, DATA, objective=objective(log_sum_weight=1.25))
    losses = [epoch.loss for epoch in trainer.fit(8, validate=False).epochs]
    assert losses[-1] < losses[0] - 0.1
    assert not np.array_equal(
        model.parameters["user.u.embedding"], plain.parameters["user.u.embedding"]
    )


def test_training__a_weight_of_the_log_sum_needs_cosines():
    model = TwoTower(DATA.schema, dim=8, hidden=(), similarity="inner_product")
    Trainer(model, DATA, objective=InBatchSoftmax(log_sum_weight=1))
    with pytest.raises(ValueError, match=r"log_sum_weight 1\.25 has no minimum with similarity"):
        Trainer(model, DATA, objective=InBatchSoftmax(log_sum_weight=1.25))


def test_training__refuses_to_validate_on_nothing():
    data = two_tastes(valid=False)
    with pytest.raises(ValueError, match="valid split is empty"):
        Trainer(small_model(data), data).fit(1, validate=True)


def test_a_validation_part_of_repeats_is_none():
    """Each user's last click repeats an earlier one: nothing is new, so nothing to find."""
    log = {"u": [1, 1, 1, 2, 2, 2], "i": [1, 2, 1, 1, 2, 2]}
    schema = Schema(user=[Id("u")], item=[Id("i")])
    data = Dataset.from_columns(schema, log, split=LastSplit(1, 0))
    assert len(data.valid) == 2
    history = Trainer(small_model(data), data).fit(2)
    assert (history.best_epoch, history.epochs[-1].metrics) == (2, {})
    with pytest.raises(ValueError, match="nothing to validate on"):
        Trainer(small_model(data), data).fit(1, validate=True)
    with pytest.raises(ValueError, match="patience needs a validation split"):
        Trainer(small_model(data), data).fit(2, patience=1)
