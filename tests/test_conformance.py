"""The golden cases are right, and every known mistake differs from all others on them."""

from itertools import combinations

import numpy as np
import pytest
from numerics import along, assert_slope, directional

from minitower.conformance import (
    FORMULAS,
    MISTAKES,
    id_mistakes,
    links,
    list_mistakes,
    mistakes,
    pair_mistakes,
    softmax_mistakes,
)
from minitower.conformance.adapters import of_unit_vectors
from minitower.conformance.formula import TOLERANCE, error, errors
from minitower.conformance.recognition import agree

formulas = pytest.mark.parametrize("formula", FORMULAS.values(), ids=lambda f: f.name)


# --- Independent oracles: the formula again, as written, in complex arithmetic, so that a step
# along the imaginary axis is its exact gradient (W. Squire and G. Trapp, SIAM Review 1998).


def log_sum_exp(z):
    top = max(x.real for x in z)
    return top + np.log(sum(np.exp(x - top) for x in z))


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def unit(a):
    return a / np.sqrt(dot(a, a)) if np.any(np.real(a)) else 0 * a


def softplus(x):
    return log_sum_exp([0j, x])


def relu(x):
    return x if x.real > 0 else 0


def rows(n, logit, kept=lambda i, j: True, m=None):
    """mean_i (log sum_j exp(logit_ij) - logit_ii), over the candidates kept."""
    each = [
        log_sum_exp([logit(i, j) for j in range(m or n) if j == i or kept(i, j)]) - logit(i, i)
        for i in range(n)
    ]
    return sum(each) / n


def yi(u, v, q, t):
    return rows(len(u), lambda i, j: dot(u[i], v[j]) / t - q[j])


def weighted(u, v, q, w, t):
    z = lambda i, j: dot(u[i], v[j]) / t - q[j]
    n = len(u)
    return sum(w[i] * (log_sum_exp([z(i, j) for j in range(n)]) - z(i, i)) for i in range(n)) / n


def weighted_log_sum(u, v, q, w, t):
    z = lambda i, j: dot(u[i], v[j]) / t - q[j]
    n = len(u)
    return sum(w * log_sum_exp([z(i, j) for j in range(n)]) - z(i, i) for i in range(n)) / n


def calibrated(u, v, q, ids, t):
    n = len(u)
    negatives = [sum(ids[j] != ids[i] for j in range(n)) for i in range(n)]

    def logit(i, j):
        if i == j:
            return dot(u[i], v[i]) / t
        return dot(u[i], v[j]) / t - (np.log(negatives[i]) + q[j] - np.log(1 - np.exp(q[i])))

    return rows(n, logit, lambda i, j: ids[i] != ids[j])


def stop_gradient(u, v, q, ids, t):
    total, n = 0, len(u)
    for i in range(n):
        others = [j for j in range(n) if ids[j] != ids[i]]
        f = dot(u[i], v[i]) / t
        negatives = [dot(u[i], v[j]) / t - q[j] + np.log(1 - np.exp(q[i])) for j in others]
        s = log_sum_exp(negatives)
        p = 1 / (1 + np.exp(min(700, s.real - f.real - np.log(len(others)))))
        total += (1 - p) * (s - f)
    return total / n


def mixed(u, v, q, catalogue, t):
    n, m = len(u), len(v)
    star = [np.log(n / m * np.exp(x) + (1 - n / m) / catalogue) for x in q]
    return rows(n, lambda i, j: dot(u[i], v[j]) / t - (star[j] if i != j else 0), m=m)


def cross_batch(u, v, bank, q, ids, t):
    n, every = len(u), [*v, *bank]
    kept = lambda i, j: j < n or ids[i] != ids[j]
    return rows(n, lambda i, j: dot(u[i], every[j]) / t - q[j], kept, m=len(every))


def listwise(p, g, drop, t):
    each = [
        log_sum_exp([p[i] / t, *(x / t for x, d in zip(g[i], drop[i], strict=True) if not d)])
        - p[i] / t
        for i in range(len(p))
    ]
    return sum(each) / len(p)


def info_nce(u, v, t):
    return rows(len(u), lambda i, j: dot(unit(u[i]), unit(v[j])) / t)


def metric_of(each):
    """A metric as a mean over users with positives of each(0-based hit ranks, positives, k)."""

    def metric(hits, positives, k):
        users = [i for i in range(len(hits)) if positives[i]]
        ranks = lambda i: [r for r in range(k) if hits[i][r]]
        return sum(each(ranks(i), positives[i], k) for i in users) / len(users)

    return metric


dcg = lambda ranks: sum(1 / np.log2(r + 2) for r in ranks)

ORACLES = {
    "in_batch_softmax": yi,
    "in_batch_softmax_cosine": lambda u, v, q, t: yi(
        [unit(x) for x in u], [unit(x) for x in v], q, t
    ),
    "in_batch_softmax_weighted": weighted,
    "in_batch_softmax_log_sum": weighted_log_sum,
    "in_batch_softmax_masked": lambda u, v, ids, t: rows(
        len(u), lambda i, j: dot(u[i], v[j]) / t, lambda i, j: ids[i] != ids[j]
    ),
    "calibrated_softmax": calibrated,
    "stop_gradient_logq": stop_gradient,
    "mixed_negatives": mixed,
    "cross_batch_softmax": cross_batch,
    "listwise_softmax": listwise,
    "info_nce": info_nce,
    "info_nce_symmetric": lambda u, v, t: (info_nce(u, v, t) + info_nce(v, u, t)) / 2,
    "learned_temperature": lambda s, t: rows(len(s), lambda i, j: s[i][j] / t),
    "pointwise_squared": lambda c, y: dot(c - y, c - y) / len(c),
    "pointwise_logistic": lambda c, y, scale, bias: (
        sum(softplus(-y[i] * (scale * c[i] + bias)) for i in range(len(c))) / len(c)
    ),
    "triplet_hinge": lambda p, g, margin: sum(map(relu, g - p + margin)) / len(p),
    "triplet_logistic": lambda p, g, scale: sum(softplus(scale * x) for x in g - p) / len(p),
    "cosine": lambda u, v, pull: sum(
        pull[i] * dot(unit(u[i]), unit(v[i])) for i in range(len(u))
    ),
    "serving_scores": lambda u, v, q: np.array([[dot(a, b) for b in v] for a in u]),
    "embedding_lookup": lambda table, which, pull: sum(
        dot(table[row], x) for row, x in zip(which, pull, strict=True)
    ),
    "power_law": lambda counts, beta: np.array(
        [c**beta / sum(x**beta for x in counts) for c in counts]
    ),
    "recall": metric_of(lambda ranks, p, k: len(ranks) / p),
    "mrr": metric_of(lambda ranks, p, k: 1 / (ranks[0] + 1) if ranks else 0),
    "mean_average_precision": metric_of(
        lambda ranks, p, k: sum((n + 1) / (r + 1) for n, r in enumerate(ranks)) / min(k, p)
    ),
    "ndcg": metric_of(lambda ranks, p, k: dcg(ranks) / dcg(range(min(k, p)))),
    "in_batch_softmax_plain": lambda u, v, t: rows(len(u), lambda i, j: dot(u[i], v[j]) / t),
    "binary_cross_entropy": lambda z, y: sum(
        softplus(x) - label * x for x, label in zip(z, y, strict=True)
    ) / len(z),
    "listwise_softmax_log_q": lambda p, g, own, q, drop, t: listwise(
        p / t - own, g / t - q, drop, 1
    ),
    "triplet_logistic_many": lambda p, g, scale: sum(
        softplus(scale * (x - p[i])) for i in range(len(p)) for x in g[i]
    ) / g.size,
    "triplet_hinge_many": lambda p, g, margin: sum(
        relu(x - p[i] + margin) for i in range(len(p)) for x in g[i]
    ) / g.size,
}  # fmt: skip


def test_every_formula_has_an_oracle_and_mistakes():
    assert set(ORACLES) == set(FORMULAS) == set(MISTAKES)


@formulas
def test_golden_results_equal_naive(formula):
    for case in formula.cases:
        naive = np.asarray(np.real(ORACLES[formula.name](*formula.inputs(case))))
        assert error(naive, formula.outputs(case)[formula.result]) <= 1e-11, case.name


@formulas
def test_golden_gradients_are_complex_steps(formula):
    oracle, h = ORACLES[formula.name], 1e-30
    for case in formula.cases:
        golden = formula.outputs(case)
        for place, argument in enumerate(formula.arguments):
            if not argument.gradient:
                continue
            x = np.asarray(case.inputs[argument.name], float)
            slopes = np.empty(x.shape)
            for index in np.ndindex(x.shape):
                inputs = formula.inputs(case)
                moved = x.astype(complex)
                moved[index] += 1j * h
                inputs[place] = moved if x.shape else complex(moved)
                slopes[index] = np.imag(oracle(*inputs)) / h
            assert error(golden[f"d_{argument.name}"], slopes) <= 1e-9, (case.name, argument.name)


@formulas
def test_inputs_are_exact_in_float32_and_named_once(formula):
    assert len({case.name for case in formula.cases}) == len(formula.cases)
    for case in formula.cases:
        assert set(case.inputs) == {argument.name for argument in formula.arguments}
        for argument in formula.arguments:
            value = np.asarray(case.inputs[argument.name])
            assert value.dtype.kind == {"float": "f", "int": "i", "bool": "b"}[argument.kind]
            assert (argument.shape == "()") == (value.ndim == 0)
            if argument.kind == "float":
                assert np.array_equal(value, value.astype(np.float32))
            assert not np.signbit(value[value == 0]).any(), "minus zero reads badly"


@formulas
def test_float32_stays_within_its_tolerance(formula):
    for case in formula.cases:
        right = formula.outputs(case)
        result, gradients = formula.compute(*formula.inputs(case, "float32"))
        single = dict(zip([formula.result, *formula.gradients], [result, *gradients], strict=True))
        off = errors({name: np.asarray(x) for name, x in single.items()}, right)
        assert max(off.values()) <= TOLERANCE["float32"] / 5, (case.name, off)


@formulas
def test_expected_values_are_finite(formula):
    for case in formula.cases:
        assert all(np.isfinite(x).all() for x in formula.outputs(case).values()), case.name


def test_hinge_cases_keep_off_the_kink():
    leads = [
        (case, case.inputs["positive"] - case.inputs["negative"])
        for case in FORMULAS["triplet_hinge"].cases
    ] + [
        (case, case.inputs["positive"][:, None] - case.inputs["negatives"])
        for case in FORMULAS["triplet_hinge_many"].cases
    ]
    for case, lead in leads:
        assert np.abs(lead - case.inputs["margin"]).min() >= 1 / 64


def collisions(variants, expected):
    """The pairs of variants that agree on every case; variants: name -> outputs of each case."""
    clear = 10 * TOLERANCE["float32"]
    return [
        (a, b)
        for a, b in combinations(variants, 2)
        if all(map(lambda x, y, r: agree(x, y, r, clear), variants[a], variants[b], expected))
    ]


@formulas
def test_mistakes_differ_from_the_right_formula_and_from_each_other(formula):
    expected = [formula.outputs(case) for case in formula.cases]
    variants = {"right": expected} | {
        mistake.name: [formula.outputs(case, mistake.compute) for case in formula.cases]
        for mistake in MISTAKES[formula.name]
    }
    assert len(variants) == 1 + len(MISTAKES[formula.name]), "a name occurs twice"
    assert collisions(variants, expected) == []


def test_the_table_notices_a_collision():
    formula = FORMULAS["in_batch_softmax"]
    expected = [formula.outputs(case) for case in formula.cases]
    moved = [{name: x + 1e-5 for name, x in right.items()} for right in expected]
    assert collisions({"right": expected, "moved": moved}, expected) == [("right", "moved")]


@formulas
def test_mistakes_return_the_shapes_of_the_formula(formula):
    for mistake in MISTAKES[formula.name]:
        for case in formula.cases:
            right, wrong = formula.outputs(case), formula.outputs(case, mistake.compute)
            shapes = lambda outputs: {name: x.shape for name, x in outputs.items()}
            assert shapes(right) == shapes(wrong), (mistake.name, case.name)


def test_there_are_many_and_each_says_what_to_do():
    every = {mistake.name: mistake for known in MISTAKES.values() for mistake in known}
    assert len(every) >= 100
    assert all(m.name and m.fix and "\n" not in m.name + m.fix for m in every.values())


def test_error_is_relative_above_one_and_infinite_beyond_numbers():
    assert error(np.array([2e9, 0.5]), np.array([1e9, 0.0])) == 1
    assert error(np.array([np.nan]), np.zeros(1)) == np.inf
    assert error(np.array([np.inf]), np.zeros(1)) == np.inf
    assert error(np.empty(0), np.empty(0)) == 0


# --- The wrong links are wrong in the way that they say: their loss, and the slope of that loss

LOGITS = np.array([[0.5, -1.0, 2.0, 0.25], [1.5, 0.75, -0.5, -3.0], [-2.0, 1.0, 0.125, 4.0]])
POSITIVE, SHARE = np.array([1, 0, 2]), np.array([0.5, 0.25, 1.0])
P = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
OWN = np.arange(3), POSITIVE


def of_probability(p):
    return -SHARE @ np.log(p)


VARIANTS = {
    links.cross_entropy: of_probability(P[OWN]),
    links.unshifted: of_probability(P[OWN]),
    links.softmax_twice: of_probability((np.exp(P) / np.exp(P).sum(axis=1, keepdims=True))[OWN]),
    links.without_positive: of_probability(P[OWN] / (1 - P[OWN])),
    links.other_axis: of_probability((np.exp(LOGITS) / np.exp(LOGITS).sum(axis=0))[OWN]),
    links.first_column: of_probability(P[:, 0]),
    links.binary: SHARE
    @ [
        sum(np.log1p(np.exp(-x if j == POSITIVE[i] else x)) for j, x in enumerate(row))
        for i, row in enumerate(LOGITS)
    ],
}
VARIANTS[links.both_directions] = (VARIANTS[links.cross_entropy] + VARIANTS[links.other_axis]) / 2


@pytest.mark.parametrize("link", VARIANTS, ids=lambda link: link.__name__)
def test_wrong_links_are_what_they_say(link):
    direction = np.cos(np.arange(12.0)).reshape(3, 4)
    value, gradient = link(LOGITS.copy(), POSITIVE, SHARE)
    slope = directional(lambda z: link(z, POSITIVE, SHARE)[0], [LOGITS], [direction])
    assert value == pytest.approx(VARIANTS[link], rel=1e-12)
    assert_slope(along([gradient], [direction]), slope, 1e-9)


@pytest.mark.parametrize("link", [links.over_the_batch, links.by_squared_length])
def test_wrong_scalings_have_their_own_gradient(link):
    x, dy = LOGITS[:, :3], np.sin(np.arange(9.0)).reshape(3, 3)
    direction = np.cos(np.arange(9.0)).reshape(3, 3)
    slope = directional(lambda x: float((link(x)[0] * dy).sum()), [x], [direction])
    assert_slope(along([link(x)[1](dy)], [direction]), slope, 1e-9)


# --- Variants start from the right formula, and are slopes of their losses unless they say so

BASES = {
    "in_batch_softmax": softmax_mistakes._yi,
    "in_batch_softmax_weighted": softmax_mistakes._weighted,
    "in_batch_softmax_log_sum": softmax_mistakes._log_sum_right,
    "in_batch_softmax_cosine": of_unit_vectors(softmax_mistakes._yi),
    "in_batch_softmax_masked": id_mistakes._masked,
    "calibrated_softmax": id_mistakes._calibrated,
    "stop_gradient_logq": id_mistakes._khrylchenko(),
    "mixed_negatives": softmax_mistakes._mixed,
    "cross_batch_softmax": id_mistakes._bank,
    "info_nce": of_unit_vectors(links.chain),
    "info_nce_symmetric": of_unit_vectors(softmax_mistakes._symmetric),
    "learned_temperature": softmax_mistakes._learned,
    "pointwise_squared": pair_mistakes._squared,
    "pointwise_logistic": pair_mistakes._logistic,
    "cosine": of_unit_vectors(mistakes._inner),
    "listwise_softmax": list_mistakes._listwise,
    "listwise_softmax_log_q": list_mistakes._sampled,
}


@pytest.mark.parametrize("name", BASES)
def test_variants_start_from_the_right_formula(name):
    formula = FORMULAS[name]
    for case in formula.cases:
        off = errors(formula.outputs(case, BASES[name]), formula.outputs(case))
        assert max(off.values()) <= 1e-12, (case.name, off)


IN_THE_GRADIENT = (
    "gradient",
    "only in the loss",
    "sign of the temp",
    "held constant",
    "duplicates",
    "row 0 taken as padding",
)
OTHERWISE = {
    "stop-gradient weight differentiated": False,
    "stop-gradient weight left out": False,
    "calibrated loss beside the same gradient": False,
    "P from the sum of the draws, not their mean": True,  # the weight is a constant here too
    "positive in the denominator": True,
    "log(1 - q) left out": True,
    "1 - q of the negative instead of the positive": True,
}


@pytest.mark.parametrize(
    "name, mistake",
    [(f.name, m) for f in FORMULAS.values() if f.gradients for m in MISTAKES[f.name]],
    ids=lambda x: getattr(x, "name", x),
)
def test_a_mistake_in_the_loss_has_the_gradient_of_that_loss(name, mistake):
    formula = FORMULAS[name]
    says = any(words in mistake.name for words in IN_THE_GRADIENT)
    weighted = name == "stop_gradient_logq"  # its weight is a constant
    in_gradient = OTHERWISE.get(mistake.name, says) if weighted else says
    shown_in = ("plain", "duplicate_items", "duplicate_rows", "masked", "larger")
    cases = [case for case in formula.cases if case.name in shown_in]
    slopes_agree = []
    for case in cases:
        places = [i for i, a in enumerate(formula.arguments) if a.gradient]
        at = [np.asarray(formula.inputs(case)[i], float) for i in places]

        def loss(*moved, case=case, places=places):
            inputs = formula.inputs(case)
            for i, x in zip(places, moved, strict=True):
                inputs[i] = x
            return float(mistake.compute(*inputs)[0])

        directions = [np.cos(1 + i + np.arange(x.size)).reshape(x.shape) for i, x in enumerate(at)]
        wrong = formula.outputs(case, mistake.compute)
        if not np.isfinite(wrong["loss"]):
            continue
        promised = along([wrong[g] for g in formula.gradients], directions)
        measured = directional(loss, at, directions, h=1e-4)
        slopes_agree.append(abs(promised - measured) <= 1e-7 * max(1, abs(promised)))
    assert cases
    assert all(slopes_agree) != in_gradient
