"""The version log: the current version, earlier versions, and what may go."""

import hashlib
import json
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shop import MOVED, random_clicks, small_model

from minitower.data import DataError
from minitower.store import transaction as transaction_module
from minitower.store.full_version import publish_model
from minitower.store.incremental import publish_incremental
from minitower.store.new_folder import LOCK
from minitower.store.recommender import Recommender
from minitower.store.transaction import prune, rollback, transaction
from minitower.store.version_log import Version, VersionConflict, VersionLog
from minitower.towers.optimizers import Adagrad


@pytest.fixture(scope="module")
def shop():
    data = random_clicks()
    return small_model(data), data


def full(shop, store, **options):
    return publish_model(*shop, store, index="exact", **options).version


def incremental(store):
    return publish_incremental(store, MOVED, parent=VersionLog.read(store).full().number).version


def numbers(store):
    return [version.number for version in VersionLog.read(store).versions]


def test_publish__adds_a_version_and_serves_it(shop, tmp_path):
    store = tmp_path / "deep" / "store"
    one = full(shop, store)
    two = full(shop, store, parent=1)
    three = incremental(store)
    kinds = [(v.number, v.kind, v.parent) for v in (one, two, three)]
    assert kinds == [(1, "full", None), (2, "full", 1), (3, "incremental", 2)]
    log = VersionLog.read(store)
    assert log.versions == (one, two, three)
    assert log.version() == three
    assert log.full() == two
    assert Recommender.open(store).store.version == three
    first = {path.name: path.read_bytes() for path in log.path(1).iterdir()}
    full(shop, store)
    assert {path.name: path.read_bytes() for path in log.path(1).iterdir()} == first


def test_publish__the_parent_is_the_full_version_that_is_served(shop, tmp_path):
    """Another one would undo what has come since, or bring back what was taken back."""
    store = tmp_path / "s"
    full(shop, store)
    incremental(store)
    for parent in (2, 7):
        with pytest.raises(VersionConflict, match=f"version {parent} is not the current full"):
            full(shop, store, parent=parent)
    full(shop, store, parent=1)
    with pytest.raises(VersionConflict, match="which is 3: begin again from that one"):
        full(shop, store, parent=1)
    rollback(store, 1)
    with pytest.raises(VersionConflict, match="which is 1"):
        full(shop, store, parent=3)
    assert numbers(store) == [1, 2, 3]


def test_rollback__serves_the_one_before(shop, tmp_path):
    store = tmp_path / "s"
    full(shop, store)
    full(shop, store)
    incremental(store)
    recommender = Recommender.open(store)
    for number in (2, 1):
        assert rollback(store).number == number
        assert recommender.reload()
        assert recommender.version.number == number
    with pytest.raises(DataError, match="version 1 is the first one"):
        rollback(store)
    assert rollback(store, 3).number == 3
    assert numbers(store) == [1, 2, 3]
    rollback(store, 1)
    assert full(shop, store).number == 4, "no number is given twice"


def test_rollback__refuses_what_is_damaged(shop, tmp_path):
    """Also where it is the version beneath."""
    store = tmp_path / "s"
    full(shop, store)
    incremental(store)
    full(shop, store)
    (store / "versions/000001/items-0.npy").write_bytes(b"")
    for number in (1, 2):
        with pytest.raises(DataError, match=r"000001.items-0.npy: 0 bytes"):
            rollback(store, number)
    assert VersionLog.read(store).current == 3


@given(
    kinds=st.lists(st.sampled_from(["full", "incremental"]), max_size=9),
    keep=st.integers(1, 10),
    current=st.integers(0, 9),
)
@settings(max_examples=60)
def test_prune__keeps_nights_and_the_days_of_the_newest_and_of_what_is_served(
    tmp_path_factory, kinds, keep, current
):
    store = tmp_path_factory.mktemp("s")
    kinds, versions, parent = ["full", *kinds], [], None
    for number, kind in enumerate(kinds, start=1):
        on = parent if kind == "incremental" else None
        versions.append(Version(number, kind, on, "2026-11-24T02:30:00+00:00", "0" * 64))
        parent = number if kind == "full" else parent
    current = 1 + current % len(kinds)
    with transaction(store) as log:
        replace(log, versions=tuple(versions), current=current, next=99).write()
    for version in versions:
        log.path(version.number).mkdir(parents=True)
    gone = prune(store, keep)
    after = VersionLog.read(store)
    kept = {version.number for version in after.versions}
    nights = [number for number, kind in enumerate(kinds, start=1) if kind == "full"]
    bases = {nights[-1], versions[current - 1].parent or current}
    days = {version.number for version in versions if version.parent in bases}
    assert kept == {*nights[-keep:]} | bases | days
    assert current in kept
    assert gone == sorted(set(range(1, len(kinds) + 1)) - kept)
    assert {path.name for path in (store / "versions").iterdir()} == {f"{n:06d}" for n in kept}
    assert (after.current, after.next) == (current, 99)


def test_prune__refuses(shop, tmp_path):
    full(shop, tmp_path / "s")
    with pytest.raises(DataError, match="keep must be at least 1, got 0"):
        prune(tmp_path / "s", 0)
    for change in (lambda s: prune(s, 1), rollback):
        with pytest.raises(DataError, match="CURRENT: the folder is missing"):
            change(tmp_path / "t")
    assert not (tmp_path / "t").exists()


def test_prune__what_is_open_stays_open(shop, tmp_path):
    full(shop, tmp_path / "s")
    recommender = Recommender.open(tmp_path / "s")
    before = recommender.recall(1, k=3)
    full(shop, tmp_path / "s")
    assert prune(tmp_path / "s", 1) == [1]
    for one, other in zip(recommender.recall(1, k=3), before):
        np.testing.assert_array_equal(one, other)


def test_verify__reads_what_serving_does_not(shop, tmp_path):
    optimizer = Adagrad()
    table = shop[0].parameters["user.user.embedding"]
    optimizer.state["user.user.embedding/square"] = np.ones_like(table)
    version = full(shop, tmp_path / "s", optimizer=optimizer)
    path = tmp_path / "s/versions/000001/optimizer-0.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    Recommender.open(tmp_path / "s")
    with pytest.raises(DataError, match=r"optimizer-0.npy: damaged"):
        VersionLog.read(tmp_path / "s").verify(version)


def test_pointer__a_flipped_bit_or_a_cut_is_refused(shop, tmp_path):
    full(shop, tmp_path / "s")
    pointer = tmp_path / "s" / "CURRENT"
    good = pointer.read_bytes()
    each = range(len(good))
    flipped = [good[:i] + bytes([good[i] ^ 1 << i % 8]) + good[i + 1 :] for i in each]
    for bad in (*flipped, *(good[:i] for i in each[::7]), good + b"x"):
        pointer.write_bytes(bad)
        with pytest.raises(DataError, match="CURRENT: damaged"):
            VersionLog.read(tmp_path / "s")


ONE = {
    "number": 1,
    "kind": "full",
    "parent": None,
    "published": "2026-11-24T02:30:00+00:00",
    "manifest": "0" * 64,
}
GOOD = {"versions": [ONE], "current": 1, "next": 2}


def one(**change):
    return GOOD | {"versions": [ONE | change]}


def two(**change):
    second = ONE | {"number": 2, "kind": "incremental", "parent": 1}
    return {"versions": [ONE, second | change], "current": 1, "next": 3}


def point(folder, text):
    """CURRENT with a SHA-256 that holds: it is not damaged, only written otherwise."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    (folder / "CURRENT").write_text(f"{text}\n{digest}")


def test_pointer__is_read_with_and_without_what_is_unfinished(tmp_path):
    """The first release did not write that."""
    point(tmp_path, json.dumps(GOOD))
    assert VersionLog.read(tmp_path).unfinished == ()
    point(tmp_path, json.dumps(GOOD | {"unfinished": [2]}))
    assert VersionLog.read(tmp_path).unfinished == (2,)
    point(tmp_path, json.dumps(two()))
    assert VersionLog.read(tmp_path).full(2).number == 1


@pytest.mark.parametrize(
    "stated",
    [
        *([], {}, 3, None, {"versions": [{"n": 1}]}, {"versions": 3}, {"versions": {}}),
        *(one(number=n) for n in (1.0, True, "1", -1, 0, None, 10**400, [1])),
        *(one(kind=kind) for kind in ("night", None, ["full"], "incremental")),
        *(one(parent=parent) for parent in (1, 0, True, 0.5, "1")),
        *(one(published=time) for time in ("", 7, None, "yesterday", "2026-11-24\n10:00:00")),
        *(one(manifest=sha) for sha in ("", 7, None, "0" * 63, "Z" * 64, "A" * 64)),
        *(one(more=1), GOOD | {"versions": [ONE, ONE]}),
        *(GOOD | {"current": current} for current in (None, True, 1.0, "1", 2, 0)),
        *(GOOD | {"next": following} for following in (1, 0, -1, 2.0, "2", None, True, 10**400)),
        *(GOOD | {"unfinished": n} for n in (2, None, [1], [3], ["2"], [True], {})),
        *(two(number=n) for n in (1, 0, 3)),
        *(two(parent=parent) for parent in (None, 2, 0)),
        {"versions": [], "current": 1, "next": 2},
    ],
    ids=lambda stated: json.dumps(stated)[-60:],
)
def test_pointer__written_otherwise_is_refused(tmp_path, stated):
    point(tmp_path, json.dumps(stated))
    with pytest.raises(DataError, match="CURRENT: written by another release of minitower: ") as e:
        VersionLog.read(tmp_path)
    assert len(str(e.value)) < 500


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        "[" * 200_000 + "]" * 200_000,
        json.dumps(GOOD).replace('"next": 2', '"next": ' + "2" * 5000),
        json.dumps(GOOD).replace('"next": 2', '"next": NaN'),
        json.dumps(GOOD).replace('"next": 2', '"next": 2, "next": 2'),
    ],
    ids=["no JSON", "deep", "5000 digits", "NaN", "a name twice"],
)
def test_pointer__of_bad_json_is_refused(tmp_path, text):
    point(tmp_path, text)
    with pytest.raises(DataError, match=r"CURRENT: written by another release .* not JSON") as e:
        VersionLog.read(tmp_path)
    assert len(str(e.value)) < 500


def test_pointer__lost_or_damaged_is_no_reason_to_start_anew(shop, tmp_path):
    """Or the next publisher would sweep away every version there is."""
    full(shop, tmp_path / "s")
    for damage in (lambda path: path.write_bytes(b"x"), lambda path: path.unlink()):
        damage(tmp_path / "s" / "CURRENT")
        with pytest.raises(DataError, match=r"CURRENT: damaged|already there, and not written by"):
            full(shop, tmp_path / "s")
        assert (tmp_path / "s/versions/000001/manifest.json").exists()


def test_open__refuses_another_versions_files(shop, tmp_path):
    """Intact folders that have changed places: each manifest is of the other."""
    full(shop, tmp_path / "s", notes={"n": 1})
    full(shop, tmp_path / "s", notes={"n": 2})
    one, two = (tmp_path / "s/versions" / name for name in ("000001", "000002"))
    one.rename(tmp_path / "aside")
    two.rename(one)
    (tmp_path / "aside").rename(two)
    with pytest.raises(DataError, match=r"000002.manifest.json: damaged"):
        Recommender.open(tmp_path / "s")


def test_open__a_store_without_versions(tmp_path):
    with transaction(tmp_path / "s"):
        pass
    with pytest.raises(DataError, match="nothing has been published yet"):
        Recommender.open(tmp_path / "s")


def test_manifest__says_what_the_version_is(shop, tmp_path):
    full(shop, tmp_path / "s")
    full(shop, tmp_path / "s", parent=1, metrics={"recall@10": 0.25}, notes={"day": "monday"})
    manifest = json.loads((tmp_path / "s/versions/000002/manifest.json").read_text())
    content = manifest["content"]
    assert manifest["kind"] == "full"
    assert (content["parent"], content["metrics"]) == (1, {"recall@10": 0.25})
    assert content["notes"] == {"day": "monday"}
    files = {path.name for path in (tmp_path / "s/versions/000002").iterdir()}
    assert set(manifest["files"]) == files - {"manifest.json"}


def test_changing__what_comes_while_it_waits_for_the_lock_is_not_written_to(tmp_path, monkeypatch):
    """The folder was free when it looked; another program has filled it since."""
    target, locked = tmp_path / "store", transaction_module.locked

    @contextmanager
    def late(path, wait):
        with locked(path, wait):
            (target / "mine").write_text("mine")
            yield

    monkeypatch.setattr(transaction_module, "locked", late)
    with pytest.raises(DataError, match="not written by minitower"), transaction(target):
        raise AssertionError("it was let in")
    assert sorted(path.name for path in target.iterdir()) == sorted([LOCK, "mine"])
