"""The chain of full updates, with a branch of incremental updates by day that night drops.

The versions are those of a real store, after three days of a simulated world.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

import minitower as mt
from minitower.lab.funnel import simulate
from minitower.lab.funnel_log import Log
from minitower.store.version_log import VersionLog
from minitower.updating.streams import EventFields, write_events
from pictures.svg import Picture

DAYS, WEEK, PIECES = 3, 7, 2
FULL, BRANCH = 104, 222


@dataclass(frozen=True)
class Step:
    """A version that an update published, and the clicks that it learned."""

    number: int
    kind: str
    parent: int | None
    clicks: int


def history() -> list[Step]:
    """Publish a week's model, then run the jobs of some days on its store."""
    world = simulate(users=300, items=400, days=WEEK + DAYS, seed=1)
    days = list(world)
    week = Log.join(days[:WEEK]).interactions
    data = mt.Dataset.from_columns(
        world.schema,
        week,
        _listed(world.users, "user_id", week),
        _listed(world.items, "item_id", week),
        split=mt.RandomSplit(0, 0),
    )
    model = mt.TwoTower(data.schema, dim=16, hidden=(32,), seed=0)
    trainer = mt.Trainer(model, data, batch_size=64)
    trainer.fit(epochs=2)
    fields = EventFields(user_type="string", item_type="string")
    with tempfile.TemporaryDirectory() as folder:
        store, logs = Path(folder) / "store", Path(folder) / "clicks"
        mt.publish(trainer, store)
        logs.mkdir()
        clicks = {1: len(data.train)}
        for day, log in enumerate(days[WEEK:]):
            session = mt.IncrementalSession.open(store)
            for piece in np.array_split(np.arange(len(log.interactions["user_id"])), PIECES):
                learned = session.learn({n: log.interactions[n][piece] for n in fields.names})
                clicks[session.publish().version.number] = learned
            write_events(logs / f"day-{day}.jsonl", log.interactions, fields)
            options = mt.FullUpdateOptions(
                users=_listed(world.users, "user_id", log.interactions),
                items=_listed(world.items, "item_id", log.interactions),
            )
            result = mt.full_update(store, logs, options)
            clicks[result.published.version.number] = result.report.pairs
        versions = VersionLog.read(store).versions
        return [Step(v.number, v.kind, v.parent, clicks[v.number]) for v in versions]


def _listed(table: dict[str, Any], key: str, log: dict[str, Any]) -> dict[str, Any]:
    """The rows of a table whose ids a log holds."""
    return {name: column[np.isin(table[key], log[key])] for name, column in table.items()}


def draw() -> Picture:
    """Full versions in a line, the branch of each day below it."""
    steps = history()
    full = [step for step in steps if step.kind == "full"]
    chain = " to ".join(f"version {step.number}" for step in full)
    picture = Picture(
        "Each night continues the full model and drops the branch of the day",
        f"Full updates lead from {chain}. The incremental versions between them branch off a full "
        "version, learn the clicks of the day in order of time, and are dropped at night.",
        330,
    )
    picture.text(20, 24, "full updates, every night", "blue", size=17, bold=True)
    picture.text(
        20, 306, "incremental updates, all day, then dropped", "orange", size=17, bold=True
    )
    place = {step.number: 46 + 246 * i for i, step in enumerate(full)}
    for day, (before, after) in enumerate(pairwise(full), start=WEEK + 1):
        x0, x1 = place[before.number], place[after.number]
        picture.line([(x0 + 24, FULL), (x1 - 24, FULL)], "blue", thickness=3, arrow=True)
        words = f"day {day}: {after.clicks} clicks, shuffled"
        picture.text((x0 + x1) / 2, FULL - 18, words, "blue", size=13, anchor="middle")
        branch = [s for s in steps if s.kind == "incremental" and s.parent == before.number]
        at = x0 + 6, FULL + 20
        for i, step in enumerate(branch):
            x = x0 + 62 + 84 * i
            tip = (x - 17, BRANCH) if i else (x - 9, BRANCH - 15)
            picture.line([at, tip], "orange", thickness=2, arrow=True)
            picture.circle(x, BRANCH, 15, "page", stroke="orange", thickness=2)
            label(picture, x, BRANCH, step.number, "orange")
            words = f"{step.clicks} clicks"
            picture.text(x, BRANCH + 30, words, "orange", size=13, anchor="middle")
            at = x + 16, BRANCH
        end = at[0] + 32
        picture.line([at, (end, BRANCH)], "muted", thickness=2, dashes="4 4")
        for turn in (-7, 7):
            picture.line([(end - 7, BRANCH - turn), (end + 7, BRANCH + turn)], "ink", thickness=2.5)
    for step in full:
        picture.circle(place[step.number], FULL, 19, "blue")
        label(picture, place[step.number], FULL, step.number, "page")
    return picture


def label(picture: Picture, x: float, y: float, number: int, color: str) -> None:
    """The number of a version."""
    picture.text(x, y, f"{number}", color, size=15, bold=True, anchor="middle")
