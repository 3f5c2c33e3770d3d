"""Right losses in JAX: its own, and optax's."""

import pytest

jax = pytest.importorskip("jax")
jnp = pytest.importorskip("jax.numpy")

rows = lambda z: jnp.arange(len(z))


def log_softmax(users, items, log_q, temperature):
    log_p = jax.nn.log_softmax(users @ items.T / temperature - log_q)
    return -jnp.diagonal(log_p).mean()


def logsumexp(users, items, log_q, temperature):
    logits = users @ items.T / temperature - log_q
    return (jax.nn.logsumexp(logits, axis=1) - jnp.diagonal(logits)).mean()


def one_hot(users, items, temperature):
    log_p = jax.nn.log_softmax(users @ items.T / temperature)
    return -(jax.nn.one_hot(rows(users), len(users)) * log_p).sum(axis=1).mean()


def vmapped(users, items, temperature):
    row = lambda user, i: -jax.nn.log_softmax(items @ user / temperature)[i]
    return jax.vmap(row)(users, rows(users)).mean()


def log_softmax_where(users, items, item_ids, temperature):
    kept = (item_ids[:, None] != item_ids) | jnp.eye(len(item_ids), dtype=bool)
    logits = users @ items.T / temperature
    log_p = jax.nn.log_softmax(jnp.where(kept, logits, -jnp.inf))
    return -jnp.diagonal(log_p).mean()


def softplus(positive, negative, scale):
    return jax.nn.softplus(scale * (negative - positive)).mean()


def log_sigmoid(positive, negatives, scale):
    return -jax.nn.log_sigmoid(scale * (positive[:, None] - negatives)).mean()


def relu(positive, negative, margin):
    return jax.nn.relu(negative - positive + margin).mean()


def take(table, rows, pull):
    return (jnp.take(table, rows, axis=0) * pull).sum()


def index(table, rows, pull):
    return (table[rows] * pull).sum()


def optax():
    return pytest.importorskip("optax").losses


def optax_integer_labels(users, items, log_q, temperature):
    logits = users @ items.T / temperature - log_q
    return optax().softmax_cross_entropy_with_integer_labels(logits, rows(users)).mean()


def optax_one_hot(users, items, temperature):
    labels = jnp.eye(len(users), dtype=users.dtype)
    return optax().softmax_cross_entropy(users @ items.T / temperature, labels).mean()


def optax_where(users, items, item_ids, temperature):
    kept = (item_ids[:, None] != item_ids) | jnp.eye(len(item_ids), dtype=bool)
    logits = users @ items.T / temperature
    loss = optax().softmax_cross_entropy_with_integer_labels(logits, rows(users), where=kept)
    return loss.mean()


def optax_ranking_softmax(positive, negatives, drop, temperature):
    n = len(positive)
    return optax().ranking_softmax_loss(
        jnp.column_stack([positive, negatives]) / temperature,
        jnp.column_stack([jnp.ones(n), jnp.zeros(negatives.shape)]),
        where=jnp.column_stack([jnp.ones(n, bool), ~drop]),
    )


def optax_sigmoid(logits, labels):
    return optax().sigmoid_binary_cross_entropy(logits, labels).mean()


def optax_squared(scores, labels):
    return optax().squared_error(scores, labels).mean()


def optax_hinge(positive, negative, margin):
    """Its margin is 1."""
    return (
        margin * optax().hinge_loss((positive - negative) / margin, jnp.ones(len(positive))).mean()
    )


def optax_cosine(users, items, pull):
    return pull @ optax().cosine_similarity(users, items, epsilon=1e-12)
