"""The visible features of people and items in the simulated world. Chapter 8.

    people   gender and age lean towards some categories; budget rises with age; a city; the
             interests are 0 to 3 categories that a person names on joining
    items    one to three categories, keywords that fit them, a city, a price

The numbers are plausible, and not fitted to real data.
"""

import numpy as np

from minitower.data.schema import Categorical, Continuous, Id, MultiValued, Schema
from minitower.formulas.arrays import Array
from minitower.lab.funnel_vocabulary import (
    ADJECTIVES,
    CATEGORIES,
    CITIES,
    KEYWORDS,
    NAMESAKES,
    THEMES,
)

TASTE_DIM = 8
SCHEMA = Schema(
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
_HOME = 2.0  # e^2: what being in one's own city is worth


def draw_features(
    users: int, items: int, rng: np.random.Generator
) -> tuple[dict[str, Array], Array, Array, dict[str, Array], Array, Array]:
    """Columns of users, tastes and rest; columns of items, fixed, themes: see ``World``."""
    categories = _category_vectors(rng)
    city_share = 1 / np.arange(1.5, len(CITIES) + 1)  # a few large cities, many small ones
    city_share /= city_share.sum()
    of_items = _make_items(items, categories, city_share, rng)
    return *_make_users(users, categories, city_share, rng), *of_items


def _category_vectors(rng: np.random.Generator) -> Array:
    """Unit vectors (categories, TASTE_DIM); those of one theme lie closer together."""
    themes = _unit(rng.normal(size=(len(THEMES), TASTE_DIM)))
    own = _unit(rng.normal(size=(len(CATEGORIES), TASTE_DIM)))
    return _unit(np.repeat(themes, [len(theme) for theme in THEMES.values()], axis=0) + own)


def _make_items(
    n: int, categories: Array, city_share: Array, rng: np.random.Generator
) -> tuple[dict[str, Array], Array, Array]:
    """Item columns, what does not move of the vectors, and themes."""
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
        "item_id": ids("item", np.arange(n)),
        "category": _join(CATEGORIES, chosen),
        "keywords": _join(KEYWORDS, words),
        "city": np.array(CITIES)[city],
        "price": price,
        "name": _names(first, rng),
    }
    log_price = (np.log(price) - np.log(18.0)) / 0.9  # near 0 and 1 in mean and spread
    # Users have (budget, 1, -budget² / 2) in the last three places, which makes -(price - budget)²
    # / 2 of the inner product; appeal is added to what is multiplied by 1.
    home = _HOME * np.eye(len(CITIES))[city]
    fixed = _stack(trait, home, log_price, -(log_price**2) / 2, np.ones(n))
    themes = np.repeat(np.arange(len(THEMES)), [len(theme) for theme in THEMES.values()])
    return columns, fixed, themes[first]


def _make_users(
    n: int, categories: Array, city_share: Array, rng: np.random.Generator
) -> tuple[dict[str, Array], Array, Array]:
    """User columns, tastes, and the rest of the vectors, which does not move."""
    age = np.clip(np.round(rng.gamma(4.5, 6.0, size=n) + 16), 16, 90)
    gender = rng.choice(["f", "m", "d", ""], size=n, p=[0.47, 0.45, 0.03, 0.05])
    lean = np.select([gender == "f", gender == "m"], [1.0, -1.0], 0.0)[:, None]
    maturity = ((age - age.mean()) / 15)[:, None]
    common = lean * 0.3 * _unit(rng.normal(size=TASTE_DIM))
    common = common + maturity * 0.4 * _unit(rng.normal(size=TASTE_DIM))
    now, later = (
        _unit(
            categories[rng.integers(len(CATEGORIES), size=n)]
            + 0.6 * categories[rng.integers(len(CATEGORIES), size=n)]
            + common
            + 0.3 * _unit(rng.normal(size=(n, TASTE_DIM)))
        )
        for _ in range(2)
    )
    later = _unit(later - (later * now).sum(axis=1, keepdims=True) * now)
    named = rng.choice([0, 1, 2, 3], size=n, p=[0.15, 0.25, 0.35, 0.25])
    interests = _pick(9 * now @ categories.T, named, rng)
    city = rng.choice(len(CITIES), size=n, p=city_share)
    columns = {
        "user_id": ids("user", np.arange(n)),
        "gender": gender,
        "age": age.astype(np.int64),
        "city": np.array(CITIES)[city],
        "interests": _join(CATEGORIES, interests),
    }
    budget = 0.5 * maturity[:, 0] + rng.normal(0, 0.7, size=n)
    rest = _stack(np.eye(len(CITIES))[city], budget, np.ones(n), -(budget**2) / 2)
    return columns, np.stack([now, later], axis=1), rest


def ids(side: str, rows: Array) -> Array:
    """The ids of rows: "user-0", "item-7"."""
    return np.char.add(f"{side}-", rows.astype(str))


def _pick(logits: Array, counts: Array, rng: np.random.Generator) -> list[Array]:
    """For each row, ``counts`` distinct columns drawn with probability ∝ exp(logits)."""
    order = np.argsort(-(logits + rng.gumbel(size=logits.shape)), axis=1)
    return [row[:count] for row, count in zip(order, counts, strict=True)]


def _join(words: tuple[str, ...], chosen: list[Array]) -> Array:
    return np.array([" ".join(words[w] for w in row) for row in chosen])


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


def _stack(*parts: Array) -> Array:
    return np.column_stack(parts).astype(np.float32)


def _unit(x: Array) -> Array:
    unit: Array = x / np.linalg.norm(x, axis=-1, keepdims=True)
    return unit
