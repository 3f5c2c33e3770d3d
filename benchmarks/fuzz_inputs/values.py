"""Odd values of every type, and mutations of bytes, tables, JSON and paths."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

TEXTS = (
    *("", " ", "x", "-", "=", ":", ",", "+", "'", '"', "\\", "--", "None", "nan", "NaN", "true"),
    *(
        "a b",
        "é",
        "e\u0301",
        "💥",
        "千",
        "\ufeff",
        "\u200b",
        "\u202e",
        "\u2028",
        "\x85",
        "\x1b[31m",
    ),
    *("\n", "a\nb", "\r", "\t", "a\tb", "\0", "a\0b", "\x7f", "\ud800", "\udc80", "%s%n", "{}"),
    *("../x", "~", "*", "x" * 257, "x" * 5_000, "é" * 300, "[" * 2_000, "{" * 2_000, "$(x)"),
)
INTEGERS = (
    *("0", "1", "-1", "2", "3", "7", "100", "-0", "+3", "007", " 3", "3 ", "1_0", "1.0", "1e3"),
    *("2147483648", "4294967296", "9007199254740993", "9223372036854775807"),
    *("9223372036854775808", "-9223372036854775809", "18446744073709551616", "1" + "0" * 30),
    *("9" * 400, "9" * 5_000, "0x10", "١٢", "²", "１２", "1000000000", "3,4", "inf"),
)
NUMBERS = (
    *("0.5", "0.0", "-0.0", "0.1", "-0.1", "0.999999", "1.5", "2", "1e-300", "5e-324", "1e-45"),
    *("1e38", "3.5e38", "1e300", "-1e300", "1e309", "nan", "-nan", "inf", "-inf", "infinity"),
    *("1e", ".", ".5", "5.", "0x1p3", "1e400000", "1,5", "1e-7"),
)
JSON = (
    *("null", "true", "false", "0", "-1", "1.5", "1.0", "-0.0", "1e999", "-1e999", "NaN"),
    *("Infinity", "9007199254740993", "9223372036854775807", "9223372036854775808", "1e300"),
    *("1" + "0" * 400, "9" * 5_000, '""', '"x"', '"3"', '"\\ud800"', '"\\u0000"', '"a\\nb"'),
    *('"\\u001b[31m"', '"' + "x" * 300 + '"', "[]", "[1]", "[[1]]", "{}", '{"a": 1}', '"1e3"'),
    *('["x", 1]', "[" * 300 + "]" * 300, '"1970-01-01"', '"\\u2028"', "1600000000000", "01", "'x'"),
)
DEEP = "[" * 100_000 + "]" * 100_000  # JSON; rarely, for it takes its time


def number(rng: Random) -> str:
    """A number as text, often a bad one."""
    return rng.choice(rng.choice((INTEGERS, NUMBERS)))


def text(rng: Random) -> str:
    """Any text, numbers among them."""
    return rng.choice(rng.choice((TEXTS, TEXTS, INTEGERS, NUMBERS)))


def mutated_bytes(rng: Random, content: bytes) -> bytes:
    """Some bytes flipped, cut, inserted, repeated, exchanged, or all encoded otherwise."""
    at, to = sorted((rng.randrange(len(content) + 1), rng.randrange(len(content) + 1)))
    to = min(to, at + 200)
    part = content[at:to]
    odd = rng.choice(
        (b"\0", b"\xff", b"\r", b"\n", b"\t", b'"', b"\xed\xa0\x80", b"\x1b[2J", b"::")
    )
    flipped = bytes([content[at] ^ 1 << rng.randrange(8)]) if at < len(content) else b""
    return rng.choice(
        (
            lambda: content[:at] + flipped + content[at + 1 :],
            lambda: content[:at],
            lambda: content[to:],
            lambda: content[:at] + content[to:],
            lambda: content[:at] + odd * rng.choice((1, 1, 3, 300)) + content[at:],
            lambda: content[:to] + part + content[to:],
            lambda: content[:at] + bytes(len(part)) + content[to:],
            lambda: content[:at] + rng.randbytes(len(part)) + content[to:],
            lambda: content[:at] + part[::-1] + content[to:],
            lambda: b"\xef\xbb\xbf" + content,
            lambda: content.decode("latin-1").encode("utf-16"),
            lambda: content.replace(b"\n", rng.choice((b"\r", b"\r\n", b"\0", b" ", b"\n\n"))),
            lambda: content * 2,
            lambda: b"",
        )
    )()


def mutated_table(rng: Random, content: str, separator: str) -> str:
    """A delimited text: a cell, a line or a column of it changed."""
    lines = content.split("\n")
    row = min(
        len(lines) - 1, rng.choice((0, 0, 1, rng.randrange(len(lines)), rng.randrange(len(lines))))
    )
    cells = lines[row].split(separator)
    column = rng.randrange(len(cells))
    wide = rng.random() < 0.004

    def cell() -> str:
        cells[column] = text(rng) if not wide else "x" * rng.choice((140_000, 4_500_000))
        return _joined(lines, row, separator.join(cells))

    def whole_column() -> str:
        odd = text(rng)
        table = [line.split(separator) for line in lines]
        for line in table[1:]:
            if len(line) > column:
                line[column] = odd
        return "\n".join(separator.join(line) for line in table)

    def header() -> str:
        head = lines[0].split(separator)
        at = rng.randrange(len(head))
        name, colon, _ = head[at].partition(":")
        kinds = ("token", "token_seq", "float", "float_seq", "int", "", "TOKEN")
        odd = rng.choice((rng.choice(head), text(rng), rng.choice(("title", "name", "user_id"))))
        head[at] = f"{name}:{rng.choice(kinds)}" if colon and rng.random() < 0.5 else odd
        return _joined(lines, 0, separator.join(head))

    def columns() -> str:
        table = [line.split(separator) for line in lines]
        if rng.random() < 0.5:
            return "\n".join(separator.join(line[:column] + line[column + 1 :]) for line in table)
        return "\n".join(separator.join([*line, *line[column : column + 1]]) for line in table)

    changes: tuple[Callable[[], str], ...] = (
        cell,
        cell,
        cell,
        whole_column,
        header,
        columns,
        lambda: _joined(lines, row, separator.join(cells[:column])),
        lambda: _joined(lines, row, separator.join([*cells, text(rng)])),
        lambda: _joined(lines, row, separator * rng.choice((1, 50, 100_000 if wide else 500))),
        lambda: "\n".join(lines[:row] + lines[row + 1 :]),
        lambda: "\n".join(lines[: row + 1] + lines[row:]),
        lambda: "\n".join([*lines[:row], "", *lines[row:]]),
        lambda: lines[0] + rng.choice(("", "\n", "\n\n")),
        lambda: content.replace(separator, rng.choice((",", ";", " ", "|", "\t", "::", "\x1f"))),
        lambda: content.replace("\n", rng.choice(("\r", "\r\n", "\u2028", "\n\n"))),
        lambda: "\n".join(lines[::-1]),
        lambda: content.rstrip("\n")[: rng.randrange(len(content) + 1)],
    )
    return rng.choice(changes)()


def _joined(lines: list[str], row: int, line: str) -> str:
    return "\n".join([*lines[:row], line, *lines[row + 1 :]])


def mutated_records(rng: Random, content: str) -> tuple[str, tuple[str, ...]]:
    """JSON lines, a key of one or of all records changed; and the names of that key."""
    lines = content.rstrip("\n").split("\n")
    row = rng.randrange(len(lines))
    record = json.loads(lines[row])
    key = rng.choice(list(record))
    odd = DEEP if rng.random() < 0.01 else rng.choice(JSON)
    pairs = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in record.items()]
    at = list(record).index(key)
    how = rng.randrange(8)
    if how < 3:
        pairs[at] = f'"{key}": {odd}'
    elif how == 3:
        del pairs[at]
    elif how == 4:
        pairs.append(f'"{key}": {odd}')
    elif how == 5:
        pairs[at] = f"{json.dumps(text(rng))}: {odd}"
    line = "{" + ", ".join(pairs) + "}"
    if how == 6:
        line = odd
    if how == 7:
        line += rng.choice(("}", ",", " {}", "\r", "\0", "# x"))
    rows = range(len(lines)) if rng.random() < 0.15 else (row,)
    for at in rows:
        lines[at] = line
    return "\n".join(lines) + rng.choice(("\n", "\n", "")), (key,)


def mutated_json(rng: Random, state: Any) -> tuple[str, tuple[str, ...]]:
    """JSON text with one value inside changed, or left out, and the keys on the way to it."""
    mark, way, inside = "@@mutated@@", [], state
    while isinstance(inside, dict | list) and inside:
        holder = inside
        key = rng.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        way.append(key)
        inside = holder[key]
        if rng.random() < 0.25:
            break
    if not way:
        return rng.choice(JSON), ()
    names = tuple(str(key) for key in way if isinstance(key, str))
    if rng.random() < 0.2:
        del holder[way[-1]]
        return json.dumps(state, indent=1), names
    holder[way[-1]] = mark
    odd = DEEP if rng.random() < 0.02 else rng.choice(JSON)
    if isinstance(inside, int | float) and rng.random() < 0.4:
        odd = rng.choice(("0", "1", "2", "3", "-1", str(inside + 1), f"{inside}.0", str(2**63)))
    return json.dumps(state, indent=1).replace(json.dumps(mark), odd), names


KINDS_OF_FILE = ("missing", "folder", "fifo", "dangling", "loop", "unreadable", "error", "link")


def replaced(what: str, path: Path) -> None:
    """Something else in place of a file: one of ``KINDS_OF_FILE``."""
    content = path.read_bytes()
    path.unlink()
    if what == "folder":
        path.mkdir()
    elif what == "fifo":
        os.mkfifo(path)
    elif what == "dangling":
        path.symlink_to("nowhere")
    elif what == "loop":
        path.symlink_to(path.name)
    elif what == "unreadable":  # not for root
        path.write_bytes(content)
        path.chmod(0)
    elif what == "error":
        path.symlink_to("/proc/self/mem")  # opens, and does not read
    elif what == "link":  # which is fine
        target = path.parent.parent / f"elsewhere-{path.name}"
        target.write_bytes(content)
        path.symlink_to(target)
