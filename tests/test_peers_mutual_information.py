"""Mutual information against scikit-learn's. Runs where the extra ``peers`` is installed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.formulas.mutual_information import mutual_information

metrics = pytest.importorskip(
    "sklearn.metrics", reason="scikit-learn is not installed: pip install '.[peers]'"
)

HAND_MADE = [
    ([0, 0, 1, 1], [5, 5, 7, 7]),  # one settles the other
    ([0, 0, 1, 1], [0, 1, 0, 1]),  # neither says anything
    ([0, 0, 0, 0], [0, 1, 2, 3]),  # one that is constant
    ([0, 1, 2, 0, 1, 2, 0], [1, 1, 2, 2, 1, 2, 3]),
]


def both(u, v):
    ours = mutual_information([np.array(u), np.array(v)], identifiers=True)
    pairs = [[metrics.mutual_info_score(x, y) for y in (u, v)] for x in (u, v)]
    return ours, np.array(pairs)  # with itself, a field has its entropy


@pytest.mark.parametrize("u, v", HAND_MADE)
def test_mutual_information__is_scikit_learns_on_hand_made_tables(u, v):
    ours, theirs = both(u, v)
    assert ours == pytest.approx(theirs, abs=1e-12)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40))
def test_mutual_information__is_scikit_learns(rows):
    ours, theirs = both(*zip(*rows, strict=True))
    assert ours == pytest.approx(theirs, abs=1e-12)
