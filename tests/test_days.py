"""A day on top of the days before: what is there keeps its number, and nothing else is new."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import columns, schemas

from minitower.data import (
    Categorical,
    Continuous,
    DataError,
    Dataset,
    Id,
    MultiValued,
    Ragged,
    RandomSplit,
    Schema,
    TimeSplit,
    next_day,
    retire,
)
from minitower.data.table import Table

WHOLE = RandomSplit(0, 0)


@st.composite
def two_days(draw):
    """A data set, and the columns of a day that keeps, changes and adds users and items."""
    schema = draw(schemas(max_fields=3))
    tables, days = [], []
    for fields, key in ((schema.user, schema.user_id), (schema.item, schema.item_id)):
        n = draw(st.integers(2, 7))
        # Twice as many values, of one type: the second half is what may change.
        drawn = {field.name: draw(columns(field, 2 * n)) for field in fields}
        drawn[key.name] = 2 * drawn[key.name][:n]
        first = draw(st.integers(1, n - 1))
        changed = draw(st.sets(st.integers(0, first - 1)).map(sorted))
        told = [*(n + row for row in changed), *range(first, n)]
        tables.append({name: values[:first] for name, values in drawn.items()})
        days.append({name: [values[row] for row in told] for name, values in drawn.items()})
    keys = schema.user_id.name, schema.item_id.name

    def log(*ids):
        n = draw(st.integers(1, 8))
        drawn = (draw(st.lists(st.sampled_from(of), min_size=n, max_size=n)) for of in ids)
        return dict(zip(keys, drawn))

    before = [table[key] for table, key in zip(tables, keys)]
    listed = [[*table[key], *day[key]] for table, day, key in zip(tables, days, keys)]
    return schema, log(*before), tables, log(*listed), days


def values_of(side, table, row):
    """What the features of a row of a table say, in values; None is the default row."""
    told = {}
    for field in side.fields:
        feature = table.columns[field.name]
        rows = feature.row(row) if isinstance(feature, Ragged) else feature[row : row + 1]
        if isinstance(field, Continuous):
            told[field.name] = rows.tolist()
            continue
        known = [None, *side.vocabulary(field.name).values.tolist()]
        told[field.name] = [known[r] for r in rows]
    return told


@given(two_days())
def test_next_day__keeps_what_is_there_and_reads_what_is_new(days):
    """Vocabularies keep their rows; tables keep theirs; listed entities read as the day says."""
    schema, log, tables, new_log, new_tables = days
    data = Dataset.from_columns(schema, log, *tables, split=WHOLE)
    day = next_day(data, new_log, *new_tables)
    assert day.schema.continues(data.schema)
    positives = np.array([new_log[schema.user_id.name], new_log[schema.item_id.name]], object)
    for which, name in enumerate(("user", "item")):
        side, old_side = getattr(day.schema, name), getattr(data.schema, name)
        table, old = getattr(day, f"{name}s"), getattr(data, f"{name}s")
        key = getattr(schema, f"{name}_id").name
        listed = new_tables[which][key]
        assert table.ids[: len(old)].tolist() == old.ids.tolist()
        assert set(table.ids.tolist()) == {*old.ids.tolist(), *listed, *positives[which]}
        trained = {*log[key], *positives[which]}
        for row, entity in enumerate(table.ids.tolist()):
            now = values_of(side, table, row)
            assert now.pop(key) == [entity if entity in trained else None]
            if entity in listed:
                at = listed.index(entity)
                for field in side.fields:
                    value = new_tables[which].get(field.name)[at]
                    if isinstance(field, Categorical):
                        assert now[field.name] == [value or (value if value == 0 else None)]
                    elif isinstance(field, MultiValued):
                        assert now[field.name] == (value or [None])
            else:
                before = values_of(old_side, old, row)
                before.pop(key)
                assert now == before


@given(two_days())
def test_next_day__positives_are_the_days_and_all_that_came_before_is_seen(days):
    schema, log, tables, new_log, new_tables = days
    data = Dataset.from_columns(schema, log, *tables, split=WHOLE)
    day = next_day(data, new_log, *new_tables)
    pairs = lambda users, items: sorted(zip(users, items))
    named = pairs(day.users.ids[day.train.users].tolist(), day.items.ids[day.train.items].tolist())
    keys = schema.user_id.name, schema.item_id.name
    assert named == pairs(*(new_log[key] for key in keys))
    assert len(day.valid) == len(day.test) == 0
    for part, logs in (("train", [log]), ("valid", [log, new_log]), ("all", [log, new_log])):
        seen = day.seen(part)
        assert len(seen) == len(day.users)
        for row, user in enumerate(day.users.ids.tolist()):
            met = {i for one in logs for u, i in zip(*(one[key] for key in keys)) if u == user}
            assert sorted(day.items.ids[seen.row(row)].tolist()) == sorted(met)


def small(**more):
    schema = Schema(user=[Id("u"), Categorical("city")], item=[Id("i")])
    log = {"u": [1, 2, 2], "i": [10, 10, 11]}
    return Dataset.from_columns(
        schema, log, {"u": [1, 2, 3], "city": ["rome", "oslo", "nice"]}, split=WHOLE, **more
    )


def test_next_day__tables_may_be_left_out():
    day = next_day(small(), {"u": [3, 9], "i": [11, 12]})
    assert day.users.ids.tolist() == [1, 2, 3, 9]
    assert day.users.columns["u"].tolist() == [1, 2, 3, 4]
    assert day.users.columns["city"].tolist() == [2, 1, 0, 0], "nobody in nice had clicked"
    assert day.items.columns["i"].tolist() == [1, 2, 3]


def test_next_day__there_may_be_tables_alone():
    """Lists without a value have no type; and nobody has met anything."""
    for none in ({"u": [], "i": []}, {"u": np.empty(0, str), "i": np.empty(0)}):
        day = next_day(small(), none, {"u": [1, 4], "city": ["bern", "rome"]})
        assert day.users.ids.tolist() == [1, 2, 3, 4]
        assert day.users.columns["u"].tolist() == [1, 2, 0, 0]
        assert not any(map(len, (day.train, day.valid, day.test)))
        assert [day.seen("all").row(user).tolist() for user in range(4)] == [[0], [0, 1], [], []]


def test_next_day__leaves_the_day_before_as_it_was():
    data = small()
    before = data.schema.to_state()[1], data.users.to_arrays(), data.items.to_arrays()
    copies = [{name: array.copy() for name, array in arrays.items()} for arrays in before]
    next_day(data, {"u": [3], "i": [12]}, {"u": [1, 4], "city": ["bern", "rome"]})
    for arrays, copy in zip(before, copies):
        assert all(np.array_equal(arrays[name], copy[name]) for name in copy)


def test_next_day__an_id_without_a_training_positive_has_no_row():
    """Its first click gives it one, on whatever day."""
    log = {"u": [1, 7], "i": [10, 10], "timestamp": [1, 2]}
    day = next_day(small(), log, split=TimeSplit(valid=0.5, test=0))
    assert day.users.columns["u"].tolist() == [1, 2, 0, 0]
    assert len(day.valid) == 1
    later = next_day(day, {"u": [7], "i": [11]})
    assert later.users.columns["u"].tolist() == [1, 2, 0, 3]
    assert later.seen("train").row(3).tolist() == [0]


def test_next_day__numbers_keep_their_statistics():
    schema = Schema(
        user=[Id("u")],
        item=[
            Id("i"),
            Continuous("price", transform="standardise"),
            Continuous("age", "bucketise", 3),
        ],
    )
    table = lambda ids, numbers: {"i": ids, "price": numbers, "age": numbers}
    log = {"u": [1, 1], "i": [1, 2]}
    data = Dataset.from_columns(schema, log, items=table([1, 2], [0.0, 2.0]), split=WHOLE)
    day = next_day(data, {"u": [1], "i": [3]}, items=table([3, 4], [5.0, -3.0]))
    assert day.items.columns["price"].tolist() == [-1, 1, 4, -4]
    assert day.items.columns["age"].tolist() == [1, 2, 2, 1]
    with pytest.raises(DataError, match="no row here; list it, with its number"):
        next_day(data, {"u": [1], "i": [9]})
    assert next_day(data, {"u": [1], "i": [2]}).items.ids.tolist() == [1, 2], "2 is listed already"


def test_next_day__names_of_items():
    schema = Schema(user=[Id("u")], item=[Id("i")])
    items = {"i": [10, 11], "name": ["a", "b"]}
    log = {"u": [1, 1], "i": [10, 11]}
    data = Dataset.from_columns(schema, log, items=items, item_name="name", split=WHOLE)
    day = next_day(data, {"u": [1], "i": [12]})
    assert day.items.names.tolist() == ["a", "b", "12"]
    items = {"i": [11, 13], "name": ["a longer name", "d"]}
    day = next_day(day, {"u": [1], "i": [14]}, items=items, item_name="name")
    assert day.items.ids.tolist() == [10, 11, 12, 13, 14]
    assert day.items.names.tolist() == ["a", "a longer name", "12", "d", "14"]
    assert next_day(small(), {"u": [1], "i": [10]}).items.names is None
    named = next_day(small(), {"u": [1], "i": [13]}, items=items, item_name="name")
    assert named.items.names.tolist() == ["10", "a longer name", "d"]


@pytest.mark.parametrize(
    "log, users, message",
    [
        ({"u": [], "i": []}, None, "interactions: the table has no interactions"),
        (
            {"u": ["x"], "i": [10]},
            None,
            "ids: the vocabulary holds integers, the values are str",
        ),
        ({"u": [1], "i": [10]}, {"u": [4]}, "users: column 'city' is missing"),
        ({"u": [1], "i": [10]}, {"u": [4], "city": [3]}, "column 'city': the vocabulary holds st"),
        ({"u": [1], "i": [10]}, {"u": [4, 4], "city": ["a", "b"]}, "the id 4 occurs twice"),
    ],
)
def test_next_day__refuses(log, users, message):
    with pytest.raises(DataError, match=message):
        next_day(small(), log, users)


def test_retire__items_go_from_everything_but_the_embedding():
    schema = Schema(user=[Id("u")], item=[Id("i"), MultiValued("tags")])
    items = {"i": [10, 11, 12], "tags": ["a", "b c", "c"], "name": ["x", "y", "z"]}
    log = {"u": [1, 1, 2, 2, 3], "i": [10, 11, 11, 12, 12], "timestamp": [1, 2, 3, 4, 5]}
    split = TimeSplit(valid=0.2, test=0.2)
    data = Dataset.from_columns(schema, log, items=items, item_name="name", split=split)
    log = {"u": [1, 2], "i": [12, 11], "timestamp": [6, 7]}
    day = retire(next_day(data, log), [10, 12, 99])
    assert day.items.ids.tolist() == [11]
    assert day.items.names.tolist() == ["y"]
    assert day.items.columns["tags"].row(0).tolist() == [2, 3]
    assert (day.train.users.tolist(), day.train.items.tolist()) == ([1], [0])
    assert [day.seen("train").row(user).tolist() for user in range(3)] == [[0], [0], []]
    assert day.schema.item.vocabulary("i").values.tolist() == [10, 11, 12]
    back = next_day(day, {"u": [3], "i": [12]}, items={"i": [12], "tags": ["b"]})
    assert back.items.columns["i"].tolist() == [2, 3], "its old row"
    assert back.items.columns["tags"].row(1).tolist() == [2], "as it is listed"
    with_parts = retire(data, [12])
    assert len(with_parts.train) == 3
    assert len(with_parts.valid) == len(with_parts.test) == 0


@pytest.mark.parametrize("item_name", [None, "name"])
def test_retire__an_item_that_is_clicked_again_is_what_it_was(item_name):
    """All its features, numbers too, its name, and its row; through a store and further days."""
    schema = Schema(user=[Id("u")], item=[Id("i"), MultiValued("tags"), Continuous("price")])
    items = {
        "i": [10, 11, 12, 13],
        "tags": ["a b", "b", "c", ""],
        "price": [1.0, 2.0, 3.0, 4.0],
        "name": ["x", "y", "z", "w"],
    }
    log = {"u": [1, 1, 2], "i": [10, 11, 12]}
    data = Dataset.from_columns(schema, log, items=items, item_name=item_name, split=WHOLE)
    day = retire(retire(data, [10]), [13, 12])
    assert day.items.ids.tolist() == [11]
    assert day.retired.ids.tolist() == [10, 12, 13]
    day = dataclasses.replace(day, retired=Table.from_arrays(day.retired.to_arrays()))
    day = next_day(day, {"u": [2], "i": [11]})
    back = next_day(day, {"u": [2, 2], "i": [13, 10]})
    assert back.items.ids.tolist() == [11, 10, 13]
    assert back.retired.ids.tolist() == [12]
    assert (back.items.names is None) == (item_name is None)
    assert item_name is None or back.items.names.tolist() == ["y", "x", "w"]
    for row, item in ((0, 1), (1, 0), (2, 3)):
        assert back.items.columns["i"][row] == (item + 1 if item < 3 else 4), "13 has a row now"
        assert back.items.columns["price"][row] == data.items.columns["price"][item]
        tags = (of.items.columns["tags"].row(at) for of, at in ((back, row), (data, item)))
        assert np.array_equal(*tags)
    again = next_day(retire(back, [10]), {"u": [1], "i": [10]})
    assert again.items.ids.tolist() == [11, 13, 10]
    assert again.retired.ids.tolist() == [12]


def test_retire__somebody_must_stay():
    with pytest.raises(DataError, match="all items would be retired"):
        retire(small(), [10, 11, 12])


def test_next_day__what_was_met_includes_the_test_part():
    """Of the day before, whatever part it was in."""
    log = {"u": [1, 1, 1], "i": [10, 11, 12], "timestamp": [1, 2, 3]}
    schema = Schema(user=[Id("u")], item=[Id("i")])
    data = Dataset.from_columns(schema, log, split=TimeSplit(valid=0.34, test=0.34))
    assert (len(data.valid), len(data.test)) == (1, 1)
    day = next_day(data, {"u": [1], "i": [10]})
    assert sorted(day.seen("train").row(0)) == [0, 1, 2]


def test_next_day_and_retire__keep_the_rule_and_the_column_of_times():
    schema = Schema([Id("user_id")], [Id("item_id")])
    log = {"user_id": [1, 2], "item_id": [3, 4], "stars": [5, 4], "at": [1, 2]}
    data = Dataset.from_columns(schema, log, positive="stars >= 4", timestamp="at", split=WHOLE)
    day = next_day(data, log, positive="stars >= 5", timestamp="at")
    assert (day.positive, day.timestamp, day.remake) == ("stars >= 5", "at", None)
    left = retire(data, [3])
    assert (left.positive, left.timestamp, left.remake) == ("stars >= 4", "at", None)
    more = next_day(left, {"user_id": [1], "item_id": [4]}, positive="all")
    assert (more.positive, more.timestamp) == ("all", "at")
