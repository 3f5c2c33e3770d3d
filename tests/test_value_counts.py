"""Counts of values, which add up over parts of a column."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.data import DataError
from minitower.data.schema import Continuous
from minitower.data.value_counts import ValueCounts, quantile_edges

columns = st.lists(st.integers(-3, 3), max_size=8) | st.lists(st.sampled_from("abc"), max_size=8)


def as_column(values):
    text = bool(values) and isinstance(values[0], str)
    return np.array(values, object if text else np.int64)


@given(columns, st.integers(0, 8))
def test_value_counts__parts_add_up(values, cut):
    both = ValueCounts.of(as_column(values[:cut])) + ValueCounts.of(as_column(values[cut:]))
    assert both.values.tolist() == sorted(set(values))
    assert both.counts.tolist() == [values.count(value) for value in sorted(set(values))]
    assert both.shares == pytest.approx(both.counts / max(len(values), 1))
    assert both.values.dtype.kind in "iU"  # what NumPy stores without pickle


def test_value_counts__counts_of_any_values():
    value_counts = ValueCounts.of(np.array(["bb", "a", "bb"], object))
    assert value_counts.counts_of(np.array(["a", "c", "bb"])).tolist() == [1, 0, 2]
    assert ValueCounts.of(np.empty(0, np.int64)).counts_of(np.array([1])).tolist() == [0]
    with pytest.raises(DataError, match="holds strings, the values are integers"):
        value_counts.counts_of(np.array([1]))


def test_value_counts__texts_and_numbers_do_not_add_up():
    with pytest.raises(DataError, match="1 and 'a' in one column; make them one type"):
        ValueCounts.of(np.array([1])) + ValueCounts.of(np.array(["a"]))


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30), st.integers(2, 12))
def test_quantile_edges__are_values_with_enough_below(values, buckets):
    """The edge at i/b is the least value that i/b of all are at most, in exact arithmetic."""
    edges = quantile_edges(ValueCounts.of(np.array(values)), Continuous("x", buckets=buckets))
    ordered, n = sorted(values), len(values)
    at = {ordered[-(-i * n // buckets) - 1] for i in range(1, buckets)}
    assert edges.tolist() == sorted(at)
