"""The softmax losses that implementations are checked against. Chapter 17."""

from __future__ import annotations

from minitower.conformance import cases
from minitower.conformance.adapters import (
    banked,
    corrected,
    learned_temperature,
    mixed_batch,
    of_unit_vectors,
    of_vectors,
)
from minitower.conformance.cases import of_batches, of_table
from minitower.conformance.formula import CHOICES, Argument, Formula
from minitower.formulas.logq import calibrated, uncorrected, yi
from minitower.formulas.softmax import in_batch_softmax, info_nce, listwise_softmax
from minitower.formulas.stop_gradient_logq import stop_gradient_logq

USERS = Argument("users", "(n,d)", "user vectors, one a row", gradient=True)
ITEMS = Argument("items", "(n,d)", "vectors of the clicked items; row i is user i's", True)
LOG_Q = Argument("log_q", "(n)", "log of the probability that one draw is the item of the row")
_IDS = Argument("item_ids", "(n)", "which item each row of items is", kind="int")
TAU = Argument("temperature", "()", "what scores are divided by, > 0")
POSITIVE = Argument("positive", "(n)", "scores of the clicked items", gradient=True)
NEGATIVES = Argument("negatives", "(n,k)", "scores of the drawn items", gradient=True)
DROP = Argument("drop", "(n,k)", "negatives to leave out", kind="bool")
_VIEWS = (
    Argument("first", "(n,d)", "vectors of one view of n items", gradient=True),
    Argument("second", "(n,d)", "vectors of another view of the same", gradient=True),
    TAU,
)
_OF_VIEWS = of_batches("first", "second", "temperature", choices=CHOICES, fields={
    "first": "users", "second": "items"})  # fmt: skip
_IN_BATCH = "users", "items", "log_q", "temperature"
YI = "X. Yi et al., Sampling-Bias-Corrected Neural Modeling, RecSys 2019"

SOFTMAX_FORMULAS = (
    Formula(
        "in_batch_softmax",
        "each user against all items of the batch, log q taken off every candidate",
        "loss = mean_i (log sum_j exp(z_ij) - z_ii),  z_ij = users_i . items_j / temperature"
        " - log_q_j",
        f"{YI}, Eqs. 3 and 4",
        (USERS, ITEMS, LOG_Q, TAU),
        corrected(yi),
        of_batches(*_IN_BATCH),
    ),
    Formula(
        "in_batch_softmax_cosine",
        "the same on vectors that the loss itself scales to length one",
        "as in_batch_softmax, with users_i / |users_i| and items_j / |items_j|; a zero vector"
        " stays zero and gets no gradient",
        f"{YI}, section 3, Normalization and Temperature",
        (USERS, ITEMS, LOG_Q, TAU),
        of_unit_vectors(corrected(yi)),
        of_batches(*_IN_BATCH, choices=CHOICES),
    ),
    Formula(
        "in_batch_softmax_weighted",
        "the same with a reward for each pair; the mean is over n, not over the weights",
        "loss = 1/n sum_i weights_i (log sum_j exp(z_ij) - z_ii),  z as in in_batch_softmax",
        f"{YI}, Eqs. 2 and 4",
        (USERS, ITEMS, LOG_Q, Argument("weights", "(n)", "reward of each pair, >= 0"), TAU),
        of_vectors(lambda s, q, w, t: in_batch_softmax(s, yi(q), temperature=t, weights=w)),
        of_batches(*_IN_BATCH, "weights", batches=cases.BATCHES | cases.WEIGHTED),
    ),
    Formula(
        "in_batch_softmax_log_sum",
        "the same with a weight on the log-sum: positives and negatives at two temperatures",
        "loss = mean_i (log_sum_weight log sum_j exp(z_ij) - z_ii),  z as in in_batch_softmax",
        "J. Wu et al., BSL: Understanding and Improving Softmax Loss for Recommendation, ICDE 2024",
        (USERS, ITEMS, LOG_Q, Argument("log_sum_weight", "()", "weight of the log-sum, >= 1"),
         TAU),
        of_vectors(lambda s, q, w, t: in_batch_softmax(
            s, yi(q), temperature=t, log_sum_weight=w)),
        of_batches(*_IN_BATCH, "log_sum_weight"),
    ),
    Formula(
        "in_batch_softmax_masked",
        "no log q; other rows' copies of the row's own item are left out of its sum",
        "loss = mean_i (log sum_{j: j = i or ids_j != ids_i} exp(z_ij) - z_ii),"
        "  z_ij = users_i . items_j / temperature",
        "J. Yang et al., Mixed Negative Sampling, WWW 2020; lecture, section 2.4",
        (USERS, ITEMS, _IDS, TAU),
        corrected(lambda ids: uncorrected(ids, mask_hits=True)),
        of_batches("users", "items", "item_ids", "temperature"),
    ),
    Formula(
        "calibrated_softmax",
        "accidental hits left out, each negative by what n_i draws of it would bring",
        "z_ij = users_i . items_j / temperature - (log n_i + log_q_j - log(1 - q_i)),"
        "  z_ii = users_i . items_i / temperature,  n_i = how many j have ids_j != ids_i,"
        "  loss = mean_i (log(exp z_ii + sum over those j of exp z_ij) - z_ii)",
        "gradient of K. Khrylchenko et al., Correcting the LogQ Correction, RecSys 2025",
        (USERS, ITEMS, LOG_Q, _IDS, TAU),
        corrected(calibrated),
        of_batches(*_IN_BATCH, "item_ids"),
    ),
    Formula(
        "stop_gradient_logq",
        "the same gradient, by a weight that is not differentiated",
        "l_ij = users_i . items_j / temperature - log_q_j + log(1 - q_i) for ids_j != ids_i,"
        "  f_i = users_i . items_i / temperature,  S_i = log sum_j exp(l_ij),"
        "  loss = mean_i constant(1 - P_i) (S_i - f_i),"
        "  P_i = exp f_i / (exp f_i + exp(S_i) / n_i),  n_i = how many j have ids_j != ids_i",
        "K. Khrylchenko et al., Correcting the LogQ Correction, RecSys 2025",
        (USERS, ITEMS, LOG_Q, _IDS, TAU),
        of_vectors(lambda s, q, ids, t: stop_gradient_logq(s, q, ids, temperature=t)),
        of_batches(*_IN_BATCH, "item_ids", leave_out=["one_row", "all_but_one_masked"]),
    ),
    Formula(
        "mixed_negatives",
        "candidates of the batch and drawn uniformly; log q of the mixture off the negatives",
        "z_ij = users_i . items_j / temperature - log(n/m exp(log_q_j) + (1 - n/m) / catalogue),"
        "  z_ii without correction,  loss = mean_i (log sum_j exp(z_ij) - z_ii)",
        "J. Yang et al., Mixed Negative Sampling, WWW 2020, Eq. 5",
        (USERS,
         Argument("items", "(m,d)", "vectors of m >= n candidates; row i < n is user i's", True),
         Argument("log_q", "(m)", "log of the probability that one click is on the item"),
         Argument("catalogue", "()", "how many items there are", kind="int"), TAU),
        of_vectors(mixed_batch),
        of_batches(*_IN_BATCH, "catalogue", fields={"items": "candidates", "log_q": "log_q_all"}),
    ),
    Formula(
        "cross_batch_softmax",
        "candidates of the batch and of earlier ones, whose vectors are constants",
        "as in_batch_softmax over the n items and then the b of the bank; copies of row i's"
        " item in the bank are left out of its sum",
        "J. Wang et al., Cross-Batch Negative Sampling, SIGIR 2021, Eqs. 3, 4 and 9",
        (USERS, ITEMS, Argument("bank", "(b,d)", "item vectors of earlier batches, b >= 0"),
         Argument("log_q", "(n+b)", "log of the probability that one draw is the item"),
         Argument("item_ids", "(n+b)", "which item each row of items, then bank is", kind="int"),
         TAU),
        banked,
        of_batches(*_IN_BATCH, "bank", "item_ids", fields={
            "log_q": "log_q_all", "item_ids": "item_ids_all"}),
    ),
    Formula(
        "listwise_softmax",
        "each positive against negatives of its own",
        "loss = mean_i (log(exp(p_i) + sum_{j kept} exp(g_ij)) - p_i),"
        "  p = positive / temperature,  g = negatives / temperature",
        "lecture, section 2.4 (listwise training)",
        (POSITIVE, NEGATIVES, DROP, TAU),
        lambda p, g, drop, t: listwise_softmax(p, g, drop=drop, temperature=t),
        of_table(cases.LISTWISE),
    ),
    Formula(
        "info_nce",
        "each first view against all second views, by cosine",
        "loss = mean_i (log sum_j exp(z_ij) - z_ii),  z_ij = cos(first_i, second_j) / temperature;"
        " the cosine of a zero vector is 0, without gradient",
        "T. Yao et al., Self-supervised Learning for Large-scale Item Recommendations,"
        " CIKM 2021, Eq. 3",
        _VIEWS,
        of_unit_vectors(of_vectors(lambda s, t: info_nce(s, temperature=t))),
        _OF_VIEWS,
    ),
    Formula(
        "info_nce_symmetric",
        "the mean of that and of each second view against all first views",
        "loss = 1/2 mean_i (log sum_j exp(z_ij) - z_ii) + 1/2 mean_j (log sum_i exp(z_ij) - z_jj),"
        "  z as in info_nce",
        "A. Radford et al., Learning Transferable Visual Models, ICML 2021, Fig. 3",
        _VIEWS,
        of_unit_vectors(of_vectors(lambda s, t: info_nce(s, temperature=t, symmetric=True))),
        _OF_VIEWS,
    ),
    Formula(
        "learned_temperature",
        "the in-batch softmax of scores, with the gradient of the temperature too",
        "loss = mean_i (log sum_j exp(scores_ij / temperature) - scores_ii / temperature)",
        f"{YI}, section 3; the temperature as a parameter",
        (Argument("scores", "(n,n)", "scores of every user with every item", gradient=True),
         Argument("temperature", "()", "what scores are divided by, > 0", gradient=True)),
        learned_temperature,
        of_batches("scores", "temperature"),
    ),
)  # fmt: skip
