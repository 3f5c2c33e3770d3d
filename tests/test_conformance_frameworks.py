"""Implementations in PyTorch, JAX and TensorFlow, differentiated by the framework."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from minitower.conformance import check
from minitower.conformance.frameworks import FRAMEWORKS, runner


def torch_operations():
    import torch
    from torch.nn import functional as F

    return SimpleNamespace(
        log=torch.log, exp=torch.exp, sum=torch.sum, mean=torch.mean, softplus=F.softplus,
        softmax=lambda z: F.softmax(z, 1), lse=lambda z: torch.logsumexp(z, 1),
        diagonal=torch.diagonal, transpose=lambda x: x.T, detach=lambda x: x.detach(),
        where=torch.where, number=torch.tensor, take=lambda table, rows: table[rows],
        log1p=torch.log1p, sigmoid=torch.sigmoid,
        count=lambda mask, dtype: mask.sum(1).to(getattr(torch, dtype)),
        equal=lambda ids: ids[:, None] == ids, matmul=torch.matmul, float32=torch.Tensor.float,
    )  # fmt: skip


def jax_operations():
    import jax
    import jax.numpy as jnp

    return SimpleNamespace(
        log=jnp.log, exp=jnp.exp, sum=jnp.sum, mean=jnp.mean, softplus=jax.nn.softplus,
        softmax=lambda z: jax.nn.softmax(z, axis=1), lse=lambda z: jax.nn.logsumexp(z, axis=1),
        diagonal=jnp.diagonal, transpose=jnp.transpose, detach=jax.lax.stop_gradient,
        where=jnp.where, number=jnp.asarray, take=lambda table, rows: table[rows],
        log1p=jnp.log1p, sigmoid=jax.nn.sigmoid,
        count=lambda mask, dtype: mask.sum(axis=1).astype(dtype),
        equal=lambda ids: ids[:, None] == ids, matmul=jnp.matmul,
        float32=lambda x: x.astype("float32"),
    )  # fmt: skip


def tensorflow_operations():
    import tensorflow as tf

    return SimpleNamespace(
        log=tf.math.log, exp=tf.exp, sum=tf.reduce_sum, mean=tf.reduce_mean,
        softplus=tf.math.softplus, softmax=lambda z: tf.nn.softmax(z, axis=1),
        lse=lambda z: tf.reduce_logsumexp(z, axis=1), diagonal=tf.linalg.diag_part,
        transpose=tf.transpose, detach=tf.stop_gradient, where=tf.where, number=tf.constant,
        take=tf.gather, log1p=tf.math.log1p, sigmoid=tf.sigmoid,
        count=lambda mask, dtype: tf.reduce_sum(tf.cast(mask, dtype), axis=1),
        equal=lambda ids: ids[:, None] == ids, matmul=tf.matmul,
        float32=lambda x: tf.cast(x, "float32"),
    )  # fmt: skip


WORDS = {"torch": torch_operations, "jax": jax_operations, "tensorflow": tensorflow_operations}
TESTED = ["torch", "jax", "tensorflow"]


@pytest.fixture(params=TESTED)
def framework(request):
    if find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed: pip install '.[peers]'")
    return request.param


@pytest.fixture
def f(framework):
    """The words of a framework."""
    return WORDS[framework]()


def losses(f, dtype="float64"):
    """Formula -> a right implementation."""
    scores = lambda u, v: f.matmul(u, f.transpose(v))

    def in_batch(u, v, q, t):
        z = scores(u, v) / t - q
        return f.mean(f.lse(z) - f.diagonal(z))

    def masked(u, v, ids, t):
        z = scores(u, v) / t
        own = f.diagonal(z)
        hits = f.equal(ids) & (f.number(np.eye(len(ids))) == 0)
        return f.mean(f.lse(f.where(hits, f.number(-np.inf, dtype=z.dtype), z)) - own)

    def stop_gradient(u, v, q, ids, t, detach=f.detach):
        z = scores(u, v) / t
        same, own = f.equal(ids), f.diagonal(z)
        negatives = z - q + f.log1p(-f.exp(q))[:, None]
        others = f.lse(f.where(same, f.number(-np.inf, dtype=z.dtype), negatives))
        weight = f.sigmoid(others - f.log(f.count(~same, dtype)) - own)
        return f.mean(detach(weight) * (others - own))

    return {
        "in_batch_softmax": in_batch,
        "in_batch_softmax_masked": masked,
        "stop_gradient_logq": stop_gradient,
        "pointwise_logistic": lambda c, y, s, b: f.mean(f.softplus(-y * (s * c + b))),
        "embedding_lookup": lambda table, rows, pull: f.sum(f.take(table, rows) * pull),
        "serving_scores": lambda u, v, q: scores(u, v),
    }


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "formula",
    ["in_batch_softmax", "in_batch_softmax_masked", "stop_gradient_logq", "pointwise_logistic",
     "embedding_lookup", "serving_scores"],
)  # fmt: skip
def test_right_implementations_pass(framework, f, formula, dtype):
    loss = losses(f, dtype)[formula]
    report = check(loss, formula=formula, framework=framework, dtype=dtype)
    assert report.passed, str(report)
    assert f"({framework}, {dtype})" in str(report)


def test_float32(framework, f):
    loss = losses(f)["pointwise_logistic"]
    asked = {"formula": "pointwise_logistic", "framework": framework}
    seen = []

    def watched(*arguments):
        seen.extend(str(x.dtype) for x in arguments)
        return loss(*arguments)

    assert check(watched, **asked, dtype="float32").passed
    assert all("float32" in dtype for dtype in seen)
    single = lambda *arguments: loss(*map(f.float32, arguments))
    assert check(single, **asked).mistake.name == "computed in float32"


def wrong_losses(f):
    """Formula, the name of a mistake, and an implementation that makes it."""
    right = losses(f)
    scores = lambda u, v: f.matmul(u, f.transpose(v))
    yi = right["in_batch_softmax"]
    return [
        ("in_batch_softmax", "log q added instead of subtracted",
         lambda u, v, q, t: yi(u, v, -q, t)),
        ("in_batch_softmax", "(score - log q) / temperature",
         lambda u, v, q, t: yi(u, v, q / t, t)),
        ("in_batch_softmax", "sum instead of mean",
         lambda u, v, q, t: yi(u, v, q, t) * u.shape[0]),
        ("in_batch_softmax", "no gradient to the items",
         lambda u, v, q, t: yi(u, f.detach(v), q, t)),
        ("in_batch_softmax", "exp overflows, or log of zero", lambda u, v, q, t: (
            -f.mean(f.log(f.diagonal(f.softmax(scores(u, v) / t - q)))))),
        ("stop_gradient_logq", "stop-gradient weight differentiated",
         lambda *a: right["stop_gradient_logq"](*a, detach=lambda x: x)),
        ("pointwise_logistic", "labels' sign turned",
         lambda c, y, s, b: right["pointwise_logistic"](c, -y, s, b)),
        ("serving_scores", "log q subtracted at serving", lambda u, v, q: scores(u, v) - q),
    ]  # fmt: skip


@pytest.mark.parametrize("place", range(8))
def test_wrong_implementations_are_named(framework, f, place):
    formula, mistake, loss = wrong_losses(f)[place]
    report = check(loss, formula=formula, framework=framework)
    assert report.mistake is not None, str(report)
    assert report.mistake.name == mistake


def test_what_cannot_be_differentiated(framework, f):
    loss = losses(f)["in_batch_softmax"]

    def complaint(fn):
        return check(fn, formula="in_batch_softmax", framework=framework).unusable

    assert "expected" in complaint(lambda *a: (loss(*a), 0))
    assert "returned loss of shape (3, 3), expected one number" in complaint(
        lambda u, v, q, t: f.matmul(u, f.transpose(v))
    )
    assert "takes u, expected users, items" in complaint(lambda u: u)


def test_a_loss_may_branch_on_values(framework, f):
    loss = losses(f)["pointwise_logistic"]

    def branching(*arguments):
        value = loss(*arguments)
        return value if value > 0 else 0 * value

    assert check(branching, formula="pointwise_logistic", framework=framework).passed


def test_a_loss_that_is_cut_off():
    torch = pytest.importorskip("torch")
    report = check(lambda *a: torch.tensor(1.0), formula="in_batch_softmax", framework="torch")
    assert "does not depend on its inputs" in report.unusable
    assert (
        "expected a tensor"
        in check(lambda *a: 1.0, formula="in_batch_softmax", framework="torch").unusable
    )


@pytest.mark.parametrize("name", ["torch", "jax", "tensorflow"])
def test_a_missing_framework_is_named(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ModuleNotFoundError, match=f"framework {name} .* pip install {name}"):
        runner(name)
    assert name in FRAMEWORKS


def test_the_page_of_shipped_losses_is_printed():
    pytest.importorskip("torch")
    script = Path(__file__).parent.parent / "benchmarks" / "peer_losses.py"
    command = [sys.executable, str(script), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "| torch | `F.cross_entropy` | in_batch_softmax, float64 | all 14 cases pass |" in (
        done.stdout
    )
    assert "“divided by the scale”" in done.stdout
    rows = lambda text: [line for line in text.splitlines() if line.startswith("| torch |")]
    chapter = script.parent.parent / "docs" / "17-is-your-loss-right.md"
    assert rows(chapter.read_text("utf-8")) == rows(done.stdout)
