"""Values of options: from flags, job files and notes, to what is made of them. Chapter 23.

>>> from typing import Annotated
>>> from minitower.data.options import Option
>>> def ball(radius: Annotated[float, Option("radius of the ball", above=0)] = 1.0) -> str:
...     return f"a ball of radius {radius:g}"
>>> read_options(declared(ball), {"radius": "2"}).make(ball)
'a ball of radius 2'
"""

import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from minitower.data.errors import DataError, show
from minitower.data.options import Option, checked, declared, flag

T = TypeVar("T")


class Options(Mapping[str, Any]):
    """Values by the names of their options, each of them in its domain.

    Args:
        known: the options.
        given: the values that somebody gave; the others have their defaults.
    """

    def __init__(self, known: Mapping[str, Option], given: Mapping[str, Any]) -> None:
        self.known, self.given = known, given

    def __getitem__(self, name: str) -> Any:
        return self.given[name] if name in self.given else self.known[name].default

    def __iter__(self) -> Iterator[str]:
        return iter(self.known)

    def __len__(self) -> int:
        return len(self.known)

    def make(self, maker: Callable[..., T], *args: Any, **more: Any) -> T:
        """Call a maker with the values of its own options.

        Raises:
            DataError: the maker refuses them.
        """
        own = {
            option.parameter: self[name]
            for name, option in declared(maker).items()
            if name in self.known and option.parameter not in more
        }
        return checked(maker, *args, **own, **more)

    def but(self, **given: Any) -> "Options":
        """The same options with other values."""
        return Options(self.known, {**self.given, **given})


def read_options(
    known: Mapping[str, Option],
    typed: Mapping[str, Any],
    *files: tuple[str, Mapping[str, Any]],
) -> Options:
    """Values from flags and, below them, from tables of files.

    Args:
        known: the options.
        typed: name -> string of a flag.
        files: (what to call the file, name -> value); the first wins.

    Raises:
        DataError: a value is outside of its domain, or a file has an unknown key.
    """
    given: dict[str, Any] = {}
    for name, option in known.items():
        for where, table in (("", typed), *files):
            if name in table:
                try:
                    given[name] = option.read(table[name])
                except ValueError as error:
                    what = f"{where}: {name}" if where else flag(name)
                    raise DataError(f"{what}: {error}, got {show(table[name])}") from None
                break
    for where, table in files:
        for key in table:
            if key not in known:
                close = difflib.get_close_matches(key[:80], known, 1)
                hint = f"did you mean '{close[0]}'? " if close else ""
                raise DataError(f"{where}: unknown key '{key}'; {hint}known: {', '.join(known)}")
    return Options(known, given)


def written(made: object, known: Mapping[str, Option] | None = None) -> dict[str, Any]:
    """The options that something was made with, by name; None is left out.

    Args:
        made: has an attribute for each parameter.
        known: the options; None: those that its class declares.
    """
    known = declared(type(made)) if known is None else known
    values = {name: getattr(made, option.parameter) for name, option in known.items()}
    return {name: value for name, value in values.items() if value is not None}
