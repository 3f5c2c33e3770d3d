"""Tasks run on a few threads, and nothing else differs: order, errors, buffers, warnings."""

import os
import subprocess
import sys
import threading
import time
import types
from functools import reduce
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.formulas import blas, threads
from minitower.formulas.threads import buffered_map, one_ahead, ordered_map, together, use_threads

PATIENCE = 20  # seconds until a test gives up on a thread


@pytest.fixture(autouse=True)
def _one_thread_after():
    yield
    use_threads(1)


def in_time(work):
    """The result of a call that must not hang."""
    found = []
    thread = threading.Thread(target=lambda: found.append(work()), daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive(), "a deadlock"
    return found[0]


@given(st.lists(st.integers(), max_size=12), st.integers(1, 5), st.none() | st.integers(1, 7))
def test_ordered_map__is_map_on_any_number_of_threads(items, n, at_most):
    use_threads(n)
    assert threads.threads() == n
    assert list(ordered_map(lambda x: x * x + 1, items, at_most)) == [x * x + 1 for x in items]
    assert together(*(lambda x=x: -x for x in items)) == [-x for x in items]


def test_ordered_map__results_come_in_the_order_of_the_tasks_not_of_their_ends():
    """The second task ends before the first, which waits for it."""
    use_threads(2)
    second_ended = threading.Event()

    def task(i):
        if i == 0:
            assert second_ended.wait(PATIENCE), "the tasks do not run at the same time"
        else:
            second_ended.set()
        return i

    assert list(ordered_map(task, [0, 1])) == [0, 1]


def test_ordered_map__consumes_a_group_before_it_starts_the_next():
    use_threads(3)
    started, consumed = [], 0
    for result in ordered_map(lambda i: started.append(i) or i, range(8)):
        assert max(started) < 3 * (result // 3 + 1)
        consumed += 1
    assert sorted(started) == list(range(8))
    assert consumed == 8


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("wrong", [0, 1, 4])
def test_ordered_map__an_error_reaches_the_caller_as_it_is(n, wrong):
    use_threads(n)
    error, seen = KeyError("mine"), []

    def task(i):
        if i >= wrong:
            raise error
        return i

    with pytest.raises(KeyError) as caught:
        seen.extend(ordered_map(task, range(6)))  # extend keeps what came before the error
    assert caught.value is error
    assert seen == list(range(wrong))


def test_ordered_map__after_an_error_nothing_runs_on():
    use_threads(2)
    began, running = threading.Event(), []

    def task(i):
        if i == 0:
            assert began.wait(PATIENCE)
            raise ValueError("the first")
        running.append(i)
        began.set()
        time.sleep(0.05)
        running.remove(i)

    with pytest.raises(ValueError, match="the first"):
        list(ordered_map(task, [0, 1]))
    assert not running


def test_ordered_map__a_consumer_may_leave_early():
    use_threads(2)
    results = ordered_map(lambda i: i, range(100))
    assert next(results) == 0
    results.close()
    assert list(ordered_map(lambda i: i, range(3))) == [0, 1, 2]


@given(st.lists(st.integers(), max_size=12), st.integers(1, 3))
def test_one_ahead__is_the_iterator(items, n):
    use_threads(n)
    assert list(one_ahead(iter(items))) == items


def test_one_ahead__takes_the_next_while_the_caller_works_and_no_more():
    use_threads(2)
    taken = []
    second = threading.Event()

    def source():
        for i in range(4):
            taken.append(i)
            if i == 1:
                second.set()
            yield i

    items = one_ahead(source())
    assert next(items) == 0
    assert second.wait(PATIENCE), "nothing was taken ahead"
    time.sleep(0.05)
    assert taken == [0, 1]
    items.close()
    assert taken == [0, 1]


def test_one_ahead__the_callers_errstate_holds_in_the_worker():
    use_threads(2)
    taken = [threading.Event() for _ in range(3)]

    def source():
        for event in taken:
            event.set()
            yield threading.current_thread(), np.geterr()["over"]

    with np.errstate(over="call"):
        found = []
        for event, item in zip([*taken[1:], taken[-1]], one_ahead(source())):
            assert event.wait(PATIENCE)  # a worker takes the next one
            found.append(item)
    assert {over for _, over in found} == {"call"}
    assert found[-1][0] is not threading.current_thread()


def test_one_ahead__an_error_comes_in_the_place_of_its_item():
    use_threads(2)

    def source():
        yield 1
        raise ValueError("the second")

    items = one_ahead(source())
    assert next(items) == 1
    with pytest.raises(ValueError, match="the second"):
        next(items)


def test_one_ahead__after_the_caller_leaves_nothing_runs_on():
    """The second item is on its way when the caller leaves, who then waits for it."""
    use_threads(2)
    begun, ended = threading.Event(), []

    def source():
        yield 1
        begun.set()
        time.sleep(0.2)
        ended.append(2)
        yield 2

    items = one_ahead(source())
    assert next(items) == 1
    assert begun.wait(PATIENCE)
    items.close()
    assert ended == [2]


def test_one_ahead__does_not_wait_for_a_worker_that_is_busy():
    use_threads(2)
    release = threading.Event()
    held = one_ahead(iter(lambda: release.wait(PATIENCE), None))
    threading.Thread(target=lambda: next(held), daemon=True).start()
    try:
        assert in_time(lambda: list(one_ahead(iter(range(5))))) == [0, 1, 2, 3, 4]
    finally:
        release.set()


@pytest.mark.parametrize("n", [2, 3])
def test_ordered_map__tasks_may_call_it(n):
    use_threads(n)

    def total(depth):
        return 1 if depth == 0 else sum(ordered_map(lambda _: total(depth - 1), range(4)))

    assert in_time(lambda: total(4)) == 4**4


def test_ordered_map__for_several_callers_at_once():
    use_threads(2)
    expected = [sum(range(i)) for i in range(60)]
    found = [None] * 6

    def caller(place):
        found[place] = list(ordered_map(lambda i: int(np.arange(i).sum()), range(60)))

    callers = [threading.Thread(target=caller, args=(place,), daemon=True) for place in range(6)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join(PATIENCE)
    assert found == [expected] * 6


def test_ordered_map__does_not_wait_for_a_worker_that_is_busy():
    """Another caller holds the only worker; this caller runs its tasks itself."""
    use_threads(2)
    held, release = threading.Event(), threading.Event()

    def hold(i):
        if i == 1:
            held.set()
        assert release.wait(PATIENCE)

    other = threading.Thread(target=lambda: list(ordered_map(hold, [0, 1])), daemon=True)
    other.start()
    assert held.wait(PATIENCE)
    try:
        assert in_time(lambda: list(ordered_map(lambda i: i, range(5)))) == [0, 1, 2, 3, 4]
    finally:
        release.set()
        other.join(PATIENCE)


def test_ordered_map__the_callers_errstate_holds_in_every_task():
    use_threads(2)
    both = threading.Barrier(2, timeout=PATIENCE)

    def overflow(_):
        both.wait()
        return np.float32(3e38) * np.float32(10)

    with np.errstate(over="ignore"):
        assert list(ordered_map(overflow, range(2))) == [np.inf] * 2
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        list(ordered_map(overflow, range(2)))


@given(st.integers(1, 5), st.integers(0, 11))
def test_buffered_map__a_result_is_valid_until_the_next(n, size):
    use_threads(n)
    made = []

    def new_buffer():
        made.append(np.zeros(1, int))
        return made[-1]

    def task(i, buffer):
        buffer[0] = i
        return buffer

    found = [int(buffer[0]) for buffer in buffered_map(task, range(size), new_buffer)]
    assert found == list(range(size))
    assert len(made) == min(n, size)


def test_buffered_map__sums_have_the_same_bits_on_any_number_of_threads():
    parts = np.random.default_rng(0).standard_normal(500).astype(np.float32) * 1e3

    def total(n):
        use_threads(n)
        results = buffered_map(lambda x, _: x, parts, lambda: None)
        return reduce(np.add, results, np.float32(0)).tobytes()

    assert len({total(n) for n in (1, 2, 3, 4)}) == 1


@pytest.mark.parametrize("n", [0, -1, 257, True, 1.0, "2", None])
def test_use_threads__refuses(n):
    use_threads(2)
    with pytest.raises(ValueError, match=r"threads must be an integer within 1\.\.256"):
        use_threads(n)
    assert threads.threads() == 2


@pytest.mark.parametrize("n", [1, 2, 3])
def test_ordered_map__runs_n_tasks_at_a_time_at_most(n):
    """Also where more tasks are in a group than there are threads."""
    use_threads(n)
    lock, running, most, names = threading.Lock(), 0, 0, set()

    def task(_):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            names.add(threading.current_thread().name)
        time.sleep(0.01)
        with lock:
            running -= 1

    list(ordered_map(task, range(12), at_most=6))
    assert most <= n
    workers = names - {threading.current_thread().name}
    assert {name.partition("_")[0] for name in workers} == ({"minitower"} if n > 1 else set())


def test_after_a_fork__the_workers_are_new():
    """A child that took over its parent's pool would wait for threads that it does not have."""
    use_threads(2)
    before = threads._pool
    threads._after_fork()
    assert threads._pool is not None
    assert threads._pool is not before


def script(source, **environment):
    environment = {k: v for k, v in (os.environ | environment).items() if v is not None}
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", source],
        capture_output=True, text=True, env=environment, timeout=60,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


UNSET = dict.fromkeys((*blas.VARIABLES, "OMP_NUM_THREADS"))


def test_use_threads__takes_one_thread_for_blas():
    source = """
import numpy as np, threadpoolctl
from minitower.formulas.threads import use_threads
info = threadpoolctl.threadpool_info
of_blas = lambda: {i["num_threads"] for i in info() if i["user_api"] == "blas"}
before = of_blas()
use_threads(2)
print(before == {2} or before, of_blas())
"""
    assert script(source, **UNSET | {"OPENBLAS_NUM_THREADS": "2"}) == "True {1}"


def test_use_threads__leaves_other_libraries_alone(monkeypatch):
    """OpenMP is not ours: Faiss and others keep their threads."""
    said = []
    fake = types.SimpleNamespace(threadpool_limits=lambda *limits: said.append(limits))
    monkeypatch.setitem(sys.modules, "threadpoolctl", fake)
    use_threads(2)
    assert said == [(1, "blas")]


def test_one_thread_before_numpy__is_said_to_every_blas(monkeypatch):
    environment = {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
    monkeypatch.setattr(os, "environ", environment)
    blas.one_thread_before_numpy()
    assert environment == {"OMP_NUM_THREADS": "2"} | dict.fromkeys(blas.VARIABLES, "1")


KEEPS_THREADS = "BLAS keeps threads of its own.*OPENBLAS_NUM_THREADS=1"


@pytest.mark.parametrize(
    "variable, warns",
    [(None, True), ("OPENBLAS_NUM_THREADS", False), ("OMP_NUM_THREADS", False)],
)
def test_use_threads__without_threadpoolctl_says_what_to_set(variable, warns, monkeypatch):
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    for name in UNSET:
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, "1")
        use_threads(2)
    else:
        with pytest.warns(UserWarning, match=KEEPS_THREADS):
            use_threads(2)
    monkeypatch.undo()


def test_use_threads__warns_at_the_line_of_the_caller(monkeypatch):
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    for name in UNSET:
        monkeypatch.delenv(name, raising=False)
    with pytest.warns(UserWarning, match=KEEPS_THREADS) as warned:
        use_threads(2)
    assert [Path(one.filename) for one in warned] == [Path(__file__)]
    monkeypatch.undo()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_process_has_workers_of_its_own():
    source = """
import os, threading, warnings
from minitower.formulas.threads import ordered_map, use_threads
use_threads(2)
def both_run():
    barrier = threading.Barrier(2, timeout=20)
    return list(ordered_map(lambda i: barrier.wait() >= 0, range(2))) == [True, True]
assert both_run()
warnings.simplefilter("ignore")  # Python warns of a fork beside threads
child = os.fork()
if child == 0:
    os._exit(0 if both_run() else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), both_run())
"""
    assert script(source, OPENBLAS_NUM_THREADS="1") == "0 True"
