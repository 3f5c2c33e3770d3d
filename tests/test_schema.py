"""A schema says what columns mean, refuses what has no meaning, and survives JSON."""

import json

import pytest
from hypothesis import given
from strategies import schemas

from minitower.data import Categorical, Continuous, DataError, Id, MultiValued, Schema
from minitower.data.schema import field_from_json, field_to_json


@given(schemas())
def test_fields__survive_json(schema):
    for field in (*schema.user, *schema.item):
        assert field_from_json(json.loads(json.dumps(field_to_json(field)))) == field


def test_schema__ids_are_found():
    schema = Schema(user=[Categorical("city"), Id("u")], item=[Id("i")])
    assert (schema.user_id.name, schema.item_id.name) == ("u", "i")
    assert "Categorical" in repr(schema)


@pytest.mark.parametrize(
    "user, message",
    [
        ([], "user side: there must be exactly one Id, got 0"),
        ([Id("a"), Id("b")], "exactly one Id, got 2"),
        ([Id("a"), Categorical("x"), Continuous("x")], "the field 'x' occurs twice"),
        ([Id("a"), "genre"], "'genre' is not a field"),
        ([Id("item_id")], "users and items have one id, 'item_id'"),
    ],
)
def test_schema__refuses(user, message):
    with pytest.raises(DataError, match=message):
        Schema(user=user, item=[Id("item_id")])


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Id(""), "non-empty string"),
        (lambda: Id(3), "non-empty string, got 3"),
        (lambda: Id("x", dim=0), "field 'x': dim must be a positive integer, got 0"),
        (lambda: Id("x", default_rate=1.0), "default_rate must be in"),
        (lambda: Categorical("x", default_rate=-0.1), "default_rate must be in"),
        (lambda: MultiValued("x", pool="max"), "pool must be mean or sum, got 'max'"),
        (
            lambda: MultiValued("x", separator=""),
            "separator must be .*, got ''",
        ),
        (lambda: Continuous("x", "log"), "transform must be none, log1p, .*, got 'log'"),
        (lambda: Continuous("x", buckets=1), "buckets must be .* from 2 to 65,536, got 1"),
        (lambda: Continuous("x", buckets=2**16 + 1), "from 2 to 65,536, got 65537"),
        (lambda: Continuous("x", "bucketise", dim=2.5), "dim must be .*, got 2.5"),
        (lambda: Categorical("x", dim="8"), "dim must be .*, got '8'"),
        (lambda: Categorical("x", dim=True), "dim must be .*, got True"),
        (lambda: Categorical("x", default_rate="0.1"), "default_rate must be .*, got '0.1'"),
        (lambda: MultiValued("x", separator=5), "separator must be a .*string, got 5"),
        (lambda: Continuous("x", buckets=2.5), "buckets must be .*, got 2.5"),
        (lambda: Continuous("x", impute="yes"), "impute must be true or false, got 'yes'"),
        (lambda: Id("x", embed="no"), "embed must be true or false, got 'no'"),
        (lambda: field_from_json({"kind": "image", "name": "x"}), "unknown kind 'image'"),
        (lambda: field_from_json({"kind": "id", "name": "x", "depth": 2}), "depth"),
    ],
)
def test_field__refuses(make, message):
    with pytest.raises(DataError, match=message):
        make()
