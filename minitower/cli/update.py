"""``minitower update``: the nightly job, and the one that follows the clicks by day."""

import argparse
from collections.abc import Callable, Iterable

from minitower.cli import options
from minitower.cli.flags import add_flags
from minitower.cli.job import TRAINING
from minitower.data import DataError
from minitower.updating.full_update import by_night
from minitower.updating.incremental_session import by_day

_PATH, _NUMBER = options.argument(options.path), options.argument(options.number)
_COUNT = options.argument(options.integer(0))
_PART = options.argument(options.share(one=False))
_BY_NIGHT = ("users", "items", "retire", "validate", "at_least")
_BY_DAY = ("every", "follow", "item_ids", "window")
_IN_BATCH = ("objective", "temperature", "correction", "strength", "bank")
_STEPS = ("optimizer", "learning_rate", "batch_size", "seed")


def add_command(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add ``update`` to the program."""
    a = add(
        "update",
        help="go on training a store's model on new clicks, and publish it",
        description="Read the clicks of a folder of logs that came after those of the store's "
        "full version: .jsonl, .csv, .parquet or .tfrecord, with the id columns of the schema, "
        "'timestamp' (seconds), and the number by which positives are told, where they are. Train "
        "as that version was trained, unless options say otherwise. With --full, train it for one "
        "epoch on them and publish the next one. With --incremental, move id embeddings only, in "
        "the order of time, and publish the rows that moved on top of the full version, which the "
        "next full one does not build on. Prints the number of each version.",
    )
    a.add_argument("store", type=_PATH, metavar="STORE", help="folder of the store")
    a.add_argument("stream", type=_PATH, metavar="STREAM", help="folder of click logs")
    kind = a.add_mutually_exclusive_group(required=True)
    kind.add_argument(
        "--full", dest="run", action="store_const", const=_full, help="the nightly job"
    )
    kind.add_argument("--incremental", dest="run", action="store_const", const=_incremental,
                      help="by day")  # fmt: skip
    none = argparse.SUPPRESS  # an absent flag leaves no trace
    a.add_argument("--after", type=_moment, metavar="TIME", default=none,
                   help="learn from clicks after this time only: seconds since 1970, a date, or "
                   "'start' for all of them; for a version that does not say up to where it has "
                   "learned from clicks")  # fmt: skip
    a.add_argument("--aside", type=_PATH, metavar="FILE",
                   help="where to set malformed and late clicks aside, a file for each kind of "
                   "job; without it they are an error")  # fmt: skip
    a.add_argument("--tolerance", type=_NUMBER, default=0.01, metavar="SHARE",
                   help="share of the records that may be set aside (default: 0.01)")  # fmt: skip
    a.add_argument("--grace", type=_COUNT, default=100, metavar="N",
                   help="how many may be before the share counts (default: 100)")  # fmt: skip
    a.add_argument("--ahead", type=_seconds, default=86400.0, metavar="TIME",
                   help="a click dated so much after now is malformed; believed, it would make "
                   "all others late (default: 24h)")  # fmt: skip
    a.add_argument("--reset-optimizer", action="store_true",
                   help="begin with an optimizer without memory")  # fmt: skip
    night = a.add_argument_group("with --full")
    for side in ("users", "items"):
        night.add_argument(f"--{side}", type=_PATH, metavar="FILE", default=none,
                           help=f"{side} that are new or have changed, all columns: .jsonl or "
                           ".parquet")  # fmt: skip
    night.add_argument("--retire", type=_PATH, metavar="FILE", default=none,
                       help="items that are gone after this day, an id a line")  # fmt: skip
    night.add_argument("--validate", type=_PART, metavar="SHARE", default=none,
                       help="share of the clicks, the last, to validate on and not to train on "
                       "(default: 0)")  # fmt: skip
    night.add_argument("--at-least", type=_NUMBER, metavar="VALUE", default=none,
                       help="refuse a model whose --metric on validation is below")  # fmt: skip
    day = a.add_argument_group("with --incremental")
    day.add_argument("--window", type=_window, metavar="TIME", default=none,
                     help="how much out of order clicks may come, such as 90s or 2h; later ones "
                     "are left to the next full update (default: 0)")  # fmt: skip
    day.add_argument("--every", type=_seconds, metavar="TIME", default=none,
                     help="publish so often while following, such as 90s or 2h "
                     "(default: 20m)")  # fmt: skip
    day.add_argument("--follow", action="store_true", default=none,
                     help="wait for more clicks; stop by Ctrl-C")  # fmt: skip
    day.add_argument("--item-ids", action="store_true", default=none,
                     help="let the items' ids move, too")  # fmt: skip
    note = "What is not given is as the version was trained; it is an error where it says nothing."
    add_flags(a, ["positive", *TRAINING], note)


def _full(args: argparse.Namespace) -> None:
    _refuse(args, _BY_DAY, "--incremental")
    by_night(args)


def _incremental(args: argparse.Namespace) -> None:
    _refuse(args, sorted({*_BY_NIGHT, *TRAINING} - {*_IN_BATCH, *_STEPS}), "--full")
    by_day(args)


def _refuse(args: argparse.Namespace, names: Iterable[str], kind: str) -> None:
    """Flags that would do nothing."""
    for name in names:
        if name in vars(args):
            raise DataError(f"--{name.replace('_', '-')} belongs to {kind}")


def _moment(text: str) -> float:
    try:
        return options.moment(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}, got {text!r}") from None


def _window(text: str) -> float:
    """A time as above, or seconds, of which there may be none."""
    try:
        return options.number(text)
    except ValueError:
        return _seconds(text)


def _seconds(text: str) -> float:
    """A time such as 90s, 20m or 2h.

    >>> _seconds("20m")
    1200.0
    """
    unit = {"s": 1, "m": 60, "h": 3600}.get(text[-1:])
    try:
        seconds = options.number(text[:-1]) * (unit or 0)
    except ValueError:
        seconds = 0.0
    if seconds <= 0:
        raise argparse.ArgumentTypeError(f"expected a time such as 90s, 20m or 2h, got {text!r}")
    return seconds
