"""minitower store: what it prints, what it does, how it fails."""

import json
from functools import partial

import numpy as np
import pytest

from minitower.data import Dataset, Id, RandomSplit, Schema
from minitower.store.full_version import publish_model
from minitower.store.incremental import publish_incremental
from minitower.store.recommender import Recommender
from minitower.store.transaction import prune
from minitower.store.version_log import VersionLog
from minitower.towers.two_tower import TwoTower


@pytest.fixture
def store(tmp_path):
    """Two full versions, and an incremental one on the second."""
    rng = np.random.default_rng(0)
    log = {"user": rng.integers(0, 5, 40), "item": rng.integers(0, 9, 40)}
    schema = Schema(user=[Id("user")], item=[Id("item")])
    data = Dataset.from_columns(schema, log, split=RandomSplit(0, 0))
    model = TwoTower(data.schema, dim=2, hidden=())
    publish_model(model, data, tmp_path / "s")
    publish_model(model, data, tmp_path / "s", parent=1, metrics={"recall@10": 0.25})
    rows = {"user.user.embedding": (np.array([1]), np.ones((1, 2), np.float32))}
    publish_incremental(tmp_path / "s", rows, parent=2)
    return tmp_path / "s"


@pytest.fixture
def run(run):
    return partial(run, "store")


def test_store_verify__passes_over_what_is_pruned_meanwhile(run, store, monkeypatch):
    """The oldest version goes just before its files are read."""
    verify = VersionLog.verify

    def late(log, version):
        if version.number == 1 and log.path(1).exists():
            prune(store, keep=1)
        verify(log, version)

    monkeypatch.setattr(VersionLog, "verify", late)
    status, out, err = run("verify", store)
    assert (status, err) == (0, "")
    assert [line.split("\t")[0] for line in out.splitlines()] == ["2", "3"]


def test_list__one_line_a_version(run, store):
    status, out, err = run("list", store)
    assert (status, err) == (0, "")
    rows = [line.split("\t") for line in out.splitlines()]
    assert [row[:3] for row in rows] == [["1", "full", ""], ["2", "full", "1"],
                                         ["3", "incremental", "2"]]  # fmt: skip
    assert [row[5] for row in rows] == ["", "", "*"]
    size = sum(path.stat().st_size for path in (store / "versions/000001").iterdir())
    assert int(rows[0][4]) == size


def test_list__prints_nothing_where_it_fails(run, store):
    (store / "versions/000002/loop").symlink_to("loop")
    status, out, err = run("list", store)
    assert (status, out) == (1, "")
    assert "000002/loop: " in err


def test_show__all_that_is_known(run, store):
    printed = json.loads(run("show", store, 2)[1])
    assert (printed["number"], printed["kind"], printed["parent"]) == (2, "full", 1)
    assert printed["metrics"] == {"recall@10": 0.25}
    path = store / "versions/000002/users-0.npy"
    assert printed["files"]["users-0.npy"]["bytes"] == path.stat().st_size
    assert json.loads(run("show", store)[1])["number"] == 3


def test_verify__names_what_is_damaged(run, store):
    assert run("verify", store) == (0, "1\tintact\n2\tintact\n3\tintact\n", "")
    (store / "versions/000002/users-0.npy").write_bytes(b"")
    status, out, err = run("verify", store)
    assert (status, out) == (2, "1\tintact\n2\tdamaged\n3\tintact\n")
    assert "000002/users-0.npy: 0 bytes instead of" in err
    assert err.endswith("damaged: 2\n")


def test_rollback__prints_what_is_served(run, store):
    recommender = Recommender.open(store)
    assert run("rollback", store)[:2] == (0, "2\n")
    assert recommender.reload()
    assert recommender.version.number == 2
    assert run("rollback", store, 1)[:2] == (0, "1\n")
    assert run("list", store)[1].splitlines()[0].endswith("*")


def test_prune__prints_what_is_gone(run, store):
    assert run("prune", store, "--keep", 1) == (0, "1\n", "")
    assert run("prune", store, "--keep", 1) == (0, "", "")


def test_prune__what_is_still_there_is_an_error_and_not_printed_as_gone(run, store, tmp_path):
    """As where somebody put a version on another disk, and a link in its place."""
    one = store / "versions/000001"
    one.rename(tmp_path / "elsewhere")
    one.symlink_to(tmp_path / "elsewhere")
    status, out, err = run("prune", store, "--keep", 1)
    assert (status, out) == (2, "")
    assert "error: 1 versions cannot be removed: " in err
    assert "versions/000001: it is a link or a file, which minitower did not make" in err
    assert err.count("\n") == 1
    assert (tmp_path / "elsewhere" / "manifest.json").exists()
    one.unlink()
    assert run("prune", store, "--keep", 1) == (0, "", "")


@pytest.mark.filterwarnings("default")
def test_store__says_what_it_deletes(run, store):
    """What a killed process left, on stderr: stdout is for what was asked."""
    left = store / "versions" / ".minitower-000004.abcdefgh"
    (left / "new").mkdir(parents=True)
    status, out, err = run("rollback", store)
    assert (status, out) == (0, "2\n")
    assert err.startswith(f"warning: {left}: removed; a change that was cut off left it\n")
    assert not left.exists()


@pytest.mark.parametrize("arguments, message", [
    (["show", "{}", 9], "version 9 is missing; versions: 1, 2, 3"),
    (["rollback", "{}", 9], "version 9 is missing"),
    (["prune", "{}", "--keep", 0], "--keep: expected an integer of at least 1, got '0'"),
    (["prune", "{}"], "required: --keep (see minitower store prune --help)"),
    (["list", "{}/versions"], "CURRENT: missing; expected a store"),
    (["list", "{}/none"], "CURRENT: the folder is missing"),
    ([], "required: COMMAND (see minitower store --help)"),
])  # fmt: skip
def test_store__one_clear_line(run, store, arguments, message):
    status, out, err = run(*(str(a).format(store) for a in arguments))
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
