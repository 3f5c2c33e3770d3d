"""Right losses in TensorFlow: its own, Keras's and keras-rs's.

Keras computes in the dtype that a loss or a layer is made with.
"""

import pytest

tf = pytest.importorskip("tensorflow")

rows = lambda z: tf.range(tf.shape(z)[0])


def sparse_softmax(users, items, log_q, temperature):
    logits = tf.matmul(users, items, transpose_b=True) / temperature - log_q
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(rows(users), logits))


def softmax_of_labels(users, items, temperature):
    logits = tf.matmul(users, items, transpose_b=True) / temperature
    labels = tf.eye(tf.shape(logits)[0], dtype=logits.dtype)
    return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(labels, logits))


def softmax_masked(users, items, item_ids, temperature):
    logits = tf.matmul(users, items, transpose_b=True) / temperature
    hit = (item_ids[:, None] == item_ids) & ~tf.eye(len(item_ids), dtype=tf.bool)
    logits = tf.where(hit, tf.constant(float("-inf"), logits.dtype), logits)
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(rows(users), logits))


def softmax_of_normalized(first, second, temperature):
    unit = lambda x: tf.math.l2_normalize(x, axis=1, epsilon=1e-24)
    logits = tf.matmul(unit(first), unit(second), transpose_b=True) / temperature
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(rows(first), logits))


def sigmoid_with_logits(logits, labels):
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, logits))


def softplus(positive, negative, scale):
    return tf.reduce_mean(tf.math.softplus(scale * (negative - positive)))


def log_sigmoid(positive, negatives, scale):
    return -tf.reduce_mean(tf.math.log_sigmoid(scale * (positive[:, None] - negatives)))


def relu(positive, negative, margin):
    return tf.reduce_mean(tf.nn.relu(negative - positive + margin))


def lookup(table, rows, pull):
    return tf.reduce_sum(tf.nn.embedding_lookup(table, rows) * pull)


def gather(table, rows, pull):
    return tf.reduce_sum(tf.gather(table, rows) * pull)


def keras_categorical(users, items, log_q, temperature):
    keras = pytest.importorskip("keras")
    logits = tf.matmul(users, items, transpose_b=True) / temperature - log_q
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, dtype=logits.dtype.name)
    return loss(tf.eye(tf.shape(logits)[0], dtype=logits.dtype), logits)


def keras_sparse_categorical(users, items, temperature):
    keras = pytest.importorskip("keras")
    logits = tf.matmul(users, items, transpose_b=True) / temperature
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, dtype=logits.dtype.name)
    return loss(rows(users), logits)


def keras_binary(logits, labels):
    keras = pytest.importorskip("keras")
    loss = keras.losses.BinaryCrossentropy(from_logits=True, dtype=logits.dtype.name)
    return loss(labels, logits)


def keras_squared(scores, labels):
    keras = pytest.importorskip("keras")
    return keras.losses.MeanSquaredError(dtype=scores.dtype.name)(labels, scores)


def keras_rs_sampling_probability(users, items, log_q, temperature):
    """Its epsilon clips q at 1e-6 unless it is given."""
    keras_rs = pytest.importorskip("keras_rs")
    logits = tf.matmul(users, items, transpose_b=True) / temperature
    correction = keras_rs.layers.SamplingProbabilityCorrection(
        epsilon=1e-20, dtype=logits.dtype.name
    )
    logits = correction(logits, tf.exp(log_q)[None, :])
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(rows(users), logits))


def keras_rs_pairs(loss, positive, negatives):
    """The mean of a pairwise loss: Keras's is over the 1 + k columns, ours over the k pairs."""
    scores = tf.concat([positive[:, None], negatives], axis=1)
    labels = tf.concat([tf.ones_like(positive)[:, None], tf.zeros_like(negatives)], axis=1)
    k = tf.cast(tf.shape(negatives)[1], scores.dtype)
    return loss(dtype=scores.dtype.name)(labels, scores) * (k + 1) / k


def keras_rs_hinge(positive, negative, margin):
    """Its margin is 1."""
    loss = pytest.importorskip("keras_rs").losses.PairwiseHingeLoss
    return margin * keras_rs_pairs(loss, positive / margin, negative[:, None] / margin)


def keras_rs_logistic(positive, negative, scale):
    """Its temperature is rounded to float32, so that the scores carry the scale."""
    loss = pytest.importorskip("keras_rs").losses.PairwiseLogisticLoss
    return keras_rs_pairs(loss, scale * positive, scale * negative[:, None])


def keras_rs_logistic_many(positive, negatives, scale):
    loss = pytest.importorskip("keras_rs").losses.PairwiseLogisticLoss
    return keras_rs_pairs(loss, scale * positive, scale * negatives)
