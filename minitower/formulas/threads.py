"""Threads: run tasks on a few cores, and take their results in the order of the tasks. Chapter 4.

NumPy releases Python's lock during a matrix product, so Python's own threads use several cores. A
task is the same work on any number of threads, and results come in the order of the tasks. So sums
over results are equal to the bit on one thread and on many.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from itertools import cycle, islice
from typing import TypeVar

from minitower.formulas.arguments import strict_integer
from minitower.formulas.blas import one_thread

B = TypeVar("B")
S = TypeVar("S")
T = TypeVar("T")

MAX_THREADS = 256
"""Bound on the threads. Every thread has buffers of its own."""

_threads = 1
_pool: ThreadPoolExecutor | None = None  # of threads - 1 workers: the caller is the first thread


def use_threads(n: int) -> None:
    """Train, encode and search on n threads, with one thread of BLAS for each product.

    This is a setting of the whole process, like the threads of BLAS. Before the first call,
    everything runs on the thread of its caller, and BLAS on as many as it likes. Results are equal
    to the bit for every n. Functions that a caller passes in, such as a tower, may then run on
    several threads at once.

    Args:
        n: threads, the caller's included, 1 to 256.
    Raises ValueError: n is not such an integer.
    Warns UserWarning: as :func:`minitower.formulas.blas.one_thread`.
    """
    global _threads, _pool
    _threads = strict_integer("threads", n, 1, MAX_THREADS)
    _pool = _new_pool()
    one_thread()


def threads() -> int:
    """The number of threads that :func:`use_threads` has set, at first 1."""
    return _threads


def ordered_map(
    task: Callable[[S], T], items: Iterable[S], at_most: int | None = None
) -> Iterator[T]:
    """Yield task(item) for each item, in the order of the items.

    Items are taken in groups of n. The tasks of a group run at the same time, and all its results
    are consumed before the next group starts. The caller runs the first task of a group, and any
    other that no worker has begun. It waits for running tasks only, so a task may call ordered_map.

    An error of a task reaches the caller as it is, once no other task runs.

    Args:
        at_most: n, tasks at a time; None: as many as threads.

    >>> list(ordered_map(lambda x: x * x, [1, 2, 3]))
    [1, 4, 9]
    """
    n, pool, items = at_most or _threads, _pool, iter(items)
    if pool is None:
        yield from map(task, items)
        return
    while group := list(islice(items, n)):
        others: list[tuple[S, Future[T]]] = [
            (item, pool.submit(copy_context().run, task, item)) for item in group[1:]
        ]
        try:
            yield task(group[0])
            for item, future in others:
                yield task(item) if future.cancel() else future.result()
        finally:  # after an error, too, nothing runs on
            for _, future in others:
                if not future.cancel():
                    future.exception()


def buffered_map(
    task: Callable[[S, B], T], items: Sequence[S], new_buffer: Callable[[], B]
) -> Iterator[T]:
    """Yield task(item, buffer) for each item, in the order of the items.

    Tasks that run at the same time have different buffers. A result may refer to its buffer: it
    is valid until the next one is taken.
    """
    buffers = [new_buffer() for _ in range(min(_threads, len(items)))]
    pairs = zip(items, cycle(buffers), strict=False)
    return ordered_map(lambda pair: task(*pair), pairs, len(buffers))


def together(*calls: Callable[[], T]) -> list[T]:
    """Run independent calls at the same time, and return their results in order.

    >>> together(lambda: 1, lambda: 2)
    [1, 2]
    """
    return list(ordered_map(lambda call: call(), calls))


def one_ahead(items: Iterator[T]) -> Iterator[T]:
    """Yield each item while a worker takes the next one from the iterator.

    At most one is taken ahead, and never two at a time. An error of the iterator reaches the
    caller in the place of the item. After the caller leaves, nothing runs on.

    >>> list(one_ahead(iter([1, 2, 3])))
    [1, 2, 3]
    """
    pool = _pool
    if pool is None:
        yield from items
        return

    def take() -> list[T]:
        """The next item, alone in a list; an empty list at the end."""
        return list(islice(items, 1))

    coming = pool.submit(copy_context().run, take)
    try:
        while taken := take() if coming.cancel() else coming.result():
            coming = pool.submit(copy_context().run, take)
            yield taken[0]
    finally:
        if not coming.cancel():
            coming.exception()


def _new_pool() -> ThreadPoolExecutor | None:
    return ThreadPoolExecutor(_threads - 1, "minitower") if _threads > 1 else None


def _after_fork() -> None:
    """Make the pool again: a child process has only the thread that forked."""
    global _pool
    _pool = _new_pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
