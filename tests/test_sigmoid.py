"""Every property that the docstring of sigmoid.py promises, one test each."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numerics import assert_close
from scipy.special import expit

from minitower.formulas.sigmoid import sigmoid

any_size = arrays(float, st.integers(0, 9), elements=st.floats(-1e4, 1e4))


@given(any_size)
def test_sigmoid__equals_scipy(x):
    # In the lower tail too, where 1 - sigmoid(-x) would be zero.
    np.testing.assert_allclose(sigmoid(x), expit(x), rtol=1e-15, atol=0)


@given(any_size)
def test_sigmoid__reflects(x):
    assert_close([sigmoid(x) + sigmoid(-x)], [np.ones_like(x)], 1e-15)


@given(any_size)
def test_sigmoid__float32_stays_float32(x):
    result = sigmoid(x.astype(np.float32))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expit(x.astype(np.float32)), rtol=4e-7, atol=1e-44)
