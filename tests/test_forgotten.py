"""The record of forgotten users, and the versions that hold them."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shop import MOVED, random_clicks, small_model

from minitower.data import DataError
from minitower.store.forgotten import NOTE, Forgotten, held_text, versions_with_forgotten
from minitower.store.full_version import publish_model
from minitower.store.incremental import publish_incremental
from minitower.store.transaction import prune
from minitower.store.version_log import VersionLog

ids = st.sets(st.integers(0, 2**63 - 1)) | st.sets(
    st.text(st.characters(codec="utf-8"), min_size=1)
)


@given(ids, ids)
def test_among__finds_exactly_the_recorded_ids(some, others):
    """Also through JSON, and never an integer for the string of its digits."""
    forgotten = Forgotten.in_notes(Forgotten.of(some).to_notes())
    asked = np.fromiter([*some, *others], object, len(some) + len(others))
    assert forgotten.among(asked).tolist() == [id_ in some for id_ in asked]


def test_among__integers_are_not_their_digits():
    assert not Forgotten.of([7]).among(np.array(["7"])).any()
    assert Forgotten.of([7]).among(np.array([7], np.int32)).all()


@given(ids, ids)
def test_union(some, others):
    assert Forgotten.of(some) | Forgotten.of(others) == Forgotten.of([*some, *others])


def test_record__is_published_so_its_form_is_fixed():
    """Stores hold these hashes: another form would let forgotten users come back."""
    assert Forgotten.of([7]).hashes == {hashlib.sha256(b"integer 7").hexdigest()}
    assert Forgotten.of(["ann"]).hashes == {hashlib.sha256(b"string ann").hexdigest()}
    assert Forgotten().to_notes() == {}


@pytest.mark.parametrize("notes", [0.5, None, [], "forgotten"])
def test_in_notes__refuses_notes_that_are_no_object(notes):
    with pytest.raises(DataError, match="notes: expected an object, got "):
        Forgotten.in_notes(notes)


@pytest.mark.parametrize("note", [7, ["7"], {"a": 1}, [["0" * 64]], None])
def test_in_notes__refuses_a_forged_note(note):
    with pytest.raises(DataError, match="the note 'forgotten' was not written by minitower"):
        Forgotten.in_notes({NOTE: note})


@pytest.fixture
def store(tmp_path):
    """A full version, an increment on it, and a full version that forgets a user it never had."""
    data = random_clicks()
    parts = small_model(data), data, tmp_path / "s"
    publish_model(*parts, index="exact")
    publish_incremental(tmp_path / "s", MOVED, parent=1)
    publish_model(*parts, index="exact", parent=1, notes=Forgotten.of([99]).to_notes())
    return tmp_path / "s"


def test_publish_model__carries_the_record_on(store):
    data = random_clicks()
    for notes, hashes in (
        (None, [99]),
        (Forgotten.of([98]).to_notes(), [98, 99]),
        (None, [98, 99]),
    ):
        version = publish_model(small_model(data), data, store, index="exact", notes=notes)
        assert Forgotten.in_notes(version.notes) == Forgotten.of(hashes)


def test_publish_model__refuses_data_with_a_forgotten_user(store):
    data = random_clicks(users=200, n=400)
    before = VersionLog.read(store)
    with pytest.raises(DataError, match="the store has forgotten 1 of them, such as 99; remove"):
        publish_model(small_model(data), data, store, index="exact")
    assert VersionLog.read(store).current == before.current


def test_versions_with_forgotten__names_those_that_hold_the_user(store):
    log = VersionLog.read(store)
    assert versions_with_forgotten(log) == [], "no version has a user 99"
    data = random_clicks()
    absent = random_clicks(users=4)
    publish_model(small_model(absent), absent, store, notes=Forgotten.of([4]).to_notes())
    assert versions_with_forgotten(VersionLog.read(store)) == [1, 2, 3]
    with pytest.raises(DataError, match="forgotten 1 of them, such as 4"):
        publish_model(small_model(data), data, store)
    assert prune(store, 1) == [1, 2, 3]
    assert versions_with_forgotten(VersionLog.read(store)) == []
    assert Forgotten.by_store(VersionLog.read(store)) == Forgotten.of([4, 99])


def test_versions_with_forgotten__counts_a_damaged_version(store):
    (store / "versions" / "000001" / "manifest.json").write_text("{}")
    assert versions_with_forgotten(VersionLog.read(store)) == [1, 2]
    assert Forgotten.by_store(VersionLog.read(store)) == Forgotten.of([99])


def test_held_text():
    assert held_text([1]) == "version 1 holds forgotten users until pruned (minitower store prune)"
    assert held_text([1, 2]).startswith("versions 1, 2 hold forgotten")
