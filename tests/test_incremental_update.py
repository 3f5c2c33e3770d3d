"""The update by day: id rows of those who click move, in time order, and nothing else does."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.data import Categorical, DataError, Dataset, GivenSplit, Id, RandomSplit, Schema
from minitower.evaluation.encode import encode
from minitower.evaluation.evaluator import evaluate
from minitower.formulas.frequency import StreamingFrequency
from minitower.store.full_version import publish_model
from minitower.store.incremental import publish_incremental
from minitower.store.recommender import Recommender
from minitower.towers.layers import add_gradients
from minitower.towers.optimizers import SGD, Adagrad, RowWiseAdam
from minitower.towers.two_tower import TwoTower
from minitower.training.batches import Batch
from minitower.training.gradient_step import TrainingError
from minitower.training.objectives import CrossBatchSoftmax, InBatchSoftmax
from minitower.training.trainer import Trainer
from minitower.updating.incremental_update import (
    IncrementalUpdate,
    train_incremental_update,
)
from minitower.updating.streams import Events
from minitower.updating.validation_gate import UpdateRefused

USERS, ITEMS = "user.user.embedding", "item.item.embedding"


def dataset(**more):
    rng = np.random.default_rng(0)
    schema = Schema(user=[Id("user", **more), Categorical("city")], item=[Id("item"), Id2])
    log = {"user": rng.integers(0, 20, 200), "item": rng.integers(0, 15, 200)}
    # The last five users and items are listed, and have not been met in training.
    users = {"user": np.arange(25), "city": rng.choice(["rome", "oslo"], 25)}
    items = {"item": np.arange(20), "kind": rng.choice(["a", "b", "c"], 20)}
    part = np.where(np.arange(200) < 180, "train", "valid")
    return Dataset.from_columns(
        schema, log | {"part": part}, users, items, split=GivenSplit("part")
    )


Id2 = Categorical("kind")
DATA = dataset()
MODEL = TwoTower(DATA.schema, dim=4, hidden=(6,))
OPTIMIZER = Adagrad(0.1)
Trainer(MODEL, DATA, batch_size=32, optimizer=OPTIMIZER).fit(2)


def events(users, items):
    return Events(np.asarray(users), np.asarray(items), np.arange(float(len(users))))


def stream(n=100, seed=1, users=20, items=15):
    rng = np.random.default_rng(seed)
    return events(rng.integers(0, users, n), rng.integers(0, items, n))


def branch(**options):
    options = {"optimizer": OPTIMIZER, "batch_size": 16} | options
    return IncrementalUpdate(MODEL, DATA, **options)


def fed(*pieces, **options):
    update = branch(**options)
    for piece in pieces:
        update.feed(piece)
    return update


def bits(model, optimizer):
    return {
        name: array.tobytes()
        for arrays in (model.parameters, optimizer.state)
        for name, array in arrays.items()
    }


def state(update):
    return bits(update.model, update.branch.optimizer)


@pytest.mark.parametrize("item_ids", [False, True])
@pytest.mark.parametrize("make", [Adagrad, RowWiseAdam])
def test_only_id_rows_that_were_clicked_move(item_ids, make):
    """All other parameters, rows and state of the optimizer are the same bits."""
    optimizer = make(0.05)
    model = TwoTower(DATA.schema, dim=4, hidden=(6,), seed=3)
    Trainer(model, DATA, batch_size=32, optimizer=optimizer).fit(1)
    before = bits(model, optimizer)
    clicks = events([0, 1, 1, 2, 21, 99], [3, 4, 3, 16, 5, 3])
    update = IncrementalUpdate(model, DATA, optimizer=optimizer, item_ids=item_ids, batch_size=6)
    update.feed(clicks)
    assert bits(model, optimizer) == before, "the full model is not touched"
    may_move = {USERS: [1, 2, 3]} | ({ITEMS: [4, 5, 6]} if item_ids else {})
    for full, own in (
        (model.parameters, update.model.parameters),
        (optimizer.state, update.branch.optimizer.state),
    ):
        assert full.keys() == own.keys()
        for name, array in full.items():
            different = [not np.array_equal(a, b) for a, b in zip(array, own[name])]
            assert np.flatnonzero(different).tolist() == may_move.get(name.split("/")[0], []), name


def test_a_step_is_the_gradient_of_the_objective_at_these_rows():
    """With plain SGD the displacement is -rate times the exact gradient, row 0 left out."""
    users, items = np.array([0, 3, 3, 22]), np.array([2, 2, 7, 9])
    frequency = StreamingFrequency.from_counts(DATA.item_counts, 4)
    log_q = frequency.log_frequency(items) - np.log(4)
    batch = Batch(DATA.users.take(users), DATA.items.take(items), users, items, log_q)
    u, back_u = MODEL.user(batch.users)
    i, back_i = MODEL.item(batch.items)
    _, (d_u, d_i) = InBatchSoftmax(0.1)(u, i, batch)
    gradients = add_gradients(back_u(d_u), back_i(d_i))
    objective, optimizer = InBatchSoftmax(0.1), SGD(1.0)
    options = {"objective": objective, "optimizer": optimizer, "item_ids": True, "batch_size": 4}
    update = fed(events(users, items), **options)
    for name in (USERS, ITEMS):
        expected = MODEL.parameters[name].copy()
        gradient = gradients[name]
        assert (gradient.rows[0] == 0) == (name == USERS), "one user is unknown"
        expected[gradient.rows[gradient.rows > 0]] -= gradient.values[gradient.rows > 0]
        np.testing.assert_array_equal(update.model.parameters[name], expected)


@given(st.lists(st.integers(0, 100), max_size=6).map(sorted), st.integers(2, 20))
def test_how_the_stream_is_cut_is_no_matter(cuts, batch_size):
    """Nor is an interruption: fed again from the start, the branch ends the same."""
    clicks, options = stream(), {"item_ids": True, "batch_size": batch_size}
    whole = fed(clicks, **options)
    ends = [0, *cuts, 100]
    pieces = [clicks.take(slice(a, b)) for a, b in pairwise(ends)]
    cut = fed(*pieces, **options)
    assert state(whole) == state(cut)
    assert whole.increment().waiting == cut.increment().waiting == 100 % batch_size


@pytest.mark.parametrize("item_ids", [False, True])
@given(n=st.integers(0, 50), batch_size=st.integers(2, 20))
def test_finished__has_learned_what_waits_and_the_branch_goes_on_as_if_not_asked(
    item_ids, n, batch_size
):
    """Also what an objective and an estimate remember of the clicks that waited."""
    options = {"batch_size": batch_size, "item_ids": item_ids, "objective": CrossBatchSoftmax(8)}
    clicks, more = stream(n, seed=2), stream(30, seed=3)
    update, ended, calm = (fed(clicks, **options) for _ in range(3))
    ended.finish()
    finished = update.finished()
    assert state(finished) == bits(ended.model, ended.branch.optimizer)
    asked, whole = finished.increment(), ended.increment()
    assert asked.waiting == whole.waiting == (n % batch_size == 1)
    assert asked.report == whole.report
    assert asked.rows.keys() == whole.rows.keys()
    later = events(more.users, more.items)
    later.timestamps[:] += 100
    update.feed(later)
    calm.feed(later)
    assert state(update) == state(calm)
    assert update.increment().report == calm.increment().report


@pytest.mark.parametrize("item_ids", [False, True])
def test_one_click_alone_waits_and_moves_nothing(item_ids):
    """Neither a parameter nor the optimizer, nor what the objective and log q remember."""
    bank = CrossBatchSoftmax(8)
    update = branch(item_ids=item_ids, objective=bank)
    before = (
        state(update),
        update.branch.optimizer.step,
        update.frequency.step,
    )
    update.feed(stream(1))
    for ended in (update, update.finished()):
        ended.finish()
        increment = ended.increment()
        assert (increment.waiting, increment.report.pairs, increment.rows) == (1, 0, {})
        after = (
            state(ended),
            ended.branch.optimizer.step,
            ended.frequency.step,
        )
        assert after == before
        assert len(ended.branch.objective.rows) == 0


@given(st.integers(0, 40), st.integers(2, 12))
def test_a_click_that_waited_alone_is_learned_with_the_next_ones(n, batch_size):
    """Finishing with one click left changes nothing of what comes after."""
    clicks = stream(n * batch_size % 60 + 1)
    asked, calm = (branch(batch_size=batch_size) for _ in range(2))
    asked.feed(clicks)
    calm.feed(clicks)
    if asked.increment().waiting == 1:
        asked.finish()
    later = stream(30, seed=4)
    later.timestamps[:] += 100
    asked.feed(later)
    calm.feed(later)
    assert state(asked) == state(calm)
    assert asked.increment().waiting == calm.increment().waiting


def test_interrupted_within_a_step_and_done_again_ends_the_same():
    calls = []

    def stopping(users, items, batch):
        calls.append(batch)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return InBatchSoftmax()(users, items, batch)

    full = bits(MODEL, OPTIMIZER)
    with pytest.raises(KeyboardInterrupt):
        fed(stream(), objective=stopping)
    assert bits(MODEL, OPTIMIZER) == full
    one, two = fed(stream()), fed(stream())
    assert state(one) == state(two)


def test_clicks_come_in_the_order_of_time_each_once():
    seen = []

    def watching(users, items, batch):
        seen.append((batch.user_rows, batch.item_rows))
        return InBatchSoftmax()(users, items, batch)

    clicks = stream(50)
    update = branch(objective=watching)
    update.feed(clicks)
    update.finish()
    assert [len(users) for users, _ in seen] == [16, 16, 16, 2]
    assert np.concatenate([users for users, _ in seen]).tolist() == clicks.users.tolist()
    assert np.concatenate([items for _, items in seen]).tolist() == clicks.items.tolist()
    with pytest.raises(DataError, match="event 0 is older than the last"):
        update.feed(stream(3))
    backwards = Events(clicks.users[:3], clicks.items[:3], np.array([50.0, 52.0, 51.0]))
    with pytest.raises(DataError, match="event 2 is older"):
        update.feed(backwards)


def test_log_q_is_the_streaming_estimate_as_it_stood_before_the_batch():
    seen = []

    def watching(users, items, batch):
        seen.append(batch.log_q)
        return InBatchSoftmax()(users, items, batch)

    given = StreamingFrequency(len(DATA.items), alpha=0.2, initial_gap=7.0)
    clicks = stream(48)
    fed(clicks, objective=watching, frequency=given)
    assert given.step == 0, "the caller's is not changed"
    ours = StreamingFrequency(len(DATA.items), alpha=0.2, initial_gap=7.0)
    for start, log_q in zip((0, 16, 32), seen, strict=True):
        items = clicks.items[start : start + 16]
        np.testing.assert_allclose(log_q, ours.log_frequency(items) - np.log(16))
        ours.update(items)


def test_unknown_users_share_row_0_and_do_not_move_it():
    """User 22 is listed without a row of its own, user 99 is not even that; both move nobody."""
    strangers = events([22, 99] * 8, np.arange(16) % 15)
    update = fed(strangers)
    increment = update.increment()
    assert increment.rows == {}
    assert increment.unknown_users == 16
    assert increment.report.rows_moved == {}
    assert np.array_equal(update.model.parameters[USERS], MODEL.parameters[USERS])
    among = fed(events([22, 3] * 8, np.arange(16) % 15)).increment()
    assert among.rows[USERS][0].tolist() == [4]
    assert among.unknown_users == 8


class KnownItems:
    """The default objective; notes what batches say of each user."""

    mask_known, seen = True, {}

    def __call__(self, users, items, batch):
        self.seen |= {u: batch.known.row(i).tolist() for i, u in enumerate(batch.user_rows)}
        return InBatchSoftmax(mask_known=True)(users, items, batch)


def test_known_items__of_known_users_and_without_the_validation_part():
    """A held-out click stays a negative: the gate would measure what training spared."""
    KnownItems.seen.clear()
    update = IncrementalUpdate(MODEL, DATA, objective=KnownItems(), batch_size=4)
    update.feed(events([0, 1, 99, 2], [1, 2, 3, 4]))
    assert sorted(KnownItems.seen) == [-1, 0, 1, 2]
    for user, items in KnownItems.seen.items():
        known = DATA.train.items[DATA.train.users == user]
        assert set(items) - {-1} == set(known.tolist())
    held_out = set(zip(DATA.valid.users.tolist(), DATA.valid.items.tolist(), strict=True))
    learned = set(zip(DATA.train.users.tolist(), DATA.train.items.tolist(), strict=True))
    assert any(user in KnownItems.seen for user, _ in held_out - learned)


def test_clicks_on_unknown_items_are_left_out_and_counted():
    known = events([3, 4], [2, 5])
    mixed = Events(np.array([3, 9, 4]), np.array([2, 77, 5]), np.arange(3.0))
    one, other = fed(known, batch_size=2), fed(mixed, batch_size=2)
    assert state(one) == state(other)
    assert other.increment().unknown_items == 1
    assert other.increment().report.pairs == 2


def test_rows_are_all_that_moved_since_the_full_model():
    update = branch()
    update.feed(events([1] * 16, np.arange(16) % 15))
    update.feed(Events(np.full(16, 5), np.arange(16) % 15, np.arange(100.0, 116)))
    rows, values = update.increment().rows[USERS]
    assert rows.tolist() == [2, 6]
    assert np.array_equal(values, update.model.parameters[USERS][rows])
    update.feed(Events(np.full(16, 5), np.arange(16) % 15, np.arange(200.0, 216)))
    assert not np.array_equal(values, update.model.parameters[USERS][rows]), "a copy, as published"


def test_a_row_that_was_used_and_did_not_move_is_not_published():
    still = lambda users, items, batch: (0.0, (np.zeros_like(users), np.zeros_like(items)))
    assert fed(stream(), objective=still).increment().rows == {}


@pytest.mark.parametrize("item_ids", [False, True])
def test_increments_are_what_a_store_publishes(tmp_path, item_ids):
    """Served on top of the full version, they answer as the branch does."""
    publish_model(MODEL, DATA, tmp_path / "s", index="exact")
    pieces = [stream(40, 1), Events(*(getattr(stream(40, 2), f) for f in ("users", "items")),
                                    np.arange(40.0, 80))]  # fmt: skip
    update = None
    for increment in train_incremental_update(
        MODEL, DATA, pieces, optimizer=OPTIMIZER, item_ids=item_ids, batch_size=16
    ):
        publish_incremental(tmp_path / "s", increment.rows, parent=1)
    update = fed(*pieces, item_ids=item_ids)
    serving = Recommender.open(tmp_path / "s")
    assert serving.version.number == 3
    for name, parameter in update.model.parameters.items():
        assert np.array_equal(serving.store.model.parameters[name], parameter)
    assert np.array_equal(serving.store.index.vectors, encode(update.model.item, DATA.items))


def test_train_incremental_update__has_one_more_increment_where_clicks_wait():
    pieces = [stream(20)]
    increments = list(train_incremental_update(MODEL, DATA, pieces, batch_size=16))
    assert [one.report.pairs for one in increments] == [16, 20]
    assert [one.waiting for one in increments] == [4, 0]
    assert len(list(train_incremental_update(MODEL, DATA, pieces, batch_size=20))) == 1
    alone = list(train_incremental_update(MODEL, DATA, pieces, batch_size=19))
    assert [one.waiting for one in alone] == [1]
    assert list(train_incremental_update(MODEL, DATA, [])) == []


def test_report__drift_is_that_of_those_who_moved():
    update = fed(stream(32, users=5), item_ids=True)
    increment = update.increment()
    for side, rows in (("user", increment.rows[USERS][0]), ("item", increment.rows[ITEMS][0])):
        table = getattr(DATA, f"{side}s")
        mine = np.isin(table.columns[side], rows)
        moved = encode(getattr(update.model, side), table) - encode(getattr(MODEL, side), table)
        distances = np.linalg.norm(moved, axis=1)
        assert not distances[~mine].any()
        drift = getattr(increment.report, f"{side}s")
        assert drift.vectors == mine.sum()
        assert drift.mean == pytest.approx(distances[mine].mean(), rel=1e-4)
        assert drift.largest == pytest.approx(distances[mine].max(), rel=1e-4)
    assert fed(stream(32)).increment().report.items.vectors == 0


def test_report__recall_before_and_after_and_refusal():
    update = fed(stream(64), metric="recall@5")
    report = update.increment().report
    for metrics, model in ((report.before, MODEL), (report.after, update.model)):
        assert metrics == {"recall@5": evaluate(model, DATA, split="valid", k=[5])["recall@5"]}
    after = report.after["recall@5"]
    fed(stream(64), metric="recall@5", at_least=after).increment()
    with pytest.raises(UpdateRefused, match="recall@5 on validation would be"):
        fed(stream(64), metric="recall@5", at_least=after + 1e-9).increment()


def test_what_is_not_finite_is_refused():
    bad = lambda users, items, batch: (np.nan, (np.zeros_like(users), np.zeros_like(items)))
    with pytest.raises(TrainingError, match="after 0 clicks: the loss is nan"):
        fed(stream(), objective=bad)
    worse = lambda users, items, batch: (1.0, (np.full_like(users, np.inf), np.zeros_like(items)))
    full = bits(MODEL, OPTIMIZER)
    with pytest.raises(TrainingError, match=r"after 0 clicks: the gradient of 'user\.user\.e"):
        fed(stream(), objective=worse)
    assert bits(MODEL, OPTIMIZER) == full


def test_an_objective_with_a_memory_begins_as_it_was_given():
    bank = CrossBatchSoftmax(50)
    one, two = (fed(stream(), objective=bank) for _ in range(2))
    assert state(one) == state(two)
    assert len(bank.rows) == 0


def test_refuses_what_cannot_be_moved():
    hidden = dataset(embed=False)
    with pytest.raises(ValueError, match=r"the model has no 'user\.user\.embedding'"):
        IncrementalUpdate(TwoTower(hidden.schema, dim=4), hidden)
    with pytest.raises(ValueError, match="not fitted together"):
        IncrementalUpdate(TwoTower(hidden.schema, dim=4), DATA)
    with pytest.raises(ValueError, match="batch_size must be an integer of at least 1"):
        branch(batch_size=0)
    with pytest.raises(ValueError, match="a batch size of 1 trains nothing"):
        branch(batch_size=1)
    no_validation = Dataset.from_columns(
        Schema(user=[Id("u")], item=[Id("i")]), {"u": [1], "i": [1]}, split=RandomSplit(0, 0)
    )
    with pytest.raises(ValueError, match="nothing to measure"):
        IncrementalUpdate(
            TwoTower(no_validation.schema, dim=4, hidden=()), no_validation, at_least=0.1
        )
