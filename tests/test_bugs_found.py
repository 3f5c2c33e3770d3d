"""The bugs of the book are named as it says, and what they cost is measured as it says."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minitower as mt
from minitower.conformance import check
from minitower.training.batches import Batches
from minitower.training.sampled_negatives import uniform_negatives

HERE = Path(__file__).parent.parent / "benchmarks" / "bugs_found"
PAGE = HERE.parent.parent / "docs" / "24-bugs-found.md"
sys.path.insert(0, str(HERE))

pytest.importorskip("torch", reason="not installed: pip install '.[peers]'")

import bug_training  # noqa: E402
import bugs_page  # noqa: E402
from bug import Bug, bugs  # noqa: E402

BUGS = bugs()
LINES = bugs_page.read(HERE / "results.jsonl")
CHECKS = {line["loss"]: line for line in LINES if line["kind"] == "check"}
each = pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)


def reported(bug, **options):
    return check(
        bug.loss, formula=bug.formula, framework=bug.framework, given=bug.given, allow=bug.allow,
        **options,
    )  # fmt: skip


@each
def test_checker__says_what_the_page_says(bug):
    report, line = reported(bug), CHECKS[bug.name]
    assert (report.mistake.name, report.mistake.fix) == (line["mistake"], line["fix"])
    assert (len(report.failed), len(report.cases)) == (line["failed"], line["cases"])


@each
def test_checker__names_it_in_float32(bug):
    name = reported(bug, dtype="float32").mistake.name
    letters = lambda text: "".join(c for c in text if c.isalpha())
    assert letters(name) == letters(CHECKS[bug.name]["mistake"])


def test_page__is_made_of_the_results():
    assert bugs_page.made(LINES) in PAGE.read_text("utf-8")


@each
def test_page__says_what_each_costs(bug):
    cost = bugs_page._cost(bug, LINES)
    assert cost["seeds"] >= 3
    assert bugs_page._cost_in_words(bug, LINES) in PAGE.read_text("utf-8")


def test_page__has_enough_bugs_that_can_be_found():
    assert len([bug for bug in BUGS if bug.framework == "torch"]) >= 12
    assert len({bug.name for bug in BUGS}) == len(BUGS)
    for bug in BUGS:
        assert bug.repository.count("/") == 1
        assert len(bug.commit) == 40 or bug.commit.startswith("v")
        assert bug.thread == "" or bug.thread.split("/")[0] in ("issues", "pull")
        assert bug.says.endswith(".")
        assert bug.now.endswith(".")
        assert bug.source in PAGE.read_text("utf-8")


def line(loss, seed, clicks, best=0.5):
    figures = {"clicks": clicks, "best": best}
    return {"kind": "training", "loss": loss, "seed": seed, "figures": figures, "stopped": ""}


A_BUG = Bug(lambda x: x, "a/b", "c.py", "0" * 40, "Wrong.", "triplet_hinge")


def test_cost__is_paired_by_seed():
    """Seeds without a partner do not count; the interval is of the differences."""
    name, right = A_BUG.name, "right triplet_hinge"
    lines = [line(right, s, 0.5 + s / 10) for s in (1, 2, 3, 4)]
    lines += [line(name, s, 0.4 + s / 10 - s / 100) for s in (1, 2, 3)]
    lines.append(line("right cosine", 1, 0.0))
    cost = bugs_page._cost(A_BUG, lines)
    assert cost["seeds"] == 3
    assert cost["clicks"]["mean"] == pytest.approx(-0.12)
    assert cost["clicks"]["high"] == pytest.approx(-0.12 + 4.302653 * 0.01 / 3**0.5)
    assert bugs_page._short(cost) == "recall@50 0.700 → 0.580"
    assert bugs_page._cost_in_words(A_BUG, lines).startswith("It costs recall. Recall@50, 3 seeds")


def test_cost__that_does_not_show():
    lines = [line("right triplet_hinge", s, 0.5) for s in (1, 2)]
    lines += [line(A_BUG.name, 1, 0.6), line(A_BUG.name, 2, 0.4)]
    assert bugs_page._short(bugs_page._cost(A_BUG, lines)) == "none that shows"
    assert bugs_page._cost_in_words(A_BUG, lines).startswith("No cost shows")
    assert bugs_page._short(bugs_page._cost(A_BUG, lines[:2])) == "not measured"


def test_interval():
    assert bugs_page.interval([1, 2, 3]) == pytest.approx((2, 2.484138))
    assert bugs_page.interval([1.0]) == (1, np.inf)


def a_batch(negatives, similarity):
    _, data = bug_training.world(3, True)
    drawn = uniform_negatives(data, negatives, reject_known=False) if negatives else None
    batch = next(Batches(data, 64, drawn).epoch(np.random.default_rng(0)))
    model = mt.TwoTower(data.schema, dim=8, similarity=similarity, seed=0)
    users, items = model.user(batch.users)[0], model.item(batch.items)[0]
    return users * (1 if similarity == "cosine" else 20), items, batch


OURS = {
    "in_batch_softmax": mt.InBatchSoftmax(0.1),
    "in_batch_softmax_plain": mt.InBatchSoftmax(0.1, "none"),
    "in_batch_softmax_masked": mt.InBatchSoftmax(0.1, "none", mask_hits=True),
    "in_batch_softmax_weighted": mt.InBatchSoftmax(0.1),
    "listwise_softmax": mt.InBatchSoftmax(0.1, "none", mask_hits=True),
    "triplet_logistic": mt.Pairwise("logistic", temperature=1.0),
    "triplet_logistic_many": mt.Pairwise("logistic", temperature=1.0),
    "triplet_hinge": mt.Pairwise("hinge", margin=1.0),
    "triplet_hinge_many": mt.Pairwise("hinge", margin=1.0),
    "binary_cross_entropy": mt.Pointwise("logistic", temperature=1.0),
}


@pytest.mark.parametrize("formula", OURS)
def test_right_form__is_the_objective_of_training(formula):
    setting = bug_training.setting_of(formula)
    users, items, batch = a_batch(setting.negatives, setting.similarity)
    loss, (d_users, d_items) = bug_training.right(formula)(users, items, batch)
    ours, (d_ours, d_our_items) = OURS[formula](users, items, batch)
    assert loss == pytest.approx(ours, rel=1e-4)
    np.testing.assert_allclose(d_users, d_ours, atol=1e-4 * np.abs(d_ours).max())
    np.testing.assert_allclose(d_items, d_our_items, atol=1e-4 * np.abs(d_our_items).max())


NOT_HERE = {"easyrec_hit_prob", "merlin_false_negatives", "rechub_bpr"}
"""Their mistakes show at scores that a batch does not have."""


@pytest.mark.parametrize("bug", [b for b in BUGS if b.framework == "torch"], ids=lambda b: b.name)
def test_wrong_form__has_another_gradient(bug):
    setting = bug_training.setting_of(bug.formula)
    users, items, batch = a_batch(setting.negatives, setting.similarity)
    _, right = bug_training.right(bug.formula)(users, items, batch)
    _, wrong = bug_training.wrong(bug)(users, items, batch)
    off = max(
        float(np.abs(a - b).max() / np.abs(a).max()) for a, b in zip(right, wrong, strict=True)
    )
    assert (off > 1e-4) == (bug.name not in NOT_HERE)


def test_script__runs_what_is_missing_once(tmp_path):
    results, page = tmp_path / "results.jsonl", tmp_path / "page.md"
    command = [sys.executable, str(HERE), "--quick", "--seeds", "1", "neurec_hinge", "ngcf_ndcg",
               "--results", str(results), "--page", str(page)]  # fmt: skip
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    lines = [json.loads(text) for text in results.read_text("utf-8").splitlines()]
    kinds = [(x["kind"], x["loss"]) for x in lines]
    assert sorted(kinds) == [
        ("check", "neurec_hinge"), ("check", "ngcf_ndcg"), ("metric", "ngcf_ndcg"),
        ("training", "neurec_hinge"), ("training", "right triplet_hinge"),
    ]  # fmt: skip
    figures = {x["loss"]: x["figures"] for x in lines if x["kind"] != "check"}
    assert figures["neurec_hinge"]["clicks"] < figures["right triplet_hinge"]["clicks"]
    assert figures["ngcf_ndcg"]["wrong"] > figures["ngcf_ndcg"]["right"]
    assert "positive and negative exchanged" in page.read_text("utf-8")
    command[5] = "no_such_bug"
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert done.stderr.startswith("bugs are ")
