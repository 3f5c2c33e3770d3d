"""What the checker says of right, wrong and unusable implementations."""

from functools import partial

import numpy as np
import pytest

from minitower.conformance import FORMULAS, MISTAKES, assert_conforms, check
from minitower.formulas.pairwise import triplet_hinge
from minitower.formulas.softmax import softmax_cross_entropy


def of(compute, formula):
    """A variant of a formula as a user would write it."""

    def fn(*arguments):
        value, gradients = compute(*arguments)
        return (value, gradients) if formula.gradients else value

    return fn


def softmax_loss(users, items, log_q, temperature):
    """In-batch softmax, written anew."""
    logits = users @ items.T / temperature - log_q
    loss, d_logits = softmax_cross_entropy(logits, np.arange(len(users)))
    d_scores = d_logits / temperature
    return loss, (d_scores @ items, d_scores.T @ users)


def from_probabilities(users, items, log_q, temperature):
    """Two mistakes at once: log q added, and the log taken of a probability."""
    logits = users @ items.T / temperature + log_q
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    n = len(users)
    loss = -np.log(p.diagonal()).mean()
    d_scores = (p - np.eye(n)) / (n * temperature)
    return loss, {"d_users": d_scores @ items, "d_items": d_scores.T @ users}


@pytest.mark.parametrize("name", FORMULAS)
def test_the_formula_itself_passes(name):
    formula = FORMULAS[name]
    report = check(of(formula.compute, formula), formula=name)
    assert report.passed
    assert report.mistake is None
    assert report.unusable is None
    assert str(report) == f"{name}   {len(report.cases)} cases   all passed   (numpy, float64)"
    assert_conforms(of(formula.compute, formula), formula=name, dtype="float32")


SMALL = ["stop_gradient_logq", "listwise_softmax", *list(FORMULAS)[12:]]
SOME = ["log q added instead of subtracted", "(score - log q) / temperature",
        "exp overflows, or log of zero", "log of a clipped probability", "sum instead of mean",
        "no gradient to the items"]  # fmt: skip


@pytest.mark.parametrize(
    "name, mistake",
    [(name, mistake) for name in SMALL for mistake in MISTAKES[name]]
    + [("in_batch_softmax", m) for m in MISTAKES["in_batch_softmax"] if m.name in SOME],
    ids=lambda x: getattr(x, "name", x),
)
def test_a_known_mistake_is_named(name, mistake):
    report = check(of(mistake.compute, FORMULAS[name]), formula=name)
    assert report.mistake is not None
    assert report.mistake.name == mistake.name
    assert report.unusable is None
    assert f'matches the known mistake "{mistake.name}"' in str(report)
    assert f"fix: {mistake.fix}" in str(report)


def test_gradients_may_be_named_or_in_order():
    loss = partial(check, formula="in_batch_softmax")
    assert loss(softmax_loss).passed

    def reshaped(form):
        def fn(*arguments):
            value, (d_users, d_items) = softmax_loss(*arguments)
            return value, form(d_users, d_items)

        return loss(fn)

    assert reshaped(lambda u, v: [u, v]).passed
    assert reshaped(lambda u, v: {"d_items": v, "d_users": u}).passed
    assert reshaped(lambda u, v: {"users": u.tolist(), "items": v.tolist(), "more": 0}).passed
    assert reshaped(lambda u, v: (v, u)).mistake.name == "gradients of users and items exchanged"


def test_a_single_gradient_may_stand_alone():
    squares = lambda c, y: (((c - y) ** 2).mean(), 2 * (c - y) / len(c))
    assert check(squares, formula="pointwise_squared").passed


def test_an_overflow_beside_another_mistake_does_not_hide_it():
    report = check(from_probabilities, formula="in_batch_softmax")
    assert report.mistake.name == "log q added instead of subtracted"
    by_case = {r.case.name: r.mistake and r.mistake.name for r in report.cases}
    assert by_case["extreme_logits"] == "exp overflows, or log of zero"
    assert by_case["one_row"] is None
    assert by_case["plain"] == report.mistake.name


def test_unknown_mistakes_show_a_common_factor_and_the_smallest_case():
    def tripled(*arguments):
        value, gradients = softmax_loss(*arguments)
        return 3 * value, gradients

    report = check(tripled, formula="in_batch_softmax")
    printed = str(report)
    assert report.mistake is None
    assert not report.unusable
    assert "matches no known mistake" in printed
    assert "loss is 3 times what it should be, in every case" in printed
    assert "the smallest failing case is plain" in printed
    assert "d_users is" not in printed
    smallest = min(report.failed, key=lambda r: r.case.size)
    assert smallest.case.name == "plain"
    expected = FORMULAS["in_batch_softmax"].outputs(smallest.case)["loss"]
    assert f"loss should be {expected:.6f}" in printed
    assert f"got {3 * expected:.6f}" in printed


def explained(change):
    """What is said of the right in-batch softmax after a change of (value, gradients)."""
    fn = lambda *arguments: change(*softmax_loss(*arguments))
    return str(check(fn, formula="in_batch_softmax"))


def test_a_large_factor_is_said_and_no_other():
    printed = explained(lambda value, g: (65536 * value, tuple(65536 * x for x in g)))
    for name in ("loss", "d_users", "d_items"):
        assert f"{name} is 65536 times what it should be, in every case" in printed
    assert "0 times" not in printed.replace("65536 times", "")


def test_zero_is_said_as_zero():
    printed = explained(lambda value, g: (2 * value, (g[0], 0 * g[1])))
    assert "d_items is zero in every case" in printed
    assert "d_items is 0 times" not in printed


def test_results_that_only_explode_alike_explain_nothing():
    """NaN in two cases of three that fail, where an overflow is NaN as well."""

    def fn(users, items, log_q, temperature):
        value, gradients = softmax_loss(users, items, log_q, temperature)
        large = np.abs(users @ items.T / temperature).max() > 1e4
        return value + (np.nan if large else 0.5 * (len(users) == 2)), gradients

    report = check(fn, formula="in_batch_softmax")
    failed = [result.case.name for result in report.failed]
    assert failed == ["blunt", "extreme_logits", "far_below"]
    assert "matches no known mistake" in str(report)
    assert "would explain" not in str(report)


def test_nan_gives_no_factor():
    printed = explained(lambda value, g: (value * np.nan, g))
    assert "times what it should be" not in printed
    assert "would explain" not in printed


def test_an_off_value_is_shown_with_its_place_and_size():
    def off(*arguments):
        value, (d_users, d_items) = softmax_loss(*arguments)
        d_items[-1, -1] += 0.25
        return value, (d_users, d_items)

    for result in check(off, formula="in_batch_softmax").cases:
        assert result.failure.startswith("d_items off by ")
        assert float(result.failure.split()[-1]) <= 0.25


def test_float32_inside_is_recognized_and_passes_when_asked_for():
    def single(users, items, log_q, temperature):
        return softmax_loss(*(x.astype(np.float32) for x in (users, items, log_q)), temperature)

    report = check(single, formula="in_batch_softmax")
    assert report.mistake.name == "computed in float32"
    assert check(single, formula="in_batch_softmax", dtype="float32").passed


def test_float32_inputs_are_float32():
    seen = []

    def fn(users, *rest):
        seen.append(users.dtype)
        return softmax_loss(users, *rest)

    assert check(fn, formula="in_batch_softmax", dtype="float32").passed
    assert set(seen) == {np.dtype(np.float32)}


def raises(*arguments):
    raise KeyError("user 7\nis not there")


@pytest.mark.parametrize(
    "fn, message",
    [
        (raises, "raised KeyError: 'user 7\\nis not there'"),
        (lambda *a: 0.5, "returned a float, expected (loss, gradients), the gradients a dict"),
        (lambda *a: (0.5, (a[0],)), "returned 1 gradients, expected"),
        (lambda *a: (0.5, {"d_users": a[0]}), "returned no d_items, expected"),
        (lambda *a: (0.5, (a[0][:1], a[1])), "returned d_users of shape (1, 2), expected (3, 2)"),
        (lambda *a: (np.ones(3), (a[0], a[1])), "returned loss of shape (3,), expected one number"),
        (lambda *a: (float("nan"), (a[0], a[1])), "returned NaN in loss"),
        (lambda *a: (0.5, (a[0], a[1] * np.nan)), "returned NaN in d_items"),
        (lambda *a: (0.5, (a[0], None)), "returned no d_items"),
        (lambda *a: (0.5, (a[0], "text")), "returned a str as d_items, expected numbers"),
        (lambda *a: (0.5, (a[0], [[1], [1, 2]])), "returned a list of 2 as d_items"),
        (lambda users: 0, "takes users, expected users, items, log_q, temperature: no parameter"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_one_line(fn, message):
    report = check(fn, formula="in_batch_softmax")
    assert not report.passed
    assert report.mistake is None
    assert report.unusable.startswith(f"in_batch_softmax, case plain: {message}")
    assert "\n" not in report.unusable


def test_the_same_complaint_about_every_case_is_made_once():
    assert str(check(raises, formula="in_batch_softmax")).count("✗") == 1


def test_changed_inputs_are_noticed():
    def careless(users, *rest):
        users /= 2
        return softmax_loss(2 * users, *rest)

    assert (
        "changed its argument users in place"
        in check(careless, formula="in_batch_softmax").unusable
    )


def test_a_case_that_raises_does_not_hide_the_mistake():
    wrong = MISTAKES["in_batch_softmax"][0].compute

    def picky(users, *rest):
        if len(users) == 1:
            raise ValueError("one row is no batch")
        return wrong(users, *rest)

    report = check(picky, formula="in_batch_softmax")
    assert report.mistake.name == MISTAKES["in_batch_softmax"][0].name
    assert report.unusable == (
        "in_batch_softmax, case one_row: raised ValueError: one row is no batch"
    )


def test_asking_wrongly():
    with pytest.raises(ValueError, match="no formula 'in-batch'; there are in_batch_softmax, "):
        check(softmax_loss, formula="in-batch")
    with pytest.raises(ValueError, match="no framework 'mxnet'; there are numpy, torch"):
        check(softmax_loss, formula="in_batch_softmax", framework="mxnet")
    with pytest.raises(ValueError, match="no dtype 'float16'; there are float64, float32"):
        check(softmax_loss, formula="in_batch_softmax", dtype="float16")
    with pytest.raises(TypeError, match="expected a function to check, got float"):
        check(0.5, formula="in_batch_softmax")


def test_assert_conforms_says_what_the_report_says():
    exchanged = lambda p, n, m: triplet_hinge(n, p, margin=m)
    with pytest.raises(AssertionError) as caught:
        assert_conforms(exchanged, formula="triplet_hinge")
    assert str(caught.value) == str(check(exchanged, formula="triplet_hinge"))
    assert_conforms(lambda p, n, m: triplet_hinge(p, n, margin=m), formula="triplet_hinge")


def test_numpy_warnings_of_an_implementation_are_not_errors():
    unshifted = next(m for m in MISTAKES["in_batch_softmax"] if m.name.startswith("exp overflows"))
    assert check(unshifted.compute, formula="in_batch_softmax").mistake.name == unshifted.name
