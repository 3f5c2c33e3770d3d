"""Malformed inputs: what does minitower say, and what does it leave?

    python benchmarks/fuzz_inputs                               # 20,000 cases of seed 1
    python benchmarks/fuzz_inputs --cases 2000 --seed 7 --only flags
    python benchmarks/fuzz_inputs --seed 7 --case 123           # one again, with what it says

Files, flags, TOML job files, Python arguments and stores are mutated from valid ones. Each case
runs in a process of its own, and after each of them must hold:

* No traceback. A command exits with 0, 1, 2, 130 or 141; a Python call succeeds or raises a
  ValueError, a TrainingError, an UpdateRefused, an OSError or, without an extra, a
  ModuleNotFoundError.
* No hang over 10 seconds, and no process above 1 GB.
* A refusal is one line under 500 characters without control characters that names the place.
* A refusal loses nothing: inputs are unchanged, the store answers as before, no file is left.
* stdout holds what the command is asked for, and nothing else.

A case is a function of the seed and its number. Exits with 1 if anything did not hold.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # processes of one thread can be forked
os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import contextlib
import importlib
import sys
import tempfile
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random

import calls
import files
import flags
import jobs
import stores
import world
from case import KINDS, Case
from process import Done, run_all

MAKERS: dict[str, Callable[[Random], Case]] = {
    "files": files.make,
    "flags": flags.make,
    "toml": jobs.make,
    "python": calls.make,
    "store": stores.make,
}
_USED = ("pandas", "polars", "pyarrow.parquet", "google_crc32c", "optuna")
_SLOWEST = 3  # cases that are named
_WIDTH = 250  # characters of a line of the table


def kind_of(seed: int, number: int) -> str:
    """The kind of a case."""
    return Random(f"{seed}/{number}/kind").choices(list(KINDS), list(KINDS.values()))[0]


def made(seed: int, number: int) -> Case:
    """A case, the same whenever it is made."""
    if number < 0:
        return valid_case(list(world.commands())[-number - 1])
    return MAKERS[kind_of(seed, number)](Random(f"{seed}/{number}"))


def valid_case(name: str) -> Case:
    """A valid command, which must be accepted."""
    argv, uses = world.commands()[name]
    return Case(
        "valid", name, (argv,), argv[:1], uses, (), ("aside.jsonl",), accepted=True, seconds=60
    )


def _memory() -> str | None:
    """A folder in memory, where there is one: cases write many small files."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def numbered(args: argparse.Namespace) -> Iterator[tuple[int, Callable[[], Case]]]:
    """The cases that were asked for; first the valid ones, numbered downwards from -1."""
    if args.case is not None:
        numbers = [args.case]
    else:
        valid = [-1 - i for i in range(len(world.commands()))] if args.only is None else []
        fitting = (n for n in range(args.cases) if args.only in (None, kind_of(args.seed, n)))
        numbers = [*valid, *fitting]
    for number in numbers:
        yield number, partial(made, args.seed, number)


def main(arguments: list[str] | None = None) -> int:
    """Run, print, and say by the exit status whether all held."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cases", type=int, default=20_000, help="how many (default: 20000)")
    parser.add_argument("--seed", type=int, default=1, help="of all of them (default: 1)")
    parser.add_argument("--only", choices=tuple(KINDS), help="run only cases of this kind")
    parser.add_argument("--case", type=int, help="run one case, and print what it says")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes at a time")
    args = parser.parse_args(arguments)
    started = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in _USED:  # once, and not in every process
            with_extra = importlib.util.find_spec(module.partition(".")[0])
            if with_extra is not None:
                importlib.import_module(module)
    print(f"seed {args.seed}", flush=True)
    with tempfile.TemporaryDirectory(dir=_memory()) as place:
        valid, work = Path(place, "world"), Path(place, "work")
        valid.mkdir()
        world.build(valid)
        ended: list[Done] = []
        with contextlib.suppress(KeyboardInterrupt):  # what was found until then is printed
            for done in run_all(numbered(args), valid, work, args.jobs):
                ended.append(done)
                if args.case is not None:
                    said = f"{done.kind}: {done.what}\n{done.outcome.said}"
                    print(said.encode("utf-8", "backslashreplace").decode())
                if len(ended) % 1000 == 0:
                    print(f"{len(ended):,} cases", file=sys.stderr, flush=True)
    print(summary(ended, time.monotonic() - started))
    failed = table(ended, args.seed)
    print(failed or "every invariant held")
    return int(bool(failed))


def summary(ended: list[Done], seconds: float) -> str:
    """How many of each kind were accepted and refused; the slowest; the largest."""
    counts = Counter((done.kind, done.outcome.status) for done in ended)
    lines = [
        f"{kind:8} {counts[kind, 'accepted'] + counts[kind, 'refused']:7,} cases: "
        f"{counts[kind, 'accepted']:6,} accepted, {counts[kind, 'refused']:6,} refused"
        for kind in sorted({done.kind for done in ended})
    ]
    slowest = sorted(ended, key=lambda done: -done.outcome.seconds)[:_SLOWEST]
    named = ", ".join(f"case {done.number} {done.outcome.seconds:.1f} s" for done in slowest)
    peak = max((done.outcome.peak for done in ended), default=0)
    lines.append(
        f"{len(ended):,} cases in {seconds:.0f} s; slowest: {named}; largest: {peak / 1e9:.2f} GB"
    )
    return "\n".join(lines)


def table(ended: list[Done], seed: int) -> str:
    """Failures grouped by what and where; the smallest case of each group, to replay."""
    groups = defaultdict[tuple[str, str], list[tuple[Done, str]]](list)
    for done in ended:
        for failure in done.outcome.failures:
            groups[failure.what, failure.where].append((done, failure.detail))
    if not groups:
        return ""
    lines = [
        f"{sum(bool(done.outcome.failures) for done in ended):,} cases failed, {len(groups)} groups"
    ]
    for (what, where), members in sorted(groups.items(), key=lambda group: -len(group[1])):
        done, detail = min(members, key=lambda member: abs(member[0].number))
        lines += [
            f"{len(members):6}  {what}  at {where}  --seed {seed} --case {done.number}",
            f"        {done.kind}: {done.what}",
            f"        {' '.join(detail.split())}",
        ]
    return "\n".join("".join(map(_printable, line))[:_WIDTH] for line in lines)


def _printable(character: str) -> str:
    return character if character.isprintable() else repr(character)[1:-1]


if __name__ == "__main__":
    raise SystemExit(main())
