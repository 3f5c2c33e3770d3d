"""The simulated recommender: every property that `simulate` promises, one test each."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minitower as mt
from minitower.data.table import Ragged
from minitower.lab.funnel import Simulation, simulate
from minitower.lab.funnel_features import TASTE_DIM
from minitower.lab.funnel_log import START, Log
from minitower.lab.funnel_vocabulary import CATEGORIES, THEMES
from minitower.lab.funnel_world import TRAFFIC, WISH

FATES = ("dropped", "ranked_low", "unclicked", "clicked")
THEME_OF = {c: t for t, categories in enumerate(THEMES.values()) for c in categories}


@pytest.fixture(scope="module")
def world() -> Simulation:
    return simulate(users=600, items=800, days=12, seed=3)


@pytest.fixture(scope="module")
def log(world) -> Log:
    return world.log


@st.composite
def small_worlds(draw):
    """Any sizes, requests many enough that some users run out of items."""
    items = draw(st.integers(8, 40))
    sizes = sorted(draw(st.lists(st.integers(1, items // 2), min_size=3, max_size=3)))[::-1]
    return simulate(
        users=draw(st.integers(1, 12)),
        items=items,
        days=draw(st.integers(1, 6)),
        requests=draw(st.floats(0.1, 6)),
        sizes=draw(st.sampled_from([tuple(sizes), None])),
        seed=draw(st.integers(0, 99)),
    )


def arrays(world: Simulation) -> list[np.ndarray]:
    tables = [column for table in world.columns.values() for column in table.values()]
    truth = [array for day in (0, 40) for array in vars(world.truth(day)).values()]
    log = [part for part in vars(world.log).values() if isinstance(part, np.ndarray)]
    return [*tables, *truth, *log]


def clicks(log: Log) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Request, user and item of every click."""
    request = np.nonzero(log.clicked)[0]
    return request, log.users[request], log.exposed[log.clicked]


# ---------------------------------------------------------------- the log


def test_simulate__deterministic():
    sizes = {"users": 30, "items": 40, "days": 5}
    first = arrays(simulate(**sizes, seed=1))
    for again in (simulate(**sizes, seed=1), simulate(**sizes, seed=np.random.default_rng(1))):
        for a, b in zip(first, arrays(again), strict=True):
            assert np.array_equal(a, b)
    other = simulate(**sizes, seed=2)
    assert not np.array_equal(other.truth(0).user_vectors, simulate(**sizes).truth(0).user_vectors)
    assert not np.array_equal(other.log.users, simulate(**sizes, seed=1).log.users)


DRAW = """
import hashlib
import numpy as np
from minitower.lab.funnel import simulate

digest = hashlib.sha256()
world = simulate(users=300, items=400, days=8, seed=1)
for table in (*world.columns.values(), vars(world.log)):
    for column in table.values():
        digest.update(np.ascontiguousarray(column).tobytes())
print(digest.hexdigest())
"""


def test_simulate__the_same_on_any_processor():
    """Sorting and matrix products have other orders, and other last bits, on other processors."""
    with_all = {"NPY_DISABLE_CPU_FEATURES": ""}
    found = np.show_config("dicts")["SIMD Extensions"].get("found", [])
    with_few = {"NPY_DISABLE_CPU_FEATURES": " ".join(found), "OPENBLAS_CORETYPE": "Nehalem"}
    worlds = [
        subprocess.run(
            [sys.executable, "-c", DRAW], env=os.environ | env, capture_output=True, check=True
        ).stdout
        for env in (with_all, with_few)
    ]
    assert worlds[0] == worlds[1]
    assert len(worlds[0]) > 64


def test_truth__is_computed_in_float64(world):
    """In float32, other last bits on another processor would exchange two items now and then."""
    truth = world.truth(3)
    users, items = truth.user_vectors.astype(float), truth.item_vectors.astype(float)
    exact = np.array([[math.fsum(u * i) for i in items[:20]] for u in users[:20]])
    np.testing.assert_allclose(truth.log_odds(slice(20))[:, :20], exact, rtol=0, atol=1e-12)
    some = np.arange(20)
    shown = truth.joined[:20, None] & truth.opened[:20]
    expected = np.float32(WISH[9][truth.theme[:20]] / (1 + np.exp(-exact)) * shown)
    found = truth.expected_click(some[:, None], some, 9)
    np.testing.assert_allclose(found, expected, rtol=1.2e-7)  # the last bit of float32


@given(small_worlds())
def test_simulate__days_are_the_log(world):
    """Day by day is the same as at once, each day the same every time, and in order of time."""
    for days in (list(world), list(world)):
        assert len(days) == world.days
        for day, log in enumerate(days):
            assert (log.days == day).all()
        whole = Log.join(days)
        for name, part in vars(world.log).items():
            assert np.array_equal(part, getattr(whole, name)), name
    assert (np.diff(world.log.timestamps) >= 0).all()
    assert np.array_equal(world.log.hours, (world.log.timestamps - START) % 86_400 // 3_600)


def test_simulate__days_differ():
    a, b = list(simulate(users=300, items=40, days=2))
    assert not np.array_equal(a.users, b.users)


@given(small_worlds())
def test_simulate__stages_are_nested(world):
    """What ranking saw was retrieved, what was shown was ranked, what was clicked was shown."""
    log, (retrieved, ranked, exposed) = world.log, world.sizes
    assert log.items.shape == (len(log), retrieved)
    assert log.clicked.shape == (len(log), exposed)
    assert log.ranked == ranked
    fates = {fate: log.by_request(fate) for fate in FATES}
    assert (fates["dropped"].counts == retrieved - ranked).all()
    assert (fates["ranked_low"].counts == ranked - exposed).all()
    for i, found in enumerate(log.items.tolist()):
        rows = {fate: fates[fate].row(i).tolist() for fate in FATES}
        assert len(set(found)) == retrieved, "an item is found once"
        assert rows["dropped"] == found[ranked:]
        assert rows["ranked_low"] == found[exposed:ranked]
        assert rows["clicked"] == [r for r, c in zip(found, log.clicked[i]) if c]
        assert sorted(rows["clicked"] + rows["unclicked"]) == sorted(found[:exposed])


@given(small_worlds())
def test_log__lists_by_click_and_by_user(world):
    log = world.log
    n_users = len(world.users["user_id"])
    request, user, item = clicks(log)
    bought = world.interactions
    assert bought["user_id"].tolist() == [f"user-{row}" for row in user]
    assert bought["item_id"].tolist() == world.items["item_id"][item].tolist()
    assert np.array_equal(bought["timestamp"], log.timestamps[request])
    for fate in FATES:
        by_request, by_click = log.by_request(fate), log.by_click(fate)
        by_user = log.by_user(fate, n_users)
        assert [row.tolist() for row in map(by_click.row, range(len(by_click)))] == [
            by_request.row(r).tolist() for r in request
        ]
        for u in range(n_users):
            met = {i for r in np.flatnonzero(log.users == u) for i in by_request.row(r).tolist()}
            assert by_user.row(u).tolist() == sorted(met)
    with pytest.raises(ValueError, match="got 'lost'"):
        log.by_request("lost")


def test_log__rows_are_those_of_a_data_set(world, log):
    """So the lists need no translation, and those of training are the first ones."""
    data = mt.Dataset.from_columns(world.schema, **world.columns)
    assert np.array_equal(data.users.ids, world.users["user_id"])
    assert np.array_equal(data.items.ids, world.items["item_id"])
    _, user, item = clicks(log)
    assert np.array_equal(data.train.users, user[: len(data.train)])
    assert np.array_equal(data.train.items, item[: len(data.train)])
    assert len(log.by_click("dropped")) == len(item)


def naive_funnel(world, truth, user, hour, met):
    """A row of the log by somebody who sees the truth, with sorted lists."""
    retrieved, ranked, _ = world.sizes
    odds = truth.log_odds([user])[0]
    left = [i for i in range(len(odds)) if truth.opened[i] and i not in met]
    left = sorted(left, key=lambda i: -odds[i])[:retrieved]
    wished = lambda i: odds[i] + math.log(WISH[hour, truth.theme[i]])
    by_wish = sorted(left[:ranked], key=lambda i: -wished(i))
    return by_wish + left[ranked:]


def test_simulate__stages_keep_the_best():
    """Without noise a request's row is the sorted truth, less what was clicked before."""
    world = simulate(users=20, items=60, days=4, requests=3.0, noise=(0, 0, 0), seed=5)
    met: dict[int, set[int]] = {}
    for day, log in enumerate(world):
        truth = world.truth(day)
        for i in range(len(log)):
            user, before = int(log.users[i]), met.setdefault(int(log.users[i]), set())
            wanted = naive_funnel(world, truth, user, int(log.hours[i]), before)
            assert log.items[i].tolist() == wanted
            before |= set(log.exposed[i][log.clicked[i]].tolist())
    assert sum(map(len, met.values())) > 100


def test_simulate__noise_is_each_stage_s_own():
    """A stage that is blind lets through what is no better than what it leaves; others choose."""

    def means(noise):
        world = simulate(users=400, items=300, days=1, noise=noise, sizes=(100, 40, 10), seed=2)
        log, truth = world.log, world.truth(0)
        odds = np.take_along_axis(truth.log_odds(log.users), log.items, axis=1)
        everything = truth.log_odds(log.users)[:, truth.opened]
        kept = [everything, odds, odds[:, :40], odds[:, :10]]
        return np.diff([part.mean() for part in kept])

    seeing = means((0.1, 0.1, 0.1))
    assert (seeing > 0.4).all()
    for blind in range(3):
        noise = [0.1, 0.1, 0.1]
        noise[blind] = 1e4
        gains = means(tuple(noise))
        assert abs(gains[blind]) < 0.1, "this stage gains nothing"
        assert (np.delete(gains, blind) > 0.4).all(), "the others do"
    assert means((2.0, 1.0, 0.5)).sum() < seeing.sum()


def test_simulate__follows_the_truth(world, log):
    """Calibration: in bins of expected click, and by hour and theme, clicks are as expected."""
    day_hour = zip(log.days, log.hours, log.users, log.exposed)
    truths = [world.truth(day) for day in range(world.days)]
    expected = np.stack([truths[d].expected_click(u, row, h) for d, h, u, row in day_hour])
    assert len(log) > 5_000
    bins = np.digitize(expected, np.quantile(expected, np.linspace(0, 1, 21)[1:-1]))
    cell = log.hours[:, None] * 6 + truths[0].theme[log.exposed]
    for groups in (bins, cell, np.zeros_like(bins), log.days[:, None] + 0 * bins):
        mean = np.bincount(groups.ravel(), expected.ravel())
        seen = np.bincount(groups.ravel(), log.clicked.ravel())
        sd = np.sqrt(np.bincount(groups.ravel(), (expected * (1 - expected)).ravel()))
        many = mean > 20
        z = (seen - mean)[many] / sd[many]
        assert abs(z).max() < 4
        assert len(z) < 20 or 0.3 < (z**2).mean() < 2
    assert expected[bins == 19].mean() > 5 * expected[bins == 0].mean()


def test_simulate__nothing_before_it_exists(world, log):
    """On every day somebody joins and something opens, and not a day earlier is it met."""
    assert (log.days >= world.world.user_joined[log.users]).all()
    assert (log.days[:, None] >= world.world.item_opened[log.items]).all()
    for first, share in ((world.world.user_joined, 0.1), (world.world.item_opened, 1 / 7)):
        arrivals = np.bincount(first, minlength=world.days)
        assert len(arrivals) == world.days
        assert arrivals.min() > 0
        assert (first > 0).mean() == pytest.approx(share, abs=1e-3)
        assert arrivals[1:].max() - arrivals[1:].min() <= 1
    new = world.world.item_opened[log.items[log.days == 11]] == 11
    assert new.any(), "what opens today is found today"


@given(small_worlds())
def test_simulate__nobody_clicks_twice(world):
    """What was clicked is not even retrieved again; who has too little left asks in vain."""
    met: dict[int, set[int]] = {}
    for user, row, clicked in zip(world.log.users, world.log.items, world.log.clicked):
        before = met.setdefault(int(user), set())
        assert not before & set(row.tolist())
        before |= set(row[: len(clicked)][clicked].tolist())


def test_simulate__requests_are_uneven(world, log):
    per_user = np.bincount(log.users, minlength=600) / (12 - world.world.user_joined)
    assert per_user.mean() == pytest.approx(1, abs=0.1)
    assert 0.6 < per_user.std() < 1.4
    busy = np.bincount(log.hours, minlength=24) / len(log)
    assert abs(busy - TRAFFIC).max() < 0.02
    twice = simulate(users=600, items=800, days=1, requests=2.0, seed=3).activity
    assert twice == pytest.approx(2 * world.activity)


def test_simulate__plausible():
    """Some percent of what is shown is clicked, and few items have many of the clicks.

    Ranges that logs of real recommenders fall into, not what this world happens to give: 2 to
    10 % of what is shown is clicked, the top 1 % of items has 10 to 40 % of the clicks and the
    top tenth most of them; what the funnel shows is far better than chance and far from ideal.
    """
    world = simulate(days=6)
    counts, shown, clicked = np.zeros(3_000), 0, 0
    for log in world:
        counts += np.bincount(log.exposed[log.clicked], minlength=3_000)
        shown, clicked = shown + log.clicked.size, clicked + log.clicked.sum()
    assert 0.02 < clicked / shown < 0.10
    counts = np.sort(counts)[::-1]
    assert 0.10 < counts[:30].sum() / counts.sum() < 0.40
    assert 0.50 < counts[:300].sum() / counts.sum() < 0.95

    truth, users = world.truth(5), log.users[:, None]
    shown, low, dropped = (
        truth.expected_click(users, part).mean()
        for part in (log.exposed, log.items[:, 20 : log.ranked], log.items[:, log.ranked :])
    )
    ideal = truth.expected_click(users, truth.best(log.users, 20)).mean()
    anything = truth.expected_click(users, np.flatnonzero(truth.opened)).mean()
    assert ideal > 1.3 * shown
    assert shown > 2 * low
    assert low > 2 * dropped
    assert shown > 5 * anything


# ---------------------------------------------------------------- the truth


@given(st.integers(0, 599), st.integers(0, 799), st.integers(0, 90), st.integers(0, 23))
def test_truth__expected_click_is_the_formula(world, u, i, day, hour):
    """By hand, from the latent vectors and from what the tables say of city and price."""
    w = world.world
    truth = w.truth(day)
    angle = w.turn[u] * max(day - w.user_joined[u], 0)
    taste = math.cos(angle) * w.tastes[u, 0] + math.sin(angle) * w.tastes[u, 1]
    cosine = sum(a * b for a, b in zip(taste, w.item_fixed[i, :TASTE_DIM]))
    home = 2.0 * (world.users["city"][u] == world.items["city"][i])
    price = math.log(world.items["price"][i] / 18) / 0.9
    budget = w.user_rest[u, -3]
    phase, length = w.season[i]
    appeal = w.appeal[i] + 0.5 * math.sin(2 * math.pi * (day - phase) / length)
    odds = 5 * cosine + home - (price - budget) ** 2 / 2 + appeal
    there = (w.user_joined[u] <= day) * (w.item_opened[i] <= day)
    theme = THEME_OF[world.items["category"][i].split()[0]]
    click = WISH[hour, theme] / (1 + math.exp(-odds)) * there
    assert truth.expected_click(u, i, hour) == pytest.approx(click, rel=1e-4)
    mean = sum(TRAFFIC[h] * WISH[h, theme] for h in range(24))
    assert truth.expected_click(u, i) == pytest.approx(mean / WISH[hour, theme] * click, rel=1e-4)
    assert truth.log_odds([u])[0, i] == pytest.approx(odds, abs=1e-4)


def test_simulate__hours_matter(world, log):
    """Every theme has its hours, but none more of a whole day than another."""
    assert WISH.max() == 1
    assert WISH.min() > 0
    assert np.ptp(TRAFFIC @ WISH) < 1e-12
    assert (WISH.max(axis=0) > 2 * WISH.min(axis=0)).all()
    request, _, item = clicks(log)
    theme, hour = world.world.theme[item], log.hours[request]
    cup, stage = (list(THEMES).index(name) for name in ("cup", "stage"))
    ratio = lambda at: np.sum(at & (theme == cup)) / np.sum(at & (theme == stage))
    assert ratio(np.isin(hour, [7, 8, 9, 10])) > 2 * ratio(np.isin(hour, [20, 21, 22]))


def test_simulate__tastes_drift(world):
    """Tastes turn at their own speeds, on the unit sphere, from the day of joining on."""
    w = world.world
    at = lambda day: world.truth(day).user_vectors
    taste = lambda day: at(day)[:, :TASTE_DIM] / 5
    for day in (0, 7, 30):
        assert np.linalg.norm(taste(day), axis=1) == pytest.approx(np.ones(600), rel=1e-5)
        turned = np.arccos(np.clip((taste(day) * taste(0)).sum(axis=1), -1, 1))
        angle = w.turn * np.maximum(day - w.user_joined, 0)
        small = angle < 3
        assert turned[small] == pytest.approx(angle[small], abs=1e-3)
    assert np.array_equal(at(0)[:, TASTE_DIM:], at(30)[:, TASTE_DIM:]), "cities do not move"
    assert 15 < np.degrees(30 * np.median(w.turn)) < 60
    users = np.arange(600)
    best = [world.truth(day).best(users, 50) for day in (11, 14, 41)]
    shared = [np.mean([len(set(a) & set(b)) for a, b in zip(best[0], later)]) for later in best[1:]]
    assert 50 > shared[0] > 1.2 * shared[1]


def test_simulate__appeal_has_seasons(world):
    appeal = np.stack([world.truth(day).item_vectors[:, -2] for day in range(81)])
    assert appeal.std(axis=0).min() > 0.2
    assert np.ptp(appeal, axis=0) == pytest.approx(np.ones(800), abs=0.05)


@given(st.integers(1, 20), st.integers(0, 20), st.integers(0, 9))
def test_truth__best_is_the_sorted_truth(world, k, day, seed):
    truth = world.truth(day)
    rng = np.random.default_rng(seed)
    users = rng.integers(600, size=3)
    met = Ragged.from_counts([5, 0, 2], rng.choice(800, 7, replace=False))
    for exclude in (None, met):
        for row, (user, found) in enumerate(zip(users, truth.best(users, k, exclude=exclude))):
            gone = set() if exclude is None else set(exclude.row(row).tolist())
            left = [i for i in np.flatnonzero(truth.opened).tolist() if i not in gone]
            odds = truth.log_odds([user])[0]
            assert found.tolist() == sorted(left, key=lambda i: -odds[i])[:k]


def test_truth__best_refuses_what_is_not_there(world):
    truth = world.truth(0)
    n = int(truth.opened.sum())
    assert truth.best([0], n).shape == (1, n)
    for k in (0, n + 1):
        with pytest.raises(ValueError, match=rf"\[1, {n}\]"):
            truth.best([0], k)
    with pytest.raises(ValueError, match=rf"\[1, {n - 1}\]"):
        truth.best([0], n, exclude=Ragged.from_counts([1], np.flatnonzero(truth.opened)[:1]))


def test_truth__is_the_best_scorer(world):
    """The evaluator takes it as it takes a model, and nothing simple comes near."""
    data = mt.Dataset.from_columns(world.schema, **world.columns)
    at = mt.evaluate(world.truth(11), data, k=(20,))["recall@20"]
    before = mt.evaluate(world.truth(0), data, k=(20,))["recall@20"]
    popular = mt.evaluate(mt.PopularityScorer(), data, k=(20,))["recall@20"]
    assert at > 1.05 * before > before > 1.3 * popular
    with pytest.raises(ValueError, match="not made from the tables"):
        simulate(users=5, items=8).truth(0).vectors(data)


# ---------------------------------------------------------------- what can be seen


def test_simulate__features_tell_of_taste(world, log):
    """What is shown to a model leans the way of the clicks."""
    _, user, item = clicks(log)
    shuffled = np.random.default_rng(0).permutation(item)
    city = world.users["city"][user]
    assert (city == world.items["city"][item]).mean() > 2 * (
        city == world.items["city"][shuffled]
    ).mean()

    interests = [set(text.split()) for text in world.users["interests"]]
    categories = [set(text.split()) for text in world.items["category"]]
    named = lambda items: np.mean([bool(interests[u] & categories[i]) for u, i in zip(user, items)])
    assert named(item) > 1.5 * named(shuffled)


def test_simulate__items_are_well_formed(world):
    assert len(set(world.items["name"])) == 800
    for text, theme in zip(world.items["category"], world.world.theme):
        values = text.split()
        assert 1 <= len(values) == len(set(values)) <= 3
        assert set(values) <= set(CATEGORIES)
        assert theme == THEME_OF[values[0]]
    assert (world.items["price"] > 0).all()
    assert {len(text.split()) for text in world.users["interests"]} == {0, 1, 2, 3}
    assert "" in world.users["gender"], "some people do not say"


def test_simulate__names_stay_apart_in_a_large_world():
    """More items of a kind than there are pairs of words for."""
    names = simulate(users=1, items=90_000).items["name"]
    assert len(set(names)) == len(names)


def test_simulate__schema_fits_the_columns(world):
    user, item = world.schema.user, world.schema.item
    assert {field.name for field in user} == set(world.users)
    assert {field.name for field in item} == set(world.items) - {"name"}


def test_simulate__sizes_fall_evenly():
    assert simulate(users=1, items=160).sizes == (80, 40, 20)
    assert simulate(users=1, items=8).sizes == (4, 2, 1)
    retrieved, ranked, exposed = simulate(users=1, items=10_000).sizes
    assert 10_000 / retrieved == pytest.approx(retrieved / ranked, rel=0.01)
    assert retrieved / ranked == pytest.approx(ranked / exposed, rel=0.01)


@pytest.mark.parametrize("wrong, message", [
    ({"users": 0}, "users >= 1"),
    ({"items": 7}, "items >= 8"),
    ({"days": 0}, "days >= 1"),
    ({"requests": 0.0}, "requests > 0"),
    ({"requests": math.nan}, "requests > 0"),
    ({"noise": (1, -1, 1)}, "noise must be"),
    ({"noise": (1, 1, math.inf)}, "noise must be"),
    ({"sizes": (35, 10, 5)}, r"lie in \[1, 34\]"),
    ({"sizes": (10, 11, 5)}, "must not increase"),
    ({"sizes": (10, 5, 6)}, "must not increase"),
    ({"sizes": (10, 5, 0)}, "must not increase"),
])  # fmt: skip
def test_simulate__refuses(wrong, message):
    with pytest.raises(ValueError, match=message):
        simulate(**({"users": 10, "items": 40, "days": 3} | wrong))
