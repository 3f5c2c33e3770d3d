"""Draws from the catalogue, and how likely each was: exact where there is a law."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shop import SHOP, clicks, rng

from minitower.data.table import Ragged
from minitower.formulas.sampling import AliasTable, Uniform
from minitower.training.named import NEGATIVES
from minitower.training.sampled_negatives import (
    SampledNegatives,
    popular_negatives,
    shared_negatives,
    uniform_negatives,
)


@st.composite
def shops(draw):
    """A few users with any clicks among a few items."""
    n_items = draw(st.integers(1, 5))
    pairs = st.tuples(st.integers(0, 3), st.integers(0, n_items - 1))
    users, items = zip(*draw(st.lists(pairs, min_size=1, max_size=8)))
    return clicks(list(users), list(items), n_items=n_items)


@given(shops(), st.integers(0, 4), st.integers(0, 99), st.booleans())
def test_sampled_negatives__never_known_and_q_is_renormalised(data, k, seed, popular):
    make = popular_negatives if popular else uniform_negatives
    source = make(data, k)
    drawn = source.draw(data.train, None, rng(seed))
    known = data.seen("valid")
    counts = np.bincount(drawn.pair_index, minlength=len(data.train))
    q = np.exp(source.sampler.log_q(np.arange(len(data.items))))
    for pair, user in enumerate(data.train.users):
        left = np.setdiff1d(np.flatnonzero(q), known.row(user))
        assert counts[pair] == (k if len(left) else 0)
        mine = drawn.pair_index == pair
        assert np.isin(drawn.items[mine], left).all()
        assert np.exp(drawn.log_q[mine]) == pytest.approx(q[drawn.items[mine]] / q[left].sum())


def test_sampled_negatives__what_is_drawn_follows_the_q_it_says():
    """User 0 knows items 0, 1 and 2 of six, popularity being 4:2:1 with one smoothed click each."""
    weights = np.array([5, 3, 2, 1, 2, 3.0])
    source = SampledNegatives(AliasTable(weights), 30_000, SHOP.seen("valid"))
    drawn = source.draw(SHOP.train.take([0]), None, rng())
    share = np.bincount(drawn.items, minlength=6) / 30_000
    expected = np.array([0, 0, 0, 1, 2, 3]) / 6
    assert np.abs(share - expected).max() < 5 * np.sqrt(0.25 / 30_000)


def test_sampled_negatives__without_known_they_may_be_positives():
    drawn = SampledNegatives(Uniform(1), 3).draw(SHOP.train, None, rng())
    assert (drawn.items == 0).all()
    assert len(drawn.items) == 3 * len(SHOP.train)
    assert np.exp(drawn.log_q) == pytest.approx(1)


def test_sampled_negatives__who_knows_everything_gets_nothing():
    data = clicks([0, 0, 1], [0, 1, 0], n_items=2)
    drawn = uniform_negatives(data, 2).draw(data.train, None, rng())
    assert drawn.pair_index.tolist() == [2, 2]
    assert drawn.items.tolist() == [1, 1]
    assert drawn.log_q.tolist() == [0, 0]


def test_sampled_negatives__who_knows_nearly_all_still_gets_k():
    """Of a thousand items user 0 knows all but two, one of which is drawn three times as often."""
    known = Ragged.from_counts([998], np.arange(998))
    weights = np.ones(1000)
    weights[999] = 3
    source = SampledNegatives(AliasTable(weights), 4000, known)
    drawn = source.draw(SHOP.train.take([0]), None, rng())
    share = np.bincount(drawn.items - 998) / 4000
    assert len(drawn.items) == 4000
    assert share == pytest.approx([0.25, 0.75], abs=5 * np.sqrt(0.25 * 0.75 / 4000))
    assert np.exp(drawn.log_q) == pytest.approx(np.array([0.25, 0.75])[drawn.items - 998])


def _draw(source):
    return source.draw(SHOP.train, None, rng())


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: SampledNegatives(Uniform(3), -1), "must be an integer within 0"),
        (
            lambda: SampledNegatives(Uniform(3), 1, Ragged.from_counts([1], [3])),
            "known items must be within 0..2, got 3",
        ),
        (
            lambda: _draw(SampledNegatives(Uniform(6), 1, Ragged.from_counts([1], [0]))),
            "users of the pairs must be within 0..0, got 0 to 3",
        ),
    ],
)
def test_sampled_negatives__refuse(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@given(shops(), st.integers(0, 9), st.integers(0, 99))
def test_shared_negatives__are_uniform_and_those_of_the_option(data, size, seed):
    """One list for the batch; as ``--negatives shared:N`` makes them, bit for bit."""
    source, named = shared_negatives(data, size), NEGATIVES["shared"](None, data, size)
    assert source.cli_option == named.cli_option == f"shared:{size}"
    drawn, again = (s.draw(data.train, None, rng(seed)) for s in (source, named))
    assert drawn.pair_index is None
    assert len(drawn.items) == size
    assert np.array_equal(drawn.items, again.items)
    assert np.exp(drawn.log_q) == pytest.approx(np.full(size, 1 / len(data.items)))
    draws = shared_negatives(data, 4000).draw(data.train, None, rng(seed)).items
    shares = np.bincount(draws, minlength=len(data.items)) / 4000
    assert shares == pytest.approx(np.full(len(data.items), 1 / len(data.items)), abs=0.05)


def test_shared_negatives__of_a_refit_cover_the_new_catalogue():
    few, more = clicks([0, 1], [0, 1], n_items=2), clicks([0, 1], [0, 1], n_items=50)
    again = shared_negatives(few, 400).rebuilt_for(None, more)
    assert again.draw(more.train, None, rng(0)).items.max() > 40
