"""A validation measures; the best epoch is a copy of what it saw."""

import numpy as np
import pytest
from clicks import BARE, DATA, MODEL
from hypothesis import given
from hypothesis import strategies as st

from minitower.evaluation.evaluator import evaluate
from minitower.towers.optimizers import RowWiseAdam
from minitower.towers.two_tower import TwoTower
from minitower.training.validation import BestEpoch, Validation


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
