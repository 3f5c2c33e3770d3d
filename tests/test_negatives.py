"""Where negatives come from, and how likely each was: exact where there is a law."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.data import Dataset, GivenSplit, Id, Interactions, Schema
from minitower.data.ragged import Ragged
from minitower.formulas.draw_probability import log_mixture
from minitower.formulas.sampling import AliasTable, Uniform
from minitower.towers.two_tower import TwoTower
from minitower.training.batches import Batches
from minitower.training.negatives import (
    EasyNegatives,
    HardNegatives,
    MinedNegatives,
    MixedNegatives,
    SharedNegatives,
    exposed_negatives,
    popular_negatives,
    uniform_negatives,
)
from minitower.training.trainer import Trainer


def clicks(users, items, part=None, n_items=None):
    """A data set of these clicks; every item of the catalogue has a row."""
    schema = Schema(user=[Id("u")], item=[Id("i")])
    log = {"u": users, "i": items, "part": part or ["train"] * len(users)}
    catalogue = {"i": list(range(n_items))} if n_items else None
    return Dataset.from_columns(schema, log, items=catalogue, split=GivenSplit("part"))


SHOP = clicks([0, 0, 0, 1, 1, 2, 3], [0, 1, 2, 0, 1, 0, 0], n_items=6)


def rng(seed=0):
    return np.random.default_rng(seed)


@st.composite
def shops(draw):
    """A few users with any clicks among a few items."""
    n_items = draw(st.integers(1, 5))
    pairs = st.tuples(st.integers(0, 3), st.integers(0, n_items - 1))
    users, items = zip(*draw(st.lists(pairs, min_size=1, max_size=8)))
    return clicks(list(users), list(items), n_items=n_items)


@given(shops(), st.integers(0, 4), st.integers(0, 99), st.booleans())
def test_easy_negatives__never_known_and_q_is_renormalised(data, k, seed, popular):
    make = popular_negatives if popular else uniform_negatives
    source = make(data, k)
    drawn = source.draw(data.train, None, rng(seed))
    known = data.seen("valid")
    counts = np.bincount(drawn.owners, minlength=len(data.train))
    q = np.exp(source.sampler.log_q(np.arange(len(data.items))))
    for pair, user in enumerate(data.train.users):
        left = np.setdiff1d(np.flatnonzero(q), known.row(user))
        assert counts[pair] == (k if len(left) else 0)
        mine = drawn.owners == pair
        assert np.isin(drawn.items[mine], left).all()
        assert np.exp(drawn.log_q[mine]) == pytest.approx(q[drawn.items[mine]] / q[left].sum())


def test_easy_negatives__what_is_drawn_follows_the_q_it_says():
    """User 0 knows items 0, 1 and 2 of six, popularity being 4:2:1 with one smoothed click each."""
    weights = np.array([5, 3, 2, 1, 2, 3.0])
    source = EasyNegatives(AliasTable(weights), 30_000, SHOP.seen("valid"))
    drawn = source.draw(SHOP.train.take([0]), None, rng())
    share = np.bincount(drawn.items, minlength=6) / 30_000
    expected = np.array([0, 0, 0, 1, 2, 3]) / 6
    assert np.abs(share - expected).max() < 5 * np.sqrt(0.25 / 30_000)


def test_easy_negatives__without_known_they_may_be_positives():
    drawn = EasyNegatives(Uniform(1), 3).draw(SHOP.train, None, rng())
    assert (drawn.items == 0).all()
    assert len(drawn.items) == 3 * len(SHOP.train)
    assert np.exp(drawn.log_q) == pytest.approx(1)


def test_easy_negatives__who_knows_everything_gets_nothing():
    data = clicks([0, 0, 1], [0, 1, 0], n_items=2)
    drawn = uniform_negatives(data, 2).draw(data.train, None, rng())
    assert drawn.owners.tolist() == [2, 2]
    assert drawn.items.tolist() == [1, 1]
    assert drawn.log_q.tolist() == [0, 0]


@given(st.integers(0, 99), st.integers(0, 3), st.sampled_from(["user", "pair"]))
def test_hard_negatives__come_from_the_own_list(seed, k, of):
    lists = Ragged.from_counts([2, 0, 1, 3, 1, 1, 1], [4, 5, 3, 1, 2, 3, 0, 1, 2])
    positions = np.array([6, 0, 1, 3])
    pairs = SHOP.train.take(positions)
    drawn = HardNegatives(lists, k, of=of).draw(pairs, positions, rng(seed))
    rows = pairs.users if of == "user" else positions
    counts = np.bincount(drawn.owners, minlength=4)
    for pair, row in enumerate(rows):
        mine = drawn.owners == pair
        assert counts[pair] == (k if len(lists.row(row)) else 0)
        assert np.isin(drawn.items[mine], lists.row(row)).all()
        assert np.exp(drawn.log_q[mine]) == pytest.approx(1 / max(1, len(lists.row(row))))


def test_hard_negatives__draws_the_whole_list_alike():
    lists = Ragged.from_counts([3, 0, 0, 0], [1, 2, 5])
    drawn = HardNegatives(lists, 30_000).draw(SHOP.train.take([0]), None, rng())
    share = np.bincount(drawn.items, minlength=6)[[1, 2, 5]] / 30_000
    assert np.abs(share - 1 / 3).max() < 5 * np.sqrt(0.25 / 30_000)


def test_exposed_negatives__work_and_warn():
    with pytest.warns(UserWarning, match="no negative for retrieval"):
        source = exposed_negatives(Ragged.from_counts([1, 1, 1, 1], [1, 2, 3, 4]), 1)
    assert source.draw(SHOP.train, None, rng()).items.tolist() == [1, 1, 1, 2, 2, 3, 4]


def untrained(data, seed=0):
    return TwoTower(data.schema, dim=4, hidden=(), seed=seed)


def test_mined_negatives__are_the_models_own_ranks():
    data = clicks([0, 0, 1, 2], [0, 1, 2, 3], n_items=8)
    model = untrained(data)
    source = MinedNegatives(model, data, 200, first=2, last=4)
    drawn = source.draw(data.train, None, rng())
    users, _ = model.user(data.users.columns)
    items, _ = model.item(data.items.columns)
    known = data.seen("valid")
    for pair, user in enumerate(data.train.users):
        scores = np.where(np.isin(np.arange(8), known.row(user)), -np.inf, users[user] @ items.T)
        ranked = np.lexsort((np.arange(8), -scores))[1:4]
        assert set(drawn.items[drawn.owners == pair]) == set(ranked)


def test_mined_negatives__are_refreshed_every_so_many_draws():
    data = clicks([0, 1, 2], [0, 1, 2], n_items=30)
    model = untrained(data)
    source = MinedNegatives(model, data, 50, first=1, last=1, every=2)
    first = source.draw(data.train, None, rng()).items
    for name, parameter in untrained(data, seed=1).parameters.items():
        model.parameters[name][...] = parameter
    stale = source.draw(data.train, None, rng()).items
    fresh = source.draw(data.train, None, rng()).items
    assert np.array_equal(first, stale)
    assert not np.array_equal(first, fresh)


def test_mined_negatives__a_short_catalogue_gives_what_it_has():
    data = clicks([0, 0, 0, 1], [0, 1, 2, 0], n_items=3)
    drawn = MinedNegatives(untrained(data), data, 4, first=1, last=500).draw(
        data.train, None, rng()
    )
    assert set(drawn.owners) == {3}  # user 0 knows all items
    assert set(drawn.items) <= {1, 2}


@given(st.integers(0, 99))
def test_mixed_negatives__each_source_gives_its_part(seed):
    hard = Ragged.from_counts([1, 0, 1, 0], [5, 4])
    source = MixedNegatives([uniform_negatives(SHOP, 2), HardNegatives(hard, 3)])
    drawn = source.draw(SHOP.train, None, rng(seed))
    assert np.all(np.diff(drawn.owners) >= 0)
    counts = np.bincount(drawn.owners, minlength=len(SHOP.train))
    assert counts.tolist() == [5, 5, 5, 2, 2, 5, 2]
    assert [size for _, size in drawn.samplers] == [2 * len(SHOP.train)]  # hard ones are not drawn


def test_easy_negatives__who_knows_nearly_all_still_gets_k():
    """Of a thousand items user 0 knows all but two, one of which is drawn three times as often."""
    known = Ragged.from_counts([998], np.arange(998))
    weights = np.ones(1000)
    weights[999] = 3
    source = EasyNegatives(AliasTable(weights), 4000, known)
    drawn = source.draw(SHOP.train.take([0]), None, rng())
    share = np.bincount(drawn.items - 998) / 4000
    assert len(drawn.items) == 4000
    assert share == pytest.approx([0.25, 0.75], abs=5 * np.sqrt(0.25 * 0.75 / 4000))
    assert np.exp(drawn.log_q) == pytest.approx(np.array([0.25, 0.75])[drawn.items - 998])


@given(st.integers(0, 99))
def test_mixed_negatives__of_one_source_are_that_source(seed):
    alone = uniform_negatives(SHOP, 3, reject_known=False)
    a, b = (
        next(Batches(SHOP, 4, source).epoch(rng(seed)))
        for source in (alone, MixedNegatives([alone]))
    )
    assert np.array_equal(a.item_rows, b.item_rows)
    assert np.array_equal(a.log_q, b.log_q)


def test_mixed_negatives__log_q_of_the_batch_is_that_of_all_who_drew():
    """4 clicks, 12 uniform draws, some of 12 by popularity; hard ones count as theirs."""
    popular = AliasTable([1, 2, 3, 4, 5, 0])
    parts = [
        uniform_negatives(SHOP, 3, reject_known=False),
        EasyNegatives(popular, 3),
        HardNegatives(Ragged.from_counts([1] * 4, [5] * 4), 2),
    ]
    source = MixedNegatives(parts, shares=(1, 0.5, 1))
    positions = np.arange(4)
    batch = Batches(SHOP, 4, source).of(SHOP.train.take(positions), rng(), positions)
    kept = len(batch.item_rows) - 4 - 12 - 8
    clicks = np.maximum(SHOP.item_counts, 1) / len(SHOP.train)
    mixture = 4 * clicks + 12 / 6 + kept * np.exp(popular.log_q(np.arange(6)))
    assert 0 < kept < 12
    assert np.exp(batch.log_q) == pytest.approx((mixture / (16 + kept))[batch.item_rows])


def test_mixed_negatives__shares_thin_each_source():
    """Of 7,000 draws of each source about the share is kept, with the log q it came with."""
    easy, hard = Uniform(6), Ragged.from_counts([1] * 4, [5, 5, 5, 5])
    parts = [EasyNegatives(easy, 1000), HardNegatives(hard, 1000)]
    drawn = MixedNegatives(parts, shares=(0.9, 0.1)).draw(SHOP.train, None, rng())
    assert np.all(np.diff(drawn.owners) >= 0)
    is_hard = drawn.log_q == 0
    assert np.all(drawn.items[is_hard] == 5)
    assert is_hard.sum() == pytest.approx(700, abs=5 * np.sqrt(630))
    assert (~is_hard).sum() == pytest.approx(6300, abs=5 * np.sqrt(630))


def _draw(source):
    return source.draw(SHOP.train, None, rng())


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: EasyNegatives(Uniform(3), -1), "must be an integer within 0"),
        (lambda: EasyNegatives(Uniform(3), 1, Ragged.from_counts([1], [3])), "known item 3"),
        (
            lambda: _draw(EasyNegatives(Uniform(6), 1, Ragged.from_counts([1], [0]))),
            "user 3 is not",
        ),
        (
            lambda: HardNegatives(Ragged.from_counts([1], [-1]), 1),
            "^lists hold rows of items, of which -1 is none$",
        ),
        (lambda: _draw(HardNegatives(Ragged.from_counts([1], [0]), 1)), "user 3 is not one of"),
        (lambda: SharedNegatives(Uniform(3), -1), "must be an integer within 0"),
        (lambda: HardNegatives(Ragged.from_counts([1], [0]), 1, of="item"), "user or of each pair"),
        (
            lambda: MinedNegatives(untrained(SHOP), SHOP, 1, first=3, last=2),
            "first <= last",
        ),
        (lambda: MinedNegatives(untrained(SHOP), SHOP, 1, first=7), "beyond the 6 items"),
        (lambda: MixedNegatives([]), "needs a source"),
        (lambda: MixedNegatives([SharedNegatives(Uniform(3), 1)]), "do not mix"),
        (lambda: MixedNegatives([EasyNegatives(Uniform(3), 1)], shares=[1.1]), "shares in"),
        (lambda: MixedNegatives([EasyNegatives(Uniform(3), 1)], shares=[0.5, 0.5]), "1 shares"),
        (lambda: Batches(SHOP, 2, positive_power=1.1), "in \\[0, 1\\]"),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_lists_of_pairs_need_positions():
    source = HardNegatives(Ragged.from_counts([1] * 7, [0] * 7), 1, of="pair")
    with pytest.raises(ValueError, match="training positives"):
        source.draw(SHOP.train, None, rng())


# What a batch makes of them.


def test_batch__extra_candidates_follow_the_positives():
    source = SharedNegatives(AliasTable([0, 0, 0, 1, 1, 1]), 4)
    batch = Batches(SHOP, 7, source).of(SHOP.train, rng())
    assert batch.item_rows[:7].tolist() == SHOP.train.items.tolist()
    assert np.isin(batch.item_rows[7:], [3, 4, 5]).all()
    assert len(batch) == 7
    assert batch.owners is None
    assert len(batch.items["i"]) == 11


def test_batch__log_q_is_the_mixtures_own():
    source = SharedNegatives(Uniform(6), 14)
    batch = Batches(SHOP, 7, source).of(SHOP.train, rng())
    share = np.array([4, 2, 1, 0, 0, 0]) / 7
    expected = (7 * share + 14 / 6) / 21
    assert np.exp(batch.log_q) == pytest.approx(expected[batch.item_rows])


def test_batch__a_hard_negative_counts_as_its_clicks():
    hard = HardNegatives(Ragged.from_counts([1, 1, 1, 1], [1, 5, 5, 5]), 1)
    batch = Batches(SHOP, 7, hard).of(SHOP.train, rng())
    clicks_or_one = np.array([4, 2, 1, 1, 1, 1])
    assert np.exp(batch.log_q) == pytest.approx(clicks_or_one[batch.item_rows] / 7)
    assert np.exp(batch.negative_log_q) == pytest.approx(1)


def test_batch__lists_of_pairs_follow_the_shuffle():
    """Each training positive's list holds one item that only it has."""
    data = clicks([0, 0, 1, 1, 2], [0, 1, 2, 3, 4], n_items=10)
    lists = Ragged.from_counts([1] * 5, np.arange(5, 10))
    for batch in Batches(data, 2, HardNegatives(lists, 1, of="pair")).epoch(rng(3)):
        n = len(batch)
        assert np.array_equal(batch.item_rows[n:], batch.item_rows[:n] + 5)


@given(st.sampled_from([0.0, 0.5, 0.75]), st.integers(0, 20))
def test_positive_power__items_come_as_their_clicks_to_the_power(power, seed):
    batches = Batches(SHOP, 7, positive_power=power)
    expected = np.array([4, 2, 1, 0, 0, 0.0]) ** power * (np.arange(6) < 3)
    expected /= expected.sum()
    with np.errstate(divide="ignore"):
        assert batches.log_q == pytest.approx(np.log(expected))
    assert batches._pairs is not None
    pairs = batches._pairs.distribution()
    assert np.bincount(SHOP.train.items, pairs, 6) == pytest.approx(expected, abs=1e-12)
    batch = next(batches.epoch(rng(seed)))
    assert batch.log_q == pytest.approx(np.log(expected[batch.item_rows]))


def test_training_with_mined_and_uniform_negatives_runs_through_the_trainer():
    data = clicks([0, 0, 1, 2, 3, 4], [0, 1, 2, 3, 0, 0], n_items=12)
    model = untrained(data)
    mined = MinedNegatives(model, data, 2, first=2, last=5, every=2)
    source = MixedNegatives([uniform_negatives(data, 2), mined])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = Trainer(model, data, negatives=source, batch_size=3).fit(3)
    assert np.isfinite([epoch.loss for epoch in history.epochs]).all()


def test_log_q_of_a_batch_with_extra_draws_makes_in_batch_unbiased():
    """The weighted draws of batch and sampler together estimate the catalogue's sum:
    E[sum over candidates of 1 / (m q)] of an item is 1."""
    share, extra = np.array([4, 2, 1, 0, 0, 0]) / 7, np.full(6, 1 / 6)
    n, e = 7, 14
    with np.errstate(divide="ignore"):
        log_q = log_mixture([np.log(share), np.log(extra)], [n, e])
    expected_draws = n * share + e * extra
    assert expected_draws / ((n + e) * np.exp(log_q)) == pytest.approx(np.ones(6))


def test_interactions_need_not_be_training_positives():
    """Benchmarks and updates draw for pairs of their own."""
    pairs = Interactions(np.array([3, 3]), np.array([5, 5]))
    batch = Batches(SHOP, 2, uniform_negatives(SHOP, 1)).of(pairs, rng())
    assert batch.owners is not None
    assert batch.owners.tolist() == [0, 1]
