"""No false alarm: right losses of other libraries pass every case, in both precisions.

PyTorch, JAX, optax, TensorFlow, Keras and keras-rs run where the extra ``peers`` is installed;
those of sentence-transformers and OpenCLIP are transcribed. A documented choice is allowed.
"""

from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from minitower.conformance import check
from minitower.conformance.formula import TOLERANCE

IN_BATCH, PLAIN, MASKED = (
    "in_batch_softmax", "in_batch_softmax_plain", "in_batch_softmax_masked"
)  # fmt: skip
COSINE, INFO = "in_batch_softmax_cosine", "info_nce"
HINGE, LOGISTIC, MANY = "triplet_hinge", "triplet_logistic", "triplet_logistic_many"
BINARY, LOOKUP = "binary_cross_entropy", "embedding_lookup"

TORCH = {
    "cross_entropy": IN_BATCH,
    "cross_entropy_module": IN_BATCH,
    "cross_entropy_of_one_hot": IN_BATCH,
    "nll_of_log_softmax": IN_BATCH,
    "cross_entropy_weighted": "in_batch_softmax_weighted",
    "cross_entropy_of_normalized": COSINE,
    "cross_entropy_of_scores": PLAIN,
    "cross_entropy_masked": MASKED,
    "cross_entropy_of_lists": "listwise_softmax",
    "cross_entropy_of_lists_with_q": "listwise_softmax_log_q",
    "learned": "learned_temperature",
    "binary_with_logits": BINARY,
    "binary_module": BINARY,
    "logistic": "pointwise_logistic",
    "squared": "pointwise_squared",
    "ranking": HINGE,
    "triplet_of_distances": HINGE,
    "ranking_many": "triplet_hinge_many",
    "softplus": LOGISTIC,
    "log_sigmoid": LOGISTIC,
    "log_sigmoid_many": MANY,
    "cosine_similarity": "cosine",
    "embedding": LOOKUP,
    "embedding_sparse": LOOKUP,
    "embedding_module": LOOKUP,
    "sentence_transformers_ranking": INFO,
    "sentence_transformers_ranking_by_dot": PLAIN,
    "open_clip": "info_nce_symmetric",
}
JAX = {
    "log_softmax": IN_BATCH,
    "logsumexp": IN_BATCH,
    "one_hot": PLAIN,
    "vmapped": PLAIN,
    "log_softmax_where": MASKED,
    "softplus": LOGISTIC,
    "log_sigmoid": MANY,
    "relu": HINGE,
    "take": LOOKUP,
    "index": LOOKUP,
    "optax_integer_labels": IN_BATCH,
    "optax_one_hot": PLAIN,
    "optax_where": MASKED,
    "optax_ranking_softmax": "listwise_softmax",
    "optax_sigmoid": BINARY,
    "optax_squared": "pointwise_squared",
    "optax_hinge": HINGE,
    "optax_cosine": "cosine",
}
TENSORFLOW = {
    "sparse_softmax": IN_BATCH,
    "softmax_of_labels": PLAIN,
    "softmax_masked": MASKED,
    "softmax_of_normalized": INFO,
    "sigmoid_with_logits": BINARY,
    "softplus": LOGISTIC,
    "log_sigmoid": MANY,
    "relu": HINGE,
    "lookup": LOOKUP,
    "gather": LOOKUP,
    "keras_categorical": IN_BATCH,
    "keras_sparse_categorical": PLAIN,
    "keras_binary": BINARY,
    "keras_squared": "pointwise_squared",
    "keras_rs_sampling_probability": IN_BATCH,
    "keras_rs_hinge": HINGE,
    "keras_rs_logistic": LOGISTIC,
    "keras_rs_logistic_many": MANY,
}
RIGHT = {"torch": TORCH, "jax": JAX, "tensorflow": TENSORFLOW}
ZERO_VECTORS = {
    "cross_entropy_of_normalized", "cosine_similarity", "sentence_transformers_ranking",
    "open_clip", "optax_cosine", "softmax_of_normalized",
}  # fmt: skip
"""These divide a vector of zeros by a small constant, as they document."""

FOLDER = Path(__file__).parent / "right"


def losses(framework):
    """The module of a framework's right losses, or a skip."""
    if find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed: pip install '.[peers]'")
    path = FOLDER / f"{framework}_losses.py"
    spec = spec_from_file_location(f"right_{framework}_losses", path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.filterwarnings("ignore:In loss categorical_crossentropy:SyntaxWarning")  # one row
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(
    "framework, name", [(framework, name) for framework, names in RIGHT.items() for name in names]
)
def test_right_loss__passes(framework, name, dtype):
    allow = ["zero_vectors"] if name in ZERO_VECTORS else []
    report = check(
        getattr(losses(framework), name), formula=RIGHT[framework][name], framework=framework,
        dtype=dtype, allow=allow,
    )  # fmt: skip
    assert report.passed, str(report)


@pytest.mark.parametrize("framework", RIGHT)
def test_right_losses__are_all_checked(framework):
    module = losses(framework)
    defined = {
        name
        for name, value in vars(module).items()
        if getattr(value, "__module__", "") == module.__name__
        and getattr(value, "__name__", "") == name
    }
    assert defined - {"optax", "keras_rs_pairs"} == set(RIGHT[framework])


@pytest.mark.parametrize("name", ["cross_entropy_of_normalized", "open_clip"])
def test_choice__is_needed(name):
    """Without the choice only the case of zero vectors fails."""
    report = check(getattr(losses("torch"), name), formula=TORCH[name], framework="torch")
    assert [result.case.name for result in report.failed] == ["zero_vectors"]
