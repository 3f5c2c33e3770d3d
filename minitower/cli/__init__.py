"""The commands of ``minitower``: from demo and train to publish and check.

Everything above the rooms of the package, for a person or a script at a terminal.
stdout carries what a script would want and nothing else; remarks, progress and errors
go to stderr.
"""

import argparse
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from minitower import __version__
from minitower.cli import check, commands, demo, indexes, store, update
from minitower.cli.flags import add_flags
from minitower.cli.job import OPTIONS, READING
from minitower.cli.options import argument, integer, path
from minitower.cli.progress import say
from minitower.cli.terminal import drop, escaping_stdout, write
from minitower.data import DataError
from minitower.training.trainer import TrainingError

_PATH = argument(path)
_COUNT = argument(integer(1))
_TOO_LARGE = (
    "a value is too large for this machine; lower --batch-size, --dim, --hidden, --negatives, "
    "--bank or --self-batch-size"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments, without the name of the program; None takes the process's.

    Returns:
        The exit status: 0; 1 when the work failed; 2 when what was asked or the data is
        wrong; 130 when interrupted; 141 when nobody reads stdout any more, as after
        ``| head``. Anything but 0 and 141 comes with one line on stderr.
    """
    if sys.stdout is None:
        return _fail("stdout is closed; redirect it to a file or to /dev/null", 1)
    with escaping_stdout():
        status, error = _outcome(argv)
        try:
            sys.stdout.flush()
        except OSError as failure:
            drop(sys.stdout)
            if status == 0 or (isinstance(error, OSError) and error.filename is None):
                gone = isinstance(failure, BrokenPipeError)
                status, error = (141, None) if gone else (1, f"stdout: {failure.strerror}")
        return status if error is None else _fail(error, status)


def _outcome(argv: Sequence[str] | None) -> tuple[int, object]:
    """Run one command: the exit status, and the error to print or None."""
    try:
        args = _parser().parse_args(argv)
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: say(f"warning: {message}")
            args.run(args)
    except SystemExit:  # argparse has printed --help or --version
        return 0, None
    except BrokenPipeError:
        return 141, None
    except DataError as error:
        return 2, error
    except (TrainingError, check.CheckFailed, OSError, ModuleNotFoundError) as error:
        return 1, error
    except (MemoryError, OverflowError, RecursionError) as error:
        return 1, f"{_TOO_LARGE} ({type(error).__name__}: {error})"
    except KeyboardInterrupt:
        return 130, "interrupted"
    return 0, None


def _fail(error: object, status: int) -> int:
    """Print an error as one line, whatever its text holds."""
    text = str(error)
    if isinstance(error, OSError) and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"
    with suppress(BrokenPipeError):
        say("minitower: error: " + " ".join(text.splitlines()))
    return status


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, as all others."""

    def error(self, message: str) -> NoReturn:
        raise DataError(f"{message} (see {self.prog} --help)")

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        """The values of an argument; argparse itself would take --flag=-- for no value."""
        if action.option_strings and arg_strings == ["--"]:
            self.error(f"argument {'/'.join(action.option_strings)}: expected a value, got '--'")
        return super()._get_values(action, arg_strings)

    def _print_message(self, message: str, file: Any = None) -> None:
        """Print --help or --version; argparse itself would hide that stdout is full."""
        write(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="minitower",
        description="Two-tower retrieval: train a model on clicks, recall items for users.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    add = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser).add_parser

    a = add(
        "demo",
        help="train, index, recall and report, on simulated data or your own",
        description="Train a model, and for comparison the same model without logQ correction and "
        "with self-supervision; measure all against 'most popular'; build an index; recall for one "
        "user. Prints a small table and the path of a page with plots. Without --data it makes its "
        "own data.",
    )
    a.add_argument("--data", type=_PATH, metavar="DIR", help="real files instead of simulated data")
    a.add_argument("--job", type=_PATH, metavar="FILE", help="TOML job file with options")
    a.add_argument(
        "--report", type=_PATH, default=Path("report.html"), metavar="FILE",
        help="where to write the page (default: report.html)",
    )  # fmt: skip
    a.add_argument("--no-report", action="store_true", help="print the table only")
    add_flags(a, [name for name in OPTIONS if name != "refit"])
    a.set_defaults(run=demo.demo)

    a = add(
        "train",
        help="train a model on a folder of data and write it to a folder",
        description="Read a folder of RecBole atomic files (.inter, .user, .item), of "
        "MovieLens-100K or -1M, or of split files (train.txt, test.txt); train; measure on the "
        "test part; train once more on everything; build the index; write everything that recall "
        "and update need to a folder, and print its path. Options may stand in "
        "a TOML job file under the names of the flags, with underscores; flags win.",
    )
    a.add_argument("data", type=_PATH, nargs="?", metavar="DATA", help="folder of data")
    a.add_argument("--job", type=_PATH, metavar="FILE", help="TOML job file; may name data and out")
    a.add_argument("--out", type=_PATH, metavar="FOLDER", help="where to (default: model)")
    a.add_argument("--index", metavar="ENGINE",
                   help="exact, hnsw (default), faiss-flat, faiss-hnsw, faiss-ivfpq or scann; "
                   "updates keep it")  # fmt: skip
    add_flags(a)
    a.set_defaults(run=commands.train)

    a = add(
        "evaluate",
        help="measure a trained model on data",
        description="Rank all items for every user of one part of the data, and print recall and "
        "other measures beside those of 'most popular'. The version that is served is measured. "
        "The data is read as it was for training, unless flags say otherwise. Positives that the "
        "version may have learned from are refused.",
    )
    a.add_argument("model", type=_PATH, metavar="MODEL", help="folder that train wrote")
    a.add_argument("data", type=_PATH, metavar="DATA", help="folder of data")
    a.add_argument("--part", default="test", choices=("train", "valid", "test"),
                   help="which part of the split (default: test)")  # fmt: skip
    a.add_argument("-k", type=_COUNT, nargs="+", default=[10, 50, 100], metavar="K",
                   help="lengths of the recalled list (default: 10 50 100)")  # fmt: skip
    a.add_argument("--json", action="store_true", help="print JSON instead of a table")
    a.add_argument("--learned", action="store_true",
                   help="measure also on positives that the version has learned from, and say "
                   "how many they are")  # fmt: skip
    add_flags(a, READING)
    a.set_defaults(run=commands.evaluate)

    a = add(
        "recall",
        help="recall items for a user",
        description="Print id, score and name of the items recalled for a user, best first. For a "
        "user that training did not know, say what you know: --profile gender=F age=25.",
    )
    a.add_argument("model", type=_PATH, metavar="MODEL", help="folder that train wrote")
    a.add_argument("user", metavar="USER_ID", help="known or not")
    a.add_argument("--profile", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
                   help="values of the user's features, in place of the stored ones")  # fmt: skip
    a.add_argument("-k", type=_COUNT, default=10, help="how many items (default: 10)")
    a.add_argument("--include-seen", action="store_true",
                   help="also recall items the user has met")  # fmt: skip
    a.set_defaults(run=commands.recall)

    update.add_command(add)
    store.add_commands(add)
    indexes.add_commands(add)

    a = add(
        "check",
        help="is your loss right? check an implementation against golden cases",
        description="Run a function of yours on the golden cases of a formula, and name the "
        "classic mistake where it is one. In NumPy it returns (loss, gradients); in a framework "
        "the loss, which the framework differentiates. The file is run. Exits 1 when a case "
        "fails, 2 when the function cannot be compared.",
    )
    a.add_argument("target", nargs="?", metavar="FILE.py:FUNCTION", help="what to check")
    a.add_argument("--formula", metavar="NAME", help="what it should be (see --list)")
    a.add_argument("--framework", default="numpy", choices=check.CHOICES["framework"],
                   help="what it is written in (default: numpy)")  # fmt: skip
    a.add_argument("--dtype", default="float64", choices=check.CHOICES["dtype"],
                   help="precision of its inputs and results (default: float64)")  # fmt: skip
    a.add_argument("--list", action="store_true", help="print the formulas")
    a.add_argument("--explain", metavar="NAME",
                   help="print a formula, its arguments, cases and known mistakes")  # fmt: skip
    a.set_defaults(run=check.run)

    a = add(
        "vectors",
        help="write the golden cases for implementations in other languages",
        description="Write vectors.json, vectors.npz and a README.md that says how to read them.",
    )
    a.add_argument("--out", type=_PATH, required=True, metavar="DIR", help="the folder to write")
    a.set_defaults(run=check.vectors)
    return parser
