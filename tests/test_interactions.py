"""A data set keeps every fact it was given, and learns from its training part alone."""

import dataclasses
import time
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import datasets, texts

from minitower.data import (
    Categorical,
    Continuous,
    DataError,
    Dataset,
    GivenSplit,
    Id,
    Interactions,
    LastSplit,
    MultiValued,
    Schema,
    TimeSplit,
)

IDS = Schema(user=[Id("user_id")], item=[Id("item_id")])
PARTS = ("train", "valid", "test")
ids = st.lists(st.integers(0, 5), min_size=1, max_size=20) | st.lists(
    texts, min_size=1, max_size=20
)


def build(users, items, **options):
    return Dataset.from_columns(IDS, {"user_id": users, "item_id": items}, **options)


def pairs(data, part):
    """The pairs of a part by their raw ids."""
    log = data.split(part)
    return list(zip(data.users.ids[log.users].tolist(), data.items.ids[log.items].tolist()))


@given(ids, ids, st.data())
def test_dataset__keeps_every_pair_in_its_part(users, items, draw):
    """Repeated pairs too: as often, and in order."""
    n = min(len(users), len(items))
    users, items = users[:n], items[:n]
    part = ["train", *draw.draw(st.lists(st.sampled_from(PARTS), min_size=n - 1, max_size=n - 1))]
    table = {"user_id": users, "item_id": items, "part": part}
    data = Dataset.from_columns(IDS, table, split=GivenSplit("part"))
    for name in PARTS:
        assert pairs(data, name) == [(u, i) for u, i, p in zip(users, items, part) if p == name]
    assert data.users.ids.tolist() == sorted(set(users))
    trained = {i for i, p in zip(items, part) if p == "train"}
    own_row = data.items.columns["item_id"] > 0
    assert set(data.items.ids[own_row].tolist()) == trained
    train = [item for _, item in pairs(data, "train")]
    counts = {item: train.count(item) for item in items}
    assert dict(zip(data.items.ids.tolist(), data.item_counts.tolist())) == counts


@given(datasets())
def test_dataset__seen_is_what_came_before(data):
    order = (*PARTS, "all")
    for position, name in enumerate(order):
        seen = data.seen(name)
        before = [data.split(part) for part in PARTS[:position]]
        assert len(seen) == len(data.users)
        for user in range(len(data.users)):
            items = {i for log in before for i in log.items[log.users == user].tolist()}
            assert seen.row(user).tolist() == sorted(items)


def test_dataset__tables_come_first_and_the_rest_has_missing_values():
    schema = Schema(
        user=[Id("user_id")],
        item=[
            Categorical("city"),
            Id("item_id"),
            MultiValued("tags"),
            Continuous("price", impute=True),
        ],
    )
    data = Dataset.from_columns(
        schema,
        {"user_id": [1, 1, 2], "item_id": [9, 5, 7]},
        items={
            "item_id": [7, 8],
            "city": ["rome", "oslo"],
            "tags": ["a b", "c"],
            "price": [3.0, 8.0],
            "name": ["seven", None],
        },
        split=LastSplit(0, 0),
        item_name="name",
    )
    assert data.items.ids.tolist() == [7, 8, 5, 9]
    assert data.items.names.tolist() == ["seven", "8", "5", "9"]
    assert data.train.items.tolist() == [3, 2, 0]
    assert data.items.columns["item_id"].tolist() == [2, 0, 1, 3]
    assert data.items.columns["city"].tolist() == [1, 0, 0, 0]  # oslo has no interaction
    assert data.items.columns["price"].tolist() == [3.0, 8.0, 3.0, 3.0]
    assert data.items.columns["tags"].values.tolist() == [1, 2, 0, 0, 0]


def test_dataset__rule_comes_before_the_split_and_tables_keep_everybody():
    data = Dataset.from_columns(
        IDS,
        {
            "user_id": ["a", "a", "b", "c"],
            "item_id": ["x", "y", "x", "z"],
            "rating": [5, 1, 4, 2],
            "timestamp": [3, 2, 1, 4],
        },
        positive="rating >= 4",
        split=TimeSplit(valid=0, test=0.5),
    )
    assert pairs(data, "train") == [("b", "x")]
    assert pairs(data, "test") == [("a", "x")]
    assert data.train.timestamps.tolist() == [1.0]
    assert data.users.ids.tolist() == ["a", "b", "c"]
    assert data.item_counts.tolist() == [1, 0, 0]


def test_dataset__a_rule_and_a_given_split_agree_on_rows():
    table = {
        "user_id": [1, 2, 3, 4],
        "item_id": [5, 6, 7, 8],
        "click": [0, 1, 1, 0],
        "part": ["train", "test", "train", "valid"],
    }
    data = Dataset.from_columns(IDS, table, positive="click = 1", split=GivenSplit("part"))
    assert [pairs(data, part) for part in PARTS] == [[(3, 7)], [], [(2, 6)]]


def test_dataset__default_split_is_by_time_where_there_is_time():
    n = 50
    columns = {"user_id": np.arange(n) % 5, "item_id": np.arange(n) % 7}
    timed = Dataset.from_columns(IDS, {**columns, "timestamp": np.arange(n)[::-1]})
    assert timed.test.timestamps.tolist() == [49, 48, 47, 46, 45]
    untimed = Dataset.from_columns(IDS, columns)
    assert untimed.test.timestamps is None
    assert [len(untimed.split(part)) for part in PARTS] == [40, 5, 5]
    ignored = Dataset.from_columns(IDS, {**columns, "timestamp": np.arange(n)}, timestamp=None)
    assert pairs(ignored, "test") == pairs(untimed, "test")


def test_dataset__dates_are_seconds():
    days = np.array(["1970-01-02", "1970-01-01T00:00:00.5"], "datetime64[ns]")
    data = Dataset.from_columns(
        IDS, {"user_id": [1, 1], "item_id": [1, 2], "day": days}, timestamp="day"
    )
    assert data.train.timestamps.tolist() == [86400.0, 0.5]


def dates():
    """The same two moments as people and libraries have them, half a second apart."""
    pandas, polars, arrow = map(pytest.importorskip, ("pandas", "polars", "pyarrow"))
    first = datetime(1970, 1, 2)
    naive = [first, first + timedelta(seconds=0.5)]
    utc = [moment.replace(tzinfo=UTC) for moment in naive]
    rome = [moment.astimezone(timezone(timedelta(hours=1))) for moment in utc]
    yield "numpy", np.array(naive, "datetime64[us]")
    for zone, moments in (("naive", naive), ("utc", utc), ("rome", rome)):
        yield f"python {zone}", moments
        yield f"pandas {zone}", pandas.Series(moments)
        yield f"pyarrow {zone}", arrow.chunked_array([moments])
    yield "polars naive", polars.Series(naive)
    yield "polars utc", polars.Series(utc)


@pytest.fixture
def far_away(monkeypatch):
    """A machine whose own time is not UTC."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_dataset__dates_of_any_library_are_seconds(far_away):
    for library, days in dates():
        log = {"user_id": [1, 1], "item_id": [1, 2], "timestamp": days}
        data = Dataset.from_columns(IDS, log, split=LastSplit(0, 0))
        assert data.train.timestamps.tolist() == [86400.0, 86400.5], library


def test_dataset__a_missing_date_is_named():
    pandas, polars = map(pytest.importorskip, ("pandas", "polars"))
    days = [datetime(2020, 1, 1), None]
    aware = pandas.Series([datetime(2020, 1, 1, tzinfo=UTC), None])
    for column in (days, polars.Series(days), pandas.Series(days), aware):
        log = {"user_id": [1, 1], "item_id": [1, 2], "timestamp": column}
        with pytest.raises(DataError, match="row 1, column 'timestamp': missing timestamp"):
            Dataset.from_columns(IDS, log)


def test_dataset__frames_of_any_library_agree():
    pandas, polars, arrow = map(pytest.importorskip, ("pandas", "polars", "pyarrow"))
    schema = Schema(
        user=[Id("user_id"), Categorical("gender")],
        item=[Id("item_id"), MultiValued("tags"), Continuous("price", impute=True)],
    )
    tables = (
        {"user_id": ["u", "v", "v"], "item_id": [1, 1, 2], "timestamp": [3.0, 1.0, 2.0]},
        {"user_id": ["v", "u"], "gender": ["f", None]},
        {"item_id": [2, 1], "tags": [["a", "b"], []], "price": [1.0, None]},
    )
    wanted = Dataset.from_columns(schema, *tables)
    for frame in (pandas.DataFrame, polars.DataFrame, arrow.table):
        data = Dataset.from_columns(schema, *map(frame, tables))
        for part in PARTS:
            assert pairs(data, part) == pairs(wanted, part)
        for got, table in ((data.users, wanted.users), (data.items, wanted.items)):
            got, table = got.to_arrays(), table.to_arrays()
            assert got.keys() == table.keys()
            for name, array in table.items():
                np.testing.assert_array_equal(got[name], array)
                assert got[name].dtype == array.dtype


def test_interactions__take():
    log = Interactions(np.array([0, 1]), np.array([2, 3]), np.array([0.5, 1.5]))
    part = log.take(np.array([False, True]))
    assert (len(part), part.users[0], part.items[0], part.timestamps[0]) == (1, 1, 3, 1.5)
    assert Interactions(log.users, log.items).take([1, 0]).items.tolist() == [3, 2]


LOG = {"user_id": [1, 2], "item_id": [3, 4]}
AGE = Schema(user=[Id("user_id"), Continuous("age")], item=[Id("item_id")])


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: build([], []), r"^interactions: the table has no interactions$"),
        (lambda: Dataset.from_columns(IDS, {}), r"^interactions: the table has no interactions$"),
        (lambda: build([1, 2], [3]), r"^interactions: the columns must be equally long"),
        (lambda: build([1, -2], [3, 4]), r"^interactions, row 1, .*: negative id -2$"),
        (lambda: build([1, 2], [3, None]), r"^interactions, row 1, column 'item_id': missing id$"),
        (lambda: build([1, 2], ["", "a"]), r"^interactions, row 0, column 'item_id': missing id$"),
        (lambda: build([1.0, np.nan], [3, 4]), r"row 1, column 'user_id': missing id$"),
        (lambda: build([1.5, 2], [3, 4]), r"row 0, column 'user_id': expected an integer"),
        (lambda: Dataset.from_columns(IDS, {"user_id": [1]}),
         r"^interactions: column 'item_id' is missing; columns: user_id$"),
        (lambda: Dataset.from_columns(IDS, {**LOG, "timestamp": [1, None]}),
         r"^interactions, row 1, column 'timestamp': missing timestamp$"),
        (lambda: Dataset.from_columns(IDS, LOG, timestamp="when"), r"column 'when' is missing"),
        (lambda: Dataset.from_columns(IDS, LOG, split=TimeSplit()), r"needs a column"),
        (lambda: Dataset.from_columns(IDS, LOG, positive="user_id > 5"),
         r"^interactions: no interaction passes the rule 'user_id > 5'$"),
        (lambda: Dataset.from_columns(IDS, {**LOG, "s": ["test"] * 2}, split=GivenSplit("s")),
         r"^interactions: the split GivenSplit\(column='s'\) leaves no positive for training$"),
        (lambda: Dataset.from_columns(IDS, LOG, users={"user_id": [1, 2, 1]}),
         r"^users, row 2, column 'user_id': the id 1 occurs twice$"),
        (lambda: Dataset.from_columns(IDS, LOG, users={"user_id": [1, None]}),
         r"^users, row 1, column 'user_id': missing id$"),
        (lambda: Dataset.from_columns(IDS, LOG, users={"user_id": [-1]}), r"^users, row 0.*neg"),
        (lambda: Dataset.from_columns(IDS, LOG, users={"id": [1]}),
         r"^users: column 'user_id' is missing; columns: id$"),
        (lambda: Dataset.from_columns(IDS, LOG, users={"user_id": ["1"]}),
         r"^users, column 'user_id': ids are strings here but integers in interactions"),
        (lambda: Dataset.from_columns(AGE, LOG),
         r"^users: column 'age' is missing; columns: none$"),
        (lambda: Dataset.from_columns(AGE, LOG, {"user_id": [1, 2], "age": [3]}),
         r"^users: the columns must be equally long; lengths: user_id 2, age 1$"),
        (lambda: Dataset.from_columns(AGE, LOG, {"user_id": [1, 2], "age": [3, None]}),
         r"^users, row 1, column 'age': missing value; .*Continuous\('age', impute=True\)"),
        (lambda: Dataset.from_columns(AGE, LOG, {"user_id": [1], "age": [3]}),
         r"^users, column 'age': user 2 has interactions but no row here; .*impute=True"),
        (lambda: Dataset.from_columns(IDS, LOG, item_name="title"), "column 'title' is missing"),
        (lambda: build([1, 2], [3, 4]).split("dev"), "train, valid, test, got 'dev'"),
        (lambda: build([1, 2], [3, 4]).seen("dev"), "train, valid, test, all, got 'dev'"),
    ],
)  # fmt: skip
def test_dataset__refuses(call, message):
    with pytest.raises(DataError, match=message):
        call()


def test_dataset__one_long_text_does_not_widen_all():
    """Texts are stored equally wide: 20,000 ids beside one of 100,000 letters took 7 GB."""
    with pytest.raises(DataError, match="row 1, column 'user_id': a string of 257 characters"):
        build(["a", "b" * 257], [1, 2])
    assert build(["a", "b" * 256], [1, 2]).users.ids.tolist() == ["a", "b" * 256]


def test_dataset__a_long_name_is_shown_as_far_as_an_id_may_go():
    data = Dataset.from_columns(
        IDS, {"user_id": [1, 1], "item_id": [1, 2]},
        items={"item_id": [1, 2], "title": ["short", "long" * 99]}, item_name="title",
    )  # fmt: skip
    assert data.items.names.tolist() == ["short", ("long" * 99)[:256]]


@given(datasets())
def test_everything__is_the_same_interactions_for_training(data):
    """Rows of the tables stay; what is fitted is fitted to all positives."""
    whole = data.everything()
    assert (len(whole.valid), len(whole.test)) == (0, 0)
    assert whole.users.ids.tolist() == data.users.ids.tolist()
    assert whole.items.ids.tolist() == data.items.ids.tolist()
    parted = [pair for part in PARTS for pair in pairs(data, part)]
    assert sorted(pairs(whole, "train")) == sorted(parted)
    own_row = whole.items.columns[whole.schema.schema.item_id.name] > 0
    assert own_row.tolist() == (whole.item_counts > 0).tolist()
    assert (whole.positive, whole.timestamp) == (data.positive, data.timestamp)
    assert pairs(whole.everything(), "train") == pairs(whole, "train")


def test_everything__keeps_the_rule_and_the_times_and_shares_the_columns():
    log = {"user_id": [1, 1, 2], "item_id": [5, 6, 5], "rating": [5, 1, 4], "at": [7, 8, 9]}
    items = {"item_id": [6, 5], "name": ["six", "five"]}
    data = Dataset.from_columns(
        IDS, log, None, items, positive="rating >= 4", timestamp="at", item_name="name"
    )
    whole = data.everything()
    assert (data.positive, data.timestamp) == ("rating >= 4", "at")
    assert pairs(whole, "train") == [(1, 5), (2, 5)]
    assert whole.train.timestamps.tolist() == [7, 9]
    assert whole.items.names.tolist() == ["six", "five"]
    assert whole.remake.args[1] is data.remake.args[1]


def test_everything__of_all_and_without_times():
    data = build([1, 2], [3, 4], split=LastSplit(0, 0))
    assert (data.positive, data.timestamp) == ("all", None)
    assert build([1, 2], [3, 4], positive="all").everything().positive == "all"


def test_everything__needs_the_columns():
    data = dataclasses.replace(build([1, 2], [3, 4]), remake=None)
    with pytest.raises(DataError, match="the columns of this data set are not at hand; build one"):
        data.everything()
