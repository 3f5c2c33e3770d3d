"""Points on the unit sphere that rank like scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.search.points import item_points, longest, query_points


@given(st.integers(0, 999), st.integers(1, 30), st.integers(1, 5), st.booleans())
def test_item_points__unit_vectors_that_rank_like_inner_products(seed, m, d, zero):
    rng = np.random.default_rng(seed)
    items, query = rng.standard_normal((m, d)) * rng.lognormal(0, 2, (m, 1)), rng.random(d)
    items[0] *= not zero
    placed = item_points(items, "inner_product")
    np.testing.assert_allclose(np.linalg.norm(placed, axis=1), 1, rtol=1e-6)
    longest = np.linalg.norm(items, axis=1).max()
    np.testing.assert_allclose(
        placed @ np.append(query, 0) * (longest or 1), items @ query, atol=1e-6 * (longest or 1)
    )


def test_item_points__of_some_items_are_those_of_all():
    items = np.random.default_rng(0).standard_normal((30, 4))
    some = item_points(items[3:9], "inner_product", longest(items))
    assert np.array_equal(some, item_points(items, "inner_product")[3:9])


@pytest.mark.parametrize("similarity, width", [("cosine", 4), ("inner_product", 5)])
@pytest.mark.parametrize("length", [1e-30, 1.0, 1e30])
def test_query_points__keep_the_direction(similarity, width, length):
    queries = np.random.default_rng(0).standard_normal((6, 4)) * length
    points = query_points(queries, similarity)
    assert points.shape == (6, width)
    assert points.dtype == np.float32
    right = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    np.testing.assert_allclose(points[:, :4], right, atol=1e-6)
    assert not points[:, 4:].any()
