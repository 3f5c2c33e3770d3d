"""Typed headers become a schema, every line is checked, and files come apart as they were made."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.data import (
    Categorical,
    Continuous,
    DataError,
    Dataset,
    Id,
    MultiValued,
    RandomSplit,
    Schema,
)
from minitower.data.atomic_files import read, split_fields
from minitower.data.errors import Place

INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\nu1\ta\t5\t10\nu2\tb\t3\t20\n"
USER = "user_id:token\tage:float\tjob:token\nu1\t24\twriter\nu2\t53\t\n"
ITEM = (
    "item_id:token\tmovie_title:token\tgenres:token_seq\tyear:float\n"
    "a\tSilence of 'X'\tDrama Crime\t1995\nb\tÉté\t\t1996\nc\tUnseen\tDrama\t1997\n"
)
KEEP = RandomSplit(0, 0)


@pytest.fixture
def folder(tmp_path):
    """A folder of three small files."""
    for suffix, text in (("inter", INTER), ("user", USER), ("item", ITEM)):
        (tmp_path / f"tiny.{suffix}").write_text(text, encoding="utf-8")
    return tmp_path


def test_atomic__headers_are_the_schema(folder):
    raw = read(folder)
    assert raw.schema == Schema(
        user=[Id("user_id"), Continuous("age", "standardise"), Categorical("job")],
        item=[Id("item_id"), MultiValued("genres"), Continuous("year", "standardise")],
    )
    assert raw.item_name == "movie_title"


def test_atomic__whole_data_set(folder):
    data = Dataset.from_atomic(folder, positive="rating >= 3", split=KEEP)
    assert data.users.ids.tolist() == ["u1", "u2"]
    assert data.items.ids.tolist() == ["a", "b", "c"]
    assert data.items.names.tolist() == ["Silence of 'X'", "Été", "Unseen"]
    assert data.train.timestamps.tolist() == [10, 20]
    assert data.users.columns["job"].tolist() == [1, 0]
    assert data.users.columns["age"].tolist() == [-1, 1]
    assert data.items.columns["item_id"].tolist() == [1, 2, 0]
    genres = data.items.columns["genres"]
    assert [genres.row(i).tolist() for i in range(3)] == [[2, 1], [0], [2]]
    assert len(Dataset.from_atomic(folder, positive="rating > 3", split=KEEP).train) == 1


def test_atomic__windows_lines_and_byte_order_mark(folder):
    plain = Dataset.from_atomic(folder, positive="all", split=KEEP)
    for suffix, text in (("inter", INTER), ("user", USER), ("item", ITEM)):
        made = "\ufeff" + text.replace("\n", "\r\n")
        (folder / f"tiny.{suffix}").write_bytes(made.encode("utf-8"))
    windows = Dataset.from_atomic(folder, positive="all", split=KEEP)
    assert windows.items.names.tolist() == plain.items.names.tolist()
    assert windows.users.columns["job"].tolist() == plain.users.columns["job"].tolist()
    assert windows.schema.schema == plain.schema.schema


def test_atomic__overrides(folder):
    overrides = {
        "year": "token",
        "age": None,
        "job": MultiValued("job", pool="sum"),
        "movie_title": "token_seq",
        "item_id": Id("item_id", embed=False),
    }
    assert read(folder, overrides=overrides).schema == Schema(
        user=[Id("user_id"), MultiValued("job", pool="sum")],
        item=[
            Id("item_id", embed=False),
            MultiValued("movie_title"),
            MultiValued("genres"),
            Categorical("year"),
        ],
    )
    data = Dataset.from_atomic(folder, overrides=overrides, positive="all", split=KEEP)
    assert data.items.columns["year"].tolist() == [1, 2, 0]  # text, not numbers


def test_atomic__a_schema_is_used_as_it_is(folder):
    schema = Schema(user=[Id("user_id")], item=[Continuous("year"), Id("item_id")])
    data = Dataset.from_atomic(folder, schema=schema, positive="all", split=KEEP)
    assert data.schema.schema == schema
    assert data.items.columns["year"].tolist() == [1995, 1996, 1997]


def test_atomic__interactions_alone(folder):
    (folder / "tiny.user").unlink()
    (folder / "tiny.item").unlink()
    data = Dataset.from_atomic(folder, positive="all", split=KEEP)
    assert data.schema.schema == Schema([Id("user_id")], [Id("item_id")])
    assert data.items.names is None


def test_atomic__ids_may_have_other_names(folder):
    for suffix in ("inter", "user", "item"):
        file = folder / f"tiny.{suffix}"
        file.write_text(file.read_text("utf-8").replace("item_id", "venue"), "utf-8")
    assert read(folder).schema.item_id.name == "venue"


@pytest.mark.parametrize(
    "suffix, text, message",
    [
        ("inter", INTER + "u3\tc\t1\n", r"tiny.inter, line 4: expected 4 fields, got 3$"),
        (
            "inter",
            INTER + "u3\tc\t1\nu\tc\t1\t2\t3\n",
            r"tiny.inter, line 4: expected 4 fields, got 3$",
        ),
        ("inter", INTER + "\nu3\tc\t1\t2\n", r"tiny.inter, line 4: expected 4 fields, got 1$"),
        (
            "inter",
            INTER + "u\tc\tx\t1\n",
            r"inter, line 4, column 'rating': expected a number.*'x'",
        ),
        ("inter", INTER + "u3\tc\t1\t\n", r"tiny.inter, line 4, column 'timestamp': missing time"),
        ("inter", INTER + "\tc\t1\t2\n", r"tiny.inter, line 4, column 'user_id': missing id$"),
        ("inter", "", r"tiny.inter: the file is empty$"),
        ("inter", "\n\n", r"tiny.inter: the file is empty$"),
        ("inter", INTER.split("\n")[0], r"tiny.inter: the file has no line below its header$"),
        ("inter", INTER.replace(":float", ""), r"inter, line 1: expected a header.*got 'rating'$"),
        ("inter", INTER.replace("float", "int"), r"inter, line 1: expected a .*got 'rating:int'$"),
        (
            "inter",
            INTER.replace("rating", "item_id"),
            r"inter, line 1, column 'item_id': the column occ",
        ),
        ("inter", INTER.replace("item_id", "item"), r"tiny.inter: column 'item_id' is missing"),
        (
            "user",
            USER + "u1\t1\tx\n",
            r"user, line 4, column 'user_id': the id 'u1' occurs twice",
        ),
        ("user", USER + "u3\t\tx\n", r"user, line 4, column 'age': missing value; .*impute=True"),
        ("user", USER.replace("u2\t53\t\n", ""), r"tiny.user, column 'age': user 'u2' has interac"),
        ("user", USER.replace("age:float", "age:float_seq"), r"tiny.user, column 'age': the type"),
    ],
)
def test_atomic__refuses(folder, suffix, text, message):
    (folder / f"tiny.{suffix}").write_text(text)
    with pytest.raises(DataError, match=message):
        Dataset.from_atomic(folder, positive="all", split=KEEP)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"overrides": {"colour": None}}, r"unknown column 'colour'; columns: age, "),
        ({"overrides": {"age": "int"}}, r"user, column 'age': the type int is not a feature"),
        ({"overrides": {"age": Id("age")}}, r"column 'age': the id, and no other column, must be"),
        ({"overrides": {"user_id": None}}, r"column 'user_id': the id, and no other column, must"),
        ({"overrides": {"age": Categorical("x")}}, r"overridden by a field of another name, 'x'"),
        ({"overrides": {"age": None}, "schema": Schema([Id("user_id")], [Id("item_id")])},
         r"give a schema or overrides, not both"),
    ],
)  # fmt: skip
def test_atomic__refuses_options(folder, options, message):
    with pytest.raises(DataError, match=message):
        Dataset.from_atomic(folder, **options)


def test_atomic__names_what_is_wrong_with_the_folder(folder):
    with pytest.raises(DataError, match=r"nowhere: the folder does not exist$"):
        read(folder / "nowhere")
    (folder / "other.inter").write_text(INTER)
    with pytest.raises(DataError, match=r"expected one .inter file, got other.inter, tiny.inter$"):
        read(folder)
    (folder / "other.inter").unlink()
    (folder / "tiny.inter").rename(folder / "tiny.txt")
    with pytest.raises(DataError, match=r"expected one .inter file, got none$"):
        read(folder)


def test_atomic__names_the_line_that_is_not_text(folder):
    (folder / "tiny.user").write_bytes(USER.encode() + b"u3\t7\tcaf\xe9\n")
    with pytest.raises(DataError, match=r"tiny.user, line 4: cannot be decoded as utf-8"):
        read(folder)


cells = st.text(st.characters(codec="utf-8", exclude_characters="|\n\r"), max_size=3)


@given(st.integers(1, 4).flatmap(lambda k: st.lists(st.tuples(*[cells] * k), min_size=1)))
def test_split_fields__equals_naive(rows):
    """Cells of any text, empty ones too, come back in their column."""
    text = "\n".join("|".join(row) for row in rows)
    columns = split_fields(text, "|", len(rows[0]), Place("t"))
    assert [tuple(row) for row in zip(*columns)] == rows


def test_ml_100k__is_read_whole(real_data):
    data = Dataset.from_atomic(real_data("ml-100k"), positive="rating >= 4")
    parts = (data.train, data.valid, data.test)
    assert (len(data.users), len(data.items)) == (943, 1682)
    assert sum(map(len, parts)) == 55_375
    assert data.items.names[0] == "Toy Story"
    assert data.train.timestamps.max() < data.valid.timestamps.min()
    assert data.valid.timestamps.max() < data.test.timestamps.min()


def test_ml_1m__is_read_whole(real_data):
    data = Dataset.from_atomic(
        real_data("ml-1m"), overrides={"genre": "token_seq"}, positive="rating >= 3"
    )
    assert (len(data.users), len(data.items)) == (6040, 3883)
    assert len(data.train) + len(data.valid) + len(data.test) == 836_478
    assert data.schema.item.cardinality("genre") == 19


def test_yelp__is_read_whole(real_data):
    data = Dataset.from_atomic(real_data("yelp"), positive="all")
    assert (len(data.users), len(data.items)) == (16_239, 14_284)
    assert (len(data.train), len(data.valid), len(data.test)) == (158_718, 19_839, 19_840)
    assert data.schema.item.cardinality("city") == 48
