"""Mistakes with a constant: each family is what it says, and its constant is found."""

from functools import partial

import numpy as np
import pytest
from numerics import along, directional
from test_conformance_checker import of

from minitower.conformance import FORMULAS, MISTAKES, check
from minitower.conformance.composition import both, summed, then
from minitower.conformance.formula import errors
from minitower.conformance.links import capped, cross_entropy, normalized, smoothed
from minitower.conformance.mistake import shown
from minitower.conformance.mistakes import FAMILIES
from minitower.conformance.recognition import agree

SAMPLES = {
    "log of a clipped probability: log(max(p, {c}))": 3e-9,
    "log of a clipped probability: log(p + {c})": 1e-3,
    "log of a clipped probability: log(min(max(p, {c}), 1 - {c}))": 1e-6,
    "label smoothing of {c}": 0.2,
    "temperature of at least {c}": 0.06,
    "temperature of {c}, whatever is given": 0.07,
    "q clipped at {c}": 1e-5,
    "{c} added to q": 1e-5,
    "log q of another power: {c} log q": 0.75,
    "mask that is not low enough: logits of -{c}": 50,
    "mask that is not low enough: scores of -{c}": 30,
    "mask that is not low enough: -{c} added to logits": 1e4,
    "{c} under the root of the length": 1e-4,
    "{c} added to the length": 1e-3,
    "length of at least {c}": 0.7,
    "weights clipped at {c}": 0.6,
    "positives weighted {c} times": 3,
    "margin of {c}, whatever is given": 0.7,
    "leaky hinge of slope {c}": 0.02,
    "scale of {c}, whatever is given": 4,
    "exponent of {c}, whatever is given": 0.4,
}
EVERY = [(name, family) for name, families in FAMILIES.items() for family in families]
families = pytest.mark.parametrize(
    "name, family", EVERY, ids=lambda x: getattr(x, "name", x).replace("{c}", "c")
)


@families
def test_the_family_and_its_constant_are_named(name, family):
    c = SAMPLES[family.name]
    report = check(of(family.make(c), FORMULAS[name]), formula=name)
    assert not report.passed
    assert report.mistake is not None, str(report)
    kind, _, form = family.at(c).name.partition(": ")  # or another form that returns the same
    assert report.mistake.name.startswith(kind)
    assert form in report.mistake.name


@families
def test_families_with_gradients_of_their_losses(name, family):
    formula, variant = FORMULAS[name], family.make(SAMPLES[family.name])
    if not formula.gradients:
        return
    for case in formula.cases:
        if case.name not in ("plain", "duplicate_items", "masked", "larger"):
            continue
        places = [i for i, a in enumerate(formula.arguments) if a.gradient]
        at = [np.asarray(formula.inputs(case)[i], float) for i in places]

        def loss(*moved, case=case, places=places):
            inputs = formula.inputs(case)
            for i, x in zip(places, moved, strict=True):
                inputs[i] = x
            return float(variant(*inputs)[0])

        if not np.isfinite(variant(*formula.inputs(case))[0]):
            continue
        directions = [np.cos(1 + i + np.arange(x.size)).reshape(x.shape) for i, x in enumerate(at)]
        promised = along([formula.outputs(case, variant)[g] for g in formula.gradients], directions)
        measured = directional(loss, at, directions, h=1e-5)
        assert promised == pytest.approx(measured, rel=1e-6, abs=1e-7), case.name


@pytest.mark.parametrize(
    "words, c",
    [("log(max(p, {c}))", 1e-7), ("q clipped at {c}", 1e-6), ("label smoothing of {c}", 0.1)],
)
def test_constants_are_found_in_float32_and_in_round_numbers(words, c):
    family = next(f for f in FAMILIES["in_batch_softmax"] if words in f.name)

    def single(*arguments):
        value, gradients = family.make(c)(*arguments)
        return np.float32(value), tuple(g.astype(np.float32) for g in gradients)

    report = check(single, formula="in_batch_softmax", dtype="float32")
    assert report.mistake is not None, str(report)
    assert shown(c) in report.mistake.name


def test_the_fix_says_where_a_cap_is():
    family = next(f for f in FAMILIES["in_batch_softmax"] if "p + {c}" in f.name)
    assert "cannot exceed 27.6," in family.at(1e-12).fix


def test_two_forms_that_no_case_tells_apart_are_both_named():
    family = next(f for f in FAMILIES["listwise_softmax"] if "p + {c}" in f.name)
    report = check(of(family.make(1e-20), FORMULAS["listwise_softmax"]), formula="listwise_softmax")
    assert report.mistake.name == (
        "log of a clipped probability: log(max(p, 1e-20)) or log(p + 1e-20) or "
        "log(min(max(p, 1e-20), 1 - 1e-20))"
    )


@pytest.mark.parametrize("form", ["max", "add", "clip"])
def test_capped_is_the_logarithm_of_that_probability(form):
    p = np.array([1e-9, 1e-6, 0.25, 0.5, 1 - 1e-7])
    c = 1e-5
    with_constant = {"max": np.maximum(p, c), "add": p + c, "clip": np.clip(p, c, 1 - c)}
    losses, slopes = capped(-np.log(p), np.ones(5), c, form)
    assert losses == pytest.approx(-np.log(with_constant[form]), abs=1e-12)
    flat = {"max": [0, 0, 1, 1, 1], "clip": [0, 0, 1, 1, 0], "add": p / (p + c)}
    assert slopes == pytest.approx(np.array(flat[form], float))


def test_smoothed_is_a_mixture_of_labels():
    logits, share = np.array([[0.5, -1.0, 2.0], [1.5, 0.75, -0.5]]), np.array([0.5, 0.25])
    each = [cross_entropy(logits, np.full(2, j), share) for j in range(3)]
    value, gradient = smoothed(logits, np.array([0, 2]), share, c=0.3)
    right = cross_entropy(logits, np.array([0, 2]), share)
    assert value == pytest.approx(0.7 * right[0] + 0.1 * sum(v for v, _ in each))
    assert gradient == pytest.approx(0.7 * right[1] + 0.1 * sum(g for _, g in each))


@pytest.mark.parametrize("form", ["root", "add", "max"])
def test_normalized_divides_by_that_length(form):
    x = np.array([[3.0, 4.0], [0.03, 0.04], [0.0, 0.0]])
    y, backward = normalized(x, c=0.25, form=form)
    length = {"root": [np.sqrt(25.25), np.sqrt(0.2525), 0.5], "add": [5.25, 0.3, 0.25],
              "max": [5, 0.25, 0.25]}[form]  # fmt: skip
    assert y == pytest.approx(x / np.array(length)[:, None])
    dy, direction = np.array([[1.0, 2.0]] * 3), np.array([[0.5, -1.0]] * 3)
    near = (normalized(x[:2] + 1e-6 * direction[:2], c=0.25, form=form)[0]
            - normalized(x[:2] - 1e-6 * direction[:2], c=0.25, form=form)[0]) / 2e-6  # fmt: skip
    assert (backward(dy)[:2] * direction[:2]).sum() == pytest.approx((near * dy[:2]).sum())


# --- Two mistakes at once


def named(name, words):
    return next(m for m in MISTAKES[name] if m.name.startswith(words))


@pytest.mark.parametrize(
    "name, first, second",
    [
        ("in_batch_softmax", "log q added", "sum instead of mean"),
        ("in_batch_softmax", "log q added", "both directions averaged"),
        ("in_batch_softmax", "multiplied by the temperature", "log q to base two"),
        ("in_batch_softmax", "no gradient to the items", "sum instead of mean"),
        ("in_batch_softmax_cosine", "log q added", "both directions averaged"),
        ("in_batch_softmax_masked", "mask that does nothing", "sum instead of mean"),
        ("info_nce", "temperature left out", "normalized over the batch"),
        ("triplet_logistic", "scale left out", "sum instead of mean"),
        ("pointwise_logistic", "labels' sign turned", "logarithm to base two"),
    ],
)
def test_two_mistakes_are_both_named(name, first, second):
    a, b = named(name, first), named(name, second)
    for compute in (both(a.compute, b.compute), both(b.compute, a.compute)):
        report = check(of(compute, FORMULAS[name]), formula=name)
        assert report.mistake is not None, str(report)
        assert a.name in report.mistake.name
        assert b.name in report.mistake.name
        assert a.fix in report.mistake.fix
        assert b.fix in report.mistake.fix


def test_a_sum_beside_a_constant():
    family = next(f for f in FAMILIES["triplet_logistic"] if "p + {c}" in f.name)
    report = check(summed(family.make(1e-10)), formula="triplet_logistic")
    assert report.mistake.name.endswith("log(p + 1e-10), and sum instead of mean")


def test_a_sum_beside_a_clip_that_few_cases_show():
    family = next(f for f in FAMILIES["in_batch_softmax"] if f.name == "q clipped at {c}")
    report = check(summed(family.make(1e-6)), formula="in_batch_softmax")
    assert report.mistake.name == "q clipped at 1e-6, and sum instead of mean"


def test_mistakes_that_cannot_meet():
    right = lambda x, *, a=1, b=2: (x * a + b, (a,))
    one, other = partial(right, a=3), partial(right, b=5)
    assert both(one, other)(2) == (11, (3,))
    assert both(one, partial(right, a=4)) is None
    assert both(one, lambda x: x) is None
    assert both(right, one) is one
    assert both(then(right, lambda g: (0,)), one)(2) == (8, (0,))
    assert both(partial(right, a=one), partial(right, a=partial(right, a=7))) is None


def test_a_mistake_beside_float32_is_found_at_float64():
    wrong = named("in_batch_softmax", "(score - log q)").compute

    def single(*arguments):
        value, gradients = wrong(*arguments)
        return float(np.float32(value)), tuple(g.astype(np.float32) for g in gradients)

    report = check(single, formula="in_batch_softmax")
    assert report.mistake.name == "(score - log q) / temperature, and computed in float32"


@pytest.mark.parametrize("bits", [10, 7])
def test_half_precision_is_recognized(bits):
    def half(x):
        mantissa, exponent = np.frexp(x)
        return np.ldexp(np.round(mantissa * 2 ** (bits + 1)) / 2 ** (bits + 1), exponent)

    def fn(*arguments):
        value, gradients = FORMULAS["in_batch_softmax"].compute(*arguments)
        return value, tuple(map(half, gradients))

    report = check(fn, formula="in_batch_softmax")
    assert report.mistake.name == "computed in half precision"


def test_gradients_of_few_numbers_are_not_half_precision():
    def eighths(p, n, m):
        value, gradients = FORMULAS["triplet_hinge"].compute(p, n, m)
        return value, tuple(np.round(8 * g) / 8 for g in gradients)

    assert check(eighths, formula="triplet_hinge").mistake is None


def test_a_constant_that_is_rounded_is_not_another_constant():
    """A scale of 2.5 divided out as a float32 0.4, where 2.5 is what is given."""

    def rounded(positive, negative, scale):
        x = (negative - positive) / np.float64(np.float32(1 / scale))
        slope = 1 / (1 + np.exp(-x)) / np.float32(1 / scale) / len(x)
        return np.logaddexp(0, x).mean(), (-slope, slope)

    with np.errstate(over="ignore"):
        report = check(rounded, formula="triplet_logistic")
    assert report.mistake.name == "computed in float32"


def test_families_leave_the_right_formula_alone():
    for name, family in EVERY:
        formula = FORMULAS[name]
        expected = [formula.outputs(case) for case in formula.cases]
        variant = family.make(SAMPLES[family.name])
        wrong = [formula.outputs(case, variant) for case in formula.cases]
        same = map(partial(agree, tolerance=1e-3), wrong, expected, expected)
        assert not all(same), (name, family.name)
        assert len(errors(wrong[0], expected[0])) == len(expected[0])
