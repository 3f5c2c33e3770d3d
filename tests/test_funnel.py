"""The simulated world: every property that `simulate` promises, one test each."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minitower.data.funnel import CATEGORIES, START, Simulation, simulate


@pytest.fixture(scope="module")
def world() -> Simulation:
    return simulate(users=600, items=800, interactions=20_000, days=20, seed=3)


def rows(world: Simulation) -> tuple[np.ndarray, np.ndarray]:
    """The log as rows of the user and the item table."""
    return tuple(
        np.array([int(i.split("-")[1]) for i in world.interactions[f"{side}_id"]])
        for side in ("user", "item")
    )


def tables(world: Simulation) -> list[np.ndarray]:
    columns = [column for table in world.columns.values() for column in table.values()]
    truth = vars(world.truth).values()
    return [*columns, *truth]


def test_simulate__deterministic():
    sizes = {"users": 30, "items": 40, "interactions": 90, "days": 5}
    for a, b in zip(tables(simulate(**sizes, seed=1)), tables(simulate(**sizes, seed=1))):
        assert np.array_equal(a, b)
    other = simulate(**sizes, seed=2)
    assert not np.array_equal(other.truth.user_tastes, simulate(**sizes, seed=1).truth.user_tastes)


@settings(max_examples=15)
@given(st.integers(1, 30), st.integers(8, 60), st.integers(1, 9), st.data())
def test_simulate__nobody_clicks_twice(users, items, days, data):
    """Every (user, item) pair at most once, every user at least once, whatever the sizes."""
    wanted = data.draw(st.integers(users, users * (items // 4)))
    world = simulate(users, items, wanted, days=days, seed=data.draw(st.integers(0, 99)))
    user, item = rows(world)
    assert len(np.unique(user * items + item)) == len(user) == wanted
    assert np.array_equal(np.unique(user), np.arange(users))
    assert np.bincount(user).max() <= items // 4


def test_simulate__nothing_before_it_exists(world):
    user, item = rows(world)
    day = (world.interactions["timestamp"] - START) // 86_400
    assert (day >= world.truth.user_joined[user]).all()
    assert (day >= world.truth.item_opened[item]).all()
    assert day.max() < 20
    assert (np.diff(world.interactions["timestamp"]) >= 0).all()
    assert 0.05 < (world.truth.user_joined > 0).mean() < 0.15
    assert 0.09 < (world.truth.item_opened > 0).mean() < 0.19


def test_simulate__long_tail(world):
    """The most popular tenth takes about half of the clicks, and not nearly all of them."""
    _, item = rows(world)
    clicks = np.sort(np.bincount(item, minlength=800))[::-1]
    assert 0.3 < clicks[:80].sum() / clicks.sum() < 0.65


def test_simulate__clicks_follow_the_model():
    """With one click a user, clicks are draws from softmax(affinity + popularity).

    The mean of any function of the item over the clicks must then be its mean under the
    softmax. Taken on log popularity and on the affinity itself, whose means a forgotten term,
    a wrong sign or a wrong scale moves.
    """
    world = simulate(users=4_000, items=40, interactions=4_000, days=1, seed=0)
    user, item = rows(world)
    affinity = world.truth.affinity()
    logits = affinity + world.truth.log_popularity
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    for value in (np.broadcast_to(world.truth.log_popularity, p.shape), affinity):
        mean = (p * value).sum(axis=1)
        variance = (p * value**2).sum(axis=1) - mean**2
        error = value[user, item].mean() - mean.mean()
        assert abs(error) < 4 * np.sqrt(variance.sum()) / len(user)


def test_simulate__features_tell_of_taste(world):
    """What is shown to a model leans the way of the clicks."""
    user, item = rows(world)
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
    for text in world.items["category"]:
        values = text.split()
        assert 1 <= len(values) == len(set(values)) <= 3
        assert set(values) <= set(CATEGORIES)
    assert (world.items["price"] > 0).all()
    assert {len(text.split()) for text in world.users["interests"]} == {0, 1, 2, 3}
    assert "" in world.users["gender"], "some people do not say"


def test_simulate__names_stay_apart_in_a_large_world():
    """More items of a kind than there are pairs of words for."""
    names = simulate(users=1, items=90_000, interactions=1).items["name"]
    assert len(set(names)) == len(names)


def test_simulate__schema_fits_the_columns(world):
    user, item = world.schema.user, world.schema.item
    assert {field.name for field in user} == set(world.users)
    assert {field.name for field in item} == set(world.items) - {"name"}


@pytest.mark.parametrize("sizes, message", [
    ((0, 40, 10), "users >= 1"),
    ((10, 7, 10), "items >= 8"),
    ((10, 40, 9), r"\[10, 100\], got 9"),
    ((10, 40, 101), r"\[10, 100\], got 101"),
])  # fmt: skip
def test_simulate__refuses(sizes, message):
    with pytest.raises(ValueError, match=message):
        simulate(*sizes)
