"""An item's neighbors, against every cosine computed one by one."""

import numpy as np
import pytest
from test_self_supervised import DATA, model_of
from test_two_tower import generic

from minitower.evaluation.diagnostics import neighbors


@pytest.mark.parametrize("similarity", ["cosine", "inner_product"])
def test_neighbors__are_the_largest_cosines_without_the_item_itself(similarity):
    model, rows = generic(model_of(similarity=similarity)), [3, 0, 3]
    vectors = model.item(DATA.items.columns)[0].astype(np.float64)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -np.inf)
    found = neighbors(model, DATA, rows, k=5)
    assert np.array_equal(found, np.argsort(-cosines[rows], axis=1)[:, :5])


def test_neighbors__fewer_items_than_asked_for():
    found = neighbors(generic(model_of()), DATA, [7], k=99)
    assert sorted(found[0, :39]) == [row for row in range(40) if row != 7]
    assert (found[0, 39:] == -1).all()
