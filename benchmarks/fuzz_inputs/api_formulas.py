"""Targets: the formulas, on small valid arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from target import Arguments, Target

from minitower.formulas import (
    augmentation,
    blocked,
    draw_probability,
    frequency,
    logq,
    mutual_information,
    pairwise,
    pointwise,
    popularity,
    ranking,
    sampling,
    similarity,
    softmax,
    stop_gradient_logq,
    uniformity,
)

_WEIGHT = 0.2  # of each: they are many


def targets() -> dict[str, Target]:
    """All of them by name."""
    return {
        f"formula {name}": Target(
            call,
            lambda arguments=arguments: dict(arguments),
            tuple(
                key for key, value in arguments.items() if not isinstance(value, int | float | str)
            ),
            places=("correction",),  # made of the ids or of log q
            weight=_WEIGHT,
        )
        for name, (call, arguments) in (_losses() | _measures() | _draws()).items()
    }


Calls = dict[str, tuple[Callable[..., object], Arguments]]


def _losses() -> Calls:
    scores, vectors = np.array([[1.0, 0.5, -1.0], [0.0, 2.0, 0.5]]), np.ones((3, 2))
    positive, negatives = np.array([1.0, 0.5]), np.array([[0.1, 0.2], [0.3, -0.4]])
    log_q, ids, labels = np.log([0.5, 0.3, 0.2]), np.array([1, 2, 1]), np.array([1, -1])
    weights = np.array([1.0, 2.0])

    def corrected(make: Callable[..., Any]) -> Callable[..., object]:
        def call(**arguments: Any) -> object:
            correction = make(**arguments)
            softmax.in_batch_softmax(scores, correction, temperature=0.5)
            return blocked.blocked_in_batch_softmax(
                vectors[:2], vectors, correction, temperature=0.5
            )

        return call

    def in_batch(**arguments: Any) -> object:
        correction = logq.yi(log_q, n=2)
        return softmax.in_batch_softmax(arguments.pop("scores"), correction, **arguments)

    return {
        "softmax_cross_entropy": (
            softmax.softmax_cross_entropy,
            {"logits": scores, "positive": ids[:2] % 3, "weights": weights},
        ),
        "in_batch_softmax": (in_batch, {"scores": scores, "temperature": 0.5, "weights": weights}),
        "listwise_softmax": (
            softmax.listwise_softmax,
            {
                "positive": positive,
                "negatives": negatives,
                "temperature": 0.5,
                "weights": weights,
                "drop": negatives > 0.25,
            },
        ),
        "info_nce": (
            softmax.info_nce,
            {"scores": scores[:, :2], "temperature": 0.5, "weights": weights},
        ),
        "stop_gradient_logq": (
            stop_gradient_logq.stop_gradient_logq,
            {"scores": scores, "log_q": log_q, "candidate_ids": ids, "temperature": 0.5},
        ),
        "temperature_gradient": (
            softmax.temperature_gradient,
            {"scores": scores, "d_scores": scores, "temperature": 0.5},
        ),
        "yi": (corrected(logq.yi), {"log_q": log_q, "logq_weight": 1.0, "n": 2}),
        "calibrated": (corrected(logq.calibrated), {"log_q": log_q, "candidate_ids": ids, "n": 2}),
        "mixed": (corrected(logq.mixed), {"log_q": log_q, "n": 2}),
        "cross_batch": (
            corrected(logq.cross_batch),
            {"log_q": log_q, "candidate_ids": ids, "n": 2},
        ),
        "uncorrected": (corrected(logq.uncorrected), {"candidate_ids": ids, "n": 2}),
        "pointwise_squared": (
            pointwise.pointwise_squared,
            {"scores": positive, "labels": labels, "weights": weights},
        ),
        "pointwise_logistic": (
            pointwise.pointwise_logistic,
            {"scores": positive, "labels": labels, "scale": 2.0, "bias": 0.0, "weights": weights},
        ),
        "triplet_hinge": (
            pairwise.triplet_hinge,
            {"positive": positive, "negative": positive, "margin": 0.1, "weights": weights},
        ),
        "triplet_logistic": (
            pairwise.triplet_logistic,
            {"positive": positive, "negative": positive, "scale": 2.0, "weights": weights},
        ),
        "l2_normalize": (similarity.l2_normalize, {"x": vectors, "epsilon": 1e-6}),
        "inner_product": (similarity.inner_product, {"users": vectors, "items": vectors}),
        "cosine": (similarity.cosine, {"users": vectors, "items": vectors, "epsilon": 1e-6}),
        "alignment": (uniformity.alignment, {"x": vectors, "y": vectors, "power": 2.0}),
        "uniformity": (uniformity.uniformity, {"x": vectors, "scale": 2.0}),
    }


def _measures() -> Calls:
    hits, counts = np.array([[True, False], [False, True]]), np.array([1, 2])
    times = np.array([3, 0, 1])
    plain = {"hits": hits, "positives": counts, "k": 2}
    names = (
        "recall",
        "recall_capped",
        "precision",
        "hit_rate",
        "mrr",
        "mean_average_precision",
        "ndcg",
    )
    fields = [np.array([0, 1, 0]), np.array([1, 1, 0])]
    return {
        **{name: (getattr(ranking, name), plain) for name in names},
        "ranked": (ranking.ranked, {"scores": np.ones((2, 3)), "k": 2}),
        "coverage": (popularity.coverage, {"times": times}),
        "gini": (popularity.gini, {"times": times}),
        "novelty": (popularity.novelty, {"times": times, "clicks": times}),
        "times_recalled": (popularity.times_recalled, {"recalled": np.array([[0, 2]]), "m": 3}),
        "slices_by_items": (popularity.slices_by_items, {"clicks": times, "quantiles": (0.5,)}),
        "slices_by_positives": (
            popularity.slices_by_positives,
            {"clicks": times, "positives": times, "slices": 2},
        ),
        "mutual_information": (
            mutual_information.mutual_information,
            {"fields": fields, "weights": np.array([1, 2, 1])},
        ),
    }


def _draws() -> Calls:
    rng = np.random.default_rng(0)
    counts, p = np.array([1, 2, 3]), np.array([0.5, 0.3, 0.2])

    def mask(make: Callable[..., object]) -> Callable[..., object]:
        return lambda **arguments: make(rng, **arguments)

    def gaps(ids: Any, **arguments: Any) -> object:
        estimate = frequency.StreamingFrequency(**arguments)
        estimate.update(ids)
        return estimate.log_frequency(ids)

    return {
        "normalised": (
            lambda weights: draw_probability.normalized("weights", weights),
            {"weights": counts},
        ),
        "power_law": (sampling.power_law, {"counts": counts, "beta": 0.75}),
        "AliasTable": (lambda p: sampling.AliasTable(p).draw(rng, 3), {"p": p}),
        "Uniform": (lambda K: sampling.Uniform(K).draw(rng, 3), {"K": 3}),
        "Uniform.log_q": (lambda ids: sampling.Uniform(5).log_q(ids), {"ids": counts}),
        "log_mixture": (
            draw_probability.log_mixture,
            {"log_qs": np.log([p, p]), "shares": np.array([0.5, 0.5])},
        ),
        "log_q_without_positive": (
            draw_probability.log_q_without_positive,
            {"log_q": np.log(p), "log_q_positive": np.log(p)},
        ),
        "log_expected_count": (
            draw_probability.log_expected_count,
            {"log_q": np.log(p), "draws": 10.0},
        ),
        "log_inclusion_probability": (
            draw_probability.log_inclusion_probability,
            {"log_q": np.log(p), "draws": 10.0},
        ),
        "log_q_from_inclusion_probability": (
            draw_probability.log_q_from_inclusion_probability,
            {"log_inclusion": np.log(p), "draws": 10.0},
        ),
        "random_mask": (mask(augmentation.random_mask), {"n": 3, "k": 4, "hidden": 2}),
        "complementary_masks": (mask(augmentation.complementary_masks), {"n": 3, "k": 4}),
        "correlated_masks": (
            mask(augmentation.correlated_masks),
            {"n": 3, "pairwise_mi": np.eye(3), "rounding": "floor"},
        ),
        "drop_values": (
            mask(augmentation.drop_values),
            {"indptr": np.array([0, 2, 3]), "values": np.array([1, 2, 1]), "rate": 0.5},
        ),
        "StreamingFrequency": (
            gaps,
            {"ids": counts, "slots": 8, "alpha": 0.1, "initial_gap": 10.0, "hashes": 0},
        ),
        "gap_bias": (
            frequency.gap_bias,
            {"appearances": 3, "alpha": 0.1, "initial": 10.0, "mean": 3.0},
        ),
    }
