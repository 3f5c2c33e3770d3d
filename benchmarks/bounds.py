"""What a benchmark promises: it prints what was missed, and then fails."""

from __future__ import annotations


class Bounds:
    """Collects what misses its bound.

    Args:
        binding: False at tiny size, where figures mean nothing.
    """

    def __init__(self, binding: bool) -> None:
        self.binding = binding
        self.missed: list[str] = []

    def at_most(self, bound: float, value: float, what: str) -> None:
        """Value must not exceed the bound."""
        if self.binding and not value <= bound:
            self.missed.append(f"{what}: {value:.4g}, at most {bound} was promised")

    def at_least(self, bound: float, value: float, what: str) -> None:
        """Value must reach the bound."""
        if self.binding and not value >= bound:
            self.missed.append(f"{what}: {value:.4g}, at least {bound} was promised")

    def close(self) -> None:
        """Fail if anything was missed."""
        if self.missed:
            raise SystemExit("\n".join(["Missed:", *self.missed]))
