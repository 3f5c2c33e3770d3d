"""What the tests of the losses draw: scores, weights, batches with repeated items; and a loss."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

n = st.shared(st.integers(1, 6), key="n")
vectors = lambda low, high: n.flatmap(
    lambda size: arrays(float, size, elements=st.floats(low, high, width=32))
)
scores = vectors(-1, 1)
weights = vectors(0, 3)
scales = st.floats(0.125, 30, width=32)

temperatures = st.floats(0.0625, 2, width=32)
weights_of = lambda scores: arrays(float, len(scores), elements=st.floats(0, 3, width=32))


@st.composite
def batches(draw, square=False):
    """Scores (n,m), item ids with repetitions, log q."""
    n = draw(st.integers(1, 6))
    m = n if square else n + draw(st.integers(0, 3))
    scores = draw(arrays(float, (n, m), elements=st.floats(-1, 1, width=32)))
    ids = draw(arrays(np.int64, m, elements=st.integers(0, 3)))
    log_q = np.log(draw(arrays(float, 4, elements=st.floats(0.0625, 0.875, width=32))))[ids]
    return scores, ids, log_q


def cosine_without_zero_rule(users, items, pull):
    """The formula `cosine`, right but for its choice at zero vectors: NaN."""
    with np.errstate(all="ignore"):
        a, b = (np.linalg.norm(x, axis=1, keepdims=True) for x in (users, items))
        u, v, p = users / a, items / b, pull[:, None]
        cos = (u * v).sum(axis=1, keepdims=True)
        return pull @ cos[:, 0], (p * (v - u * cos) / a, p * (u - v * cos) / b)
