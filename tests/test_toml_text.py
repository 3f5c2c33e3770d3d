"""What is written as TOML is read back by the standard library."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.data.job_file import toml

strings = st.text(st.characters(codec="utf-8"))
scalars = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | strings
)
values = scalars | st.lists(scalars, max_size=3)
tables = st.dictionaries(strings, values | st.dictionaries(strings, values, max_size=2), max_size=3)


@given(st.dictionaries(strings, values | tables, max_size=5))
def test_toml__is_read_back(table):
    assert tomllib.loads(toml(table)) == table


def test_toml__keys_after_a_table_still_belong_to_the_top():
    assert tomllib.loads(toml({"a": {"b": 1}, "c": 2})) == {"a": {"b": 1}, "c": 2}


def test_toml__has_no_null():
    with pytest.raises(TypeError, match="TOML has no NoneType"):
        toml({"a": None})
