"""Every loss against PyTorch's and JAX's own differentiation, in float64.

Each framework states the formula once more, from its own building blocks, and derives the
gradient by itself. Runs where the extra ``peers`` is installed.
"""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from numerics import assert_close

from minitower.formulas.blocked import blocked_in_batch_softmax
from minitower.formulas.hits import KnownPositives
from minitower.formulas.logq import (
    Correction,
    calibrated,
    cross_batch,
    mixed,
    uncorrected,
    yi,
)
from minitower.formulas.pairwise import triplet_hinge, triplet_logistic
from minitower.formulas.pointwise import pointwise_logistic, pointwise_squared
from minitower.formulas.similarity import cosine, inner_product, l2_normalize
from minitower.formulas.softmax import (
    in_batch_softmax,
    info_nce,
    listwise_softmax,
    softmax_cross_entropy,
    temperature_gradient,
)
from minitower.formulas.stop_gradient_logq import stop_gradient_logq


class Torch:
    """PyTorch. Its softplus is linear beyond 20, 2e-9 off; its logsigmoid is exact."""

    def __init__(self):
        self.torch = pytest.importorskip("torch")
        f = self.torch.nn.functional
        self.log_sigmoid, self.relu, self.where = f.logsigmoid, f.relu, self.torch.where
        self.log_softmax = partial(f.log_softmax, dim=1)
        self.logsumexp = partial(self.torch.logsumexp, dim=1)
        self.normalize = partial(f.normalize, dim=1)
        self.column_stack, self.sigmoid = self.torch.column_stack, self.torch.sigmoid
        self.constant = lambda x: x.detach()
        self.array = self.torch.as_tensor

    def differentiate(self, loss, at):
        inputs = [self.torch.tensor(x, dtype=self.torch.float64, requires_grad=True) for x in at]
        value = loss(self, *inputs)
        value.backward()
        return value.item(), [x.grad.numpy() for x in inputs]


class Jax:
    """JAX, switched to float64 for as long as it computes."""

    def __init__(self):
        self.jax = pytest.importorskip("jax")
        jax, np_ = self.jax, self.jax.numpy
        self.log_sigmoid, self.relu, self.where = jax.nn.log_sigmoid, jax.nn.relu, np_.where
        self.log_softmax = partial(jax.nn.log_softmax, axis=1)
        self.logsumexp = partial(jax.nn.logsumexp, axis=1)
        self.normalize = lambda x: x / np_.linalg.norm(x, axis=1, keepdims=True)
        self.column_stack, self.sigmoid = np_.column_stack, jax.nn.sigmoid
        self.constant = jax.lax.stop_gradient
        self.array = np_.asarray

    def differentiate(self, loss, at):
        with self.jax.enable_x64(True):
            inputs = [self.jax.numpy.asarray(x, dtype="float64") for x in at]
            of_inputs = self.jax.value_and_grad(partial(loss, self), tuple(range(len(at))))
            value, gradients = of_inputs(*inputs)
            return float(value), [np.asarray(g) for g in gradients]


@pytest.fixture(params=[Torch, Jax], ids=["torch", "jax"], scope="module")
def framework(request):
    return request.param()


class Problem:
    """A batch of n pairs and m candidates; items repeat, scores and weights are arbitrary."""

    def __init__(self, n, m, d=3):
        rng = np.random.default_rng(n + 100 * m)
        self.n, self.m = n, m
        self.scores = rng.uniform(-1, 1, (n, m))
        self.users, self.items = rng.normal(size=(n, d)), rng.normal(size=(m, d))
        self.paired = rng.normal(size=(n, d))
        self.upstream = rng.normal(size=n)
        self.labels = rng.choice([-1.0, 1.0], n)
        self.weights = rng.uniform(0, 2, n)
        self.drop = rng.random((n, m)) < 0.3
        self.drop[np.arange(n), np.arange(n)] = False
        self.ids = rng.integers(0, max(2, m // 2), m)
        self.log_q = np.log(rng.uniform(0.01, 0.2, max(2, m // 2)))[self.ids]
        self.known = KnownPositives(
            np.arange(n), self.ids, (np.arange(n + 1), rng.integers(0, max(2, m // 2), n))
        )

    @property
    def vectors(self):
        """The first scores of each row, as a positive and a negative."""
        return self.scores[:, 0].copy(), self.scores[:, -1] + 0.1


SIZES = {"one candidate": (1, 1), "one row": (1, 4), "a batch": (6, 9)}


@pytest.fixture(params=SIZES.values(), ids=SIZES)
def problem(request):
    return Problem(*request.param)


def agree(framework, ours, theirs, at):
    """Loss and gradients to 1e-12 of the larger of 1 and their size."""
    value, gradients = ours
    assert_close((value, list(gradients)), framework.differentiate(theirs, at), 1e-12)


def mean_of_log_softmax(f, logits, weights, drop=None):
    """The cross-entropy of each row's own column on the diagonal."""
    if drop is not None:
        logits = f.where(f.array(drop), -np.inf, logits)
    n = len(weights)
    own = f.log_softmax(logits)[np.arange(n), np.arange(n)]
    return -(f.array(weights) * own).mean()


def test_weighted_log_sum(framework, problem):
    """BSL's two temperatures: the positive's is omega times that of the others."""
    tau, omega, n = 0.3, 1.25, problem.n
    correction = yi(problem.log_q, n=n)
    ours = in_batch_softmax(problem.scores, correction, temperature=tau, log_sum_weight=omega)

    def theirs(f, s):
        log_q, own = f.array(problem.log_q), (np.arange(n), np.arange(n))
        log_sum = f.logsumexp(s / tau - log_q)
        return (omega * (log_sum - s[own] / (omega * tau)) + log_q[:n]).mean()

    agree(framework, (ours[0], [ours[1]]), theirs, [problem.scores])


def test_decoupled(framework, problem):
    """The sum of a row has its negatives alone."""
    tau, n = 0.3, problem.n
    correction = replace(yi(problem.log_q, n=n), decoupled=True)
    ours = in_batch_softmax(problem.scores, correction, temperature=tau, log_sum_weight=1.25)
    if problem.m == 1:  # no negative
        assert (ours[0], ours[1].any()) == (0, False)
        return

    def theirs(f, s):
        logits = s / tau - f.array(problem.log_q)
        own = np.eye(*problem.scores.shape, dtype=bool)
        log_sum = f.logsumexp(f.where(f.array(own), -np.inf, logits))
        return (1.25 * log_sum - logits[np.arange(n), np.arange(n)]).mean()

    agree(framework, (ours[0], [ours[1]]), theirs, [problem.scores])


@pytest.mark.parametrize("similarity", [inner_product, cosine])
def test_similarity(framework, problem, similarity):
    scores, backward = similarity(problem.users, problem.paired)
    side = (lambda f, x: x) if similarity is inner_product else (lambda f, x: f.normalize(x))
    theirs = lambda f, u, v: ((side(f, u) * side(f, v)).sum(1) * f.array(problem.upstream)).sum()
    ours = scores @ problem.upstream, backward(problem.upstream)
    agree(framework, ours, theirs, [problem.users, problem.paired])


def test_l2_normalize(framework, problem):
    y, backward = l2_normalize(problem.users)
    theirs = lambda f, u: (f.normalize(u) * f.array(problem.paired)).sum()
    ours = np.vdot(y, problem.paired), [backward(problem.paired)]
    agree(framework, ours, theirs, [problem.users])


def test_pointwise_squared(framework, problem):
    scores, _ = problem.vectors
    loss, d_scores = pointwise_squared(scores, problem.labels, weights=problem.weights)
    theirs = lambda f, s: (f.array(problem.weights) * (s - f.array(problem.labels)) ** 2).mean()
    agree(framework, (loss, [d_scores]), theirs, [scores])


@pytest.mark.parametrize("scale, bias", [(1.0, 0.0), (20.0, -3.0), (1e4, 5.0)])
def test_pointwise_logistic(framework, problem, scale, bias):
    scores, _ = problem.vectors
    ours = pointwise_logistic(
        scores, problem.labels, scale=scale, bias=bias, weights=problem.weights
    )
    theirs = lambda f, s, a, b: (
        -(f.array(problem.weights) * f.log_sigmoid(f.array(problem.labels) * (a * s + b))).mean()
    )
    agree(framework, ours, theirs, [scores, scale, bias])


@pytest.mark.parametrize("margin", [0.1, 1.0, 3.0])
def test_triplet_hinge(framework, problem, margin):
    ours = triplet_hinge(*problem.vectors, margin=margin, weights=problem.weights)
    theirs = lambda f, p, q: (f.array(problem.weights) * f.relu(q - p + margin)).mean()
    agree(framework, ours, theirs, problem.vectors)


def test_triplet_hinge__at_the_kink(framework):
    """All three say that nothing pulls there."""
    at = [np.array([0.5]), np.array([0.25])]
    theirs = lambda f, p, q: f.relu(q - p + 0.25).mean()
    agree(framework, triplet_hinge(*at, margin=0.25), theirs, at)


@pytest.mark.parametrize("scale", [0.1, 10.0, 1e4])
def test_triplet_logistic(framework, problem, scale):
    ours = triplet_logistic(*problem.vectors, scale=scale, weights=problem.weights)
    theirs = lambda f, p, q: -(f.array(problem.weights) * f.log_sigmoid(scale * (p - q))).mean()
    agree(framework, ours, theirs, problem.vectors)


@pytest.mark.parametrize("size", [1.0, 1e4])
def test_softmax_cross_entropy(framework, problem, size):
    logits, weights, drop = size * problem.scores, problem.weights, problem.drop
    own = np.arange(problem.n)
    loss, d_logits = softmax_cross_entropy(logits, own, drop=drop, weights=weights)
    theirs = lambda f, x: mean_of_log_softmax(f, x, weights, drop)
    agree(framework, (loss, [d_logits]), theirs, [logits])


@pytest.mark.parametrize("temperature", [0.01, 1.0])
def test_listwise_softmax(framework, problem, temperature):
    weights, drop, (positive, _) = problem.weights, problem.drop, problem.vectors
    options = {"temperature": temperature, "drop": drop, "weights": weights}
    loss, gradients = listwise_softmax(positive, problem.scores, **options)
    d_temperature = sum(
        temperature_gradient(s, d, temperature)
        for s, d in zip((positive, problem.scores), gradients, strict=True)
    )

    def theirs(f, p, q, t):
        others = f.where(f.array(drop), -np.inf, q / t)
        own = f.log_softmax(f.column_stack([p / t, others]))[:, 0]
        return -(f.array(weights) * own).mean()

    ours = loss, [*gradients, d_temperature]
    agree(framework, ours, theirs, [positive, problem.scores, temperature])


FORMS = {
    "uncorrected": lambda p: uncorrected(p.ids, n=p.n),
    "masked": lambda p: uncorrected(p.ids, mask_hits=True, n=p.n),
    "known positives": lambda p: Correction(np.zeros(p.m), np.zeros(p.n), p.known),
    "yi": lambda p: yi(p.log_q, n=p.n),
    "yi, 0.25": lambda p: yi(p.log_q, logq_weight=0.25, n=p.n),
    "cross-batch": lambda p: cross_batch(p.log_q, p.ids, p.n),
    "mixed": lambda p: mixed(p.log_q, p.n),
    "calibrated": lambda p: calibrated(p.log_q, p.ids, p.n),
}


def corrected(f, scores, correction, temperature, weights):
    """In-batch softmax of a framework's scores, the diagonal corrected by itself."""
    taken_off = np.tile(correction.candidates, (len(correction.positive), 1))
    np.fill_diagonal(taken_off, correction.positive)
    drop = None if correction.hits is None else correction.hits.dense()
    return mean_of_log_softmax(f, scores / temperature - f.array(taken_off), weights, drop)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_in_batch_softmax(framework, problem, form):
    """And the temperature's own gradient."""
    temperature = 0.05
    correction, scores, weights = form(problem), problem.scores, problem.weights
    loss, d_scores = in_batch_softmax(scores, correction, temperature=temperature, weights=weights)
    theirs = lambda f, s, t: corrected(f, s, correction, t, weights)
    ours = loss, [d_scores, temperature_gradient(scores, d_scores, temperature)]
    agree(framework, ours, theirs, [scores, temperature])


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_blocked_in_batch_softmax(framework, problem, form):
    """Through the product of the vectors."""
    correction, weights, temperature = form(problem), problem.weights, 0.3
    at = [problem.users, problem.items]
    ours = blocked_in_batch_softmax(
        *at, correction, temperature=temperature, weights=weights, block=3
    )
    theirs = lambda f, u, v: corrected(f, u @ v.T, correction, temperature, weights)
    agree(framework, ours, theirs, at)


@pytest.mark.parametrize("symmetric", [False, True])
def test_info_nce(framework, problem, symmetric):
    scores = problem.scores[:, : problem.n]
    weights = problem.weights
    loss, d_scores = info_nce(scores, temperature=0.1, symmetric=symmetric, weights=weights)

    def theirs(f, s):
        rows = mean_of_log_softmax(f, s / 0.1, weights)
        return (rows + mean_of_log_softmax(f, s.T / 0.1, weights)) / 2 if symmetric else rows

    agree(framework, (loss, [d_scores]), theirs, [scores])


@pytest.mark.parametrize("n, m", [(1, 4), (6, 9)])
def test_stop_gradient_logq(framework, n, m):
    """The frameworks' own stop_gradient; every row has a negative."""
    problem, temperature = Problem(n, m), 0.2
    ids, log_q = problem.ids, problem.log_q
    ids[:2] = [100, 101]
    negative = ids[:n, None] != ids[None, :]
    loss, d_scores = stop_gradient_logq(
        problem.scores, log_q, ids, temperature=temperature, weights=problem.weights
    )
    log_q_prime = log_q[None, :] - np.log1p(-np.exp(log_q[:n]))[:, None]

    def theirs(f, s):
        own = (s / temperature)[np.arange(n), np.arange(n)]
        weighed = s / temperature - f.array(log_q_prime)
        others = f.logsumexp(f.where(f.array(negative), weighed, -np.inf))
        odds = others - f.array(np.log(negative.sum(axis=1))) - own
        return (f.array(problem.weights) * f.constant(f.sigmoid(odds)) * (others - own)).mean()

    agree(framework, (loss, [d_scores]), theirs, [problem.scores])
