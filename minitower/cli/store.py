"""``minitower store``: look after the versions of a store."""

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from minitower.cli.arguments import reads
from minitower.cli.terminal import row, say, write
from minitower.data import DataError
from minitower.store.transaction import NotRemoved, prune, rollback
from minitower.store.version_log import VersionLog


def add_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add ``store`` and its five commands to the program."""
    top = add(
        "store",
        help="list, show, verify, roll back and prune the versions of a store",
        description="Look after a store, a folder of versions that train wrote. Publishing adds a "
        "version and makes it current. An open recommender changes over when it reloads.",
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND", parser_class=type(top))

    def command(
        name: str, run: Callable[[argparse.Namespace], None], says: str, more: str = ""
    ) -> argparse.ArgumentParser:
        a: argparse.ArgumentParser = commands.add_parser(
            name, help=says, description=f"{says[0].upper()}{says[1:]}.{more}"
        )
        a.add_argument("store", type=reads(Path), metavar="STORE", help="folder of the store")
        a.set_defaults(run=run)
        return a

    command("list", _list, "print the versions",
            " Columns: number, kind, parent, time of publishing, bytes, * if current.")  # fmt: skip
    a = command("show", _show, "print the record of a version, as JSON")
    a.add_argument("version", type=reads(int, low=1), nargs="?", metavar="VERSION",
                   help="its number (default: the current one)")  # fmt: skip
    command("verify", _verify, "read every file of every version",
            " Exits with an error if a file is missing or damaged.")  # fmt: skip
    a = command("rollback", _rollback, "make an earlier version current again",
                " The version is verified first. Prints its number.")  # fmt: skip
    a.add_argument("version", type=reads(int, low=1), nargs="?", metavar="VERSION",
                   help="its number (default: the one before)")  # fmt: skip
    a = command("prune", _prune, "remove old versions",
                " The current version stays, with its full version. Incremental versions of "
                "an older full version are removed. Prints the numbers.")  # fmt: skip
    a.add_argument("--keep", type=reads(int, low=1), required=True, metavar="N",
                   help="keep the newest N full versions")  # fmt: skip


def _list(args: argparse.Namespace) -> None:
    log, rows = VersionLog.read(args.store), []
    for version in log.versions:
        size = sum(f.stat().st_size for f in log.path(version.number).glob("*"))
        parent = "" if version.parent is None else version.parent
        served = "*" if version.number == log.current else ""
        rows.append((version.number, version.kind, parent, version.published, size, served))
    for cells in rows:  # after everything that can fail
        row(*cells)


def _show(args: argparse.Namespace) -> None:
    log = VersionLog.read(args.store)
    version = log.version(args.version)
    saved = log.open(version)
    content = {name: saved.content.get(name, {}) for name in ("metrics", "notes", "arrays")}
    stated = {**asdict(version), **content, "files": saved.files}
    write(f"{json.dumps(stated, indent=1)}\n")


def _verify(args: argparse.Namespace) -> None:
    log = VersionLog.read(args.store)
    damaged = []
    for version in log.versions:
        try:
            log.verify(version)
        except DataError as error:
            if version not in VersionLog.read(args.store).versions:
                continue  # pruned meanwhile
            say(str(error))
            damaged.append(version.number)
        row(version.number, "damaged" if version.number in damaged else "intact")
    if damaged:
        raise DataError(f"{args.store}: damaged: {', '.join(map(str, damaged))}")


def _rollback(args: argparse.Namespace) -> None:
    version = rollback(args.store, args.version)
    say(f"current from now on: version {version.number} of {version.published}")
    row(version.number)


def _prune(args: argparse.Namespace) -> None:
    try:
        removed = prune(args.store, args.keep)
    except NotRemoved as error:
        _print_all(error.removed)
        raise
    _print_all(removed)


def _print_all(numbers: list[int]) -> None:
    for number in numbers:
        row(number)
