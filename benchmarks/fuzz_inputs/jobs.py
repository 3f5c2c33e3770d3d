"""Cases: a TOML job file that is valid but for one of its values, or is not TOML."""

from __future__ import annotations

import tomllib
from contextlib import suppress
from pathlib import Path
from random import Random

from case import Case, brief
from flags import _PLAIN as PLAIN
from flags import _WORDS as WORDS
from flags import ENDLESS, NAMED, named_in
from values import INTEGERS, NUMBERS, TEXTS, mutated_bytes
from world import commands

from minitower.cli.train import OPTIONS
from minitower.data.errors import printable

_RAW = (
    *("true", "false", "nan", "inf", "-inf", "1e999", "[]", "[1]", '["x"]', "{}", "{a = 1}", '""'),
    *("1979-05-27", "07:32:00", "1979-05-27T07:32:00Z", "0x10", "0b1", "1_0", "01", "'x'"),
    *("9" * 5_000, "[" * 3_000 + "]" * 3_000, "{a = " * 1_000 + "1" + "}" * 1_000, '"\\u0000"'),
    *(
        '"a\\nb"',
        '"\\u001b[31m"',
        '"\\ud800"',
        '"\\U0001F4A5"',
        '"""x\ny"""',
        "nil",
        "",
        "'" + "x" * 600 + "'",
    ),
    *("[[1, 2], [3]]", "-1", "0", "4", "4.0", "1000000000", "9223372036854775808", "[4, 4]"),
    *("[1000000000]", "[-1]", "[true]", "[4.5]", "0.5", "1e-300", "1e300", "-0.0"),
)
_PLACES = ("data", "out", "history_file")
_KEYS = (
    "no",
    "data",
    "out",
    '""',
    '"a.b"',
    "dim.x",
    '"\\u0000"',
    "'" + "k" * 600 + "'",
    '"a\\nb"',
    "é",
)


def make(rng: Random) -> Case:
    """A case of this kind."""
    argv, uses = commands()["train job"]
    if rng.random() < 0.3:
        return _tables(rng)
    if rng.random() < 0.15:
        argv, uses = ("demo", "--data", "atomic", "--no-report", "--job", "job.toml"), uses
    elif rng.random() < 0.15 and "tune" in commands():
        return _space(rng)
    seed = rng.random()
    places: tuple[str, ...] = ("job.toml", "job file")
    if rng.random() < 0.15:
        places += ("File name too long",)  # said of a path of which the line holds a part
        return Case("toml", "bytes", (argv,), places, uses, (_bytes(seed),))
    key = rng.choice((*OPTIONS, *OPTIONS, *_PLACES, *_KEYS))
    value = _value(rng, key)
    places += (key.strip("\"'"), key.replace("_", "-"), f"--{key.replace('_', '-')}")
    places += PLAIN.get(f"--{key.replace('_', '-')}", ())
    if key in _PLACES:
        with suppress(ValueError, RecursionError):  # a path as it is, however TOML writes it
            path = str(tomllib.loads(f"value = {value}")["value"])
            places += (path, printable(path), "File name too long")
    if key in _PLACES or f"--{key}" in NAMED:
        places += named_in(value.strip("\"'"))

    def change(folder: Path) -> None:
        again, path = Random(seed), folder / "job.toml"
        lines = path.read_text().splitlines()
        if argv[0] == "demo":
            lines = [line for line in lines if line.split()[0] not in ("data", "out")]
        line = f"{key} = {value}"
        at = [i for i, old in enumerate(lines) if old.split(" ")[0] == key]
        how = again.random()
        if at and how < 0.9:
            lines[at[0]] = line
        elif how < 0.95:
            lines.append(line)
        else:
            lines += [f"[{again.choice(('table', key))}]", line, line if how > 0.98 else ""]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="surrogatepass")

    what = f"{key} = {brief(value)}"
    return Case("toml", what, (argv,), places, uses, (change,))


def _tables(rng: Random) -> Case:
    """A job that states all columns, as inspect prints it, with one line that is odd."""
    known = commands()
    argv, uses = known["tune tables" if "tune tables" in known and rng.random() < 0.1
                       else "train tables job"]  # fmt: skip
    if rng.random() < 0.3:
        argv = ("inspect", "tables", "--override", "users.age=none")
    seed, how = rng.random(), rng.choice(("value", "value", "value", "key", "twice", "gone"))
    if argv[0] == "inspect":
        override = rng.choice(_FIELDS)
        argv = ("inspect", "tables", "--override", override)
        places = ("override", *named_in(override), *named_in(override.partition("=")[2]))
        return Case("toml", f"inspect: {brief(override)}", (argv,), places, ("tables",))

    def change(folder: Path) -> None:
        again, path = Random(seed), folder / "tables.toml"
        lines = path.read_text().splitlines()
        at = again.choice([i for i, line in enumerate(lines) if " = " in line])
        key, _, value = lines[at].partition(" = ")
        if how == "value":
            lines[at] = f"{key} = {_column_value(again, key)}"
        elif how == "key":
            lines[at] = f"{again.choice((*_KEYS, 'users.age', 'who', 'weight'))} = {value}"
        elif how == "twice":
            lines.insert(at, lines[at])
        else:
            del lines[at]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="surrogatepass")

    places = ("tables.toml", "job file", "interactions.csv", "users.csv", "items.csv", "tables",
              "too few to train on", "File name too long", "the folder is missing", "override",
              "Split(", "rule", "out",
              *OPTIONS, *(name.replace("_", "-") for name in OPTIONS))  # fmt: skip
    return Case("toml", f"tables.toml: {how}", (argv,), places, uses, (change,))


_FIELDS = (
    "users.age={kind='continuous'}", "items.age=token", "users.genres=token_seq", "users.=token",
    ".age=token", "items.title=token", "users.user_id=token", "user_id={kind='id', dim=8}",
    "users.age={kind='continuous', name='x'}", "age={kind='multi_valued', separator='|'}",
    "interactions.device=token", "items.price={kind='continuous', transform='log'}",
    "items.genres={kind='multi_valued', separator=1}", "users.gender={kind='categorical', dim=0}",
    "items.price={kind='continuous', buckets=3}", "gender={kind='continuous', impute=1}",
    "users.age=", "users=token", "USERS.age=none", "users.age.x=none",
)  # fmt: skip


def _column_value(rng: Random, key: str) -> str:
    """An odd value for a line of a job of tables: of a column, of a feature, or of any option."""
    if rng.random() < 0.5:
        return _value(rng, key)
    return rng.choice((
        *('"none"', '"weight"', '"user_id"', '"device"', '"exposed"', '"no"', '"milliseconds"'),
        *('"token"', '"token_seq"', '"float"', '{kind = "id"}', '{kind = "continuous"}'),
        *('{kind = "continuous", transform = "bucketise"}', '{kind = "multi_valued"}'),
        *('{kind = "categorical", name = "x"}', '{transform = "log1p"}', "{}", '{kind = "no"}'),
        *('{kind = "continuous", impute = "yes"}', '{kind = "multi_valued", separator = "||"}'),
    ))  # fmt: skip


def _space(rng: Random) -> Case:
    """A space to search with one entry more, in which a value or the key is odd."""
    argv, uses = commands()["tune"]
    key, value = rng.choice((*OPTIONS, *_KEYS)), _value(rng, "")
    form = rng.choice((
        "{0}", "[{0}]", "[{0}, 1]", "[{0}, {0}]", "{{low = {0}, high = 1}}",
        "{{low = 0.1, high = {0}}}", "{{low = 1, high = 2, log = {0}}}", "{{low = {0}}}",
    ))  # fmt: skip
    line = f"{key} = {form.format(value)}\n"

    def change(folder: Path) -> None:
        path = folder / "space.toml"
        text = line + path.read_text()
        path.write_text(text, encoding="utf-8", errors="surrogatepass")

    flag = f"--{key.replace('_', '-')}"
    places = ("space.toml", key.strip("\"'"), flag, *PLAIN.get(flag, ()), *argv[4:5])
    return Case("toml", f"space: {brief(line)}", (argv,), places, uses, (change,))


def _value(rng: Random, key: str) -> str:
    """A value as TOML has it, or not."""
    flag = f"--{key.replace('_', '-')}"
    if flag in ENDLESS:
        return rng.choice(("0", "-1", "nan", '"x"', "[]", "true", "2", "1.5", "9" * 5_000))
    if flag in WORDS and rng.random() < 0.5:
        return _quoted(rng.choice(WORDS[flag]))
    how = rng.random()
    if how < 0.5:
        return rng.choice(_RAW)
    if how < 0.7:
        return rng.choice((*INTEGERS, *NUMBERS))
    return _quoted(rng.choice((*TEXTS, *INTEGERS, *NUMBERS)))


def _quoted(text: str) -> str:
    escaped = (f"\\u{ord(c):04x}" if ord(c) < 32 or c in '"\\\x7f' else c for c in text)
    return f'"{"".join(escaped)}"'


def _bytes(seed: float):  # type: ignore[no-untyped-def]
    def change(folder: Path) -> None:
        path = folder / "job.toml"
        path.write_bytes(mutated_bytes(Random(seed), path.read_bytes()))

    return change
