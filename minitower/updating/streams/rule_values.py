"""Decide by a rule of positives for each click of a log alone, whatever stands beside it.

The type of a column is that of each value: in CSV files all values are strings, and a log is read
in blocks. So a string that is a number is compared as a number.

Chapter 14.
"""

from functools import partial

import numpy as np

from minitower.data.columns import Columns
from minitower.data.csv_files import plain_values
from minitower.data.rules import Comparison, Rule
from minitower.data.values import is_missing
from minitower.formulas.arrays import Array


def decided(rule: Rule, columns: Columns) -> Array:
    """(n,) 1 where the rule passes, 0 where it fails, NaN where all its columns are missing.

    Raises:
        DataError: a value cannot be compared, such as a word that a rule takes for a number.
    """
    missing = np.ones(len(columns), bool)
    for name in {one.column for one in rule.comparisons}:
        missing &= np.fromiter(map(is_missing, columns[name].tolist()), bool, len(missing))
    return np.where(missing, np.nan, rule.decide(partial(_passes, columns)))


def _passes(columns: Columns, one: Comparison) -> Array:
    """(n,) bool: the rows that pass a comparison."""
    name, place = one.column, columns.place
    column = plain_values(columns[name])
    if column.dtype != object:
        return one.apply(Columns({name: column}, place))
    found: dict[object, bool] = {}
    for row, value in enumerate(column.tolist()):
        try:
            known = value in found
        except TypeError:  # a list, or an object of JSON
            raise place.at(name).error("expected a number or a string", row) from None
        if not known:
            alone = plain_values(np.array([value], object))
            (found[value],) = one.apply(Columns({name: alone}, place.inside([row]))).tolist()
    return np.fromiter(map(found.__getitem__, column.tolist()), bool, len(column))
