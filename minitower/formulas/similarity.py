"""Similarity: one score for a user vector and an item vector. Chapter 2.

The two towers meet only here ("late fusion"). The inner product of unit vectors is the cosine,
so a tower normalizes its output once (:func:`l2_normalize`); training and search then take plain
inner products. :func:`cosine` does both at once, for reference.
Each function returns its result, and the function that sends a gradient back to its arguments.
"""

from collections.abc import Callable

import numpy as np

from minitower.formulas.arguments import as_floats, number
from minitower.formulas.arrays import Scores, Vectors

Backward = Callable[[Scores], tuple[Vectors, Vectors]]


def l2_normalize(
    x: Vectors, *, epsilon: float = 1e-6
) -> tuple[Vectors, Callable[[Vectors], Vectors]]:
    """Scale every row to length one. A row too short to have a direction becomes zero.

        y_i = x_i / |x_i|   where |x_i| > epsilon, else 0

    Shapes: (n,d)->(n,d)
    Args:
        epsilon: length at or below which a row has no direction, >= 0.
    Raises ValueError: x is not a matrix, or epsilon < 0.
    Gradient: d_x_i = (d_y_i - y_i (y_i . d_y_i)) / |x_i|, orthogonal to x_i; 0 for a row at or
        below epsilon. (The usual clamp x / max(|x|, epsilon) has d_y / epsilon there, which throws
        a short row across the space.)
    Properties: unit_length, unmoved_by_rescaling, gradient_is_orthogonal,
        gradient_shrinks_with_length, zero_stays_zero, equals_naive, gradient_is_right

    >>> y, backward = l2_normalize(np.array([[3.0, 4.0], [0.0, 0.0]]))
    >>> y
    array([[0.6, 0.8],
           [0. , 0. ]])
    >>> backward(np.array([[1.0, 0.0], [1.0, 0.0]])).round(3)
    array([[ 0.128, -0.096],
           [ 0.   ,  0.   ]])

    Reference: X. Yi et al., Sampling-Bias-Corrected Neural Modeling for Large Corpus Item
        Recommendations, RecSys 2019, section 3; docs/02.
    """
    x, epsilon = as_floats("x", x), number("epsilon", epsilon)
    if x.ndim != 2:
        raise ValueError(f"x must be of shape (n,d), got {x.shape}")
    if epsilon < 0:
        raise ValueError(f"epsilon must not be negative, got {epsilon}")
    # Divide a row by its largest entry first: then squares neither overflow nor vanish.
    largest = np.abs(x).max(axis=1, initial=0)
    scaled = x / np.where(largest > 0, largest, 1)[:, None]
    scaled_length = np.sqrt(np.einsum("nd,nd->n", scaled, scaled))
    has_direction = largest * scaled_length > epsilon
    inverse = (has_direction / np.where(has_direction, scaled_length, 1))[:, None]
    y = scaled * inverse

    def backward(d_y: Vectors) -> Vectors:
        d_y = as_floats("d_y", d_y)
        along = np.einsum("nd,nd->n", y, d_y)[:, None]
        d_x: Vectors = (d_y - y * along) * inverse / np.where(has_direction, largest, 1)[:, None]
        return d_x

    return y, backward


def inner_product(users: Vectors, items: Vectors) -> tuple[Scores, Backward]:
    """Compute one score for each pair of a user and an item.

        s_i = u_i . v_i

    Shapes: (n,d),(n,d)->(n); pair i is row i of both.
    Raises ValueError: users and items are not matrices of one shape.
    Gradient: d_u_i = d_s_i v_i, d_v_i = d_s_i u_i.
    Properties: equals_naive, gradient_is_right, symmetric, linear_in_each, float32_is_close

    >>> scores, backward = inner_product(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]))
    >>> scores, backward(np.array([1.0]))
    (array([11.]), (array([[3., 4.]]), array([[1., 2.]])))

    Reference: lecture, section 1; docs/02.
    """
    users, items = _pairs(users, items)

    def backward(d_scores: Scores) -> tuple[Vectors, Vectors]:
        column = as_floats("d_scores", d_scores)[:, None]
        return column * items, column * users

    return np.einsum("nd,nd->n", users, items), backward


def cosine(users: Vectors, items: Vectors, *, epsilon: float = 1e-6) -> tuple[Scores, Backward]:
    """Compute the inner product of the directions of each pair.

        s_i = (u_i / |u_i|) . (v_i / |v_i|), 0 where a vector has no direction

    Shapes: (n,d),(n,d)->(n)
    Args:
        epsilon: as in :func:`l2_normalize`. Each side is normalized separately, because |u| |v|
            can underflow where neither |u| nor |v| does.

    The scores are within [-1, 1] up to rounding: clip them before an arccos.

    Raises ValueError: as :func:`inner_product` and :func:`l2_normalize`.
    Gradient: With unit vectors U, V: d_u_i = d_s_i (V_i - s_i U_i) / |u_i|, orthogonal to u_i;
        d_v_i alike. Where a vector has no direction, both gradients are 0.
    Properties: equals_naive, gradient_is_right, within_one, unmoved_by_rescaling,
        gradient_is_orthogonal, zero_stays_zero, lengths_may_differ_wildly,
        of_unit_vectors_is_the_inner_product, float32_is_close

    >>> scores, backward = cosine(np.array([[3.0, 4.0]]), np.array([[0.0, 2.0]]))
    >>> scores, backward(np.array([1.0]))[1]
    (array([0.8]), array([[0.3, 0. ]]))

    Reference: J. Huang et al., Embedding-based Retrieval in Facebook Search, KDD 2020, Eq. 3;
        lecture, section 1; docs/02.
    """
    users, items = _pairs(users, items)
    unit_users, back_users = l2_normalize(users, epsilon=epsilon)
    unit_items, back_items = l2_normalize(items, epsilon=epsilon)
    scores, back = inner_product(unit_users, unit_items)

    def backward(d_scores: Scores) -> tuple[Vectors, Vectors]:
        d_users, d_items = back(d_scores)
        return back_users(d_users), back_items(d_items)

    return scores, backward


def _pairs(users: Vectors, items: Vectors) -> tuple[Vectors, Vectors]:
    users, items = as_floats("users", users), as_floats("items", items)
    if users.ndim != 2 or users.shape != items.shape:
        raise ValueError(
            f"users and items must be of one shape (n,d), got {users.shape} and {items.shape}"
        )
    return users, items
