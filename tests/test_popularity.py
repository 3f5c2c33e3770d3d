"""Every property that the docstrings of formulas/popularity.py promise."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.formulas.popularity import (
    coverage,
    gini,
    novelty,
    slices_by_items,
    slices_by_positives,
    times_recalled,
)

counts = st.lists(st.integers(0, 9), min_size=1, max_size=8).map(np.array)
some = counts.filter(lambda c: c.sum() > 0)


@given(st.lists(st.lists(st.integers(-1, 4), min_size=3, max_size=3), min_size=1, max_size=5))
def test_times_recalled__equals_naive(rows):
    flat = [item for row in rows for item in row]
    assert times_recalled(np.array(rows), 5).tolist() == [flat.count(j) for j in range(5)]


def test_counts__of_nothing_are_empty():
    assert times_recalled(np.empty((0, 2), int), 0).tolist() == []
    slices = slices_by_items(np.array([0, 1]), [0.5])
    assert slices.count(np.empty(0, int), np.empty(0, int), 0).shape == (0, 2)


@given(counts)
def test_coverage__equals_naive(times):
    assert coverage(times) == sum(t > 0 for t in times) / len(times)


@given(st.integers(1, 9), st.integers(1, 9))
def test_gini__zero_when_even(m, each):
    assert gini(np.full(m, each)) == 0


@given(st.integers(1, 9), st.integers(1, 9))
def test_gini__one_item_takes_all(m, each):
    assert gini(np.eye(m, dtype=int)[0] * each) == pytest.approx(1 - 1 / m)


@given(some)
def test_gini__equals_mean_difference(times):
    """Half the mean absolute difference of two items, in units of the mean."""
    difference = np.abs(times[:, None] - times).mean()
    assert gini(times) == pytest.approx(difference / (2 * times.mean()), abs=1e-12)


@given(some, st.integers(1, 50))
def test_gini__scale_invariant(times, factor):
    assert gini(times * factor) == pytest.approx(gini(times), abs=1e-12)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), min_size=1, max_size=8))
def test_novelty__equals_naive(pairs):
    times, clicks = np.array([*pairs, (1, 1)]).T
    bits = [-math.log2(max(c, 1) / clicks.sum()) for c in clicks.tolist()]
    expected = sum(t * b for t, b in zip(times.tolist(), bits)) / times.sum()
    assert novelty(times, clicks) == pytest.approx(expected, abs=1e-12)


def test_variety__of_numbers_whose_products_overflow():
    many = np.array([0, 2**61] + [0] * 10)
    assert gini(many) == gini(many >> 60) == pytest.approx(11 / 12)
    half = np.array([2**62, 2**62])
    assert novelty(half, half) == 1
    with pytest.raises(ValueError, match="too many to count"):
        slices_by_positives(np.array([1, 2, 3]), np.full(3, 2**61), 3)
    most = np.array([2**61])
    assert slices_by_positives(np.array([1]), most, 1).of_item.tolist() == [1]
    with pytest.raises(ValueError, match="too many to count"):
        slices_by_positives(np.array([1]), most + 1024, 1)
    with pytest.raises(ValueError, match="recalled, of m = 3 items, must be within"):
        times_recalled(np.array([[3]]), 3)
    with pytest.raises(ValueError, match=r"m must be an integer within 0\.\.2147483647"):
        times_recalled(np.array([[3]]), 2**31)


@given(some, st.integers(1, 9))
def test_novelty__uniform_clicks_give_log2_m(times, each):
    assert novelty(times, np.full(len(times), each)) == pytest.approx(math.log2(len(times)))


@pytest.mark.parametrize("metric", [coverage, gini, lambda t: novelty(t, np.ones(1, int))])
@pytest.mark.parametrize("times", [[], [-1], [0.5], [[1]]])
def test_variety__refuses(metric, times):
    with pytest.raises(ValueError, match="times must be integers"):
        metric(np.array(times))


def test_variety__undefined_without_recalls():
    with pytest.raises(ValueError, match="times are all 0"):
        gini(np.zeros(3, int))
    with pytest.raises(ValueError, match="sums 0 and 3"):
        novelty(np.zeros(3, int), np.ones(3, int))
    with pytest.raises(ValueError, match="equally long"):
        novelty(np.ones(2, int), np.ones(3, int))


# Popularity slices --------------------------------------------------------------------

catalogues = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, 6)), min_size=1, max_size=30
).map(lambda pairs: np.array(pairs).T)


def rarest_first(clicks):
    return sorted(np.flatnonzero(clicks).tolist(), key=lambda j: (clicks[j], j))


@given(catalogues, st.integers(1, 6))
def test_slices__popularity_never_decreases(catalogue, s):
    clicks, positives = catalogue
    cuts = np.arange(1, s) / s
    for slices in (slices_by_positives(clicks, positives, s), slices_by_items(clicks, cuts)):
        assert np.all(np.diff(slices.of_item[rarest_first(clicks)]) >= 0)


@given(catalogues, st.integers(1, 6))
def test_slices_by_positives__shares_are_equal(catalogue, s):
    """Each cut is at most half an item away from its exact place."""
    clicks, positives = catalogue
    slices = slices_by_positives(clicks, positives, s)
    total = positives[clicks > 0].sum()
    share = slices.count(np.repeat(np.arange(len(clicks)), positives), np.zeros(
        positives.sum(), dtype=int), 1)[0]  # fmt: skip
    heaviest = positives.max()
    assert share[1:].sum() == total
    assert np.all(share[1:] <= total / s + heaviest)
    if total > heaviest * s:  # then no slice can be swallowed by one item
        assert len(share) == s + 1
        cuts = share[1:].cumsum()[:-1]
        assert np.all(np.abs(cuts - total / s * np.arange(1, s)) <= heaviest / 2)


@given(catalogues, st.integers(1, 6))
def test_slices__new_items_have_their_own_slice(catalogue, s):
    clicks, positives = catalogue
    for slices in (slices_by_positives(clicks, positives, s), slices_by_items(clicks, (0.5,))):
        assert np.array_equal(slices.of_item == 0, clicks == 0)
        assert slices.items.sum() == len(clicks)
        assert slices.items[1:].all()  # no other slice is empty
        assert slices.clicks[0].tolist() == [0, 0]
        for label, (low, high) in list(enumerate(slices.clicks.tolist()))[1:]:
            inside = clicks[slices.of_item == label]
            assert (low, high) == (inside.min(), inside.max())


def test_slices__read_as_stated():
    slices = slices_by_positives(np.array([9, 1, 0, 2, 2]), np.array([3, 1, 4, 1, 1]), 2)
    assert slices.of_item.tolist() == [2, 1, 0, 1, 1]
    assert slices.names == ("new", "1-2 clicks", "9 clicks")
    assert slices.items.tolist() == [1, 3, 1]


def test_slices_by_positives__one_positive_cannot_be_shared():
    """Items behind it go with it, not to a slice that finds nothing."""
    slices = slices_by_positives(np.array([1, 2, 3]), np.array([1, 0, 0]), 2)
    assert slices.of_item.tolist() == [1, 1, 1]


@given(st.integers(1, 200), st.lists(st.integers(1, 99), min_size=1, max_size=4, unique=True))
def test_slices_by_items__sizes_follow_the_quantiles(m, percents):
    quantiles = np.sort(percents) / 100
    sizes = slices_by_items(np.arange(1, m + 1), quantiles).items[1:]
    edges = np.concatenate([[0], quantiles, [1]])
    expected = np.diff(np.rint(edges * m))
    assert sizes.tolist() == expected[expected > 0].tolist()


@pytest.mark.parametrize("quantiles", [(0.0,), (1.0,), (0.5, 0.5), (0.8, 0.2), 0.5])
def test_slices_by_items__refuses(quantiles):
    with pytest.raises(ValueError, match="quantiles must increase"):
        slices_by_items(np.array([1, 2]), quantiles)


def test_slices_by_positives__refuses():
    with pytest.raises(ValueError, match="slices must be an integer of at least 1"):
        slices_by_positives(np.array([1]), np.array([1]), 0)
    with pytest.raises(ValueError, match="equally long"):
        slices_by_positives(np.array([1]), np.array([1, 2]), 1)


@given(some, st.integers(1, 5))
def test_slices__have_distinct_names(clicks, slices):
    """A report is looked up by name: ties in clicks must not make two slices one."""
    names = slices_by_positives(clicks, np.ones(len(clicks), int), slices).names
    assert len(set(names)) == len(names)


def test_slices__ties_are_numbered():
    clicks = np.array([1, 1, 1, 1, 2, 2])
    names = slices_by_positives(clicks, np.ones(6, int), 3).names
    assert names == ("new", "1 click", "1 click (2)", "2 clicks")


def test_slices__ties_go_by_row():
    """Of a thousand equals, the first hundred are the least popular tenth."""
    slices = slices_by_items(np.ones(1000, int), [0.1])
    assert slices.count(np.arange(100), np.zeros(100, int), 1).tolist() == [[0, 100, 0]]
