"""Losses in the plain forms of most code: no log q, labels of 0 and 1, k negatives a row.

Chapter 17.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from minitower.conformance import cases
from minitower.conformance.adapters import corrected, logistic, of_labels, of_pairs, without_q
from minitower.conformance.cases import grid, of_batches, of_table
from minitower.conformance.formula import Argument, Formula
from minitower.conformance.softmax_registry import ITEMS, POSITIVE, TAU, USERS
from minitower.formulas.logq import yi
from minitower.formulas.pairwise import triplet_hinge, triplet_logistic
from minitower.formulas.softmax import listwise_softmax

_NEGATIVES = Argument("negatives", "(n,k)", "scores of the drawn items", gradient=True)
_DROP = Argument("drop", "(n,k)", "negatives to leave out", kind="bool")


def _sampled(
    positive: Any, negatives: Any, positive_log_q: Any, log_q: Any, drop: Any, temperature: float
) -> Any:
    return listwise_softmax(
        positive - temperature * positive_log_q,
        negatives - temperature * log_q,
        drop=drop,
        temperature=temperature,
    )


def _corrected_lists() -> cases.Table:
    """The lists of the listwise softmax, with log q of the positive and of each negative."""
    found: cases.Table = {}
    for name, (why, inputs) in cases.LISTWISE.items():
        n, k = inputs["negatives"].shape
        own, log_q = grid(n, salt=n + 3) * 2 - 2.5, grid(n, k, salt=k + 3) * 2 - 2.5
        found[name] = (why, {**inputs, "positive_log_q": own, "log_q": log_q})
    rare = {**found["plain"][1], "log_q": np.array([[-0.25, -40, -3], [-25, -1, -40.0]])}
    return found | {"rarest": ("log q of -40 and -25: q clipped at 1e-8", rare)}


PLAIN_FORMULAS = (
    Formula(
        "in_batch_softmax_plain",
        "each user against all items of the batch, by inner product and without log q",
        "loss = mean_i (log sum_j exp(z_ij) - z_ii),  z_ij = users_i . items_j / temperature",
        "lecture, section 2.4, before its correction",
        (USERS, ITEMS, TAU),
        partial(without_q, compute=corrected(yi)),
        of_batches("users", "items", "temperature"),
    ),
    Formula(
        "binary_cross_entropy",
        "binary classification of logits, with labels of 0 and 1",
        "loss = mean_i (log(1 + exp(logits_i)) - labels_i logits_i)",
        "lecture, section 2.2 (pointwise training)",
        (Argument("logits", "(n)", "log-odds of the pairs", gradient=True),
         Argument("labels", "(n)", "1 for clicked pairs, 0 for drawn ones")),
        partial(of_labels, compute=logistic),
        of_table(cases.BINARY),
    ),
    Formula(
        "listwise_softmax_log_q",
        "each positive against drawn negatives of its own, log q taken off all of them",
        "loss = mean_i (log(exp(p_i) + sum_{j kept} exp(g_ij)) - p_i),"
        "  p_i = positive_i / temperature - positive_log_q_i,"
        "  g_ij = negatives_ij / temperature - log_q_ij",
        "Y. Bengio and J.-S. Senecal, Adaptive Importance Sampling, IEEE TNN 2008; S. Jean et al.,"
        " On Using Very Large Target Vocabulary, ACL 2015, section 3",
        (POSITIVE, _NEGATIVES,
         Argument("positive_log_q", "(n)", "log of the probability that one draw is the positive"),
         Argument("log_q", "(n,k)", "log of the probability that one draw is the negative"),
         _DROP, TAU),
        _sampled,
        of_table(_corrected_lists()),
    ),
    Formula(
        "triplet_logistic_many",
        "the smooth pairwise loss, each positive with k negatives of its own",
        "loss = mean_ij log(1 + exp(scale (negatives_ij - positive_i)))",
        "lecture, section 2.3 (pairwise training)",
        (POSITIVE, _NEGATIVES, Argument("scale", "()", "how sharply the loss bends, > 0")),
        partial(of_pairs, compute=lambda p, n, x: triplet_logistic(p, n, scale=x)),
        of_table(cases.LISTS, scale=2.5),
    ),
    Formula(
        "triplet_hinge_many",
        "a positive should lead each of its k negatives by a margin",
        "loss = mean_ij max(0, negatives_ij - positive_i + margin)",
        "J. Huang et al., Embedding-based Retrieval in Facebook Search, KDD 2020, Eq. 2",
        (POSITIVE, _NEGATIVES, Argument("margin", "()", "the lead asked for, > 0")),
        partial(of_pairs, compute=lambda p, n, x: triplet_hinge(p, n, margin=x)),
        of_table(cases.LISTS, margin=0.25),
    ),
)  # fmt: skip
