"""The training step of ``train_step.py`` in other libraries: PyTorch, TensorFlow and keras-rs.

The same model, loss and batches: an id and a categorical field a tower, one hidden layer, cosine,
in-batch softmax with logQ. A library that is not installed is left out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec

import numpy as np

import minitower as mt

TEMPERATURE, DIM, CATEGORY_DIM, HIDDEN = 0.07, 64, 16, 128
FIELDS = {"user": ("user_id", "user_group"), "item": ("item_id", "item_group")}

Steps = Callable[[mt.Dataset, int], Iterator[float]]


def start(threads: int) -> dict[str, Steps]:
    """The peers by name, after their libraries have been set to a number of threads."""
    import torch

    torch.set_num_threads(threads)
    kinds = ("sparse Adagrad", "SparseAdam", "fused Adam")
    peers: dict[str, Steps] = {f"torch {kind}": partial(torch_steps, kind=kind) for kind in kinds}
    if find_spec("tensorflow") is not None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        os.environ.setdefault("KERAS_BACKEND", "tensorflow")
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        peers["TensorFlow by hand"] = partial(keras_steps, with_keras_rs=False)
        if find_spec("keras_rs") is not None:
            peers["keras-rs"] = partial(keras_steps, with_keras_rs=True)
    return peers


def keras_steps(data: mt.Dataset, batch: int, *, with_keras_rs: bool) -> Iterator[float]:
    """A compiled step of Keras layers with Keras's Adagrad.

    Args:
        with_keras_rs: subtract log q by the layer of keras-rs, else by hand. The loss by hand is
            that of the Retrieval task of TensorFlow Recommenders: a softmax with one-hot labels.
    """
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    subtract = lambda logits, q: logits - tf.math.log(q)
    if with_keras_rs:
        import keras_rs

        subtract = keras_rs.layers.SamplingProbabilityCorrection()

    def tower(side: str):
        encoder = getattr(data.schema, side)
        widths = (DIM, CATEGORY_DIM)
        inputs = [keras.Input((), dtype="int32") for _ in widths]
        parts = [
            keras.layers.Embedding(encoder.cardinality(name), width)(ids)
            for name, width, ids in zip(FIELDS[side], widths, inputs, strict=True)
        ]
        x = keras.layers.Dense(HIDDEN, "relu")(keras.layers.Concatenate()(parts))
        x = keras.layers.UnitNormalization()(keras.layers.Dense(DIM)(x))
        return keras.Model(inputs, x)

    towers = tower("user"), tower("item")
    weights = [w for one in towers for w in one.trainable_variables]
    optimizer = keras.optimizers.Adagrad(0.05)
    optimizer.build(weights)
    softmax = keras.losses.CategoricalCrossentropy(from_logits=True)
    labels = tf.eye(batch)

    @tf.function
    def train(users, items, q):
        with tf.GradientTape() as tape:
            a, b = towers[0](users), towers[1](items)
            logits = subtract(tf.matmul(a, b, transpose_b=True) / TEMPERATURE, q)
            loss = softmax(labels, logits)
        optimizer.apply(tape.gradient(loss, weights), weights)
        return loss

    columns = [
        [table.columns[name].astype(np.int32) for name in FIELDS[side]]
        for side, table in (("user", data.users), ("item", data.items))
    ]
    q = (np.maximum(data.item_counts, 1) / len(data.train)).astype(np.float32)
    rng = np.random.default_rng(0)
    while True:
        order = rng.permutation(len(data.train))
        for first in range(0, len(order) - batch + 1, batch):
            pairs = data.train.take(order[first : first + batch])
            users = [tf.constant(column[pairs.users]) for column in columns[0]]
            items = [tf.constant(column[pairs.items]) for column in columns[1]]
            yield float(train(users, items, tf.constant(q[pairs.items])))


def torch_steps(data: mt.Dataset, batch: int, *, kind: str) -> Iterator[float]:
    """The same model and loss in PyTorch, with one of its optimizers."""
    import torch

    sparse = kind != "fused Adam"

    class Tower(torch.nn.Module):
        def __init__(self, encoder, id_name, group):
            super().__init__()
            self.id = torch.nn.Embedding(encoder.cardinality(id_name), DIM, sparse=sparse)
            self.group = torch.nn.Embedding(encoder.cardinality(group), CATEGORY_DIM, sparse=sparse)
            self.mlp = torch.nn.Sequential(
                torch.nn.Linear(DIM + CATEGORY_DIM, HIDDEN),
                torch.nn.ReLU(),
                torch.nn.Linear(HIDDEN, DIM),
            )

        def forward(self, ids, groups):
            x = torch.cat([self.id(ids), self.group(groups)], dim=1)
            return torch.nn.functional.normalize(self.mlp(x))

    torch.manual_seed(0)
    user = Tower(data.schema.user, "user_id", "user_group")
    item = Tower(data.schema.item, "item_id", "item_group")
    tables = [t.weight for tower in (user, item) for t in (tower.id, tower.group)]
    layers = [p for tower in (user, item) for p in tower.mlp.parameters()]
    optimizers = {
        "sparse Adagrad": lambda: [torch.optim.Adagrad([*tables, *layers], lr=0.05)],
        "SparseAdam": lambda: [
            torch.optim.SparseAdam(tables, lr=0.001),
            torch.optim.Adam(layers, lr=0.001, fused=True),
        ],
        "fused Adam": lambda: [torch.optim.Adam([*tables, *layers], lr=0.001, fused=True)],
    }[kind]()
    columns = {
        name: torch.tensor(table_.columns[name], dtype=torch.int64)
        for table_, names in (
            (data.users, ("user_id", "user_group")),
            (data.items, ("item_id", "item_group")),
        )
        for name in names
    }
    log_q = torch.tensor(
        np.log(np.maximum(data.item_counts, 1) / len(data.train)), dtype=torch.float32
    )
    users, items = torch.tensor(data.train.users), torch.tensor(data.train.items)
    target = torch.arange(batch)

    while True:
        order = torch.randperm(len(users))
        for start in range(0, len(users) - batch + 1, batch):
            pairs = order[start : start + batch]
            u, i = users[pairs], items[pairs]
            a = user(columns["user_id"][u], columns["user_group"][u])
            b = item(columns["item_id"][i], columns["item_group"][i])
            logits = a @ b.T / TEMPERATURE - log_q[i]
            loss = torch.nn.functional.cross_entropy(logits, target)
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
            yield loss.item()
