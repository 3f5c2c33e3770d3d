"""JSON of a store's small files: strict both ways.

Python's reader accepts more than JSON: NaN, a name that occurs twice. It also fails with
other errors than ValueError where lists are nested 100,000 deep. The files of a store come
back as they were written, or are refused with one line.
"""

import json
import math
from pathlib import Path
from typing import Any

from minitower.data.errors import DataError, show

DEEPEST = 100  # levels of lists and objects


def to_json(content: Any, place: Path) -> bytes:
    """JSON for a file, which :func:`from_json` reads back.

    Raises:
        DataError: the content is not JSON.
    """
    try:
        text = (json.dumps(content, indent=1, allow_nan=False) + "\n").encode("utf-8")
        _parsed(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"{place}: the manifest is not JSON: {error}") from None
    return text


def from_json(text: bytes, place: Path) -> Any:
    """The content of a JSON file.

    Raises:
        DataError: it is not JSON, a name occurs twice in an object, a number is not finite
            or has more than 4,300 digits, or the nesting is deeper than 100 levels.
    """
    try:
        return _parsed(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place}: not JSON, perhaps cut: {error}") from None


def is_integer(value: Any, least: int) -> bool:
    """Whether a value of JSON is an integer (not 1.0, not true) from `least` to 2^53."""
    return type(value) is int and least <= value <= 1 << 53


def is_sha256(value: Any) -> bool:
    """Whether a value of JSON is a SHA-256 as hashlib prints it."""
    return isinstance(value, str) and len(value) == 64 and not {*value} - {*"0123456789abcdef"}


def _parsed(text: bytes) -> Any:
    value = json.loads(
        text.decode("utf-8"),
        object_pairs_hook=_distinct,
        parse_constant=_finite,
        parse_float=_finite,
    )
    level = [value]
    for _ in range(DEEPEST):
        lists = [x.values() if isinstance(x, dict) else x for x in level if _is_nested(x)]
        level = [x for values in lists for x in values]
    if level:
        raise ValueError(f"nested deeper than {DEEPEST} levels")
    return value


def _is_nested(value: Any) -> bool:
    return isinstance(value, (dict, list))


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the name {show(name)} occurs twice")
        found[name] = value
    return found


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{show(text)} is not a finite number")
    return value
