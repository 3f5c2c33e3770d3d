"""A store whose hashes are right and whose parts are not is refused when it is opened."""

import hashlib
import json

import numpy as np
import pytest

from minitower.data import (
    Categorical,
    Continuous,
    DataError,
    Dataset,
    Id,
    MultiValued,
    RandomSplit,
    Schema,
    retire,
)
from minitower.store.full_version import publish_model
from minitower.store.incremental import publish_incremental, read_moved
from minitower.store.model_files import load_notes
from minitower.store.recommender import Recommender
from minitower.store.transaction import rollback
from minitower.store.version_log import VersionLog
from minitower.towers.two_tower import TwoTower

SCHEMA = Schema(
    user=[Id("user"), Continuous("age")],
    item=[Id("item"), Categorical("kind"), MultiValued("tags")],
)


@pytest.fixture
def store(tmp_path):
    rng = np.random.default_rng(0)
    log = {"user": rng.integers(0, 5, 60), "item": rng.integers(0, 9, 60)}
    users = {"user": list(range(5)), "age": list(range(5))}
    items = {"item": list(range(9)), "kind": ["a", "b", "c"] * 3, "tags": ["x", "x y", "z"] * 3}
    data = Dataset.from_columns(SCHEMA, log, users, items, split=RandomSplit(0, 0))
    data = retire(data, [8])
    publish_model(TwoTower(data.schema, dim=4, hidden=()), data, tmp_path / "s")
    rows = {"user.user.embedding": (np.array([1]), np.ones((1, 4), np.float32))}
    publish_incremental(tmp_path / "s", rows, parent=1)
    return tmp_path / "s"


def noted(store, number, notes):
    """Replace the notes of a version, and all hashes above them."""
    manifest = store / "versions" / f"{number:06d}" / "manifest.json"
    stated = json.loads(manifest.read_bytes())
    stated["content"]["notes"] = notes
    manifest.write_text(json.dumps(stated))
    point(store, number)


def point(store, number):
    """Make CURRENT vouch for the manifest of a version."""
    manifest = store / "versions" / f"{number:06d}" / "manifest.json"
    digest = lambda content: hashlib.sha256(content).hexdigest()
    pointer = json.loads((store / "CURRENT").read_bytes().rpartition(b"\n")[0])
    pointer["versions"][number - 1]["manifest"] = digest(manifest.read_bytes())
    text = json.dumps(pointer).encode()
    (store / "CURRENT").write_bytes(text + b"\n" + digest(text).encode())


def damaged(store, number, name, key, change):
    """Change an array of a version, or remove it from its group, and all hashes above it."""
    folder = store / "versions" / f"{number:06d}"
    manifest = folder / "manifest.json"
    stated = json.loads(manifest.read_bytes())
    if key:
        names = stated["content"]["arrays"][name]
        at = names.index(key)
        name = f"{name}-{at}.npy"
    changed = change(np.load(folder / name))
    if changed is None:
        names[at] = "another"
    else:
        np.save(folder / name, changed)
    content = (folder / name).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    stated["files"][name] = {"bytes": len(content), "sha256": digest}
    manifest.write_text(json.dumps(stated))
    point(store, number)


DAMAGES = [
    ("items", "ids", lambda x: x.astype(float), "items: expected ids (n,) of int64 or strings"),
    ("items", "ids", lambda x: x[:, None], "items: expected ids (n,) of int64 or strings"),
    ("items", "column.kind", lambda x: None, "items: column 'kind': missing"),
    ("items", "column.kind", lambda x: x[:-1], "'kind': expected int32 (8,), got int32 (7,)"),
    ("items", "column.kind", lambda x: x[:, None], "expected int32 (8,), got int32 (8, 1)"),
    ("items", "column.kind", lambda x: x.astype(float), "int32 (8,), got float64 (8,)"),
    ("items", "column.kind", lambda x: x + 3, "'kind': expected numbers from 0 to 3, got 0 to"),
    ("items", "column.kind", lambda x: x - 2, "'kind': expected numbers from 0 to 3, got -1"),
    ("items", "values.tags", lambda x: x + 3, "'tags': expected numbers from 0 to 3, got 0 to"),
    ("items", "values.tags", lambda x: x[:, None], "'tags': expected indptr of int64 and"),
    ("items", "values.tags", lambda x: x[:-1], "'tags': indptr (9,) does not lead through 8"),
    ("items", "indptr.tags", lambda x: x[:-1], "'tags': indptr (8,) does not lead through 8"),
    ("items", "indptr.tags", lambda x: x + 1, "'tags': indptr (9,) does not lead through 8"),
    ("items", "indptr.tags", lambda x: x[[0, 2, 1, *range(3, 9)]], "'tags': indptr decreases"),
    ("retired", "column.kind", lambda x: x + 9, "retired items: column 'kind': expected"),
    ("users", "column.age", lambda x: x * np.nan, "users: column 'age': not all numbers are"),
    ("users", "column.age", lambda x: x.astype("f2"), "'age': expected float32 (5,), got"),
    ("seen", "values", lambda x: x + 8, "seen: expected numbers from 0 to 7, got"),
    ("seen", "indptr", lambda x: x[:-1], "seen has 4 rows for 5 users"),
    ("item_counts.npy", "", lambda x: x[:-1], "there are counts (7,) for 8 items"),
    ("item_counts.npy", "", lambda x: -x, "counts: expected numbers of at least 0, got -"),
    ("item_counts.npy", "", lambda x: x * 1.5, "counts: expected integers, got float64"),
]


@pytest.mark.parametrize("name, key, change, message", DAMAGES, ids=str)
def test_open__names_the_part_that_is_damaged(store, name, key, change, message):
    damaged(store, 1, name, key, change)
    with pytest.raises(DataError, match="its parts do not fit together") as raised:
        Recommender.open(store)
    assert message in str(raised.value)


@pytest.mark.parametrize("name", ["rows", "values"])
def test_read_moved__rows_and_values_are_pairs(store, name):
    damaged(store, 2, name, "user.user.embedding", lambda x: None)
    log = VersionLog.read(store)
    with pytest.raises(DataError, match=r"'another' has rows or values, not both"):
        read_moved(log.open(log.version(2)))
    with pytest.raises(DataError, match=r"'another' has rows or values, not both"):
        Recommender.open(store)


@pytest.mark.parametrize("notes, message", [
    ([], "notes: expected an object, got []"),
    ({"reading": "x"}, "notes: reading: expected an object, got 'x'"),
    ({"training": None}, "notes: training: expected an object, got None"),
    ({"reading": {"timestamp": 3}}, "notes: timestamp: expected a string, got 3"),
    ({"item_name": ["x"]}, "notes: item_name: expected a string, got ['x']"),
])  # fmt: skip
def test_notes__what_minitower_reads_has_its_form(store, notes, message):
    rollback(store, 1)
    noted(store, 1, notes)
    for reader in (Recommender.open, load_notes):
        with pytest.raises(DataError, match="its parts do not fit together") as raised:
            reader(store)
        assert message in str(raised.value)
