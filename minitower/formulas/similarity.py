"""Similarity: how two vectors are compared.

The towers meet only here ("late fusion"). With unit vectors the inner product
*is* the cosine, so a tower normalises its output once and everything after it,
training and index alike, takes plain inner products.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minitower.formulas.arguments import floats, number
from minitower.formulas.arrays import Scores, Vectors

Backward = Callable[[Scores], tuple[Vectors, Vectors]]


def l2_normalize(
    x: Vectors, *, epsilon: float = 1e-6
) -> tuple[Vectors, Callable[[Vectors], Vectors]]:
    """Scale every row to length one; a row too short to have a direction stays zero.

        y_i = x_i / |x_i|   where |x_i| > epsilon, else 0

    Shapes: (n,d)->(n,d)

    Args:
        x: vectors, one a row.
        epsilon: the length at or below which a vector has no direction, >= 0.

    Returns:
        The unit vectors, and the function that sends their gradient back to x.

    Raises:
        ValueError: x is not a matrix, or epsilon < 0.

    Gradient:
        dx_i = (dy_i - y_i (y_i . dy_i)) / |x_i|: only the part across y_i turns
        it. A row at or below epsilon gets no gradient. (The usual clamp
        x / max(|x|, epsilon) has the gradient dy / epsilon there, a kick of
        10^6 that throws a dead row across the space.)

    Properties: unit_length, unmoved_by_rescaling, gradient_is_across,
        gradient_shrinks_with_length, zero_stays_zero, equals_naive,
        gradient_is_right

    >>> y, backward = l2_normalize(np.array([[3.0, 4.0], [0.0, 0.0]]))
    >>> y
    array([[0.6, 0.8],
           [0. , 0. ]])
    >>> backward(np.array([[1.0, 0.0], [1.0, 0.0]])).round(3)
    array([[ 0.128, -0.096],
           [ 0.   ,  0.   ]])

    Reference: X. Yi et al., Sampling-Bias-Corrected Neural Modeling for Large
        Corpus Item Recommendations, RecSys 2019, section 3, "Normalization".
    """
    x, epsilon = floats("x", x), number("epsilon", epsilon)
    if x.ndim != 2:
        raise ValueError(f"x must be of shape (n,d), got {x.shape}")
    if epsilon < 0:
        raise ValueError(f"epsilon must not be negative, got {epsilon}")
    # A row is divided by its largest entry first: squares neither overflow nor vanish.
    size = np.abs(x).max(axis=1, initial=0)
    scaled = x / np.where(size > 0, size, 1)[:, None]
    shape = np.sqrt(np.einsum("nd,nd->n", scaled, scaled))
    length = size * shape
    has_direction = length > epsilon
    one = np.divide(1, shape, out=np.zeros_like(shape), where=has_direction)[:, None]
    y = scaled * one

    def backward(dy: Vectors) -> Vectors:
        dy = floats("dy", dy)
        along = np.einsum("nd,nd->n", y, dy)[:, None]
        dx: Vectors = (dy - y * along) * one / np.where(has_direction, size, 1)[:, None]
        return dx

    return y, backward


def inner_product(users: Vectors, items: Vectors) -> tuple[Scores, Backward]:
    """One score for each pair of a user and an item.

        s_i = u_i . v_i

    Shapes: (n,d),(n,d)->(n)

    Args:
        users, items: vectors, pair i in row i of both.

    Returns:
        The scores, and the function that sends their gradient back to (users, items).

    Raises:
        ValueError: users and items are not matrices of one shape.

    Gradient: du_i = ds_i v_i, dv_i = ds_i u_i.

    Properties: equals_naive, gradient_is_right, symmetric, linear_in_each,
        float32_is_close

    >>> scores, backward = inner_product(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]))
    >>> scores, backward(np.array([1.0]))
    (array([11.]), (array([[3., 4.]]), array([[1., 2.]])))

    Reference: lecture, section 1.
    """
    users, items = floats("users", users), floats("items", items)
    if users.ndim != 2 or users.shape != items.shape:
        raise ValueError(
            f"users {users.shape} and items {items.shape} must be two matrices of one shape (n,d)"
        )

    def backward(d_scores: Scores) -> tuple[Vectors, Vectors]:
        pull = floats("d_scores", d_scores)[:, None]
        return pull * items, pull * users

    return np.einsum("nd,nd->n", users, items), backward


def cosine(users: Vectors, items: Vectors, *, epsilon: float = 1e-6) -> tuple[Scores, Backward]:
    """The inner product of the directions, whatever the lengths.

        s_i = (u_i / |u_i|) . (v_i / |v_i|), 0 where a vector has no direction

    Shapes: (n,d),(n,d)->(n)

    Args:
        users, items: as in :func:`inner_product`.
        epsilon: as in :func:`l2_normalize`. Each side is normalised by itself: the
            product of two short lengths would vanish before either does.

    Returns:
        The scores, within [-1, 1] up to rounding (clip them before an arccos), and
        the function that sends their gradient back to (users, items).

    Raises:
        ValueError: as :func:`inner_product` and :func:`l2_normalize`.

    Gradient:
        With unit vectors U, V: du_i = ds_i (V_i - s_i U_i) / |u_i|, across u_i; dv_i
        alike. A vector without a direction gets none, and neither does its partner.

    Properties: equals_naive, gradient_is_right, within_one, unmoved_by_rescaling,
        gradient_is_across, zero_stays_zero, lengths_may_differ_wildly,
        of_unit_vectors_is_the_inner_product, float32_is_close

    >>> scores, backward = cosine(np.array([[3.0, 4.0]]), np.array([[0.0, 2.0]]))
    >>> scores, backward(np.array([1.0]))[1]
    (array([0.8]), array([[0.3, 0. ]]))

    Reference: J. Huang et al., Embedding-based Retrieval in Facebook Search, KDD 2020,
        Eq. 3; lecture, section 1.
    """
    users, items = floats("users", users), floats("items", items)
    if users.ndim != 2 or users.shape != items.shape:
        raise ValueError(
            f"users and items must be of one shape (n,d), got {users.shape} and {items.shape}"
        )
    unit_users, back_users = l2_normalize(users, epsilon=epsilon)
    unit_items, back_items = l2_normalize(items, epsilon=epsilon)
    scores, back = inner_product(unit_users, unit_items)

    def backward(d_scores: Scores) -> tuple[Vectors, Vectors]:
        d_users, d_items = back(d_scores)
        return back_users(d_users), back_items(d_items)

    return scores, backward
