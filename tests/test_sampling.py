"""Every property that the docstrings of formulas/sampling.py promise."""

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from minitower.formulas.draw_probability import log_mixture
from minitower.formulas.sampling import AliasTable, Mixture, Uniform, power_law

weights = (
    st.lists(st.integers(0, 9), min_size=1, max_size=12)
    | st.lists(st.just(0.0) | st.floats(1e-300, 1e300), min_size=1, max_size=12)
    | st.lists(st.floats(0.999, 1.001), min_size=1, max_size=30)
).filter(any)
clicks = st.lists(st.just(0.0) | st.floats(1e-3, 1e12), min_size=1, max_size=12).filter(any)
betas = st.floats(0, 3)
proper = st.lists(st.floats(0.01, 1), min_size=2, max_size=5).map(lambda w: np.array(w) / sum(w))


class Grid:
    """In place of a random generator: every slot with each of `steps` evenly spaced numbers."""

    def __init__(self, slots, steps):
        slot, step = np.meshgrid(np.arange(slots), np.arange(steps), indexing="ij")
        self.slot, self.uniform = slot.ravel(), (step.ravel() + 0.5) / steps

    def integers(self, high, size):
        assert high == self.slot.max() + 1
        return self.slot

    def random(self, size):
        return self.uniform


class Always:
    """A sampler that knows one item."""

    def __init__(self, item, K):
        self.item, self.K = item, K

    def __len__(self):
        return self.K

    def draw(self, rng, size):
        return np.full(size, self.item), np.zeros(size)

    def log_q(self, ids):
        return np.where(np.asarray(ids) == self.item, 0.0, -np.inf)


def naive_shares(values):
    return [v / math.fsum(values) for v in values]


# Power law ------------------------------------------------------------------------------


@given(clicks, betas)
def test_power_law__equals_naive(counts, beta):
    powers = [Decimal(c) ** Decimal(beta) if c else Decimal(0) for c in counts]
    naive = [float(power / sum(powers)) for power in powers]
    assert power_law(counts, beta) == pytest.approx(naive, rel=1e-13)


@given(clicks)
def test_power_law__one_is_the_clicks(counts):
    assert power_law(counts, 1) == pytest.approx(naive_shares(counts), rel=1e-14)


@given(clicks)
def test_power_law__zero_is_uniform_over_the_clicked(counts):
    clicked = np.array(counts) > 0
    assert power_law(counts, 0) == pytest.approx(clicked / clicked.sum())
    assert power_law(counts, 1e-9) == pytest.approx(power_law(counts, 0), abs=1e-7)  # its limit


@given(st.lists(st.integers(0, 99), min_size=2, max_size=8).filter(any), betas)
def test_power_law__keeps_order(counts, beta):
    p = power_law(counts, beta)
    assert np.all(np.diff(p[np.argsort(counts, kind="stable")]) >= 0)


@given(st.lists(st.integers(0, 99), min_size=1, max_size=8).filter(any), betas, st.floats(0.1, 9))
def test_power_law__scale_of_counts_changes_nothing(counts, beta, scale):
    scaled = power_law(scale * np.array(counts), beta)
    assert scaled == pytest.approx(power_law(counts, beta), abs=1e-14)


def test_power_law__default_is_the_lectures():
    p = power_law([16, 1])
    assert p[0] / p[1] == pytest.approx(8)


def test_shares__of_float32_are_float64():
    counts = np.array([1, 2, 4], np.float32)
    assert power_law(counts).dtype == AliasTable(counts).keep.dtype == np.float64


def test_power_law__a_large_beta_leaves_the_most_clicked():
    assert power_law([3, 2, 3, 0], 1e4).tolist() == [0.5, 0, 0.5, 0]


# Alias table ----------------------------------------------------------------------------


@given(weights)
def test_alias_table__rebuilds_p(p):
    """Added up slot by slot, without the class's own sum."""
    table = AliasTable(p)
    returned = [[] for _ in p]
    for slot, (keep, alias) in enumerate(zip(table.keep, table.alias, strict=True)):
        assert 0 <= keep <= 1
        returned[slot].append(keep)
        returned[alias].append(1 - keep)
    rebuilt = [math.fsum(parts) / len(p) for parts in returned]
    shares = naive_shares([w / max(p) for w in p])
    assert rebuilt == pytest.approx(shares, abs=1e-15 * len(p))
    assert table.distribution() == pytest.approx(shares, abs=1e-15 * len(p))


@given(weights)
def test_alias_table__zeros_are_never_drawn(p):
    table, zero = AliasTable(p), np.array(p) == 0
    assert not table.keep[zero].any()
    assert not np.isin(np.flatnonzero(zero), table.alias).any()
    assert np.all(table.log_q(np.flatnonzero(zero)) == -np.inf)


def test_alias_table__zeros_are_never_drawn_by_a_uniform_number_of_zero():
    lowest = Grid(2, 1)
    lowest.uniform = np.zeros(2)
    assert AliasTable([0, 1]).draw(lowest, 2)[0].tolist() == [1, 1]


@given(weights)
def test_alias_table__leftovers_are_one(p):
    """A slot that names itself keeps itself, and some slot does."""
    table = AliasTable(p)
    itself = table.alias == np.arange(len(p))
    assert itself.any()
    assert np.array_equal(itself, table.keep == 1)


@pytest.mark.parametrize("K", [1, 3, 7, 49, 1000])
def test_alias_table__even_slots_need_no_alias(K):
    """K / K times 1 / K may round below 1: nobody may be left at 0.999..."""
    assert np.all(AliasTable(np.full(K, 0.1)).keep == 1)


@st.composite
def whole_counts(draw):
    """Counts that sum to K * steps, so that every slot keeps a multiple of 1 / steps."""
    K, steps = draw(st.integers(1, 8)), draw(st.integers(1, 12))
    cuts = sorted(draw(st.lists(st.integers(0, K * steps), min_size=K - 1, max_size=K - 1)))
    return np.diff([0, *cuts, K * steps]), steps


@given(whole_counts())
def test_alias_table__draws_what_it_says(case):
    """Not a sample: every outcome of the two uniform numbers, once."""
    counts, steps = case
    table = AliasTable(counts)
    ids, log_q = table.draw(Grid(len(counts), steps), len(counts) * steps)
    assert np.bincount(ids, minlength=len(counts)).tolist() == counts.tolist()
    assert np.exp(log_q) == pytest.approx(counts[ids] / counts.sum(), rel=1e-13)
    assert np.array_equal(log_q, table.log_q(ids))


def test_alias_table__frequencies_follow_p():
    p = power_law(np.arange(50))
    ids, _ = AliasTable(p).draw(np.random.default_rng(0), 200_000)
    seen = np.bincount(ids, minlength=50)
    assert seen[0] == 0
    assert chisquare(seen[1:], 200_000 * p[1:]).pvalue > 1e-3


@pytest.mark.parametrize("exponent", [0.0, 1.0, 3.0])
def test_alias_table__a_million_items(exponent):
    p = np.random.default_rng(0).permutation(np.arange(1.0, 1_000_001) ** -exponent)
    p[::10] = 0
    table = AliasTable(p)
    assert np.abs(table.distribution() - p / math.fsum(p)).max() < 1e-13
    assert not table.keep[::10].any()
    assert p[table.alias].all()


@pytest.mark.parametrize("low", np.linspace(0.01, 0.99, 33))
def test_alias_table__where_sums_do_not_meet(low):
    """What rounding lacks or leaves over at the end moves nobody who has just enough."""
    enough = np.r_[:9, 30_009:30_018]
    p = np.repeat([1, low, 3 - 2 * low, 1], [9, 20_000, 10_000, 9])
    table = AliasTable(p)
    assert np.all(table.keep[enough] == 1)
    assert np.array_equal(table.alias[enough], enough)
    assert table.keep.min() > 0
    assert table.keep.max() == 1
    assert table.distribution() == pytest.approx(p / len(p), abs=1e-13)


def test_alias_table__rounding_may_leave_nothing_to_spare():
    """Two items lack a little, and the third, at 1 - 1e-16, has nothing to give."""
    table = AliasTable(1 - np.array([3, 3, 1]) * 2.0**-52)
    assert table.distribution() == pytest.approx([1 / 3] * 3, rel=1e-15)


def test_alias_table__the_sum_may_overflow():
    assert AliasTable([1e308, 1e308]).distribution().tolist() == [0.5, 0.5]


SAMPLERS = [
    AliasTable([1, 2, 3]),
    Uniform(3),
    Mixture([(0.5, Uniform(3)), (0.5, AliasTable([0, 0, 1]))]),
]


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("size", [0, 5, (2, 3), (2, 0)])
def test_samplers__shape_and_seed(sampler, size):
    ids, log_q = sampler.draw(np.random.default_rng(3), size)
    again, _ = sampler.draw(np.random.default_rng(3), size)
    assert ids.shape == log_q.shape == np.empty(size).shape
    assert ids.dtype == np.int64
    assert log_q.dtype == float
    assert np.array_equal(ids, again)
    assert len(sampler) == 3
    assert np.array_equal(log_q, sampler.log_q(ids))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_samplers__q_sums_to_one(sampler):
    assert np.exp(sampler.log_q(np.arange(3))).sum() == pytest.approx(1, abs=1e-15)


def test_uniform__one_item_is_a_catalogue():
    ids, log_q = Uniform(1).draw(np.random.default_rng(0), 3)
    assert ids.tolist() == log_q.tolist() == [0, 0, 0]


def test_uniform__draws_every_item_alike():
    ids, log_q = Uniform(5).draw(Grid(5, 2), 10)
    assert np.bincount(ids).tolist() == [2] * 5
    assert log_q == pytest.approx(np.full(10, math.log(1 / 5)))


# Mixtures -------------------------------------------------------------------------------


@given(whole_counts())
def test_mixture__draws_what_it_says(case):
    """Each part is asked in exactly its share of all outcomes of the choice between them."""
    counts, steps = case
    K = len(counts)
    mixture = Mixture([(count, Always(K - 1 - j, K)) for j, count in enumerate(counts)])
    ids, log_q = mixture.draw(Grid(K, steps), K * steps)
    asked = np.bincount(K - 1 - ids, minlength=K)
    assert asked.tolist() == counts.tolist()
    assert np.exp(log_q) == pytest.approx(asked[K - 1 - ids] / counts.sum(), rel=1e-12)


@given(proper, proper.filter(lambda p: len(p) > 1), st.floats(0, 1))
def test_mixture__log_q_is_that_of_the_mixture(p, other, share):
    """Of every item, whichever part it came from."""
    K = len(p)
    q = np.resize(other, K) / np.resize(other, K).sum()
    mixture = Mixture([(share, AliasTable(p)), (1 - share, AliasTable(q))])
    ids, log_q = mixture.draw(np.random.default_rng(0), (20, 3))
    assert np.exp(log_q) == pytest.approx((share * p + (1 - share) * q)[ids], rel=1e-12)


def test_mixture__one_part_is_that_part():
    alone, table = Mixture([(7, AliasTable([1, 2, 0]))]), AliasTable([1, 2, 0])
    assert alone.log_q(np.arange(3)) == pytest.approx(table.log_q(np.arange(3)))
    never = Mixture([(0, Uniform(2)), (1, Always(1, 2))])
    assert never.draw(np.random.default_rng(0), 9)[0].tolist() == [1] * 9


def test_mixture__frequencies_follow_its_q():
    mixture = Mixture([(1, AliasTable([4, 2, 1, 0])), (3, Uniform(4))])
    ids, _ = mixture.draw(np.random.default_rng(1), 100_000)
    expected = np.exp(mixture.log_q(np.arange(4)))
    assert chisquare(np.bincount(ids, minlength=4), 100_000 * expected).pvalue > 1e-3


# The other meanings of q ----------------------------------------------------------------


def test_power_law__zero_is_uniform_over_the_clicked_however_rare():
    assert power_law([1e-320, 1e308, 0], 0).tolist() == [0.5, 0.5, 0]


BAD = [([], "shape"), ([-1, 2], "from -1"), ([0, 0], "not all zero"), ([1, np.nan], "finite"),
       ([1, np.inf], "finite"), ([[1]], "vector"), (3.0, "vector")]  # fmt: skip


@pytest.mark.parametrize("make", [power_law, AliasTable, lambda p: log_mixture([[0.0]], p)])
@pytest.mark.parametrize("values, message", BAD)
def test_shares__refuse(make, values, message):
    with pytest.raises(ValueError, match=message):
        make(values)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: power_law([1], -0.5), "beta"),
        (lambda: power_law([1], math.inf), "beta"),
        (lambda: power_law([]), "counts must"),
        (lambda: power_law([1], math.nan), "beta"),
        (lambda: Uniform(0), "K must be an integer of at least 1"),
        (lambda: Mixture([]), "shares|p must be"),
        (lambda: Mixture([(1, Uniform(2)), (1, Uniform(3))]), r"different sizes, \[2, 3\]"),
        (lambda: Uniform(3).log_q(np.array([0, 3])), "ids must be within 0..2"),
        (lambda: AliasTable([1, 2]).log_q(np.array([-1])), "ids must be within 0..1"),
    ],
)
def test_sampling__refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()
