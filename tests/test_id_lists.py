"""Lists of ids in strings: the known ids say what separates them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.data import DataError
from minitower.data.errors import Place
from minitower.data.exposures import id_lists

PLACE = Place("log.csv", "exposed", first_line=2)
IDS = {
    "integers": [7, 12, 120],
    "with commas": ["pen, blue", "ink", "cup,"[:3]],
    "with spaces": ["blue pen", "ink", "a b c"],
}


def objects(values):
    return np.fromiter(values, object, len(values))


@given(st.sampled_from(sorted(IDS)), st.sampled_from(["|", ";", ",", " ", " | "]), st.data())
def test_id_lists__reads_what_was_joined(kind, separator, data):
    ids = [value for value in IDS[kind] if separator not in str(value)]
    lists = data.draw(st.lists(st.lists(st.sampled_from(ids)), min_size=1))
    strings = objects([separator.join(map(str, values)) for values in lists])
    found, dropped = id_lists(strings, objects(IDS[kind]), PLACE)
    assert found.tolist() == lists
    assert dropped == 0


def test_id_lists__unknown_ids_are_counted_and_lists_stay():
    found, dropped = id_lists(objects(["1,2,99", [2, 5], ""]), np.array([1, 2]), PLACE)
    assert found.tolist() == [[1, 2], [2, 5], []]
    assert dropped == 1


@pytest.mark.parametrize(
    "strings, message",
    [
        (["1,2", "[1, 2]"], r"log.csv, line 3, column 'exposed': .*'\|' between.*got '\[1, 2\]'"),
        (["a/b", "b/c"], r"log.csv, column 'exposed': no item of the data is here; .*got 'a/b'"),
    ],
)
def test_id_lists__refuses_other_forms(strings, message):
    with pytest.raises(DataError, match=message):
        id_lists(objects(strings), objects([1, 2, "a", "b"]), PLACE)
