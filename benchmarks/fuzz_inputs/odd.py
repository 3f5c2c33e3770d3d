"""Odd Python values: numbers, columns of any library, arrays.

A value is *of a wrong type* where its type alone is wrong for an option that is no data: a str
for a number, a list for a word. Only then is a TypeError a fair answer.
"""

from __future__ import annotations

import array
import collections
import datetime as dt
import importlib.util
import json
import math
import uuid
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import cache
from random import Random
from typing import Any

import numpy as np

INTEGERS: tuple[Any, ...] = (
    *(-1, 0, 1, 2, 3, 7, -(2**63), 2**31, 2**53 + 1, 2**63 - 1, 2**63, 10**30, 10**400),
    *(np.int64(3), np.uint8(3), np.int8(-1), np.uint64(2**64 - 1), np.float64(3.0), np.bool(True)),
    *(1.5, 2.0, -0.0, math.nan, math.inf, -math.inf, 1e300, np.float32(2.5), True, False),
)
FLOATS: tuple[Any, ...] = (
    *(0, 1, -1, 0.0, -0.0, 0.5, 1.5, 2, 1e-300, 5e-324, 1e-45, 1e-12, 1e12, 1e38, 1e300, -1e300),
    *(math.nan, math.inf, -math.inf, 10**400, -(10**400), 2**63, np.float32(0.1), np.float16(0.1)),
    *(np.float64(math.nan), np.int8(1), np.longdouble("1e4000"), True, False),
)
WRONG: tuple[Any, ...] = (
    *(None, "", "3", "x", b"3", [], [1], (), {}, {"a": 1}, {1}, 1j, Decimal("0.5"), Fraction(1, 2)),
    *(
        object(),
        np.array([1, 2]),
        np.array([]),
        np.datetime64("2020"),
        np.str_("x"),
        float,
        lambda: 1,
    ),
    *(np.array(3), np.array(0.5)),
)
WORDS: tuple[Any, ...] = (
    *("", "x", "cosine ", "COSINE", "none", "\0", "a\nb", "\x1b[31m", "\ud800", "x" * 10_000, "é"),
    *(
        "0",
        "recall@",
        "recall@0",
        "recall@x",
        "recall@99999999999999999999",
        "train",
        "all",
        "item",
    ),
    *("rating", "rating >= 4", "rating > x", "{}", "%s", "\u2028", "user_id", "'", "recall@²"),
)


class Odd:
    """An object of no meaning that shows itself badly."""

    def __repr__(self) -> str:
        return "odd\nobject " + "x" * 1_000


class Raises:
    """An array-like whose conversion fails."""

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise ValueError("cannot be an array\nat all")

    def __iter__(self) -> Any:
        raise ValueError("cannot be read")


def number(rng: Random, valid: Any) -> tuple[Any, bool]:
    """A value for a number, and whether its type is wrong."""
    if rng.random() < 0.2:
        return rng.choice(WRONG), True
    return rng.choice(INTEGERS if isinstance(valid, int) else FLOATS), False


def word(rng: Random) -> tuple[Any, bool]:
    """A value for a str, and whether its type is wrong."""
    if rng.random() < 0.25:
        return rng.choice((*WRONG, 1, 1.5, True)), True
    return rng.choice(WORDS), False


def column(rng: Random, valid: Sequence[Any]) -> Any:
    """An odd column that is as long as a valid one, or is not."""
    return rng.choice(rng.choice(_makers()))(rng, list(valid))


def table(rng: Random, valid: dict[str, Any]) -> tuple[Any, tuple[str, ...]]:
    """A table with an odd column, or no table; and the names of what was changed."""
    name = rng.choice(list(valid))
    if rng.random() < 0.08:
        return rng.choice((None, [], "x", 3, [1, 2], {}, {"x": [1]}, set(), Odd(), np.zeros(3))), (
            name,
        )
    if rng.random() < 0.08:
        odd = rng.choice(("", "x\ny", 3, None, "\ud800", "x" * 600, "\x1b", name.upper()))
        return {odd if key == name else key: value for key, value in valid.items()}, (
            name,
            str(odd),
        )
    if rng.random() < 0.06:
        return {key: value for key, value in valid.items() if key != name}, (name,)
    changed = {**valid, name: column(rng, valid[name])}
    frame = rng.choice((dict, dict, *_frames()))
    if _is_deep(changed[name]):  # polars overflows the stack of the process
        return changed, (name,)
    try:
        json.dumps(changed[name], default=str)  # polars dies of lists in themselves, or very deep
        return frame(changed), (name,)
    except Exception:  # or the library itself refuses it
        return changed, (name,)


def _is_deep(inside: Any) -> bool:
    """Whether a column begins with a list in a list, and so on."""
    for _ in range(20):
        if not (isinstance(inside, list) and inside):
            return False
        inside = inside[0]
    return True


@cache
def _frames() -> tuple[Callable[[dict[str, Any]], Any], ...]:
    found: list[Callable[[dict[str, Any]], Any]] = []
    if _there("pandas"):
        import pandas as pd

        found.append(pd.DataFrame)
    if _there("polars"):
        import polars as pl

        def polars(columns: dict[str, Any]) -> Any:
            try:
                return pl.DataFrame(columns, strict=False)
            except pl.exceptions.PanicException as panic:  # no Exception; of decimals of 256 bits
                raise ValueError(str(panic)) from panic

        found.append(polars)
    if _there("pyarrow"):
        import pyarrow as pa

        found.append(pa.table)
    return tuple(found)


def _there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


Maker = Callable[[Random, list[Any]], Any]


@cache
def _makers() -> tuple[tuple[Maker, ...], ...]:
    """Makers of columns, a group for each library, so that each of these is as likely."""
    groups: list[tuple[Maker, ...]] = [_PLAIN, _PLAIN, _NUMPY, _NUMPY]
    if _there("pandas"):
        groups.append(_pandas())
    if _there("polars"):
        groups.append(_polars())
    if _there("pyarrow"):
        groups.append(_arrow())
    return tuple(groups)


def _all(value: Any) -> Maker:
    return lambda rng, valid: [value] * len(valid)


def _some(*values: Any) -> Maker:
    """The valid column with an odd value in one place."""

    def make(rng: Random, valid: list[Any]) -> list[Any]:
        at = rng.randrange(len(valid))
        return [*valid[:at], rng.choice(values), *valid[at + 1 :]]

    return make


def _endless(rng: Random, valid: list[Any]) -> list[Any]:
    inside: list[Any] = []
    inside.append(inside)
    return [inside, *valid[1:]]


def _deep(rng: Random, valid: list[Any]) -> list[Any]:
    inside: list[Any] = []
    for _ in range(5_000):
        inside = [inside]
    return [inside, *valid[1:]]


_PLAIN: tuple[Maker, ...] = (
    _some(None, "", "x", "3", 3, -1, 0, 1.5, 2**63, 10**30, 10**400, -(10**30), True),
    _some(math.nan, math.inf, -math.inf, 2.0**53, 2.0**53 + 2, 1e300, 1e39, -0.0),
    _some(b"x", b"\xff", bytearray(b"x"), 1j, Decimal("1"), Decimal("NaN"), Decimal("1e999999")),
    _some(Decimal("sNaN"), Fraction(1, 3), uuid.UUID(int=1), Odd(), Raises(), object, ...),
    _some([], [1], ["x", None], (1, 2), {1}, {"a": 1}, [[1]], ["x" * 300], [1, "x"], [math.nan]),
    _some(dt.datetime(2020, 1, 1), dt.date(2020, 1, 1), dt.time(1), dt.timedelta(1),
        dt.datetime.max),
    _some(dt.datetime(2020, 1, 1, tzinfo=dt.UTC), dt.datetime.min, np.datetime64("NaT")),
    _some(np.float64(3), np.str_("x"), np.bytes_(b"x"), np.datetime64("2020"),
        np.timedelta64(1, "D")),
    _some("\0", "a\0b", "\ud800", "x" * 257, "x" * 100_000, "a\nb", "\x1b[31m", "\u2028", "é", " "),
    _some(np.array([1, 2]), np.array("x"), np.ma.masked, memoryview(b"ab"), range(3), lambda: 1),
    _all(None), _all(1), _all("x"), _all(True), _all(1.5), _all(b"x"), _all([]), _all([1]),
    _all({}),
    _all(1j), _all(Decimal("1.5")), _all(dt.timedelta(1)), _all(dt.datetime(2020, 1, 1)),
    _all(math.nan),
    lambda rng, valid: valid[:-1],
    lambda rng, valid: [*valid, valid[0]],
    lambda rng, valid: [],
    lambda rng, valid: rng.choice((None, 3, "x", b"x", 1.5, Odd(), Raises(), {}, ..., len)),
    lambda rng, valid: (value for value in valid),
    lambda rng, valid: iter(valid),
    lambda rng, valid: dict(enumerate(valid)),
    lambda rng, valid: set(map(str, valid)),
    lambda rng, valid: collections.deque(valid),
    lambda rng, valid: tuple(valid),
    lambda rng, valid: range(len(valid)),
    lambda rng, valid: memoryview(bytes(len(valid))),
    lambda rng, valid: array.array("d", [1.0] * len(valid)),
    lambda rng, valid: [[value] for value in valid],
    lambda rng, valid: [valid] * len(valid),
    lambda rng, valid: ["3", *range(len(valid) - 1)],
    lambda rng, valid: [2**53 + i + 0.0 for i in range(len(valid))],
    _endless,
    _deep,
)  # fmt: skip


def _numpy(dtype: str) -> Maker:
    """Values as they would be of a dtype; zeros where they cannot."""

    def make(rng: Random, valid: list[Any]) -> Any:
        try:
            with np.errstate(all="ignore"):
                return np.array(valid).astype(dtype)
        except (TypeError, ValueError):
            return np.zeros(len(valid), dtype)

    return make


def _masked(rng: Random, valid: list[Any]) -> Any:
    mask = [rng.random() < rng.choice((0.0, 0.3, 1.0)) for _ in valid]
    return np.ma.array(valid, mask=mask)


_NUMPY: tuple[Maker, ...] = (
    *map(
        _numpy,
        ("m8[s]", "m8", "M8[s]", "M8[ns]", "M8[Y]", "c16", "c8", "f2", "f4", "g", "S8", "V8"),
    ),
    *map(_numpy, ("?", "i1", "u1", "u8", ">i8", ">f4", "U8", "O", "U0", "S0")),
    _masked,
    _masked,
    lambda rng, valid: (
        np.array(valid, np.dtypes.StringDType()) if isinstance(valid[0], str) else valid
    ),
    lambda rng, valid: np.zeros(len(valid), [("a", "i4"), ("b", "f8")]),
    lambda rng, valid: np.zeros((len(valid), 2)),
    lambda rng, valid: np.zeros((len(valid), 0), int),
    lambda rng, valid: np.zeros((len(valid), 2, 2)),
    lambda rng, valid: np.array(3),
    lambda rng, valid: np.zeros((2, len(valid))),
    lambda rng, valid: np.full(len(valid), np.nan),
    lambda rng, valid: np.full(len(valid), np.datetime64("NaT"), "M8[s]"),
    lambda rng, valid: np.full(len(valid), np.datetime64("9999-12-31T23", "us")),
    lambda rng, valid: np.full(len(valid), 2**64 - 1, np.uint64),
    lambda rng, valid: np.full(len(valid), 2.0**53 + 2),
    lambda rng, valid: np.arange(len(valid)) + np.float32(2.0**24),
    lambda rng, valid: np.array(valid, object)[::-2],
    lambda rng, valid: np.recarray(len(valid), [("a", "i4")]),
    lambda rng, valid: np.matrix(np.zeros(len(valid))),
    lambda rng, valid: np.random.default_rng(0).normal(size=len(valid)) * 1e300,
)


def _pandas() -> tuple[Maker, ...]:
    import pandas as pd

    typed = lambda dtype: lambda rng, valid: pd.Series([1] * len(valid)).astype(dtype)
    of = lambda value, dtype=None: lambda rng, valid: pd.Series([value] * len(valid), dtype=dtype)
    return (
        *map(typed, ("Int64", "UInt8", "Float64", "boolean", "string", "category", "complex128")),
        typed("Sparse[int]"), typed("timedelta64[ns]"), typed("datetime64[ns, UTC]"),
        of(pd.NA), of(pd.NA, "Int64"), of(pd.NaT), of(pd.Period("2020")), of(pd.Interval(0, 1)),
        of(pd.Timestamp("2020")), of(pd.Timestamp("2020", tz="Asia/Tokyo")), of(pd.Timedelta(1)),
        of(None, "string"), of(b"x"), of([1, 2]), of("x", "category"), of(1.5), of({"a": 1}),
        lambda rng, valid: pd.Series([*valid[:-1], pd.NA]),
        lambda rng, valid: pd.Index(valid),
        lambda rng, valid: pd.MultiIndex.from_arrays([valid, valid]),
        lambda rng, valid: pd.DataFrame({"a": valid, "b": valid}),
        lambda rng, valid: pd.Series(valid, index=valid),
        lambda rng, valid: pd.RangeIndex(len(valid)),
        lambda rng, valid: pd.IntervalIndex.from_breaks(range(len(valid) + 1)),
        lambda rng, valid: pd.array([1, None] * (len(valid) // 2), "Int64"),
    )  # fmt: skip


def _polars() -> tuple[Maker, ...]:
    import polars as pl

    of = lambda value, dtype=None: lambda rng, valid: pl.Series([value] * len(valid), dtype=dtype)
    return (
        of(1, pl.Int128), of(2**100, pl.Int128), of(1, pl.UInt8),
        of(Decimal("1.5"), pl.Decimal(10, 2)),
        of(dt.timedelta(1)), of(dt.time(1)), of(dt.date(2020, 1, 1)), of(dt.datetime(2020, 1, 1)),
        of([1, 2]), of(["x"]), of({"a": 1}), of(b"x"), of("x", pl.Categorical),
        of("a", pl.Enum(["a"])),
        of(None), of(None, pl.Int64), of(Odd(), pl.Object), of([1, 2], pl.Array(pl.Int64, 2)),
        of(True),
        of(math.nan), of(1, pl.Float32), of("\0"), of([None]), of([[1]]),
        lambda rng, valid: pl.Series([*valid[:-1], None]),
        lambda rng, valid: pl.DataFrame({"a": valid}),
        lambda rng, valid: pl.DataFrame({"a": valid}).lazy(),
    )  # fmt: skip


def _arrow() -> tuple[Maker, ...]:
    import pyarrow as pa

    of = lambda value, kind: lambda rng, valid: pa.array([value] * len(valid), kind)
    return (
        of(Decimal("1.5"), pa.decimal128(10, 2)), of(2**70, pa.decimal256(40, 0)),
        of([1], pa.list_(pa.int8())),
        of({"a": 1}, pa.struct([("a", pa.int8())])),
        of([("a", 1)], pa.map_(pa.string(), pa.int8())),
        of(b"x", pa.binary()), of(b"x", pa.binary(1)), of(1, pa.duration("s")),
        of(1, pa.time32("s")),
        of(1, pa.date64()), of(1, pa.timestamp("ms", "UTC")), of(None, pa.null()),
        of(None, pa.int64()),
        of("x", pa.large_string()), of("x", pa.string_view()), of(np.float16(1), pa.float16()),
        of(2**64 - 1, pa.uint64()), of(True, pa.bool_()), of([None], pa.list_(pa.int8())),
        lambda rng, valid: pa.array(list(map(str, valid))).dictionary_encode(),
        lambda rng, valid: pa.chunked_array([valid[:3], valid[3:]]),
        lambda rng, valid: pa.array([*valid[:-1], None]),
        lambda rng, valid: pa.table({"a": valid}),
        lambda rng, valid: pa.scalar(1),
        lambda rng, valid: pa.RunEndEncodedArray.from_arrays([len(valid)], [1]),
    )  # fmt: skip


def numbers(rng: Random, valid: Any) -> Any:
    """An odd array in place of an array of numbers."""
    try:
        good = np.array(valid)
    except ValueError:  # lists of different lengths
        good = np.fromiter(valid, object, len(valid))
    try:
        with np.errstate(all="ignore"):
            return rng.choice(_ARRAYS)(rng, good)
    except (TypeError, ValueError):  # NumPy itself refuses it
        return good


_DTYPES = ("f2", "f4", "i1", "u1", "c16", "O", "g", "?", "U9", "S9", "m8[s]")
_NONE = (None, "x", [], {}, [[1], [1, 2]], [None], ["x"], Odd(), 1j, b"x", Raises())
_ARRAYS: tuple[Callable[[Random, Any], Any], ...] = (
    lambda rng, good: good.astype(rng.choice(_DTYPES)),
    lambda rng, good: good[..., None],
    lambda rng, good: good[None],
    lambda rng, good: good[:-1] if good.ndim else good,
    lambda rng, good: good[:0] if good.ndim else np.array([]),
    lambda rng, good: np.array(rng.choice((1, math.nan, "x", None))),
    lambda rng, good: _times(good, rng.choice((0, -1, 1e300, 1e-300))),
    lambda rng, good: _with(rng, good, rng.choice((math.nan, math.inf, -math.inf, 1e300, -1))),
    lambda rng, good: good.T,
    lambda rng, good: rng.choice(_NONE),
    lambda rng, good: good.tolist(),
    lambda rng, good: np.ma.array(good, mask=np.ones(good.shape, bool)),
    lambda rng, good: np.asfortranarray(good)[::-1] if good.ndim else good,
    lambda rng, good: good.astype(object) * Decimal(1) if good.dtype.kind == "i" else good,
    lambda rng, good: np.full(good.shape, 2**63, np.uint64),
    lambda rng, good: column(rng, good.ravel().tolist() or [1, 2]),
)


def _times(good: Any, factor: float) -> Any:
    return good * factor if good.dtype.kind in "biuf" else good[:0]


def _with(rng: Random, good: Any, value: float) -> Any:
    odd = good.astype(float) if good.dtype.kind in "biuf" else np.zeros(good.shape)
    if odd.size:
        odd.flat[rng.randrange(odd.size)] = value
    return odd
