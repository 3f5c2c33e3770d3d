"""Tiny shops and models of them, for the tests of negatives and of stores."""

import numpy as np

from minitower.data import Dataset, GivenSplit, Id, RandomSplit, Schema
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


def random_clicks(users=5, items=9, n=40):
    """A data set of ids alone; all clicks are training data."""
    draws = rng()
    log = {"user": draws.integers(0, users, n), "item": draws.integers(0, items, n)}
    schema = Schema(user=[Id("user")], item=[Id("item")])
    return Dataset.from_columns(schema, log, split=RandomSplit(0, 0))


def small_model(data, dim=2):
    return TwoTower(data.schema, dim=dim, hidden=())


MOVED = {"user.user.embedding": (np.array([1]), np.array([[3.0, 4.0]], np.float32))}
"""An increment of the model of two dimensions: one row."""
