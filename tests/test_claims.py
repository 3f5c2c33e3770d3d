"""The claims run at tiny size, and what is made of their results is right."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import minitower as mt
from minitower.data.funnel import simulate
from minitower.formulas.softmax import listwise_softmax

CLAIMS = Path(__file__).parent.parent / "benchmarks" / "claims"
BOOK = Path(__file__).parent.parent / "docs"
sys.path.insert(0, str(CLAIMS))

import report  # noqa: E402
import tasks  # noqa: E402
import units  # noqa: E402
from batch_correction import FullSoftmax, WholeCatalogue  # noqa: E402
from claim import Comparison  # noqa: E402
from easy_and_hard import _best_threshold  # noqa: E402


def run(folder, *arguments):
    command = [sys.executable, str(CLAIMS), "--quick", "--jobs", "1"]
    command += ["--task", "funnel", "--task", "living"]
    command += ["--results", str(folder / "results.jsonl"), "--book", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """All claims, tiny, in two runs: the second has one claim left to do."""
    pytest.importorskip("matplotlib", reason="not installed: pip install '.[cli]'")
    folder = tmp_path_factory.mktemp("claims")
    names = sorted(path.stem for path in CLAIMS.glob("*.py") if "CLAIM = " in path.read_text())
    names.remove("ratio")
    run(folder, *names)
    return folder, run(folder)


def test_every_claim_runs_and_is_told(everything):
    folder, printed = everything
    for path in CLAIMS.glob("*.py"):
        if "CLAIM = " in path.read_text():
            assert units.load_claim(path.stem).says in printed
            assert (folder / "figures" / f"claim-{path.stem}.svg").stat().st_size > 1000


def test_what_was_run_is_not_run_again(everything):
    folder, printed = everything
    lines = (folder / "results.jsonl").read_text().splitlines()
    assert printed.startswith("8 models to train")  # two trials of four ratios
    keys = [units._unit(json.loads(line)).key for line in lines]
    assert len(set(keys)) == len(keys)
    assert "models to train" not in run(folder)
    assert (folder / "results.jsonl").read_text().splitlines() == lines


def test_tests_use_the_setting_that_validation_liked_best(everything):
    folder, _ = everything
    results = units.Results(folder / "results.jsonl")
    for arm in units.load_claim("ratio").arms:
        trials = results.of("ratio", "funnel", arm, trial=True)
        best = max(line["figures"]["valid"] for line in trials)
        for line in results.of("ratio", "funnel", arm, trial=False):
            chosen = [t for t in trials if t["setting"] == line["setting"]]
            assert [t["figures"]["valid"] for t in chosen] == [best]


def test_the_book_tells_what_the_results_file_says(tmp_path):
    """Neither the table nor a figure of the book was touched by hand, or is stale."""
    pytest.importorskip("matplotlib", reason="not installed: pip install '.[cli]'")
    (chapter,) = BOOK.glob(f"*{report.CHAPTER}")
    (tmp_path / chapter.name).write_text(chapter.read_text())
    done = [sys.executable, str(CLAIMS), "--report", "--book", str(tmp_path)]
    subprocess.run(done, capture_output=True, check=True, env={**os.environ, "MINITOWER_DATA": ""})
    assert (tmp_path / chapter.name).read_text() == chapter.read_text()
    drawn = {path.name for path in (tmp_path / "figures").glob("claim-*.svg")}
    assert drawn == {path.name for path in (BOOK / "figures").glob("claim-*.svg")}


def test_interval__is_that_of_a_paired_t_test():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.3, 1, 6), rng.normal(0, 1, 6)
    wanted = stats.ttest_rel(a, b).confidence_interval(0.95)
    interval = report.Interval.of(a - b)
    assert (interval.low, interval.high) == pytest.approx((wanted.low, wanted.high))


@pytest.mark.parametrize(
    "values, verdict",
    [
        ([0.1, 0.2, 0.15], "holds"),
        ([-0.1, -0.2, -0.15], "reversed"),
        ([0.1, -0.1, 0.3], "not shown"),
        ([0.5], "not shown"),
    ],
)
def test_verdict(values, verdict):
    assert report._verdict(report.Interval.of(values)) == verdict


def test_effects__are_paired_by_seed(tmp_path):
    """Arms whose seeds differ are compared on those that they share."""
    results = units.Results(tmp_path / "results.jsonl")
    figures = {"1:1": {3: 0.1, 1: 0.5, 2: 0.7}, "1:2": {1: 0.6, 2: 0.9}, "1:3": {1: 0.7, 2: 1.1}}
    for arm, by_seed in figures.items():
        for seed, value in by_seed.items():
            line = {"claim": "ratio", "task": "funnel", "arm": arm, "seed": seed, "trial": False}
            results.add({**line, "setting": {}, "figures": {"attained@50": value}})
    claim = units.load_claim("ratio")
    better, share = report.effects(
        results,
        "ratio",
        claim,
        (
            Comparison(("1:2", ""), ("1:1", "")),
            Comparison(("1:2", ""), ("1:1", ""), top="1:3"),
        ),
    )
    assert better.interval.mean == pytest.approx(0.15)
    assert (better.interval.n, share.interval.n) == (2, 2)
    assert share.interval.mean == pytest.approx(0.5)
    assert share.verdict == ""


def test_full_softmax__is_the_softmax_over_the_catalogue():
    rng = np.random.default_rng(0)
    world = simulate(users=40, items=60, days=4, seed=0)
    data = mt.Dataset.from_columns(world.schema, **world.columns)
    batches = mt.Trainer(
        mt.TwoTower(data.schema, dim=4), data, negatives=WholeCatalogue(data), batch_size=300
    ).batches
    batch = batches.of(
        data.train.take(np.arange(270) % len(data.train)), rng
    )  # more than one block
    users, items = rng.normal(size=(270, 4)), rng.normal(size=(270 + 60, 4))
    loss, (d_users, d_items) = FullSoftmax(0.5)(users, items, batch)
    scores = users @ items[270:].T
    drop = np.zeros(scores.shape, bool)
    rows = np.arange(270), batch.item_rows[:270]
    drop[rows] = True
    wanted, (d_own, d_others) = listwise_softmax(scores[rows], scores, temperature=0.5, drop=drop)
    d_scores = np.where(drop, d_own[:, None], d_others)
    assert loss == pytest.approx(wanted)
    np.testing.assert_allclose(d_users, d_scores @ items[270:], atol=1e-12)
    np.testing.assert_allclose(d_items[270:], d_scores.T @ users, atol=1e-12)
    assert not d_items[:270].any()


def test_who_knows_the_truth_attains_everything():
    """The judge of the funnel gives 1 to the world's own vectors, and less to those of a world
    that has other people."""
    world, other = (simulate(users=60, items=120, days=5, seed=seed) for seed in (0, 1))
    data = mt.Dataset.from_columns(world.schema, **world.columns)
    judge = tasks.against_truth(world, data)
    figures = judge(world.truth(4))
    assert figures["attained@50"] == pytest.approx(1)
    assert figures["found@50"] == figures["tail"] == figures["head"] == 1
    assert judge(other.truth(4))["attained@50"] < 0.9


@pytest.mark.parametrize("shift", [-2.0, 0.0, 3.0])
def test_threshold__parts_what_can_be_parted(shift):
    positive, negative = np.array([1.0, 2.0]) + shift, np.array([-1.0, 0.0]) + shift
    threshold = _best_threshold(positive, negative)
    assert (positive > threshold).all()
    assert (negative <= threshold).all()
