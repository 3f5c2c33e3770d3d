"""A store deletes its own litter and nothing else, says what it deletes, and follows no link."""

import os
import shutil
import warnings
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shop import MOVED, random_clicks, small_model

from minitower.data import DataError
from minitower.store.full_version import publish_model
from minitower.store.incremental import publish_incremental
from minitower.store.recommender import Recommender
from minitower.store.transaction import NotRemoved, prune, rollback
from minitower.store.version_log import VersionLog


@pytest.fixture(scope="module")
def shop():
    data = random_clicks()
    return small_model(data), data


@pytest.fixture(scope="module")
def night(shop, tmp_path_factory):
    """A store of three full versions."""
    store = tmp_path_factory.mktemp("night") / "s"
    for _ in range(3):
        publish_model(*shop, store, index="exact")
    return store


@pytest.fixture
def store(night, tmp_path):
    return Path(shutil.copytree(night, tmp_path / "s"))


def add(shop, store):
    return publish_model(*shop, store, index="exact").version.number


def content(path):
    """All that is at a path, byte for byte; links as links."""
    if path.is_symlink():
        return os.readlink(path)  # noqa: PTH115 - not resolved
    if path.is_dir():
        return {below.name: content(below) for below in path.iterdir()}
    return path.read_bytes()


LOOKALIKES = """
mybackup notes.txt 000001.bak 000002-old 1 01 .000001 .000001.short .000001.ABCDEFGH .git
.minitower-000001 .minitower-000001.abcdefgh .000002.abcdefgh .minitower-notes.abcdefgh
old new CURRENT.bak LOCK.old ٠٠٠٠٠١
"""
foreign_names = st.sampled_from(LOOKALIKES.split())
numbers = st.sampled_from(["000004", "000005", "000123", "1000000"])
things = st.one_of(
    st.binary(max_size=4).map(lambda text: ("file", text)),
    st.sampled_from(["../outside", "..", "../../outside", "nowhere", "000001"]).map(
        lambda to: ("link", to)
    ),
    st.dictionaries(
        st.sampled_from(["mine", "manifest.json"]), st.binary(max_size=4), min_size=1
    ).map(lambda files: ("folder", files)),
)


def plant(place, thing):
    kind, what = thing
    if kind == "file":
        place.write_bytes(what)
    elif kind == "link":
        place.symlink_to(what)
    else:
        place.mkdir()
        for name, text in what.items():
            (place / name).write_bytes(text)


@given(
    beside=st.dictionaries(foreign_names, things, max_size=4),
    among=st.dictionaries(foreign_names, things, max_size=4),
    numbered=st.dictionaries(numbers, things, max_size=1),
    operations=st.lists(st.integers(0, 3), min_size=1, max_size=4),
)
@settings(max_examples=40)
def test_store__what_is_foreign_survives_every_operation(
    tmp_path_factory, shop, night, beside, among, numbered, operations
):
    top = tmp_path_factory.mktemp("f")
    store = Path(shutil.copytree(night, top / "s"))
    plant(top / "outside", ("folder", {"mine": b"dear"}))
    placed = {store / name: thing for name, thing in beside.items()}
    placed |= {store / "versions" / name: thing for name, thing in {**among, **numbered}.items()}
    for place, thing in placed.items():
        plant(place, thing)
    before = {place: content(place) for place in (*placed, top / "outside")}
    changes = [
        lambda: add(shop, store),
        lambda: publish_incremental(store, MOVED, parent=VersionLog.read(store).full().number),
        lambda: rollback(store),
        lambda: prune(store, 1),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is removed, so nothing is said
        for number in operations:
            # A taken number stops a publication; nothing comes before the first version.
            with suppress(*[DataError] * bool(numbered or number == 2)):
                changes[number]()
    assert {place: content(place) for place in before} == before
    assert Recommender.open(store).store.version == VersionLog.read(store).version()


def test_publish__versions_newer_than_an_older_current_are_kept(shop, store):
    """Whoever puts an older CURRENT back may want the newer ones again."""
    older = (store / "CURRENT").read_bytes()
    add(shop, store)
    add(shop, store)
    newer = (store / "CURRENT").read_bytes()
    before = content(store / "versions")
    (store / "CURRENT").write_bytes(older)
    with pytest.raises(
        DataError,
        match=r"versions: holds 000004, 000005, but CURRENT knows no version from 4 on; put back",
    ):
        add(shop, store)
    assert rollback(store).number == 2
    assert content(store / "versions") == before
    (store / "CURRENT").write_bytes(newer)
    assert Recommender.open(store).store.version.number == 5
    (store / "CURRENT").write_bytes(older)
    for name in ("000004", "000005"):
        (store / "versions" / name).rename(store / name)
    assert add(shop, store) == 4


def test_changing__removes_what_writers_leave_and_says_so(shop, store):
    """Of this release and of the first; not what only looks like it."""
    versions = store / "versions"
    litter = [".minitower-000004.abc_e0gh", ".000004.abcdefgh", ".minitower-1000000.abcdefgh"]
    for name in litter:
        (versions / name / "new").mkdir(parents=True)
        (versions / name / "new" / "seen-0.npy").write_bytes(b"half")
    with pytest.warns(UserWarning, match="removed; a change that was cut off left it") as said:
        assert rollback(store).number == 2
    assert sorted(str(w.message).partition(":")[0] for w in said) == sorted(
        str(versions / name) for name in litter
    )
    assert {path.name for path in versions.iterdir()} == {"000001", "000002", "000003"}


def test_changing__what_cannot_be_removed_is_said(store, monkeypatch):
    left = store / "versions" / ".minitower-000004.abcdefgh"
    left.mkdir()
    monkeypatch.setattr(shutil, "rmtree", refuse)
    with pytest.warns(
        UserWarning, match=r"abcdefgh: cannot be removed \(busy\); remove it by hand"
    ):
        assert rollback(store).number == 2


def refuse(*_):
    raise OSError(16, "busy")


def test_changing__only_whole_versions_count_as_unfinished(shop, store, monkeypatch):
    """After a publication that failed somebody put a folder of that number there."""

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as m:
        m.setattr("minitower.store.full_version.write_array", full)
        with pytest.raises(DataError, match="No space left"):
            add(shop, store)
    assert VersionLog.read(store).unfinished == (4,)
    (store / "versions" / "000004").mkdir()
    (store / "versions" / "000004" / "mine").write_text("dear")
    assert rollback(store).number == 2
    assert VersionLog.read(store).unfinished == ()
    assert (store / "versions" / "000004" / "mine").read_text() == "dear"


def test_changing__refuses_versions_that_are_elsewhere(shop, store, tmp_path):
    outside = tmp_path / "outside"
    (store / "versions").rename(outside)
    (outside / ".minitower-000004.abcdefgh").mkdir()
    (store / "versions").symlink_to(outside)
    before = content(outside)
    for change in (lambda: add(shop, store), lambda: rollback(store), lambda: prune(store, 1)):
        with pytest.raises(DataError, match="versions: a link, which a store does not follow"):
            change()
    assert content(outside) == before
    assert Recommender.open(store).store.version.number == 3


def test_prune__does_not_follow_a_link_and_tells_what_is_gone(store, tmp_path):
    outside = tmp_path / "outside"
    one = store / "versions" / "000001"
    one.rename(outside)
    one.symlink_to(outside)
    before = content(outside)
    with pytest.raises(
        NotRemoved, match=r"1 versions cannot be removed: .*000001: it is a link"
    ) as e:
        prune(store, 1)
    assert e.value.removed == [2]
    assert content(outside) == before
    with pytest.warns(UserWarning, match=r"000001: cannot be removed \(it is a link"):
        rollback(store, 3)
    one.unlink()
    rollback(store, 3)
    assert VersionLog.read(store).unfinished == ()


@pytest.mark.parametrize("call", ["rename", "rmtree"])
def test_prune__what_could_not_be_removed_is_tried_again(store, monkeypatch, call):
    owner = Path if call == "rename" else shutil
    real, versions = getattr(owner, call), store / "versions"

    def busy(path, *rest):
        if "000001" in path.name:
            raise OSError(16, "Device or resource busy")
        return real(path, *rest)

    with monkeypatch.context() as m:
        m.setattr(owner, call, busy)
        with pytest.raises(NotRemoved, match="000001: Device or resource busy") as error:
            prune(store, 1)
        assert error.value.removed == [2]
    assert [version.number for version in VersionLog.read(store).versions] == [3]
    assert len([*versions.iterdir()]) == 2
    with pytest.warns(UserWarning, match="removed; a change that was cut off left it"):
        assert prune(store, 1) == []
    assert [path.name for path in versions.iterdir()] == ["000003"]
