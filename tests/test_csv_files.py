"""A CSV file comes back as it was written, and an error names its line."""

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.data import Categorical, DataError, Dataset, Id, LastSplit, Schema
from minitower.data.columns import Columns
from minitower.data.csv_files import as_fitted, integers_of, plain_values, read_csv
from minitower.data.errors import Place

cells = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=6)
cells |= st.sampled_from(['"', '""', ",", "\n", 'a"b', "x\ny,", " "])


@given(st.integers(1, 3).flatmap(
    lambda n: st.lists(st.lists(cells, min_size=n, max_size=n), min_size=1, max_size=5)
))  # fmt: skip
def test_read_csv__comes_back(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    names = [f"c{i}" for i in range(len(rows[0]))]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([names, *rows])
    columns = read_csv(path)
    assert list(columns.arrays) == names
    assert [list(row) for row in zip(*columns.arrays.values())] == rows
    with pytest.raises(DataError, match=f"line {line_of(path, len(rows) - 1)}, column 'c0': x"):
        raise columns.at("c0").error("x", len(rows) - 1)


def line_of(path, row):
    """The line on which a record begins, by counting line ends of what comes before it."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        before = [next(reader) for _ in range(row + 1)]
    return 1 + sum(1 + sum(cell.count("\n") for cell in record) for record in before)


@pytest.mark.parametrize("text, message", [
    ("a,b\n1,2\n3\n", "t.csv, line 3: expected 2 fields, got 1$"),
    ('a,b\n1,"2\n2"\n3\n', "t.csv, line 4: expected 2 fields, got 1$"),
    ("a,b\n1,2\n\n3,4\n", "t.csv, line 3: expected 2 fields, got 0$"),
    ("a,b\n" + 700 * "1,2\n" + "3\n" + 9 * "4,5\n", "t.csv, line 702: expected 2 fields, got 1$"),
    ('a,b\n1,"2\n', "t.csv, line 2: no CSV: unexpected end of data$"),
    ('a,b\n1,"2"x\n', "t.csv, line 2: no CSV: ',' expected after '\"'$"),
    ("a;b\n1;2\n", "t.csv, line 1: expected commas between columns, got ';'$"),
    ("a\tb\n1\t2\n", "t.csv, line 1: expected commas between columns"),
    ("a,a\n1,2\n", "t.csv, line 1, column 'a': the column occurs twice$"),
    ("\na,b\n1,2\n", "t.csv, line 1: the header is empty$"),
    ("", "t.csv: the file is empty$"),
    ("a\n" + "1" * 200_000 + "\n", "t.csv, line 2: no CSV: field larger than field limit"),
])  # fmt: skip
def test_read_csv__refuses(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_csv(tmp_path / "t.csv")


def test_read_csv__many_records_come_back_in_order(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + "".join(f"{i},{-i}\n" for i in range(1000)))
    arrays = read_csv(path).arrays
    assert arrays["a"].tolist() == [str(i) for i in range(1000)]
    assert arrays["b"].tolist() == [str(-i) for i in range(1000)]


def test_read_csv__a_byte_order_mark_and_windows_line_ends(tmp_path):
    (tmp_path / "t.csv").write_bytes("\ufeffa , b\r\n1,é\r\n".encode())
    assert {n: v.tolist() for n, v in read_csv(tmp_path / "t.csv").arrays.items()} == {
        "a": ["1"], "b": ["é"],
    }  # fmt: skip


def strings(*values):
    return np.array(values, object)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_integers_of__come_back(values):
    found = integers_of(strings(*map(str, values)))
    assert found.tolist() == values


@given(st.lists(st.text("0123456789+-. ", max_size=4), min_size=1))
def test_integers_of__keep_distinct_strings_distinct(values):
    found = integers_of(strings(*values))
    if found is not None:
        assert [str(number) for number in found.tolist()] == values


@pytest.mark.parametrize("values, found", [
    (["1", "2.5"], [1.0, 2.5]),
    (["1", ""], [1, None]),
    (["1.5", ""], [1.5, np.nan]),
    (["true", "False", ""], [True, False, None]),
    (["007", "7"], ["007", "7"]),
    (["1", "x"], ["1", "x"]),
    (["1_0"], ["1_0"]),
    (["nan", "1"], ["nan", "1"]),
    (["inf"], ["inf"]),
    (["", ""], ["", ""]),
    (["1e3", "-0.5"], [1000.0, -0.5]),
])  # fmt: skip
def test_plain_values(values, found):
    assert str(plain_values(strings(*values)).tolist()) == str(found)


@pytest.mark.parametrize("trained, given, rows", [
    (["7", "x"], [7, 8], [1, 0]),
    ([7, 9], ["9", "x"], [2, 0]),
    ([7, 9], ["9", ""], [2, 0]),
    ([True, False], ["true", "FALSE"], [2, 1]),
])  # fmt: skip
def test_as_fitted__categories_get_the_type_of_the_vocabulary(trained, given, rows):
    schema = Schema([Id("u"), Categorical("c")], [Id("i")])
    log, users = {"u": [1, 2], "i": [3, 3]}, {"u": [1, 2], "c": trained}
    data = Dataset.from_columns(schema, log, users, split=LastSplit(0, 0))
    columns = Columns({"u": np.array([1, 2]), "c": plain_values(strings(*given))}, Place("t"))
    fitted = as_fitted(columns, data.schema.user)
    assert data.schema.user.encode(fitted, np.array([1, 2])).columns["c"].tolist() == rows
