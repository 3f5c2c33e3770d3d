"""``minitower store``: look after the versions of a store. Chapter 15."""

import argparse
import json
from dataclasses import asdict
from typing import Annotated

from minitower.cli.arguments import Command, StorePath, add_command
from minitower.cli.terminal import row, say, write
from minitower.data import DataError
from minitower.data.options import Option
from minitower.store.forgotten import held_text, versions_with_forgotten
from minitower.store.transaction import NotRemoved, prune, rollback
from minitower.store.version_log import VersionLog


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the five commands of ``store``."""
    parser.description = (
        "Look after a store, a folder of versions that train wrote. Publishing adds a version and "
        "makes it current. An open recommender changes over when it reloads."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=type(parser))
    five: dict[str, Command] = {
        "list": list_versions, "show": show, "verify": verify, "rollback": roll_back,
        "prune": remove_old,
    }  # fmt: skip
    for name, run in five.items():
        does = str(run.__doc__).partition(".")[0]
        add_command(commands.add_parser(name, help=does[0].lower() + does[1:]), run)


def list_versions(store: StorePath) -> None:
    """Print the versions.

    Columns: number, kind, parent, time of publishing, bytes, * if current.
    """
    log, rows = VersionLog.read(store), []
    for version in log.versions:
        size = sum(f.stat().st_size for f in log.path(version.number).glob("*"))
        parent = "" if version.parent is None else version.parent
        served = "*" if version.number == log.current else ""
        rows.append((version.number, version.kind, parent, version.published, size, served))
    held = versions_with_forgotten(log)
    for cells in rows:  # after everything that can fail
        row(*cells)
    if held:
        say(held_text(held))


def show(
    store: StorePath,
    version: Annotated[int | None, Option("its number (default: the current one)", 1)] = None,
) -> None:
    """Print the record of a version, as JSON."""
    log = VersionLog.read(store)
    shown = log.version(version)
    saved = log.open(shown)
    content = {name: saved.content.get(name, {}) for name in ("metrics", "notes", "arrays")}
    stated = {**asdict(shown), **content, "files": saved.files}
    write(f"{json.dumps(stated, indent=1)}\n")


def verify(store: StorePath) -> None:
    """Read every file of every version.

    Exits with an error if a file is missing or damaged.
    """
    log = VersionLog.read(store)
    damaged = []
    for version in log.versions:
        try:
            log.verify(version)
        except DataError as error:
            if version not in VersionLog.read(store).versions:
                continue  # pruned meanwhile
            say(str(error))
            damaged.append(version.number)
        row(version.number, "damaged" if version.number in damaged else "intact")
    if damaged:
        raise DataError(f"{store}: damaged: {', '.join(map(str, damaged))}")


def roll_back(
    store: StorePath,
    version: Annotated[int | None, Option("its number (default: the one before)", 1)] = None,
) -> None:
    """Make an earlier version current again.

    The version is verified first. Prints its number.
    """
    current = rollback(store, version)
    say(f"current from now on: version {current.number} of {current.published}")
    if current.number in (held := versions_with_forgotten(VersionLog.read(store))):
        say(f"{held_text(held)}; the next full update forgets them again")
    row(current.number)


def remove_old(
    store: StorePath,
    *,
    keep: Annotated[int, Option("keep the newest N full versions", 1, metavar="N")],
) -> None:
    """Remove old versions.

    The current version stays, with its full version. Incremental versions of an older full
    version are removed. Prints the numbers.
    """
    try:
        removed = prune(store, keep)
    except NotRemoved as error:
        for number in error.removed:
            row(number)
        raise
    for number in removed:
        row(number)
