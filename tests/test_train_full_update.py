"""The chain of full models: a copy goes on for one epoch of the day, and nothing else counts."""

import numpy as np
import pytest

from minitower.data import Categorical, Dataset, Id, RandomSplit, Schema, TimeSplit, next_day
from minitower.evaluation.encode import encode
from minitower.evaluation.evaluator import evaluate
from minitower.store.full_version import publish_model
from minitower.store.model_files import load_model, load_optimizer
from minitower.store.recommender import Recommender
from minitower.towers.optimizers import SGD, Adagrad, RowWiseAdam
from minitower.towers.two_tower import TwoTower
from minitower.training.batches import TooFewClicks
from minitower.training.gradient_step import TrainingError
from minitower.training.hard_negatives import MinedNegatives
from minitower.training.objectives import InBatchSoftmax
from minitower.training.sampled_negatives import uniform_negatives
from minitower.training.sampled_objectives import Pairwise
from minitower.training.trainer import Trainer
from minitower.updating.base import base_dataset
from minitower.updating.incremental_update import train_incremental_update
from minitower.updating.train_full_update import train_full_update
from minitower.updating.validation_gate import UpdateRefused

SCHEMA = Schema(user=[Id("user"), Categorical("city")], item=[Id("item")])
TABLES = ("user.user.embedding", "user.city.embedding", "item.item.embedding")


def clicks(day, users, items, n=300):
    """Even users click even items, odd ones odd; time goes on from day to day."""
    rng = np.random.default_rng(day)
    user = rng.integers(0, users, n)
    item = np.minimum(2 * rng.integers(0, items // 2, n) + user % 2, items - 1)
    return {"user": user, "item": item, "timestamp": 1000.0 * day + np.arange(n)}


def people(ids):
    return {"user": ids, "city": np.array(["rome", "oslo", "nice", "bern"])[np.asarray(ids) % 4]}


FIRST = Dataset.from_columns(SCHEMA, clicks(0, 30, 20), people(range(30)), split=RandomSplit(0, 0))
SPLIT = TimeSplit(valid=0.2, test=0)
# Three of the new users are listed and do not click: they read row 0.
SECOND = next_day(FIRST, clicks(1, 40, 24), people(range(30, 43)), split=SPLIT)
THIRD = next_day(SECOND, clicks(2, 44, 26), people(range(40, 44)), split=SPLIT)


def trainer(model, day, **options):
    return Trainer(model, day, batch_size=32, optimizer=Adagrad(0.1), **options)


def trained(data=FIRST, **options):
    model = TwoTower(data.schema, dim=4, hidden=(6,), **options)
    run = trainer(model, data)
    run.fit(2)
    return model, run.optimizer


MODEL, OPTIMIZER = trained()


def bits(model, optimizer=None):
    return {
        name: (array.shape, array.tobytes())
        for arrays in (model.parameters, {} if optimizer is None else optimizer.state)
        for name, array in arrays.items()
    }


def test_train_full_update__is_one_epoch_on_a_extended_copy():
    """The very bits of a trainer on that copy: each positive once, shuffled by its seed."""
    update = train_full_update(MODEL, SECOND, trainer, optimizer=OPTIMIZER)
    by_hand = MODEL.extended(SECOND.schema)
    run = trainer(by_hand, SECOND)
    run.optimizer = OPTIMIZER.extended(by_hand.parameters)
    run.fit(1, validate=False)
    assert bits(update.model, update.optimizer) == bits(by_hand, run.optimizer)
    assert update.optimizer.step == OPTIMIZER.step + len(run.batches)
    assert update.model.encoders is SECOND.schema


def test_train_full_update__uses_each_positive_once_and_not_in_time_order():
    seen = []

    def watching(model, day):
        run = trainer(model, day)
        step = run.step
        run.step = lambda batch: seen.append(batch) or step(batch)
        return run

    report = train_full_update(MODEL, SECOND, watching).report
    pairs = [pair for b in seen for pair in zip(b.user_rows, b.item_rows)]
    in_time = list(zip(SECOND.train.users, SECOND.train.items))
    assert sorted(pairs) == sorted(in_time)
    assert pairs != in_time
    assert report.pairs == len(SECOND.train)


def test_train_full_update__changes_neither_model_nor_optimizer_nor_day():
    before = bits(MODEL, OPTIMIZER), OPTIMIZER.step, SECOND.users.to_arrays()["column.user"].copy()
    update = train_full_update(MODEL, SECOND, trainer, optimizer=OPTIMIZER)
    assert before[:2] == (bits(MODEL, OPTIMIZER), OPTIMIZER.step)
    assert np.array_equal(before[2], SECOND.users.to_arrays()["column.user"])
    ours = [*MODEL.parameters.values(), *OPTIMIZER.state.values()]
    theirs = [*update.model.parameters.values(), *update.optimizer.state.values()]
    assert not any(np.shares_memory(one, other) for one in ours for other in theirs)


def test_train_full_update__the_chain_is_a_function_of_models_and_days():
    """What is done between two days in between, of whatever kind, changes no bit."""

    def chain(between):
        model, optimizer = trained()
        for day in (SECOND, THIRD):
            between(model, optimizer, day)
            update = train_full_update(model, day, trainer, optimizer=optimizer)
            model, optimizer = update.model, update.optimizer
        return bits(model, optimizer)

    def clicks_by_day(model, optimizer, day):
        data = FIRST if day is SECOND else SECOND
        stream = events(data)
        for _ in train_incremental_update(model, data, stream, optimizer=optimizer, item_ids=True):
            pass

    assert chain(lambda *_: None) == chain(clicks_by_day)


def events(data, n=64):
    from minitower.updating.streams import Events

    rng = np.random.default_rng(5)
    users, items = rng.choice(data.users.ids, n), rng.choice(data.items.ids, n)
    return [Events(users, items, np.arange(float(n)))]


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("at", [1, 4, 8])
def test_train_full_update__interrupted_and_done_again_ends_the_same(at):
    def stopped(model, day):
        def stop(progress):
            if progress.step == at:
                raise Interrupted

        return trainer(model, day, on_progress=stop)

    before = bits(MODEL, OPTIMIZER)
    with pytest.raises(Interrupted):
        train_full_update(MODEL, SECOND, stopped, optimizer=OPTIMIZER)
    assert bits(MODEL, OPTIMIZER) == before
    again, undisturbed = (
        train_full_update(MODEL, SECOND, trainer, optimizer=OPTIMIZER) for _ in range(2)
    )
    assert bits(again.model, again.optimizer) == bits(undisturbed.model, undisturbed.optimizer)


def test_train_full_update__optimizer_state_is_carried_on_or_reset():
    carried = train_full_update(MODEL, SECOND, trainer, optimizer=OPTIMIZER).optimizer
    anew = train_full_update(MODEL, SECOND, trainer).optimizer
    key = "item.item.embedding/square"
    old = slice(0, len(OPTIMIZER.state[key]))
    assert (carried.state[key][old] >= OPTIMIZER.state[key]).all()
    assert anew.step == carried.step - OPTIMIZER.step
    assert anew.state[key].sum() < carried.state[key].sum()


def test_train_full_update__negatives_are_those_of_the_grown_model():
    """A trainer is made out of the copy; one that is bound to yesterday's would not fit."""

    def mined(model, day):
        assert len(model.parameters["item.item.embedding"]) > len(
            MODEL.parameters["item.item.embedding"]
        )
        return Trainer(
            model,
            day,
            objective=Pairwise(),
            negatives=MinedNegatives(model, day, 2, first=1),
            batch_size=64,
        )

    assert np.isfinite(train_full_update(MODEL, SECOND, mined).report.loss)


def test_report__counts_rows_and_measures_drift_and_recall():
    update = train_full_update(MODEL, SECOND, trainer, optimizer=OPTIMIZER)
    report, grown = update.report, MODEL.extended(SECOND.schema)
    for name in TABLES:
        before, after = MODEL.parameters[name], update.model.parameters[name]
        assert report.rows_added[name] == len(after) - len(before)
        moved = [not np.array_equal(a, b) for a, b in zip(before, after)]
        assert report.rows_moved[name] == sum(moved)
    assert report.rows_added["user.user.embedding"] > 0
    assert report.rows_added["user.city.embedding"] == 0
    for side in ("users", "items"):
        table, drift = getattr(SECOND, side), getattr(report, side)
        known = np.isin(table.ids, FIRST.schema.user.vocabulary("user").values)
        if side == "items":
            known = np.isin(table.ids, FIRST.schema.item.vocabulary("item").values)
        tower = side[:-1]
        moved = encode(getattr(update.model, tower), table) - encode(getattr(grown, tower), table)
        distances = np.sqrt((moved**2).sum(axis=1))[known]
        assert drift.vectors == known.sum()
        assert drift.mean == pytest.approx(distances.mean())
        assert drift.largest == pytest.approx(distances.max())
    for metrics, model in ((report.before, grown), (report.after, update.model)):
        assert metrics == {"recall@20": evaluate(model, SECOND, split="valid", k=[20])["recall@20"]}


def test_report__measures_nothing_where_there_is_nothing_to_validate_on():
    day = next_day(FIRST, clicks(1, 40, 24))
    report = train_full_update(MODEL, day, trainer).report
    assert report.before == report.after == {}
    with pytest.raises(ValueError, match="nothing to measure recall@20 on"):
        train_full_update(MODEL, day, trainer, at_least=0.1)


def test_train_full_update__refuses_what_is_below_the_bound():
    before = bits(MODEL, OPTIMIZER)
    reached = train_full_update(MODEL, SECOND, trainer, metric="ndcg@5").report.after["ndcg@5"]
    train_full_update(MODEL, SECOND, trainer, metric="ndcg@5", at_least=reached)
    with pytest.raises(UpdateRefused, match=f"ndcg@5 on validation would be {reached:.4f}"):
        train_full_update(MODEL, SECOND, trainer, metric="ndcg@5", at_least=reached + 1e-9)
    assert bits(MODEL, OPTIMIZER) == before


def test_train_full_update__refuses_what_is_not_finite():
    before = bits(MODEL, OPTIMIZER)
    huge = lambda model, day: Trainer(model, day, optimizer=SGD(lambda step: 1e38), batch_size=32)
    with pytest.raises(TrainingError, match="the loss is nan"):
        train_full_update(MODEL, SECOND, huge)
    assert bits(MODEL, OPTIMIZER) == before


def test_train_full_update__a_night_of_one_click_is_too_few():
    """Without negatives it would be a batch of one, from which nothing is learned."""
    before = bits(MODEL, OPTIMIZER)
    day = next_day(FIRST, clicks(1, 30, 20, n=1), split=TimeSplit(valid=0, test=0))
    with pytest.raises(TooFewClicks, match="1 click is too few") as refused:
        train_full_update(MODEL, day, trainer)
    assert isinstance(refused.value, ValueError)
    assert bits(MODEL, OPTIMIZER) == before
    with_negatives = lambda model, day: trainer(
        model, day, objective=Pairwise(), negatives=uniform_negatives(day, 2)
    )
    assert train_full_update(MODEL, day, with_negatives).report.pairs == 1


def test_train_full_update__refuses_a_day_of_other_data():
    other = Dataset.from_columns(SCHEMA, clicks(7, 9, 10), people(range(9)))
    with pytest.raises(ValueError, match="the encoders do not continue the model's"):
        train_full_update(MODEL, other, trainer)
    with pytest.raises(ValueError, match="the encoders do not continue"):
        train_full_update(train_full_update(MODEL, SECOND, trainer).model, FIRST, trainer)


@pytest.mark.parametrize("hidden", [(), (8,)])
def test_train_full_update__learns_the_new_users(hidden):
    """Users of whom nothing but the day's clicks is known end up near what they like."""
    ids_only = Schema(user=[Id("user")], item=[Id("item")])
    data = Dataset.from_columns(ids_only, clicks(0, 30, 20), split=RandomSplit(0, 0))
    model = TwoTower(data.schema, dim=8, hidden=hidden)
    fast = lambda model, data: Trainer(
        model,
        data,
        objective=InBatchSoftmax(0.2),
        optimizer=RowWiseAdam(0.05),
        batch_size=32,
    )
    fast(model, data).fit(15)
    log = clicks(1, 10, 20, n=400)
    log["user"] += 30
    day = next_day(data, log)
    update = train_full_update(model, day, fast)
    users, items = encode(update.model.user, day.users), encode(update.model.item, day.items)
    own = day.users.ids[:, None] % 2 == day.items.ids % 2
    gap = np.where(own, users @ items.T, -(users @ items.T))[30:].mean()
    assert gap > 0.1


def test_base_dataset__a_store_is_what_the_next_day_goes_on_from(tmp_path):
    """The nightly job, night by night from the disk, is the chain in memory bit for bit."""
    publish_model(MODEL, FIRST, tmp_path / "s", optimizer=OPTIMIZER)
    by_hand, optimizer = MODEL, OPTIMIZER
    for parent, day in ((1, SECOND), (2, THIRD)):
        store = Recommender.open(tmp_path / "s").store
        from_disk = Adagrad(0.1)
        load_optimizer(tmp_path / "s", from_disk)
        known = len(store.users)
        log, users = clicks(parent, *((40, 24) if parent == 1 else (44, 26))), len(day.users)
        today = next_day(
            base_dataset(store), log, people(range(known, users)), positive="all", split=SPLIT
        )
        for part in ("train", "all"):
            ours, theirs = today.seen(part), day.seen(part)
            assert np.array_equal(ours.indptr, theirs.indptr)
            assert np.array_equal(ours.values, theirs.values)
        update = train_full_update(load_model(tmp_path / "s"), today, trainer, optimizer=from_disk)
        metrics = update.report.after
        publish_model(
            update.model,
            today,
            tmp_path / "s",
            optimizer=update.optimizer,
            parent=parent,
            metrics=metrics,
        )
        in_memory = train_full_update(by_hand, day, trainer, optimizer=optimizer)
        by_hand, optimizer = in_memory.model, in_memory.optimizer
        assert bits(update.model, update.optimizer) == bits(by_hand, optimizer)
    assert len(Recommender.open(tmp_path / "s").store.users) == len(THIRD.users)


def test_train_full_update__a_validation_part_of_repeats_is_none():
    again = {"user": [0, 1, 0], "item": [0, 1, 0], "timestamp": [5000.0, 5001.0, 5002.0]}
    day = next_day(FIRST, again, split=TimeSplit(valid=0.34, test=0))
    assert len(day.valid) > 0
    update = train_full_update(MODEL, day, trainer, optimizer=OPTIMIZER)
    assert update.report.before == update.report.after == {}
    with pytest.raises(ValueError, match="nothing to measure recall@20 on"):
        train_full_update(MODEL, day, trainer, at_least=0.1)


def test_train_full_update__refuses_an_unknown_metric():
    with pytest.raises(ValueError, match="metric: expected NAME@K"):
        train_full_update(MODEL, SECOND, trainer, metric="foo@3")
