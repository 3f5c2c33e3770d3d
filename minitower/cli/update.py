"""``minitower update``: parse the options, call the full or the incremental update, print."""

import argparse
import dataclasses
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from threading import Event, Thread, current_thread, main_thread
from typing import Any, TypeVar

from minitower.cli import options
from minitower.cli.flags import add_flags
from minitower.cli.job import TRAINING, flag
from minitower.cli.progress import ItemsBar, TrainingBar, row, say
from minitower.data import DataError
from minitower.store.snapshot import Store
from minitower.updating.full_update import full_update
from minitower.updating.incremental_job import incremental_update
from minitower.updating.options import FullUpdateOptions, IncrementalOptions, UpdateOptions

K = TypeVar("K", bound=UpdateOptions)
_PATH = options.argument(options.path)


def add_command(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add ``update`` to the program."""
    a = add(
        "update",
        help="train a store's model further on new clicks, and publish it",
        description="Read the clicks of a folder of logs that the store's full version has not "
        "learned: .jsonl, .csv, .parquet or .tfrecord, with the id columns of the schema, "
        "'timestamp' (seconds), and the number that the rule of positives needs, if any. Train as "
        "that version was trained, unless options say otherwise. With --full, train all "
        "parameters for one epoch and publish the next full version. With --incremental, move id "
        "embeddings only, in time order, and publish the rows that moved on top of the full "
        "version; the next full version does not build on them. Prints the number of each version.",
    )
    a.add_argument("store", type=_PATH, metavar="STORE", help="folder of the store")
    a.add_argument("logs", type=_PATH, metavar="LOGS", help="folder of click logs")
    kind = a.add_mutually_exclusive_group(required=True)
    kind.add_argument("--full", dest="run", action="store_const", const=_full,
                      help="update all parameters, such as each night")  # fmt: skip
    kind.add_argument("--incremental", dest="run", action="store_const", const=_incremental,
                      help="update id embeddings, all day")  # fmt: skip
    common = _names(UpdateOptions)
    _add_flags(a, UpdateOptions, common - {"training", "positive"})
    for title, kind_of in (("--full", FullUpdateOptions), ("--incremental", IncrementalOptions)):
        _add_flags(a.add_argument_group(f"with {title}"), kind_of, _names(kind_of) - common)
    add_flags(a, ["positive", *TRAINING], "By default as the version was trained.")


def _full(args: argparse.Namespace) -> None:
    chosen = _read(args, FullUpdateOptions, "--incremental", IncrementalOptions)
    with TrainingBar("full update", "") as training, ItemsBar() as encoding:
        result = full_update(
            args.store, args.logs, chosen, on_event=_say, on_progress=training, on_encoded=encoding
        )
    if result.published is not None:
        _print_version(result.published)


def _incremental(args: argparse.Namespace) -> None:
    chosen, stop = _read(args, IncrementalOptions, "--full", FullUpdateOptions), Event()
    with _set_by_signals(stop) if chosen.follow else nullcontext():
        incremental_update(
            args.store, args.logs, chosen, stop=stop, on_event=_say, on_publish=_print_version
        )


def _say(event: object) -> None:
    say(str(event))


def _print_version(store: Store) -> None:
    assert store.version is not None
    row(store.version.number)


def _names(kind: type[UpdateOptions]) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)}


def _add_flags(parser: Any, kind: type[UpdateOptions], names: set[str]) -> None:
    """A flag for each of these options, which is absent from the arguments unless typed."""
    for field in dataclasses.fields(kind):
        if field.name in names:
            more: dict[str, Any] = {"action": "store_true"}
            if field.type != "bool":
                read = options.argument(_READERS.get(field.name, options.path))
                more = {"type": read, "metavar": field.metadata["metavar"]}
            help, default = field.metadata["help"], field.default
            if field.type != "bool" and default is not None and "default" not in help:
                help += f" (default: {default})"
            parser.add_argument(flag(field.name), default=argparse.SUPPRESS, help=help, **more)


def _read(
    args: argparse.Namespace, kind: type[K], other_flag: str, other: type[UpdateOptions]
) -> K:
    """The options that were typed.

    Raises:
        DataError: one of them belongs to the other update, or is outside its domain.
    """
    typed = vars(args)
    for name in sorted(_names(other) - _names(kind)):
        if name in typed:
            raise DataError(f"{flag(name)} belongs to {other_flag}")
    training = {name: typed[name] for name in TRAINING if name in typed}
    return kind(training=training, **{n: typed[n] for n in _names(kind) if n in typed})


def _duration(value: Any) -> float:
    """Seconds of a time such as 90s, 20m or 2h.

    >>> _duration("20m")
    1200.0
    """
    unit = {"s": 1, "m": 60, "h": 3600}.get(value[-1:])
    try:
        seconds = options.number(value[:-1]) * (unit or 0)
    except ValueError:
        seconds = 0.0
    if seconds <= 0:
        raise ValueError("expected a time such as 90s, 20m or 2h")
    return seconds


def _lateness(value: Any) -> float:
    """A duration as above, or a number of seconds, which may be 0."""
    try:
        return options.number(value)
    except ValueError:
        return _duration(value)


_READERS: dict[str, Callable[[Any], Any]] = {
    "after": options.moment,
    "max_error_rate": options.number,
    "min_errors": options.integer(0),
    "max_clock_skew": _duration,
    "validate": options.share(one=False),
    "at_least": options.number,
    "allowed_lateness": _lateness,
    "every": _duration,
}
"""How the text of a flag is read, where it is not a path."""


@contextmanager
def _set_by_signals(stop: Event) -> Iterator[None]:
    """Set an event at the first Ctrl-C or SIGTERM in the block; the second ends the process."""
    if current_thread() is not main_thread():  # only the main thread may handle signals
        yield
        return
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in usual.items():
            signal.signal(number, handler)

    def handle(*_: object) -> None:
        restore()
        Thread(target=stop.set).start()  # set here, it could wait for the thread it interrupts

    for number in usual:
        signal.signal(number, handle)
    try:
        yield
    finally:
        restore()
