"""The spectral start: embeddings of ids begin at singular vectors of the clicks. Chapter 4.

Random rows know nothing of who clicked what, and the first epochs only find out. The first
singular vectors of the scaled click matrix (:mod:`minitower.formulas.spectral`) know the coarse
structure after a few seconds. Training then begins at the rows

    w_u = (1, x_u / |x_u|) / 2^(1/2),   w_i = (c_i, (1 - c_i^2)^(1/2) x_i / |x_i|)

where x is the row of an id in U S or V S. The bias c_i grows with the clicks of an item. Rows have
length one, as random rows have in the mean. Without training,

    w_u . w_i = (c_i + (1 - c_i^2)^(1/2) cos(x_u, x_i)) / 2^(1/2)

ranks by taste and by popularity, and the cosine alone would rank rare items as high as common ones.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from scipy import sparse

from minitower.data import Dataset
from minitower.data.options import Option
from minitower.evaluation.encode import check_same_schema
from minitower.formulas.arguments import choice
from minitower.formulas.arrays import Array, Rows, Vectors
from minitower.formulas.spectral import item_bias, spectral_vectors, with_bias
from minitower.towers.two_tower import TwoTower
from minitower.towers.user_history import DEFAULT

Start = Annotated[
    Literal["random", "spectral"],
    Option("where embeddings of ids start: random rows, or singular vectors of the clicks"),
]

ROUNDS = 2
"""Of the iteration. On sparse clicks the exact first vectors describe small groups alone. After two
rounds more of the others is still in them (`benchmarks/spectral_start.py --recall`)."""


def start_model(model: TwoTower, data: Dataset, *, start: Start = "random") -> TwoTower:
    """Start an untrained model as an option says, in place; returns the model.

    Raises ValueError, DataError: as :func:`spectral_start`.
    """
    if choice("start", start, ("random", "spectral")) == "spectral":
        spectral_start(model, data)
    return model


def spectral_start(model: TwoTower, data: Dataset) -> None:
    """Start the embeddings of ids at singular vectors of the training clicks, in place.

    The clicks are ``data.train``: each pair of a user and an item counts once, whatever its
    weight. The result is a function of the clicks and of the model's seed.

    What changes:

    - The embeddings of user ids and of item ids, and a history's own table of item ids.
      A model that embeds the ids of one side alone starts that side. A history's own table stands
      on the side of users: all its rows have the same first column. A history that reads the table
      of item ids has no such column: without user ids, popularity is for training to learn.
    - A row with a click. Row 0 and rows of ids without clicks keep their random values. A row that
      no singular vector reaches keeps its random direction, beside its bias.
    - The first columns: the bias, then a column for each singular triple. A table may be wider
      than the matrix has singular values that are not 0. Its last columns then keep their random
      values, because a column of zeros on both sides never learns.

    Everything else stays random. With hidden layers, only their input starts. With other
    features, a tower without hidden layers starts at the sum of the spectral rows and random ones.

    Memory at the peak, for n users and m items with clicks and tables of width w: about
    3 (n + m) (w + 16) numbers of the model's type, and 60 bytes for each click. Ids without
    clicks cost nothing, and no array has n times m entries.

    Args:
        model: untrained, of random parameters.
        data: the data set that the model was made for.

    Raises:
        ValueError: the model embeds no ids, or in a single column, or its parameters were not
            random; or the data has no click to train on.
        DataError: the model and the data were not fitted together.

    Properties: keeps_cold_rows, keeps_what_is_no_id, reads_train_alone, same_seed_same_bits,
        repeats_count_once

    >>> from minitower.data import Id, RandomSplit, Schema
    >>> data = Dataset.from_columns(
    ...     Schema(user=[Id("u")], item=[Id("i")]),
    ...     {"u": [0, 0, 1, 1, 2, 2, 3, 3], "i": [0, 1, 0, 1, 2, 3, 2, 3]},  # two groups of two
    ...     split=RandomSplit(0, 0),
    ... )
    >>> model = TwoTower(data.schema, dim=3, hidden=())
    >>> spectral_start(model, data)
    >>> users, items = model.user(data.users.columns)[0], model.item(data.items.columns)[0]
    >>> (users @ items.T).round(2) + 0.0
    array([[0.71, 0.71, 0.  , 0.  ],
           [0.71, 0.71, 0.  , 0.  ],
           [0.  , 0.  , 0.71, 0.71],
           [0.  , 0.  , 0.71, 0.71]], dtype=float32)

    Reference: N. Halko et al., SIAM Review 2011; K. Rohe et al., PNAS 2016; Y. Koren et al.,
        Computer 2009 (bias); docs/04.
    """
    check_same_schema(model.encoders, data.schema)
    if model.seed is None:
        raise ValueError(
            "a spectral start needs a model of random parameters, and this one has others: make "
            "a new TwoTower"
        )
    schema = model.encoders.schema
    of_users = _tables(model, f"user.{schema.user_id.name}.embedding")
    of_items = _tables(model, f"item.{schema.item_id.name}.embedding")
    own_history = model.history is not None and model.history.table == "own"
    of_history = _tables(model, DEFAULT) if own_history else []
    tables = of_users + of_items + of_history
    if not tables:
        raise ValueError(
            f"a spectral start needs a table of ids, and the model embeds neither "
            f"'{schema.user_id.name}' nor '{schema.item_id.name}'"
        )
    if min(table.shape[1] for table in tables) < 2:
        raise ValueError(
            "a spectral start needs embeddings of at least 2 columns: give a larger dim (--dim), "
            "or start at random rows (--start random)"
        )
    user_rows = _ids(data.users.columns[schema.user_id.name], data.train.users)
    item_rows = _ids(data.items.columns[schema.item_id.name], data.train.items)
    own = (user_rows > 0) & (item_rows > 0)
    if not own.any():
        raise ValueError("a spectral start needs a training click of a known user and item")
    users, row = np.unique(user_rows[own], return_inverse=True)
    items, column = np.unique(item_rows[own], return_inverse=True)
    dtype = tables[0].dtype
    clicks = sparse.csr_array(
        (np.ones(len(row), dtype), (row, column)), shape=(len(users), len(items))
    )
    clicks.sum_duplicates()
    clicks.data[:] = 1
    sequence = np.random.SeedSequence(model.seed, spawn_key=(2,))  # apart from the parameters' own
    rng = np.random.default_rng(sequence)
    width = max(table.shape[1] for table in tables) - 1
    of_user, of_item, values = spectral_vectors(clicks, width, rng, rounds=ROUNDS)
    rank = int(np.count_nonzero(values > np.sqrt(np.finfo(dtype).eps) * values[0]))
    bias = item_bias(np.bincount(clicks.indices, minlength=len(items)))
    for table in of_users:
        _write(table, users, np.full(len(users), np.sqrt(0.5)), of_user[:, :rank])
    for table in of_items:
        _write(table, items, bias, of_item[:, :rank])
    for table in of_history:
        _write(table, items, np.full(len(items), np.sqrt(0.5)), of_item[:, :rank])
    model.start = "spectral"


def begin_again(model: TwoTower, data: Dataset) -> TwoTower:
    """An untrained model of the same configuration, seed and start, for other data.

    Raises:
        ValueError: the model did not begin with random parameters.
    """
    return start_model(model.fresh(data.schema), data, start=model.start)


def _tables(model: TwoTower, name: str) -> list[Array]:
    """The embedding of this name, if the model has it."""
    return [model.parameters[name]] if name in model.parameters else []


def _ids(column: object, positions: Array) -> Rows:
    """The rows of the id embedding, by the rows of the table of entities."""
    assert isinstance(column, np.ndarray)  # an id is one value, not a set
    rows: Rows = column[positions]
    return rows


def _write(table: Array, rows: Rows, first: Vectors, vectors: Vectors) -> None:
    """Set the first columns of these rows. Where a vector is but rounding, the random one stays."""
    vectors = vectors[:, : table.shape[1] - 1]
    end = 1 + vectors.shape[1]
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    found = lengths > np.finfo(vectors.dtype).eps * lengths.max()
    table[rows, :end] = with_bias(first, np.where(found, vectors, table[rows, 1:end]))
