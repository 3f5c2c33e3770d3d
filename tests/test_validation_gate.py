"""The validation gate measures one metric, and refuses what is below."""

import numpy as np
import pytest
from clicks import BARE, DATA, MODEL
from hypothesis import given
from hypothesis import strategies as st

from minitower.evaluation.evaluator import evaluate
from minitower.towers.two_tower import TwoTower
from minitower.updating.validation_gate import UpdateRefused, ValidationGate


def test_validation_gate__measures_the_metric_alone():
    gate, report = ValidationGate(DATA, "ndcg@5"), evaluate(MODEL, DATA, split="valid", k=[5])
    assert gate.measure(MODEL) == {"ndcg@5": report["ndcg@5"]}


def test_validation_gate__without_a_validation_part_measures_nothing():
    gate = ValidationGate(BARE, "recall@20")
    model = TwoTower(BARE.schema, dim=4, hidden=())
    assert gate.measure(model) == {}
    gate.require({}, {})
    with pytest.raises(ValueError, match="nothing to measure recall@20 on"):
        ValidationGate(BARE, "recall@20", at_least=0.1)


@given(st.floats(0, 1), st.floats(0, 1))
def test_validation_gate__require_refuses_exactly_what_is_below(value, least):
    gate = ValidationGate(DATA, "recall@5", at_least=least)
    before, after = {"recall@5": 0.25}, {"recall@5": value}
    if value >= least:
        gate.require(before, after)
    else:
        with pytest.raises(UpdateRefused, match=r"recall@5 .* would be .*; it is 0\.2500 now"):
            gate.require(before, after)


def test_validation_gate__refuses_a_value_that_is_not_a_number():
    """NaN is not at least anything."""
    with pytest.raises(UpdateRefused):
        ValidationGate(DATA, "recall@5", at_least=0.0).require(
            {"recall@5": 0.1}, {"recall@5": np.nan}
        )
