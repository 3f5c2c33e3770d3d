"""How an update trains: as its version was trained, unless an option says otherwise. Chapter 13.

The plan holds the training step and the rule of positives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minitower.data import DataError
from minitower.data.columns import Columns
from minitower.data.errors import Place
from minitower.data.option_values import Options, read_options
from minitower.data.options import flag
from minitower.data.rules import Comparison, Rule, parse_rule
from minitower.training.named import DEFAULT_NEGATIVES
from minitower.training.recipe import FORMER_NAMES, TRAINING, Recipe, missing_options, read_recipe
from minitower.updating.streams import Events


@dataclass(frozen=True, eq=False)
class TrainingPlan:
    """The training step of an update.

    Attributes:
        recipe: what the step is made of.
        options: the options that the recipe was made from.
        positive: the rule of positives, or "all".
        from_version: "name value" of all options that the version sets to other values than
            the defaults.
    """

    recipe: Recipe
    options: Options
    positive: str
    from_version: tuple[str, ...]

    @staticmethod
    def read(
        where: str,
        notes: Mapping[str, Any],
        given: Mapping[str, Any],
        positive: str | None,
        *,
        incremental: bool,
    ) -> TrainingPlan:
        """Combine given options with those that the notes of a version record.

        Args:
            where: the store and the version, for error messages.
            notes: of the version.
            given: training options by name; they win.
            positive: the given rule of positives; None: the version's.
            incremental: whether for an incremental update, which has fewer options.

        Raises:
            DataError: a name is unknown, a value is outside its domain, or an option is
                missing both in the notes and among the given ones.
        """
        for name in given:
            if name not in TRAINING:
                raise DataError(f"unknown training option '{name}'; known: {', '.join(TRAINING)}")
        read_options(TRAINING, given)  # an invalid value is reported before a missing one
        before, rule = _recorded(notes), notes.get("reading", {}).get("positive")
        lacking = [] if positive or rule else ["positive"]
        lacking += missing_options(before | dict(given), incremental=incremental)
        if lacking:
            flags = ", ".join(map(flag, lacking))
            raise DataError(f"{where} does not record how it was trained; give {flags}")
        options = read_options(TRAINING, given, (f"{where}: notes", before))
        recipe = options.make(read_recipe, options)
        if incremental and DEFAULT_NEGATIVES[options["objective"]] != "none":
            raise DataError(
                "an incremental update draws no negatives, which the objective "
                f"{options['objective']} needs"
            )
        if not positive and rule != "all":
            try:
                parse_rule(rule)
            except DataError as error:
                raise DataError(f"{where}: manifest: notes: positive: {error}") from None
        usual = {name: option.default for name, option in TRAINING.items()} | {"negatives": "none"}
        taken = [n for n in TRAINING if n in before and n not in given and before[n] != usual[n]]
        texts = [f"{name} {before[name]}" for name in taken]
        if not positive and rule != "all":
            texts.insert(0, f"positive {rule}")
        return TrainingPlan(recipe, options, positive or rule, tuple(texts))

    def to_notes(self) -> dict[str, Any]:
        """What the next version records, as JSON that :meth:`read` takes."""
        return {name: value for name, value in self.options.items() if value is not None}


def _recorded(notes: Mapping[str, Any]) -> dict[str, Any]:
    """The training options that a version records."""
    training = notes.get("training", {})
    recorded = {FORMER_NAMES.get(name, name): value for name, value in training.items()}
    if "objective" in recorded and "learned" not in notes:  # release 0.1 left defaults out
        recorded.setdefault("negatives", DEFAULT_NEGATIVES.get(str(recorded["objective"]), "none"))
    return recorded


class PositiveFilter:
    """Keeps the clicks that pass a rule, and counts; a missing value never passes.

    Args:
        text: the rule, or "all".

    Attributes:
        rule: the parsed rule; None: all clicks pass.
        column: the column of numbers that the rule compares, as the value of a click. None: the
            rule has several comparisons, a string, or is "= 1", which true passes, too. Then
            readers decide (:class:`~minitower.updating.streams.EventFields`).
        read, kept: clicks so far.
    """

    def __init__(self, text: str | None) -> None:
        self.text = text
        self.rule: Rule | None = None if text in (None, "all") else parse_rule(text)
        self.column = None
        if isinstance(one := self.rule, Comparison) and one.number is not None:
            is_flag = one.operator in ("=", "==") and one.number == 1
            self.column = None if is_flag else one.column
        self.read = self.kept = self._valued = 0

    def __call__(self, clicks: Events) -> Events:
        """The clicks that pass."""
        self.read += len(clicks)
        if self.rule is not None:
            values = np.asarray(clicks.values)
            self._valued += int(np.count_nonzero(~np.isnan(values)))
            if self.column is None:
                passed = values == 1
            else:
                passed = self.rule.apply(Columns({self.column: values}, Place("clicks")))
            clicks = clicks.take(passed)
        self.kept += len(clicks)
        return clicks

    def __str__(self) -> str:
        return f"{self.kept:,} of {self.read:,} clicks are positives: {self.text}"

    def require_values(self) -> None:
        """Refuse logs without the column of the rule.

        Raises:
            DataError: no click so far has a value there.
        """
        if self.rule is not None and self.read and not self._valued:
            names = sorted({repr(one.column) for one in self.rule.comparisons})
            what, them = f"column {names[0]} is", "it"
            if len(names) > 1:
                what, them = f"columns {' and '.join(names)} are", "them"
            raise DataError(
                f"{what} missing from all {self.read:,} clicks, but the rule of positives needs "
                f"{them} ({self.text}); if every click is a positive, set positive to 'all' "
                "(--positive all)"
            )
