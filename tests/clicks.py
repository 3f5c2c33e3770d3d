"""Random clicks with a validation part, a model of them, and a data set without one."""

import numpy as np

from minitower.data import Dataset, GivenSplit, Id, RandomSplit, Schema
from minitower.towers.two_tower import TwoTower

SCHEMA = Schema(user=[Id("u")], item=[Id("i")])


def dataset():
    rng = np.random.default_rng(0)
    log = {"u": rng.integers(0, 20, 200), "i": rng.integers(0, 15, 200)}
    part = np.where(np.arange(200) < 150, "train", "valid")
    return Dataset.from_columns(SCHEMA, log | {"part": part}, split=GivenSplit("part"))


DATA = dataset()
MODEL = TwoTower(DATA.schema, dim=4, hidden=())
BARE = Dataset.from_columns(SCHEMA, {"u": [1], "i": [1]}, split=RandomSplit(0, 0))
