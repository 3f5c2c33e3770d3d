"""Every property that the docstrings of formulas/alias_table.py promise."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.formulas.alias_table import build_alias_table, build_alias_table_vose, distribution

CONSTRUCTIONS = pytest.mark.parametrize("build", [build_alias_table_vose, build_alias_table])
distributions = (
    st.lists(st.just(0.0) | st.floats(1e-9, 1e9), min_size=1, max_size=20).filter(any)
    | st.lists(st.floats(0.999, 1.001), min_size=1, max_size=30)
).map(lambda w: np.array(w) / sum(w))


@st.composite
def dyadic(draw):
    """K probabilities that are multiples of 2^-20: float64 holds every sum of them exactly."""
    cuts = draw(st.lists(st.integers(0, 2**20) | st.integers(0, 9), max_size=30))
    return np.diff([0, *sorted(cuts), 2**20]) / 2**20


def exact(keep, alias):
    """The distribution of a table as fractions, slot by slot."""
    total = [Fraction(0)] * len(keep)
    for slot, (kept, other) in enumerate(zip(keep.tolist(), alias.tolist(), strict=True)):
        assert 0 <= kept <= 1
        total[slot] += Fraction(kept)
        total[other] += 1 - Fraction(kept)
    return [mass / len(keep) for mass in total]


@given(dyadic())
def test_build_alias_table__draws_as_vose(p):
    """Exactly the same distribution, although the slots differ."""
    assert (
        exact(*build_alias_table_vose(p))
        == exact(*build_alias_table(p))
        == [Fraction(share) for share in p.tolist()]
    )


@CONSTRUCTIONS
@given(distributions)
def test_alias_table__rebuilds_p(build, p):
    table = build(p)
    assert [float(q) for q in exact(*table)] == pytest.approx(p, abs=2e-15 * len(p))
    assert distribution(*table) == pytest.approx(p, abs=2e-15 * len(p))


@CONSTRUCTIONS
@given(distributions)
def test_alias_table__zeros_are_never_drawn(build, p):
    keep, alias = build(p)
    assert not keep[p == 0].any()
    assert p[alias[keep < 1]].all()


@given(distributions)
def test_build_alias_table__leftovers_are_one(p):
    keep, alias = build_alias_table(p)
    assert np.array_equal(alias == np.arange(len(p)), keep == 1)


@CONSTRUCTIONS
def test_alias_table__even_slots_need_no_alias(build):
    """49 times 1 / 49 rounds below 1: no slot may keep only 0.999..."""
    for K in (1, 3, 7, 49, 1000):
        assert (build(np.full(K, 1 / K))[0] == 1).all()


@CONSTRUCTIONS
@pytest.mark.parametrize("p", [[], [0.5, 0.6], [-0.5, 1.5], [[1.0]], [np.nan], 1.0])
def test_alias_table__refuses(build, p):
    with pytest.raises(ValueError, match="p must be a vector of probabilities with sum 1"):
        build(p)


@pytest.mark.parametrize("keep, alias", [([1.0], [1]), ([1.0, 1.0], [0]), ([[1.0]], [[0]])])
def test_distribution__refuses(keep, alias):
    with pytest.raises(ValueError, match="alias"):
        distribution(keep, alias)
