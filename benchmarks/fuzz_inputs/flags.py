"""Cases: a command that is valid but for one or two of its words."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random

from case import Case, Command, brief
from values import TEXTS, number, text
from world import commands

from minitower.cli import build_parser

SUB = ("store",)  # commands that have commands
USED = {"forget.jsonl", "forget.csv", "forget.txt", "users.jsonl"}  # copied where they are named
SLOW = {"index-bench": 0.1, "publish": 0.5, "demo": 0.5, "check": 0.5, "vectors": 0.3, "tune": 0.3}
ENDLESS = {
    "--epochs",
    "--patience",
    "--trials",
}  # a large number is what the user asked for, for hours
NEVER = {"--follow", "--framework", "--command", "--help", "-h", "--version"}
"""Wait, import a framework, or run a program."""
_PROCESS = 30.0  # seconds: it must import everything first
_PATHS = (
    *(".", "box", "nowhere", "a/b/c", "", "x\0y", "n" * 300, "é", "\ud800", "a\nb", "FILE", "DIR"),
    *(
        "store",
        "atomic",
        "clicks",
        "store/CURRENT",
        "LINK",
        "FIFO",
        "store/versions",
        "users.jsonl",
    ),
)
_WORDS = {
    "--split": (
        "time:0.9,0.9",
        "time:-1,0",
        "last:-1,1",
        "random:nan,0",
        "given:",
        "given:rating",
        "given:no",
        "time:1",
        "last:1e3,1",
        "last:99999999999999999999,1",
        "random:0.5,0.5",
        "time:2020-09-13",
        "time:2020-09-13T01:00,2020-09-13T02:00+00:00",
        "time:0.1,1600005000",
        "time:1970-01-01",
        "time:2020-13-01",
        "time:2020-09-14,2020-09-13",
        "time:1e99",
        "time:20200913",
    ),
    "--positive": (
        "rating >= 4",
        "rating >= x",
        "rating",
        ">= 4",
        "no = 1",
        "rating = nan",
        "rating != ''",
        "user_id = u1",
        "rating >= 99",
        "user_id > 3",
        "all",
        "rating > 1e999",
        "rating >= 4 and rating <= 5",
        "rating == true",
        "rating >= 4 and",
        "(rating >= 4 or rating = 1) and user_id = u1",
        "rating >= 4 and gender = 'F'",
        "is_click = 1 or weight > 0.5 and device != web",
        "is_click = 1 AND (device = phone",
        "device = phone or device = 'x and y'",
        "(" * 50 + "rating = 4" + ")" * 50,
        " and ".join(["rating > 1"] * 101),
        "exposed = i1",
        "exposed > 3",
    ),
    "--columns": (
        "user=user_id",
        "user=",
        "=user_id",
        "user=no",
        "who=user_id",
        "unit=seconds",
        "unit=days",
        "unit=nanoseconds",
        "time=none",
        "time=device",
        "time=is_click",
        "weight=device",
        "weight=is_click",
        "weight=none",
        "exposed=user_id",
        "exposed=is_click",
        "exposed=none",
        "item=user_id",
        "title=genres",
        "title=no",
        "user=none",
    ),
    "--override": (
        "age=token",
        "age=",
        "=token",
        "age",
        "no=token",
        "age={kind='id'}",
        "age={",
        'age={kind="continuous", buckets=1000000000000}',
        "gender=float",
        "item_id=token",
        "age={kind='continuous', transform='bucketise', buckets=9223372036854775808}",
        "age={kind='categorical', dim=1000000000}",
        "genres={kind='multi_valued', separator=''}",
        "title=token_seq",
        "age={kind=1}",
        "age={kind=[]}",
        "user_id=none",
        "genres=float",
        "age={kind='continuous', default_rate=nan}",
    ),
    "--negatives": (
        "uniform:1000000000",
        "uniform:-1",
        "uniform:0",
        "mined:5",
        "shared:1000000000",
        "uniform:5+mined:5",
        "uniform",
        "uniform:",
        ":5",
        "x:5",
        "uniform:²",
        "popular:3",
        "uniform:2+shared:2",
        "uniform:99999999999999999999",
        "+",
        "shared:0",
    ),
    "--hidden": (
        "100000,100000",
        "4,",
        ",4",
        "0",
        "-4",
        "4,4,4",
        "4;4",
        "1e3",
        "1000000000",
        "99999999999999999999",
        "4, 4",
        "nan",
    ),
    "--history": (
        "none",
        "None",
        "0",
        "-5",
        "5:",
        ":5",
        ":sum",
        "5:max",
        "5:sum:own",
        "5:sum:mean",
        "5:own:own",
        "5:others",
        "5:others:earlier",
        "5.0",
        "1e3",
        "1001",
        "99999999999999999999",
        "²",
        "5:\0",
    ),
    "--metric": (
        "recall@0",
        "recall",
        "@5",
        "recall@-1",
        "no@5",
        "recall@99999999999999999999",
        "coverage@5",
        "recall@²",
        "recall@1_0",
        "ndcg@5",
    ),
    "--schedule": ("constant", "linear", "cosine", "Cosine", "step", "linear:2", ""),
    "--warmup-epochs": ("0", "0.5", "1", "2", "-1", "nan", "inf", "1e300"),
    "--final-rate": ("0", "1", "1.1", "-0.1", "nan", "1e-320"),
    "--history-file": ("new.jsonl", "FILE", "DIR", "LINK", "FIFO", "store/CURRENT", "no/x.jsonl"),
    "--forget": ("forget.txt", "forget.jsonl", "forget.csv", "users.jsonl", "FILE", "DIR", "LINK"),
    "--out": (
        "l.csv",
        "l.jsonl",
        "l.parquet",
        "l.txt",
        ".csv",
        "l.CSV",
        "no/l.csv",
        "DIR",
        "LINK",
        "ids.txt",
        "store/l.csv",
        "best.toml",
        "best.db",
    ),
    "--budget": ("0s", "1x", "-1m", "1", "1e3s", "nanh", "99999999h", "1.5s", "2s", "²s", "1h1m"),
    "--allowed-lateness": ("1x", "s", "-1s", "nan", "inf", "1e300h", "1h1h", "1e309", "0s"),
    "--max-clock-skew": ("0s", "1x", "-1h", "1e300h", "nanh", "infs"),
    "--every": ("0s", "1x", "-1h", "1e300h", "nanh", "infs", "1e-300s"),
    "--to": (
        "exact",
        "exact:",
        ":x",
        "no:x",
        "exact:a\0b",
        "exact:store",
        "exact:FILE",
        "hnsw:out",
        "exact:clicks",
        "exact:" + "n" * 300,
        "exact:a/b",
        "faiss:out",
        "exact:\ud800",
        "hnsw:",
    ),
    "--profile": (
        "age",
        "age=",
        "age=x",
        "=",
        "no=1",
        "gender=F=M",
        "age=nan",
        "age=1e300",
        "age=\0",
        "gender=\ud800",
        "user_id=u1",
        "gender=" + "x" * 300,
        "age=inf",
        "gender=a\nb",
        "history=",
        "history=i1",
        "history=,,",
        "history=no",
        "history=i1,i1,i2",
        "history=i1 i2",
        "history=\0",
        "history=\ud800,i1",
    ),
    "--formula": ("no", "", "in_batch", "sampler", "pointwise_logistic"),
    "--explain": ("no", "", "in_batch_softmax", "sampler", "x" * 600),
}
NAMED = (
    "--users",
    "--items",
    "--split",
    "--positive",
    "--override",
    "--columns",
    "--profile",
    "--to",
    "--formula",
)
_PLAIN = {  # other words for what a flag says
    "--at-least": ("validation",),
    "--explain": ("formula",),
    "--hidden-fields": ("hiding",),
    "--metric": ("k",),
    "--positive": ("rule", "validation split"),
    "--split": ("Split(",),
    "--to": ("File name too long",),
}
_ODD = {  # what is asked for and may get
    None: text,
    Path: lambda rng: rng.choice((*_PATHS, text(rng))),
}


@cache
def parsers() -> dict[tuple[str, ...], argparse.ArgumentParser]:
    """The parser of each command."""
    found: dict[tuple[str, ...], argparse.ArgumentParser] = {}
    waiting: list[tuple[tuple[str, ...], argparse.ArgumentParser]] = [((), build_parser())]
    while waiting:
        name, parser = waiting.pop()
        below = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
        for action in below:
            waiting += [((*name, word), sub) for word, sub in action.choices.items()]
        if not below:
            found[name] = parser
    return found


def make(rng: Random) -> Case:
    """A case of this kind."""
    valid = commands()
    names = [name for name in valid if name != "train job"]
    name = rng.choices(names, [SLOW.get(valid[n][0][0], 1.0) for n in names])[0]
    argv, uses = valid[name]
    case = Case("flags", name, (argv,), (), uses, (), ("aside.jsonl", "curve.jsonl"))
    if rng.random() < 0.02:
        return _environment(rng, case)
    for _ in range(rng.choice((1, 1, 1, 2))):
        case = rng.choices((_flag, _positional, _words), (0.7, 0.18, 0.12))[0](rng, case)
    argv = case.steps[0]
    assert isinstance(argv, tuple)
    if argv[:1] == ("index-bench",):  # a process for each index
        only = () if "--only" in argv else ("--only", "exact")
        case = replace(case, seconds=40.0, steps=((*argv, *only),))
    if rng.random() < 0.01 and typable(argv):
        case = replace(case, process=True, seconds=_PROCESS)
    return case


def typable(argv: Command) -> bool:
    """Whether a shell could hand these words over."""
    try:
        return all("\0" not in word and os.fsencode(word) is not None for word in argv)
    except UnicodeError:
        return False


def _environment(rng: Random, case: Case) -> Case:
    """The same valid command where stdout is not what it should be, or the disk is full."""
    argv = case.steps[0]
    assert isinstance(argv, tuple)
    if rng.random() < 0.4:
        room, places = rng.choice((0, 500, 3000)), tuple(word for word in argv[1:] if word)
        places += tuple(word.partition(":")[2] for word in argv if ":" in word)  # of publish
        places += ("task.npz",)  # of index-bench, in a temporary folder
        places += ("best.db",)  # of tune, beside best.toml
        places += ("out",)  # of a job file
        return replace(case, what=f"{case.what}: files of {room} bytes", room=room, places=places)
    stdout = rng.choice(("closed", "full", "ascii", "unread"))
    case = replace(case, what=f"{case.what}: stdout {stdout}", stdout=stdout)
    return replace(case, process=True, seconds=_PROCESS) if rng.random() < 0.3 else case


def _command(argv: Command) -> tuple[str, ...]:
    return argv[:2] if argv[0] in SUB else argv[:1]


def _flag(rng: Random, case: Case) -> Case:
    """A flag with an odd value, in place of its own or in front of it."""
    argv = case.steps[0]
    assert isinstance(argv, tuple)
    command = _command(argv)
    if command not in parsers():  # a word was changed before
        return case
    actions = [
        a
        for a in parsers()[command]._actions
        if a.option_strings and not NEVER & {*a.option_strings}
    ]
    if not actions:
        return _positional(rng, case)
    action = rng.choice(actions)
    flag = action.option_strings[-1]
    value, change = _value(rng, action)
    words = [flag] if action.nargs == 0 else [flag, *value]
    if rng.random() < 0.1 and len(words) == 2 and flag.startswith("--"):
        words = [f"{flag}={words[1]}"]
    if rng.random() < 0.05:
        words = words[:1] if action.nargs != 0 else [*words, "x"]
        case = replace(case, places=(*case.places, "arguments"))
    found = list(argv)
    if flag in found and action.nargs is None:
        at = found.index(flag)
        found[at : at + 2] = words
    else:
        found += words
    changes = case.changes if change is None else (*case.changes, change)
    places = (
        *case.places,
        flag,
        flag.strip("-"),
        flag.replace("--no-", "--"),
        *_PLAIN.get(flag, ()),
    )
    if _takes_path(action) or flag in NAMED:
        places += named_in(*value)
    what = f"{case.what}; {brief(' '.join(words))}"
    is_written = flag in (
        "--dead-letter-file",
        "--history-file",
        "--json",
        "--junit",
        "--markdown",
        "--badge",
    ) or (flag == "--out" and argv[0] == "recall")  # --out of other commands is a folder
    writes = (*case.may_write, words[-1].removeprefix(f"{flag}=")) if is_written else case.may_write
    uses = (*case.uses, *(word for word in words if word in USED and word not in case.uses))
    return replace(
        case, what=what, steps=(tuple(found),), places=places, changes=changes, may_write=writes,
        uses=uses,
    )  # fmt: skip


def _value(rng: Random, action: argparse.Action) -> tuple[list[str], Callable[[Path], None] | None]:
    flag = action.option_strings[-1]
    if flag in ENDLESS:
        return [rng.choice(("0", "-1", "nan", "", "x", "1.5", "2", "\0", "1" * 5_000, "1e3"))], None
    kind = Path if _takes_path(action) else None
    if flag in _WORDS and rng.random() < 0.7:
        words = [rng.choice(_WORDS[flag])]
    elif action.choices and rng.random() < 0.3:
        words = [rng.choice([str(choice) for choice in action.choices if choice != "scann"])]
    elif kind is None and rng.random() < 0.6:
        words = [number(rng)]
    else:
        words = [_ODD[kind](rng)]
    if action.nargs == "+" and rng.random() < 0.3:
        words += [rng.choice(TEXTS)]
    if "scann" in " ".join(words) or "milvus" in " ".join(words):
        words = ["exact"]
    return words, _there(words[0])


def _takes_path(action: argparse.Action) -> bool:
    """Whether the value of a flag is a path: its message may name the path alone."""
    try:
        return callable(action.type) and isinstance(action.type("a"), Path)
    except (argparse.ArgumentTypeError, ValueError):
        return False


def _there(word: str) -> Callable[[Path], None] | None:
    """Make what the names in capitals stand for."""

    def change(folder: Path) -> None:
        path = folder / word.rpartition(":")[2]
        if path.is_symlink() or path.exists():
            return
        if path.name == "FILE":
            path.write_text("mine\n")
        elif path.name == "DIR":
            path.mkdir()
            (path / "file").write_text("mine\n")
        elif path.name == "LINK":
            path.symlink_to("nowhere")
        elif path.name == "FIFO":
            os.mkfifo(path)

    return change if word.rpartition(":")[2] in ("FILE", "DIR", "LINK", "FIFO") else None


def _positional(rng: Random, case: Case) -> Case:
    """Another word in the place of a folder, a user or a number; or another kind of file there."""
    argv = case.steps[0]
    assert isinstance(argv, tuple)
    first = len(_command(argv))
    if first >= len(argv) or argv[first].startswith("-"):
        return _words(rng, case)
    last = first
    while last + 1 < len(argv) and not argv[last + 1].startswith("-"):
        last += 1
    at = rng.randint(first, last)
    word = rng.choice((*_PATHS, text(rng), number(rng)))
    if word.startswith("-"):
        word = "x"
    names = (argv[at], *named_in(word), *_metavars(argv))
    if word in ("", "."):
        names += (*case.uses, *case.may_write, "CURRENT", "manifest.json")
    if argv[0] in ("recall", "similar"):
        names += ("user", "item")
    change = _there(word)
    return replace(
        case,
        what=f"{case.what}; {argv[at]} -> {brief(word)}",
        steps=((*argv[:at], word, *argv[at + 1 :]),),
        places=(*case.places, *(name for name in names if name)),
        changes=case.changes if change is None else (*case.changes, change),
    )


def named_in(*values: str) -> tuple[str, ...]:
    """Names by which a message may quote a path, or a column that a value names."""
    found = [value for value in values if value]
    columns = [name for value in found for name in re.findall(r"[A-Za-z_]\w*", value[:100])]
    return (*found, *map(_escaped, found), *columns)


def _escaped(word: str) -> str:
    """A word as Python quotes it."""
    return repr(word)[1:-1]


def _metavars(argv: Command) -> tuple[str, ...]:
    parser = parsers().get(_command(argv))
    actions = parser._actions if parser else []
    names = (str(a.metavar or a.dest) for a in actions if not a.option_strings)
    return tuple(part for name in names for part in name.split("|"))


def _words(rng: Random, case: Case) -> Case:
    """A word left out, said twice, misspelled, or one too many."""
    argv = list(case.steps[0])  # type: ignore[arg-type]
    at = rng.randrange(len(argv))
    word = argv[at]
    how = rng.randrange(5)
    if how == 0:
        del argv[at]
        extra = rng.choice(("",))
    elif how == 1:
        argv.insert(at, word)
        extra = ""
    elif how == 2:
        extra = rng.choice(("--no-such-flag", "--seed=1", "-z", "--", "\ud800", "extra\nword"))
        argv.insert(at, extra)
    elif how == 3:
        extra = word[:-1] or "x"
        argv[at] = extra
    else:
        extra = text(rng)
        argv[at] = extra
    if not argv or argv[0].startswith("-") or {"--follow", "--framework"} & {*argv}:
        argv = ["no-such-command"]
    everything = [w for w in (*argv, word, extra) if w]
    names = (*(w.partition("=")[0] for w in everything), *map(_escaped, everything))
    flags = tuple(w.strip("-") for w in names if w.startswith("-"))
    places = (*case.places, *names, *flags, *_metavars(tuple(argv)), "command", "arguments")
    return replace(
        case, what=f"{case.what}; word {at}: {brief(extra)}", steps=(tuple(argv),), places=places
    )
