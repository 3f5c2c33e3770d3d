"""Rules of positives, such as ``rating >= 4 and device = "phone"``. Chapters 3 and 7.

    rule        one or more conjunctions, joined by `or`
    conjunction one or more terms, joined by `and`, which binds closer than `or`
    term        a comparison, or a rule in parentheses
    comparison  a column, one of >= > <= < = == !=, and a number or a string

A missing value fails every comparison. Quotes hold a name or a string with `and`, `or` or
parentheses in it.
"""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal

import numpy as np

from minitower.data.columns import Columns, numbers, scalars
from minitower.data.errors import DataError, shorten, show
from minitower.formulas.arrays import Array

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
    "==": operator.eq,
    "=": operator.eq,
    "!=": operator.ne,
}
_TOKEN = re.compile(r"\s*(>=|<=|==|!=|=|>|<|\(|\)|[^\s<>=!()]+|!)")
_MOST = 100  # comparisons of a rule
_DEEPEST = 30  # parentheses in parentheses
_LONGEST = 10_000  # characters


@dataclass(frozen=True)
class Comparison:
    """One comparison of a rule."""

    column: str
    operator: str
    value: str

    @property
    def number(self) -> float | None:
        """The value as a number, booleans as 1 and 0; None for another string."""
        if self.value.lower() in ("true", "false"):
            return float(self.value.lower() == "true")
        try:
            return float(self.value)
        except ValueError:
            return None

    @property
    def comparisons(self) -> "tuple[Comparison, ...]":
        """The comparison itself."""
        return (self,)

    def decide(self, passes: "Callable[[Comparison], Array]") -> Array:
        """(n,) bool: the rows that pass, as a function says it of a comparison."""
        return passes(self)

    def apply(self, columns: Columns) -> Array:
        """(n,) bool: the rows that pass. A missing value never passes.

        Raises:
            DataError: the column is missing, or the comparison orders strings.
        """
        values, place = columns[self.column], columns.at(self.column)
        compare = _OPERATORS[self.operator]
        if values.dtype.kind in "biuf" or compare not in (operator.eq, operator.ne):
            values = numbers(values, place)
            missing = np.isnan(values)
        else:
            values, missing = scalars(values, place)
        wanted = self.value if values.dtype == object else self.number
        if wanted is None:
            raise place.error(f"the rule compares numbers with {self.value!r}")
        passed: Array = compare(values, wanted) & ~missing
        return passed


@dataclass(frozen=True)
class Combination:
    """Rules joined by one word: all of them must pass ("and"), or one of them ("or")."""

    word: Literal["and", "or"]
    rules: "tuple[Rule, ...]"

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """All comparisons, in the order in which they stand."""
        return tuple(one for rule in self.rules for one in rule.comparisons)

    def decide(self, passes: Callable[[Comparison], Array]) -> Array:
        """(n,) bool: the rows that pass, as a function says it of every comparison."""
        join = np.logical_and if self.word == "and" else np.logical_or
        passed: Array = reduce(join, (rule.decide(passes) for rule in self.rules))
        return passed

    def apply(self, columns: Columns) -> Array:
        """(n,) bool: the rows that pass.

        Raises:
            DataError: as :meth:`Comparison.apply`.
        """
        return self.decide(lambda one: one.apply(columns))


Rule = Comparison | Combination


def parse_rule(text: str) -> Rule:
    """Read a rule: comparisons joined by `and`, `or` and parentheses.

    Raises:
        DataError: the string is no rule.

    >>> parse_rule("rating >= 4")
    Comparison(column='rating', operator='>=', value='4')
    >>> [one.column for one in parse_rule("a = 1 and (b = 2 or c > 3)").comparisons]
    ['a', 'b', 'c']
    """
    if not isinstance(text, str):
        raise DataError(f"a rule is a string such as 'rating >= 4', got {show(text)}")
    parser = _Parser(text[:_LONGEST])
    if len(text) > _LONGEST:
        raise parser.error()
    rule = parser.rule()
    if parser.at < len(text.rstrip()):
        raise parser.error()
    if len(rule.comparisons) > _MOST:
        raise DataError(f"a rule has at most {_MOST} comparisons, got {len(rule.comparisons)}")
    return rule


class _Parser:
    """Reads a rule from left to right; `at` is the position of the next character."""

    def __init__(self, text: str) -> None:
        self.text, self.at, self.depth = text, 0, 0

    def rule(self) -> Rule:
        return self._joined("or", lambda: self._joined("and", self._term))

    def _joined(self, word: Literal["and", "or"], part: Callable[[], Rule]) -> Rule:
        rules = [part()]
        while self._peek().lower() == word:
            self._next()
            rules.append(part())
        return rules[0] if len(rules) == 1 else Combination(word, tuple(rules))

    def _term(self) -> Rule:
        if self._peek() != "(":
            return self._comparison()
        if self.depth == _DEEPEST:
            raise self.error()
        self._next()
        self.depth += 1
        rule = self.rule()
        self.depth -= 1
        if self._next() != ")":
            raise self.error()
        return rule

    def _comparison(self) -> Comparison:
        column = self._operand(before_operator=True)
        sign = self._next()
        value = self._operand(before_operator=False)
        if not column or sign not in _OPERATORS or not value:
            raise self.error()
        return Comparison(column, sign, value)

    def _operand(self, *, before_operator: bool) -> str:
        """A name or a value: in quotes, or all words up to the end of the operand."""
        start = self.at + len(self.text[self.at :]) - len(self.text[self.at :].lstrip())
        quote = self.text[start : start + 1]
        if quote in ("'", '"') and (end := self.text.find(quote, start + 1)) > 0:
            self.at = end + 1
            if self._ends(before_operator):
                return self.text[start + 1 : end]
        self.at = stop = start
        while not (self._ends(before_operator) and stop > start):
            if not self._next():
                break
            stop = self.at
        return self.text[start:stop].strip()

    def _ends(self, before_operator: bool) -> bool:
        """Whether the operand ends here."""
        token = self._peek()
        if before_operator:
            return token in _OPERATORS or not token
        return not token or token.lower() in ("and", "or") or (token == ")" and self.depth > 0)

    def _peek(self) -> str:
        match = _TOKEN.match(self.text, self.at)
        return match[1] if match else ""

    def _next(self) -> str:
        match = _TOKEN.match(self.text, self.at)
        if match:
            self.at = match.end()
        return match[1] if match else ""

    def error(self) -> DataError:
        rest = self.text[self.at :].strip()
        where = f" at {show(shorten(rest, 40))}" if 0 < len(rest) < len(self.text.strip()) else ""
        return DataError(
            f"cannot read the rule {show(self.text)}{where}; write it like 'rating >= 4', or "
            "'rating >= 4 and device = \"phone\"'"
        )
