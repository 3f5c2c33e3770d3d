"""Draws from lists, and from the ranks of the model itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shop import SHOP, clicks, rng, untrained

from minitower.data.table import Ragged
from minitower.training.hard_negatives import HardNegatives, MinedNegatives, exposed_negatives


@given(st.integers(0, 99), st.integers(0, 3), st.sampled_from(["user", "pair"]))
def test_hard_negatives__come_from_the_own_list(seed, k, of):
    lists = Ragged.from_counts([2, 0, 1, 3, 1, 1, 1], [4, 5, 3, 1, 2, 3, 0, 1, 2])
    positions = np.array([6, 0, 1, 3])
    pairs = SHOP.train.take(positions)
    drawn = HardNegatives(lists, k, per=of).draw(pairs, positions, rng(seed))
    rows = pairs.users if of == "user" else positions
    counts = np.bincount(drawn.pair_index, minlength=4)
    for pair, row in enumerate(rows):
        mine = drawn.pair_index == pair
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
        assert set(drawn.items[drawn.pair_index == pair]) == set(ranked)


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
    assert set(drawn.pair_index) == {3}  # user 0 knows all items
    assert set(drawn.items) <= {1, 2}


def test_lists_of_pairs_need_positions():
    source = HardNegatives(Ragged.from_counts([1] * 7, [0] * 7), 1, per="pair")
    with pytest.raises(ValueError, match="training positives"):
        source.draw(SHOP.train, None, rng())


def _draw(source):
    return source.draw(SHOP.train, None, rng())


@pytest.mark.parametrize(
    "make, message",
    [
        (
            lambda: HardNegatives(Ragged.from_counts([1], [-1]), 1),
            "^lists must hold rows of items, got row -1$",
        ),
        (
            lambda: _draw(HardNegatives(Ragged.from_counts([1], [0]), 1)),
            "user rows with a list must be within 0..0, got 0 to 3",
        ),
        (
            lambda: HardNegatives(Ragged.from_counts([1], [0]), 1, per="item"),
            "per must be user or pair",
        ),
        (
            lambda: MinedNegatives(untrained(SHOP), SHOP, 1, first=3, last=2),
            "first <= last",
        ),
        (lambda: MinedNegatives(untrained(SHOP), SHOP, 1, first=7), "beyond the 6 items"),
    ],
)
def test_hard_negatives__refuse(make, message):
    with pytest.raises(ValueError, match=message):
        make()
