"""One case in a process of its own: forked, bounded, watched, judged."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import pickle
import resource
import select
import shutil
import signal
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

from case import BYTES, SECONDS, Case, Failure, Outcome, brief, shown
from judge import (
    folder_failures,
    place_in,
    place_of,
    raised_failures,
    snapshot,
)
from speak import said_by, said_by_process

_ADDRESSES = 4 << 30  # bytes a process may reserve beyond what it has: a guard
_DEAF = 3  # alarms after which a process ends itself
_LAST = 90.0  # seconds beyond its time after which a process is killed that hears no alarm
_TOLD = 4_000  # characters of what a step said, kept for a person


class Hang(BaseException):
    """The alarm rang."""


@dataclass(frozen=True)
class Done:
    """A case that has run: its number, what it was, how it ended."""

    number: int
    kind: str
    what: str
    outcome: Outcome


def run_all(
    cases: Iterable[tuple[int, Callable[[], Case]]],
    world: Path,
    work: Path,
    jobs: int,
    seconds: float = SECONDS,
) -> Iterator[Done]:
    """Run cases in forked processes, ``jobs`` at a time; each as it ends.

    Args:
        cases: numbers, and what makes the case; it is made in the child.
        world: the folder of valid inputs.
        work: a folder for those of the cases.
        jobs: processes at a time.
        seconds: that a case may take.
    """
    gc.collect()
    gc.freeze()  # so that a child does not copy pages that it only reads
    waiting, running = iter(cases), dict[int, tuple[int, int, float, Path]]()
    told = defaultdict[int, bytes](bytes)
    while True:
        while len(running) < jobs and (following := next(waiting, None)) is not None:
            number, make = following
            folder = work / str(number)
            reader, writer = os.pipe()
            child = os.fork()
            if not child:
                os.close(reader)
                _child(make, world, folder / "box", writer, seconds)
            os.close(writer)
            running[reader] = (number, child, time.monotonic(), folder)
        if not running:
            return
        ready, _, _ = select.select(list(running), [], [], 0.5)
        for reader, (number, child, started, folder) in list(running.items()):
            if time.monotonic() > started + seconds + _LAST:
                os.kill(child, signal.SIGKILL)
            elif reader not in ready:
                continue
            elif part := os.read(reader, 1 << 20):
                told[reader] += part
                continue
            del running[reader]
            os.close(reader)
            yield _collected(number, told.pop(reader, b""), child, started)
            shutil.rmtree(folder, ignore_errors=True)


def _collected(number: int, told: bytes, child: int, started: float) -> Done:
    """What a child told, and how it ended."""
    stream = io.BytesIO(told)
    _, status, usage = os.wait4(child, 0)
    kind, what, where = "unknown", "died before the case was made", "the fuzzer"
    outcome = Outcome("refused")
    with contextlib.suppress(EOFError, pickle.UnpicklingError):
        kind, what, where = pickle.load(stream)
        outcome = pickle.load(stream)
    peak = max(outcome.peak, usage.ru_maxrss * 1024)
    failures = outcome.failures
    if os.WIFSIGNALED(status):
        number_of = os.WTERMSIG(status)
        ended = "hang, killed" if number_of == signal.SIGKILL else f"died of signal {number_of}"
        failures = (Failure(ended, where),)
    if peak > BYTES:
        failures += (Failure("more than 1 GB", where, f"{peak / 1e9:.2f} GB at the peak"),)
    seconds = time.monotonic() - started
    return Done(number, kind, what, replace(outcome, failures=failures, seconds=seconds, peak=peak))


def _child(
    make: Callable[[], Case], world: Path, folder: Path, writer: int, seconds: float
) -> None:
    """Make the case, run it, tell the outcome, end."""
    status = 1
    try:
        with open(writer, "wb") as pipe:
            case = make()
            where = f"{_first(case)} {brief(case.places[:1])}"
            pickle.dump((case.kind, case.what, where), pipe)
            pipe.flush()
            pickle.dump(run(case, world, folder, seconds), pipe)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _first(case: Case) -> str:
    step = case.steps[0] if case.steps else ()
    return shown(step if callable(step) else step[:1])


def run(case: Case, world: Path, folder: Path, seconds: float = SECONDS) -> Outcome:
    """Run a case in this process, which is good for nothing afterwards."""
    _prepare(case, world, folder)
    os.chdir(folder)
    _bound(case.room)
    said: list[str] = []
    peak = 0
    for step in case.steps:
        before = snapshot(folder)
        ended = _run_step(case, step, case.seconds or seconds)
        said.append(ended.said)
        failures = [*ended.failures]
        undone = ended.refused and case.stdout == "kept"  # else the work may be done
        if not any(failure.what.startswith("hang") for failure in failures):
            failures += folder_failures(case, step, before, snapshot(folder), undone)
            failures += _store_failures(case, step, undone)
        if case.accepted and ended.refused and not failures:
            failures = [Failure("valid input refused", shown(step), ended.said[-300:])]
        peak = _peak() if case.process else 0
        if failures or ended.refused:
            return Outcome("refused", tuple(failures), "\n".join(said)[:_TOLD], 0.0, peak)
    return Outcome("accepted", (), "\n".join(said)[:_TOLD], 0.0, peak)


def _prepare(case: Case, world: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    for name in case.uses:
        if (world / name).is_file():
            (folder / name).write_bytes((world / name).read_bytes())
        for root, _, files in os.walk(world / name):
            to = folder / Path(root).relative_to(world)
            to.mkdir()
            for file in files:  # shutil takes three times as long
                (to / file).write_bytes(Path(root, file).read_bytes())
    for change in case.changes:
        change(folder)


def _bound(room: int | None) -> None:
    """Limits of memory, of files where the case asks for it; no waiting for disks."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + _ADDRESSES, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if room is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    os.fsync = lambda handle: None


def _peak() -> int:
    """Bytes at the peak of processes that this one has started."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


@dataclass(frozen=True)
class _Ended:
    """How a step ended."""

    refused: bool
    failures: list[Failure]
    said: str


def _run_step(case: Case, step: object, seconds: float) -> _Ended:
    rung = 0

    def ring(number: int, frame: FrameType | None) -> None:
        nonlocal rung
        rung += 1
        if rung == _DEAF:
            os.kill(os.getpid(), signal.SIGKILL)
        raise Hang(place_in(frame))

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        if isinstance(step, tuple):
            say = said_by_process if case.process else said_by
            said = say(step, case.stdout, seconds)
            return _Ended(said.status != 0, said.failures(case, step), said.told(step))
        return _called(case, step)
    except Hang as hang:
        return _Ended(True, [Failure("hang", str(hang), brief(shown(step)))], "hang")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _called(case: Case, step: object) -> _Ended:
    """A Python call: what it raises is judged, what it prints is wrong."""
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
            step()  # type: ignore[operator]
    except Hang:
        raise
    except BaseException as error:
        told = "".join(traceback.format_exception(error))
        return _Ended(True, [*raised_failures(error, case), *_printed(out)], told[-_TOLD:])
    return _Ended(False, _printed(out), "accepted")


def _printed(out: io.StringIO) -> list[Failure]:
    return [Failure("stdout of a call", "call", out.getvalue()[:200])] if out.getvalue() else []


def _store_failures(case: Case, step: object, refused: bool) -> list[Failure]:
    """Whether a valid store still answers; after a refusal its files are the same anyway."""
    from world import RECALLS, recalled

    failures = []
    for name, answer in RECALLS.items():
        if name not in case.uses or case.kind == "store":  # not valid to begin with
            continue
        try:
            now = recalled(Path(name))
        except Exception as error:
            where = place_of(error.__traceback__)
            failures.append(Failure("the store no longer opens", where, str(error)[:300]))
            continue
        if refused and now != answer:
            failures.append(Failure("the store answers differently", shown(step), str(now)))
    return failures
