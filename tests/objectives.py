"""What the tests of the objectives share: objectives, problems, and a check of the gradient."""

import numpy as np
from hypothesis import strategies as st
from numerics import along, assert_slope, directional

from minitower.data.table import Ragged
from minitower.training.batches import Batch
from minitower.training.objectives import InBatchSoftmax
from minitower.training.sampled_objectives import Listwise, Pairwise, Pointwise

OWN = [
    Pointwise("logistic", temperature=1 / 3, bias=0.5),
    Pointwise("squared"),
    Pairwise("logistic", temperature=1 / 3),
    Pairwise("hinge", margin=0.3),
    Listwise(0.3),
    Listwise(0.3, "calibrated"),
    Listwise(0.3, log_sum_weight=1.25),
]
SHARED = [
    InBatchSoftmax(0.3, "yi"),
    InBatchSoftmax(1, "yi", 0.5),
    InBatchSoftmax(0.3, "mixed"),
    InBatchSoftmax(0.3, "calibrated"),
    InBatchSoftmax(0.3, "none", mask_hits=True),
    InBatchSoftmax(0.3, "mixed", log_sum_weight=1.25),
    InBatchSoftmax(0.3, "yi", log_sum_weight=1.25, decoupled=True),
    InBatchSoftmax(0.3, "yi", mask_known=True),
]


@st.composite
def problems(draw, own=True):
    """n users, their items and e more, of which some belong to a pair, some repeat."""
    n, d = draw(st.integers(1, 4)), 3
    counts = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    pair_index = np.repeat(np.arange(n), counts)
    m = n + len(pair_index)
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    rows = rng.integers(0, 4, m)
    log_q = np.log(np.array([0.1, 0.2, 0.3, 0.4]))[rows]
    users, items = rng.standard_normal((n, d)), rng.standard_normal((m, d))
    known = Ragged.from_counts(rng.integers(0, 3, n), ())
    known = Ragged(known.indptr, rng.integers(0, 5, known.indptr[-1]))
    batch = Batch(
        *({}, {}, np.arange(n), rows, log_q, pair_index if own else None, log_q[n:]), known=known
    )
    return users, items, batch


def check(objective, users, items, batch, seed=0):
    rng = np.random.default_rng(seed)
    _, gradients = objective(users, items, batch)
    assert [g.shape for g in gradients] == [users.shape, items.shape]
    direction = [rng.standard_normal(users.shape), rng.standard_normal(items.shape)]
    slope = directional(lambda u, v: objective(u, v, batch)[0], (users, items), direction, h=1e-3)
    assert_slope(along(gradients, direction), slope, 1e-7)


def naive_scores(users, items, batch):
    """For each pair, its own score and those of its negatives."""
    n = len(users)
    extras = items[n:]
    return [
        (
            float(users[i] @ items[i]),
            [float(users[i] @ extras[e]) for e in range(len(extras)) if batch.pair_index[e] == i],
        )
        for i in range(n)
    ]
