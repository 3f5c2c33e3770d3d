"""What is written is on the disk before it is named; after any fault a store still opens."""

import os
import re
import shutil
import socket
from pathlib import Path

import pytest
from shop import MOVED, random_clicks, small_model

from minitower.data import DataError
from minitower.data.files import TEMPORARY
from minitower.search.hnsw import Hnsw
from minitower.store.folder import SavedFolder
from minitower.store.full_version import publish_model
from minitower.store.incremental import publish_incremental
from minitower.store.recommender import Recommender
from minitower.store.transaction import prune, rollback
from minitower.store.version_log import VersionLog
from minitower.towers.optimizers import Adagrad


@pytest.fixture(scope="module")
def data():
    return random_clicks()


@pytest.fixture(scope="module")
def model(data):
    return small_model(data)


class Killed(BaseException):
    """Stands for the end of the process: nothing below cleans up after it."""


class Operations:
    """Every write, flush, rename and removal, recorded in order; the n-th may fail."""

    def __init__(self, monkeypatch):
        self.done, self.fail_at, self.error = [], None, None
        self._wrap(
            monkeypatch, Path, "open",
            lambda path, mode="r", *a, **k: {*mode} & {*"wx"} and f"write {path.name}", half=True,
        )  # fmt: skip
        self._wrap(monkeypatch, Hnsw, "save", lambda _, folder: "write index.hnsw", half=True)
        monkeypatch.setattr(os, "fsync", lambda handle: None)  # recorded, not done: it is slow
        self._wrap(monkeypatch, os, "fsync", lambda handle: f"flush {name_of(handle)}")
        self._wrap(monkeypatch, Path, "replace", lambda a, b: f"rename {a.name} {Path(b).name}")
        self._wrap(monkeypatch, Path, "rename", lambda a, b: f"rename {a.name} {Path(b).name}")
        self._wrap(
            monkeypatch, shutil, "rmtree", lambda path, **_: (
                (path / "old").exists() and f"remove {path.name.split('-')[1][:6]}"
            ),
        )  # fmt: skip
        self._wrap(monkeypatch, Path, "unlink", lambda path, **_: None)

    def _wrap(self, monkeypatch, owner, name, label, half=False):
        real = getattr(owner, name)

        def wrapped(*args, **options):
            what = label(*args, **options)
            if self.error is Killed and self.fail_at is None and name in ("rmtree", "unlink"):
                return None  # the process is dead, it removes nothing any more
            if not what:
                return real(*args, **options)
            self.done.append(re.sub(TEMPORARY, "temporary", what))
            if len(self.done) - 1 == self.fail_at:
                self.fail_at = None
                if half:
                    path = args[0] if owner is Path else args[1]
                    path.write_bytes(b"half")
                elif name == "rmtree":
                    os.unlink(next((args[0] / "old").iterdir()))  # noqa: PTH108 - past the wrapper
                raise self.error("fault") if self.error is Killed else self.error(28, "no space")
            return real(*args, **options)

        monkeypatch.setattr(owner, name, wrapped)

    def failing(self, n, error):
        self.done, self.fail_at, self.error = [], n, error


def name_of(handle):
    return Path(f"/proc/self/fd/{handle}").readlink().name


def written(*names):
    return [f"write {name}" for name in names]


def flushed(*names):
    return [f"flush {name}" for name in names]


SWEPT = pytest.mark.filterwarnings("ignore:.*removed; a change that was cut off left it")
COMMIT = ["write temporary", "flush temporary", "rename temporary CURRENT", "flush store"]
FILES = [
    "schema-0.npy", "schema-1.npy", "parameters-0.npy", "parameters-1.npy",
    "items-0.npy", "items-1.npy", "users-0.npy", "users-1.npy", "seen-0.npy", "seen-1.npy",
    "item_counts.npy", "item_vectors.npy", "index.hnsw",
]  # fmt: skip


def test_publish__order_of_what_reaches_the_disk(tmp_path, data, model, monkeypatch):
    operations = Operations(monkeypatch)
    publish_model(model, data, tmp_path / "store", optimizer=Adagrad())
    made = [f"flush {tmp_path.name}", *COMMIT]  # the folder, CURRENT
    begun = [*COMMIT, "flush store"]  # number 1 is being written; versions/
    version = [
        *written(*FILES),
        *flushed(*sorted(FILES)),
        *written("manifest.json"),
        *flushed("manifest.json", "new"),
        "rename new 000001",
        "flush versions",
    ]
    assert operations.done == [*made, *begun, *version, *COMMIT]
    operations.done = []
    files = ["rows-0.npy", "values-0.npy", "items.npy", "item_vectors.npy"]
    publish_incremental(tmp_path / "store", MOVED, parent=1)
    assert operations.done == [
        *COMMIT,
        *written(*files),
        *flushed(*sorted(files)),
        *written("manifest.json"),
        *flushed("manifest.json", "new"),
        "rename new 000002",
        "flush versions",
        *COMMIT,
    ]
    operations.done = []
    rollback(tmp_path / "store")
    assert operations.done == COMMIT
    operations.done = []
    assert prune(tmp_path / "store", 1) == []
    rollback(tmp_path / "store", 2)
    publish_model(model, data, tmp_path / "store", index="exact")
    operations.done = []
    assert prune(tmp_path / "store", 1) == [1, 2]
    removed = [f"rename {n} old remove {n}" for n in ("000001", "000002")]
    assert operations.done[:4] == operations.done[-4:] == COMMIT
    assert " ".join(operations.done[4:-4]) == " ".join(removed)


def check(store, before, after):
    """It opens on one of two states, and holds nothing that is not whole."""
    log = VersionLog.read(store)
    assert [log.current, len(log.versions)] in (before, after)
    for version in log.versions:
        log.verify(version)
    if log.current is not None:
        recommender = Recommender.open(store)
        assert recommender.version.number == log.current
        assert len(recommender.recall(0, k=2, exclude_seen=False)[0]) == 2


def changes(data, model):
    """What is done, and the number served and number of versions that it leads to from (2, 2)."""
    return {
        "publish": (lambda store: publish_model(model, data, store, optimizer=Adagrad()), [3, 3]),
        "incremental": (lambda store: publish_incremental(store, MOVED, parent=2), [3, 3]),
        "rollback": (lambda store: rollback(store, 1), [1, 2]),
        "prune": (lambda store: prune(store, 1), [2, 1]),
    }


@SWEPT
@pytest.mark.parametrize("error", [OSError, Killed])
@pytest.mark.parametrize("what", ["publish", "incremental", "rollback", "prune"])
def test_change__a_fault_at_any_step(tmp_path, data, model, monkeypatch, what, error):
    """The old version or the new; and it can be done again."""
    pristine, store = tmp_path / "pristine", tmp_path / "store"
    for _ in range(2):
        publish_model(model, data, pristine, index="exact")
    operations = Operations(monkeypatch)
    change, after = changes(data, model)[what]
    step = 0
    while True:
        shutil.copytree(pristine, store)
        operations.failing(step, error)
        try:
            change(store)
            break
        except (Killed, DataError, OSError):
            pass
        operations.failing(None, OSError)
        check(store, [2, 2], after)
        at = VersionLog.read(store).current
        if what in ("publish", "incremental") and at == 2:
            change(store)
            check(store, after, after)
        rollback(store, 2)
        held = {f"{version.number:06d}" for version in VersionLog.read(store).versions}
        names = {path.name for path in (store / "versions").iterdir()}
        assert names == held, "what was left is swept"
        assert VersionLog.read(store).unfinished == ()
        shutil.rmtree(store)
        step += 1
    assert step >= 4


@SWEPT
@pytest.mark.parametrize("error", [OSError, Killed])
def test_first_publish__a_fault_at_any_step(tmp_path, data, model, monkeypatch, error):
    """There is a store or not, and publishing again makes one."""
    store, step = tmp_path / "store", 0
    operations = Operations(monkeypatch)
    while True:
        operations.failing(step, error)
        try:
            publish_model(model, data, store, index="exact")
            break
        except (Killed, DataError):
            pass
        operations.failing(None, OSError)
        if (store / "CURRENT").exists():
            check(store, [None, 0], [1, 1])
        done = (store / "CURRENT").exists() and VersionLog.read(store).current == 1
        publish_model(model, data, store, index="exact")
        check(store, *2 * [[2, 2] if done else [1, 1]])
        shutil.rmtree(store)
        step += 1
    assert step > 20


def test_publish__a_graph_cut_by_a_full_disk_is_noticed(tmp_path, data, model, monkeypatch):
    """hnswlib writes without looking whether it can: the version is opened before it is served."""
    publish_model(model, data, tmp_path / "s")
    save = Hnsw.save

    def cut(graph, folder):
        save(graph, folder)
        path = folder / "index.hnsw"
        os.truncate(path, path.stat().st_size - 8)

    monkeypatch.setattr(Hnsw, "save", cut)
    with pytest.raises(DataError, match=r"000002.*index.hnsw is not the graph"):
        publish_model(model, data, tmp_path / "s")
    assert Recommender.open(tmp_path / "s").store.version.number == 1


def irregular(path, what, outside):
    if what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "socket":
        with socket.socket(socket.AF_UNIX) as unix:
            unix.bind(str(path))
    else:
        path.symlink_to(outside if what == "link" else outside.with_name("nowhere"))


@pytest.mark.parametrize("name", ["LOCK", "CURRENT"])
@pytest.mark.parametrize("what", ["folder", "pipe", "socket", "link", "dangling link"])
def test_store__waits_for_no_pipe_and_follows_no_link(
    tmp_path, data, model, monkeypatch, name, what
):
    """One line that names the file; nothing outside of the store is written."""
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    publish_model(model, data, "s", index="exact")
    outside = Path("outside")
    outside.write_bytes(Path("s", name).read_bytes())
    before = outside.read_bytes()
    Path("s", name).unlink(missing_ok=True)
    irregular(Path("s", name), what, Path.cwd() / "outside")
    named = rf"{name}: a link or not a regular file"
    with pytest.raises(DataError, match=named):
        publish_model(model, data, "s", index="exact")
    with pytest.raises(DataError, match=named):
        rollback("s", 1)
    if name == "CURRENT":
        with pytest.raises(DataError, match=named):
            Recommender.open("s")
    else:
        assert Recommender.open("s").store.version.number == 1
    assert outside.read_bytes() == before
    assert sorted(path.name for path in Path().iterdir()) == ["outside", "s"]


@pytest.mark.parametrize("name", ["CURRENT.new", ".minitower-0123456789abcdef"])
@pytest.mark.parametrize("what", ["file", "folder", "pipe", "link", "dangling link"])
def test_store__a_temporary_file_is_removed_and_nothing_else(tmp_path, data, model, name, what):
    """A killed change leaves such a file; a link or a folder of that name is not its own."""
    store, outside = tmp_path / "s", tmp_path / "outside"
    outside.write_bytes(b"dear")
    store.mkdir()
    if what == "file":
        (store / name).hardlink_to(outside)
    else:
        irregular(store / name, what, outside)
    publish_model(model, data, store, index="exact")
    assert os.path.lexists(store / name) == (what != "file")
    assert outside.read_bytes() == b"dear"
    assert Recommender.open(store).store.version.number == 1


def test_store__a_lock_of_somebody_else_is_not_written_to(tmp_path, data, model):
    """As where a file got a second name, LOCK."""
    (tmp_path / "mine").write_bytes(b"dear")
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "LOCK").hardlink_to(tmp_path / "mine")
    with pytest.raises(DataError, match="LOCK: not written by minitower; move it away"):
        publish_model(model, data, tmp_path / "s", index="exact")
    assert (tmp_path / "mine").read_bytes() == b"dear"


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that reads badly")
@pytest.mark.parametrize("name", ["manifest.json", "items-0.npy"])
def test_read__an_error_of_the_disk_names_the_file(tmp_path, data, model, name, monkeypatch):
    publish_model(model, data, tmp_path / "s", index="exact")
    path = tmp_path / "s/versions/000001" / name
    path.unlink()
    path.symlink_to("/proc/self/mem")  # opens, and does not read
    stated = VersionLog.read(tmp_path / "s").version()
    monkeypatch.setattr(SavedFolder, "_sized", lambda folder, name: folder.folder / name)
    with pytest.raises(DataError, match=f"{name}: (cannot be read: )?Input/output error"):
        VersionLog.read(tmp_path / "s").verify(stated)


@pytest.mark.parametrize("refused", ["fsync", "replace"])
@pytest.mark.parametrize("change", [lambda s: rollback(s, 1), lambda s: prune(s, 1)])
def test_change__a_full_disk_leaves_no_file(tmp_path, data, model, monkeypatch, change, refused):
    """The temporary file is removed; CURRENT is what it was, and a later change works."""
    store = tmp_path / "s"
    for _ in range(2):
        publish_model(model, data, store, index="exact")
    contents = lambda: {p: p.read_bytes() for p in store.rglob("*") if p.is_file()}
    before = contents()

    def full(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(*((os, "fsync") if refused == "fsync" else (Path, "replace")), full)
        with pytest.raises(DataError, match="cannot be written: No space left on device"):
            change(store)
    assert contents() == before
    change(store)
    assert VersionLog.read(store).current in (1, 2)
