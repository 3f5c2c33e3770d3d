"""Every property that the docstrings of formulas/draw_probability.py promise."""

import itertools
import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minitower.formulas.draw_probability import (
    log_expected_count,
    log_inclusion_probability,
    log_mixture,
    log_q_from_expected_count,
    log_q_from_inclusion_probability,
    log_q_without_positive,
)

proper = st.lists(st.floats(0.01, 1), min_size=2, max_size=5).map(lambda w: np.array(w) / sum(w))


@given(proper, st.integers(1, 9), st.integers(0, 9))
def test_log_mixture__counts_negatives_of_mixed_negative_sampling(q, batch, extra):
    """B clicks and B' uniform draws hold item j B q_j + B'/K times, on average."""
    K = len(q)
    mixture = log_mixture([np.log(q), np.full(K, -math.log(K))], [batch, extra])
    count = np.exp(log_expected_count(mixture, batch + extra))
    assert count == pytest.approx(batch * q + extra / K, rel=1e-12)


@given(st.data(), st.lists(st.floats(0.1, 5), min_size=1, max_size=4))
def test_log_mixture__equals_naive(data, shares):
    log_qs = [data.draw(st.lists(st.floats(-9, 0), min_size=2, max_size=2)) for _ in shares]
    naive = [
        math.log(sum(s * math.exp(part[j]) for s, part in zip(shares, log_qs)) / sum(shares))
        for j in range(2)
    ]
    assert log_mixture(log_qs, shares) == pytest.approx(naive, abs=1e-13)


@given(proper, st.floats(0.1, 5), st.floats(1e-9, 1e9))
def test_log_mixture__scale_of_shares_changes_nothing(q, share, scale):
    log_qs, shares = [np.log(q), np.log(q[::-1])], np.array([share, 1.0])
    scaled = log_mixture(log_qs, scale * shares)
    assert scaled == pytest.approx(log_mixture(log_qs, shares), abs=1e-14)


@pytest.mark.parametrize("log_qs", [-1.0, np.array(-1.0), np.array("x")])
def test_log_mixture__refuses_what_is_no_list(log_qs):
    with pytest.raises(ValueError, match="log_qs must be a list of arrays"):
        log_mixture(log_qs, [1])


def test_log_mixture__far_below_underflow():
    assert log_mixture([[-1e4], [-1e4]], [1, 3]).tolist() == [-1e4]
    assert log_mixture([[-np.inf], [-2.0]], [1, 1]) == pytest.approx([-2 - math.log(2)])
    assert log_mixture([[-np.inf], [-np.inf]], [1, 1]).tolist() == [-np.inf]
    assert log_mixture([[0.0], [-2.0]], [0, 1]).tolist() == [-2.0]


@given(proper)
def test_log_q_without_positive__sums_to_one_over_the_others(q):
    others = log_q_without_positive(np.log(q)[None], np.log(q)[:, None])
    off_diagonal = ~np.eye(len(q), dtype=bool)
    assert np.exp(others).sum(axis=1, where=off_diagonal) == pytest.approx(1, abs=1e-12)


def test_log_q_without_positive__equals_rejection():
    """Throwing away the positive at most r times leaves it with q^r, the others with the rest."""
    q, positive = np.array([0.5, 0.3, 0.2]), 0
    accepted = sum(q[positive] ** tries * q for tries in range(60))
    assert np.exp(log_q_without_positive(np.log(q), np.log(q[positive])))[1:] == pytest.approx(
        accepted[1:]
    )


@pytest.mark.parametrize("missing", [1e-300, 1e-18, 1e-9, 0.3, 0.5, 0.7, 1 - 1e-9])
def test_log_q_without_positive__keeps_digits_at_both_ends(missing):
    """The positive has probability 1 - missing; float64 holds its logarithm, not itself."""
    log_positive = math.log1p(-missing)
    with localcontext(prec=400):
        exact = -float((1 - Decimal(log_positive).exp()).ln())
    assert log_q_without_positive(0.0, log_positive) == pytest.approx(exact, rel=1e-14, abs=1e-15)


@given(proper.filter(lambda q: len(q) <= 3), st.integers(1, 4))
def test_counts__equals_enumeration(q, draws):
    """All K^draws sequences, each with its probability."""
    count, included = np.zeros(len(q)), np.zeros(len(q))
    for sequence in itertools.product(range(len(q)), repeat=draws):
        times = np.bincount(sequence, minlength=len(q))
        probability = math.prod(q[j] for j in sequence)
        count += probability * times
        included += probability * (times > 0)
    assert np.exp(log_expected_count(np.log(q), draws)) == pytest.approx(count, rel=1e-12)
    assert np.exp(log_inclusion_probability(np.log(q), draws)) == pytest.approx(included, rel=1e-12)


@given(st.floats(-1e4, -1e-3), st.integers(1, 1000))
def test_counts__has_an_inverse(log_q, draws):
    assert log_q_from_expected_count(log_expected_count(log_q, draws), draws) == pytest.approx(
        log_q
    )
    inclusion = log_inclusion_probability(log_q, draws)
    if inclusion < -1e-200:  # not lost in rounding
        assert log_q_from_inclusion_probability(inclusion, draws) == pytest.approx(log_q, rel=1e-9)


@given(st.floats(-600, 0), st.integers(1, 10**6))
def test_log_expected_count__at_least_the_inclusion_probability(log_q, draws):
    assert log_expected_count(log_q, draws) >= log_inclusion_probability(log_q, draws) - 1e-12


def test_counts__differ_for_popular_items():
    """What is drawn 1.86 times a batch is in a batch with probability 0.84."""
    log_q = math.log(1.86 / 128)
    assert np.exp(log_expected_count(log_q, 128)) == pytest.approx(1.86)
    assert np.exp(log_inclusion_probability(log_q, 128)) == pytest.approx(0.8465, abs=1e-4)


@pytest.mark.parametrize("log_q", [-600.0, -40.0, -1.0, -1e-9])
def test_log_inclusion_probability__precise_for_rare_items(log_q):
    with localcontext(prec=400):
        exact = (1 - (1 - Decimal(log_q).exp()) ** 8192).ln()
    assert log_inclusion_probability(log_q, 8192) == pytest.approx(float(exact), rel=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(max_examples=25)
@given(
    log_q=st.floats(-1000, 0, exclude_max=True, allow_subnormal=False) | st.floats(-1e-3, -1e-30),
    draws=st.floats(1, 1e6) | st.floats(1e-300, 1e300),
)
@example(log_q=-800.0, draws=10)
@example(log_q=-744.5, draws=1e300)
@example(log_q=-1700.0, draws=1e300)
@example(log_q=-36.9, draws=1e-300)
def test_log_inclusion_probability__equals_high_precision(dtype, log_q, draws):
    log_q = dtype(log_q)
    if log_q == 0:
        return
    with localcontext(prec=800, Emin=-(10**9), Emax=10**9):
        lost = -Decimal(draws) * (1 - Decimal(float(log_q)).exp()).ln()
        exact = float((1 - (-lost).exp()).ln())
    assert log_inclusion_probability(log_q, draws) == pytest.approx(exact, rel=2e-13, abs=1e-300)


def test_log_inclusion_probability__never_and_always():
    assert log_inclusion_probability([-np.inf, 0.0], 5).tolist() == [-np.inf, 0]


@pytest.mark.parametrize(
    "convert, second",
    [
        (log_q_without_positive, np.float32(-1)),
        (log_expected_count, 3),
        (log_q_from_expected_count, 3),
        (log_inclusion_probability, 3),
        (log_q_from_inclusion_probability, 3),
    ],
)
def test_counts__of_float32_are_float64(convert, second):
    assert convert(np.array([-1.5, -0.25], np.float32), second).dtype == np.float64


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: log_mixture([[0.0]], []), "shares must"),
        (lambda: log_mixture(object(), [1.0]), "log_qs must be a list of arrays"),
        (lambda: log_mixture([[0.0]], [0.5, 0.5]), "log_qs has 1 parts, but there are 2 shares"),
        (lambda: log_q_without_positive([-1.0], [0.0]), "leaves no other"),
        (lambda: log_q_without_positive([-1.0], [math.nan]), "leaves no other"),
        (
            lambda: log_q_without_positive([-1.0] * 3, [-1.0] * 2),
            "log_q and log_q_positive must broadcast",
        ),
        (lambda: log_expected_count(-1.0, 0), "draws must be positive"),
        (lambda: log_q_from_expected_count(-1.0, math.inf), "draws must be positive"),
        (lambda: log_inclusion_probability(-1.0, -2), "draws must be positive"),
        (lambda: log_q_from_inclusion_probability(-1.0, 0), "draws must be positive"),
        (lambda: log_inclusion_probability([-1.0, 0.5], 2), "log_q must be at most 0"),
        (lambda: log_inclusion_probability(math.nan, 2), "^log_q must be at most 0"),
        (lambda: log_q_from_inclusion_probability(0.5, 2), "^log_inclusion must be at most 0"),
    ],
)
def test_draw_probability__refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()
