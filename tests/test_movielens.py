"""Both layouts that GroupLens ships give the same picture of the same films."""

import pytest

from minitower.data import DataError, Dataset, MultiValued, RandomSplit

KEEP = RandomSplit(0, 0)
GENRES = 19


def flags(*on):
    return "|".join("1" if i in on else "0" for i in range(GENRES))


@pytest.fixture
def old(tmp_path):
    """MovieLens-100K with two users and three films, one of them nearly unknown."""
    write(tmp_path / "u.data", "1\t2\t5\t100\n2\t1\t3\t200\n1\t1\t4\t300\n")
    write(tmp_path / "u.user", "1|24|M|technician|85711\n2|53|F|other|94043\n")
    write(
        tmp_path / "u.item",
        f"1|Toy Story (1995)|01-Jan-1995||http://x|{flags(3, 4, 5)}\n"
        f"2|Misérables, Les (1995)|01-Jan-1996||http://y|{flags(8)}\n"
        f"3|unknown||||{flags()}\n",
    )
    return tmp_path


@pytest.fixture
def new(tmp_path):
    """MovieLens-1M with the same films."""
    write(tmp_path / "ratings.dat", "1::2::5::100\n2::1::3::200\n1::1::4::300\n")
    write(tmp_path / "users.dat", "1::M::25::7::85711\n2::F::56::0::94043\n")
    write(
        tmp_path / "movies.dat",
        "1::Toy Story (1995)::Animation|Children's|Comedy\n"
        "2::Misérables, Les (1996)::Drama\n"
        "3::unknown::\n",
    )
    return tmp_path


def write(path, text):
    path.write_bytes(text.encode("latin-1"))


def genres(data):
    names = data.schema.item.vocabulary("genres").values
    rows = data.items.columns["genres"]
    return [[str(names[r - 1]) for r in rows.row(i) if r] for i in range(len(rows))]


@pytest.mark.parametrize("layout", ["old", "new"])
def test_movielens__films_are_the_same_in_both_layouts(layout, request):
    data = Dataset.from_movielens(request.getfixturevalue(layout), positive="all", split=KEEP)
    assert data.users.ids.tolist() == [1, 2]
    assert data.items.ids.tolist() == [1, 2, 3]
    assert data.items.names[1].startswith("Misérables")
    assert genres(data) == [["Animation", "Children's", "Comedy"], ["Drama"], []]
    years = data.schema.item.vocabulary("year").values
    assert years.tolist() == ["1995", "1996"]
    assert data.items.columns["year"].tolist() == [1, 2, 0]
    assert data.users.columns["gender"].tolist() == [2, 1]
    assert data.train.users.tolist() == [0, 1, 0]
    assert data.train.items.tolist() == [1, 0, 0]
    assert data.train.timestamps.tolist() == [100, 200, 300]
    assert data.schema.item.fields[1] == MultiValued("genres", separator="|")


def test_movielens__ages_are_years_or_codes(old):
    data = Dataset.from_movielens(old, positive="all", split=KEEP)
    assert data.users.columns["age"].tolist() == [-1, 1]


@pytest.mark.parametrize("layout", ["old", "new"])
def test_movielens__rule(layout, request):
    data = Dataset.from_movielens(
        request.getfixturevalue(layout), positive="rating >= 4", split=KEEP
    )
    assert data.train.timestamps.tolist() == [100, 300]


@pytest.mark.parametrize(
    "layout, file, text, message",
    [
        ("old", "u.data", "1\t2\t5\n", r"u.data, line 1: expected 4 fields, got 3$"),
        (
            "old",
            "u.data",
            "1\t2\t5\t1\n1\tx\t5\t1\n",
            r"u.data, line 2, column 'item_id': expected",
        ),
        ("old", "u.data", "1\t2\t5\t1\n1\t-2\t5\t1\n", r"u.data, line 2, .*negative id -2$"),
        ("old", "u.user", "1|old|M|x|1\n", r"u.user, line 1, column 'age': expected a number, got"),
        ("old", "u.item", "1|x\n", r"u.item, line 1: expected 24 fields, got 2$"),
        ("old", "u.item", "", r"u.item: the file is empty$"),
        ("new", "ratings.dat", "1::2::5::\n", r"ratings.dat, line 1, column 'timestamp': missing"),
        ("new", "movies.dat", "1::x\n", r"movies.dat, line 1: expected 3 fields, got 2$"),
        ("new", "movies.dat", "1::a::b\n1::a::b\n", r"movies.dat, line 2, .*the id 1 occurs tw"),
    ],
)
def test_movielens__refuses(layout, file, text, message, request):
    folder = request.getfixturevalue(layout)
    write(folder / file, text)
    with pytest.raises(DataError, match=message):
        Dataset.from_movielens(folder, positive="all", split=KEEP)


def test_movielens__names_what_is_not_there(old):
    (old / "u.user").unlink()
    with pytest.raises(DataError, match=r"u.user: No such file or directory$"):
        Dataset.from_movielens(old, positive="all")
    (old / "u.data").unlink()
    with pytest.raises(DataError, match=r"found neither u.data .* nor ratings.dat"):
        Dataset.from_movielens(old, positive="all")
