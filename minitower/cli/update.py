"""``update``: parse the options, call the full or the incremental update, print. Chapter 13."""

import argparse
import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Event, Thread, current_thread, main_thread
from typing import Any, TypeVar

from minitower.cli.arguments import CommandFailed, add_flags, reader, without
from minitower.cli.terminal import ItemsBar, TrainingBar, row, say
from minitower.data.errors import DataError
from minitower.data.layouts import Reading
from minitower.data.options import Option, declared, flag
from minitower.store.full_version import Store
from minitower.training.recipe import TRAINING
from minitower.updating.full_update import full_update
from minitower.updating.incremental_session import incremental_update
from minitower.updating.options import FullUpdateOptions, IncrementalOptions, UpdateOptions
from minitower.updating.validation_gate import UpdateRefused

K = TypeVar("K", bound=UpdateOptions)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``update``; those of the other kind of update are refused later."""
    parser.description = (
        "Read the clicks of a folder of logs that the store's full version has not learned: "
        ".jsonl, .csv, .parquet or .tfrecord. They have the id columns of the schema and "
        "'timestamp' (seconds); and, if training used them, the columns of its rule of positives "
        "and of its weights. Train as that version was trained, unless options say otherwise. "
        "With --full, train all parameters for one epoch and publish the next full version. With "
        "--incremental, move id embeddings only, in time order, and publish the rows that moved "
        "on top of the full version; the next full version does not build on them. Prints the "
        "number of each version."
    )
    path = reader(Option("", type=Path))
    about = "folder of click logs, also in folders such as day=2022-05-01"
    parser.add_argument("store", type=path, metavar="STORE", help="folder of the store")
    parser.add_argument("logs", type=path, metavar="LOGS", help=about)
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--full", dest="run", action="store_const", const=_full,
                      help="update all parameters, such as each night")  # fmt: skip
    kind.add_argument("--incremental", dest="run", action="store_const", const=_incremental,
                      help="update id embeddings, all day")  # fmt: skip
    common = declared(UpdateOptions)
    add_flags(parser, common, read=True)
    group = parser.add_argument_group
    add_flags(group("with --full"), without(declared(FullUpdateOptions), common), read=True)
    add_flags(group("with --incremental"), without(declared(IncrementalOptions), common), read=True)
    training = group("training", "By default as the version was trained.")
    add_flags(training, {"positive": declared(Reading)["positive"], **TRAINING}, read=False)


def _full(args: argparse.Namespace) -> None:
    chosen = _read(args, FullUpdateOptions, "--incremental", IncrementalOptions)
    with TrainingBar("full update", "") as training, ItemsBar() as encoding:
        bars: Any = {"on_progress": training, "on_encoded": encoding}
        try:
            result = full_update(args.store, args.logs, chosen, on_event=_say, **bars)
        except UpdateRefused as error:
            raise CommandFailed(str(error)) from None
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


def _read(
    args: argparse.Namespace, kind: type[K], other_flag: str, other: type[UpdateOptions]
) -> K:
    """The options that were typed.

    Raises:
        DataError: one of them belongs to the other update, or is outside its domain.
    """
    typed: dict[str, Any] = vars(args)
    for name in sorted(without(declared(other), declared(kind))):
        if name in typed:
            raise DataError(f"{flag(name)} belongs to {other_flag}")
    training = {name: typed[name] for name in TRAINING if name in typed}
    own = ("positive", *declared(kind))
    return kind(training=training, **{name: typed[name] for name in own if name in typed})


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
