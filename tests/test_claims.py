"""The claims run at tiny size, and what is made of their results is right."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from picture_differences import differences
from scipy import stats

import minitower as mt
from minitower.formulas.softmax import listwise_softmax
from minitower.lab.funnel import simulate

CLAIMS = Path(__file__).parent.parent / "benchmarks" / "claims"
BOOK = Path(__file__).parent.parent / "docs"
sys.path.insert(0, str(CLAIMS))

import living  # noqa: E402
import report  # noqa: E402
import tasks  # noqa: E402
import units  # noqa: E402
from batch_correction import FullSoftmax, WholeCatalogue  # noqa: E402
from claim import Comparison  # noqa: E402
from easy_and_hard import _best_threshold  # noqa: E402
from updating import full, in_windows, incremental  # noqa: E402


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


def test_trials_begin_with_the_setting_that_they_stand_upon(everything):
    """A branch is tuned on top of the nights that validation liked best, not of any others."""
    folder, _ = everything
    results = units.Results(folder / "results.jsonl")
    chosen = units._chosen(results, "full_or_incremental", "living", "full")
    trials = results.of("full_and_incremental", "living", "full and incremental", trial=True)
    assert len(trials) == 2
    for line in trials:
        assert line["setting"].keys() - chosen.keys() == {"branch_rate"}
        assert chosen.items() <= line["setting"].items()


def test_the_book_tells_what_the_results_file_says(tmp_path):
    """Neither the table nor a figure of the book was touched by hand, or is stale."""
    pages = report.CHAPTER, report.DETAILS
    for page in pages:
        (tmp_path / page).write_text((BOOK / page).read_text("utf-8"), "utf-8")
    done = [sys.executable, str(CLAIMS), "--report", "--book", str(tmp_path)]
    subprocess.run(done, capture_output=True, check=True, env={**os.environ, "MINITOWER_DATA": ""})
    for page in pages:
        assert (tmp_path / page).read_text("utf-8") == (BOOK / page).read_text("utf-8")
    drawn = {path.name: path for path in (tmp_path / "figures").glob("claim-*.svg")}
    assert drawn.keys() == {path.name for path in (BOOK / "figures").glob("claim-*.svg")}
    for name, path in drawn.items():
        committed = (BOOK / "figures" / name).read_text("utf-8")
        assert differences(committed, path.read_text("utf-8"), pixels=0.2, words=0.01) == []


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
        ([0.5], "one seed"),
    ],
)
def test_verdict(values, verdict):
    assert report._verdict(report.Interval.of(values)) == verdict


def effect(task, verdict):
    interval = report.Interval(0.0, -1.0, 1.0, 5)
    return report.Effect(Comparison(("a", ""), ("b", "")), task, "recall@20", interval, verdict)


@pytest.mark.parametrize(
    "verdicts, said",
    [
        ({"funnel": ["holds", "holds"]}, "holds (funnel)"),
        ({"funnel": ["reversed"]}, "is reversed (funnel)"),
        ({"funnel": ["not shown"], "yelp": ["not shown"]}, "is not shown (funnel, yelp)"),
        ({"funnel": ["holds", "reversed", "holds"]}, "mixed: 2 hold, 1 reversed (funnel)"),
        ({"funnel": ["not shown", "reversed"]}, "mixed: 1 reversed, 1 not shown (funnel)"),
        (
            {"funnel": ["holds"], "yelp": ["not shown", "holds"]},
            "depends on the data: holds on funnel; mixed: 1 holds, 1 not shown on yelp",
        ),
    ],
)
def test_summary__counts_what_decides(verdicts, said):
    """A reversed comparison is never hidden behind another that holds."""
    effects = [effect(task, verdict) for task in verdicts for verdict in verdicts[task]]
    assert report.summary(effects) == said


def test_summary__of_the_book_is_that_of_the_results():
    """Every claim of the book says how many of its bold comparisons hold, and of which data."""
    rows = r"^\| \[\d+\]\(\S+\) \| .* \| (.*) \|$"
    said = re.findall(rows, (BOOK / report.CHAPTER).read_text("utf-8"), re.MULTILINE)
    _, *parts = (BOOK / report.DETAILS).read_text("utf-8").split("\n## ")
    assert len(said) == len(parts) > 0
    for part, summary in zip(parts, said, strict=True):
        rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in part.splitlines()]
        decide = [effect(row[1], row[5].strip("*")) for row in rows if row[5:] and "**" in row[5]]
        assert report.summary(decide) == summary


INTERVAL = r"[+-]\d\.\d{4} \[[+-]\d\.\d{4}, [+-]\d\.\d{4}\]"


def test_intervals_of_the_chapters_are_those_of_the_results():
    made = BOOK / report.DETAILS
    tables = made.read_text("utf-8")
    quoted = {
        (path.name, interval)
        for path in BOOK.glob("[0-9]*.md")
        if path != made and path.name != "24-bugs-found.md"  # which has results of its own
        for interval in re.findall(INTERVAL, path.read_text("utf-8"))
    }
    assert len(quoted) >= 5
    assert [x for x in quoted if x[1] not in tables] == []


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


def test_differences_are_drawn__of_the_same_seed(tmp_path):
    results = units.Results(tmp_path / "results.jsonl")
    figures = {
        ("full_or_incremental", "full"): {3: 0.1, 1: 0.5, 2: 0.7},
        ("full_and_incremental", "full and incremental"): {2: 0.9, 1: 0.6, 4: 0.8},
    }
    for (claim, arm), by_seed in figures.items():
        for seed, value in by_seed.items():
            line = {"claim": claim, "task": "living", "arm": arm, "seed": seed, "trial": False}
            results.add({**line, "setting": {}, "figures": {"attained@50": value}})
    name = "full_and_incremental"
    claim = units.load_claim(name)
    assert claim.against == "full"
    over = report._over(results, claim, name, "living", "full and incremental")
    assert sorted(x["attained@50"] for x in over) == pytest.approx([0.1, 0.2])


def test_full_softmax__is_the_softmax_over_the_catalogue():
    rng = np.random.default_rng(0)
    world = simulate(users=40, items=60, days=4, seed=0)
    data = mt.Dataset.from_columns(world.schema, **world.columns)
    batches = mt.Trainer(
        mt.TwoTower(data.schema, dim=4), data, negatives=WholeCatalogue(data), batch_size=300
    ).batches
    batch = batches.make_batch(
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


@pytest.fixture(scope="module")
def world():
    return living.Living(80, 200, week=2, days=14, epochs=1, seed=0)


SETTING = {"temperature": 0.1, "rate": 0.05, "branch_rate": 0.3}


def test_requests__are_judged_by_what_could_be_had_at_that_moment(world):
    """The most that any 50 would get is that of a search of every item which is open by then, at
    that hour, but for what the user has clicked before: in an earlier day, or an hour ago."""
    day = 9
    of, truth = world._day(day), world.simulation.truth(day)
    later_clicks = 0
    for request in range(len(of.log)):
        user, second = of.log.users[request], of.log.timestamps[request]
        met = set()
        for log in world.logs[: day + 1]:
            for i in np.flatnonzero((log.users == user) & (log.timestamps < second)):
                met |= set(log.exposed[i][log.clicked[i]].tolist())
                later_clicks += log is world.logs[day]
        assert set(of.met.row(request).tolist()) == met
        left = [i for i in np.flatnonzero(world.world.item_opened <= day) if i not in met]
        clicks = truth.expected_click(user, np.array(left), second // 3600 % 24)
        assert of.most[request] == pytest.approx(np.sort(clicks)[-living.K :].sum(), rel=1e-4)
    assert later_clicks > 0


def test_requests__are_answered_by_what_was_served_then(world):
    day, asked = 9, []

    def service(day):
        night = world.night(day, SETTING)
        for end, _ in world.pieces(day, 6 * living.HOUR):
            users = living.of_model(night.model, night.data)
            asked.append(np.empty(0, int))

            def served(rows, users=users):
                asked[-1] = rows
                return users(rows)

            yield living.Served(end, served, mt.encode(night.model.item, night.data.items))

    answers = world._answers(day, service)
    log, open_ = world.logs[day], world._day(day).open
    for quarter, rows in enumerate(asked):
        assert rows.tolist() == log.users[log.hours // 6 == quarter].tolist()
    for request, answer in enumerate(answers):
        assert len(set(answer.tolist())) == living.K
        assert set(answer.tolist()) <= set(open_.tolist())
        assert not set(answer.tolist()) & set(world._day(day).met.row(request).tolist())


def test_a_service_that_stops_early_is_no_answer(world):
    night = world.night(9, SETTING)
    items = mt.encode(night.model.item, night.data.items)
    short = living.Served(world.end(8), living.of_model(night.model, night.data), items)
    with pytest.raises(AssertionError, match="not served to its end"):
        world._answers(9, lambda day: iter([short]))


def test_branch__knows_no_click_before_its_window_is_over(world):
    """With one window a day it serves what the full model serves; with more it does not."""
    alone, by_day, by_hour = (
        world._answers(9, arm.trainer(world, SETTING))
        for arm in (full(), incremental(living.DAY), incremental(living.HOUR))
    )
    np.testing.assert_array_equal(by_day, alone)
    first = world.logs[9].hours < 1
    np.testing.assert_array_equal(by_hour[first], alone[first])
    assert (by_hour != alone).any()


def test_incremental_only__goes_on_from_day_to_day(world):
    """Asked for every day or only for the last: it has learned from all of them, once."""
    asked = incremental(only=True).trainer(world, SETTING)
    for day in range(2, 9):
        world._answers(day, asked)
    late = world._answers(9, incremental(only=True).trainer(world, SETTING))
    np.testing.assert_array_equal(world._answers(9, asked), late)
    assert (world._answers(9, incremental().trainer(world, SETTING)) != late).any()


@pytest.mark.parametrize("seconds", [1, living.HOUR, living.DAY])
def test_windows__are_in_order_and_shuffled_within(world, seconds):
    data = world.night(9, SETTING).data
    times = data.train.timestamps
    batches = in_windows(seconds)(data, 8)
    pairs = np.stack([data.train.users, data.train.items], axis=1)
    seen = np.concatenate(
        [
            np.stack([batch.user_rows, batch.item_rows], axis=1)
            for batch in batches.epoch(np.random.default_rng(0))
        ]
    )
    assert sorted(map(tuple, seen)) == sorted(map(tuple, pairs))
    when = {tuple(pair): time for pair, time in zip(pairs.tolist(), times, strict=True)}
    order = np.array([when[tuple(pair)] for pair in seen.tolist()])
    assert (np.diff(order // seconds) >= 0).all()
    assert ((np.diff(order) >= 0).all()) == (seconds == 1)


def test_bias__is_none_where_the_hour_does_not_matter():
    """Squared distances of windows are their size's alone where clicks are drawn alike, and more
    where a window wishes for other things."""
    from window_bias import _distances

    rng = np.random.default_rng(0)
    alike, window = rng.integers(6, size=6000), np.repeat(np.arange(60), 100)
    by_chance = np.mean([_distances(rng.permutation(alike), window) for _ in range(50)])
    assert by_chance == pytest.approx((1 - 1 / 6) / 100, rel=0.1)
    other = np.where(rng.random(6000) < 0.2, window % 6, alike)
    bias = _distances(other, window) - by_chance
    assert bias == pytest.approx(0.2**2 * (1 - 1 / 6), rel=0.2)
