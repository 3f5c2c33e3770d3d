"""Shared and mixed negatives, and the batches that they make."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shop import SHOP, clicks, rng, untrained

from minitower.data import Interactions
from minitower.data.table import Ragged
from minitower.formulas.draw_probability import log_mixture
from minitower.formulas.sampling import AliasTable, Uniform
from minitower.training.batches import Batches
from minitower.training.hard_negatives import HardNegatives, MinedNegatives
from minitower.training.negatives import MixedNegatives, SharedNegatives
from minitower.training.sampled_negatives import (
    SampledNegatives,
    uniform_negatives,
)
from minitower.training.trainer import Trainer


@given(st.integers(0, 99))
def test_mixed_negatives__each_source_gives_its_part(seed):
    hard = Ragged.from_counts([1, 0, 1, 0], [5, 4])
    source = MixedNegatives([uniform_negatives(SHOP, 2), HardNegatives(hard, 3)])
    drawn = source.draw(SHOP.train, None, rng(seed))
    assert np.all(np.diff(drawn.pair_index) >= 0)
    counts = np.bincount(drawn.pair_index, minlength=len(SHOP.train))
    assert counts.tolist() == [5, 5, 5, 2, 2, 5, 2]
    assert [size for _, size in drawn.samplers] == [2 * len(SHOP.train)]  # hard ones are not drawn


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
        SampledNegatives(popular, 3),
        HardNegatives(Ragged.from_counts([1] * 4, [5] * 4), 2),
    ]
    source = MixedNegatives(parts, shares=(1, 0.5, 1))
    positions = np.arange(4)
    batch = Batches(SHOP, 4, source).make_batch(SHOP.train.take(positions), rng(), positions)
    kept = len(batch.item_rows) - 4 - 12 - 8
    clicks = np.maximum(SHOP.item_counts, 1) / len(SHOP.train)
    mixture = 4 * clicks + 12 / 6 + kept * np.exp(popular.log_q(np.arange(6)))
    assert 0 < kept < 12
    assert np.exp(batch.log_q) == pytest.approx((mixture / (16 + kept))[batch.item_rows])


def test_mixed_negatives__shares_thin_each_source():
    """Of 7,000 draws of each source about the share is kept, with the log q it came with."""
    easy, hard = Uniform(6), Ragged.from_counts([1] * 4, [5, 5, 5, 5])
    parts = [SampledNegatives(easy, 1000), HardNegatives(hard, 1000)]
    drawn = MixedNegatives(parts, shares=(0.9, 0.1)).draw(SHOP.train, None, rng())
    assert np.all(np.diff(drawn.pair_index) >= 0)
    is_hard = drawn.log_q == 0
    assert np.all(drawn.items[is_hard] == 5)
    assert is_hard.sum() == pytest.approx(700, abs=5 * np.sqrt(630))
    assert (~is_hard).sum() == pytest.approx(6300, abs=5 * np.sqrt(630))


@pytest.mark.parametrize("shares, has_hard", [((1, 1), True), ((1, 0), False), ((0, 1), True)])
def test_mixed_negatives__say_whether_a_hard_one_was_kept(shares, has_hard):
    """Without one, a batch keeps log q = -inf of items that no click and no draw can bring."""
    hard = HardNegatives(Ragged.from_counts([1] * 4, [5] * 4), 2)
    easy = SampledNegatives(AliasTable([1, 1, 1, 0, 0, 0]), 2)
    sample = MixedNegatives([easy, hard], shares).draw(SHOP.train, None, rng())
    assert sample.has_hard == has_hard == (5 in sample.items)
    assert not easy.draw(SHOP.train, None, rng()).has_hard
    assert not HardNegatives(hard.lists, 0).draw(SHOP.train, None, rng()).has_hard


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: SharedNegatives(Uniform(3), -1), "must be an integer within 0"),
        (lambda: MixedNegatives([]), "needs a source"),
        (lambda: MixedNegatives([SharedNegatives(Uniform(3), 1)]), "do not mix"),
        (lambda: MixedNegatives([SampledNegatives(Uniform(3), 1)], shares=[1.1]), "shares in"),
        (lambda: MixedNegatives([SampledNegatives(Uniform(3), 1)], shares=[0.5, 0.5]), "1 shares"),
        (
            lambda: MixedNegatives([SampledNegatives(Uniform(3), 1)], shares=np.array([[0.5]])),
            "shares must be one finite number",
        ),
        (lambda: Batches(SHOP, 2, positive_exponent=1.1), "in \\[0, 1\\]"),
    ],
)
def test_negatives__refuse(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_batch__extra_candidates_follow_the_positives():
    source = SharedNegatives(AliasTable([0, 0, 0, 1, 1, 1]), 4)
    batch = Batches(SHOP, 7, source).make_batch(SHOP.train, rng())
    assert batch.item_rows[:7].tolist() == SHOP.train.items.tolist()
    assert np.isin(batch.item_rows[7:], [3, 4, 5]).all()
    assert len(batch) == 7
    assert batch.pair_index is None
    assert len(batch.items["i"]) == 11


def test_batch__log_q_is_the_mixtures_own():
    source = SharedNegatives(Uniform(6), 14)
    batch = Batches(SHOP, 7, source).make_batch(SHOP.train, rng())
    share = np.array([4, 2, 1, 0, 0, 0]) / 7
    expected = (7 * share + 14 / 6) / 21
    assert np.exp(batch.log_q) == pytest.approx(expected[batch.item_rows])


def test_batch__a_hard_negative_counts_as_its_clicks():
    hard = HardNegatives(Ragged.from_counts([1, 1, 1, 1], [1, 5, 5, 5]), 1)
    batch = Batches(SHOP, 7, hard).make_batch(SHOP.train, rng())
    clicks_or_one = np.array([4, 2, 1, 1, 1, 1])
    assert np.exp(batch.log_q) == pytest.approx(clicks_or_one[batch.item_rows] / 7)
    assert np.exp(batch.negative_log_q) == pytest.approx(1)


def test_batch__lists_of_pairs_follow_the_shuffle():
    """Each training positive's list holds one item that only it has."""
    data = clicks([0, 0, 1, 1, 2], [0, 1, 2, 3, 4], n_items=10)
    lists = Ragged.from_counts([1] * 5, np.arange(5, 10))
    for batch in Batches(data, 2, HardNegatives(lists, 1, per="pair")).epoch(rng(3)):
        n = len(batch)
        assert np.array_equal(batch.item_rows[n:], batch.item_rows[:n] + 5)


@given(st.sampled_from([0.0, 0.5, 0.75]), st.integers(0, 20))
def test_positive_exponent__items_come_as_their_clicks_to_the_power(power, seed):
    batches = Batches(SHOP, 7, positive_exponent=power)
    expected = np.array([4, 2, 1, 0, 0, 0.0]) ** power * (np.arange(6) < 3)
    expected /= expected.sum()
    with np.errstate(divide="ignore"):
        assert batches.log_q == pytest.approx(np.log(expected))
    assert batches._pair_sampler is not None
    pairs = batches._pair_sampler.distribution()
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
    batch = Batches(SHOP, 2, uniform_negatives(SHOP, 1)).make_batch(pairs, rng())
    assert batch.pair_index is not None
    assert batch.pair_index.tolist() == [0, 1]
