"""The commands of ``minitower``: from demo and train to publish and check. Chapter 15.

Everything above the rooms of the package, for a person or a script at a terminal. stdout carries
what a script would want and nothing else; remarks, progress and errors go to stderr. A command's
module is imported when the command runs.
"""

import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module

from minitower import __version__
from minitower.cli.arguments import (
    CommandFailed,
    Parser,
    add_command,
    add_threads,
    use_threads_of,
)
from minitower.cli.terminal import drop, escaping_stdout, say
from minitower.data.errors import DataError

MODULES = {
    "demo": {"demo": "train, index, recall and report, on simulated data or your own"},
    "inspect": {"inspect": "print what is recognized in a folder of data, as a job file"},
    "train": {"train": "train a model on a folder of data and write it to a folder"},
    "tune": {"tune": "search for the settings of training that are best on validation"},
    "evaluate": {"evaluate": "measure a trained model on data"},
    "recall": {
        "recall": "recall items for a user, or a table of lists for many users",
        "similar": "find the items that are most similar to an item",
    },
    "serve": {"serve": "answer recall and similar items over HTTP"},
    "update": {"update": "train a store's model further on new clicks, and publish it"},
    "store": {"store": "list, show, verify, roll back and prune the versions of a store"},
    "indexes": {
        "publish": "publish a store's item vectors to Faiss, ScaNN or Milvus",
        "index-bench": "compare exact search, hnswlib, Faiss, ScaNN and Milvus on a store's "
        "vectors",
    },
    "check": {
        "check": "is your loss right? check an implementation against golden cases",
        "vectors": "write the golden cases for implementations in other languages",
    },
}
"""Module -> its commands -> what each does. A command is the function of its name in the module;
a module with other needs adds the arguments itself, by `add_arguments`."""

_TOO_LARGE = (
    "a value is too large for this machine; lower --batch-size, --dim, --hidden, --negatives, "
    "--bank or --self-batch-size"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments, without the name of the program; None takes the process's.

    Returns:
        The exit status: 0; 1 when the work failed; 2 when an argument or the data is wrong;
        130 when interrupted; 141 when nobody reads stdout any more, as after ``| head``.
        Anything but 0 and 141 comes with one line on stderr.
    """
    if sys.stdout is None:
        return _fail("stdout is closed; redirect it to a file or to /dev/null", 1)
    with escaping_stdout():
        status, error = _outcome(sys.argv[1:] if argv is None else argv)
        try:
            sys.stdout.flush()
        except OSError as failure:
            drop(sys.stdout)
            if status == 0 or (isinstance(error, OSError) and error.filename is None):
                unread = isinstance(failure, BrokenPipeError)
                status, error = (141, None) if unread else (1, f"stdout: {failure.strerror}")
        return status if error is None else _fail(error, status)


def _outcome(argv: Sequence[str]) -> tuple[int, object]:
    """Run one command: the exit status, and the error to print or None."""
    try:
        command = next((word for word in argv if not word.startswith("-")), "")
        args = build_parser(command).parse_args(argv)
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: say(f"warning: {message}")
            use_threads_of(args)
            args.run(args)
    except SystemExit:  # argparse has printed --help or --version
        return 0, None
    except BrokenPipeError:
        return 141, None
    except DataError as error:
        return 2, error
    except (CommandFailed, OSError, ModuleNotFoundError) as error:
        return 1, error
    except (MemoryError, OverflowError, RecursionError) as error:
        return 1, f"{_TOO_LARGE} ({type(error).__name__}: {error})"
    except ArithmeticError as error:
        from minitower.training.gradient_step import TrainingError  # `check` imports no training

        if not isinstance(error, TrainingError):
            raise
        return 1, error
    except KeyboardInterrupt:
        return 130, "interrupted"
    return 0, None


def _fail(error: object, status: int) -> int:
    """Print an error as one line, whatever characters it holds."""
    message = str(error)
    if isinstance(error, OSError) and error.filename is not None:
        message = f"{error.filename}: {error.strerror}"
    with suppress(BrokenPipeError):
        say("minitower: error: " + " ".join(message.splitlines()))
    return status


def build_parser(command: str | None = None) -> Parser:
    """The parser of all commands, with the arguments of one of them; None: of all."""
    parser = Parser(
        prog="minitower",
        description="Two-tower retrieval: train a model on clicks, recall items for users.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)
    for module, names in MODULES.items():
        for name, does in names.items():
            one = commands.add_parser(name, help=does)
            add_threads(one, name)
            if command not in (None, name):
                continue
            found = import_module(f"minitower.cli.{module}")
            if hasattr(found, "add_arguments"):
                found.add_arguments(one)
            else:
                add_command(one, getattr(found, name.replace("-", "_")))
    return parser
