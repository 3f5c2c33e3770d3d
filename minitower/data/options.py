"""Options: one declaration gives an option its default, its domain and its help. Chapter 23.

A class or a function declares an option where it takes it, in the annotation of a parameter:

>>> def ball(radius: Annotated[float, Option("radius of the ball", above=0)] = 1.0) -> str:
...     return f"a ball of radius {radius:g}"
>>> radius = declared(ball)["radius"]
>>> radius.help, radius.default, radius.domain
('radius of the ball', 1.0, 'a number above 0')

Flags, keys of a job file, ``--help`` and the notes of a version are made from these lists, and
:mod:`minitower.data.option_values` reads the values.
"""

import dataclasses
import inspect
import math
import os
import re
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Literal,
    ParamSpec,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from minitower.data.errors import DataError, show
from minitower.formulas.arguments import INT64_MAX, choice, number, strict_integer

P = ParamSpec("P")
T = TypeVar("T")
Maker = Callable[..., Any]

_DIGITS = re.compile(r"-?[0-9]{1,99}")
_WORDS = {
    bool: "true or false", int: "an integer", float: "a number", str: "a string",
    tuple: "integers", Path: "a path",
}  # fmt: skip
_REQUIRED: Any = inspect.Parameter.empty


@dataclass(frozen=True)
class Option:
    """One option. The annotation of a parameter gives the help and the domain.

    Args:
        help: one line for ``--help``.
        low, high: bounds of a number, both included.
        above, below: bounds of a number, both excluded.
        choices: the words that the option takes. A Literal type gives them, too.
        metavar: what ``--help`` calls a value.
        many: whether a list of such values is taken. A Sequence type says so, too.
        name: name in flags, job files and notes, where the parameter has another.
        default: value of an option that is not given, for a parameter without a default.
        parse: reads a string of a flag, or a value of TOML. ValueError: what it expected.

    Attributes:
        parameter, type: name and type of the parameter, filled in by :func:`declared`.
    """

    help: str
    low: float | None = None
    high: float | None = None
    _: dataclasses.KW_ONLY
    above: float | None = None
    below: float | None = None
    choices: Sequence[str] = ()
    metavar: str = ""
    name: str = ""
    many: bool = False
    default: Any = _REQUIRED
    parse: Callable[[Any], Any] | None = None
    parameter: str = ""
    type: Any = str

    @property
    def required(self) -> bool:
        """Whether the option has no default."""
        return self.default is _REQUIRED

    @property
    def domain(self) -> str:
        """The values that the option takes, in words.

        >>> Option("", type=int, low=1, high=4096).domain
        'an integer from 1 to 4,096'
        >>> Option("", type=float, above=0, below=1).domain
        'a number above 0 and below 1'
        """
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        what = _WORDS.get(self.type, "a value")
        number_in = "{:g}" if self.type is float else "{:,}"
        low, high, above, below = (
            None if bound is None else number_in.format(bound)
            for bound in (self.low, self.high, self.above, self.below)
        )
        if low is not None:
            end = f" to {high}" if high is not None else f" and below {below}"
            where = f" of at least {low}" if high is below is None else f" from {low}{end}"
        else:
            words = {" above ": above, " and at most ": high, " and below ": below}
            where = "".join(word + bound for word, bound in words.items() if bound is not None)
        return what + where + (", such as 128,64" if self.type is tuple else "")

    def _holds(self, x: float) -> bool:
        """Whether a number is finite and within the bounds."""
        return (
            math.isfinite(x)
            and (self.low is None or x >= self.low)
            and (self.high is None or x <= self.high)
            and (self.above is None or x > self.above)
            and (self.below is None or x < self.below)
        )

    def read(self, value: Any) -> Any:
        """The value that a string of a flag, or a value of TOML, stands for.

        Raises:
            ValueError: the value is outside of the domain; the error says what was expected.
        """
        if self.parse is not None:
            return self.parse(value)
        try:
            if self.type is tuple:
                one = dataclasses.replace(self, type=int)
                parts = value.split(",") if isinstance(value, str) and value else value or ()
                return tuple(one.read(part) for part in parts)
            value = _from_string(value, self.type)
            return self.check(value)
        except (TypeError, ValueError):
            wide = ", and of at most 64 bits" if _is_wide(value, self.type) else ""
            raise ValueError(f"expected {self.domain}{wide}") from None

    def check(self, value: Any) -> Any:
        """The value of a Python call.

        Raises:
            ValueError: the value is outside of the domain.
        """
        if self.choices:
            return choice(self.parameter, value, self.choices)
        if self.type is int:
            low = -INT64_MAX - 1 if self.low is None else int(self.low)
            return strict_integer(
                self.parameter, value, low, INT64_MAX if self.high is None else int(self.high)
            )
        if self.type is float and self._holds(found := _number(value)):
            return found
        if self.type is float or not isinstance(value, self.type) or value == "":
            raise ValueError(f"{self.parameter} must be {self.domain}, got {show(value)}")
        return value


def _is_wide(value: Any, kind: Any) -> bool:
    """Whether a value is an integer of more than 64 bits."""
    return kind is int and type(value) is int and value > INT64_MAX


def _number(value: Any) -> float:
    """A number as a float; NaN for what is no finite number."""
    try:
        return number("", value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _from_string(value: Any, kind: Any) -> Any:
    """What the string of a flag stands for; another value of TOML stands for itself."""
    if isinstance(value, str) and kind is int and _DIGITS.fullmatch(value):
        return int(value)
    if isinstance(value, str) and kind is float:
        return float(value)
    if isinstance(value, str) and kind is Path and value:
        return checked_path("path", value)
    if isinstance(value, bool) and kind is not bool:
        raise ValueError
    return value


Seed = Annotated[
    int,
    Option("same seed, same model, bit for bit, on the same kind of CPU", 0),
]
"""The seed of a part of training; a job gives all parts the same one."""


def declared(*makers: Maker) -> dict[str, Option]:
    """The options of classes and functions, by name; of a name that repeats the first one.

    >>> class Box:
    ...     def __init__(self, size: Annotated[int, Option("edge", low=1)] = 7) -> None: ...
    >>> declared(Box)["size"].default
    7
    """
    found: dict[str, Option] = {}
    for maker in makers:
        for name, option in _declared(getattr(maker, "__func__", maker)).items():
            found.setdefault(name, option)
    return found


@cache
def _declared(maker: Maker) -> dict[str, Option]:
    call = maker.__init__ if isinstance(maker, type) else maker  # type: ignore[misc]
    hints = get_type_hints(maker if dataclasses.is_dataclass(maker) else call, include_extras=True)
    found: dict[str, Option] = {}
    for parameter in inspect.signature(call).parameters.values():
        hint: Any = hints.get(parameter.name)
        if get_origin(hint) is not Annotated or not isinstance(hint.__metadata__[0], Option):
            continue
        option, kind = hint.__metadata__[0], _without_none(hint.__origin__)
        if get_origin(kind) is Literal:
            option, kind = dataclasses.replace(option, choices=get_args(kind)), str
        if get_origin(kind) is Sequence:
            option, kind = dataclasses.replace(option, many=True), get_args(kind)[0]
        default = parameter.default if option.default is _REQUIRED else option.default
        name = option.name or parameter.name
        found[name] = dataclasses.replace(
            option, name=name, default=default, parameter=parameter.name,
            type=get_origin(kind) or kind,
        )  # fmt: skip
    return found


def _without_none(kind: Any) -> Any:
    """The first type of a union, such as int of ``int | None``."""
    return get_args(kind)[0] if get_origin(kind) in (Union, types.UnionType) else kind


def check_options(made: object) -> None:
    """Refuse options of a Python call that are outside of their domains.

    Raises:
        ValueError: names the parameter.
    """
    for option in declared(type(made)).values():
        value = getattr(made, option.parameter)
        if option.type is not bool and not (value is None and option.default is None):
            option.check(value)


def flag(name: str) -> str:
    """The flag of an option.

    >>> flag("learning_rate")
    '--learning-rate'
    """
    return "--" + name.replace("_", "-")


def checked(make: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    """Call with a user's options; a ValueError becomes a DataError."""
    try:
        return make(*args, **options)
    except DataError:
        raise
    except ValueError as error:
        raise DataError(str(error)) from None


def option(name: str, value: Any, least: int, most: int = INT64_MAX) -> int:
    """An integer option within bounds, as :func:`~minitower.formulas.arguments.strict_integer`.

    Raises:
        DataError: the value is no integer, or outside.
    """
    return checked(strict_integer, name, value, least, most)


def checked_path(name: str, path: str | Path) -> Path:
    """A path that the system can take.

    Raises:
        DataError: the path holds a zero character, or what no file system can encode.
    """
    try:
        if b"\0" not in os.fsencode(path):
            return Path(path)
    except UnicodeEncodeError:
        pass
    raise DataError(f"{name} is no path: {show(str(path))}")
