"""``minitower update``: parse the options, call the full or the incremental update, print."""

import argparse
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from threading import Event, Thread, current_thread, main_thread
from typing import Any, TypeVar

from minitower.cli import options
from minitower.cli.flags import add_flags
from minitower.cli.job import TRAINING
from minitower.cli.progress import ItemsBar, TrainingBar, row, say
from minitower.data import DataError
from minitower.data.options import Option, declared, flag
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
    common = declared(UpdateOptions)
    _add_flags(a, common)
    for title, kind_of in (("--full", FullUpdateOptions), ("--incremental", IncrementalOptions)):
        own = {n: option for n, option in declared(kind_of).items() if n not in common}
        _add_flags(a.add_argument_group(f"with {title}"), own)
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


def _add_flags(parser: Any, known: dict[str, Option]) -> None:
    """A flag for each option; it leaves no trace among the arguments unless typed."""
    for name, option in known.items():
        more: dict[str, Any] = {"action": "store_true"}
        if option.type is not bool:
            more = {"type": options.argument(option.read), "metavar": option.metavar or "VALUE"}
        help, default = option.help, option.default
        if option.type is not bool and default is not None and "default" not in help:
            help += f" (default: {default})"
        parser.add_argument(flag(name), default=argparse.SUPPRESS, help=help, **more)


def _read(
    args: argparse.Namespace, kind: type[K], other_flag: str, other: type[UpdateOptions]
) -> K:
    """The options that were typed.

    Raises:
        DataError: an option belongs to the other update, or is outside its domain.
    """
    typed, own = vars(args), declared(kind)
    for name in declared(other):
        if name in typed and name not in own:
            raise DataError(f"{flag(name)} belongs to {other_flag}")
    training = {name: typed[name] for name in TRAINING if name in typed}
    said = {name: typed[name] for name in ("positive", *own) if name in typed}
    return kind(training=training, **said)


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
