"""The formulas that implementations are checked against, by name.

Arguments are plain arrays and numbers, and vectors rather than scores where a
training step has vectors, so that what is checked reaches back to the towers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minitower.conformance import cases
from minitower.conformance.cases import grid, of_batches, of_table
from minitower.conformance.formula import Argument, Case, Compute, Formula
from minitower.formulas import ranking
from minitower.formulas.draw_probability import log_mixture
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
from minitower.formulas.sampling import power_law
from minitower.formulas.similarity import cosine, l2_normalize
from minitower.formulas.softmax import (
    in_batch_softmax,
    info_nce,
    listwise_softmax,
    temperature_gradient,
)
from minitower.formulas.stop_gradient_logq import stop_gradient_logq


def of_vectors(loss: Any) -> Compute:
    """A loss of scores, as one of the vectors whose inner products they are."""

    def compute(users: Any, items: Any, *rest: Any) -> Any:
        value, d_scores = loss(users @ items.T, *rest)
        return value, (d_scores @ items, d_scores.T @ users)

    return compute


def of_unit_vectors(compute: Compute, normalize: Any = l2_normalize) -> Compute:
    """A loss of two sets of vectors that scales each of them to length one first."""

    def unit(users: Any, items: Any, *rest: Any) -> Any:
        (users, back_users), (items, back_items) = normalize(users), normalize(items)
        value, (d_users, d_items) = compute(users, items, *rest)
        return value, (back_users(d_users), back_items(d_items))

    return unit


def corrected(correction: Any) -> Compute:
    """The in-batch softmax of vectors under a correction made from what stands between.

    Arguments: users, items, whatever the correction needs, temperature.
    """

    def loss(scores: Any, *rest: Any) -> Any:
        *given, temperature = rest
        return in_batch_softmax(scores, correction(*given), temperature=temperature)

    return of_vectors(loss)


def _weighted(scores: Any, log_q: Any, weights: Any, temperature: float) -> Any:
    return in_batch_softmax(scores, yi(log_q), temperature=temperature, weights=weights)


def _mixed(scores: Any, log_q: Any, catalogue: int, temperature: float) -> Any:
    n, m = scores.shape
    uniform = np.full(m, -np.log(catalogue))
    log_q_mixture = log_mixture([log_q, uniform], [n / m, 1 - n / m])
    return in_batch_softmax(scores, mixed(log_q_mixture, n), temperature=temperature)


def _bank(users: Any, items: Any, bank: Any, *rest: Any) -> Any:
    value, (d_users, d_all) = corrected(lambda q, ids: cross_batch(q, ids, len(users)))(
        users, np.concatenate([items, bank]), *rest
    )
    return value, (d_users, d_all[: len(items)])


def _learned_temperature(scores: Any, temperature: float) -> Any:
    nothing: Correction = uncorrected(np.arange(len(scores)))
    value, d_scores = in_batch_softmax(scores, nothing, temperature=temperature)
    return value, (d_scores, temperature_gradient(scores, d_scores, temperature))


def _weighted_cosines(users: Any, items: Any, pull: Any) -> Any:
    scores, backward = cosine(users, items)
    return pull @ scores, backward(pull)


def _lookup(table: Any, rows: Any, pull: Any) -> Any:
    d_table = np.zeros_like(table)
    np.add.at(d_table, rows, pull)
    return (table[rows] * pull).sum(), (d_table,)


def one_gradient(loss: Any) -> Compute:
    """A loss with a single gradient, which stands alone, in the form of those with more."""

    def compute(*arguments: Any) -> Any:
        value, gradient = loss(*arguments)
        return value, (gradient,)

    return compute


def _metric(measure: Any) -> Compute:
    return lambda hits, positives, k: (measure(hits, positives, k), ())


_USERS = Argument("users", "(n,d)", "user vectors, one a row", gradient=True)
_ITEMS = Argument("items", "(n,d)", "vectors of the clicked items; row i is user i's", True)
_LOG_Q = Argument("log_q", "(n)", "log of the probability that one draw is the item of the row")
_IDS = Argument("item_ids", "(n)", "which item each row of items is", kind="int")
_TAU = Argument("temperature", "()", "what scores are divided by, > 0")
_SCORES = Argument("scores", "(n)", "scores of the pairs", gradient=True)
_LABELS = Argument("labels", "(n)", "+1 for clicked pairs, -1 for drawn ones")
_POSITIVE = Argument("positive", "(n)", "scores of the clicked items", gradient=True)
_NEGATIVE = Argument("negative", "(n)", "scores of the drawn items", gradient=True)
_PULL = Argument("pull", "(n)", "a constant factor of each pair; it makes one number of many")
_HITS = (
    Argument("hits", "(n,K)", "true where the item at that rank is a positive", kind="bool"),
    Argument("positives", "(n)", "how many positives each user has", kind="int"),
    Argument("k", "()", "how many ranks count", kind="int"),
)

_VIEWS = (
    Argument("first", "(n,d)", "vectors of one view of n items", gradient=True),
    Argument("second", "(n,d)", "vectors of another view of the same", gradient=True),
    _TAU,
)
_TWO_VIEWS = {"first": "users", "second": "items", "temperature": "temperature"}
_IN_BATCH = {"users": "users", "items": "items", "log_q": "log_q", "temperature": "temperature"}
_BY_ID = {"users": "users", "items": "items", "item_ids": "item_ids", "temperature": "temperature"}
_LOGQ_BY_ID = {**_IN_BATCH, "item_ids": "item_ids"}
_YI = "X. Yi et al., Sampling-Bias-Corrected Neural Modeling, RecSys 2019"
_MANNING = "Manning, Raghavan and Schuetze, Introduction to Information Retrieval, 2008"

_ALL = (
    Formula(
        "in_batch_softmax",
        "each user against all items of the batch, log q taken off every candidate",
        "loss = mean_i (log sum_j exp(z_ij) - z_ii),  z_ij = users_i . items_j / temperature"
        " - log_q_j",
        f"{_YI}, Eqs. 3 and 4",
        (_USERS, _ITEMS, _LOG_Q, _TAU),
        corrected(yi),
        of_batches(_IN_BATCH),
    ),
    Formula(
        "in_batch_softmax_cosine",
        "the same on vectors that the loss itself scales to length one",
        "as in_batch_softmax, with users_i / |users_i| and items_j / |items_j|; a zero vector"
        " stays zero and gets no gradient",
        f"{_YI}, section 3, Normalization and Temperature",
        (_USERS, _ITEMS, _LOG_Q, _TAU),
        of_unit_vectors(corrected(yi)),
        of_batches(_IN_BATCH),
    ),
    Formula(
        "in_batch_softmax_weighted",
        "the same with a reward for each pair; the mean is over n, not over the weights",
        "loss = 1/n sum_i weights_i (log sum_j exp(z_ij) - z_ii),  z as in in_batch_softmax",
        f"{_YI}, Eqs. 2 and 4",
        (_USERS, _ITEMS, _LOG_Q, Argument("weights", "(n)", "reward of each pair, >= 0"), _TAU),
        of_vectors(_weighted),
        of_batches(_IN_BATCH | {"weights": "weights"}),
    ),
    Formula(
        "in_batch_softmax_masked",
        "no log q; other rows' copies of the row's own item are left out of its sum",
        "loss = mean_i (log sum_{j: j = i or ids_j != ids_i} exp(z_ij) - z_ii),"
        "  z_ij = users_i . items_j / temperature",
        "J. Yang et al., Mixed Negative Sampling, WWW 2020; lecture, section 2.4",
        (_USERS, _ITEMS, _IDS, _TAU),
        corrected(lambda ids: uncorrected(ids, mask_hits=True)),
        of_batches(_BY_ID),
    ),
    Formula(
        "calibrated_softmax",
        "accidental hits left out, each negative by what n_i draws of it would bring",
        "z_ij = users_i . items_j / temperature - (log n_i + log_q_j - log(1 - q_i)),"
        "  z_ii = users_i . items_i / temperature,  n_i = how many j have ids_j != ids_i,"
        "  loss = mean_i (log(exp z_ii + sum over those j of exp z_ij) - z_ii)",
        "gradient of K. Khrylchenko et al., Correcting the LogQ Correction, RecSys 2025",
        (_USERS, _ITEMS, _LOG_Q, _IDS, _TAU),
        corrected(calibrated),
        of_batches(_LOGQ_BY_ID),
    ),
    Formula(
        "stop_gradient_logq",
        "the same gradient, by a weight that is not differentiated",
        "l_ij = users_i . items_j / temperature - log_q_j + log(1 - q_i) for ids_j != ids_i,"
        "  f_i = users_i . items_i / temperature,  S_i = log sum_j exp(l_ij),"
        "  loss = mean_i constant(1 - P_i) (S_i - f_i),"
        "  P_i = exp f_i / (exp f_i + exp(S_i) / n_i)",
        "K. Khrylchenko et al., Correcting the LogQ Correction, RecSys 2025",
        (_USERS, _ITEMS, _LOG_Q, _IDS, _TAU),
        of_vectors(lambda s, q, ids, t: stop_gradient_logq(s, q, ids, temperature=t)),
        of_batches(_LOGQ_BY_ID, leave_out=["one_row", "all_but_one_masked"]),
    ),
    Formula(
        "mixed_negatives",
        "candidates of the batch and drawn uniformly; log q of the mixture off the negatives",
        "z_ij = users_i . items_j / temperature - log(n/m exp(log_q_j) + (1 - n/m) / catalogue),"
        "  z_ii without correction,  loss = mean_i (log sum_j exp(z_ij) - z_ii)",
        "J. Yang et al., Mixed Negative Sampling, WWW 2020, Eq. 5",
        (
            _USERS,
            Argument("items", "(m,d)", "vectors of m >= n candidates; row i < n is user i's", True),
            Argument("log_q", "(m)", "log of the probability that one click is on the item"),
            Argument("catalogue", "()", "how many items there are", kind="int"),
            _TAU,
        ),
        of_vectors(_mixed),
        of_batches(_IN_BATCH | {"items": "candidates", "log_q": "log_q_all"} | {
            "catalogue": "catalogue"}),
    ),
    Formula(
        "cross_batch_softmax",
        "candidates of the batch and of earlier ones, whose vectors are constants",
        "as in_batch_softmax over the n items and then the b of the bank; copies of row i's"
        " item in the bank are left out of its sum",
        "J. Wang et al., Cross-Batch Negative Sampling, SIGIR 2021, Eqs. 3, 4 and 9",
        (
            _USERS,
            _ITEMS,
            Argument("bank", "(b,d)", "item vectors of earlier batches, b >= 0"),
            Argument("log_q", "(n+b)", "log of the probability that one draw is the item"),
            Argument("item_ids", "(n+b)", "which item each row of items, then bank is", kind="int"),
            _TAU,
        ),
        _bank,
        of_batches(_IN_BATCH | {"bank": "bank", "log_q": "log_q_all", "item_ids": "item_ids_all"}),
    ),
    Formula(
        "listwise_softmax",
        "each positive against negatives of its own",
        "loss = mean_i (log(exp(p_i) + sum_{j kept} exp(g_ij)) - p_i),"
        "  p = positive / temperature,  g = negatives / temperature",
        "lecture, section 2.4 (listwise training)",
        (
            _POSITIVE,
            Argument("negatives", "(n,k)", "scores of the drawn items", gradient=True),
            Argument("drop", "(n,k)", "negatives to leave out", kind="bool"),
            _TAU,
        ),
        lambda p, g, drop, t: listwise_softmax(p, g, drop=drop, temperature=t),
        of_table(cases.LISTWISE),
    ),
    Formula(
        "info_nce",
        "each first view against all second views, by cosine",
        "loss = mean_i (log sum_j exp(z_ij) - z_ii),  z_ij = cos(first_i, second_j) / temperature",
        "T. Yao et al., Self-supervised Learning for Large-scale Item Recommendations,"
        " CIKM 2021, Eq. 3",
        _VIEWS,
        of_unit_vectors(of_vectors(lambda s, t: info_nce(s, temperature=t))),
        of_batches(_TWO_VIEWS),
    ),
    Formula(
        "info_nce_symmetric",
        "the mean of that and of each second view against all first views",
        "loss = 1/2 mean_i (log sum_j exp(z_ij) - z_ii) + 1/2 mean_j (log sum_i exp(z_ij) - z_jj),"
        "  z as in info_nce",
        "A. Radford et al., Learning Transferable Visual Models, ICML 2021, Fig. 3",
        _VIEWS,
        of_unit_vectors(of_vectors(lambda s, t: info_nce(s, temperature=t, symmetric=True))),
        of_batches(_TWO_VIEWS),
    ),
    Formula(
        "learned_temperature",
        "the in-batch softmax of scores, with the gradient of the temperature too",
        "loss = mean_i (log sum_j exp(scores_ij / temperature) - scores_ii / temperature)",
        f"{_YI}, section 3; the temperature as a parameter",
        (
            Argument("scores", "(n,n)", "scores of every user with every item", gradient=True),
            Argument("temperature", "()", "what scores are divided by, > 0", gradient=True),
        ),
        _learned_temperature,
        tuple(
            Case(name, why, {"scores": b["users"] @ b["items"].T, "temperature": b["temperature"]})
            for name, (why, b) in cases.BATCHES.items()
        ),
    ),
    Formula(
        "pointwise_squared",
        "the score itself should be the label",
        "loss = mean_i (scores_i - labels_i)^2",
        "lecture, section 2.2 (pointwise training)",
        (_SCORES, _LABELS),
        one_gradient(pointwise_squared),
        cases.pointwise(),
    ),
    Formula(
        "pointwise_logistic",
        "binary classification of clicked and drawn pairs",
        "loss = mean_i log(1 + exp(-labels_i (scale scores_i + bias)))",
        "lecture, section 2.2 (pointwise training)",
        (
            _SCORES,
            _LABELS,
            Argument("scale", "()", "how much a unit of score says", gradient=True),
            Argument("bias", "()", "log-odds at score 0", gradient=True),
        ),
        lambda s, y, scale, bias: pointwise_logistic(s, y, scale=scale, bias=bias),
        cases.pointwise(scale=2.5, bias=-0.75),
    ),
    Formula(
        "triplet_hinge",
        "a positive should lead its negative by a margin",
        "loss = mean_i max(0, negative_i - positive_i + margin)",
        "J. Huang et al., Embedding-based Retrieval in Facebook Search, KDD 2020, Eq. 2",
        (_POSITIVE, _NEGATIVE, Argument("margin", "()", "the lead asked for, > 0")),
        lambda p, g, margin: triplet_hinge(p, g, margin=margin),
        cases.pairwise(margin=0.25),
    ),
    Formula(
        "triplet_logistic",
        "the hinge's smooth sibling",
        "loss = mean_i log(1 + exp(scale (negative_i - positive_i)))",
        "lecture, section 2.3 (pairwise training)",
        (_POSITIVE, _NEGATIVE, Argument("scale", "()", "how sharply the loss bends, > 0")),
        lambda p, g, scale: triplet_logistic(p, g, scale=scale),
        cases.pairwise(scale=2.5),
    ),
    Formula(
        "cosine",
        "the cosine of each pair, made one number by constant factors",
        "loss = sum_i pull_i (users_i / |users_i|) . (items_i / |items_i|); a zero vector stays"
        " zero and gets no gradient",
        "J. Huang et al., Embedding-based Retrieval in Facebook Search, KDD 2020, Eq. 3",
        (_USERS, _ITEMS, _PULL),
        _weighted_cosines,
        of_batches({"users": "users", "items": "items", "pull": "log_q"}),
    ),
    Formula(
        "serving_scores",
        "what ranks items for a user: the plain inner product, whatever training took off",
        "scores_ij = users_i . items_j",
        f"{_YI}, section 4; lecture, section 2.4",
        (
            Argument("users", "(n,d)", "user vectors, one a row"),
            Argument("items", "(n,d)", "item vectors, one a row"),
            _LOG_Q,
        ),
        lambda users, items, log_q: (users @ items.T, ()),
        of_batches({"users": "users", "items": "items", "log_q": "log_q"}),
        result="scores",
    ),
    Formula(
        "embedding_lookup",
        "rows of a table, made one number by constant factors: repeated rows add up",
        "loss = sum_ic pull_ic table[rows_i, c]",
        "J. Duchi et al., JMLR 2011, is where a lost duplicate hurts: (g1 + g2)^2",
        (
            Argument("table", "(r,d)", "an embedding table", gradient=True),
            Argument("rows", "(n)", "the row of each example, 0 to r - 1", kind="int"),
            Argument("pull", "(n,d)", "a constant factor of each number looked up"),
        ),
        _lookup,
        of_table({
            "plain": ("each row once", {
                "table": grid(4, 2), "rows": np.array([2, 0, 3]), "pull": grid(3, 2, salt=2)}),
            "duplicate_rows": ("rows twice and three times", {
                "table": grid(4, 3), "rows": np.array([1, 3, 1, 2, 3, 1]),
                "pull": grid(6, 3, salt=1)}),
            "one_row": ("a table of one row", {
                "table": grid(1, 2), "rows": np.array([0, 0]), "pull": grid(2, 2, salt=3)}),
        }),
    ),
    Formula(
        "power_law",
        "the probability to draw an item as a negative",
        "p_i = counts_i^beta / sum_j counts_j^beta",
        "T. Mikolov et al., Distributed Representations of Words and Phrases, NIPS 2013,"
        " section 2.2; lecture, section 2.4",
        (
            Argument("counts", "(K)", "clicks of each item"),
            Argument("beta", "()", "0.75 as a rule"),
        ),
        lambda counts, beta: (power_law(counts, beta), ()),
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
    *(
        Formula(
            measure.__name__,
            summary,
            math,
            f"{_MANNING}, chapter 8" if cited is None else cited,
            _HITS,
            _metric(measure),
            of_table(cases.RANKED),
            result="value",
        )
        for measure, summary, math, cited in (
            (
                ranking.recall,
                "the share of a user's positives that the first k ranks hold",
                "value = mean over users with positives of (hits in ranks 1..k) / positives",
                None,
            ),
            (
                ranking.mrr,
                "one over the rank of the first hit",
                "value = mean over users with positives of 1 / (rank of the first hit), 0 without",
                "E. Voorhees, The TREC-8 Question Answering Track Report, 1999",
            ),
            (
                ranking.mean_average_precision,
                "precision at every rank that hits",
                "value = mean over users with positives of"
                " sum_{r <= k, hit} precision@r / min(k, positives)",
                None,
            ),
            (
                ranking.ndcg,
                "hits discounted by rank, over the same sum for an ideal list",
                "value = mean over users with positives of sum_{r <= k, hit} 1/log2(r+1)"
                " / sum_{r <= min(k, positives)} 1/log2(r+1)",
                "Jaervelin and Kekaelaeinen, TOIS 2002, with binary gains",
            ),
        )
    ),
)  # fmt: skip

FORMULAS = {formula.name: formula for formula in _ALL}
