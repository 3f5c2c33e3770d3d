"""The registry: every formula that implementations are checked against, by name. Chapter 17."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from minitower.conformance import cases
from minitower.conformance.adapters import (
    corrected,
    logistic,
    lookup,
    of_labels,
    of_pairs,
    one_gradient,
    sampled,
    value_alone,
    weighted_cosines,
    without_q,
)
from minitower.conformance.cases import grid, of_batches, of_table
from minitower.conformance.formula import CHOICES, Argument, Formula
from minitower.conformance.softmax_registry import (
    DROP,
    ITEMS,
    LOG_Q,
    NEGATIVES,
    POSITIVE,
    SOFTMAX_FORMULAS,
    TAU,
    USERS,
    YI,
)
from minitower.formulas import ranking
from minitower.formulas.logq import yi
from minitower.formulas.pairwise import triplet_hinge, triplet_logistic
from minitower.formulas.pointwise import pointwise_squared
from minitower.formulas.sampling import power_law

_SCORES = Argument("scores", "(n)", "scores of the pairs", gradient=True)
_LABELS = Argument("labels", "(n)", "+1 for clicked pairs, -1 for drawn ones")
_NEGATIVE = Argument("negative", "(n)", "scores of the drawn items", gradient=True)
_UPSTREAM = Argument("pull", "(n)", "a constant factor of each pair; it makes one number of many")
_HITS = (
    Argument("hits", "(n,K)", "true where the item at that rank is a positive", kind="bool"),
    Argument("positives", "(n)", "how many positives each user has", kind="int"),
    Argument("k", "()", "how many ranks count", kind="int"),
)
_HUANG = "J. Huang et al., Embedding-based Retrieval in Facebook Search, KDD 2020"
_MANNING = "Manning, Raghavan and Schuetze, Introduction to Information Retrieval, 2008, chapter 8"


def _triplet(
    loss: Callable[..., Any], summary: str, math: str, reference: str, parameter: Argument,
    value: float,
) -> Formula:  # fmt: skip
    """A pairwise loss, checked at one value of its parameter."""
    return Formula(
        loss.__name__,
        summary,
        math,
        reference,
        (POSITIVE, _NEGATIVE, parameter),
        lambda positive, negative, x: loss(positive, negative, **{parameter.name: x}),
        of_table(cases.PAIRWISE, **{parameter.name: value}),
    )


def _metric(measure: Callable[..., Any], summary: str, math: str, reference: str) -> Formula:
    return Formula(
        measure.__name__,
        summary,
        f"value = mean over users with positives of {math}",
        reference,
        _HITS,
        value_alone(measure),
        of_table(cases.RANKED),
        result="value",
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


_OTHERS = (
    Formula(
        "pointwise_squared",
        "the score itself should be the label",
        "loss = mean_i (scores_i - labels_i)^2",
        "lecture, section 2.2 (pointwise training)",
        (_SCORES, _LABELS),
        one_gradient(pointwise_squared),
        of_table(cases.POINTWISE),
    ),
    Formula(
        "pointwise_logistic",
        "binary classification of clicked and drawn pairs",
        "loss = mean_i log(1 + exp(-labels_i (scale scores_i + bias)))",
        "lecture, section 2.2 (pointwise training)",
        (_SCORES, _LABELS, Argument("scale", "()", "how much a unit of score says", gradient=True),
         Argument("bias", "()", "log-odds at score 0", gradient=True)),
        logistic,
        of_table(cases.POINTWISE, scale=2.5, bias=-0.75),
    ),
    _triplet(
        triplet_hinge,
        "a positive should lead its negative by a margin",
        "loss = mean_i max(0, negative_i - positive_i + margin)",
        f"{_HUANG}, Eq. 2",
        Argument("margin", "()", "the lead asked for, > 0"),
        0.25,
    ),
    _triplet(
        triplet_logistic,
        "the hinge's smooth sibling",
        "loss = mean_i log(1 + exp(scale (negative_i - positive_i)))",
        "lecture, section 2.3 (pairwise training)",
        Argument("scale", "()", "how sharply the loss bends, > 0"),
        2.5,
    ),
    Formula(
        "cosine",
        "the cosine of each pair, made one number by constant factors",
        "loss = sum_i pull_i (users_i / |users_i|) . (items_i / |items_i|); a zero vector stays"
        " zero and gets no gradient",
        f"{_HUANG}, Eq. 3",
        (USERS, ITEMS, _UPSTREAM),
        weighted_cosines,
        of_batches("users", "items", "pull", choices=CHOICES, fields={"pull": "log_q"}),
    ),
    Formula(
        "serving_scores",
        "what ranks items for a user: the plain inner product, whatever training took off",
        "scores_ij = users_i . items_j",
        f"{YI}, section 4; lecture, section 2.4",
        (Argument("users", "(n,d)", "user vectors, one a row"),
         Argument("items", "(n,d)", "item vectors, one a row"), LOG_Q),
        value_alone(lambda users, items, log_q: users @ items.T),
        of_batches("users", "items", "log_q"),
        result="scores",
    ),
    Formula(
        "embedding_lookup",
        "rows of a table, made one number by constant factors: repeated rows add up",
        "loss = sum_ic pull_ic table[rows_i, c]",
        "J. Duchi et al., JMLR 2011, is where a lost duplicate hurts: (g1 + g2)^2",
        (Argument("table", "(r,d)", "an embedding table", gradient=True),
         Argument("rows", "(n)", "the row of each example, 0 to r - 1", kind="int"),
         Argument("pull", "(n,d)", "a constant factor of each number looked up")),
        lookup(np.add.at),
        of_table({
            "plain": ("each row once", {
                "table": grid(4, 2), "rows": np.array([2, 0, 3]), "pull": grid(3, 2, salt=2)}),
            "duplicate_rows": ("rows twice and three times", {
                "table": grid(4, 3), "rows": np.array([1, 3, 1, 2, 3, 1]),
                "pull": grid(6, 3, salt=1)}),
            "long_rows": ("rows longer than one, and row 0", {
                "table": grid(3, 2, salt=4) * 8, "rows": np.array([0, 2, 0]),
                "pull": grid(3, 2, salt=5)}),
            "one_row": ("a table of one row", {
                "table": grid(1, 2), "rows": np.array([0, 0]), "pull": grid(2, 2, salt=3)}),
        }),
    ),
    Formula(
        "power_law",
        "the probability to draw an item as a negative",
        "p_i = counts_i^beta / sum_j counts_j^beta",
        "T. Mikolov et al., Distributed Representations of Words and Phrases, NIPS 2013,"
        " section 2.2; lecture, section 2.1.1",
        (Argument("counts", "(K)", "clicks of each item"),
         Argument("beta", "()", "0.75 as a rule")),
        value_alone(power_law),
        of_table({
            "sixteen_to_one": ("16 times the clicks, 8 times the draws", {
                "counts": np.array([16.0, 1]), "beta": 0.75}),
            "never_clicked": ("items without clicks are never drawn", {
                "counts": np.array([5.0, 0, 100, 1, 0]), "beta": 0.75}),
            "by_clicks": ("an exponent of one", {
                "counts": np.array([3.0, 1, 4]), "beta": 1.0}),
            "flat": ("a small exponent", {
                "counts": np.array([1.0, 10, 100, 1000]), "beta": 0.25}),
        }),
        result="p",
    ),
    _metric(
        ranking.recall,
        "the share of a user's positives that the first k ranks hold",
        "(hits in ranks 1..k) / positives",
        _MANNING,
    ),
    _metric(
        ranking.mrr,
        "one over the rank of the first hit",
        "1 / (rank of the first hit), 0 without a hit in ranks 1..k",
        "E. Voorhees, The TREC-8 Question Answering Track Report, 1999",
    ),
    _metric(
        ranking.mean_average_precision,
        "precision at every rank that hits",
        "sum_{r <= k, hit} precision@r / min(k, positives)",
        _MANNING,
    ),
    _metric(
        ranking.ndcg,
        "hits discounted by rank, over the same sum for an ideal list",
        "sum_{r <= k, hit} 1/log2(r+1) / sum_{r <= min(k, positives)} 1/log2(r+1)",
        "Jaervelin and Kekaelaeinen, TOIS 2002, with binary gains",
    ),
    # Plain forms of most code: no log q, labels of 0 and 1, k negatives a row.
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
        (POSITIVE, NEGATIVES,
         Argument("positive_log_q", "(n)", "log of the probability that one draw is the positive"),
         Argument("log_q", "(n,k)", "log of the probability that one draw is the negative"),
         DROP, TAU),
        sampled,
        of_table(_corrected_lists()),
    ),
    Formula(
        "triplet_logistic_many",
        "the smooth pairwise loss, each positive with k negatives of its own",
        "loss = mean_ij log(1 + exp(scale (negatives_ij - positive_i)))",
        "lecture, section 2.3 (pairwise training)",
        (POSITIVE, NEGATIVES, Argument("scale", "()", "how sharply the loss bends, > 0")),
        partial(of_pairs, compute=lambda p, n, x: triplet_logistic(p, n, scale=x)),
        of_table(cases.LISTS, scale=2.5),
    ),
    Formula(
        "triplet_hinge_many",
        "a positive should lead each of its k negatives by a margin",
        "loss = mean_ij max(0, negatives_ij - positive_i + margin)",
        "J. Huang et al., Embedding-based Retrieval in Facebook Search, KDD 2020, Eq. 2",
        (POSITIVE, NEGATIVES, Argument("margin", "()", "the lead asked for, > 0")),
        partial(of_pairs, compute=lambda p, n, x: triplet_hinge(p, n, margin=x)),
        of_table(cases.LISTS, margin=0.25),
    ),
)  # fmt: skip

FORMULAS = {formula.name: formula for formula in (*SOFTMAX_FORMULAS, *_OTHERS)}
