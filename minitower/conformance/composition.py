"""Mistakes made of parts: one part of a formula replaced, a change behind it, and two at once.

A variant is ``partial(right, part=wrong)``, so that its parts can be read. Two variants of one
formula that replace different parts are one variant that makes both mistakes.

Chapter 17.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from minitower.conformance.formula import Compute


def then(right: Compute, change: Callable[[Any], Any]) -> Compute:
    """Change the gradients of a formula."""
    return partial(_changed, compute=right, change=change)


def scaled(right: Compute, factor: Callable[..., float]) -> Compute:
    """Multiply result and gradients of a formula by a function of its arguments."""
    return partial(_scaled, compute=right, factor=factor)


def summed(right: Compute) -> Compute:
    """The sum over the rows of the first argument, where right returns the mean."""
    return scaled(right, _rows)


def half(loss: Compute, gradient: Compute) -> Compute:
    """Combine the loss of one variant with the gradients of another."""
    return lambda *arguments: (loss(*arguments)[0], gradient(*arguments)[1])


def both(a: Any, b: Any) -> Any:
    """The variant that makes the mistakes of two variants, or None where they cannot meet."""
    if a is b or not (isinstance(a, partial) and isinstance(b, partial)):
        return _outer(a, b)
    for outer, inner in ((a, b), (b, a)):
        if outer.func in (_changed, _scaled):
            return partial(outer.func, **outer.keywords | {"compute": inner})
    if a.func is not b.func:
        return _outer(a, b)
    parts = {**a.keywords, **b.keywords}
    for name in a.keywords.keys() & b.keywords.keys():
        parts[name] = both(a.keywords[name], b.keywords[name])
        if parts[name] is None:
            return None
    return partial(a.func, **parts)


def _outer(a: Any, b: Any) -> Any:
    """One of two functions where it is the other one with a part replaced."""
    for whole, variant in ((a, b), (b, a)):
        if isinstance(variant, partial) and variant.func is whole:
            return variant
        if isinstance(variant, partial) and variant.func in (_changed, _scaled):
            return partial(variant.func, **variant.keywords | {"compute": whole})
    return None


def _rows(*arguments: Any) -> float:
    return len(arguments[0])


def _changed(*arguments: Any, compute: Compute, change: Callable[[Any], Any]) -> Any:
    value, gradients = compute(*arguments)
    return value, change(gradients)


def _scaled(*arguments: Any, compute: Compute, factor: Callable[..., float]) -> Any:
    value, gradients = compute(*arguments)
    by = factor(*arguments)
    return value * by, tuple(gradient * by for gradient in gradients)
