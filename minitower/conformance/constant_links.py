"""Links of the softmax chain, and losses of one example, with a constant that is a mistake.

Chapter 17.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit, logsumexp, softmax

from minitower.conformance.links import cross_entropy


def capped(losses: Any, slopes: Any, c: float, form: str) -> tuple[Any, Any]:
    """The loss -log p as it is computed from p with a constant, and its slope.

    Args:
        losses: -log p.
        slopes: the slope of -log p by the logit.
        form: "max" for -log max(p, c), "clip" for -log clip(p, c, 1 - c), "add" for -log(p + c).
    """
    if form == "add":
        p = np.exp(-losses)
        return -np.log(p + c), slopes * p / (p + c)
    learns = losses < -np.log(c)
    if form == "clip":
        learns &= losses > -np.log1p(-c)
        return np.clip(losses, -np.log1p(-c), -np.log(c)), slopes * learns
    return np.minimum(losses, -np.log(c)), slopes * learns


def capped_softmax(logits: Any, positive: Any, share: Any, *, c: float, form: str) -> Any:
    """Cross-entropy of a probability with a constant."""
    losses = logsumexp(logits, axis=1) - logits[np.arange(len(logits)), positive]
    losses, learns = capped(losses, np.ones_like(losses), c, form)
    _, gradient = cross_entropy(logits, positive, share * learns)
    return share @ losses, gradient


def capped_logistic(x: Any, *, c: float, form: str) -> tuple[Any, Any]:
    """log(1 + exp(x)) of a probability with a constant."""
    return capped(np.logaddexp(0, x), expit(x), c, form)


def smoothed(logits: Any, positive: Any, share: Any, *, c: float) -> Any:
    """Cross-entropy with the share c of each label spread over all candidates."""
    value, gradient = cross_entropy(logits, positive, share)
    kept = np.isfinite(logits)
    rest = np.where(kept, logits, 0).sum(axis=1)
    m = logits.shape[1]
    losses = logsumexp(logits, axis=1) - rest / m
    losses = np.where(kept.all(axis=1), losses, np.inf)
    spread = (softmax(logits, axis=1) - 1 / m) * share[:, None]
    return (1 - c) * value + c * (share @ losses), (1 - c) * gradient + c * spread


def normalized(x: Any, *, c: float, form: str) -> Any:
    """x over a length with a constant in it, and what sends the gradient back.

    Args:
        form: "root" for sqrt(|x|^2 + c), "add" for |x| + c, "max" for max(|x|, c).
    """
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    length = {
        "root": np.sqrt(norm**2 + c),
        "add": norm + c,
        "max": np.maximum(norm, c),
    }[form]
    safe = np.where(norm > 0, norm, 1)
    slope = {"root": 1 / length, "add": 1 / safe, "max": (norm > c) / safe}[form]  # d length / x

    def backward(dy: Any) -> Any:
        along = (dy * x).sum(axis=1, keepdims=True)
        return dy / length - x * along * slope / length**2

    return x / length, backward
