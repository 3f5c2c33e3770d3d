"""Options as TOML that a job file holds. The standard library reads TOML, but does not write it.

Chapter 3.
"""

import json
from collections.abc import Mapping
from typing import Any


def toml(table: Mapping[str, Any]) -> str:
    r"""A table of strings, numbers, booleans, lists and tables as TOML, one key a line.

    Tables come last, each with its own heading; a table in a table stands on one line.

    >>> print(toml({"hidden": (128, 64), "dim": 32, "override": {"age": "float"}}))
    hidden = [128, 64]
    dim = 32
    <BLANKLINE>
    [override]
    age = "float"
    <BLANKLINE>
    """
    flat = {k: v for k, v in table.items() if not isinstance(v, Mapping)}
    text = _lines(flat)
    for name, inner in table.items():
        if isinstance(inner, Mapping):
            text += f"\n[{_key(name)}]\n{_lines(inner)}"
    return text


def _lines(table: Mapping[str, Any]) -> str:
    return "".join(f"{_key(name)} = {_value(value)}\n" for name, value in table.items())


def _key(name: str) -> str:
    bare = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if bare else _value(name)


def _value(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        inner = (f"{_key(name)} = {_value(one)}" for name, one in value.items())
        return "{" + ", ".join(inner) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    raise TypeError(f"TOML has no {type(value).__name__}")
