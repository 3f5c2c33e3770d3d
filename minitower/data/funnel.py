"""A small world to learn from: people, things to do, and a month of clicks.

The world is itself a two-tower model. Person u looks at the list of all things
to do and clicks thing i with

    P(i | u)  ∝  popularity_i · exp(<taste_u, trait_i>)

The two vectors are what a model has to discover; the popularity is what the
logQ correction has to take out. A person never clicks the same thing twice, and
nothing is clicked before it opens or by somebody who has not joined yet. What the
model is shown of the vectors are features that the vectors had a hand in:

    people   gender and age lean towards some categories, age brings money,
             everybody lives in a city; interests are the categories that a person
             names when asked, and some do not answer
    things   one to three categories, keywords that fit them, a city, a price

Nothing here is fitted to real data; the numbers are only plausible: the most
popular tenth takes about half of the clicks, most people click little, one thing in
seven opens during the month and one person in ten joins during it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minitower.data.funnel_words import (
    ADJECTIVES,
    CATEGORIES,
    CITIES,
    KEYWORDS,
    NAMESAKES,
    THEMES,
)
from minitower.data.schema import Categorical, Continuous, Id, MultiValued, Schema

Array = NDArray[Any]

START = 1_736_121_600  # Monday 6 January 2025, 00:00 UTC
TASTE_DIM = 8

# Clicks by hour of the day: a shoulder at lunch, a peak in the evening.
_HOURS = np.array(
    [2, 1, 1, 1, 1, 1, 2, 4, 5, 5, 5, 6, 8, 7, 5, 5, 6, 8, 10, 12, 13, 12, 8, 4], dtype=float
)


@dataclass(frozen=True)
class Truth:
    """What the simulation knows and a model does not.

    Attributes:
        user_tastes: float32 (n_users, D), in the order of ``Simulation.users``.
        item_traits: float32 (n_items, D), in the order of ``Simulation.items``.
        log_popularity: float32 (n_items,), up to a constant.
        user_joined, item_opened: int64, the first day each can occur, counted from 0.
    """

    user_tastes: Array
    item_traits: Array
    log_popularity: Array
    user_joined: Array
    item_opened: Array

    def affinity(self, users: Array | slice = slice(None)) -> Array:
        """Taste alone, <taste_u, trait_i>: float32 (n, n_items) for these user rows."""
        scores: Array = self.user_tastes[users] @ self.item_traits.T
        return scores


@dataclass(frozen=True)
class Simulation:
    """Columns ready for ``Dataset.from_columns``, and the truth they came from.

    Attributes:
        schema: the features of both sides.
        interactions: ``user_id``, ``item_id``, ``timestamp`` (seconds), oldest first.
        users: ``user_id``, ``gender``, ``age``, ``city``, ``interests``.
        items: ``item_id``, ``category``, ``keywords``, ``city``, ``price``, ``name``; the name
            is for people to read and not in the schema.
        truth: the latent vectors.
    """

    schema: Schema
    interactions: dict[str, Array]
    users: dict[str, Array]
    items: dict[str, Array]
    truth: Truth

    @property
    def columns(self) -> dict[str, dict[str, Array]]:
        """The three tables by the names that ``Dataset.from_columns`` gives them."""
        return {"interactions": self.interactions, "users": self.users, "items": self.items}


def funnel_schema() -> Schema:
    """The features of the simulated world."""
    return Schema(
        user=[
            Id("user_id"),
            Categorical("gender"),
            Continuous("age", transform="bucketise"),
            Categorical("city"),
            MultiValued("interests"),
        ],
        item=[
            Id("item_id"),
            MultiValued("category"),
            MultiValued("keywords"),
            Categorical("city"),
            Continuous("price", transform="log1p"),
        ],
    )


def simulate(
    users: int = 4_000,
    items: int = 6_000,
    interactions: int = 160_000,
    *,
    days: int = 30,
    seed: int = 0,
) -> Simulation:
    """Draw a world and a month of clicks in it.

    Args:
        users: number of people, > 0.
        items: number of things to do, at least 8.
        interactions: number of clicks, from one per user to a quarter of the items per user,
            which nobody exceeds.
        days: length of the log, > 0.
        seed: same arguments, same world, bit for bit.

    Returns:
        The columns, their schema, and the truth.

    Raises:
        ValueError: a size out of its range.

    Properties: deterministic, nobody_clicks_twice, nothing_before_it_exists, long_tail,
        taste_shows_in_clicks, features_tell_of_taste
    """
    if users < 1 or items < 8 or days < 1:
        raise ValueError(
            f"a world needs users >= 1, items >= 8 and days >= 1, got {users}, {items}, {days}"
        )
    if not users <= interactions <= users * (items // 4):
        raise ValueError(
            f"interactions must lie between one per user and a quarter of the items per user, "
            f"[{users}, {users * (items // 4)}], got {interactions}"
        )
    rng = np.random.default_rng(seed)
    categories = _category_vectors(rng)
    city_share = 1 / np.arange(1.5, len(CITIES) + 1)  # a few large cities, many small ones
    city_share /= city_share.sum()

    item_columns, item_traits = _make_items(items, categories, city_share, rng)
    user_columns, user_tastes = _make_users(users, categories, city_share, rng)
    # Zipf-Mandelbrot: a long tail without one item that everybody clicks.
    rank = rng.permutation(items)
    truth = Truth(
        user_tastes,
        item_traits,
        log_popularity=(-0.9 * np.log(rank + 5 + items / 200)).astype(np.float32),
        user_joined=_first_days(users, days, 0.1, rng),
        item_opened=_first_days(items, days, 1 / 7, rng),
    )
    user, item = _clicks(truth, interactions, days, rng)
    day = np.maximum(truth.user_joined[user], truth.item_opened[item])
    day = day + (rng.random(len(user)) * (days - day)).astype(np.int64)
    hour = rng.choice(24, size=len(user), p=_HOURS / _HOURS.sum())
    time = START + 86_400 * day + 3_600 * hour + rng.integers(3_600, size=len(user))
    order = np.argsort(time, kind="stable")
    log = {
        "user_id": user_columns["user_id"][user[order]],
        "item_id": item_columns["item_id"][item[order]],
        "timestamp": time[order],
    }
    return Simulation(funnel_schema(), log, user_columns, item_columns, truth)


def _category_vectors(rng: np.random.Generator) -> Array:
    """Unit vectors (categories, TASTE_DIM); those of one theme lie closer together."""
    themes = _unit(rng.normal(size=(len(THEMES), TASTE_DIM)))
    own = _unit(rng.normal(size=(len(CATEGORIES), TASTE_DIM)))
    return _unit(np.repeat(themes, [len(theme) for theme in THEMES.values()], axis=0) + own)


def _make_items(
    n: int, categories: Array, city_share: Array, rng: np.random.Generator
) -> tuple[dict[str, Array], Array]:
    """Item columns, and traits (n, D) float32."""
    first = rng.integers(len(CATEGORIES), size=n)
    # The second and third category are near the first one.
    near = 4 * categories[first] @ categories.T
    near[np.arange(n), first] = np.inf
    chosen = _pick(near, rng.choice([1, 2, 3], size=n, p=[0.5, 0.35, 0.15]), rng)
    centre = np.stack([categories[c].mean(axis=0) for c in chosen])
    trait = _unit(centre + 0.35 * _unit(rng.normal(size=(n, TASTE_DIM))))

    meaning = _unit(rng.normal(size=(len(KEYWORDS), TASTE_DIM)))
    words = _pick(6 * trait @ meaning.T, rng.integers(2, 6, size=n), rng)
    city = rng.choice(len(CITIES), size=n, p=city_share)
    typical = np.array([price for theme in THEMES.values() for price, _ in theme.values()])
    price = np.round(typical[first] * np.exp(rng.normal(0, 0.35, size=n)), 2)
    columns = {
        "item_id": np.array([f"item-{i}" for i in range(n)]),
        "category": np.array([" ".join(CATEGORIES[c] for c in row) for row in chosen]),
        "keywords": np.array([" ".join(KEYWORDS[w] for w in row) for row in words]),
        "city": np.array(CITIES)[city],
        "price": price,
        "name": _names(first, rng),
    }
    log_price = _standard_log_price(price)
    return columns, _stack(
        _SHARPNESS * trait, _AT_HOME * np.eye(len(CITIES))[city], log_price, -(log_price**2) / 2
    )


def _make_users(
    n: int, categories: Array, city_share: Array, rng: np.random.Generator
) -> tuple[dict[str, Array], Array]:
    """User columns, and tastes (n, D) float32."""
    age = np.clip(np.round(rng.gamma(4.5, 6.0, size=n) + 16), 16, 90)
    gender = rng.choice(["f", "m", "d", ""], size=n, p=[0.47, 0.45, 0.03, 0.05])
    lean = np.select([gender == "f", gender == "m"], [1.0, -1.0], 0.0)[:, None]
    maturity = ((age - age.mean()) / 15)[:, None]
    loves = categories[rng.integers(len(CATEGORIES), size=(n, 2))]
    taste = _unit(
        loves[:, 0]
        + 0.6 * loves[:, 1]
        + lean * 0.3 * _unit(rng.normal(size=TASTE_DIM))
        + maturity * 0.4 * _unit(rng.normal(size=TASTE_DIM))
        + 0.3 * _unit(rng.normal(size=(n, TASTE_DIM)))
    )
    named = rng.choice([0, 1, 2, 3], size=n, p=[0.15, 0.25, 0.35, 0.25])
    interests = _pick(9 * taste @ categories.T, named, rng)
    city = rng.choice(len(CITIES), size=n, p=city_share)
    columns = {
        "user_id": np.array([f"user-{i}" for i in range(n)]),
        "gender": gender,
        "age": age.astype(np.int64),
        "city": np.array(CITIES)[city],
        "interests": np.array([" ".join(CATEGORIES[c] for c in row) for row in interests]),
    }
    # -(price - budget)² / 2 is an inner product too, up to a constant of the user:
    # (budget, 1) with (price, -price² / 2).
    budget = 0.5 * maturity[:, 0] + rng.normal(0, 0.7, size=n)
    return columns, _stack(taste, np.eye(len(CITIES))[city], budget, np.ones(n))


_SHARPNESS = 5.0  # of the cosine between taste and trait: e^5 between indifference and love
_AT_HOME = 2.0  # e^2: what being in one's own city is worth


def _standard_log_price(price: Array) -> Array:
    standard: Array = (np.log(price) - np.log(18.0)) / 0.9
    return standard


def _stack(*parts: Array) -> Array:
    return np.column_stack(parts).astype(np.float32)


def _first_days(n: int, days: int, late: float, rng: np.random.Generator) -> Array:
    """Day 0 for most; a uniform later day for a share ``late`` of them."""
    arrival = rng.integers(days, size=n)
    return np.where(rng.random(n) < late, arrival, 0)


def _clicks(
    truth: Truth, interactions: int, days: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Rows of (user, item), one per click, each pair at most once."""
    n, m = len(truth.user_tastes), len(truth.item_traits)
    activity = rng.lognormal(0, 1.0, size=n) * (days - truth.user_joined)
    counts = np.ones(n, dtype=np.int64)
    limit = m // 4
    while missing := interactions - int(counts.sum()):
        share = activity * (counts < limit)
        more = rng.multinomial(missing, share / share.sum())
        counts = np.minimum(counts + more, limit)
    users, items = [], []
    for block in _blocks(np.argsort(counts, kind="stable"), 512):
        # Drawing without replacement is a race: everybody starts at an exponential time
        # divided by the weight, and the first counts[u] to arrive are clicked.
        both_exist = days - np.maximum.outer(truth.user_joined[block], truth.item_opened)
        weight = np.exp(truth.affinity(block) + truth.log_popularity) * both_exist
        arrival = rng.standard_exponential(weight.shape, dtype=np.float32) / weight
        most = int(counts[block].max())
        first = np.argpartition(arrival, most - 1, axis=1)[:, :most]
        first = np.take_along_axis(
            first, np.argsort(np.take_along_axis(arrival, first, axis=1), axis=1), axis=1
        )
        taken = np.arange(most) < counts[block][:, None]
        users.append(np.repeat(block, counts[block]))
        items.append(first[taken])
    return np.concatenate(users), np.concatenate(items)


def _pick(logits: Array, counts: Array, rng: np.random.Generator) -> list[Array]:
    """For each row, ``counts`` distinct columns drawn with probability ∝ exp(logits)."""
    order = np.argsort(-(logits + rng.gumbel(size=logits.shape)), axis=1)
    return [row[:count] for row, count in zip(order, counts, strict=True)]


def _names(category: Array, rng: np.random.Generator) -> Array:
    """Names such as "Amber Fox Ramen Bar"; no two items of the world share one."""
    nouns = [called for theme in THEMES.values() for _, called in theme.values()]
    pairs = len(ADJECTIVES) * len(NAMESAKES)
    scramble = rng.permutation(pairs)
    used: dict[str, int] = {}
    names = []
    for c, which in zip(category.tolist(), rng.random(len(category)).tolist(), strict=True):
        noun = nouns[c][int(which * len(nouns[c]))]
        nth = used[noun] = used.get(noun, len(used) * 17) + 1
        round_, pair = divmod(nth, pairs)
        adjective, namesake = divmod(int(scramble[pair]), len(NAMESAKES))
        name = f"{ADJECTIVES[adjective]} {NAMESAKES[namesake]} {noun}"
        names.append(f"{name} {round_ + 1}" if round_ else name)
    return np.array(names)


def _blocks(rows: Array, size: int) -> Iterator[Array]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _unit(x: Array) -> Array:
    unit: Array = x / np.linalg.norm(x, axis=-1, keepdims=True)
    return unit
