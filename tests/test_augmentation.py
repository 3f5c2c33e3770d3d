"""Every property that the docstrings of formulas/augmentation.py promise."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import chisquare

from minitower.formulas.augmentation import (
    complementary_masks,
    correlated_masks,
    drop_values,
    random_mask,
)

seeds = st.integers(0, 2**32).map(np.random.default_rng)
sizes = st.integers(0, 6)
MANY = 12_000


def pairwise_mi_of(k):
    return arrays(float, (k, k), elements=st.integers(0, 3).map(float))


def assert_even(choices, kinds):
    """Rows of 0 and 1: each kind is there, none more often than chance allows."""
    seen = {tuple(kind): 0 for kind in kinds}
    found, times = np.unique(choices, axis=0, return_counts=True)
    for choice, count in zip(found.tolist(), times.tolist()):
        seen[tuple(choice)] += count  # a choice that should not be raises
    assert chisquare(list(seen.values())).pvalue > 1e-3


def choices_of(k, hidden):
    """All ways to hide so many of k."""
    return [[j in chosen for j in range(k)] for chosen in itertools.combinations(range(k), hidden)]


@given(seeds, sizes, st.integers(1, 6), st.booleans(), st.data())
def test_random_mask__hides_the_stated_number(rng, n, k, per_item, data):
    hidden = data.draw(st.integers(0, k - 1))
    mask = random_mask(rng, n, k, hidden, per_item=per_item)
    assert mask.shape == (n, k)
    assert mask.dtype == bool
    assert np.all(mask.sum(axis=1) == hidden)


@pytest.mark.parametrize("k, hidden", [(4, 1), (4, 2), (5, 3)])
def test_random_mask__every_choice_is_equally_likely(k, hidden):
    mask = random_mask(np.random.default_rng(0), MANY, k, hidden)
    assert_even(mask, choices_of(k, hidden))


@given(seeds, st.integers(1, 6))
def test_masks__one_for_the_batch(rng, n):
    related = np.arange(25.0).reshape(5, 5)
    masks = [
        random_mask(rng, n, 5, 2, per_item=False),
        *complementary_masks(rng, n, 5, per_item=False),
        *correlated_masks(rng, n, related),
    ]
    for mask in masks:
        assert mask.shape == (n, 5)
        assert np.all(mask == mask[0])
    again = {tuple(random_mask(rng, n, 5, 2, per_item=False)[0]) for _ in range(40)}
    assert len(again) > 1  # a new one for the next batch


@pytest.mark.parametrize("per_item", [True, False])
def test_masks__same_seed_same_masks(per_item):
    related = np.arange(16.0).reshape(4, 4)
    for draw in (
        lambda rng: random_mask(rng, 7, 4, 2, per_item=per_item),
        lambda rng: complementary_masks(rng, 7, 4, per_item=per_item),
        lambda rng: correlated_masks(rng, 7, related, per_item=per_item),
    ):
        first, second = (draw(np.random.default_rng(5)) for _ in range(2))
        assert np.array_equal(first, second)


@given(seeds, sizes, st.integers(2, 7), st.booleans())
def test_complementary_masks__split_the_fields_in_halves(rng, n, k, per_item):
    first, second = complementary_masks(rng, n, k, per_item=per_item)
    assert np.array_equal(first, ~second)
    assert np.all(first.sum(axis=1) == k // 2)


@pytest.mark.parametrize("k", [2, 4, 5])
def test_complementary_masks__every_choice_is_equally_likely(k):
    first, _ = complementary_masks(np.random.default_rng(0), MANY, k)
    assert_even(first, choices_of(k, k // 2))


def naive_group(related, seed, relatives):
    """The seed and those of the others with most information about it, the first of equals."""
    others = [j for j in range(len(related)) if j != seed]
    return {seed, *sorted(others, key=lambda j: (-related[seed][j], j))[:relatives]}


@given(seeds, sizes, st.integers(3, 7).flatmap(pairwise_mi_of), st.booleans(), st.booleans())
def test_correlated_masks__hides_the_seed_and_its_most_related(rng, n, related, up, per_item):
    k = len(related)
    relatives = math.ceil(k / 2) if up else k // 2
    assume(1 + relatives < k)
    before = related.copy()
    rounding = "ceil" if up else "floor"
    first, second = correlated_masks(rng, n, related, rounding=rounding, per_item=per_item)
    assert np.array_equal(related, before)
    assert np.array_equal(first, ~second)
    assert np.all(first.sum(axis=1) == relatives + 1)
    groups = [naive_group(related.tolist(), seed, relatives) for seed in range(k)]
    for row in first:
        assert set(np.flatnonzero(row)) in groups


def test_correlated_masks__every_seed_is_equally_likely():
    """Around a ring of fields each seed has a group of its own."""
    k = 5
    apart = (np.arange(k) - np.arange(k)[:, None]) % k
    related = np.where(apart == 0, 0.0, k - apart)  # the next on the ring is the closest
    first, _ = correlated_masks(np.random.default_rng(0), MANY, related, per_item=True)
    groups = [[(j - seed) % k <= k // 2 for j in range(k)] for seed in range(k)]
    assert_even(first, groups)
    batches = np.random.default_rng(1)
    by_batch = np.vstack([correlated_masks(batches, 2, related)[0][:1] for _ in range(1500)])
    assert_even(by_batch, groups)


def test_correlated_masks__the_seed_is_hidden_whatever_the_diagonal():
    related = np.ones((4, 4)) - 9 * np.eye(4)
    first, _ = correlated_masks(np.random.default_rng(0), 400, related, per_item=True)
    assert first[:, 3].any()  # last among equals: only as the seed itself


def test_correlated_masks__of_equals_the_first_are_closer():
    equal = np.zeros((40, 40))  # more than a few: an unstable sort keeps short lists in order
    first, _ = correlated_masks(np.random.default_rng(0), 50, equal, per_item=True)
    groups = [naive_group(equal, seed, 20) for seed in range(40)]
    assert all(set(np.flatnonzero(row)) in groups for row in first)


def test_correlated_masks__mutual_information_may_be_integers():
    related = np.array([[0, 9, 1], [9, 0, 1], [1, 1, 0]])
    first, _ = correlated_masks(np.random.default_rng(0), 200, related, per_item=True)
    assert {tuple(row) for row in first.tolist()} == {(True, True, False), (True, False, True)}


@pytest.mark.parametrize("k, floor, ceil", [(4, 3, 3), (5, 3, 4), (6, 4, 4), (7, 4, 5)])
def test_correlated_masks__floor_and_ceil_differ_for_odd_numbers(k, floor, ceil):
    for rounding, hidden in (("floor", floor), ("ceil", ceil)):
        rng = np.random.default_rng(0)
        first, second = correlated_masks(rng, 3, np.eye(k), rounding=rounding)
        assert first.sum(axis=1).tolist() == [hidden] * 3
        assert second.sum(axis=1).tolist() == [k - hidden] * 3


bags = st.lists(st.lists(st.integers(0, 5), max_size=6), max_size=5)
rates = st.floats(0, 1, exclude_max=True)


def csr(rows):
    return np.cumsum([0, *map(len, rows)]), np.array([v for row in rows for v in row], np.int32)


def is_subsequence(part, full):
    rest = iter(full)
    return all(value in rest for value in part)


@given(seeds, bags, rates)
@example(np.random.default_rng(0), [[0], [1, 2, 3]], 1 - 2**-53)
def test_drop_values__drops_the_stated_number(rng, rows, rate):
    indptr, values = csr(rows)
    kept_indptr, kept = drop_values(rng, indptr, values, rate)
    assert kept.dtype == values.dtype
    assert len(kept_indptr) == len(rows) + 1
    assert kept_indptr[0] == 0
    assert kept_indptr[-1] == len(kept)
    for i, row in enumerate(rows):
        rest = kept[kept_indptr[i] : kept_indptr[i + 1]].tolist()
        assert len(rest) == len(row) - math.floor(rate * len(row))
        assert bool(rest) == bool(row)  # at least one stays
        assert is_subsequence(rest, row)


def test_drop_values__leaves_its_arguments_alone():
    indptr, values = csr([[1, 2, 3], [4, 5]])
    indptr.flags.writeable = values.flags.writeable = False
    _, kept = drop_values(np.random.default_rng(0), indptr, values, 0.0)
    assert not np.shares_memory(kept, values)  # "new arrays", also where nothing is dropped


@given(seeds, st.lists(st.lists(st.integers(0, 5), max_size=1), max_size=5), rates)
def test_drop_values__keeps_single_values(rng, rows, rate):
    indptr, values = csr(rows)
    kept_indptr, kept = drop_values(rng, indptr, values, rate)
    assert np.array_equal(kept_indptr, indptr)
    assert np.array_equal(kept, values)


@pytest.mark.parametrize("length, rate", [(2, 0.5), (4, 0.5), (5, 0.5), (5, 0.7)])
def test_drop_values__every_choice_is_equally_likely(length, rate):
    """In rows of other lengths, too."""
    rows = [range(length), range(3)] * 5000
    indptr, kept = drop_values(np.random.default_rng(0), *csr(rows), rate)
    stays = np.zeros((5000, length), bool)
    of_row = np.repeat(np.arange(len(rows)), np.diff(indptr))
    long = of_row % 2 == 0
    stays[of_row[long] // 2, kept[long]] = True
    assert_even(stays, choices_of(length, length - math.floor(rate * length)))


def test_drop_values__the_lectures_example():
    """{beauty, photography} keeps one of them."""
    seen = {tuple(drop_values(np.random.default_rng(s), *csr([[0, 1]]))[1]) for s in range(20)}
    assert seen == {(0,), (1,)}


RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: random_mask(RNG, 2, 3, 3), "hiding 3 of 3 fields leaves no view"),
        (lambda: random_mask(RNG, 2, 3, -1), "hidden must be"),
        (lambda: random_mask(RNG, 2, 0, 0), "hiding 0 of 0"),
        (lambda: complementary_masks(RNG, 2, 1), "k must be an integer within 2"),
        (lambda: correlated_masks(RNG, 2, np.eye(2)), "keep nothing"),
        (lambda: correlated_masks(RNG, 2, np.eye(1)), "keep nothing"),
        (lambda: correlated_masks(RNG, 2, np.eye(3), rounding="ceil"), r"\(ceil\) are all of 3"),
        (lambda: correlated_masks(RNG, 2, np.ones((3, 4))), r"\(k,k\) matrix, got shape \(3, 4\)"),
        (lambda: correlated_masks(RNG, 2, np.ones(3)), "finite"),
        (lambda: correlated_masks(RNG, 2, np.full((4, 4), np.nan)), "were not measured"),
        (lambda: correlated_masks(RNG, 2, np.eye(4), rounding="up"), "^rounding must be"),
        (lambda: drop_values(RNG, [0, 1], [5], 1.0), "rate must be"),
        (lambda: drop_values(RNG, [0, 1], [5], -0.1), "rate must be"),
        (lambda: drop_values(RNG, [0, 1], [5], math.nan), "rate must be"),
        (lambda: drop_values(RNG, [0, 2], [5]), "indptr must rise"),
        (lambda: drop_values(RNG, [1, 1], [5]), "indptr must rise"),
        (lambda: drop_values(RNG, [0, 1], [[5]]), "must be vectors, got shapes"),
        (lambda: drop_values(RNG, [[0, 1]], [5]), "must be vectors, got shapes"),
        (lambda: drop_values(RNG, np.empty(0, int), [5]), "must be vectors, got shapes"),
        (lambda: drop_values(RNG, np.array([0, 2, 1], np.uint8), [5]), "indptr must rise"),
    ],
)
def test_augmentation__refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_drop_values__the_share_is_the_written_one():
    """0.29 * 100 is 28.999999999999996 in floats; 29 values go all the same."""
    for rate in (0.29, 0.57):
        indptr, _ = drop_values(RNG, np.array([0, 100]), np.arange(100), rate)
        assert indptr[1] == 100 - round(100 * rate)


def test_correlated_masks__three_fields_keep_one():
    first, second = correlated_masks(np.random.default_rng(0), 4, np.eye(3))
    assert first.sum(axis=1).tolist() == [2] * 4
    assert second.sum(axis=1).tolist() == [1] * 4
