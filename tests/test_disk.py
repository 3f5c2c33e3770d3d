"""What is written is on the disk before it is named; after any fault a store still opens."""

import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from minitower.data import DataError, Dataset, Id, RandomSplit, Schema
from minitower.search.engines import Hnsw
from minitower.store import disk
from minitower.store.catalogue import Catalogue, changing, prune, rollback
from minitower.store.folder import SavedFolder
from minitower.store.incremental import publish_incremental
from minitower.store.recommender import Recommender
from minitower.store.snapshot import publish_model
from minitower.towers.optimizers import Adagrad
from minitower.towers.two_tower import TwoTower

ROWS = {"user.user.embedding": (np.array([1]), np.array([[3.0, 4.0]], np.float32))}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    log = {"user": rng.integers(0, 5, 40), "item": rng.integers(0, 9, 40)}
    schema = Schema(user=[Id("user")], item=[Id("item")])
    return Dataset.from_columns(schema, log, split=RandomSplit(0, 0))


@pytest.fixture(scope="module")
def model(data):
    return TwoTower(data.schema, dim=2, hidden=())


class Killed(BaseException):
    """Stands for the end of the process: nothing below cleans up after it."""


class Operations:
    """Every write, flush, rename and removal, told in order; the n-th may fail."""

    def __init__(self, monkeypatch):
        self.told, self.fail_at, self.error = [], None, None
        self._wrap(
            monkeypatch, Path, "open",
            lambda path, mode="r", *a, **k: {*mode} & {*"wx"} and f"write {path.name}", half=True,
        )  # fmt: skip
        self._wrap(monkeypatch, Hnsw, "save", lambda _, folder: "write index.hnsw", half=True)
        monkeypatch.setattr(disk, "flush", lambda path: None)  # told, not done: it takes its time
        self._wrap(monkeypatch, disk, "flush", lambda path: f"flush {path.name}")
        self._wrap(monkeypatch, Path, "replace", lambda a, b: f"rename {a.name} {Path(b).name}")
        self._wrap(monkeypatch, Path, "rename", lambda a, b: f"rename {a.name} {Path(b).name}")
        self._wrap(
            monkeypatch, shutil, "rmtree", lambda path, **_: (
                (path / "old").exists() and f"remove {path.name.split('-')[1][:6]}"
            ),
        )  # fmt: skip

    def _wrap(self, monkeypatch, owner, name, label, half=False):
        real = getattr(owner, name)

        def wrapped(*args, **options):
            what = label(*args, **options)
            if self.error is Killed and self.fail_at is None and name == "rmtree":
                return None  # the process is dead, it removes nothing any more
            if not what:
                return real(*args, **options)
            self.told.append(what)
            if len(self.told) - 1 == self.fail_at:
                self.fail_at = None
                if half:
                    path = args[0] if owner is Path else args[1]
                    path.write_bytes(b"half")
                elif name == "rmtree":
                    next((args[0] / "old").iterdir()).unlink()
                raise self.error("fault") if self.error is Killed else self.error(28, "no space")
            return real(*args, **options)

        monkeypatch.setattr(owner, name, wrapped)

    def failing(self, n, error):
        self.told, self.fail_at, self.error = [], n, error


def written(*names):
    return [f"write {name}" for name in names]


def flushed(*names):
    return [f"flush {name}" for name in names]


SWEPT = pytest.mark.filterwarnings("ignore:.*removed; a change that was cut off left it")
COMMIT = ["write CURRENT.new", "flush CURRENT.new", "rename CURRENT.new CURRENT", "flush store"]
FILES = [
    "schema.npz", "parameters.npz", "items.npz", "users.npz", "seen.npz", "item_vectors.npy",
    "item_counts.npy", "index.hnsw", "optimizer.npz",
]  # fmt: skip


def test_flush__reaches_the_disk(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.fstat(handle).st_ino))
    disk.make_folder(tmp_path / "a" / "b")
    disk.write(tmp_path / "a" / "b" / "x", b"text")
    disk.rename(tmp_path / "a" / "b" / "x", tmp_path / "a" / "y")
    places = (tmp_path, tmp_path / "a", tmp_path / "a" / "y", tmp_path / "a")
    assert synced == [place.stat().st_ino for place in places]


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
    assert operations.told == [*made, *begun, *version, *COMMIT]
    operations.told = []
    files = ["rows.npz", "values.npz", "items.npy", "item_vectors.npy"]
    publish_incremental(tmp_path / "store", ROWS, parent=1)
    assert operations.told == [
        *COMMIT,
        *written(*files),
        *flushed(*sorted(files)),
        *written("manifest.json"),
        *flushed("manifest.json", "new"),
        "rename new 000002",
        "flush versions",
        *COMMIT,
    ]
    operations.told = []
    rollback(tmp_path / "store")
    assert operations.told == COMMIT
    operations.told = []
    assert prune(tmp_path / "store", 1) == []
    rollback(tmp_path / "store", 2)
    publish_model(model, data, tmp_path / "store", index="exact")
    operations.told = []
    assert prune(tmp_path / "store", 1) == [1, 2]
    removed = [f"rename {n} old remove {n}" for n in ("000001", "000002")]
    assert operations.told[:4] == operations.told[-4:] == COMMIT
    assert " ".join(operations.told[4:-4]) == " ".join(removed)


def check(store, before, after):
    """It opens on one of two states, and holds nothing that is not whole."""
    catalogue = Catalogue.read(store)
    assert [catalogue.current, len(catalogue.versions)] in (before, after)
    for version in catalogue.versions:
        catalogue.verify(version)
    if catalogue.current is not None:
        recommender = Recommender.open(store)
        assert recommender.version.number == catalogue.current
        assert len(recommender.recall(0, k=2, exclude_seen=False)[0]) == 2


def changes(data, model):
    """What is done, and the number served and number of versions that it leads to from (2, 2)."""
    return {
        "publish": (lambda store: publish_model(model, data, store, optimizer=Adagrad()), [3, 3]),
        "incremental": (lambda store: publish_incremental(store, ROWS, parent=2), [3, 3]),
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
        at = Catalogue.read(store).current
        if what in ("publish", "incremental") and at == 2:
            change(store)
            check(store, after, after)
        rollback(store, 2)
        held = {f"{version.number:06d}" for version in Catalogue.read(store).versions}
        names = {path.name for path in (store / "versions").iterdir()}
        assert names == held, "what was left is swept"
        assert Catalogue.read(store).unfinished == ()
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
        done = (store / "CURRENT").exists() and Catalogue.read(store).current == 1
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
    assert Recommender.open(tmp_path / "s").version.number == 1


def test_locked__one_at_a_time_and_free_when_the_holder_is_gone(tmp_path):
    inside, most, guard = [], [], threading.Lock()

    def work():
        for _ in range(20):
            with disk.locked(tmp_path / "LOCK", 600):
                inside.append(1)
                with guard:
                    most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 80
    assert set(most) == {1}
    with pytest.raises(RuntimeError), disk.locked(tmp_path / "LOCK", 0):
        raise RuntimeError
    with disk.locked(tmp_path / "LOCK", 0):
        pass


def test_locked__says_where_there_is_no_flock(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "fcntl", None)
    with (
        pytest.raises(DataError, match="LOCK: no flock on this system"),
        disk.locked(tmp_path / "LOCK", 0),
    ):
        pass


@pytest.fixture
def stuck(tmp_path):
    """A process that holds the lock of `tmp_path / "s"` and does nothing."""
    (tmp_path / "s").mkdir()
    script = (
        "import sys; from pathlib import Path; from minitower.store.disk import locked\n"
        "with locked(Path(sys.argv[1]), 0): print('held', flush=True); sys.stdin.read()"
    )
    arguments = [sys.executable, "-c", script, tmp_path / "s" / "LOCK"]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_locked__says_who_holds_it_and_gives_up(tmp_path, stuck, monkeypatch):
    """A stuck process is waited for with a say-so, and not for ever."""
    monkeypatch.setattr(disk, "_SAY_AFTER", 0.0)
    lock = rf"LOCK: {{}}process {stuck.pid} on \S+{{}}"
    with (
        pytest.warns(UserWarning, match=lock.format("waiting for ", "$")) as said,
        pytest.raises(DataError, match=lock.format("", " has held it for more than 0.1 s")),
        changing(tmp_path / "s", wait=0.1),
    ):
        pytest.fail("it was let in")
    assert len(said) == 1
    stuck.kill()
    stuck.wait()
    with changing(tmp_path / "s", wait=600):
        assert f"process {os.getpid()} on".encode() in (tmp_path / "s" / "LOCK").read_bytes()
    assert (tmp_path / "s" / "LOCK").read_bytes() == b""


@pytest.mark.parametrize("left", [b"", b"process 12 on host\n", b"\0" * 19], ids=repr)
def test_locked__what_a_crash_left_in_the_file_is_no_obstacle(tmp_path, left):
    (tmp_path / "LOCK").write_bytes(left)
    with disk.locked(tmp_path / "LOCK", 0):
        pass


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


@pytest.mark.parametrize("name", ["LOCK", "CURRENT", "CURRENT.new"])
@pytest.mark.parametrize("what", ["folder", "pipe", "socket", "link", "dangling link"])
def test_store__waits_for_no_pipe_and_follows_no_link(
    tmp_path, data, model, monkeypatch, name, what
):
    """One line that names the file; nothing outside of the store is written."""
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    publish_model(model, data, "s", index="exact")
    outside = Path("outside")
    outside.write_bytes(Path("s", name).read_bytes() if name != "CURRENT.new" else b"dear")
    before = outside.read_bytes()
    Path("s", name).unlink(missing_ok=True)
    irregular(Path("s", name), what, Path.cwd() / "outside")
    named = rf"{name}: (not a regular file|a link, which)"
    with pytest.raises(DataError, match=named):
        publish_model(model, data, "s", index="exact")
    with pytest.raises(DataError, match=named):
        rollback("s", 1)
    if name == "CURRENT":
        with pytest.raises(DataError, match=named):
            Recommender.open("s")
    else:
        assert Recommender.open("s").version.number == 1
    assert outside.read_bytes() == before
    assert sorted(path.name for path in Path().iterdir()) == ["outside", "s"]


def test_store__a_lock_of_somebody_else_is_not_written_to(tmp_path, data, model):
    """As where a file got a second name, LOCK."""
    (tmp_path / "mine").write_bytes(b"dear")
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "LOCK").hardlink_to(tmp_path / "mine")
    with pytest.raises(DataError, match="LOCK: not written by minitower; move it away"):
        publish_model(model, data, tmp_path / "s", index="exact")
    (tmp_path / "s" / "LOCK").unlink()
    (tmp_path / "s" / "CURRENT.new").hardlink_to(tmp_path / "mine")
    publish_model(model, data, tmp_path / "s", index="exact")
    assert (tmp_path / "mine").read_bytes() == b"dear"


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that reads badly")
@pytest.mark.parametrize("name", ["manifest.json", "items.npz"])
def test_read__an_error_of_the_disk_names_the_file(tmp_path, data, model, name, monkeypatch):
    publish_model(model, data, tmp_path / "s", index="exact")
    path = tmp_path / "s/versions/000001" / name
    path.unlink()
    path.symlink_to("/proc/self/mem")  # opens, and does not read
    stated = Catalogue.read(tmp_path / "s").version()
    monkeypatch.setattr(SavedFolder, "_sized", lambda folder, name: folder.folder / name)
    with pytest.raises(DataError, match=f"{name}: cannot be read: Input/output error"):
        Catalogue.read(tmp_path / "s").verify(stated)


@pytest.mark.parametrize("refused", ["fsync", "replace"])
@pytest.mark.parametrize("change", [lambda s: rollback(s, 1), lambda s: prune(s, 1)])
def test_change__a_full_disk_leaves_no_file(tmp_path, data, model, monkeypatch, change, refused):
    """CURRENT.new is removed; CURRENT is what it was, and a later change works."""
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
    assert Catalogue.read(store).current in (1, 2)
