"""Samplers against the distribution they should have."""

from itertools import product
from math import comb, prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.conformance import check, check_sampler
from minitower.conformance.samplers import CASES, DRAWS, FALSE_ALARM, dependence, evenness, surprise
from minitower.formulas.sampling import AliasTable


def by_choice(p, size, rng):
    return rng.choice(len(p), size, p=p)


def with_log_q(log_q):
    """A right sampler that states some log q."""

    def draw(p, size, rng):
        ids = by_choice(p, size, rng)
        with np.errstate(divide="ignore"):
            return ids, log_q(p)[ids]

    return draw


@pytest.mark.parametrize(
    "draw",
    [by_choice, with_log_q(np.log), with_log_q(lambda p: np.log(p).astype(np.float32)),
     lambda p, size, rng: AliasTable(p).draw(rng, size)],
)  # fmt: skip
def test_right_samplers_pass(draw):
    for seed in range(3):
        report = check_sampler(draw, seed=seed)
        assert report.passed, str(report)
    assert "a right sampler fails once in 1,000,000 checks" in str(report)


def normal(weights):
    return weights / weights.sum()


@pytest.mark.parametrize(
    "law, mistake",
    [
        (lambda p: np.full(len(p), 1 / len(p)), "uniform draws"),
        (lambda p: normal(np.where(p > 0, p**0.75, 0)), "power law applied twice"),
        (lambda p: normal(p ** (4 / 3)), "power law undone"),
        (lambda p: normal(np.log1p(1 / np.arange(1, len(p) + 1))), "log-uniform by row"),
        (lambda p: normal(p + 0.01), None),
    ],
)
def test_a_wrong_law_is_found(law, mistake):
    report = check_sampler(lambda p, size, rng: by_choice(law(p), size, rng))
    assert not report.passed
    assert (report.mistake and report.mistake.name) == mistake
    assert ("matches no known mistake" in str(report)) == (mistake is None)
    assert report.unusable is None


def test_ids_counted_from_one():
    report = check_sampler(lambda p, size, rng: 1 + by_choice(p, size, rng))
    assert report.mistake.name == "ids counted from one"


@pytest.mark.parametrize(
    "log_q, mistake",
    [
        (lambda p: p, "q returned instead of log q"),
        (lambda p: -np.log(p), "sign of log q"),
        (lambda p: np.log2(p), "log q to base two"),
        (lambda p: np.log(DRAWS * p), "log of the expected count"),
        (lambda p: np.full(len(p), -np.log(len(p))), "log q of a uniform draw"),
        (lambda p: np.log(p ** (4 / 3) / (p ** (4 / 3)).sum()), "log q before the power law"),
        (lambda p: np.log(p * 1000), "q that does not sum to one: log q is off by 6.908"),
        (lambda p: np.log(p) + 1e-6 * p, None),
    ],
)
def test_a_wrong_log_q_is_found(log_q, mistake):
    report = check_sampler(with_log_q(log_q))
    assert not report.passed
    assert "log_q is not the log of the probability" in str(report)
    assert (report.mistake and report.mistake.name) == mistake


def raises(p, size, rng):
    raise RuntimeError("no\nluck")


def leaves(p, size, rng):
    raise SystemExit


@pytest.mark.parametrize(
    "draw, message",
    [
        (raises, "raised RuntimeError: no luck"),
        (leaves, "raised SystemExit: "),
        (lambda p, size, rng: np.zeros(3, int), "returned int64 of shape (3,), expected 100000"),
        (lambda p, size, rng: np.zeros(size), "returned float64 of shape (100000,), expected"),
        (lambda p, size, rng: np.full(size, -1), "drew an item outside of 0 to 1"),
        (lambda p, size, rng: np.full(size, len(p) + 1), "drew an item outside of 0 to 1"),
        (lambda p, size, rng: (by_choice(p, size, rng), 0.5), "returned log_q as float64 of shape"),
        (lambda p, size, rng: (by_choice(p, size, rng), rng.random(size)), "returned two "),
    ],
)  # fmt: skip
def test_what_are_no_draws(draw, message):
    report = check_sampler(draw)
    assert report.unusable.startswith(f"sampler, case two_items: {message}")


def systematic(p, size, rng):
    ids = np.searchsorted(np.cumsum(p), (np.arange(size) + rng.random()) / size)
    return rng.permutation(np.minimum(ids, len(p) - 1))


@pytest.mark.parametrize(
    "draw",
    [
        systematic,
        lambda p, size, rng: np.sort(by_choice(p, size, rng)),
        lambda p, size, rng: np.repeat(by_choice(p, size // 2, rng), 2),
        lambda p, size, rng: np.tile(by_choice(p, size // 2, rng), 2),
        lambda p, size, rng: np.tile(by_choice(p, size // 100, rng), 100),
    ],
    ids=["systematic", "sorted", "repeated", "tiled", "tiled_often"],
)
def test_draws_that_depend_on_each_other_are_found(draw, request):
    report = check_sampler(draw)
    assert not report.passed
    if "tiled_often" not in request.node.name:
        assert report.mistake.name == "draws that depend on each other", str(report)


@given(st.integers(1, 7), st.sampled_from([(0.5, 0.5), (0.25, 0.5, 0.25), (0.125, 0, 0.875)]))
def test_evenness__exceeds_no_level_by_more_than_the_level(n, p):
    """Every sequence of n draws: P(evenness <= level) <= level, exactly."""
    alarms = dict.fromkeys((0.5, 0.1, 0.01), 0.0)
    for draws in product(range(len(p)), repeat=n):
        even = evenness(np.bincount(draws, minlength=len(p)), np.array(p))
        for level in alarms:
            alarms[level] += prod(p[i] for i in draws) * (even <= level)
    assert all(alarm <= level * (1 + 1e-9) for level, alarm in alarms.items())


def test_dependence__fails_independent_draws_as_often_as_it_is_asked_to():
    rng, p = np.random.default_rng(1), np.array([0.5, 0.125, 0.375])
    alarms = [dependence(by_choice(p, 1000, rng), p, 0.2) is not None for _ in range(500)]
    assert 0.02 < np.mean(alarms) < 0.2


def test_one_draw_repeated_is_found():
    assert not check_sampler(lambda p, size, rng: np.repeat(by_choice(p, 1, rng), size)).passed


def test_check_takes_samplers_by_name():
    assert str(check(by_choice, formula="sampler")) == str(check_sampler(by_choice))


@given(st.integers(1, 12), st.sampled_from([0.1, 0.25, 0.5, 0.9]))
def test_surprise__exceeds_no_level_by_more_than_the_level(n, p):
    """Two items, every outcome of n draws: P(surprise <= level) <= level, exactly."""
    chances = [comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
    surprises = [surprise(np.array([k, n - k]), np.array([p, 1 - p])) for k in range(n + 1)]
    for level in (0.5, 0.1, 0.01, 1e-6):
        alarm = sum(c for c, s in zip(chances, surprises, strict=True) if s <= level)
        assert alarm <= level * (1 + 1e-9)


def test_surprise__an_impossible_item_is_infinitely_surprising():
    assert surprise(np.array([5, 1]), np.array([1.0, 0.0])) == 0
    assert surprise(np.array([6, 0]), np.array([1.0, 0.0])) >= 1


def test_the_cases_hold_the_edges():
    assert {len(case.inputs["p"]) for case in CASES} >= {1, 2}
    assert any((case.inputs["p"] == 0).any() for case in CASES)
    assert FALSE_ALARM <= 1e-6
