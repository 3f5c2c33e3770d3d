"""Forty wrong losses in PyTorch and JAX: every one is caught and named."""

from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from minitower.conformance import check

IN_BATCH, MASKED, INFO = "in_batch_softmax", "in_batch_softmax_masked", "info_nce"
WEIGHTED, LIST, BCE = "in_batch_softmax_weighted", "listwise_softmax", "binary_cross_entropy"
MANY = "triplet_logistic_many"

TORCH = {
    "einsum_scores_over_temperature_squared": (IN_BATCH, "temperature twice"),
    "gather_added": (IN_BATCH, "log q added instead of subtracted"),
    "nll_of_softmax_with_floor": (IN_BATCH, "log of a clipped probability: log(max(p, 1e-15))"),
    "with_default_temperature": (IN_BATCH, "temperature of 0.05, whatever is given"),
    "clamped_temperature": (IN_BATCH, "temperature of at least 0.02"),
    "tempered_popularity": (IN_BATCH, "log q of another power: 0.25 log q"),
    "smoothed_probabilities": (IN_BATCH, "1e-5 added to q"),
    "floor_of_log_q": (IN_BATCH, "q clipped at 1e-9"),
    "smoothed_labels": (IN_BATCH, "label smoothing of 0.05"),
    "frozen_negatives": (IN_BATCH, "no gradient through the negatives"),
    "offset_labels": (IN_BATCH, "labels shifted by one row"),
    "half_of_the_network": (IN_BATCH, "computed in half precision"),
    "masked_by_a_thousand": (MASKED, "mask that is not low enough: logits of -1000"),
    "masked_scores": (MASKED, "mask that is not low enough"),
    "ids_as_features": (MASKED, "ids compared in float32"),
    "padded_ids": (MASKED, "id 0 taken as padding"),
    "earlier_rows": (MASKED, "only earlier copies masked"),
    "supervised_contrast": (MASKED, "label shared by the copies"),
    "weighted_average": (WEIGHTED, "mean over the weights"),
    "used_rows": (WEIGHTED, "weights of zero dropped from the mean"),
    "smooth_norm": (INFO, "0.0001 under the root of the length"),
    "norm_plus": (INFO, "0.001 added to the length"),
    "nt_xent": (INFO, "views of the same side among the negatives"),
    "sigmoid_in_front": (BCE, "sigmoid applied twice"),
    "focal_on_positives": (BCE, "positives weighted 4 times"),
    "probabilities_with_eps": (BCE, "log of a clipped probability: log(p + 1e-9)"),
    "softplus_beta": (MANY, "divided by the scale"),
    "summed_over_k": (MANY, "sum over the negatives"),
    "own_margin": ("triplet_hinge", "margin of 0.5, whatever is given"),
    "leaky": ("triplet_hinge", "leaky hinge of slope 0.1"),
    "padded_lookup": ("embedding_lookup", "row 0 taken as padding"),
}
JAX = {
    "vmapped_without_q": (IN_BATCH, "log q left out"),
    "both_ways_and_added": (IN_BATCH, "log q added instead of subtracted, and both directions"),
    "total_without_q": (IN_BATCH, "log q left out"),
    "stopped_weight_forgotten": ("stop_gradient_logq", "stop-gradient weight differentiated"),
    "own_logit_uncorrected": ("listwise_softmax_log_q", "positive not corrected"),
    "kept_rows_only": (LIST, "rows without negatives dropped from the mean"),
    "large_negative": (LIST, "mask that is not low enough: -3e4 added to logits"),
    "mean_exponential": (LIST, "mean of the negatives' exponentials"),
    "fixed_scale": ("triplet_logistic", "scale left out"),
}
ALL = [("torch", name, *row) for name, row in TORCH.items()] + [
    ("jax", name, *row) for name, row in JAX.items()
]


def loss(framework, name):
    if find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed: pip install '.[peers]'")
    import_module(framework)
    path = Path(__file__).parent / "faults" / f"{framework}_losses.py"
    spec = spec_from_file_location(f"{framework}_losses", path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


@pytest.mark.parametrize(
    "framework, name, formula, mistake", ALL, ids=lambda x: x if x in (*TORCH, *JAX) else ""
)
def test_a_wrong_loss_is_caught_and_named(framework, name, formula, mistake):
    report = check(
        loss(framework, name), formula=formula, framework=framework, allow=["zero_vectors"]
    )
    assert not report.passed
    assert not report.unusable
    found = report.mistake and report.mistake.name
    assert found is not None, str(report)
    assert found.startswith(mistake)


def test_there_are_forty():
    assert len(ALL) == 40
