"""The golden inputs: small, exact in float32, and each there for a mistake that it shows.

Numbers come from :func:`grid`, not from a random generator, so that they are the same
wherever and whenever they are written.

Chapter 17.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from minitower.conformance.formula import Case
from minitower.formulas.arrays import Array

Table = dict[str, tuple[str, dict[str, Any]]]
"""Name of a case -> what it is there for, and its inputs."""


def grid(*shape: int, salt: int = 0, step: float = 1 / 16) -> Array:
    """Numbers of little pattern, multiples of step between -16 and 15 steps.

    >>> grid(4)
    array([ 0.1875, -0.5625,  0.6875, -0.0625])
    """
    k = np.arange(1, 1 + int(np.prod(shape))) + 17 * salt
    return ((k * 40503 % 65536) // 2048 - 16).reshape(shape) * step


def _batch(
    ids: Sequence[int],
    d: int,
    temperature: float,
    *,
    log_q: ArrayLike,
    extra: Sequence[int] = (),
    salt: int = 0,
    **given: Any,
) -> dict[str, Any]:
    """A batch of pairs: rows of the same item share its vector and its log q.

    Args:
        ids: the item that each row's user clicked.
        extra: the items of further candidates: drawn, or from earlier batches.
        log_q: of each item that occurs, in the order of their ids.
    """
    n, every = len(ids), np.array([*ids, *extra])
    distinct, which = np.unique(every, return_inverse=True)
    vectors = given.pop("items", grid(len(distinct), d, salt=salt + 1))[which]
    q = np.array(log_q, float)[which]
    bank = vectors[n:] + grid(len(extra), d, salt=salt + 2) / 4  # drifted since
    batch = {
        "users": grid(n, d, salt=salt),
        "items": vectors[:n],
        "candidates": vectors,
        "bank": bank,
        "log_q": q[:n],
        "log_q_all": q,
        "item_ids": every[:n],
        "item_ids_all": every,
        "weights": np.abs(grid(n, salt=salt + 3)) * 2,
        "log_sum_weight": 1.25,
        "catalogue": 64,
        "temperature": temperature,
        **given,
    }
    return batch | {"scores": batch["users"] @ batch["items"].T}


_AXES = np.array([[4.0, 0], [0, 2], [-4, 0], [0, -2]])

BATCHES: Table = {
    "plain": (
        "three pairs, nothing special",
        _batch([4, 7, 2], 2, 0.5, log_q=[-0.75, -1.5, -2.25, -3], extra=[5, 7]),
    ),
    "one_row": ("one pair: nothing to compete with, loss 0", _batch([3], 2, 0.5, log_q=[-1])),
    "popular_and_rare": (
        "log q from -0.125 to -18: whether, where and how it is taken off",
        _batch([1, 2, 3, 4], 3, 0.75, log_q=[-0.125, -18, -5, -2], extra=[4, 2, 1], salt=1),
    ),
    "duplicate_items": (
        "items that occur twice and three times: masks, counts, sums of gradients",
        _batch([7, 3, 7, 5, 3, 7], 3, 0.25, log_q=[-2, -3, -1.25], extra=[5, 7, 5], salt=2),
    ),
    "all_but_one_masked": (
        "everybody clicked the same item: with hits masked only the positive is left",
        _batch([6, 6, 6], 2, 0.5, log_q=[-0.5], salt=3),
    ),
    "sharp": (
        "a temperature of 1/64: the order of division and correction",
        _batch([1, 2, 3], 2, 1 / 64, log_q=[-4, -1, -2.5, -3], extra=[9], salt=4),
    ),
    "blunt": (
        "a temperature of 8, above one",
        _batch([1, 2], 4, 8.0, log_q=[-3, -1, -2], extra=[8], salt=5),
    ),
    "extreme_logits": (
        "logits of +-16384, won and lost: overflow, and a log of nothing",
        _batch(
            [1, 2, 3, 4], 2, 1 / 1024, log_q=[-1.5, -2, -1, -2.5], items=_AXES,
            users=_AXES[[0, 3, 1, 1]],
        ),
    ),
    "zero_vectors": (
        "a user and an item without direction",
        _batch(
            [1, 2, 3], 2, 0.5, log_q=[-1, -2, -3], users=grid(3, 2) * [[1], [0], [1]] + 0.0,
            items=grid(3, 2, salt=1) * [[1], [1], [0]] + 0.0,
        ),
    ),
    "larger": (
        "six pairs in three dimensions, long vectors",
        _batch(
            [1, 2, 3, 4, 5, 6], 3, 1.0, log_q=grid(6, salt=6) * 2 - 2.5,
            users=grid(6, 3, salt=7) * 3,
        ),
    ),
    "rarest": (
        "log q of -40 and -25: q clipped at 1e-8 or 1e-12, log(q + eps)",
        _batch([1, 2, 3, 2], 2, 0.5, log_q=[-0.25, -40, -25], extra=[3, 1], salt=9),
    ),
    "unusual_ids": (
        "ids of 0, -3, 2048, 2049, 2^24 and 2^24 + 1: padding that is none, ids compared in floats",
        _batch(
            [0, 2**24, 2**24 + 1, 0, -3, -3, 2048, 2049], 2, 0.5,
            log_q=[-2, -1, -3, -1.5, -2.5, -3.5], extra=[2**24, 0, 2**24 + 1], salt=10,
        ),
    ),
    "far_below": (
        "scores of -131072 and repeated items: no number is low enough to be a mask",
        _batch(
            [1, 2, 3, 2, 1], 2, 2.0, log_q=[-1, -2, -3],
            items=np.array([[258.0, 16], [260, -16], [252, 0]]),  # item 3 wins by far: no ties
            users=np.array([[-512.0, 64], [-512, -64], [-512, 32], [-512, 64], [-512, -64]]),
            extra=[1, 2],
        ),
    ),
    "seventeen": (
        "17 pairs: a remainder for chunks of every size",
        _batch([*range(1, 15), 3, 1, 15], 2, 0.5, log_q=grid(16, salt=8) * 2 - 2.5,
               extra=[16, 3, 7], salt=11),
    ),
}  # fmt: skip

WEIGHTED: Table = {
    "zero_weights": (
        "rewards of zero: the mean counts their rows",
        _batch([1, 2, 3, 4], 2, 0.5, log_q=[-1, -2, -3, -1.5],
               weights=np.array([0.0, 1.5, 0, 0.25]), salt=12),
    ),
}  # fmt: skip


def of_batches(
    *arguments: str,
    leave_out: Collection[str] = (),
    choices: Collection[str] = (),
    batches: Table = BATCHES,
    fields: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Case, ...]:
    """The cases of a formula on batches: each argument is the field of its name.

    Args:
        leave_out: the cases, by name, that this formula does not have.
        choices: the cases, by name, that are a documented choice of it.
        fields: {argument: field}, where they have other names.
    """
    return tuple(
        Case(
            name,
            why,
            {argument: batch[fields.get(argument, argument)] for argument in arguments},
            name if name in choices else "",
        )
        for name, (why, batch) in batches.items()
        if name not in leave_out
    )


def of_table(table: Table, **constants: float) -> tuple[Case, ...]:
    """The cases of a formula with inputs of its own, and with the same numbers in every case."""
    return tuple(Case(name, why, inputs | constants) for name, (why, inputs) in table.items())


_SCORED = {
    "plain": ("five scores of little pattern", grid(5)),
    "one": ("a single example", np.array([0.375])),
    "long_row": ("eight examples", grid(8, salt=5)),
    "extreme": ("scores of +-10000, on the right side and on the wrong", np.array(
        [1e4, 1e4, -1e4, -1e4])),
}  # fmt: skip
_LABELS = np.array([1.0, -1, 1, -1, -1, 1, 1, -1])

POINTWISE: Table = {
    **{name: (why, {"scores": s, "labels": _LABELS[: len(s)]})
       for name, (why, s) in _SCORED.items()},
    "only_negatives": ("no positive label at all", {
        "scores": grid(3, salt=2), "labels": -np.ones(3)}),
}  # fmt: skip
"""Scores with labels of +1 and -1."""

BINARY: Table = {
    name: (why.replace("positive label", "label of 1"), {
        "logits": inputs["scores"], "labels": (inputs["labels"] + 1) / 2})
    for name, (why, inputs) in POINTWISE.items()
}  # fmt: skip
"""Logits with labels of 0 and 1."""

_OFF = 1 / 64  # from the grid on which the hinge's kink would be

PAIRWISE: Table = {
    **{name: (why, {"positive": s, "negative": s[::-1] * 0.5 - _OFF})
       for name, (why, s) in _SCORED.items()},
    "separated": ("every positive leads by far", {
        "positive": grid(3) + 4 + _OFF, "negative": grid(3, salt=1)}),
    "reversed": ("every negative leads by far", {
        "positive": grid(3), "negative": grid(3, salt=1) + 4 + _OFF}),
}  # fmt: skip
"""A positive and a negative score each; no triple lies on the hinge's kink."""

LISTS: Table = {
    name: (why, {"positive": positive + 0.0, "negatives": negatives - _OFF})
    for name, why, positive, negatives in (
        ("plain", "two rows, three negatives each", grid(2, salt=2), grid(2, 3, salt=3)),
        ("one_negative", "a row with one negative", grid(1), grid(1, 1, salt=1)),
        ("more_negatives", "three rows, five negatives each", grid(3, salt=5), grid(3, 5, salt=6)),
        ("extreme", "scores of +-10000, on the right side and on the wrong",
         np.array([1e4, -1e4, 0]), np.array([[-1e4, 1e4], [1e4, -1e4], [1, -1]])),
        ("separated", "every positive leads by far", grid(2) + 4, grid(2, 2, salt=1)),
        ("reversed", "every negative leads by far", grid(2), grid(2, 2, salt=1) + 4),
    )
}  # fmt: skip
"""A positive and k negatives a row; no pair lies on the hinge's kink."""


def _listwise(n: int, k: int, temperature: float, drop: Any = None, scale: float = 1) -> dict[
    str, Any
]:  # fmt: skip
    none = np.zeros((n, k), bool)
    return {
        "positive": grid(n, salt=n) * scale,
        "negatives": grid(n, k, salt=k) * scale,
        "drop": none if drop is None else none | np.array(drop, bool),
        "temperature": temperature,
    }


LISTWISE: Table = {
    "plain": ("two rows, three negatives each, none dropped", _listwise(2, 3, 0.5)),
    "masked": ("some negatives dropped, others in each row",
               _listwise(3, 4, 0.25, [[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 0]])),
    "all_but_the_positive_masked": ("nothing left to compete with", _listwise(2, 2, 0.5, True)),
    "one_row_all_masked": ("a row without negatives among others: the mean counts it",
                           _listwise(3, 2, 0.5, [[0, 0], [1, 1], [0, 1]])),
    "one_negative": ("one row, one negative", _listwise(1, 1, 2.0)),
    "extreme_logits": ("logits of +-16384",
                       _listwise(3, 4, 1 / 1024, [[0, 1, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]], 16)),
    "blunt": ("a temperature of 8", _listwise(4, 2, 8.0)),
    "far_below": ("scores of -131072, and +131072 dropped: no number is low enough to be a mask", {
        "positive": np.array([-131072.0, -132096]),
        "negatives": np.array([[-132096.0, 131072, -133120], [131072, -131072, -133120]]),
        "drop": np.array([[0, 1, 0], [1, 0, 0]], bool),
        "temperature": 2.0,
    }),
}  # fmt: skip

_FOUND = np.array([[1, 0, 1, 0, 0], [0, 1, 0, 0, 1], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]], bool)

RANKED: Table = {
    "plain": ("users with two positives each, three ranks of five",
              {"hits": _FOUND[:2], "positives": np.array([2, 2]), "k": 3}),
    "nothing_to_find": ("users without positives, and one without hits",
                        {"hits": _FOUND, "positives": np.array([3, 2, 1, 0]), "k": 4}),
    "more_positives_than_ranks": ("seven positives cannot fit in two ranks",
                                  {"hits": _FOUND[:3], "positives": np.array([7, 3, 2]), "k": 2}),
    "perfect": ("every positive on top",
                {"hits": np.array([[1, 1, 0], [1, 0, 0]], bool), "positives": np.array([2, 1]),
                 "k": 3}),
    "one_rank": ("only the first rank counts",
                 {"hits": _FOUND[:2], "positives": np.array([2, 4]), "k": 1}),
}  # fmt: skip
