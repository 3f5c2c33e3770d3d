"""The space that ``tune`` searches, as data: the name of an option, and its values. Chapter 23.

>>> from minitower.training.recipe import TRAINING
>>> space = read_space({"temperature": {"low": 0.05, "high": 0.2, "log": True},
...                     "batch_size": [512, 1024]}, TRAINING)
>>> space["temperature"]
Range(low=0.05, high=0.2, log=True)
>>> space["batch_size"]
Choices(values=(512, 1024))

A TOML file says the same: ``temperature = {low = 0.05, high = 0.2, log = true}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from minitower.data.errors import DataError, show
from minitower.data.option_values import Options
from minitower.data.options import Option, declared
from minitower.training.named import DEFAULT_NEGATIVES, OBJECTIVES

SPACE: Mapping[str, Any] = {
    "temperature": {"low": 0.03, "high": 0.3, "log": True},
    "learning_rate": {"low": 0.01, "high": 0.3, "log": True},
    "dim": [32, 64, 128],
    "hidden": ["", "64", "128"],
    "weight_decay": [0.0, 1e-5, 1e-4, 1e-3, 1e-2],
    "user_dropout": [0.0, 0.1, 0.2],
    "negatives": ["none", "shared:256", "shared:1024"],
}
"""What is searched where nothing else is said, for an objective over the batch."""

OF_PAIRS: Mapping[str, Any] = {
    **SPACE,
    "negatives": [f"uniform:{k}" for k in (1, 2, 5, 10, 20)],
}
"""The same for an objective that needs negatives of each pair; the list holds each default."""


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, both included.

    Attributes:
        low, high: integers for an integer option.
        log: whether the logarithm is drawn evenly, and not the number.
    """

    low: float
    high: float
    log: bool = False

    def suggest(self, trial: Any, name: str) -> Any:
        """A value that an Optuna trial suggests; four digits of a float are kept."""
        if isinstance(self.low, int):
            return trial.suggest_int(name, self.low, self.high, log=self.log)
        return self.used(trial.suggest_float(name, self.low, self.high, log=self.log))

    def used(self, value: Any) -> Any:
        """What a suggested number is used as: four digits, within the range."""
        if isinstance(self.low, int):
            return value
        return min(max(float(f"{value:.4g}"), self.low), self.high)

    def holding(self, value: Any) -> Any:
        """The value if it lies in the range, else None."""
        return value if value is not None and self.low <= value <= self.high else None

    def to_json(self) -> Any:
        """A table, as :func:`read_space` takes it."""
        return {"low": self.low, "high": self.high, "log": self.log}


@dataclass(frozen=True)
class Choices:
    """A few values, each as a flag or a job file writes it."""

    values: tuple[Any, ...]

    def suggest(self, trial: Any, name: str) -> Any:
        """A value that an Optuna trial suggests."""
        return trial.suggest_categorical(name, self.values)

    def used(self, value: Any) -> Any:
        """What a suggested value is used as: the value itself."""
        return value

    def to_json(self) -> Any:
        """A list, as :func:`read_space` takes it."""
        return list(self.values)


Space = dict[str, Range | Choices]


def read_space(
    table: Mapping[str, Any], known: Mapping[str, Option], where: str = "space"
) -> Space:
    """Check a space.

    Args:
        table: name of an option -> a list of values, or a table of low, high and perhaps log.
        known: the options that may be searched.
        where: what an error calls the table.

    Raises:
        DataError: names the key and what is wrong with it.
    """
    if not isinstance(table, Mapping) or not table:
        raise DataError(f"{where}: expected a table of options to search, got {show(table)}")
    space: Space = {}
    for name, values in table.items():
        if name not in known or name in ("seed", "epochs", "metric"):
            raise DataError(f"{where}: {show(name)} is no option that can be searched")
        read = _choices if isinstance(values, list | tuple) else _range
        try:
            space[name] = read(values, known[name])
        except ValueError as error:
            raise DataError(f"{where}: {name}: {error}") from None
    return space


def _choices(values: list[Any] | tuple[Any, ...], option: Option) -> Choices:
    written = [",".join(map(str, v)) if isinstance(v, list | tuple) else v for v in values]
    if not written:
        raise ValueError("the list of values is empty")
    found: list[Any] = []
    for value in written:
        try:
            read = option.read(value)
        except ValueError as error:
            raise ValueError(f"{error}, got {show(value)}") from None
        if read in found:
            raise ValueError(f"{show(value)} is listed twice")
        found.append(read)
    return Choices(tuple(written))


def _range(table: Any, option: Option) -> Range:
    form = "expected a list of values, or a table {low = 0.1, high = 0.5, log = true}"
    if not isinstance(table, Mapping) or not {"low", "high"} <= {*table} <= {"low", "high", "log"}:
        raise ValueError(f"{form}, got {show(table)}")
    log = table.get("log", False)
    if option.type not in (int, float) or option.parse is not None:
        raise ValueError(f"has no range; list the values to try, got {show(table)}")
    if not isinstance(log, bool):
        raise ValueError(f"log: expected true or false, got {show(log)}")
    ends = []
    for end in ("low", "high"):
        try:
            ends.append(option.read(table[end]))
        except ValueError as error:
            raise ValueError(f"{end}: {error}, got {show(table[end])}") from None
    low, high = ends
    if not low < high:
        raise ValueError(f"low must be below high, got {low:g} and {high:g}")
    if log and low <= 0:
        raise ValueError(f"a logarithm needs low above 0, got {low:g}")
    return Range(low, high, log)


def default_space(options: Options) -> Space:
    """What is searched of these options where nobody says what.

    What somebody said of an option stays, and what the objective does not take is left out.
    """
    objective = options["objective"]
    needs = DEFAULT_NEGATIVES[objective] != "none"
    unused = {n for make in OBJECTIVES.values() for n in declared(make)}
    unused -= declared(OBJECTIVES[objective]).keys()
    table = {
        name: values
        for name, values in (OF_PAIRS if needs else SPACE).items()
        if name in options and name not in unused and name not in options.given
    }
    if not table:
        raise DataError("every option of the default space is fixed: name a space to search")
    return read_space(table, options.known, "the default space")


def start(space: Space, options: Options) -> dict[str, Any]:
    """The values that these options have now, as a trial takes them, where the space has them."""
    found: dict[str, Any] = {}
    for name, part in space.items():
        value = options[name]
        if name == "negatives" and value is None:
            value = DEFAULT_NEGATIVES[options["objective"]]
        if isinstance(part, Range):
            value = part.holding(value)
        else:
            read = options.known[name].read
            value = next((w for w in part.values if read(w) == value), None)
        if value is not None:
            found[name] = value
    return found
