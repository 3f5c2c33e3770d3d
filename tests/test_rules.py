"""Rules keep what they say: against a naive evaluator, and as text."""

import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.data import DataError, parse_rule
from minitower.data.columns import read_columns
from minitower.data.errors import Place
from minitower.data.rules import Combination, Comparison

OPERATORS = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
}


def log(**columns):
    return read_columns(columns, Place("log.inter", first_line=2))


@given(
    st.sampled_from(sorted(OPERATORS)),
    st.integers(-3, 3),
    st.lists(st.integers(-3, 3) | st.none(), min_size=1),
    st.sampled_from(["", " ", "  "]),
    st.sampled_from(["numbers", "objects", "text"]),
)
def test_rule__equals_naive(symbol, value, column, space, kind):
    """Missing values never pass, not even !=."""
    expected = [v is not None and OPERATORS[symbol](v, value) for v in column]
    if kind == "text" and symbol in ("=", "==", "!="):
        column = ["" if v is None else str(v) for v in column]
    elif kind == "numbers":
        column = np.array([np.nan if v is None else v for v in column])
    rule = parse_rule(f"{space}r{space}{symbol}{space}{value}{space}")
    assert rule.apply(log(r=column)).tolist() == expected


@pytest.mark.parametrize(
    "text, rule",
    [
        ("rating >= 4", Comparison("rating", ">=", "4")),
        ("click=1", Comparison("click", "=", "1")),
        ("kind == 'pay now'", Comparison("kind", "==", "pay now")),
        ('kind != "a"', Comparison("kind", "!=", "a")),
        ("watch time > 2.5", Comparison("watch time", ">", "2.5")),
    ],
)
def test_rule__parses(text, rule):
    assert parse_rule(text) == rule


def test_rule__text_and_truth():
    assert parse_rule("kind = buy").apply(log(kind=["buy", "see", None])).tolist() == [1, 0, 0]
    assert parse_rule("click = true").apply(log(click=[True, False])).tolist() == [1, 0]
    assert parse_rule("r > 3").apply(log(r=["4", "", "10", "3"])).tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize("text", ["rating", ">= 4", "rating >=", "", "rating 4"])
def test_rule__refuses_what_is_no_rule(text):
    with pytest.raises(DataError, match=r"cannot read the rule .*; write it like 'rating >= 4'"):
        parse_rule(text)


@pytest.mark.parametrize(
    "text, message",
    [
        ("stars > 3", "^log.inter: column 'stars' is missing; columns: r, kind$"),
        ("r >= high", "^log.inter, column 'r': the rule compares numbers with 'high'$"),
        ("r = high", "^log.inter, column 'r': the rule compares numbers with 'high'$"),
        ("kind > 3", "^log.inter, line 3, column 'kind': expected a number, got 'see'$"),
        ("kind > a", "^log.inter, line 3, column 'kind': expected a number, got 'see'$"),
    ],
)
def test_rule__refuses(text, message):
    with pytest.raises(DataError, match=message):
        parse_rule(text).apply(log(r=[1, 2], kind=["1", "see"]))


# Comparisons joined by words

comparisons = st.builds(
    Comparison, st.sampled_from("ab"), st.sampled_from(sorted(OPERATORS)),
    st.integers(-2, 2).map(str),
)  # fmt: skip
trees = st.recursive(
    comparisons,
    lambda rules: st.tuples(
        st.sampled_from(["and", "or"]), st.lists(rules, min_size=2, max_size=3)
    ),
    max_leaves=8,
)


def naive(tree, row):
    """Whether one row passes, by Python's own words."""
    if isinstance(tree, Comparison):
        value = row[tree.column]
        return value is not None and OPERATORS[tree.operator](value, int(tree.value))
    word, parts = tree
    return (all if word == "and" else any)(naive(part, row) for part in parts)


def written(tree, inside="or"):
    """The tree as text, with parentheses only where the precedence needs them."""
    if isinstance(tree, Comparison):
        return f"{tree.column} {tree.operator} {tree.value}"
    word, parts = tree
    text = f" {word} ".join(written(part, word) for part in parts)
    return f"({text})" if inside == "and" and word == "or" else text


@given(trees, st.lists(st.tuples(*[st.integers(-2, 2) | st.none()] * 2), min_size=1))
def test_combination__equals_naive(tree, rows):
    rule = parse_rule(written(tree))
    a, b = zip(*rows)
    expected = [naive(tree, {"a": x, "b": y}) for x, y in rows]
    assert rule.apply(log(a=a, b=b)).tolist() == expected


def test_combination__and_binds_closer_than_or():
    one = [Comparison(name, "=", "1") for name in "abc"]
    both = Combination("and", (one[1], one[2]))
    assert parse_rule("a = 1 or b = 1 AND c = 1") == Combination("or", (one[0], both))
    either = Combination("or", (one[0], one[1]))
    assert parse_rule("(a=1 OR b=1) and c=1") == Combination("and", (either, one[2]))
    assert parse_rule("((a = 1))") == one[0]


@pytest.mark.parametrize("text, column, value", [
    ('title = "War and Peace"', "title", "War and Peace"),
    ("genre = Children's", "genre", "Children's"),
    ("state = OR", "state", "OR"),
    ("title = Toy Story (1995)", "title", "Toy Story (1995)"),
    ("'this and that' = x", "this and that", "x"),
    ('a = "x" y', "a", '"x" y'),
])  # fmt: skip
def test_rule__words_and_quotes_in_a_value(text, column, value):
    assert parse_rule(text) == Comparison(column, "=", value)


@pytest.mark.parametrize("text", [
    "a = 1 and", "a = 1 and b", "(a = 1", "()", "and", "title = War and Peace", "(a = x (y) )",
    "(" * 99 + "a = 1" + ")" * 99, "a = " + "1" * 99999, 'a = 1 and "b" c',
])  # fmt: skip
def test_rule__refuses_an_incomplete_combination(text):
    with pytest.raises(DataError, match=r"cannot read the rule .*; write it like 'rating >= 4'"):
        parse_rule(text)


def test_rule__has_at_most_100_comparisons():
    assert len(parse_rule(" and ".join(["a = 1"] * 100)).comparisons) == 100
    with pytest.raises(DataError, match="at most 100 comparisons, got 101"):
        parse_rule(" or ".join(["a = 1"] * 101))


@pytest.mark.parametrize("rule", [3, None, ["rating >= 4"], np.array(3)])
def test_a_rule_that_is_no_string_is_refused(rule):
    with pytest.raises(DataError, match=r"^a rule is a string such as 'rating >= 4', got"):
        parse_rule(rule)
