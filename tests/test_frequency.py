"""Every property that the docstrings of formulas/frequency.py promise."""

import itertools
import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import chisquare

from minitower.formulas.draw_probability import (
    log_q_from_expected_count,
    log_q_from_inclusion_probability,
)
from minitower.formulas.frequency import StreamingFrequency, gap_bias, gap_variance

READINGS = ["expected_count", "inclusion_probability"]
streams = st.lists(st.lists(st.integers(0, 5), max_size=8), max_size=8)
options = st.fixed_dictionaries(
    {
        "slots": st.integers(6, 9),
        "alpha": st.floats(0.01, 0.9),
        "initial_gap": st.floats(0.5, 100),
        "hashes": st.integers(0, 3),
        "repeats": st.sampled_from(READINGS),
    }
)


def after(stream, **options):
    frequency = StreamingFrequency(**options)
    for batch in stream:
        frequency.update(batch)
    return frequency


def literal_loop(stream, slots_of, *, slots, alpha, initial_gap, hashes, repeats):
    """Algorithm 3 of Yi et al., one item and one hash at a time; sets have no repetitions."""
    m = max(hashes, 1)
    last, gap = [[0] * slots for _ in range(m)], [[initial_gap] * slots for _ in range(m)]
    for t, batch in enumerate(stream, start=1):
        for i in range(m):
            places = [slots_of(y)[i] for y in batch]
            for place in places if repeats == "expected_count" else set(places):
                gap[i][place] = (1 - alpha) * gap[i][place] + alpha * (t - last[i][place])
                last[i][place] = t
    return last, gap


@given(streams, options)
def test_streaming_frequency__equals_the_loop(stream, options):
    frequency = after(stream, **options)
    slots_of = lambda y: [y] if not options["hashes"] else frequency._slots([y])[:, 0]
    last, gap = literal_loop(stream, slots_of, **options)
    assert frequency.state["last"].tolist() == last
    assert frequency.state["gap"] == pytest.approx(np.array(gap), rel=1e-12)
    longest = [max(gap[i][place] for i, place in enumerate(slots_of(y))) for y in range(6)]
    assert np.exp(-frequency.log_frequency(np.arange(6))) == pytest.approx(longest, rel=1e-12)


@given(streams, options, st.randoms(use_true_random=False))
def test_streaming_frequency__order_within_a_batch_changes_nothing(stream, options, random):
    shuffled = [random.sample(batch, len(batch)) for batch in stream]
    frequencies = [after(s, **options).log_frequency(np.arange(6)) for s in (stream, shuffled)]
    assert np.array_equal(*frequencies)


@given(streams, streams, options)
def test_streaming_frequency__resumes_from_its_state(before, then, options):
    """Plain arrays and a number are all there is."""
    stopped = after(before, **options)
    resumed = StreamingFrequency(**options)
    resumed.state = {name: array.copy() for name, array in stopped.state.items()}
    resumed.step = stopped.step
    for batch in then:
        resumed.update(batch)
    through = after(before + then, **options)
    assert [array.dtype for array in through.state.values()] == [np.int64, np.float64]
    assert np.array_equal(resumed.state["gap"], through.state["gap"])
    assert np.array_equal(resumed.state["last"], through.state["last"])


@pytest.mark.parametrize("hashes", [0, 1, 3])
def test_streaming_frequency__unseen_is_one_over_initial_gap(hashes):
    frequency = after([[0], [0]], slots=50, initial_gap=8.0, hashes=hashes)
    assert np.exp(frequency.log_frequency([1, 2])) == pytest.approx([1 / 8, 1 / 8])


@pytest.mark.parametrize("copies, estimate", [(1, 1.0), (2, 2.0101), (10, 10.47), (100, 171.47)])
def test_streaming_frequency__steady_copies(copies, estimate):
    """The loop's fixed point, and once more as the docstring states it."""
    alpha = 0.01
    frequency = after([[3] * copies] * 3000, slots=4, alpha=alpha)
    stated = ((1 - alpha) ** -copies - 1) * (1 - alpha) / alpha
    assert np.exp(frequency.log_frequency([3]))[0] == pytest.approx(stated, rel=1e-9)
    assert stated == pytest.approx(estimate, rel=1e-3)
    growth = math.expm1(alpha * copies) / (alpha * copies)
    assert stated / copies == pytest.approx(growth, rel=0.01)


def test_streaming_frequency__copies_are_counted_or_not():
    """Items drawn with replacement: 1.86 copies on average, in 84.65% of the batches."""
    b, q = 128, 1.86 / 128
    rng = np.random.default_rng(0)
    copies = rng.binomial(b, q, 6000)
    measured = {}
    for repeats in READINGS:
        frequency = StreamingFrequency(1, alpha=0.005, initial_gap=1.0, repeats=repeats)
        gaps = []
        for c in copies:
            frequency.update(np.zeros(c, int))
            gaps.append(frequency.state["gap"][0, 0])
        measured[repeats] = 1 / np.mean(gaps[1000:])
    assert measured["expected_count"] == pytest.approx(1.86, rel=0.02)
    assert measured["inclusion_probability"] == pytest.approx(0.8465, rel=0.02)
    for repeats, back in zip(
        READINGS, (log_q_from_expected_count, log_q_from_inclusion_probability)
    ):
        assert np.exp(back(np.log(measured[repeats]), b)) == pytest.approx(q, rel=0.05)


def test_streaming_frequency__collisions_shorten_gaps():
    """Two items, each every fourth step, in one slot: it seems to come every other step."""
    stream = [[7], [], [8], []] * 500
    options = {"alpha": 0.05, "hashes": 1, "repeats": "inclusion_probability"}
    shared = after(stream, slots=1, **options).log_frequency([7, 8])
    assert np.exp(shared) == pytest.approx([0.5, 0.5])
    alone = after(stream, slots=1009, **options).log_frequency([7, 8])
    assert np.exp(alone) == pytest.approx([0.25, 0.25])


def test_streaming_frequency__several_hashes_take_the_longest_gap():
    """With enough of them every item has a slot of its own, the least disturbed one."""
    items = np.arange(40)
    stream = [items[step % 4 :: 4] for step in range(400)]  # each every fourth step
    options = {"slots": 53, "alpha": 0.2, "repeats": "inclusion_probability"}
    one, six = (np.exp(after(stream, hashes=m, **options).log_frequency(items)) for m in (1, 6))
    assert one.max() > 0.3
    assert np.all(six <= one)
    assert six == pytest.approx(np.full(40, 0.25))


def test_streaming_frequency__follows_a_change():
    """Every step, then every fifth: the moving average forgets at (1 - alpha) an appearance."""
    frequency = after([[0]] * 200 + [[0], [], [], [], []] * 30, slots=1, alpha=0.1)
    gap = 5 + (1 - 0.1) ** 29 * (1 - 5)  # the thirtieth comes 5 steps after the 29th gap
    assert np.exp(-frequency.log_frequency([0]))[0] == pytest.approx(gap, rel=1e-6)


def test_streaming_frequency__absent_items_age():
    frequency = after([[0]] * 400 + [[1]] * 50, slots=3, initial_gap=10.0, alpha=0.1)
    assert np.exp(frequency.log_frequency([0, 2])) == pytest.approx([1, 1 / 10])
    aged = frequency.log_frequency([0, 1, 2], aged=True)
    assert np.exp(-aged)[[0, 2]] == pytest.approx([50, 450])
    assert aged[1] == frequency.log_frequency([1])[0]  # it came just now


@pytest.mark.parametrize("ids", [np.arange(20_000), np.arange(-10_000, 10_000) * 4096])
def test_hashes__spread_and_do_not_agree(ids):
    slots = StreamingFrequency(50, hashes=3)._slots(ids)
    for one in slots:
        assert chisquare(np.bincount(one, minlength=50)).pvalue > 1e-3
    for one, other in itertools.combinations(slots, 2):
        assert np.mean(one == other) == pytest.approx(1 / 50, abs=0.005)


# The moving average, exactly ------------------------------------------------------------

laws = st.lists(st.tuples(st.integers(1, 50), st.integers(1, 9)), min_size=1, max_size=3)


@given(laws, st.integers(0, 4), st.floats(0.01, 1), st.floats(0.1, 200))
def test_gap_bias_and_variance__equals_enumeration(law, appearances, alpha, initial):
    """All sequences of independent gaps, each with its probability."""
    total = sum(weight for _, weight in law)
    mean = sum(gap * weight for gap, weight in law) / total
    variance = sum((gap - mean) ** 2 * weight for gap, weight in law) / total
    first = second = 0.0
    for sequence in itertools.product(law, repeat=appearances):
        average = initial
        for gap, _ in sequence:
            average = (1 - alpha) * average + alpha * gap
        probability = math.prod(weight / total for _, weight in sequence)
        first += probability * (average - mean)
        second += probability * (average - mean) ** 2
    bias = gap_bias(appearances, alpha=alpha, initial=initial, mean=mean)
    assert bias == pytest.approx(first, abs=1e-9)
    spread = gap_variance(appearances, alpha=alpha, variance=variance)
    assert spread == pytest.approx(second - first**2, rel=1e-9, abs=1e-7)


@given(st.floats(1e-300, 0.999), st.integers(0, 10**12))
@example(1e-17, 10**17)  # 1 - alpha is 1 in float64
@example(1e-10, 1)
def test_gap_bias_and_variance__equals_high_precision(alpha, appearances):
    with localcontext(prec=400, Emin=-(10**15), Emax=10**15):
        kept = (appearances * (1 - Decimal(alpha)).ln()).exp()
        bias, settled = float(kept), float((1 - kept**2) * Decimal(alpha) / (2 - Decimal(alpha)))
    assert gap_bias(appearances, alpha=alpha, initial=1, mean=0) == pytest.approx(
        bias, rel=1e-12, abs=1e-290
    )
    got = gap_variance(appearances, alpha=alpha, variance=1)
    assert got == pytest.approx(settled, rel=1e-12, abs=1e-290)


def test_log_frequency__of_very_many_copies_is_finite():
    """The gap, 0.01^400, is zero in float64, and its logarithm was infinite."""
    frequency = StreamingFrequency(2, alpha=0.99)
    frequency.update([0] * 400)
    assert 700 < frequency.log_frequency([0])[0] < 710


def test_gap_bias__the_mean_is_the_unbiased_start():
    """Not mean / (1 - alpha), which Yi et al. print with their Eq. 7."""
    truth, printed = 0.99 * 100 + 0.01 * 7 - 7, 0.99 * 100 - 0.99**0 * 7
    assert (truth, printed) == pytest.approx((92.07, 92.00))
    assert gap_bias(1, alpha=0.01, initial=100, mean=7) == pytest.approx(truth)
    assert gap_bias(5, alpha=0.01, initial=7, mean=7) == 0
    assert gap_bias(5, alpha=0.01, initial=7 / 0.99, mean=7) > 0.06


@pytest.mark.parametrize("times, bias, variance", [(0, 3.0, 0.0), (1, 0.0, 5.0), (7, 0.0, 5.0)])
def test_gap_bias_and_variance__at_alpha_one_only_the_last_gap_counts(times, bias, variance):
    assert gap_bias(times, alpha=1, initial=10, mean=7) == bias
    assert gap_variance(times, alpha=1, variance=5) == variance


@pytest.mark.parametrize("alpha", [0, -0.5, 1.5, 2])
def test_gap_bias_and_variance__refuses(alpha):
    for call in (
        lambda: gap_bias(1, alpha=alpha, initial=1, mean=1),
        lambda: gap_variance(1, alpha=alpha, variance=1),
    ):
        with pytest.raises(ValueError, match=r"^alpha must be in \(0, 1\]"):
            call()


def test_gap_variance__geometric_gaps_make_the_frequency_seven_percent_uncertain():
    """Relative spread sqrt(alpha / (2 - alpha) (1 - p)) where each batch has it with p."""
    p, alpha = 0.1, 0.01
    spread = math.sqrt(gap_variance(10**6, alpha=alpha, variance=(1 - p) / p**2)) * p
    assert spread == pytest.approx(math.sqrt(alpha / (2 - alpha) * (1 - p)))
    assert spread == pytest.approx(0.067, abs=1e-3)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: StreamingFrequency(0), "slots must be"),
        (lambda: StreamingFrequency(2**31), "slots must be"),
        (lambda: StreamingFrequency(1, alpha=0), "alpha in"),
        (lambda: StreamingFrequency(1, alpha=1), "alpha in"),
        (lambda: StreamingFrequency(1, initial_gap=0), "initial_gap"),
        (lambda: StreamingFrequency(1, initial_gap=math.inf), "initial_gap"),
        (lambda: StreamingFrequency(1, hashes=-1), "hashes must be"),
        (lambda: StreamingFrequency(1, repeats="both"), "repeats must be one of"),
        (lambda: StreamingFrequency(2).update([0, 2]), "within 0..1, got 0 to 2"),
        (lambda: StreamingFrequency(2).update([-1]), "within 0..1"),
        (lambda: StreamingFrequency(2, hashes=1).update([0.5]), "ids must be"),
        (lambda: StreamingFrequency(2).log_frequency([[0]]), "ids must be"),
    ],
)
def test_streaming_frequency__refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_streaming_frequency__refuses_a_state_of_another_number_of_hashes():
    frequency = StreamingFrequency(4, hashes=2)
    frequency.state = StreamingFrequency(4, hashes=3).state
    with pytest.raises(ValueError, match="shorter"):
        frequency.update([1])


def test_streaming_frequency__a_refused_batch_changes_nothing():
    frequency = StreamingFrequency(2)
    with pytest.raises(ValueError, match="within"):
        frequency.update([1, 5])
    assert frequency.step == 0
    assert not frequency.state["last"].any()


def test_hashes__are_splitmix64():
    """State is saved under these slots: they must not change. The first outputs of splitmix64
    from seed 0, as its author published them."""
    known = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    slots = 1_000_003
    estimate = StreamingFrequency(slots, hashes=3)
    estimate.update([0])
    moved = [np.flatnonzero(last).tolist() for last in estimate.state["last"]]
    assert moved == [[x % slots] for x in known]


def test_streaming_frequency__defaults_are_the_papers():
    """Yi et al., section 5.1: a first gap of 100 steps, alpha = 0.01."""
    estimate = StreamingFrequency(1)
    assert estimate.log_frequency([0]) == pytest.approx(-math.log(100))
    assert estimate.alpha == 0.01


def test_from_counts__starts_at_the_counts():
    frequency = StreamingFrequency.from_counts([6, 3, 0], 8)
    expected = np.array([6, 3, 1]) / 10
    np.testing.assert_allclose(np.exp(frequency.log_frequency([0, 1, 2])), 8 * expected)


def test_from_counts__bytes_do_not_wrap():
    frequency = StreamingFrequency.from_counts(np.array([200, 100], np.uint8), 2)
    np.testing.assert_allclose(np.exp(frequency.log_frequency([0, 1])), [4 / 3, 2 / 3])


def test_from_counts__needs_a_batch():
    assert StreamingFrequency.from_counts([1], 1).log_frequency([0]) == 0
    with pytest.raises(ValueError, match=r"^batch_size must be"):
        StreamingFrequency.from_counts([1], 0)
