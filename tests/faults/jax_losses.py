"""Wrong losses in JAX, as people write them. The test names the mistake of each."""

import pytest

jax = pytest.importorskip("jax")
jnp = pytest.importorskip("jax.numpy")


def vmapped_without_q(users, items, log_q, temperature):
    row = lambda u, i: -jax.nn.log_softmax(items @ u / temperature)[i]
    return jax.vmap(row)(users, jnp.arange(len(users))).mean()


def both_ways_and_added(users, items, log_q, temperature):
    z = users @ items.T / temperature + log_q
    own = jnp.diagonal
    return -(own(jax.nn.log_softmax(z, 1)) + own(jax.nn.log_softmax(z, 0))).mean() / 2


def total_without_q(users, items, log_q, temperature):
    z = users @ items.T / temperature
    return (jax.nn.logsumexp(z, axis=1) - jnp.diagonal(z)).sum()


def stopped_weight_forgotten(users, items, log_q, item_ids, temperature):
    z = users @ items.T / temperature
    own, same = jnp.diagonal(z), item_ids[:, None] == item_ids
    negatives = z - log_q + jnp.log1p(-jnp.exp(log_q))[:, None]
    others = jax.nn.logsumexp(jnp.where(same, -jnp.inf, negatives), axis=1)
    weight = jax.nn.sigmoid(others - jnp.log((~same).sum(1)) - own)
    return (weight * (others - own)).mean()


def own_logit_uncorrected(positive, negatives, positive_log_q, log_q, drop, temperature):
    z = jnp.where(drop, -jnp.inf, negatives / temperature - log_q)
    z = jnp.concatenate([positive[:, None] / temperature, z], axis=1)
    return -jax.nn.log_softmax(z)[:, 0].mean()


def kept_rows_only(positive, negatives, drop, temperature):
    z = jnp.concatenate([positive[:, None], jnp.where(drop, -jnp.inf, negatives)], 1) / temperature
    losses = -jax.nn.log_softmax(z)[:, 0]
    return losses.sum() / jnp.maximum(1, (~drop).any(1).sum())


def large_negative(positive, negatives, drop, temperature):
    z = jnp.concatenate([positive[:, None], negatives], 1) / temperature
    z = z.at[:, 1:].add(jnp.where(drop, -3e4, 0.0))
    return -jax.nn.log_softmax(z)[:, 0].mean()


def mean_exponential(positive, negatives, drop, temperature):
    kept = jnp.maximum(1, (~drop).sum(1))
    others = jax.nn.logsumexp(jnp.where(drop, -jnp.inf, negatives / temperature), axis=1)
    z = jnp.stack([positive / temperature, others - jnp.log(kept)], axis=1)
    return -jax.nn.log_softmax(z)[:, 0].mean()


def fixed_scale(positive, negative, scale):
    return jax.nn.softplus(negative - positive).mean()
