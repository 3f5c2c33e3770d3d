"""A tiny shop, and a model of it, for the tests of negatives."""

import numpy as np

from minitower.data import Dataset, GivenSplit, Id, Schema
from minitower.towers.two_tower import TwoTower


def clicks(users, items, part=None, n_items=None):
    """A data set of these clicks; every item of the catalogue has a row."""
    schema = Schema(user=[Id("u")], item=[Id("i")])
    log = {"u": users, "i": items, "part": part or ["train"] * len(users)}
    catalogue = {"i": list(range(n_items))} if n_items else None
    return Dataset.from_columns(schema, log, items=catalogue, split=GivenSplit("part"))


SHOP = clicks([0, 0, 0, 1, 1, 2, 3], [0, 1, 2, 0, 1, 0, 0], n_items=6)


def rng(seed=0):
    return np.random.default_rng(seed)


def untrained(data, seed=0):
    return TwoTower(data.schema, dim=4, hidden=(), seed=seed)
