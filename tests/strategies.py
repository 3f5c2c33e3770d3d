"""Hypothesis strategies that several test modules share.

A column is drawn to fit its field, a schema has fields of every kind, and a data set is a
schema with columns that fit, read by Dataset.from_columns.
"""

import numpy as np
from hypothesis import strategies as st

from minitower.data import (
    Categorical,
    Continuous,
    Dataset,
    GivenSplit,
    Id,
    Interactions,
    MultiValued,
    Schema,
)

WORDS = ["red", "green", "blue", "rouge", "vert", "bleu", "é", "a b"]
dims = st.sampled_from([None, 1, 3])
rates = st.sampled_from([0.0, 0.3, 0.9])
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=5)


def continuous(name):
    """A number field of any transform, with or without imputation."""
    return st.builds(
        Continuous,
        st.just(name),
        transform=st.sampled_from(["none", "log1p", "standardise", "bucketise"]),
        buckets=st.integers(2, 5),
        dim=dims,
        impute=st.booleans(),
        default_rate=rates,
    )


def fields(name):
    """A field that is not an Id, of any kind and with any options."""
    return st.one_of(
        st.builds(Categorical, st.just(name), dims, rates),
        st.builds(MultiValued, st.just(name), dims, st.sampled_from(["mean", "sum"]), rates),
        continuous(name),
    )


@st.composite
def sides(draw, side, max_fields=4):
    """The fields of one side: an Id and up to max_fields others, in any order."""
    others = [draw(fields(f"{side}_{i}")) for i in range(draw(st.integers(0, max_fields)))]
    embed = draw(st.booleans()) if others else True
    rate = draw(st.sampled_from([None, 0.0, 0.5]))
    id_field = Id(f"{side}_id", dim=draw(dims), default_rate=rate, embed=embed)
    return draw(st.permutations([id_field, *others]))


def schemas(max_fields=4):
    """Schemas with up to max_fields fields beside the Id on each side."""
    return st.builds(Schema, sides("user", max_fields), sides("item", max_fields))


@st.composite
def columns(draw, field, n):
    """n values that fit a field: missing ones where it allows them."""
    many = lambda element: draw(st.lists(element, min_size=n, max_size=n))
    if isinstance(field, Id):
        ids = st.integers(0, 2**62) if draw(st.booleans()) else texts
        return draw(st.lists(ids, min_size=n, max_size=n, unique=True))
    if isinstance(field, Continuous):
        lowest = 0 if field.transform == "log1p" else -50
        # Steps of 1/8: of numbers that are nearly equal, others would be too many deviations away.
        number = st.integers(int(8 * lowest), 400).map(lambda eighths: eighths / 8)
        return many(number | st.none() if field.impute else number)
    value = st.sampled_from(WORDS) if draw(st.booleans()) else st.integers(-3, 3)
    if isinstance(field, MultiValued):
        return many(st.lists(value, max_size=4) | st.none())
    return many(value | st.none())


@st.composite
def datasets(draw, max_fields=4, max_users=5, max_items=5, max_pairs=12):
    """Data sets of any schema: every part may repeat a pair, valid and test may be empty."""
    schema = draw(schemas(max_fields))
    tables = [
        {field.name: draw(columns(field, n)) for field in fields}
        for fields, n in (
            (schema.user, draw(st.integers(1, max_users))),
            (schema.item, draw(st.integers(1, max_items))),
        )
    ]
    users, items = tables[0][schema.user_id.name], tables[1][schema.item_id.name]
    n = draw(st.integers(1, max_pairs))
    many = lambda element, k: draw(st.lists(element, min_size=k, max_size=k))
    log = {
        schema.user_id.name: many(st.sampled_from(users), n),
        schema.item_id.name: many(st.sampled_from(items), n),
        "part": ["train", *many(st.sampled_from(["train", "valid", "test"]), n - 1)],
    }
    return Dataset.from_columns(schema, log, *tables, split=GivenSplit("part"))


@st.composite
def batches(draw, data, max_pairs=8):
    """A few pairs of rows of a data set, any of them repeated, trained or not."""
    n = draw(st.integers(1, max_pairs))
    rows = lambda table: draw(st.lists(st.integers(0, len(table) - 1), min_size=n, max_size=n))
    users, items = np.array(rows(data.users)), np.array(rows(data.items))
    return Interactions(users, items)
