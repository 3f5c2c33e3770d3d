"""How an update trains: as its version was trained, unless an option says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from minitower.data import DataError
from minitower.data.layouts import Reading
from minitower.data.option_values import read_options
from minitower.data.options import declared, flag
from minitower.training.named import NEGATIVES_OF
from minitower.training.recipe import TRAINING, Recipe, missing, read_recipe

_KNOWN = {"positive": declared(Reading)["positive"], **TRAINING}


@dataclass(frozen=True)
class TrainingPlan:
    """The options of the training step, put together.

    Attributes:
        recipe: what a training step is made of.
        positive: the rule of positives.
        metric: what validation measures.
        from_version: "name value" of options that the version set and that are not defaults.
    """

    recipe: Recipe
    positive: str
    metric: str
    from_version: list[str]

    @staticmethod
    def read(
        where: str, notes: Mapping[str, Any], given: Mapping[str, Any], *, incremental: bool
    ) -> TrainingPlan:
        """Combine given options with those that the notes of a version record.

        Args:
            where: the store and the version, for error messages.
            notes: of the version.
            given: options by name; they win.
            incremental: whether for an incremental update, which has fewer options.

        Raises:
            DataError: a value is outside its domain, or an option is missing in both.
        """
        read_options(_KNOWN, given)  # a wrong value is reported before a missing one
        before = dict(notes.get("training", {}))
        if "objective" in before and "learned" not in notes:  # release 0.1 left defaults out
            before.setdefault("negatives", NEGATIVES_OF.get(str(before["objective"]), "none"))
        if "positive" in notes.get("reading", {}):
            before["positive"] = notes["reading"]["positive"]
        combined = before | dict(given)
        lacking = [] if "positive" in combined else ["positive"]
        lacking += missing(combined, by_day=incremental)
        if lacking:
            flags = ", ".join(map(flag, lacking))
            raise DataError(f"{where} does not record how it was trained; give {flags}")
        options = read_options(_KNOWN, given, (f"{where}: notes", before))
        if incremental and NEGATIVES_OF[options["objective"]] != "none":
            raise DataError(
                "an incremental update draws no negatives, which the objective "
                f"{options['objective']} needs"
            )
        usual = {name: option.default for name, option in _KNOWN.items()}
        usual |= {"negatives": "none", "positive": "all"}
        taken = [n for n in _KNOWN if n in before and n not in given and before[n] != usual[n]]
        return TrainingPlan(
            options.make(read_recipe, options),
            options["positive"],
            options["metric"],
            [f"{name} {before[name]}" for name in taken],
        )

    def to_notes(self) -> dict[str, Any]:
        """What the next version records, as JSON that :meth:`read` takes."""
        return self.recipe.to_json() | {"metric": self.metric}
