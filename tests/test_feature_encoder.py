"""Columns become arrays by statistics of training rows, and nothing else leaks into them."""

import io
import json
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import columns, continuous, datasets, fields

from minitower.data import (
    Categorical,
    Continuous,
    DataError,
    FeatureEncoder,
    FeatureEncoders,
    Id,
    MultiValued,
    Ragged,
    Table,
)
from minitower.data.columns import as_array, read_columns
from minitower.data.errors import Place
from minitower.data.field_encoders import fit_field, restore_field

PLACE = Place("items", "x")


def fit(field, values, training=None):
    training = np.ones(len(values), bool) if training is None else np.array(training, bool)
    return fit_field(field, as_array(values, PLACE), training, PLACE)


def encode(encoder, values):
    feature = encoder.encode(as_array(values, PLACE), PLACE)
    if isinstance(feature, Ragged):
        return [feature.row(i).tolist() for i in range(len(feature))]
    return feature.tolist()


def side(fields, table, training=None):
    """An encoder and the table of all entities, as Dataset makes them."""
    read = read_columns(table, Place("items"))
    ids = read["id"]
    training = np.ones(len(ids), bool) if training is None else np.array(training)
    encoder = FeatureEncoder.fit("item", (Id("id"), *fields), read, ids, training)
    return encoder, encoder.encode(read, ids)


def same(a, b):
    """Two features equal, bit for bit and in type."""
    if isinstance(a, Ragged):
        return same(a.indptr, b.indptr) and same(a.values, b.values)
    return a.dtype == b.dtype and np.array_equal(a, b)


masks = st.integers(1, 8).flatmap(lambda n: st.lists(st.booleans(), min_size=n, max_size=n))


# Fitting


@given(fields("x"), masks, st.data())
def test_fit__only_training_rows_matter(field, training, data):
    """Whatever stands in the other rows, the fitted state is the same."""
    known = data.draw(columns(field, len(training)))
    others = data.draw(columns(field, len(training)))
    kinds = {isinstance(v, str) for v in [*flat(known), *flat(others)] if v is not None}
    assume(len(kinds) < 2)  # text and numbers do not mix
    mixed = [k if hit else o for k, o, hit in zip(known, others, training)]
    (a, arrays_a), (b, arrays_b) = (
        fit(field, values, training).to_state() for values in (known, mixed)
    )
    assert a == b
    assert all(np.array_equal(arrays_a[name], arrays_b[name]) for name in arrays_a)


def flat(values):
    return [v for value in values for v in (value if isinstance(value, list) else [value])]


@given(st.lists(st.integers(-9, 9) | st.none(), min_size=1), st.lists(st.integers(-12, 12)))
def test_categorical__unknown_and_missing_are_row_0(fitted, values):
    known = sorted({v for v in fitted if v is not None})
    expected = [known.index(v) + 1 if v in known else 0 for v in values]
    assert encode(fit(Categorical("x"), fitted), values) == expected


@given(
    st.lists(st.lists(st.sampled_from("abcd")) | st.none(), min_size=1),
    st.lists(st.lists(st.sampled_from("abcdef")) | st.none()),
)
def test_multi_valued__keeps_the_known_and_never_is_empty(fitted, values):
    known = sorted({v for row in fitted for v in row or []})
    expected = [[known.index(v) + 1 for v in row or [] if v in known] or [0] for row in values]
    encoder = fit(MultiValued("x"), fitted)
    assert encode(encoder, values) == expected
    assert encode(encoder, [" ".join(row or []) for row in values]) == expected  # the same as text
    assert encode(encoder, [[None, *(row or []), ""] for row in values]) == expected


numbers = st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=20)


@given(numbers, numbers)
def test_standardise__equals_naive(fitted, values):
    mean = math.fsum(fitted) / len(fitted)
    spread = math.sqrt(math.fsum((x - mean) ** 2 for x in fitted) / len(fitted))
    encoder = fit(Continuous("x", "standardise"), fitted)
    if spread > 1e-3:
        expected = [(x - mean) / spread for x in values]
        np.testing.assert_allclose(encode(encoder, values), expected, rtol=1e-4, atol=1e-5)
        assert np.mean(encode(encoder, fitted)) == pytest.approx(0, abs=1e-5)
        assert np.std(encode(encoder, fitted)) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e9, -3.7e-20])
def test_standardise__a_constant_column_is_zero(constant):
    encoder = fit(Continuous("x", "standardise"), [constant] * 7)
    assert np.abs(encode(encoder, [constant] * 3)).max() < 1e-6


def test_log1p__is_standardised_after_the_log():
    encoder = fit(Continuous("x", "log1p"), [0.0, math.e - 1])  # logs 0 and 1
    np.testing.assert_allclose(encode(encoder, [0.0, math.e - 1, math.e**2 - 1]), [-1, 1, 3])


def test_none__passes_numbers_through():
    encoder = fit(Continuous("x"), [5.0, 7.0])
    assert encode(encoder, [1, 2.5, "3"]) == [1, 2.5, 3]


@given(numbers, st.integers(2, 8), numbers)
def test_bucketise__equals_naive(fitted, buckets, values):
    """Buckets are ordered, none is empty in training, and a tie never straddles an edge."""
    encoder = fit(Continuous("x", "bucketise", buckets=buckets), fitted)
    rows = encode(encoder, fitted)
    assert set(rows) == set(range(1, encoder.cardinality))
    assert encoder.cardinality <= buckets + 1
    edges = [min(x for x, row in zip(fitted, rows) if row == r) for r in sorted(set(rows))[1:]]
    expected = [1 + sum(x >= edge for edge in edges) for x in values]
    assert encode(encoder, values) == expected


def test_bucketise__is_quantiles():
    encoder = fit(Continuous("x", "bucketise", buckets=4), list(range(100)))
    rows = np.array(encode(encoder, list(range(100))))
    assert np.bincount(rows).tolist() in ([0, 25, 25, 25, 25], [0, 24, 25, 25, 26])


@given(continuous("x"), st.data())
def test_continuous__missing_is_an_error_or_the_training_mean(field, data):
    values = [v for v in data.draw(columns(field, 6)) if v is not None] or [1.0]
    encoder = fit(field, values)
    if not field.impute:
        with pytest.raises(DataError, match=r"items, row 1, column 'x': missing value; .*impute"):
            encode(encoder, [values[0], None])
        return
    filled = encode(encoder, [None, float("nan"), ""])
    mean = 0 if field.transform == "bucketise" else np.mean(encode(encoder, values))
    assert filled == pytest.approx([mean] * 3, rel=1e-4, abs=1e-4)
    assert fit(field, [*values, None]).to_state()[0] == encoder.to_state()[0]


@pytest.mark.parametrize(
    "field, values, message",
    [
        (Continuous("x", "log1p"), [1, -1], "row 1, column 'x': log1p needs a value above -1"),
        (Continuous("x"), [1, "many"], "row 1, column 'x': expected a number, got 'many'"),
        (Continuous("x"), [1, np.inf], "row 1, column 'x': the number is infinite"),
        (Continuous("x"), [1, 1e300], "row 1, column 'x': .* too large"),
        (Categorical("x"), [1, 2.5], "row 1, column 'x': expected an integer"),
        (MultiValued("x"), [["a"], 2.5], "row 1, column 'x': expected a list"),
        (MultiValued("x"), [["a", 1], ["b"]], "row 0, column 'x': 1 among strings"),
        (
            MultiValued("x"),
            [["a"], ["b", "c"], ["c", 1.5]],
            "row 2, column 'x': expected an integer or a string",
        ),
    ],
)
def test_fields__refuse(field, values, message):
    with pytest.raises(DataError, match=f"^items, {message}"):
        encode(fit(field, values), values)


# A side


@given(datasets())
def test_side__state_survives_json_and_npz(data):
    state, arrays = data.schema.to_state()
    file = io.BytesIO()
    np.savez(file, **arrays)
    file.seek(0)
    with np.load(file, allow_pickle=False) as loaded:
        restored = FeatureEncoders.from_state(json.loads(json.dumps(state)), dict(loaded))
    assert restored.schema == data.schema.schema
    for before, after in ((data.schema.user, restored.user), (data.schema.item, restored.item)):
        assert before.to_state()[0] == after.to_state()[0]
        assert before.default_rates() == after.default_rates()
        nothing = before.default_features(2)
        assert all(same(nothing[name], after.default_features(2)[name]) for name in nothing)
        for field in before.inputs:
            if before.is_embedded(field.name):
                assert before.cardinality(field.name) == after.cardinality(field.name)


@given(datasets())
def test_side__every_row_is_in_its_embedding_table(data):
    for encoder, table in ((data.schema.user, data.users), (data.schema.item, data.items)):
        assert list(table.columns) == [field.name for field in encoder.fields]
        for field in encoder.fields:
            feature = table.columns[field.name]
            assert len(feature) == len(table)
            if encoder.is_embedded(field.name):
                rows = feature.values if isinstance(feature, Ragged) else feature
                assert rows.dtype == np.int32
                assert rows.min() >= 0
                assert rows.max() < encoder.cardinality(field.name)
                if isinstance(feature, Ragged):
                    assert feature.counts.min() >= 1
            elif field in encoder.inputs:
                assert feature.dtype == np.float32
                assert np.isfinite(feature).all()


def test_side__only_trained_ids_have_a_row_of_their_own():
    encoder, table = side([], {"id": [30, 10, 20]}, [True, False, True])
    assert table.columns["id"].tolist() == [2, 0, 1]
    assert table.rows_of([10, 20, 30, 40]).tolist() == [1, 2, 0, -1]
    assert encoder.cardinality("id") == 3


def test_side__inputs_and_embeddings():
    table = {"id": [1], "price": [2.0], "age": [3.0]}
    encoder, _ = side([Continuous("price"), Continuous("age", "bucketise")], table)
    assert [encoder.is_embedded(name) for name in ("id", "price", "age")] == [True, False, True]
    read = read_columns(table, Place("items"))
    hidden = FeatureEncoder.fit(
        "item",
        (Id("id", None, 0.5, embed=False), Continuous("price")),
        read,
        read["id"],
        np.array([True]),
    )
    assert [field.name for field in hidden.inputs] == ["price"]
    assert not hidden.is_embedded("id")
    assert hidden.default_rates() == {"id": 0.0, "price": 0.0}
    with pytest.raises(DataError, match="'price' is a number and has no embedding table"):
        hidden.cardinality("price")
    with pytest.raises(DataError, match="'price' is a number and has no vocabulary"):
        hidden.vocabulary("price")
    assert hidden.vocabulary("id").values.tolist() == [1]


def test_side__an_id_is_forgotten_by_default_only_where_there_is_something_else():
    rates = lambda *fields: side(fields, {"id": [1], "c": ["a"]})[0].default_rates()
    assert rates() == {"id": 0.0}
    assert rates(Categorical("c")) == {"id": 0.01, "c": 0.0}
    assert rates(Categorical("c", default_rate=0.2)) == {"id": 0.01, "c": 0.2}


@given(datasets(), st.data())
def test_side__a_profile_is_encoded_like_its_row(data, draw):
    """A profile of raw values gives what the table holds, field by field."""
    encoder, table = data.schema.item, data.items
    row = draw.draw(st.integers(0, len(table) - 1))
    features = table.take([row])
    decoded = {}
    for field in encoder.fields:
        feature = features[field.name]
        if isinstance(field, MultiValued):
            values = encoder.vocabulary(field.name).values
            decoded[field.name] = [values[r - 1] for r in feature.values if r]
        elif isinstance(field, Categorical | Id):
            r = int(feature[0])
            decoded[field.name] = encoder.vocabulary(field.name).values[r - 1] if r else None
    profile = encoder.encode_profile(decoded)
    assert list(profile) == list(features)
    nothing = encoder.default_features(1)
    for name, feature in profile.items():
        assert same(feature, features[name] if name in decoded else nothing[name])


def test_side__an_empty_profile_is_the_default():
    table = {"id": [1, 2], "c": ["a", "b"], "m": [["x"], []], "p": [1.0, 3.0], "b": [1.0, 2.0]}
    fields = [Categorical("c"), MultiValued("m"), Continuous("p"), Continuous("b", "bucketise")]
    profile = side(fields, table)[0].encode_profile({})
    assert {name: np.asarray(getattr(f, "values", f)).tolist() for name, f in profile.items()} == {
        "id": [0], "c": [0], "m": [0], "p": [2.0], "b": [0]
    }  # fmt: skip


@pytest.mark.parametrize(
    "profile, message",
    [
        ({"colour": "red"}, "^profile: unknown field 'colour'; fields: id, p$"),
        ({"p": "red"}, "^profile, column 'p': expected a number, got 'red'$"),
        ({"p": None}, "^profile, column 'p': missing value"),
        ({"id": "red"}, "^profile, column 'id': the vocabulary holds integers"),
    ],
)
def test_side__profile_refuses(profile, message):
    encoder, _ = side([Continuous("p")], {"id": [1], "p": [1.0]})
    with pytest.raises(DataError, match=message):
        encoder.encode_profile(profile)


# Forgetting


def as_lists(feature):
    if isinstance(feature, Ragged):
        return [feature.row(i).tolist() for i in range(len(feature))]
    return feature.tolist()


@given(datasets(), st.integers(0, 99))
def test_replace_by_default__changes_cells_to_the_default_and_nothing_else(data, seed):
    encoder, features = data.schema.item, data.items.columns
    before = {name: as_lists(feature) for name, feature in features.items()}
    forgotten = encoder.replace_by_default(features, np.random.default_rng(seed))
    again = encoder.replace_by_default(features, np.random.default_rng(seed))
    default = {name: as_lists(f)[0] for name, f in encoder.default_features(1).items()}
    for name, rate in encoder.default_rates().items():
        assert as_lists(features[name]) == before[name]  # the input stays
        assert same(forgotten[name], again[name])
        assert isinstance(forgotten[name], Ragged) or forgotten[name].dtype == features[name].dtype
        if rate == 0:
            assert forgotten[name] is features[name]
        assert all(
            new in (old, default[name]) for new, old in zip(as_lists(forgotten[name]), before[name])
        )


def test_replace_by_default__happens_as_often_as_asked():
    n = 20_000
    table = {
        "id": list(range(n)),
        "c": ["a"] * n,
        "m": [["x", "y"]] * n,
        "p": [1.0, 5.0] * (n // 2),
    }
    fields = [
        Categorical("c", default_rate=0.2),
        MultiValued("m", default_rate=0.5),
        Continuous("p", default_rate=0.8),
    ]
    encoder, encoded = side(fields, table)
    forgotten = encoder.replace_by_default(encoded.columns, np.random.default_rng(0))
    masks = {name: forgotten[name] == 0 for name in ("id", "c")}
    masks |= {"m": forgotten["m"].counts == 1, "p": forgotten["p"] == 3.0}
    for name, rate in {"id": 0.01, "c": 0.2, "m": 0.5, "p": 0.8}.items():
        assert masks[name].mean() == pytest.approx(rate, abs=4 * math.sqrt(0.25 / n))
    # Fields are forgotten independently of one another.
    assert np.mean(masks["m"] & masks["p"]) == pytest.approx(0.4, abs=4 * math.sqrt(0.25 / n))


# Tables


@given(datasets(), st.data())
def test_table__take_and_arrays(data, draw):
    table = data.users
    restored = Table.from_arrays(table.to_arrays())
    rows = draw.draw(st.lists(st.integers(0, len(table) - 1)))
    batch, again = table.take(np.array(rows, int)), restored.take(np.array(rows, int))
    assert list(restored.columns) == list(table.columns)
    for name, feature in batch.items():
        whole = as_lists(table.columns[name])
        assert as_lists(feature) == [whole[row] for row in rows]
        assert same(feature, again[name])
    assert table.rows_of(table.ids).tolist() == list(range(len(table)))
    assert restored.rows_of(table.ids[::-1]).tolist() == list(range(len(table)))[::-1]


def test_table__reads_a_typed_id():
    integers, texts = Table(np.array([7, 8]), {}), Table(np.array(["7"]), {})
    assert integers.rows_of([integers.parse_id("8")]).tolist() == [1]
    assert texts.rows_of([texts.parse_id("7")]).tolist() == [0]
    for text in (
        "x",
        "",
        "0_8",
        " 8",
        "+8",
        "\u0668",
        "8" * 20,
        "9" * 19,
        str(2**63),
        str(-(2**63) - 1),
    ):
        with pytest.raises(DataError, match="ids are integers of 64 bits here, got "):
            integers.parse_id(text)
    assert texts.parse_id("7" * 256) == "7" * 256
    with pytest.raises(DataError, match="an id has at most 256 characters; got '777"):
        texts.parse_id("7" * 257)
    assert integers.parse_id(str(2**63 - 1)) == 2**63 - 1
    assert integers.parse_id(str(-(2**63))) == -(2**63)
    with pytest.raises(DataError, match=r"^ids: the vocabulary holds integers"):
        integers.rows_of(["8"])


def test_restore__names_the_field_that_is_incomplete():
    with pytest.raises(DataError, match="the fitted state of field 'x' is incomplete"):
        restore_field(Categorical("x"), {}, {})
    with pytest.raises(DataError, match="the fitted state of field 'x' is incomplete"):
        restore_field(Continuous("x"), {}, {})
