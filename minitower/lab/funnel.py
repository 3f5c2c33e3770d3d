"""A simulated recommender with known truth: the output of every stage of its funnel.

A request of a user passes

    retrieval → pre-ranking → ranking → exposure → click

Retrieval scores all open items that the user has not clicked, and keeps the best. Pre-ranking
scores those and keeps fewer. Ranking orders these, and the first ones are shown. Each stage sees
the log odds of a click plus its own noise, drawn for every request and item. The noise shrinks
from stage to stage. Only ranking knows the effect of the hour. A shown item is clicked with the
probability of :mod:`minitower.lab.funnel_world`, which describes people, items and drift.

The parameters are chosen to be plausible:

    sizes      each stage keeps the same share, from all items to 20 shown items,
               like hundreds of millions → thousands → hundreds → tens
    noise      2, 1 and 0.5 in log odds, which spread by about 2.3 over the catalogue:
               retrieval sees half of the truth, ranking nearly all of it
    level      6 % of shown items are clicked in the default world; the top 1 % of items
               have a fifth of the clicks
    requests   one per user and day in the mean: log-normal over users, Poisson over days
    repeats    a clicked item is never shown to its user again; another item may be

Clicks show the truth only where the funnel exposes it. A retrieval model learns from these
clicks; the simulation can also test it against the truth.

Chapters 1 and 8.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from minitower.data.schema import Schema
from minitower.formulas.arrays import Array
from minitower.lab.funnel_features import SCHEMA
from minitower.lab.funnel_log import START, Log
from minitower.lab.funnel_world import TRAFFIC, WISH, Truth, World, draw_world

_BLOCK = 256  # requests served at a time: bounds memory; a seed gives other draws for another size


@dataclass(frozen=True, eq=False)
class Simulation:
    """A world and the days of its recommender; :func:`simulate` makes it.

    Iterating yields the :class:`Log` of every day, always the same; :attr:`log` joins them.
    ``Dataset.from_columns(world.schema, **world.columns)`` makes a data set.

    Attributes:
        world: people, things and their truth.
        days: the number of days.
        sizes: the number of items that are retrieved, ranked and exposed.
        noise: of the scores of retrieval, pre-ranking and ranking, in log odds.
        activity: (n_users,) mean requests a day.
        seed: of the days.
    """

    world: World
    days: int
    sizes: tuple[int, int, int]
    noise: tuple[float, float, float]
    activity: Array
    seed: int
    schema: Schema = SCHEMA

    @property
    def users(self) -> dict[str, Array]:
        """The table of users: see :class:`~minitower.lab.funnel_world.World`."""
        return self.world.users

    @property
    def items(self) -> dict[str, Array]:
        """The table of items."""
        return self.world.items

    @property
    def interactions(self) -> dict[str, Array]:
        """Every click: ``user_id``, ``item_id``, ``timestamp`` (seconds), oldest first."""
        return self.log.interactions

    @property
    def columns(self) -> dict[str, dict[str, Array]]:
        """The three tables by the names that ``Dataset.from_columns`` gives them."""
        return {"interactions": self.interactions, "users": self.users, "items": self.items}

    def truth(self, day: int) -> Truth:
        """The probabilities of clicks on a day."""
        return self.world.truth(day)

    @cached_property
    def log(self) -> Log:
        """All days. It takes 4 bytes for each retrieved item; iterate where memory is short."""
        return Log.join(self)

    def __iter__(self) -> Iterator[Log]:
        clicked = np.zeros((len(self.activity), len(self.items["item_id"])), bool)
        for day in range(self.days):
            yield self._day(day, clicked)

    def _day(self, day: int, seen: Array) -> Log:
        """One day. Its clicks are added to ``seen``, bool (n_users, n_items)."""
        rng = np.random.default_rng([self.seed, day])
        truth = self.truth(day)
        asked = rng.poisson(self.activity * truth.joined)
        users = np.repeat(np.arange(len(asked)), asked)
        n = len(users)
        seconds = 3_600 * rng.choice(24, size=n, p=TRAFFIC) + rng.integers(3_600, size=n)
        seconds = seconds[np.lexsort((seconds, users))]
        # First requests of all users, then second ones, which know the clicks of the first.
        turn = np.arange(n) - np.repeat(np.cumsum(asked) - asked, asked)
        items = np.empty((n, self.sizes[0]), np.int32)
        clicked = np.empty((n, self.sizes[2]), bool)
        served = np.zeros(n, bool)
        for requests in _blocks(turn):
            who = users[requests]
            barred = seen[who] | ~truth.opened
            enough = (~barred).sum(axis=1) >= self.sizes[0]
            requests, who, barred = requests[enough], who[enough], barred[enough]
            hours = seconds[requests] // 3_600
            items[requests], clicked[requests] = self._serve(truth, who, hours, barred, rng)
            row, place = np.nonzero(clicked[requests])
            seen[who[row], items[requests[row], place]] = True
            served[requests] = True
        kept = np.argsort(seconds, kind="stable")
        kept = kept[served[kept]]
        times = START + 86_400 * day + seconds[kept]
        return Log(users[kept], times, items[kept], self.sizes[1], clicked[kept])

    def _serve(
        self, truth: Truth, users: Array, hours: Array, barred: Array, rng: np.random.Generator
    ) -> tuple[Array, Array]:
        """The items of some requests in the order of a log, and the clicks on the shown ones."""
        retrieved, ranked, exposed = self.sizes

        def seen(odds: Array, noise: float) -> Array:
            blurred: Array = odds + noise * rng.standard_normal(odds.shape, dtype=np.float32)
            return blurred

        odds = truth.log_odds(users)
        odds[barred] = -np.inf
        # argpartition leaves the best in an order that depends on the processor.
        items = np.argpartition(seen(odds, self.noise[0]), -retrieved, axis=1)[:, -retrieved:]
        items.sort(axis=1)
        items = _take(items, np.argsort(-seen(_take(odds, items), self.noise[1]), axis=1))
        best = items[:, :ranked]
        wished = _take(odds, best) + np.log(WISH[hours[:, None], truth.theme[best]])
        items[:, :ranked] = _take(best, np.argsort(-seen(wished, self.noise[2]), axis=1))
        click = truth.expected_click(users[:, None], items[:, :exposed], hours[:, None])
        return items, rng.random(click.shape, dtype=np.float32) < click


def simulate(
    users: int = 2_000,
    items: int = 3_000,
    *,
    days: int = 30,
    requests: float = 1.0,
    sizes: tuple[int, int, int] | None = None,
    noise: tuple[float, float, float] = (2.0, 1.0, 0.5),
    seed: int | np.random.Generator = 0,
) -> Simulation:
    """Draw a world. Its recommender runs when its days are read.

    Args:
        users: number of people by the last day, > 0.
        items: number of things to do by the last day, at least 8.
        days: length of the log, > 0.
        requests: mean requests of a user on a day, > 0.
        sizes: the number of items that are retrieved, ranked and exposed, not increasing.
            None exposes 20, or an eighth of the items if that is fewer; every stage keeps
            the same share.
        noise: standard deviations for retrieval, pre-ranking and ranking, >= 0.
        seed: same arguments, same log, bit for bit, on any processor; or a generator.

    Raises:
        ValueError: a number is out of range, or retrieval needs more items than are open.

    Properties: deterministic, the_same_on_any_processor, days_are_the_log, stages_are_nested,
        stages_keep_the_best, follows_the_truth, nothing_before_it_exists, nobody_clicks_twice,
        tastes_drift, hours_matter, plausible, features_tell_of_taste

    >>> world = simulate(users=50, items=200, days=3, seed=1)
    >>> world.sizes
    (93, 43, 20)
    >>> world.log.by_click("dropped").counts[:3]      # candidates for hard negatives
    array([50, 50, 50])
    >>> world.truth(2).best([0, 1], k=4).shape
    (2, 4)
    """
    if users < 1 or items < 8 or days < 1 or not 0 < requests < np.inf:
        raise ValueError(
            f"a world needs users >= 1, items >= 8, days >= 1 and requests > 0, "
            f"got {users}, {items}, {days} and {requests}"
        )
    if not all(0 <= sd < np.inf for sd in noise):
        raise ValueError(f"noise must be finite and >= 0, got {noise}")
    if sizes is None:
        exposed = min(20, items // 8)
        share = (items / exposed) ** (1 / 3)
        sizes = (round(exposed * share**2), round(exposed * share), exposed)
    rng = np.random.default_rng(seed)
    world = draw_world(users, items, days, rng)
    open_ = int((world.item_opened == 0).sum())
    if not open_ >= sizes[0] >= sizes[1] >= sizes[2] >= 1:
        raise ValueError(
            f"sizes must not increase and lie in [1, {open_}], the items open on the first day; "
            f"got {sizes}"
        )
    activity = requests * rng.lognormal(-0.32, 0.8, size=users)  # of mean requests
    return Simulation(world, days, sizes, noise, activity, int(rng.integers(2**63)))


def _blocks(turn: Array) -> Iterator[Array]:
    """Rows of the first requests of all users, then of the second ones, and so on, in blocks."""
    for nth in range(int(turn.max(initial=-1)) + 1):
        rows = np.flatnonzero(turn == nth)
        for start in range(0, len(rows), _BLOCK):
            yield rows[start : start + _BLOCK]


def _take(values: Array, columns: Array) -> Array:
    return np.take_along_axis(values, columns, axis=1)
