"""The truth of the simulated world: people, items, and the probability of a click.

The world is itself a two-tower model. On a given day, person u clicks item i, shown at
hour h, with probability

    P(click | u, i, day, h)  =  wish(h, theme_i) · sigmoid(<user_u(day), item_i(day)>)

    <user, item>  =  sharpness · cos(taste_u(day), trait_i) + home · [same city]
                     - (log price_i - budget_u)² / 2 + appeal_i(day)

Four things change with time, in closed form, so the truth is known for every day:

    taste    turns on a great circle, away from the taste that the features show; few people
             turn quickly, most slowly
    appeal   Zipf-Mandelbrot, a long tail without one item for all; every item has its season
    wish     coffee in the morning, jazz at night. Every theme has the same mean over the
             requests of a day, so hours bias a log of some hours but not of full days
    arrival  some items open and some people join on every day of the log

A model sees only features that are correlated with this truth
(:mod:`minitower.lab.funnel_features`).

Chapters 1 and 8.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minitower.data.interactions import Dataset
from minitower.data.table import Ragged
from minitower.formulas.arrays import Array
from minitower.formulas.sigmoid import sigmoid
from minitower.lab.funnel_features import draw_features
from minitower.lab.funnel_vocabulary import THEMES

_SHARPNESS = 5.0  # of the cosine between taste and trait: e^5 between indifference and love
_ZIPF = 0.9  # the exponent of appeal
_SEASON = 0.5  # how far appeal moves up and down, over 20 to 80 days
_TURN = 0.02  # radians a day by which the median taste turns: 34 degrees in a month
_RANK, _CLICKED = 20, 0.1  # the 20th best item of a person: clicks at its best hour
_NEW_USERS, _NEW_ITEMS = 0.1, 1 / 7  # share that is not there on the first day

# Requests by hour of the day: a shoulder at lunch, a peak in the evening.
TRAFFIC = np.array(
    [2, 1, 1, 1, 1, 1, 2, 4, 5, 5, 5, 6, 8, 7, 5, 5, 6, 8, 10, 12, 13, 12, 8, 4], dtype=float
)
TRAFFIC /= TRAFFIC.sum()
_PEAKS = {"table": 19, "cup": 9, "stage": 21, "quiet": 15, "outdoors": 11, "hands": 17}


def _wishes() -> Array:
    """(24, themes): a day's wave around each theme's peak, of equal means under TRAFFIC, <= 1."""
    hours, peaks = np.arange(24)[:, None], np.array([_PEAKS[theme] for theme in THEMES])
    wave = 0.625 + 0.375 * np.cos(2 * np.pi * (hours - peaks) / 24)
    wave /= TRAFFIC @ wave
    wishes: Array = wave / wave.max()
    return wishes


WISH = _wishes()
_USUAL = float(TRAFFIC @ WISH[:, 0])  # the mean wish over a day, the same for every theme


@dataclass(frozen=True, eq=False)
class Truth:
    """The probabilities of clicks on one day. Rows are rows of the tables of users and items.

    It is a ``Scorer``: ``minitower.evaluate(truth, data)`` measures a perfect model.

    Attributes:
        user_vectors: float32 (n_users, D).
        item_vectors: float32 (n_items, D).
        joined, opened: bool (n_users,) and (n_items,): present by that day.
        theme: (n_items,) column of WISH.
    """

    user_vectors: Array
    item_vectors: Array
    joined: Array
    opened: Array
    theme: Array

    def log_odds(self, users: Any) -> Array:
        """float64 (n, n_items): of a click at an hour of wish 1."""
        odds: Array = self.user_vectors[users].astype(float) @ self.item_vectors.T
        return odds

    def expected_click(self, users: Any, items: Any, hours: Any = None) -> Array:
        """Probability that these users click these items when shown to them.

        Shapes: users, items and hours broadcast against each other.

        Args:
            users, items: rows.
            hours: integers from 0 to 23; None is the mean over the requests of a day.

        Returns:
            float32, 0 where the user or the item has not arrived.
        """
        odds = np.einsum(
            "...d,...d", self.user_vectors[users].astype(float), self.item_vectors[items]
        )
        wish = _USUAL if hours is None else WISH[hours, self.theme[items]]
        clicked: Array = sigmoid(odds) * wish * (self.joined[users] & self.opened[items])
        return clicked.astype(np.float32)

    def best(self, users: Any, k: int, *, exclude: Ragged | None = None) -> Array:
        """(n, k) rows of the open items with the largest odds for each user, best first.

        Args:
            users: (n,) rows.
            k: the number of items, >= 1.
            exclude: n rows of items to exclude, such as the items that each user saw.

        Raises:
            ValueError: a user has fewer than k items left.
        """
        odds = np.where(self.opened, self.log_odds(users), -np.inf)
        if exclude is not None:
            odds[np.repeat(np.arange(len(odds)), exclude.counts), exclude.values] = -np.inf
        left = np.isfinite(odds).sum(axis=1).min(initial=odds.shape[1])
        if not 1 <= k <= left:
            raise ValueError(f"k must lie in [1, {left}], the open items of a user, got {k}")
        found = np.argpartition(odds, -k, axis=1)[:, -k:]
        order = np.argsort(-np.take_along_axis(odds, found, axis=1), axis=1)
        return np.take_along_axis(found, order, axis=1)

    def vectors(self, data: Dataset) -> tuple[Array, Array]:
        """Vectors of the users and items of a data set made from the complete tables.

        Raises:
            ValueError: the data set has other users or items.
        """
        if (len(data.users), len(data.items)) != (len(self.user_vectors), len(self.item_vectors)):
            raise ValueError("the data set was not made from the tables of this world")
        return self.user_vectors, self.item_vectors


@dataclass(frozen=True, eq=False)
class World:
    """People and items: their visible features, and their hidden truth.

    Attributes:
        users: ``user_id``, ``gender``, ``age``, ``city``, ``interests``.
        items: ``item_id``, ``category``, ``keywords``, ``city``, ``price``, ``name``; the name
            is no feature.
        tastes: (n_users, 2, 8) orthonormal: the taste on joining, and where it turns to.
        turn: (n_users,) radians a day.
        user_rest, item_fixed: the constant parts of the vectors.
        appeal: (n_items,) without its season.
        season: (n_items, 2) phase and length, in days.
        user_joined, item_opened: (n,) the first day of each, counted from 0.
        theme: (n_items,) row of the theme of the first category.
    """

    users: dict[str, Array]
    items: dict[str, Array]
    tastes: Array
    turn: Array
    user_rest: Array
    item_fixed: Array
    appeal: Array
    season: Array
    user_joined: Array
    item_opened: Array
    theme: Array

    def truth(self, day: int) -> Truth:
        """The probabilities of clicks on this day, >= 0, also after the end of the log."""
        angle = self.turn * np.maximum(day - self.user_joined, 0)
        taste = np.einsum("nad,an->nd", self.tastes, np.stack([np.cos(angle), np.sin(angle)]))
        phase, length = self.season.T
        item_vectors = self.item_fixed.copy()
        item_vectors[:, -2] += self.appeal + _SEASON * np.sin(2 * np.pi * (day - phase) / length)
        return Truth(
            np.column_stack([_SHARPNESS * taste, self.user_rest]).astype(np.float32),
            item_vectors,
            self.user_joined <= day,
            self.item_opened <= day,
            self.theme,
        )


def draw_world(users: int, items: int, days: int, rng: np.random.Generator) -> World:
    """Draw a world. Its last people and items arrive within the given number of days."""
    user_columns, tastes, user_rest, item_columns, item_fixed, theme = draw_features(
        users, items, rng
    )
    world = World(
        user_columns,
        item_columns,
        tastes,
        turn=_TURN * rng.lognormal(0, 0.7, size=users),
        user_rest=user_rest,
        item_fixed=item_fixed,
        appeal=-_ZIPF * np.log(rng.permutation(items) + 5 + items / 200),
        season=np.stack([80 * rng.random(items), rng.uniform(20, 80, items)], axis=1),
        user_joined=_first_days(users, days, _NEW_USERS, rng),
        item_opened=_first_days(items, days, _NEW_ITEMS, rng),
        theme=theme,
    )
    # A person likes few items, in a world of any size.
    odds = world.truth(0).log_odds(slice(500))
    rank = min(_RANK, items)
    usual = np.partition(odds, -rank, axis=1)[:, -rank].mean()
    level = np.log(_CLICKED / (1 - _CLICKED)) - float(usual)
    return replace(world, appeal=world.appeal + level)


def _first_days(n: int, days: int, late: float, rng: np.random.Generator) -> Array:
    """The first day of each: 0 for most, later days in turn for a share ``late``."""
    order = rng.permutation(n)
    first = np.zeros(n, np.int64)
    if days > 1:
        arrivals = order[: round(late * n)]
        first[arrivals] = 1 + np.arange(len(arrivals)) % (days - 1)
    return first
