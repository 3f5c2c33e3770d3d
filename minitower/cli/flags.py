"""The options of a job as flags of a command, in groups."""

import argparse
import dataclasses
from collections.abc import Collection
from typing import Any

from minitower.cli.job import MODEL, OPTIONS, READING, flag

_GROUPS = {
    "the data": READING,
    "the model": MODEL,
    "self-supervised learning": (
        *("self_supervised", "alpha", "self_temperature", "self_batch_size", "self_sampling"),
        *("hidden_fields", "dropped_values", "mask_per_item"),
    ),
    "the training": tuple(OPTIONS),  # all others
}


def add_flags(
    parser: argparse.ArgumentParser,
    names: Collection[str] = tuple(OPTIONS),
    note: str | None = None,
) -> None:
    """A flag for every option of a job, or for those that are named; a note for each group."""
    left = [name for name in OPTIONS if name in names]
    for title, members in _GROUPS.items():
        mine = [name for name in left if name in members]
        left = [name for name in left if name not in mine]
        if mine:
            group = parser.add_argument_group(title, note)
            for name in mine:
                _add_flag(group, OPTIONS[name])


def _add_flag(group: Any, option: dataclasses.Field[Any]) -> None:
    help, default = option.metadata["help"], option.default
    if default is not None and option.type is not bool:
        shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
        help = f"{help} (default: {shown})"
    # An absent flag leaves no trace: what is there was typed, and wins over the job file.
    more: dict[str, Any] = {"default": argparse.SUPPRESS, "help": help}
    if option.type is bool:
        more["action"] = argparse.BooleanOptionalAction
    else:
        more["metavar"] = option.metadata["metavar"] or option.name.upper()
        if option.name == "override":
            more["action"] = "append"
    group.add_argument(flag(option.name), **more)
