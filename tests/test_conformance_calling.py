"""How an implementation takes its arguments, its choices, and which formula it is."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from test_conformance_checker import softmax_loss

from minitower.conformance import FORMULAS, check
from minitower.conformance.calling import at_constants, bound
from minitower.conformance.checker import guess
from minitower.conformance.formula import CHOICES, Unusable
from minitower.formulas.pairwise import triplet_hinge

in_batch = partial(check, formula="in_batch_softmax")


def taken(fn, formula="in_batch_softmax", **given):
    """What fn returns for arguments that are their own names."""
    spec = FORMULAS[formula]
    return bound(fn, spec, given)(*(argument.name for argument in spec.arguments))


class Loss:
    def __init__(self, temperature, reduction="mean"):
        self.made = temperature, reduction

    def __call__(self, users, items, log_q):
        return (*self.made, users, items, log_q)


class Module:
    """As torch has it: __call__ takes anything, forward says what."""

    def __call__(self, *args, **kwargs):
        return self.forward(*args, **kwargs)

    def forward(self, items, users, tau, log_q=None):
        return users, items, log_q, tau


ORDER = ("users", "items", "log_q", "temperature")


@pytest.mark.parametrize(
    "fn",
    [
        lambda a, b, c, d: (a, b, c, d),
        lambda *a: a,
        lambda items, users, log_q, t: (users, items, log_q, t),
        lambda items, log_q, users, t: (users, items, log_q, t),
        lambda *, temperature, log_q, items, users: (users, items, log_q, temperature),
        lambda a, b, q, temperature=0.1, eps=None: (a, b, q, temperature),
        lambda a, b, **more: (a, b, more["log_q"], more["temperature"]),
        lambda u, v, /, log_q, temperature: (u, v, log_q, temperature),
        Module(),
        partial(lambda x, a, b, c, d: (a, b, c, d), "x"),
    ],
)
def test_every_parameter_takes_its_argument(fn):
    assert taken(fn) == ORDER


def test_a_class_is_made_and_called():
    assert taken(Loss) == ("temperature", "mean", "users", "items", "log_q")
    assert taken(Loss, reduction="sum")[1] == "sum"
    assert taken(Loss, temperature=0.5)[0] == "temperature", "the cases hold 0.5"


def test_parameters_are_mapped():
    fn = lambda q, tau, u, v, reduction: (u, v, q, tau, reduction)
    given = {"q": "log_q", "tau": "temperature", "reduction": "mean"}
    assert taken(fn, **given) == (*ORDER, "mean")
    assert taken(lambda *a, **more: (*a, more["k"]), k=3) == (*ORDER, 3)
    assert taken(lambda *a, **more: (*a, more["t"]), t="temperature") == ORDER


def test_an_argument_that_is_mapped_goes_nowhere_else():
    assert taken(lambda x, users, q, t: (x, users, q, t), x="users") == ORDER


def test_an_argument_that_is_built_in_needs_no_parameter():
    assert taken(lambda u, v, q: (u, v, q), temperature=0.5) == ORDER[:3]
    assert taken(lambda u, v, q, t: t, temperature=0.5) == "temperature"


@pytest.mark.parametrize(
    "fn, given, message",
    [
        (lambda u: 0, {}, "takes u, expected users, items, log_q, temperature: no parameter for"),
        (lambda a, b, c, d, e: 0, {}, "takes a, b, c, d, e, expected .*: no argument for e"),
        (
            lambda a, b, c, *, d: 0,
            {},
            "takes a, b, c, d, expected .*: no parameter for temperature",
        ),
        (lambda a, b, c, d: 0, {"x": 1}, "has no parameter x: it takes a, b, c, d"),
    ],
)
def test_what_does_not_fit_is_said(fn, given, message):
    with pytest.raises(Unusable, match=message):
        taken(fn, **given)


def test_a_loss_with_a_temperature_of_its_own():
    own = lambda users, items, log_q: softmax_loss(users, items, log_q, 0.07)
    assert in_batch(own, given={"temperature": 0.07}).passed
    assert not in_batch(own, given={"temperature": 0.08}).passed
    assert "no parameter for temperature" in in_batch(own).unusable


def test_mistakes_that_a_constant_makes_one_are_both_named():
    own = lambda users, items, log_q: softmax_loss(users, items, log_q, 1.0)
    report = in_batch(own, given={"temperature": 0.5})
    assert report.mistake.name == "temperature left out"
    squared = lambda users, items, log_q: softmax_loss(users, items, log_q, 0.25)
    report = in_batch(squared, given={"temperature": 0.5})
    assert report.mistake.name == "temperature twice"
    either = lambda users, items, log_q: softmax_loss(users, items, log_q, 2.0)
    report = in_batch(either, given={"temperature": 0.5})
    assert report.mistake.name == "multiplied by the temperature"


def test_numbers_replace_numbers_only():
    spec = at_constants(FORMULAS["mixed_negatives"], {"catalogue": 100, "temperature": 2})
    assert {case.inputs["catalogue"] for case in spec.cases} == {100}
    assert {case.inputs["temperature"] for case in spec.cases} == {2.0}
    with pytest.raises(ValueError, match=r"log_q=0\.5: log_q is an array .* only a plain number"):
        in_batch(softmax_loss, given={"log_q": 0.5})


# --- Documented choices


def divided(eps):
    """A cosine whose gradient of a zero vector is huge, as in most libraries; 0: NaN."""

    def fn(users, items, pull):
        with np.errstate(all="ignore"):
            norms = [
                np.maximum(np.linalg.norm(x, axis=1, keepdims=True), eps) for x in (users, items)
            ]
            u, v = users / norms[0], items / norms[1]
            cos = (u * v).sum(axis=1, keepdims=True)
            small = [norm <= eps for norm in norms]
            back = lambda x, y, norm, tiny: pull[:, None] * np.where(tiny, y, y - x * cos) / norm
            return pull @ cos[:, 0], (
                back(u, v, norms[0], small[0]),
                back(v, u, norms[1], small[1]),
            )

    return fn


@pytest.mark.parametrize("eps", [1e-12, 1e-6, 0])
def test_a_choice_is_allowed(eps):
    fn = divided(eps)
    report = check(fn, formula="cosine")
    assert [result.case.name for result in report.failed] == ["zero_vectors"]
    report = check(fn, formula="cosine", allow=["zero_vectors"])
    assert report.passed
    assert [result.case.name for result in report.cases if result.allowed] == ["zero_vectors"]
    assert "all passed, zero_vectors allowed" in str(report)


def test_a_choice_hides_no_mistake():
    doubled = lambda u, v, pull: divided(1e-12)(u, v, 2 * pull)
    report = check(doubled, formula="cosine", allow=["zero_vectors"])
    assert len(report.failed) == len(report.cases) - 1


def test_a_choice_is_one_of_those_that_formulas_have():
    with pytest.raises(ValueError, match="no choice 'nan'; there are zero_vectors"):
        in_batch(softmax_loss, allow=["nan"])
    chosen = {case.choice for formula in FORMULAS.values() for case in formula.cases} - {""}
    assert chosen == set(CHOICES)
    assert not any(case.choice for case in FORMULAS["in_batch_softmax"].cases)


# --- What training loops return


def returning(form):
    torch = pytest.importorskip("torch")
    from torch.nn import functional as F

    def fn(users, items, log_q, temperature):
        logits = users @ items.T / temperature - log_q
        return form(F.cross_entropy(logits, torch.arange(len(users))))

    return in_batch(fn, framework="torch")


@pytest.mark.parametrize(
    "form",
    [lambda loss: loss.reshape(1), lambda loss: {"loss": loss, "accuracy": 0.5},
     lambda loss: (loss, {"accuracy": 0.5})],
)  # fmt: skip
def test_the_loss_of_a_training_loop_passes(form):
    report = returning(form)
    assert report.passed, str(report)


def test_a_loss_without_gradient_is_none():
    assert "returned a float, expected a tensor" in returning(lambda loss: loss.item()).unusable
    assert (
        "returned loss of shape (3,)" in returning(lambda loss: loss + loss.new_zeros(3)).unusable
    )


def test_sparse_gradients_pass():
    pytest.importorskip("torch")
    from torch.nn import functional as F

    fn = lambda table, rows, pull: (F.embedding(rows, table, sparse=True) * pull).sum()
    assert check(fn, formula="embedding_lookup", framework="torch").passed


# --- Which formula it is


def test_the_formula_is_guessed_from_name_or_parameters():
    assert guess(triplet_hinge, {}) == ("triplet_hinge", "the function is called triplet_hinge")
    by_arguments = lambda negative, margin, positive: 0
    assert guess(by_arguments, {})[0] == "triplet_hinge"
    assert guess(lambda pos, neg, margin: 0, {"pos": "positive", "neg": "negative"})[0] == (
        "triplet_hinge"
    )
    assert guess(lambda p, size, rng: 0, {})[0] == "sampler"
    assert guess(lambda users, items, temperature: 0, {})[0] == "in_batch_softmax_plain"
    assert guess(lambda logits, labels: 0, {})[0] == "binary_cross_entropy"
    assert guess(lambda positive, negative: 0, {"margin": 0.5})[0] == "triplet_hinge"


def test_the_name_says_which_variant_it_is():
    def loss(users, items, log_q, temperature):
        return 0

    assert guess(loss, {}) == (
        "in_batch_softmax",
        "its arguments are users, items, log_q, temperature, which in_batch_softmax_cosine has, "
        "too",
    )
    loss.__name__ = "my_cosine_loss"
    assert guess(loss, {})[0] == "in_batch_softmax_cosine"


def test_a_class_is_guessed_from_both_of_its_signatures():
    class Hinge:
        def __init__(self, margin):
            self.margin = margin

        def forward(self, positive, negative):
            return 0

    assert guess(Hinge, {})[0] == "triplet_hinge"


@pytest.mark.parametrize(
    "fn, message",
    [(lambda a, b: 0, "its arguments fit no formula; say which it is with --formula"),
     (lambda hits, positives, k: 0, "its arguments fit recall, mrr, mean_average_precision, ndcg"),
     (SimpleNamespace, "its arguments fit no formula")],
)  # fmt: skip
def test_no_guess_without_one_formula_that_fits(fn, message):
    with pytest.raises(ValueError, match=message):
        guess(fn, {})
