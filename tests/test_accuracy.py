"""The comparison of accuracy runs at tiny size, keeps its rules, and tells what its file says."""

import json
import shutil
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import minitower as mt
from minitower.formulas.hits import KnownPositives

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
BOOK = Path(__file__).parent.parent / "docs"
sys.path.insert(0, str(BENCHMARKS))

import accuracy  # noqa: E402
import time_to_accuracy  # noqa: E402
from bounds import Bounds  # noqa: E402
from comparison import curves, frameworks, recipe, tables  # noqa: E402
from comparison.arms import ALL, ALS, ARMS, BUDGET, MINITOWER  # noqa: E402
from comparison.lines import KINDS, Lines, Refused, mean_curve  # noqa: E402
from comparison.recipe import RECIPES, Recipe  # noqa: E402
from comparison.splits import open_split  # noqa: E402
from comparison.units import OutOfTime, Watch, todo  # noqa: E402

SMALL = (MINITOWER, "EASE", "most popular")
CHAPTER = BOOK / accuracy.CHAPTER


def run(folder, *arguments, arms=SMALL, jobs=0):
    """The script on the tiny split, in this process."""
    named = [part for arm in arms for part in ("--arm", arm)]
    place = ["--results", str(folder / "results.jsonl"), "--book", str(folder)]
    accuracy.main(["--quick", "--jobs", str(jobs), *place, *named, *arguments])


def lines_of(folder):
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def key(line):
    return json.dumps([line[name] for name in ("kind", "split", "arm", "setting", "seed")])


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """All units but the habit, in one run."""
    folder = tmp_path_factory.mktemp("accuracy")
    run(folder)
    return folder


@pytest.fixture
def again(measured, tmp_path):
    """A copy, to go on with."""
    return Path(shutil.copytree(measured, tmp_path / "again"))


def test_every_stage_runs_in_order(measured):
    lines = lines_of(measured)
    kinds = [KINDS.index(line["kind"]) for line in lines]
    assert kinds == sorted(kinds)
    count = lambda kind, arm: sum((x["kind"], x["arm"]) == (kind, arm) for x in lines)
    assert [count(kind, MINITOWER) for kind in KINDS] == [2, 3, 12, 3, 0]
    assert [count(kind, "EASE") for kind in KINDS] == [2, 1, 0, 1, 0]
    assert [count(kind, "most popular") for kind in KINDS] == [0, 1, 0, 1, 0]
    assert len({key(line) for line in lines}) == len(lines)
    for line in lines:
        assert not line["out_of_time"]
        assert line["by_epoch"][-1]["epoch"] == line["epochs"]


@pytest.mark.parametrize("cut", [9, -2])
def test_a_stopped_run_goes_on(measured, again, cut):
    """What is there stays as it is, half a line is dropped, and the rest is run as if never
    stopped."""
    path = again / "results.jsonl"
    text = path.read_text().splitlines(keepends=True)
    kept = "".join(text[:cut])
    path.write_text(kept + text[cut][:40])
    run(again)
    assert path.read_text().startswith(kept)
    figures = lambda folder: [(key(x), x["figures"], x["best_epoch"]) for x in lines_of(folder)]
    assert figures(again) == figures(measured)
    whole = path.read_text()
    run(again)
    assert path.read_text() == whole


def test_units_run_in_processes_of_their_own(tmp_path):
    command = [sys.executable, str(BENCHMARKS / "accuracy.py"), "--quick", "--jobs", "2"]
    command += ["--arm", "EASE", "--units", "search", "--results", str(tmp_path / "r.jsonl")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "search: 2 units to run" in done.stdout
    assert len((tmp_path / "r.jsonl").read_text().splitlines()) == 2


def test_the_test_uses_what_validation_chose(measured):
    lines = Lines(measured / "results.jsonl")
    (ease,) = lines.of("test", "tiny", "EASE")
    tried = lines.of("search", "tiny", "EASE")
    best = max(tried, key=lambda line: line["figures"]["ndcg@20"])
    assert ease["setting"] == best["setting"]
    for line in lines.of("test", "tiny", MINITOWER):
        assert line["setting"] == RECIPES["tiny"].setting
        valid = lines.of("valid", "tiny", MINITOWER, line["setting"])
        epochs, curve = mean_curve(valid, "ndcg@20")
        assert line["epochs"] == epochs[curve.argmax()]
        assert [point["epoch"] for point in line["by_epoch"]] == [line["epochs"]]


def test_the_epochs_are_those_of_the_best_mean_ndcg(tmp_path):
    """Not the best of any seed, not the last, and not those of recall."""
    lines = Lines(tmp_path / "r.jsonl")
    setting, curve = RECIPES["tiny"].setting, {0: (0.1, 0.3, 0.3), 1: (0.9, 0.7, 0.6)}
    for seed in range(3):
        ndcg = curve.get(seed, (0.1, 0.3, 0.1))
        points = [{"epoch": e, "recall@20": e, "ndcg@20": x} for e, x in enumerate(ndcg, start=1)]
        base = {"kind": "valid", "split": "tiny", "arm": MINITOWER, "seed": seed}
        assert not lines.tuned("tiny", MINITOWER)
        lines.add({**base, "setting": setting, "by_epoch": points})
    assert lines.epochs("tiny", MINITOWER, setting) == 2


def test_a_second_reading_of_the_test_is_refused(again):
    lines = Lines(again / "results.jsonl")
    (line,) = lines.of("test", "tiny", "EASE")
    for other in (line, {**line, "setting": {"l2": 1.0}}):
        with pytest.raises(Refused, match="read no test twice"):
            lines.add(other)
    other = {**line, "seed": 1, "setting": {"l2": 1.0}}
    with pytest.raises(Refused, match="with another setting"):
        lines.add(other)
    assert len(lines.of("test", "tiny", "EASE")) == 1
    text = (again / "results.jsonl").read_text()
    changed = {**RECIPES, "tiny": Recipe(temperature=0.3, epochs=2, batch_size=64)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("comparison.arms.RECIPES", changed)
        with pytest.raises(SystemExit, match="the test was read"):
            run(again, "--units", "valid")
        with pytest.raises(SystemExit, match="validation with every seed"):
            run(again, "--units", "test")
    assert (again / "results.jsonl").read_text() == text


def test_nothing_is_chosen_after_the_test(again):
    with pytest.raises(SystemExit, match="the test was read"):
        run(again, "--units", "search", "--set", "temperature=0.5", arms=[MINITOWER])


def test_the_habit_comes_last_and_reads_as_often_as_validation(again, tmp_path):
    run(tmp_path, "--units", "search", arms=[MINITOWER])
    run(tmp_path, "--units", "valid", arms=[MINITOWER])
    with pytest.raises(SystemExit, match="the authors' habit comes last"):
        run(tmp_path, "--units", "habit", arms=[MINITOWER])
    assert {line["kind"] for line in lines_of(tmp_path)} == {"search", "valid"}
    run(again, "--units", "habit")
    habit = [line for line in lines_of(again) if line["kind"] == "habit"]
    assert [line["arm"] for line in habit] == [MINITOWER] * 3  # EASE has no epoch to choose
    tests = {x["seed"]: x for x in lines_of(again) if (x["kind"], x["arm"]) == ("test", MINITOWER)}
    for line in habit:
        assert [point["epoch"] for point in line["by_epoch"]] == [0, 2, 3]
        assert line["figures"]["ndcg@20"] == max(p["ndcg@20"] for p in line["by_epoch"])
        test = tests[line["seed"]]
        same = next(p for p in line["by_epoch"] if p["epoch"] == test["epochs"])
        assert {name: same[name] for name in test["figures"]} == test["figures"]


def test_a_search_takes_a_setting_by_hand(tmp_path, capsys):
    add = "--units", "search", "--set", "temperature=0.5", "--set", "hidden=[8]"
    run(tmp_path, *add, arms=[MINITOWER])
    (line,) = lines_of(tmp_path)
    changed = {**RECIPES["tiny"].setting, "epochs": 2, "temperature": 0.5, "hidden": [8]}
    assert line["setting"] == changed
    assert "temperature 0.5, hidden [8]" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="has no setting tau"):
        run(tmp_path, "--units", "search", "--set", "tau=1", arms=[MINITOWER])


def test_an_unfinished_search_chooses_nothing(tmp_path):
    lines = Lines(tmp_path / "results.jsonl")
    with pytest.raises(Refused, match="2 settings of its search are missing"):
        lines.chosen("tiny", "EASE")
    run(tmp_path, "--units", "search", arms=["EASE"])
    (tmp_path / "results.jsonl").write_text(
        (tmp_path / "results.jsonl").read_text().splitlines(keepends=True)[0]
    )
    with pytest.raises(SystemExit, match="1 settings of its search are missing"):
        run(tmp_path, "--units", "valid", arms=["EASE"])


def pairs(part):
    return set(zip(part.users.tolist(), part.items.tolist(), strict=True))


def named(data, part):
    """Pairs by the names of users and items."""
    users, items = (np.asarray(table.ids) for table in (data.users, data.items))
    return {(users[u], items[i]) for u, i in pairs(part)}


def test_choosing_never_reads_the_test():
    choosing, final = open_split("tiny", "valid").data, open_split("tiny", "test").data
    assert not len(choosing.test)
    assert not len(final.valid)
    train, valid, test = (
        named(d, p)
        for d, p in ((choosing, choosing.train), (choosing, choosing.valid), (final, final.test))
    )
    assert train
    assert valid
    assert test
    assert not test & (train | valid)
    assert named(final, final.train) == train | valid


def test_published_splits__choose_without_the_test(tmp_path, monkeypatch):
    """A valid.txt is the validation part; else a tenth of train is."""
    for name, valid in (("gowalla-split", True), ("ml-1m-split", False)):
        folder = tmp_path / name
        folder.mkdir()
        for part, items in (("train", range(10)), ("valid", (10, 11)), ("test", (12,))):
            text = "\n".join(f"{u} {' '.join(map(str, items))}" for u in range(5))
            if part != "valid" or valid:
                (folder / f"{part}.txt").write_text(text)
    monkeypatch.setenv("MINITOWER_DATA", str(tmp_path))
    sizes = {}
    for name in ("gowalla-split", "ml-1m-split"):
        choosing, final = (open_split(name, part).data for part in ("valid", "test"))
        sizes[name] = [
            *(len(part) for part in (choosing.train, choosing.valid, choosing.test)),
            *(len(part) for part in (final.train, final.valid, final.test)),
        ]
    assert sizes["gowalla-split"] == [50, 10, 0, 60, 0, 5]
    assert sizes["ml-1m-split"] == [45, 5, 0, 50, 0, 5]


def test_by_date__no_click_of_validation_is_older_than_one_of_train(real_data):
    real_data("ml-1m")
    split = open_split("ml-1m-date", "valid")
    assert split.data.train.timestamps.max() < split.data.valid.timestamps.min()
    final = open_split("ml-1m-date", "test").data
    assert final.train.timestamps.max() < final.test.timestamps.min()
    assert split.data.valid.timestamps.max() <= final.train.timestamps.max()
    assert len(split.data.train) + len(split.data.valid) == len(final.train)
    assert np.isin(split.judge.users, split.data.train.users).all()


def test_a_search_measures_a_sample_of_users(monkeypatch):
    monkeypatch.setattr("comparison.splits.SAMPLE", 20)
    users = [open_split("tiny", "valid", sample=True).judge.users for _ in range(2)]
    assert users[0].tolist() == users[1].tolist()
    assert len(users[0]) == 20
    assert len(open_split("tiny", "valid").judge.users) > 20


def work(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


class SlowJudge:
    def __call__(self, model):
        work(0.2)
        return {"recall@20": 0.1, "ndcg@20": 0.2}


def test_watch__does_not_count_measuring():
    watch = Watch(SlowJudge(), epochs=5, every=2, limit=None)
    for _ in range(5):
        watch.after_epoch(None)
    assert [point["epoch"] for point in watch.points] == [2, 4, 5]
    assert watch.cpu < 0.1


def test_watch__measures_a_start_as_epoch_0_and_counts_its_seconds():
    for every, epochs in ((2, [0, 2, 3]), (3, [3])):
        watch = Watch(SlowJudge(), epochs=3, every=every, limit=None)
        work(0.2)
        watch.at_start(None)
        for _ in range(3):
            watch.after_epoch(None)
        assert [point["epoch"] for point in watch.points] == epochs
        assert 0.2 <= watch.points[0]["cpu"] <= watch.cpu < 0.35
    watch = Watch(SlowJudge(), epochs=0, every=1, limit=None)
    watch.at_start(None)
    assert [point["epoch"] for point in watch.points] == [0], "a start that no epoch improves"


def test_the_curves_of_both_begin_at_the_same_start():
    pytest.importorskip("torch")
    split, found = open_split("tiny", "valid"), []
    for arm, optimizer in ((MINITOWER, "row-wise Adam"), ("PyTorch", "SparseAdam")):
        watch = Watch(split.judge, epochs=2, every=1, limit=None)
        setting = {**RECIPES["tiny"].setting, "optimizer": optimizer}
        ARMS[arm].train(split.data, setting, 0, watch)
        assert [point["epoch"] for point in watch.points] == [0, 1, 2]
        found.append(watch.points[0]["ndcg@20"])
    assert found[0] == found[1]


def test_watch__ends_a_unit_that_takes_too_long():
    watch = Watch(SlowJudge(), epochs=9, every=3, limit=0.3)
    watch.after_epoch(None)
    assert not watch.points
    work(0.35)
    with pytest.raises(OutOfTime):
        watch.after_epoch(None)
    assert [point["epoch"] for point in watch.points] == [2]  # the last state is measured


def test_every_tuned_arm_has_the_same_budget():
    for name, arm in ARMS.items():
        for split in ALL:
            tries = arm.tries(split) if arm.runs_on(split) else []
            assert len(tries) in (0, BUDGET), name
            assert len({json.dumps(setting) for setting in tries}) == len(tries), name
            assert tries or not arm.runs_on(split) or arm.chosen is not None
    own = RECIPES["gowalla-split"]
    halved = {**own.setting, "epochs": own.epochs // 2}
    assert halved in ARMS[MINITOWER].tries("gowalla-split")


def test_a_recipe_is_what_its_line_holds():
    for own in RECIPES.values():
        assert Recipe.of(json.loads(json.dumps(own.setting))) == own


@pytest.mark.parametrize("decoupled, masked", [(False, False), (True, False), (True, True)])
def test_torch__has_the_same_loss_and_log_q(decoupled, masked):
    torch = pytest.importorskip("torch", reason="not installed: pip install '.[peers]'")
    how = {"log_sum_weight": 1.3, "decoupled": decoupled, "mask_known": masked}
    own = Recipe(0.2, **how, batch_size=64, shared=8)
    data = open_split("tiny", "valid").data
    batches = mt.Trainer(
        mt.TwoTower(data.schema, dim=4, hidden=()),
        data,
        batch_size=own.batch_size,
        negatives=mt.shared_negatives(data, own.shared),
        objective=mt.InBatchSoftmax(mask_known=masked),
    ).batches
    batch = next(batches.epoch(np.random.default_rng(0)))
    log_q = frameworks._log_q(data, own)[batch.item_rows]
    np.testing.assert_allclose(log_q, batch.log_q, rtol=1e-5)
    rng = np.random.default_rng(1)
    users, items = rng.normal(size=(64, 4)), rng.normal(size=(72, 4))
    objective, hits = mt.InBatchSoftmax(own.temperature, **how), None
    if masked:
        seen = data.seen("valid")
        known = seen.indptr, seen.values
        found = KnownPositives(batch.user_rows, batch.item_rows, known, own=False).among(0, 64)
        hits = tuple(map(torch.from_numpy, found))
    loss, (d_users, d_items) = objective(users, items, batch)
    u, v = (torch.tensor(x, requires_grad=True) for x in (users, items))
    of_torch = frameworks.torch_loss(u, v, torch.tensor(batch.log_q), own, hits)
    of_torch.backward()
    assert of_torch.item() == pytest.approx(loss, rel=1e-6)
    np.testing.assert_allclose(u.grad.numpy(), d_users, atol=1e-6)
    np.testing.assert_allclose(v.grad.numpy(), d_items, atol=1e-6)


@pytest.mark.parametrize(
    "arm, change, least",
    [
        ("PyTorch", "epochs=20 start=random rate=0.02", 0.85),
        ("Keras", "epochs=2", 0.3),
        (ALS, "alpha=4", 0.6),
        ("implicit BPR", "epochs=60 rate=0.05", 0.5),
        ("LightFM WARP", "epochs=20", 0.5),
        ("ItemKNN", "shrinkage=1", 0.8),
    ],
)
def test_a_peer_learns_the_tastes(arm, change, least, tmp_path):
    """The recall of 20 of 60 items, at random, is a third."""
    if ARMS[arm].missing:
        pytest.skip(f"{ARMS[arm].missing} not installed: pip install '.[peers]'")
    path = tmp_path / "r.jsonl"
    command = [sys.executable, str(BENCHMARKS / "accuracy.py"), "--quick", "--jobs", "0"]
    command += ["--arm", arm, "--units", "search", "--results", str(path)]
    command += [part for one in change.split() for part in ("--set", one)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (line,) = lines_of_file(path)
    assert line["figures"]["recall@20"] >= least
    assert line["versions"].keys() >= {"minitower", "numpy"}


def lines_of_file(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_peer_that_is_not_installed_is_skipped_by_name(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "implicit", None)
    monkeypatch.setattr("comparison.arms.find_spec", lambda package: None)
    assert list(todo(Lines(tmp_path / "r"), "search", ["tiny"], [ALS], {})) == []
    assert 'implicit ALS: not installed, skipped; pip install "minitower[peers]"' in (
        capsys.readouterr().out
    )


def by_hand(path, arm, points, split="gowalla-split", seeds=3, **more):
    """Validation lines of an arm with given curves, and the search before them."""
    lines = Lines(path)
    for setting in ARMS[arm].tries(split) if ARMS[arm].chosen is None else []:
        base = {"kind": "search", "split": split, "arm": arm, "setting": setting, "seed": 0}
        lines.add({**base, "figures": {"recall@20": 0.1, "ndcg@20": 0.1}, "by_epoch": [], **more})
    setting = lines.chosen(split, arm)
    for seed in range(seeds):
        by_epoch = [
            {"epoch": e, "cpu": cpu, "recall@20": ndcg, "ndcg@20": ndcg + 0.01 * (seed - 1)}
            for e, (cpu, ndcg) in enumerate(points, start=1)
        ]
        base = {"kind": "valid", "split": split, "arm": arm, "setting": setting, "seed": seed}
        lines.add({**base, "by_epoch": by_epoch, "figures": {}, **more})
    return lines


def test_seconds_to_the_best_of_als(tmp_path):
    path = tmp_path / "r.jsonl"
    by_hand(path, ALS, [(1.0, 0.08), (2.0, 0.10), (3.0, 0.09)])
    lines = by_hand(path, MINITOWER, [(4.0, 0.09), (6.0, 0.12), (8.0, 0.11)])
    ours, als = curves.curves(lines, "gowalla-split")
    assert curves.target([ours, als]) == pytest.approx(0.10)
    assert als.seconds_to(0.10 - 1e-9) == 2.0
    assert ours.seconds_to(0.10) == 6.0
    assert ours.seconds_to(0.13) is None
    made = curves.table([ours, als])
    assert "| minitower | 6.0 | 3.0 | .1200 | 1.20 | 6.0 |" in made
    assert "| implicit ALS | 2.0 | 1.0 | .1000 | 1.00 | 2.0 |" in made
    bounds = Bounds(binding=True)
    curves.check([ours, als], bounds)
    (missed,) = bounds.missed
    assert missed.startswith("CPU seconds to the best of ALS, over ALS's own: 3,")
    assert not curves.table([ours])


def test_the_page_has_every_split_whatever_was_run(measured, tmp_path):
    """A run of one split does not take the tables of another off the page."""
    (tmp_path / "r.jsonl").write_text(
        "".join(
            json.dumps({**line, "split": split}) + "\n"
            for line in Lines(measured / "results.jsonl").of("test", "tiny", "EASE")
            for split in ("ml-1m-split", "ml-1m-date")
        )
    )
    place = ["--results", str(tmp_path / "r.jsonl"), "--book", str(tmp_path)]
    accuracy.main(["--report", "--split", "ml-1m-date", *place])
    page = (tmp_path / accuracy.CHAPTER).read_text()
    assert page.index("### ml-1m-split") < page.index("### ml-1m-date")


def test_an_arm_without_all_its_seeds_is_not_drawn(tmp_path):
    lines = by_hand(tmp_path / "r.jsonl", MINITOWER, [(1.0, 0.1)], seeds=2)
    assert curves.curves(lines, "gowalla-split") == []
    assert not lines.tuned("gowalla-split", MINITOWER)
    assert tables.budgets(lines, "gowalla-split") == ""


def test_the_curve_is_drawn_the_same_again(tmp_path):
    pytest.importorskip("matplotlib", reason="not installed: pip install '.[cli]'")
    path = tmp_path / "r.jsonl"
    by_hand(path, ALS, [(1.0, 0.08), (2.0, 0.10)])
    by_hand(path, MINITOWER, [(4.0, 0.09), (6.0, 0.12)])
    for place in ("1", "2"):
        with pytest.raises(SystemExit, match="CPU seconds to the best of ALS"):
            time_to_accuracy.main(
                ["--report", "--results", str(path), "--book", str(tmp_path / place)]
            )
    name = "figures/time-to-accuracy-gowalla-split.svg"
    first, second = (tmp_path / place / name for place in ("1", "2"))
    assert first.read_bytes() == second.read_bytes()
    assert ">implicit ALS</text>" in first.read_text()
    assert f"]({name})" in (tmp_path / "1" / accuracy.CHAPTER).read_text()


def test_the_table_of_accuracy_has_three_columns(again):
    run(again, "--units", "habit", arms=[MINITOWER])
    lines = Lines(again / "results.jsonl")
    moved = [{**line, "split": "gowalla-split"} for line in lines.all]
    lines.all = moved
    made = tables.accuracy(lines, "gowalla-split")
    rows = {row.split(" | ")[0].removeprefix("| "): row for row in made.splitlines()}
    of = lambda kind, name: [
        x["figures"][name] for x in moved if (x["kind"], x["arm"]) == (kind, MINITOWER)
    ]
    for kind in ("test", "habit"):
        for name in ("recall@20", "ndcg@20"):
            assert tables.mean_and_sd(of(kind, name)) in rows[MINITOWER]
    assert rows["EASE"].count("–") == 4
    assert (
        "| – | – | – | – | .1882 | .1584 |"
        in rows["matrix factorization, BSL (logs of BSL's authors)"]
    )


def test_parts__are_differences_of_the_same_seed(tmp_path):
    """Two parts on "tiny": each alone, and each beside the other."""
    assert recipe.parts("tiny") == ["spectral start", "shared negatives"]
    plain = recipe.with_parts("tiny", [])
    assert (plain["start"], plain["shared"]) == ("random", 0)
    everything = recipe.with_parts("tiny", recipe.parts("tiny"))
    assert everything == {**RECIPES["tiny"].setting, "epochs": 2}  # of 3
    lines = Lines(tmp_path / "r.jsonl")
    figures = {
        (): {0: 0.1, 1: 0.2, 2: 0.3},
        ("spectral start",): {2: 0.5, 0: 0.2, 1: 0.4},
        ("shared negatives",): {0: 0.1, 1: 0.2},
        ("spectral start", "shared negatives"): {0: 0.3, 1: 0.5, 2: 0.7},
    }
    for kept, by_seed in figures.items():
        setting = recipe.with_parts("tiny", list(kept))
        assert setting in recipe.settings_of_parts("tiny")
        for seed, value in by_seed.items():
            base = {"kind": "parts", "split": "tiny", "arm": MINITOWER, "seed": seed}
            lines.add({**base, "setting": setting, "figures": {"ndcg@20": value}})
    made = tables.parts(lines, "tiny")
    low, high = (
        getattr(stats.ttest_rel([0.2, 0.4, 0.5], [0.1, 0.2, 0.3]).confidence_interval(0.95), end)
        for end in ("low", "high")
    )
    assert f"| spectral start | +0.1667 [{low:+.4f}, {high:+.4f}] | +0.2500 [" in made
    assert "| shared negatives | +0.0000 [+0.0000, +0.0000] | +0.1333 [" in made
    assert "plain .2000 ± .1000, the recipe .5000 ± .2000" in made
    assert tables.parts(Lines(tmp_path / "none.jsonl"), "tiny") == ""


@pytest.mark.parametrize("values, text", [
    ([0.18824], ".1882"), ([0.1, 0.2], ".1500 ± .0707"), ([0.1, 0.1, 0.1], ".1000 ± .0000"),
])  # fmt: skip
def test_mean_and_sd(values, text):
    assert tables.mean_and_sd(values) == text


def test_a_promise_that_is_missed_fails(measured, tmp_path):
    lines = Lines(measured / "results.jsonl")
    lines.all = [
        {**line, "split": "gowalla-split", "figures": {"recall@20": 0.1882, "ndcg@20": 0.15}}
        for line in lines.of("test", "tiny", MINITOWER)
    ]
    bounds = Bounds(binding=True)
    tables.check(lines, ALL, bounds)
    (missed,) = bounds.missed
    assert missed.startswith("gowalla-split, mean test ndcg@20")
    lines.all.pop()
    bounds = Bounds(binding=True)
    tables.check(lines, ALL, bounds)
    assert not bounds.missed  # a seed is missing


def test_the_book_tells_what_the_results_file_says(tmp_path):
    """Neither the tables nor the figure of the book was touched by hand, or is stale."""
    pytest.importorskip("matplotlib", reason="not installed: pip install '.[cli]'")
    page = tmp_path / CHAPTER.name
    shutil.copy(CHAPTER, page)
    for script in ("accuracy.py", "time_to_accuracy.py"):
        command = [sys.executable, str(BENCHMARKS / script), "--report", "--book", str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert not done.returncode or done.stderr.startswith("Missed:"), done.stderr
    assert page.read_text("utf-8") == CHAPTER.read_text("utf-8")
    drawn = {path.name for path in (tmp_path / "figures").glob("time-to-accuracy-*.svg")}
    assert drawn == {path.name for path in (BOOK / "figures").glob("time-to-accuracy-*.svg")}


def test_the_committed_lines_keep_the_rules(tmp_path):
    """Added one after the other, none of them is refused; none is a small or a stopped test."""
    lines = Lines(tmp_path / "r.jsonl")
    for line in Lines(accuracy.RESULTS).all:
        assert line["split"] in ALL
        assert not (line["kind"] == "test" and line["out_of_time"])
        lines.add(line)
    keys = [key(line) for line in lines.all]
    assert len(set(keys)) == len(keys)


def test_every_package_of_an_arm_is_in_the_extra():
    import tomllib

    project = tomllib.loads((BENCHMARKS.parent / "pyproject.toml").read_text())["project"]
    peers = " ".join(project["optional-dependencies"]["peers"])
    for arm in ARMS.values():
        for package in set(arm.needs) - {"keras"}:  # it comes with TensorFlow
            assert package in peers
            assert find_spec(package) is None or not arm.missing
