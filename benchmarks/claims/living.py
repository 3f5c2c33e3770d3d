"""A recommender that lives: two weeks of a moving world, served and judged request by request.

The first week trains one model, the base of every arm of a seed. Then the days go on, each with
its new people and things, tastes that turn, and hours that wish for other things. An arm says
what it serves: from moment to moment a way to get user vectors, and item vectors. Each request
of the log is answered by what was served at its second, with 50 open items that the user has
not clicked by then, and counts as in the other claims: expected clicks on them, on that day and
at that hour, over the most that any 50 would get.

Settings are chosen by what the people of another world clicked next (share of the clicks of the
last days that lie within the 50), since that is all that anybody has outside a simulation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit

import minitower as mt
from minitower.data import next_day
from minitower.data.table import Ragged
from minitower.evaluation.encode import encode
from minitower.formulas.arrays import Vectors
from minitower.lab.funnel import simulate
from minitower.lab.funnel_log import START, Log
from minitower.lab.funnel_world import WISH, Truth
from minitower.search.index import ExactIndex
from minitower.towers.optimizers import Optimizer
from minitower.training.batches import Batches
from minitower.updating.streams import Events
from minitower.updating.train_full_update import train_full_update

if TYPE_CHECKING:
    from claim import Arm, Figures, Setting

K = 50
DAY, HOUR, MINUTE = 86_400, 3_600, 60
QUARTERS = ("0-6 h", "6-12 h", "12-18 h", "18-24 h")
TOLD = (1, 3, 7, 14)  # days since the base on which attained@50 is also told by itself


@dataclass(frozen=True, eq=False)
class Served:
    """What answers every request before a moment, from where the one before it ends.

    Attributes:
        until: seconds.
        users: rows of users -> their vectors.
        items: vectors of all items.
    """

    until: float
    users: Callable[[np.ndarray], Vectors]
    items: Vectors


Service = Callable[[int], Iterator[Served]]
"""What is served on a day; asked for days in ascending order."""


@dataclass(frozen=True, eq=False)
class Night:
    """A full model, its optimizer, and the data set whose day it was trained on last."""

    model: mt.TwoTower
    optimizer: Optimizer
    data: mt.Dataset


@dataclass(frozen=True, eq=False)
class _Day:
    """The requests of a day, and what could be had of them."""

    log: Log
    truth: Truth
    met: Ragged  # of each request, what its user had clicked before
    open: np.ndarray  # rows of the items that are there
    most: np.ndarray  # of each request, the expected clicks of the best 50


class Living:
    """The task: a world, its days, and the chain of nights that arms of equal setting share.

    Args:
        users, items: how many.
        week: days of the base.
        days: how many come after it.
        epochs: of the base.
        seed: of everything.
    """

    batch_size = 32  # a night's and the branch's: fewer clicks than come in 20 minutes
    week_batch = 256

    def __init__(
        self, users: int, items: int, *, week: int, days: int, epochs: int, seed: int
    ) -> None:
        self.simulation = simulate(users, items, days=week + days, seed=seed)
        self.world = self.simulation.world
        self.logs, self.week, self.epochs, self.seed = list(self.simulation), week, epochs, seed
        self.last = range(week + days - 5, week + days)
        self.told = {week + day - 1: day for day in TOLD}
        self._nights: dict[Any, list[Night]] = {}
        self._days: dict[int, _Day] = {}

    # What arms are made of.

    def model(self, data: mt.Dataset) -> mt.TwoTower:
        """An untrained model."""
        return mt.TwoTower(data.schema, dim=32, hidden=(64,), seed=self.seed)

    def trainer(
        self, model: mt.TwoTower, data: mt.Dataset, setting: Setting, batch_size: int = 0
    ) -> mt.Trainer:
        """In-batch softmax with logQ, by Adagrad."""
        return mt.Trainer(
            model,
            data,
            objective=mt.InBatchSoftmax(setting["temperature"]),
            optimizer=mt.Adagrad(setting["rate"]),
            batch_size=batch_size or self.batch_size,
            seed=self.seed,
        )

    def data(self, days: slice) -> mt.Dataset:
        """The clicks of some days. People and things of later days are listed, too, so
        that rows are those of the world; but none has a row of the id embedding before a click."""
        interactions = Log.join(self.logs[days]).interactions
        tables = self.simulation.users, self.simulation.items
        split = mt.RandomSplit(0, 0)
        return mt.Dataset.from_columns(self.simulation.schema, interactions, *tables, split=split)

    def scratch(self, data: mt.Dataset, setting: Setting, once: bool = False) -> Night:
        """A new model of a data set, as the base is one of the first week.

        Args:
            data: its positives are trained on.
            setting: also "epochs", if not those of the base.
            once: one epoch, in a night's batches.
        """
        model = self.model(data)
        trainer = self.trainer(model, data, setting, self.batch_size if once else self.week_batch)
        trainer.fit(1 if once else round(setting.get("epochs", self.epochs)))
        return Night(model, trainer.optimizer, data)

    def night(
        self,
        day: int,
        setting: Setting,
        make: Callable[[mt.Dataset, int], Batches] | None = None,
        kind: type[mt.Adagrad] = mt.Adagrad,
    ) -> Night:
        """The full model that serves a day: the base, then a full update on each night.

        Args:
            day: which one; the base serves the first after the week.
            setting: "temperature" and "rate".
            make: batches of a night, of a data set and a size; None shuffles.
            kind: of the nights' optimizer.
        """
        wanted = setting["temperature"], setting["rate"]
        plain = self._nights.setdefault((*wanted, None, mt.Adagrad), [])
        if not plain:
            plain.append(self.scratch(self.data(slice(self.week)), setting))

        def trainer(model: mt.TwoTower, data: mt.Dataset) -> mt.Trainer:
            own = self.trainer(model, data, setting)
            if make is not None:
                own.batches = make(data, self.batch_size)
            return own

        base = plain[0]
        optimizer = kind(setting["rate"])
        optimizer.state, optimizer.step = base.optimizer.state, base.optimizer.step
        chain = self._nights.setdefault(
            (*wanted, make, kind), [Night(base.model, optimizer, base.data)]
        )
        while len(chain) <= day - self.week:
            before = chain[-1]
            log = self.logs[self.week + len(chain) - 1]
            data = next_day(before.data, log.interactions)
            update = train_full_update(before.model, data, trainer, optimizer=before.optimizer)
            chain.append(Night(update.model, update.optimizer, data))
        return chain[day - self.week]

    def pieces(self, day: int, seconds: float) -> Iterator[tuple[float, Events]]:
        """The clicks of a day by windows: the end of each, and what came in it."""
        clicks = self.logs[day].interactions
        times = clicks["timestamp"].astype(float)
        ends = START + DAY * day + np.arange(seconds, DAY + 1, seconds)
        cuts = np.searchsorted(times, ends)
        for end, first, stop in zip(ends, [0, *cuts[:-1]], cuts, strict=True):
            rows = slice(first, stop)
            yield end, Events(clicks["user_id"][rows], clicks["item_id"][rows], times[rows])

    def end(self, day: int) -> float:
        """The second at which a day is over."""
        return START + DAY * (day + 1)

    # The task.

    def train(self, arm: Arm, setting: Setting, seed: int) -> tuple[Service, int, int]:
        """The arm's service; what it trains, it trains as days are asked for."""
        return arm.trainer(self, setting), 1, 1

    def validate(self, service: Service) -> float:
        """The figure by which settings are chosen."""
        return float(
            np.mean([self._clicked(day, self._answers(day, service)) for day in self.last])
        )

    def judge(self, service: Service) -> Figures:
        """Every figure of the test."""
        figures: Figures = {}
        means: dict[str, list[float]] = {}
        for day in sorted({*self.told, *self.last}):
            recalled = self._answers(day, service)
            of = self._day(day)
            log = of.log
            hours = log.hours[:, None]
            got = of.truth.expected_click(log.users[:, None], recalled, hours).sum(axis=1)
            attained = got / of.most
            if day in self.told:
                figures[f"attained@50 on day, {self.told[day]}"] = float(attained.mean())
            if day in self.last:
                means.setdefault("attained@50", []).append(attained.mean())
                means.setdefault("recall@50 of clicks", []).append(self._clicked(day, recalled))
                new = self.world.user_joined[log.users] > day - 7
                means.setdefault("new users", []).append(attained[new].mean())
                for quarter, name in enumerate(QUARTERS):
                    then = attained[log.hours // 6 == quarter]
                    means.setdefault(f"attained@50 at, {name}", []).append(then.mean())
        return {name: float(np.nanmean(values)) for name, values in means.items()} | figures

    def _answers(self, day: int, service: Service) -> np.ndarray:
        """(n, 50) what each request of a day gets."""
        of = self._day(day)
        log, place = of.log, np.cumsum(of.truth.opened) - 1
        found, start, index = np.empty((len(log), K), np.int64), 0, None
        items: Any = None
        for served in service(day):
            if served.items is not items:
                items, index = served.items, ExactIndex(served.items[of.open])
            stop = int(np.searchsorted(log.timestamps, served.until))
            rows = np.arange(start, stop)
            if len(rows):
                assert index is not None
                met = of.met.take(rows)
                met = Ragged(met.indptr, place[met.values])
                answers, _ = index.search(served.users(log.users[rows]), K, met)
                found[rows] = of.open[answers]
            start = stop
        assert start == len(log), "a day was not served to its end"
        return found

    def _clicked(self, day: int, recalled: np.ndarray) -> float:
        """Share of the clicks of a day that lie within what was recalled."""
        log = self.logs[day]
        request = np.nonzero(log.clicked)[0]
        hit = recalled[request] == log.exposed[log.clicked][:, None]
        return float(hit.any(axis=1).mean())

    def _day(self, day: int) -> _Day:
        if day not in self._days:
            log, truth = self.logs[day], self.simulation.truth(day)
            met = self._met(day)
            expected = expit(truth.log_odds(log.users)) * WISH[log.hours][:, truth.theme]
            expected[:, ~truth.opened] = 0
            expected[np.repeat(np.arange(len(log)), met.counts), met.values] = 0
            most = np.partition(expected, -K, axis=1)[:, -K:].sum(axis=1)
            self._days[day] = _Day(log, truth, met, np.flatnonzero(truth.opened), most)
        return self._days[day]

    def _met(self, day: int) -> Ragged:
        """Of each request of a day, what its user clicked in earlier ones."""
        so_far = Log.join(self.logs[: day + 1])
        request = np.nonzero(so_far.clicked)[0]
        users, times = so_far.users[request], so_far.timestamps[request] - START
        span = DAY * (day + 2)
        key = users * span + times
        order = np.argsort(key, kind="stable")
        log, key = self.logs[day], key[order]
        first = np.searchsorted(key, log.users * span)
        stop = np.searchsorted(key, log.users * span + log.timestamps - START)
        items = so_far.exposed[so_far.clicked][order]
        parts = [items[a:b] for a, b in zip(first, stop, strict=True)]
        return Ragged.from_counts(stop - first, np.concatenate(parts))


def open_living(seed: int, quick: bool) -> Living:
    """3,000 people, 2,000 things, a week and two more."""
    if quick:
        return Living(120, 250, week=3, days=14, epochs=2, seed=seed)
    return Living(3_000, 2_000, week=7, days=14, epochs=4, seed=seed)


def of_model(model: mt.TwoTower, data: mt.Dataset) -> Callable[[np.ndarray], Vectors]:
    """User vectors computed when they are asked for."""
    return lambda rows: encode(model.user, data.users, rows)


def with_rate(optimizer: Optimizer, rate: float) -> Optimizer:
    """The same optimizer and state, at another learning rate."""
    other = copy(optimizer)
    other.rate = rate
    return other
