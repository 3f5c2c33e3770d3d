"""A lock holds one process back, is free when its holder is gone, and says who holds it."""

import os
import subprocess
import sys
import threading

import pytest

from minitower.data import DataError
from minitower.store import lock
from minitower.store.lock import locked
from minitower.store.transaction import transaction


def test_locked__one_at_a_time_and_free_when_the_holder_is_gone(tmp_path):
    inside, most, guard = [], [], threading.Lock()

    def work():
        for _ in range(20):
            with locked(tmp_path / "LOCK", 600):
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
    with pytest.raises(RuntimeError), locked(tmp_path / "LOCK", 0):
        raise RuntimeError
    with locked(tmp_path / "LOCK", 0):
        pass


def test_locked__says_where_there_is_no_flock(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "fcntl", None)
    with (
        pytest.raises(DataError, match="LOCK: no flock on this system"),
        locked(tmp_path / "LOCK", 0),
    ):
        pass


@pytest.fixture
def stuck(tmp_path):
    """A process that holds the lock of `tmp_path / "s"` and does nothing."""
    (tmp_path / "s").mkdir()
    script = (
        "import sys; from pathlib import Path; from minitower.store.lock import locked\n"
        "with locked(Path(sys.argv[1]), 0): print('held', flush=True); sys.stdin.read()"
    )
    arguments = [sys.executable, "-c", script, tmp_path / "s" / "LOCK"]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_locked__says_who_holds_it_and_gives_up(tmp_path, stuck, monkeypatch):
    """A stuck process is waited for with a say-so, and not for ever."""
    monkeypatch.setattr(lock, "_WARN_AFTER", 0.0)
    line = rf"LOCK: {{}}process {stuck.pid} on \S+{{}}"
    with (
        pytest.warns(UserWarning, match=line.format("waiting for ", "$")) as said,
        pytest.raises(DataError, match=line.format("", " has held it for more than 0.1 s")),
        transaction(tmp_path / "s", wait=0.1),
    ):
        pytest.fail("it was let in")
    assert len(said) == 1
    stuck.kill()
    stuck.wait()
    with transaction(tmp_path / "s", wait=600):
        assert f"process {os.getpid()} on".encode() in (tmp_path / "s" / "LOCK").read_bytes()
    assert (tmp_path / "s" / "LOCK").read_bytes() == b""


@pytest.mark.parametrize("left", [b"", b"process 12 on host\n", b"\0" * 19], ids=repr)
def test_locked__what_a_crash_left_in_the_file_is_no_obstacle(tmp_path, left):
    (tmp_path / "LOCK").write_bytes(left)
    with locked(tmp_path / "LOCK", 0):
        pass
