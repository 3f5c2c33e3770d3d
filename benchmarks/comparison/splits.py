"""Splits: one data set for choosing, without the test part, and one for the final training.

    gowalla-split  LightGCN's split, ids only; its valid.txt is the validation part
    ml-1m-split    the split of UltraGCN, SimpleX and BSL, ids only; a tenth of its train, cut at
                   random, is the validation part
    ml-1m-date     MovieLens-1M with features: the last tenth of the ratings >= 4 by date is the
                   test part, the tenth before it the validation part; users with training clicks
    tiny           60 users of three tastes, made here: shows that everything runs

The first three are read from the folder that MINITOWER_DATA names.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from features import OVERRIDES

import minitower as mt
from minitower.data import atomic_files

K = 20
METRICS = f"recall@{K}", f"ndcg@{K}"
CHOOSES = f"ndcg@{K}"
"""The metric of every choice."""

SAMPLE = 10_000
"""Users of a search. All users choose the epoch."""

FOLDERS = {"gowalla-split": "gowalla-split", "ml-1m-split": "ml-1m-split", "ml-1m-date": "ml-1m"}
Part = Literal["valid", "test"]


@dataclass(frozen=True, eq=False)
class Split:
    """A data set to train on, and the measure of a model.

    Attributes:
        data: for "valid": train and validation part, the test part was never read. For "test":
            train and validation part together are its train.
        judge: ranks all items for the users of the part.
    """

    data: mt.Dataset
    judge: mt.Evaluator


def is_there(name: str) -> bool:
    """Whether the data of a split can be read."""
    return name == "tiny" or (_root() / FOLDERS[name]).is_dir()


def open_split(
    name: str, part: Part, *, sample: bool = False, id_rate: float = 0.01, embed_user: bool = True
) -> Split:
    """Read a split.

    Args:
        part: "valid" to choose on, "test" to test.
        sample: measure on a random sample of :data:`SAMPLE` users, the same in every call.
        id_rate, embed_user: of the user id, where there are features.
    """
    if name == "tiny":
        data = _tiny(part)
    elif name == "ml-1m-date":
        data = _by_date(_root() / FOLDERS[name], part, id_rate, embed_user)
    else:
        data = _published(_root() / FOLDERS[name], part)
    users = np.unique(data.split(part).users)
    if name == "ml-1m-date":
        users = np.intersect1d(users, data.train.users)
    if sample and len(users) > SAMPLE:
        users = np.sort(np.random.default_rng(0).choice(users, SAMPLE, replace=False))
    return Split(data, mt.Evaluator(data, part, (K,), users=users))


def _root() -> Path:
    return Path(os.environ.get("MINITOWER_DATA") or "nowhere")


def _published(folder: Path, part: Part) -> mt.Dataset:
    """A folder of split files."""
    train, valid, test = (folder / f"{name}.txt" for name in ("train", "valid", "test"))
    if part == "valid":
        return mt.Dataset.from_split_files(train=train, valid=valid if valid.exists() else 0.1)
    return mt.Dataset.from_split_files(train=[train, valid] if valid.exists() else train, test=test)


def _given(log: dict[str, Any], part: Part, schema: mt.Schema, **tables: Any) -> mt.Dataset:
    """The data set of a log whose column "part" names train, valid and test."""
    if part == "valid":
        log = {name: column[log["part"] != "test"] for name, column in log.items()}
    else:
        log = {**log, "part": np.where(log["part"] == "test", "test", "train")}
    split = mt.GivenSplit("part")
    return mt.Dataset.from_columns(schema, log, **tables, positive="all", split=split)


def _by_date(folder: Path, part: Part, id_rate: float, embed_user: bool) -> mt.Dataset:
    """Clicks of the same second are in the same part."""
    user = mt.Id("user_id", default_rate=id_rate, embed=embed_user)
    raw = atomic_files.read(folder, overrides={**OVERRIDES["ml-1m"], "user_id": user})
    liked = raw.interactions["rating"].astype(float) >= 4
    names = "user_id", "item_id", "timestamp"
    log: dict[str, Any] = {name: raw.interactions[name][liked] for name in names}
    times = log["timestamp"].astype(float)
    valid_from, test_from = np.quantile(times, (0.8, 0.9), method="higher")
    log["part"] = np.where(
        times >= test_from, "test", np.where(times >= valid_from, "valid", "train")
    )
    return _given(log, part, raw.schema, users=raw.users, items=raw.items)


def _tiny(part: Part) -> mt.Dataset:
    """Each of 60 users clicks 14 items, most of them among the 20 items of a taste."""
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(60), 14)
    own = users % 3 * 20 + rng.integers(0, 20, len(users))
    items = np.where(rng.random(len(users)) < 0.9, own, rng.integers(0, 60, len(users)))
    pairs = np.unique(users * 60 + items)
    cut = rng.choice(["train", "valid", "test"], len(pairs), p=(0.6, 0.2, 0.2))
    schema = mt.Schema(user=[mt.Id("user_id")], item=[mt.Id("item_id")])
    log = {"user_id": pairs // 60, "item_id": pairs % 60, "part": cut}
    return _given(log, part, schema)
