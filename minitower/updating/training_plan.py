"""How an update trains: as its version was trained, unless an option says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from minitower.data import DataError
from minitower.data.option_values import Options, read_options
from minitower.data.options import flag
from minitower.training.named import NEGATIVES_OF
from minitower.training.recipe import TRAINING, Recipe, missing, read_recipe


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
        read_options(TRAINING, given)  # a wrong value is reported before a missing one
        before, rule = _recorded(notes), notes.get("reading", {}).get("positive")
        lacking = [] if positive or rule else ["positive"]
        lacking += missing(before | dict(given), by_day=incremental)
        if lacking:
            flags = ", ".join(map(flag, lacking))
            raise DataError(f"{where} does not record how it was trained; give {flags}")
        options = read_options(TRAINING, given, (f"{where}: notes", before))
        recipe = options.make(read_recipe, options)
        if incremental and NEGATIVES_OF[options["objective"]] != "none":
            raise DataError(
                "an incremental update draws no negatives, which the objective "
                f"{options['objective']} needs"
            )
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
    recorded = dict(notes.get("training", {}))
    if "objective" in recorded and "learned" not in notes:  # release 0.1 left defaults out
        recorded.setdefault("negatives", NEGATIVES_OF.get(str(recorded["objective"]), "none"))
    return recorded
