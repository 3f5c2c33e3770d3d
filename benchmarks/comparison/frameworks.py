"""The same two towers in eager PyTorch and in Keras, one thread: an embedding of each id, cosine.

PyTorch trains by minitower's recipe, start included. Keras trains by the in-batch loss of
TensorFlow Recommenders' ``Retrieval`` task: a temperature, and log q off the scores.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

import minitower as mt
from minitower.formulas.hits import KnownPositives

from .peers import Vectors
from .recipe import DIM, Recipe, Setting

if TYPE_CHECKING:
    from .units import Watch


def prepare_torch() -> None:
    """Import PyTorch, on one thread."""
    import torch

    torch.set_num_threads(1)
    torch.sparse.check_sparse_tensor_invariants.disable()  # the default, but silent


def prepare_keras() -> None:
    """Import TensorFlow and Keras, on one thread."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # before the import
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras
    import tensorflow as tf

    assert keras.backend.backend() == "tensorflow"
    if tf.config.threading.get_intra_op_parallelism_threads() != 1:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)


def _tables(data: mt.Dataset, model: mt.TwoTower) -> tuple[list[str], list[np.ndarray]]:
    """The names of minitower's two tables, and the row of each entity in them."""
    sides = (("user", data.users), ("item", data.items))
    fields = [data.schema.schema.user_id.name, data.schema.schema.item_id.name]
    names = [f"{side}.{field}.embedding" for (side, _), field in zip(sides, fields)]
    return names, [table.columns[field] for (_, table), field in zip(sides, fields)]


def _log_q(data: mt.Dataset, recipe: Recipe) -> np.ndarray:
    """log of the probability that a candidate of the batch is an item. Shapes: ()->(m)"""
    share = data.item_counts / data.item_counts.sum()
    n, m, shared = recipe.batch_size, len(data.items), recipe.shared
    return np.log(np.maximum((n * share + shared / m) / (n + shared), 1e-12)).astype(np.float32)


def torch_loss(users: Any, items: Any, log_q: Any, recipe: Recipe, hits: Any = None) -> Any:
    """The in-batch softmax of minitower: pair i is row i, shared negatives follow.

    Shapes: (n,d),(n+s,d),(n+s)->(); hits are (rows, columns) that no sum has.
    """
    import torch

    logits = users @ items.T / recipe.temperature - log_q
    positive = logits.diagonal()
    if recipe.decoupled:
        own = torch.eye(*logits.shape, dtype=torch.bool)
        logits = logits.masked_fill(own, -torch.inf)
    if hits is not None:
        logits = logits.index_put(hits, torch.tensor(-torch.inf, dtype=logits.dtype))
    return (recipe.log_sum_weight * logits.logsumexp(1) - positive).mean()


def torch_two_tower(data: mt.Dataset, setting: Setting, seed: int, watch: Watch) -> None:
    """Eager PyTorch, with sparse gradients."""
    import torch
    from torch.nn.functional import dropout, embedding, normalize

    recipe = Recipe.of(setting)
    torch.manual_seed(seed)
    model = recipe.model(data, seed)
    names, rows = _tables(data, model)
    tables = [torch.nn.Parameter(torch.tensor(model.parameters[name])) for name in names]
    entities = of_user, of_item = [torch.tensor(row, dtype=torch.int64) for row in rows]
    optimizers = {"SparseAdam": torch.optim.SparseAdam, "Adagrad": torch.optim.Adagrad}
    optimizer = optimizers[recipe.optimizer](tables, lr=recipe.rate)
    log_q = torch.tensor(_log_q(data, recipe))
    clicked = [torch.tensor(x, dtype=torch.int64) for x in (data.train.users, data.train.items)]
    n, falling, seen, hits = len(data.train), recipe.falling, data.seen("valid"), None
    how = {"max_norm": recipe.max_norm or None, "sparse": True}

    def vectors_of_all() -> Vectors:
        with torch.no_grad():
            return Vectors(*(normalize(t[row]).numpy() for t, row in zip(tables, entities)))

    if recipe.start == "spectral":
        watch.at_start(vectors_of_all())
    steps = -(-n // recipe.batch_size)
    for epoch in range(1, watch.epochs + 1):
        order = torch.randperm(n)
        for step in range(steps):
            at = order[step * recipe.batch_size :][: recipe.batch_size]
            items = clicked[1][at]
            if recipe.shared:
                items = torch.cat([items, torch.randint(len(of_item), (recipe.shared,))])
            users = normalize(embedding(of_user[clicked[0][at]], tables[0], **how))
            if recipe.user_dropout:
                users = normalize(dropout(users, recipe.user_dropout))
            vectors = normalize(embedding(of_item[items], tables[1], **how))
            if recipe.mask_known:
                pairs = clicked[0][at].numpy(), items.numpy(), (seen.indptr, seen.values)
                found = KnownPositives(*pairs, own=False).among(0, len(at))
                hits = tuple(map(torch.from_numpy, found))
            loss = torch_loss(users, vectors, log_q[items], recipe, hits)
            optimizer.param_groups[0]["lr"] = recipe.rate * falling.of_step(epoch, step + 1, steps)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        watch.after_epoch(vectors_of_all())


def keras_two_tower(data: mt.Dataset, setting: Setting, seed: int, watch: Watch) -> None:
    """Keras on TensorFlow, a compiled step."""
    import keras
    import tensorflow as tf

    recipe = Recipe.of(setting)
    keras.utils.set_random_seed(seed)
    uniform = keras.initializers.RandomUniform(-0.05, 0.05, seed=seed)
    layers = [
        keras.layers.Embedding(len(table), DIM, embeddings_initializer=uniform)
        for table in (data.users, data.items)
    ]
    for layer in layers:
        layer.build((None,))
    optimizers = {"Adagrad": keras.optimizers.Adagrad, "Adam": keras.optimizers.Adam}
    optimizer = optimizers[recipe.optimizer](recipe.rate)
    variables = [layer.embeddings for layer in layers]
    optimizer.build(variables)
    log_q = tf.constant(_log_q(data, recipe))
    clicked = [tf.constant(x, tf.int64) for x in (data.train.users, data.train.items)]
    n = len(data.train)

    @tf.function(reduce_retracing=True)
    def step(users: Any, items: Any) -> Any:
        with tf.GradientTape() as tape:
            u, v = (tf.math.l2_normalize(f(ids), 1) for f, ids in zip(layers, (users, items)))
            logits = tf.matmul(u, v, transpose_b=True) / recipe.temperature
            logits -= tf.gather(log_q, items)
            labels = tf.range(tf.shape(users)[0])
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_mean(losses)
        optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)
        return loss

    for _ in range(watch.epochs):
        order = tf.random.shuffle(tf.range(n))
        for start in range(0, n, recipe.batch_size):
            at = order[start : start + recipe.batch_size]
            step(tf.gather(clicked[0], at), tf.gather(clicked[1], at))
        found = [tf.math.l2_normalize(v.value, 1).numpy() for v in variables]
        watch.after_epoch(Vectors(*found))
