"""Targets: publishing, recalling, measuring, searching."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from target import Arguments, Target, valid_data, valid_model
from world import USERS

import minitower as mt
from minitower.scale.service import Service


def targets() -> dict[str, Target]:
    """Publishing, recalling, measuring, indexes."""

    def publish(**arguments: Any) -> object:
        data = valid_data()
        model = valid_model(data)
        known = inspect.signature(mt.publish).parameters
        valid: Arguments = {"model": model, "data": data, "trainer": mt.Trainer(model, data)}
        first = {name: valid[name] for name in valid if name in known}
        return mt.publish(**first | {name: v for name, v in arguments.items() if name in known})

    def recall(**arguments: Any) -> object:
        return mt.Recommender.open("store").recall(**arguments)

    def recall_many(**arguments: Any) -> object:
        return mt.Recommender.open("store").recall_many(**arguments)

    def recommend(**arguments: Any) -> object:
        return mt.Recommender.open("store").recommend(**arguments)

    def endpoint(**arguments: Any) -> object:
        return Service(mt.Recommender.open("store"), max_k=100).recall(**arguments)

    def profile(**values: Any) -> object:
        return mt.Recommender.open("store").recall("nobody", values, 3)

    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(30, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = list(range(30))

    def search(backend: str) -> Callable[..., object]:
        def call(**a: Any) -> object:
            index = mt.LocalIndex.build(backend, a["ids"], a["vectors"])
            return index.search(a["queries"], a["k"], a["exclude"])

        return call

    found = {
        "publish": Target(
            publish,
            lambda: {
                "folder": "store",
                "index": "exact",
                "notes": {"a": 1},
                "parent": 2,
                "metrics": {"recall": 0.5},
                "item_counts": np.ones(30, int),
            },
            uses=("store",),
            places=("manifest",),
            weight=2,
        ),
        "Recommender.open": Target(
            lambda folder: mt.Recommender.open(folder),
            lambda: {"folder": "store"},
            uses=("store",),
            weight=0.5,
            places=("CURRENT",),
        ),
        "Recommender.recall": Target(
            recall,
            lambda: {
                "user_id": "u3",
                "profile": {"age": 30.0},
                "k": 5,
                "exclude_seen": True,
                "exclude": ["i1"],
            },
            data=("user_id", "exclude"),
            columns=("exclude",),
            uses=("store",),
            places=("id",),
            weight=3,
        ),
        "Recommender.recall_many": Target(
            recall_many,
            lambda: {
                "user_ids": ["u3", "u4"],
                "profiles": [{}, {}],
                "k": 5,
                "exclude": [["i1"], []],
            },
            data=("user_ids",),
            columns=("user_ids",),
            uses=("store",),
            places=("id", "users"),
            weight=2,
        ),
        "Recommender.recommend": Target(
            recommend,
            lambda: {
                "users": ["u3", "nobody"],
                "k": 5,
                "profiles": [{"age": 30.0}, {}],
                "items": ["i1", "i2", "i9"],
            },
            data=("users", "items"),
            columns=("users", "items"),
            uses=("store",),
            places=("id", "users", "items"),
            weight=2,
        ),
        "Recommender.similar": Target(
            lambda **a: mt.Recommender.open("store").similar(**a),
            lambda: {"item_id": "i1", "k": 5},
            data=("item_id",),
            uses=("store",),
            places=("id", "item"),
        ),
        "Service.recall": Target(
            endpoint,
            lambda: {
                "user": "u3",
                "k": 5,
                "profile": {"age": 30.0},
                "exclude": ["i1"],
                "include_seen": False,
            },
            data=("user", "exclude"),
            columns=("exclude",),
            uses=("store",),
            places=("id", "user"),
            weight=2,
        ),
        "profile": Target(
            profile,
            lambda: {"age": 30.0, "gender": "F", "history": ["i1", "i2"]},
            data=("age", "gender", "history"),
            columns=("history",),
            uses=("store",),
            places=("profile",),
            weight=2,
        ),
        "names": Target(
            lambda item_ids: mt.Recommender.open("store").names(item_ids),
            lambda: {"item_ids": ["i1"]},
            columns=("item_ids",),
            uses=("store",),
            places=("id",),
        ),
        "evaluate": Target(
            lambda **a: mt.evaluate(valid_model(), valid_data(), **a),
            lambda: {"split": "test", "k": (5, 10), "slices": 3, "users": np.arange(USERS)},
            data=("users",),
            weight=2,
        ),
        "load_model": Target(
            lambda **a: mt.load_model(**a),
            lambda: {"folder": "store", "version": 1},
            uses=("store",),
            weight=0.5,
        ),
        "save_model": Target(
            lambda **a: mt.save_model(model=valid_model(), **a),
            lambda: {"folder": "new", "notes": {"a": 1}},
            places=("manifest", "new"),
            weight=0.5,
        ),
        "ExactIndex": Target(
            lambda vectors, queries, k: mt.ExactIndex(vectors).search(queries, k),
            lambda: {"vectors": vectors, "queries": vectors[:3], "k": 5},
            data=("vectors", "queries"),
            places=("items",),
        ),
        "ApproximateIndex": Target(
            lambda queries, k, **a: mt.ApproximateIndex.build("hnsw", **a).search(queries, k),
            lambda: {
                "vectors": vectors,
                "queries": vectors[:3],
                "k": 5,
                "similarity": "cosine",
                "seed": 0,
            },
            data=("vectors", "queries"),
            places=("items",),
        ),
        "LocalIndex": Target(
            search("exact"),
            lambda: {
                "ids": ids,
                "vectors": vectors,
                "queries": vectors[:3],
                "k": 5,
                "exclude": [[1], [], [2]],
            },
            data=("ids", "vectors", "queries"),
            columns=("ids",),
            places=("items", "item"),
        ),
        "encode": Target(
            lambda rows: mt.encode(valid_model().user, valid_data().users, rows),
            lambda: {"rows": np.arange(3)},
            data=("rows",),
            weight=0.5,
        ),
    }
    return found
