"""The results file: one line of JSON for each unit, what may be added, and what is chosen from it.

Kinds of lines, in this order for each arm of a split:

    search  one setting, one seed, on validation: a sample of users
    valid   the chosen setting with each seed, on validation, by epoch: chooses the epochs
    parts   minitower's recipe without some of its parts, with each seed, on validation: chooses
            nothing
    test    trained on train and validation part with each seed, one reading of the test
    habit   the same training with a reading of the test after each epoch: the authors' habit

After the first reading of a test by an arm, no line of choosing is added for that arm and split.
A second reading is refused.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from .arms import ARMS
from .recipe import Setting
from .splits import CHOOSES

Line = dict[str, Any]
CHOOSING, READING = ("search", "valid"), ("test", "habit")
KINDS = (*CHOOSING, "parts", *READING)


class Refused(Exception):
    """A unit that would break the rules: one clear line."""


class Lines:
    """The lines of a results file.

    Args:
        path: is made with the first line. Half a line at the end, of a run that was killed, is
            dropped.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        text = path.read_text("utf-8") if path.exists() else ""
        if not text.endswith("\n") and text:
            text = text[: text.rfind("\n") + 1]
            path.write_text(text, "utf-8")
        self.all: list[Line] = [json.loads(line) for line in text.splitlines()]

    def add(self, line: Line) -> None:
        """Keep a line, in memory and at the end of the file; a forbidden one is refused."""
        self.check(line)
        self.all.append(line)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def of(self, kind: str, split: str, arm: str, setting: Setting | None = None) -> list[Line]:
        """The lines of an arm, by seed; of one setting, or of all."""
        wanted = kind, split, arm
        found = [x for x in self.all if (x["kind"], x["split"], x["arm"]) == wanted]
        if setting is not None:
            found = [line for line in found if line["setting"] == setting]
        return sorted(found, key=lambda line: line["seed"])

    def has(self, unit: Line) -> bool:
        """Whether the line of a unit is there: same kind, split, arm, setting and seed."""
        found = self.of(unit["kind"], unit["split"], unit["arm"], unit["setting"])
        return any(line["seed"] == unit["seed"] for line in found)

    def check(self, unit: Line) -> None:
        """Refuse a unit whose line must not be added.

        Raises Refused: the test would be read a second time, or before a choice, or a choice would
            be made after the test was read.
        """
        kind, split, arm, seed = (unit[name] for name in ("kind", "split", "arm", "seed"))
        what = f"{split}, {arm}, seed {seed}"
        tested = self.of("test", split, arm)
        if kind in CHOOSING and tested:
            raise Refused(
                f"{split}, {arm}: the test was read, so nothing more is chosen on validation; "
                f"a new choice begins with a new results file"
            )
        if kind in READING:
            for line in self.of(kind, split, arm):
                if line["seed"] == seed:
                    raise Refused(f"{what}: the line of its {kind} is there; read no test twice")
        if kind == "habit" and seed not in [line["seed"] for line in tested]:
            raise Refused(f"{what}: the authors' habit comes last; run its test first")
        if kind == "test" and tested and tested[0]["setting"] != unit["setting"]:
            raise Refused(f"{what}: its test was read with another setting, {tested[0]['setting']}")

    def chosen(self, split: str, arm: str) -> Setting:
        """The setting of an arm: by hand, or the best that its search found.

        Raises Refused: the search is not finished.
        """
        by_hand = ARMS[arm].chosen
        if by_hand is not None:
            return by_hand(split)
        tried = self.of("search", split, arm)
        missing = [s for s in ARMS[arm].tries(split) if s not in [x["setting"] for x in tried]]
        if missing:
            raise Refused(f"{split}, {arm}: {len(missing)} settings of its search are missing")
        best: Setting = max(tried, key=lambda line: line["figures"][CHOOSES])["setting"]
        return best

    def epochs(self, split: str, arm: str, setting: Setting) -> int:
        """The epoch of the best mean on validation over the seeds.

        Raises Refused: a seed is missing.
        """
        found = self.of("valid", split, arm, setting)
        if len(found) < ARMS[arm].seeds:
            raise Refused(f"{split}, {arm}: run its validation with every seed first")
        epochs, curve = mean_curve(found, CHOOSES)
        return int(epochs[np.argmax(curve)])

    def tuned(self, split: str, arm: str) -> bool:
        """Whether the arm is for this split, and its choice is validated with every seed."""
        if not ARMS[arm].runs_on(split):
            return False
        try:
            self.epochs(split, arm, self.chosen(split, arm))
        except Refused:
            return False
        return True


def mean_curve(lines: list[Line], name: str) -> tuple[np.ndarray, np.ndarray]:
    """The epochs that every line has measured, and the mean of a figure at each of them."""
    by_epoch = [{point["epoch"]: point[name] for point in line["by_epoch"]} for line in lines]
    epochs = sorted(set.intersection(*(set(points) for points in by_epoch)))
    means = [np.mean([points[epoch] for points in by_epoch]) for epoch in epochs]
    return np.array(epochs), np.array(means)
