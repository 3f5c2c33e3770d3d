"""Known mistakes: each classic mistake as a small variant of its formula. Chapter 17.

An implementation that agrees with a variant on every golden case makes that mistake. Every
variant therefore differs from the right formula, and from every other variant, on some case.

A mistake in the gradient alone occurs in gradients written by hand; a framework
differentiates whatever the loss computes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minitower.conformance.adapters import lookup, value_alone
from minitower.conformance.composition import scaled
from minitower.conformance.id_mistakes import ID_MISTAKES
from minitower.conformance.list_mistakes import LIST_MISTAKES
from minitower.conformance.mistake import Family, Known, Mistake, Mistakes, Words, table
from minitower.conformance.mistake_tables import FLIPPED, flipped, unit
from minitower.conformance.pair_mistakes import PAIR_MISTAKES
from minitower.conformance.softmax_mistakes import SOFTMAX_MISTAKES
from minitower.formulas.ranking import mean_average_precision, mrr, ndcg, precision, recall
from minitower.formulas.sampling import power_law
from minitower.formulas.similarity import l2_normalize


def _inner(users: Any, items: Any, upstream: Any) -> Any:
    column = upstream[:, None]
    return upstream @ (users * items).sum(axis=1), (column * items, column * users)


_COSINE = unit(_inner, [*table({
    FLIPPED: flipped(_inner),
    ("sign of the cosine", "Keras's cosine_similarity is a loss: minus the cosine"):
        scaled(_inner, lambda *a: -1),
})])  # fmt: skip

_SERVING = table({
    ("log q subtracted at serving",
     "correct in training only; at serving the plain score is right, and subtracting log q ranks "
     "by lift"): lambda u, v, q: u @ v.T - q,
    ("log q added at serving", "the score is right as it is"): lambda u, v, q: u @ v.T + q,
    ("cosine at serving", "serve the score that training had: the inner product"):
        lambda u, v, q: l2_normalize(u)[0] @ l2_normalize(v)[0].T,
    ("log q subtracted from the rows at serving", "the score is right as it is"):
        lambda u, v, q: u @ v.T - q[:, None],
    ("items' scores for users, transposed", "one row a user"): lambda u, v, q: v @ u.T,
    ("each user with the item of their row only", "every user with every item"):
        lambda u, v, q: np.diag(np.diag(u @ v.T)),
}, value_alone)  # fmt: skip


def _assign(d_table: Any, rows: Any, upstream: Any) -> None:
    d_table[rows] += upstream


def _assign_backwards(d_table: Any, rows: Any, upstream: Any) -> None:
    d_table[rows[::-1]] = upstream[::-1]


def _average(d_table: Any, rows: Any, upstream: Any) -> None:
    np.add.at(d_table, rows, upstream)
    d_table /= np.maximum(1, np.bincount(rows, minlength=len(d_table)))[:, None]


def _no_padding(d_table: Any, rows: Any, upstream: Any) -> None:
    np.add.at(d_table, rows, upstream)
    d_table[0] = 0


def _next_row(d_table: Any, rows: Any, upstream: Any) -> None:
    np.add.at(d_table, (rows + 1) % len(d_table), upstream)


_LOOKUP = table({
    ("duplicates lost in the scatter",
     "d[rows] += g keeps one gradient of a repeated row: add them up (np.add.at, index_add, "
     "segment sum)"): _assign,
    ("first of the duplicates kept", "add the gradients of a repeated row up"): _assign_backwards,
    ("mean over the duplicates", "add the gradients of a repeated row up, do not average"):
        _average,
    ("row 0 taken as padding", "row 0 is a row of the table like any other"): _no_padding,
    ("gradient one row too far", "row 0 is a row of the table like any other"): _next_row,
}, lookup) + table({
    ("rows counted from one", "rows are 0 to r - 1"):
        lambda x, rows, pull: lookup(np.add.at)(x, rows - 1, pull),
    ("rows cut to length one", "max_norm changes the table: leave rows as long as they are"):
        lambda x, rows, pull: lookup(np.add.at)(
            x / np.maximum(1, np.linalg.norm(x, axis=1, keepdims=True)), rows, pull),
})  # fmt: skip


def _shares(x: Any) -> Any:
    return x / x.sum()


_POWER_LAW: Known = [*table({
    ("not normalized", "divide by the sum"): lambda c, b: c**b,
    ("exponent left out", "raise the counts to the power beta"): lambda c, b: _shares(c),
    ("counts of zero taken as one", "an item without clicks is never drawn"):
        lambda c, b: _shares(np.maximum(c, 1) ** b),
    ("uniform", "raise the counts to the power beta"): lambda c, b: _shares(np.ones_like(c)),
    ("normalized before the exponent only", "the powers have to sum to one"):
        lambda c, b: _shares(c) ** b,
    ("exponent one over beta", "beta flattens: 16 times the clicks, 8 times the draws"):
        lambda c, b: _shares(c ** (1 / b)),
    ("one click added to every item", "smooth on purpose or not at all"):
        lambda c, b: _shares((c + 1) ** b),
    ("logarithm of the counts", "a power, not a logarithm"): lambda c, b: _shares(np.log1p(c)),
    ("log-uniform by row", "that sampler wants items sorted by clicks, and is another law"):
        lambda c, b: _shares(np.log1p(1 / np.arange(1.0, len(c) + 1))),
}, value_alone), Family(
    "exponent of {c}, whatever is given", "raise the counts to the power beta",
    lambda c: lambda counts, beta: (power_law(counts, c), ()), 0.05, 5,
)]  # fmt: skip

Measure = Callable[[Any, Any, Any], Any]


def _zero_for_nothing(measure: Measure) -> Measure:
    """Users without positives counted as failures."""
    return lambda hits, positives, k: measure(hits, positives, k) * (positives > 0).mean()


def _where_found(measure: Measure) -> Measure:
    """The mean over users with a hit only."""

    def compute(hits: Any, positives: Any, k: Any) -> Any:
        found = hits[:, :k].any(axis=1)
        return measure(hits[found], positives[found], k) if found.any() else 0.0

    return compute


_CHANCE = "leave users without positives out: nothing to find is no failure"
_EVERY: dict[Words, Callable[[Measure], Measure]] = {
    ("users without positives counted as failures", _CHANCE): _zero_for_nothing,
    ("users without a hit left out", "a user with positives and no hit counts 0"): _where_found,
    ("not cut at k", "only the first k ranks count"): lambda measure: (
        lambda hits, positives, k: measure(hits, positives, hits.shape[1])
    ),
}


def _metric_mistakes(measure: Measure, own: dict[Words, Measure]) -> list[Mistake]:
    everywhere = {words: mistake(measure) for words, mistake in _EVERY.items()}
    return table(everywhere | own, value_alone)


def _over_users(each: Callable[..., Any]) -> Measure:
    """The mean over users with positives of each(hits in k ranks, positives, ranks, k)."""

    def compute(hits: Any, positives: Any, k: Any) -> Any:
        hits, positives = hits[positives > 0, :k], positives[positives > 0]
        return each(hits, positives, np.arange(1, k + 1), k).mean()

    return compute


def _dcg(discount: Callable[[Any], Any], most: Measure) -> Measure:
    def each(hits: Any, positives: Any, ranks: Any, k: Any) -> Any:
        ideal = np.append(0, discount(ranks).cumsum())[most(hits, positives, k)]
        return np.divide(hits @ discount(ranks), ideal, out=np.zeros(len(hits)), where=ideal > 0)

    return _over_users(each)


_log2: Callable[[Any], Any] = lambda r: 1 / np.log2(r + 1)
_possible: Measure = lambda hits, positives, k: np.minimum(positives, k)
_average_precision: Callable[[Any, Any], Any] = lambda hits, ranks: (
    hits.cumsum(axis=1) / ranks * hits
).sum(axis=1)

_METRICS = {
    "recall": _metric_mistakes(recall, {
        ("divided by min(k, positives)", "divide by all positives (that is recall_capped)"):
            _over_users(lambda hits, p, ranks, k: hits.sum(axis=1) / np.minimum(p, k)),
        ("precision", "divide by the positives, not by k"): precision,
        ("hit rate", "count all hits, not whether there is one"):
            _over_users(lambda hits, p, ranks, k: hits.any(axis=1)),
        ("pooled over users", "the mean of the users' recalls, each user weighs the same"):
            lambda hits, p, k: hits[:, :k].sum() / p.sum(),
    }),
    "mrr": _metric_mistakes(mrr, {
        ("ranks counted from zero", "the first rank is 1"):
            _over_users(lambda hits, p, ranks, k: (hits / (ranks + 1)).max(axis=1)),
        ("every hit counted, not the first", "one over the rank of the first hit"):
            _over_users(lambda hits, p, ranks, k: (hits / ranks).sum(axis=1)),
        ("rank of the last hit", "one over the rank of the first hit"):
            _over_users(lambda hits, p, ranks, k: hits.any(axis=1) / (hits * ranks).max(axis=1)
                        .clip(1)),
        ("one over the mean rank", "the mean of the reciprocals"):
            lambda hits, p, k: 1 / np.where(hits[:, :k].any(axis=1), 1 + hits.argmax(axis=1), np.inf
                                            )[hits[:, :k].any(axis=1)].mean(),
    }),
    "mean_average_precision": _metric_mistakes(mean_average_precision, {
        ("divided by all positives", "k ranks hold at most min(k, positives)"):
            _over_users(lambda hits, p, ranks, k: _average_precision(hits, ranks) / p),
        ("divided by the hits", "what was not found counts: divide by min(k, positives)"):
            _over_users(lambda hits, p, ranks, k: _average_precision(hits, ranks)
                        / hits.sum(axis=1).clip(1)),
        ("divided by k", "divide by min(k, positives)"):
            _over_users(lambda hits, p, ranks, k: _average_precision(hits, ranks) / k),
        ("precision at every rank, hit or not", "only ranks that hit add their precision"):
            _over_users(lambda hits, p, ranks, k: (hits.cumsum(axis=1) / ranks).sum(axis=1)
                        / np.minimum(p, k)),
    }),
    "ndcg": _metric_mistakes(ndcg, {
        ("ideal list of k hits", "the ideal list holds min(k, positives) hits"):
            _dcg(_log2, lambda hits, p, k: np.full(len(p), k)),
        ("ideal list of what was found", "the ideal list holds min(k, positives) hits"):
            _dcg(_log2, lambda hits, p, k: hits.sum(axis=1)),
        ("not normalized (DCG)", "divide by the ideal list's sum"):
            _over_users(lambda hits, p, ranks, k: hits @ _log2(ranks)),
        ("discount one over the rank", "the discount is 1 / log2(rank + 1)"):
            _dcg(lambda r: 1 / r, _possible),
        ("ranks counted from two", "1 / log2(rank + 1), the first rank is 1"):
            _dcg(lambda r: 1 / np.log2(r + 2), _possible),
        ("no discount at the first two ranks", "1 / log2(rank + 1); max(1, log2(rank)) is older"):
            _dcg(lambda r: 1 / np.maximum(1, np.log2(r)), _possible),
    }),
}  # fmt: skip

_KNOWN: Mistakes = {
    **SOFTMAX_MISTAKES,
    **ID_MISTAKES,
    **PAIR_MISTAKES,
    **LIST_MISTAKES,
    "cosine": _COSINE,
    "serving_scores": _SERVING,
    "embedding_lookup": _LOOKUP,
    "power_law": _POWER_LAW,
    **_METRICS,
}
MISTAKES = {
    name: [mistake for mistake in known if isinstance(mistake, Mistake)]
    for name, known in _KNOWN.items()
}
"""The known mistakes of every formula, by its name."""

FAMILIES = {
    name: [family for family in known if isinstance(family, Family)]
    for name, known in _KNOWN.items()
}
"""The known mistakes with a constant of people's choice, by the name of the formula."""
