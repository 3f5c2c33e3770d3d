"""Which clicks of a log are positives."""

from __future__ import annotations

import numpy as np

from minitower.data import DataError
from minitower.data.columns import Columns
from minitower.data.errors import Place
from minitower.data.splits import Rule, parse_rule
from minitower.updating.streams import Events


def numeric_rule(text: str | None) -> Rule | None:
    """Parse a rule of positives; None where all clicks are positives.

    Raises:
        DataError: the rule is malformed, or compares with a string: besides ids, a click has
            one number.
    """
    if text is None or text == "all":
        return None
    rule = parse_rule(text)
    if rule.number is None:
        raise DataError(
            f"positives are where {text}, but besides ids a click has numbers only; if every click "
            "of the logs is a positive, set positive to 'all' (--positive all)"
        )
    return rule


class PositiveFilter:
    """Keeps the clicks that pass a rule, and counts; a missing value never passes.

    Args:
        text: the rule, or "all".

    Attributes:
        rule: the parsed rule; None: all clicks pass.
        read, kept: clicks so far.
    """

    def __init__(self, text: str | None) -> None:
        self.text, self.rule = text, numeric_rule(text)
        self.read = self.kept = self._valued = 0

    def __call__(self, clicks: Events) -> Events:
        """The clicks that pass."""
        self.read += len(clicks)
        if self.rule is not None:
            values = np.asarray(clicks.values)
            self._valued += int(np.count_nonzero(~np.isnan(values)))
            passed = self.rule.apply(Columns({self.rule.column: values}, Place("clicks")))
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
            raise DataError(
                f"column '{self.rule.column}' is missing from all {self.read:,} clicks, but the "
                f"rule of positives needs it ({self.text}); if every click is a positive, set "
                "positive to 'all' (--positive all)"
            )
