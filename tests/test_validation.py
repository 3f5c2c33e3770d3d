"""A validation measures; the best epoch is a copy of what it saw."""

import numpy as np
import pytest
from clicks import BARE, DATA, MODEL
from hypothesis import given
from hypothesis import strategies as st

from minitower.evaluation.evaluator import evaluate
from minitower.towers.optimizers import RowWiseAdam
from minitower.towers.two_tower import TwoTower
from minitower.training.validation import BestEpoch, UpdateRefused, Validation, ValidationGate


def test_validation__measures_what_an_evaluation_finds():
    validation, report = Validation(DATA, "ndcg@5"), evaluate(MODEL, DATA, split="valid", k=[5])
    assert validation.can_measure
    assert validation.metrics(MODEL) == report.metrics


def test_validation__without_a_validation_part_measures_nothing():
    validation = Validation(BARE, "recall@20")
    assert not validation.can_measure
    assert validation.metrics(TwoTower(BARE.schema, dim=4, hidden=())) == {}


@pytest.mark.parametrize("metric", ["accuracy@3", "recall", "recall@0", "recall@020", 7, "@5"])
def test_validation__refuses_an_unknown_metric(metric):
    with pytest.raises(ValueError, match=r"metric: expected NAME@K, the name one of"):
        Validation(DATA, metric)


@given(st.lists(st.sampled_from([0.1, 0.2, 0.3]), min_size=1, max_size=6))
def test_best_epoch__restores_the_first_of_the_best(values):
    """Parameters, state of the optimizer and its step."""
    model, optimizer, best = TwoTower(DATA.schema, dim=2, hidden=()), RowWiseAdam(), BestEpoch()
    table = model.parameters["user.u.embedding"]
    for epoch, value in enumerate(values, start=1):
        table[...] = epoch
        optimizer.state, optimizer.step = {"m": np.full(3, epoch)}, 10 * epoch
        best.offer(epoch, value, model, optimizer)
        table[...] = optimizer.state["m"][...] = -1
    best.restore(model, optimizer)
    first = 1 + values.index(max(values))
    assert best.epoch == first
    assert model.parameters["user.u.embedding"] is table, "in place"
    assert (table == first).all()
    assert optimizer.state["m"].tolist() == [first] * 3
    assert optimizer.step == 10 * first


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
