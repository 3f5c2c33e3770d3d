"""An error is one line of bounded length, whatever the data says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.data import Categorical, Continuous, DataError, Dataset, Id, MultiValued, Schema
from minitower.data.atomic_files import read_text
from minitower.data.columns import read_columns
from minitower.data.errors import LONGEST_ERROR, Place, listed, printable, shorten, show

SCHEMA = Schema(
    user=[Id("user_id"), Continuous("age")],
    item=[Id("item_id"), Categorical("c"), MultiValued("m")],
)
INTER = b"user_id:token\titem_id:token\trating:float\ttimestamp:float\nu\ti\t5\t3\nv\tj\t4\t4\n"
USER = b"user_id:token\tage:float\nu\t3\nv\t4\n"

odd_text = st.sampled_from(["\n", "\r", "\x1b[2J", "\0", "\ud800", "\u2028", "\u202e", "e" * 9999])
odd = st.one_of(odd_text, st.text(max_size=9), st.none(), st.floats(), st.binary(max_size=9))
odd |= st.sampled_from([2**70, [1], {"\n": "\r"}, 1j, True, np.array(["\x07" * 600]), "x\ny"])


def assert_is_one_line(error):
    line = str(error)
    assert len(line) <= LONGEST_ERROR
    assert printable(line) == line, "so that there is no end of line, escape code or half a pair"


@given(st.data())
def test_error__of_a_mutated_table_is_one_line(data):
    """Values, names and lengths of columns, and the options: one or several of them are changed."""
    draw = data.draw
    tables = [
        {"user_id": [1, 2], "item_id": [3, 4], "rating": [5, 4], "timestamp": [1, 2]},
        {"user_id": [1, 2], "age": [3, 4]},
        {"item_id": [3, 4], "c": ["a", "b"], "m": ["a b", "c"]},
    ]
    options = {"positive": "rating >= 4", "item_name": "c"}
    for _ in range(draw(st.integers(1, 3))):
        table = draw(st.sampled_from(tables))
        name = draw(st.sampled_from(list(table)))
        what = draw(st.sampled_from(["value", "name", "column", "more", "option"]))
        if what == "value" and isinstance(table[name], list):
            table[name] = [*table[name][:-1], draw(odd)]
        elif what == "name":
            table[draw(odd_text)] = table.pop(name)
        elif what == "column":
            table[name] = draw(odd)
        elif what == "more":
            table.update({f"{draw(odd_text)}{i}": [1, 2] for i in range(draw(st.integers(1, 200)))})
        elif what == "option":
            options[draw(st.sampled_from(list(options)))] = draw(odd_text)
    try:
        Dataset.from_columns(SCHEMA, *tables, **options)
    except DataError as error:
        assert_is_one_line(error)


@given(st.data())
def test_error__of_a_mutated_file_is_one_line(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("d")
    for suffix, content in ((".inter", INTER), (".user", USER)):
        for _ in range(data.draw(st.integers(0, 2))):
            at = data.draw(st.integers(0, len(content)))
            more = data.draw(
                st.binary(max_size=4) | odd_text.map(lambda t: t.encode("utf-8", "replace"))
            )
            content = content[:at] + more + content[at + data.draw(st.integers(0, 4)) :]
        (folder / f"d{suffix}").write_bytes(content)
    try:
        Dataset.from_atomic(folder, positive="all")
    except DataError as error:
        assert_is_one_line(error)


def test_error__a_file_of_many_columns_names_a_few(tmp_path):
    """It was a line of all of their names."""
    names = [f"column{i}" for i in range(100_000)]
    header = "\t".join(f"{name}:token" for name in names)
    (tmp_path / "d.inter").write_text(f"{header}\n" + "\t".join(names) + "\n")
    with pytest.raises(DataError, match="column 'user_id' is missing; columns: column0, ") as error:
        Dataset.from_atomic(tmp_path)
    assert str(error.value).endswith("column4 and 99,995 more")
    assert_is_one_line(error.value)


def test_error__a_table_of_many_columns_is_searched_once():
    many = {f"column{i}": [1] for i in range(20_000)} | {5: [1], "5": [1]}
    with pytest.raises(DataError, match=r"^t, column '5': the column occurs twice$"):
        read_columns(many, Place("t"))


@pytest.mark.parametrize("name", ["user\n_id", "user\x1b[31m", "u" * 9999])
def test_error__names_are_escaped_and_shortened(name):
    with pytest.raises(DataError) as error:
        read_columns({name: [1, 2], "b": [1]}, Place("/deep" * 900, name))
    assert_is_one_line(error.value)
    assert_is_one_line(Place("t", name).error(f"there is no {name}", 3))


@given(st.text(), st.integers(9, 50))
def test_shorten(text, longest):
    assert len(shorten(text, longest)) == min(len(text), longest)


@given(st.lists(st.text(max_size=99), max_size=20))
def test_listed__says_how_many(names):
    line = listed(names)
    assert len(line) <= 5 * 42 + 20
    assert line.endswith(" more") == (len(names) > 5) or not names or names[-1].endswith(" more")


@pytest.mark.parametrize(
    "content, message",
    [
        (b"a\tb\nc\rd\te\n", "line 2: a carriage return without a line feed"),
        (b"a\tb\rc\td\r", "line 1: a carriage return without a line feed; end lines with LF"),
        (b"a\r\nb\r\nc\0\r\n", "line 3: a zero character; the file is damaged"),
    ],
)
def test_read_text__refuses(tmp_path, content, message):
    path = tmp_path / "a.inter"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"a.inter, {message}"):
        read_text(path)


@pytest.mark.parametrize(
    "bad, what", [("a\0b", "a zero character"), ("\ud83d", "half a surrogate")]
)
@pytest.mark.parametrize("column", ["user_id", "item_id", "c", "m", "name"])
def test_strings_that_cannot_be_stored_are_refused_with_their_row(bad, what, column):
    log = {"user_id": ["1", "2"], "item_id": ["3", "4"]}
    items = {"item_id": ["4", "3"], "c": ["a", "b"], "m": ["a b", "c"], "name": ["x", "y"]}
    table = log if column == "user_id" else items
    table[column] = [table[column][0], bad]
    schema = Schema(user=[Id("user_id")], item=[Id("item_id"), Categorical("c"), MultiValued("m")])
    with pytest.raises(DataError, match=f"row 1, column '{column}': a string with {what}"):
        Dataset.from_columns(schema, log, None, items, item_name="name")


def test_errors__have_fewer_than_500_characters():
    assert len(str(DataError("x" * 10_000))) < 500


def test_show__lists_however_deep():
    deep = []
    for _ in range(5_000):
        deep = [deep]
    assert show(deep).startswith("[[[")
