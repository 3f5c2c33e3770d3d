"""Every property that the docstrings of formulas/mutual_information.py promise."""

import itertools
import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.formulas.mutual_information import (
    count_together,
    mutual_information,
    plug_in_bias,
)


def measured(fields, **options):
    return mutual_information(fields, identifiers=True, **options)


def csr(rows):
    return np.cumsum([0, *map(len, rows)]), np.array([v for row in rows for v in row], dtype=int)


@st.composite
def tables(draw, fields=3, max_rows=7):
    """Rows of sets, repetitions within one included, as lists of fields."""
    n = draw(st.integers(1, max_rows))
    row = st.lists(st.integers(0, 3), max_size=3)
    return [draw(st.lists(row, min_size=n, max_size=n)) for _ in range(fields)]


def weights_of(rows):
    some = st.lists(st.integers(0, 5), min_size=rows, max_size=rows)
    return st.none() | some.filter(any)


def naive(us, vs, weights):
    """The definition, over dictionaries; one value of each row's set is sampled for each field."""
    weights = weights or [1] * len(us)
    joint, p, q = defaultdict(float), defaultdict(float), defaultdict(float)
    for u_set, v_set, w in zip(us, vs, weights):
        pairs = list(itertools.product(u_set or ["none"], v_set or ["none"]))
        for u, v in pairs:
            joint[u, v] += w / sum(weights) / len(pairs)
            p[u] += w / sum(weights) / len(pairs)
            q[v] += w / sum(weights) / len(pairs)
    return sum(x * math.log(x / (p[u] * q[v])) for (u, v), x in joint.items() if x)


def entropy(rows, weights=None):
    weights = weights or [1] * len(rows)
    p = defaultdict(float)
    for row, w in zip(rows, weights):
        for value in row or ["none"]:
            p[value] += w / sum(weights) / max(len(row), 1)
    return -sum(x * math.log(x) for x in p.values() if x)


@given(tables(), st.data())
def test_mutual_information__equals_naive(table, data):
    weights = data.draw(weights_of(len(table[0])))
    matrix = measured([csr(rows) for rows in table], weights=weights)
    for (i, us), (j, vs) in itertools.combinations(enumerate(table), 2):
        assert matrix[i, j] == pytest.approx(naive(us, vs, weights), abs=1e-12)


@given(tables(), st.data())
def test_mutual_information__diagonal_is_the_entropy(table, data):
    weights = data.draw(weights_of(len(table[0])))
    matrix = measured([csr(rows) for rows in table], weights=weights)
    expected = [entropy(rows, weights) for rows in table]
    assert np.diag(matrix) == pytest.approx(expected, abs=1e-12)


@given(tables())
def test_mutual_information__symmetric_and_at_most_either_entropy(table):
    matrix = measured([csr(rows) for rows in table])
    assert np.array_equal(matrix, matrix.T)
    h = np.diag(matrix)
    assert np.all(matrix >= 0)
    assert np.all(matrix <= np.minimum(h[:, None], h) + 1e-12)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=6))
def test_mutual_information__with_itself_is_the_entropy(values):
    values = np.array(values)
    matrix = measured([values, 10 - values])  # the same under other names
    assert matrix == pytest.approx(np.full((2, 2), entropy([[v] for v in values])), abs=1e-12)


@given(tables(fields=1, max_rows=4), tables(fields=1, max_rows=4))
def test_mutual_information__zero_on_products(one, other):
    """Every row of one field with every row of the other."""
    pairs = list(itertools.product(one[0], other[0]))
    matrix = measured([csr([u for u, _ in pairs]), csr([v for _, v in pairs])])
    assert 0 <= matrix[0, 1] < 1e-12


@given(tables(), st.permutations(["d", "a", "c", "b"]))
def test_mutual_information__unchanged_by_relabelling(table, names):
    fields = [csr(rows) for rows in table]
    renamed = [(indptr, np.array(names)[values]) for indptr, values in fields]
    assert measured(renamed) == pytest.approx(measured(fields), abs=1e-12)


@given(tables(), st.data())
def test_mutual_information__weights_are_repetitions(table, data):
    weights = data.draw(weights_of(len(table[0])).filter(bool))
    repeated = [[row for row, w in zip(rows, weights) for _ in range(w)] for rows in table]
    weighed = measured([csr(rows) for rows in table], weights=np.multiply(0.1, weights))
    assert weighed == pytest.approx(measured([csr(rows) for rows in repeated]), abs=1e-12)


def test_mutual_information__single_values_need_no_indptr():
    values = np.array([3, 1, 3, 2])
    other = csr([[0, 1], [], [1], [0]])
    both = [(np.arange(5), values), other]
    assert np.array_equal(mutual_information([values, other]), mutual_information(both))


@given(tables(fields=2))
def test_mutual_information__identifiers_share_all_information(table):
    """As much as any field can; where every row has one value, all there is."""
    n = len(table[0])
    single = [row[:1] or [9] for row in table[1]]
    fields = [np.arange(n), csr(table[0]), csr(table[1]), csr(single)]
    matrix = measured(fields)
    assert matrix[0, 2] >= matrix[1, 2] - 1e-12
    assert matrix[0, 3] == pytest.approx(entropy(single), abs=1e-12)


def test_mutual_information__identifiers_are_not_measured_by_default():
    city = np.array([1, 1, 2, 2])
    tags, names = csr([[0], [1, 0], [0], [1]]), csr([[4, 4], [5, 6], [7], []])
    matrix = mutual_information([np.arange(4), city, names, tags])
    assert np.array_equal(np.isnan(np.diag(matrix)), [True, False, True, False])
    assert np.isnan(matrix[[0, 2]]).all()
    assert np.isnan(matrix[:, [0, 2]]).all()
    inside = np.ix_([1, 3], [1, 3])
    assert np.array_equal(matrix[inside], mutual_information([city, tags]))
    assert np.isnan(mutual_information([np.arange(2)])).all()
    assert mutual_information([np.array([7])]).tolist() == [[0]]  # one row identifies nothing
    shared_none = csr([[0], [1], [], []])
    assert not np.isnan(mutual_information([shared_none])).any()


def tables_of_counts(n, cells):
    """All ways in which n rows fall on so many cells, (number of ways, cells)."""
    bars = np.array(list(itertools.combinations(range(n + cells - 1), cells - 1)))
    edges = np.hstack([np.full((len(bars), 1), -1), bars, np.full((len(bars), 1), n + cells - 1)])
    return np.diff(edges, axis=1) - 1


def expected_estimate(law, n):
    """The mean over all samples of n rows, exactly."""
    counts = tables_of_counts(n, law.size)
    log_factorial = np.cumsum(np.log(np.maximum(np.arange(n + 1), 1)))
    log_p = log_factorial[n] - log_factorial[counts].sum(axis=1) + counts @ np.log(law.ravel())
    assert np.exp(log_p).sum() == pytest.approx(1)
    return np.exp(log_p) @ information(counts.reshape(-1, *law.shape) / n)


def information(joint):
    product = joint.sum(axis=-1, keepdims=True) * joint.sum(axis=-2, keepdims=True)
    logs = np.log(joint / np.maximum(product, 1e-9), out=np.zeros_like(joint), where=joint > 0)
    return (joint * logs).sum(axis=(-2, -1))


@pytest.mark.parametrize(
    "law, n",
    [
        (np.outer([0.4, 0.6], [0.5, 0.5]), 30),
        (np.outer([0.5, 0.5], [0.4, 0.3, 0.3]), 12),
        (np.array([[0.3, 0.2], [0.1, 0.4]]), 30),
    ],
)
def test_plug_in_bias__bias_of_independent_rows(law, n):
    """What is left beside it is of order 1/n^2: a twofold sample makes it four times smaller."""
    left = [
        expected_estimate(law, size) - information(law) - plug_in_bias(*law.shape, size)
        for size in (n, 2 * n)
    ]
    assert abs(left[1]) < 0.2 * plug_in_bias(*law.shape, 2 * n)
    assert left[0] / left[1] == pytest.approx(4, rel=0.3)


def test_plug_in_bias__a_sample():
    rng = np.random.default_rng(0)
    r, c, n = 12, 7, 3000
    fields = [rng.integers(r, size=n), rng.integers(c, size=n)]
    assert mutual_information(fields)[0, 1] == pytest.approx(plug_in_bias(r, c, n), rel=0.4)
    pairwise = plug_in_bias(np.array([[r], [c]]), np.array([r, c]), n)
    assert pairwise[0, 1] == pairwise[1, 0] == plug_in_bias(r, c, n)


def counted(table, weights, rows):
    """What some of the rows hold; each part knows no more than its own values."""
    fields = [csr([field[row] for row in rows]) for field in table]
    return count_together(fields, weights=None if weights is None else [weights[r] for r in rows])


@given(tables(max_rows=9), st.data())
def test_cooccurrences__parts_add_up(table, data):
    n = len(table[0])
    weights = data.draw(weights_of(n))
    cuts = sorted(data.draw(st.sets(st.integers(1, n - 1), max_size=3))) if n > 1 else []
    edges = list(itertools.pairwise([0, *cuts, n]))
    first, *others = (counted(table, weights, range(*edge)) for edge in edges)
    for identifiers in (False, True):
        together = sum(others, first).information(identifiers=identifiers)
        at_once = mutual_information(
            [csr(f) for f in table], weights=weights, identifiers=identifiers
        )
        assert together == pytest.approx(at_once, abs=1e-12, nan_ok=True)
    at_once = counted(table, weights, range(n))
    together = sum(others, first)
    for ours, theirs in zip(together.joint, at_once.joint, strict=True):
        assert ours.shape == theirs.shape
        assert ours.toarray() == pytest.approx(theirs.toarray(), abs=1e-12)
    for ours, theirs in zip(together.rows, at_once.rows, strict=True):
        assert ours.dtype == theirs.dtype == np.int64
        assert ours.tolist() == theirs.tolist()


@given(tables(max_rows=9), st.data())
def test_cooccurrences__order_of_parts_changes_nothing(table, data):
    rows = data.draw(st.permutations(range(len(table[0]))))
    parts = [counted(table, None, [row]) for row in rows]
    while len(parts) > 1:  # a tree of sums
        parts = [sum(parts[i + 1 : i + 3], parts[i]) for i in range(0, len(parts), 3)]
    at_once = mutual_information([csr(field) for field in table], identifiers=True)
    assert parts[0].information(identifiers=True) == pytest.approx(at_once, abs=1e-12)


def test_cooccurrences__strings_and_missing_values_add_up():
    names = np.array(["b", "a", "c", "b"], object)
    color = csr([[], [1], [], [1]])

    def part(rows):
        return count_together([names[rows], csr([[1] if r % 2 else [] for r in range(4)[rows]])])

    together = part(slice(0, 1)) + part(slice(1, 4))  # the first knows no color
    assert together.values[0].tolist() == ["a", "b", "c"]
    assert together.rows[1].tolist() == [2, 2]
    expected = mutual_information([names, color])
    assert together.information() == pytest.approx(expected, abs=1e-12)


def test_cooccurrences__a_field_without_values_has_no_type():
    """Some parts of a table have no value of a field of strings; nothing is read as numbers."""
    nothing = count_together([csr([[], []])])
    strings = count_together([np.array(["a", "b"], object)])
    for together in (nothing + strings, strings + nothing):
        assert together.values[0].tolist() == ["a", "b"]
        assert together.rows[0].tolist() == [1, 1, 2]


def test_cooccurrences__weights_that_add_up_to_infinity_are_refused():
    part = count_together([np.array([1, 2])], weights=[1e308, 1.0])
    with pytest.raises(ValueError, match="weights must be finite and not all zero, got a sum of"):
        (part + part).information()


def test_cooccurrences__an_identifier_is_known_from_all_parts_only():
    """Distinct in every part, but not together; and the other way round nothing can be."""
    part = count_together([np.array([1, 2]), np.array([0, 1])])
    assert np.isnan(part.information()).all()
    assert not np.isnan((part + part).information()).any()
    other = count_together([np.array([3, 4]), np.array([0, 1])])
    assert np.isnan((part + other).information()).tolist() == [[True, True], [True, False]]


def test_cooccurrences__a_part_may_weigh_nothing():
    nothing = count_together([np.array([1, 2]), np.array([0, 1])], weights=[0, 0])
    part = count_together([np.array([1, 1]), np.array([0, 1])])
    both = (nothing + part).information(identifiers=True)
    assert np.array_equal(both, part.information(identifiers=True))
    with pytest.raises(ValueError, match="not all zero"):
        nothing.information()


def test_mutual_information__the_smallest_weights_have_a_share():
    """Of these two rows the product of the shares, 1e-400, is zero in float64."""
    field = np.array([0, 0, 1])
    found = mutual_information([field, field], weights=[1e-200, 1e-200, 1])
    assert found == pytest.approx(
        np.full((2, 2), 2e-200 * (1 + math.log(1 / 2e-200))), rel=1e-2, abs=0
    )


def test_cooccurrences__refuses():
    numbers, strings = count_together([np.array([1])]), count_together([np.array(["1"])])
    with pytest.raises(ValueError, match="values of type int64 here and <U1 there"):
        numbers + strings
    beyond, fractions = count_together([np.array([2**53, 2**53 + 1])]), count_together([[0.5, 2.0]])
    with pytest.raises(ValueError, match=r"integers beyond 2\^53 here and floats there"):
        fractions + beyond
    assert (fractions + numbers).values[0].tolist() == [0.5, 1.0, 2.0]
    with pytest.raises(ValueError, match=r"below 2\^63"):
        count_together([np.array([2**63], np.uint64)]) + count_together([np.array([-1])])
    with pytest.raises(ValueError, match="1 and 2 fields do not add up"):
        numbers + count_together([np.zeros(1), np.zeros(1)])


@pytest.mark.parametrize("sign", [1, -1])
def test_cooccurrences__integers_meet_floats_below_2_to_the_53(sign):
    """From there on two integers are one float."""
    fractions, largest = count_together([[0.5]]), sign * (2**53 - 1)
    both = fractions + count_together([np.array([0, largest])])
    assert sorted(both.values[0].tolist()) == sorted([0.5, 0, largest])
    for beyond in (sign * 2**53, sign * (2**53 + 1)):
        with pytest.raises(ValueError, match=r"integers beyond 2\^53 here and floats there"):
            fractions + count_together([np.array([0, beyond])])


def test_cooccurrences__integers_of_two_widths_stay_integers():
    narrow, wide = (count_together([np.array([x], t)]) for x, t in ((1, "i4"), (2**53 + 1, "i8")))
    assert (narrow + wide).values[0].tolist() == [1, 2**53 + 1]


def test_cooccurrences__unsigned_integers_that_no_signed_one_holds_are_named():
    unsigned, signed = (count_together([np.array([x], t)]) for x, t in ((2**63, "u8"), (-1, "i8")))
    with pytest.raises(ValueError, match=r"^values must be below 2\^63"):
        unsigned + signed


def test_mutual_information__narrow_weights_are_summed_widely():
    fields, weights = [np.array([1, 1, 2]), np.array([5, 6, 6])], [60_000, 2048, 60_000]
    narrow = mutual_information(fields, weights=np.array(weights, np.float16))
    assert np.array_equal(narrow, mutual_information(fields, weights=weights))


def test_mutual_information__leaves_its_arguments_alone():
    values, (indptr, tags), weights = np.array([1, 1, 2]), csr([[0, 1], [], [1]]), np.ones(3)
    for array in (values, indptr, tags, weights):
        array.flags.writeable = False
    mutual_information([values, (indptr, tags)], weights=weights)


@pytest.mark.parametrize(
    "fields, weights, message",
    [
        (np.array(3.0), None, "fields must be a list of columns"),
        (3, None, "fields must be a list of columns"),
        ([], None, "must be equally long and have rows"),
        ([np.array([], int)], None, r"have rows, got lengths \[0\]"),
        ([np.zeros(2), np.zeros(3)], None, r"equally long and have rows, got lengths \[2, 3\]"),
        ([(np.array([0, 3]), np.zeros(2))], None, "indptr must rise from 0"),
        ([(np.array([1, 2]), np.zeros(2))], None, "indptr must rise from 0"),
        ([(np.array([0, 2, 1, 2]), np.zeros(2))], None, "indptr must rise from 0"),
        ([np.zeros((2, 2))], None, "indptr must rise from 0"),
        ([np.zeros(2)], [1], "weights must be 2, one per row of the fields, got 1"),
        ([np.zeros(2)], [0, 0], "not all zero"),
        ([np.zeros(2)], [2, -1], "weights must be finite and not negative"),
        ([np.zeros(2)], [1, np.nan], "weights must be finite and not negative"),
        ([np.zeros(2)], [1, np.inf], "weights must be finite and not negative"),
    ],
)
def test_mutual_information__refuses(fields, weights, message):
    with pytest.raises(ValueError, match=message):
        mutual_information(fields, weights=weights)
