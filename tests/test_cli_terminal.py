"""What a command prints where the terminal is narrow, closed or full, and what data may say."""

import ast
import dataclasses
import io
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minitower.cli
from minitower.cli import main
from minitower.cli.terminal import say
from minitower.data import Dataset, Id, RandomSplit, Schema
from minitower.data.errors import printable
from minitower.store.full_version import publish_model
from minitower.towers.two_tower import TwoTower

NASTY = (
    "tea\tfor\ntwo\r\x1b[31mred\x1b]0;title\x07\x9b1m\u2028\u2029\u202eevil\u2066\x00\x7f茶\ud800"
)
ASCII = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
SHELL = f"{sys.executable} -m minitower"


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """A store whose ids and names are hostile."""
    schema = Schema(user=[Id("user")], item=[Id("item")])
    log = {"user": ["u", "u", "v", "v"], "item": ["a\tb", "c", "\x1b[2Jd", "茶"]}
    data = Dataset.from_columns(schema, log, split=RandomSplit(0, 0))
    names = np.array([NASTY] * len(data.items))
    data = dataclasses.replace(data, items=dataclasses.replace(data.items, names=names))
    folder = tmp_path_factory.mktemp("store") / "s"
    publish_model(TwoTower(data.schema, dim=2, hidden=()), data, folder)
    return folder


def run(*arguments, **env):
    env = {"PYTHONUNBUFFERED": ""} | env
    command = [sys.executable, "-m", "minitower", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, timeout=120, env=os.environ | env)


def shell(script, **env):
    return subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        timeout=120,
        env=os.environ | {"PYTHONUNBUFFERED": ""} | env,
    )


@given(st.text(st.characters()))
def test_printable__is_safe_and_leaves_the_rest(text):
    found = printable(text)
    kinds = {unicodedata.category(c) for c in found}
    assert not kinds & {"Cc", "Cs", "Zl", "Zp"}
    assert not {unicodedata.bidirectional(c) for c in found} & {
        "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"
    }  # fmt: skip
    found.encode("utf-8")
    assert printable(found) == found
    if text.isprintable():
        assert found == text


def one_error(done, status):
    """The line of a command that failed and printed nothing else."""
    assert (done.returncode, done.stdout) == (status, b""), done.stderr
    [line] = done.stderr.decode("ascii" if done.stderr.isascii() else "utf-8").splitlines()
    assert line.startswith("minitower: error: ")
    assert len(line) < 500
    return line


def test_recall__hostile_names_are_one_line_each(store):
    done = run("recall", store, "u", "-k", 9, "--include-seen")
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode().split("\n")
    assert lines.pop() == ""
    assert sorted(line.split("\t")[0] for line in lines) == sorted(
        ["a\\tb", "c", "\\x1b[2Jd", "茶"]
    )
    for line in lines:
        assert printable(line.replace("\t", "")) == line.replace("\t", "")
        assert line.split("\t")[2] == printable(NASTY)


def test_recall__an_ascii_terminal(store):
    done = run("recall", store, "u", "-k", 9, "--include-seen", **ASCII)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "\\u8336" in done.stdout.decode("ascii")
    assert len(done.stdout.splitlines()) == 4


@pytest.mark.parametrize("command", [
    [], ["train"], ["demo"], ["recall"], ["evaluate"], ["update"], ["store", "list"], ["publish"],
    ["index-bench"], ["check"], ["vectors"],
])  # fmt: skip
def test_help__an_ascii_terminal(command, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
    monkeypatch.setattr(sys, "stdout", stream)
    assert main([*command, "--help"]) == 0
    assert stream.buffer.getvalue().startswith(b"usage: minitower")


def test_remarks_and_errors__what_was_typed_is_escaped(store):
    done = run("recall", store, "\x1b[31mred\nline", "-k", 1)
    assert done.returncode == 0
    assert len(done.stderr.splitlines()) == 1
    for arguments in (
        ["train", "no\x1b[31m\nsuch"],
        ["recall", store, "u", "--profile", "\x1b]0;title\x07"],
        ["recall", store, "u", "-k", "\x1b[31m\u202e"],
        ["--\x1b[31m\n"],
        ["recall", "\udcff\udcfe", "u"],
    ):
        line = one_error(run(*arguments), 2)
        assert printable(line) == line


@pytest.mark.parametrize("arguments", [
    ["train", "folder", "--out", "m", *["argument"] * 900],
    ["train", "x" * 100_000, "--dim", "y" * 9000],
    ["recall", "m", "u", "-k", "9" * 5000],
    ["train", "x" * 4000],
    ["x" * 9000],
    ["check", "--formula", "\x1b" * 9000, "a.py:f"],
])  # fmt: skip
def test_errors__long_arguments_keep_the_start_and_the_end(arguments, tmp_path):
    done = run(*arguments)
    assert done.returncode in (1, 2)
    one_error(done, done.returncode)


def test_errors__the_end_is_kept():
    line = one_error(run("x" * 9000), 2)
    assert "..." in line
    assert line.startswith("minitower: error: argument COMMAND: invalid choice: 'xxx")
    assert line.endswith("(see minitower --help)")


@pytest.mark.parametrize("length", [1, 480, 481, 5000])
def test_say__a_long_line_loses_its_middle(capsys, length):
    say("<" + "x" * (length - 2) + ">" * (length > 1))
    line = capsys.readouterr().err
    assert len(line) - 1 == min(length, 480)
    assert (line[0], line[-2:]) == ("<", ">\n" if length > 1 else "<\n")
    assert ("..." in line) == (length > 480)


@pytest.mark.parametrize("arguments", [
    "--help", "recall {} u -k 3"
])  # fmt: skip
def test_stdout_closed_or_full__one_line(store, arguments):
    command = f"{SHELL} {arguments.format(store)}"
    assert "stdout is closed; redirect it" in one_error(shell(f"{command} >&-"), 1)
    assert "stdout: No space left" in one_error(shell(f"{command} >/dev/full"), 1)
    assert shell(f"{command} >&- 2>&-").returncode == 1
    assert shell(f"{command} >/dev/full 2>/dev/full").returncode == 1


@pytest.mark.parametrize("arguments", [
    "--version", "--help", "recall {} u", "check --list", "check --explain sampler",
    "store list {}", "store show {}",
])  # fmt: skip
def test_stdout_full__without_a_buffer(store, arguments):
    command = f"{SHELL} {arguments.format(store)} >/dev/full"
    error = one_error(shell(command, PYTHONUNBUFFERED="1"), 1)
    assert error == "minitower: error: stdout: No space left on device"


def test_stderr_closed_or_full__the_work_is_done(store, tmp_path):
    for where in ("2>&-", "2>/dev/full", "<&- 2>&-"):
        done = shell(f"{SHELL} recall {store} stranger -k 3 {where}")
        assert (done.returncode, done.stderr) == (0, b"")
        assert len(done.stdout.splitlines()) == 3
        done = shell(f"{SHELL} recall {tmp_path} u {where}")
        assert (done.returncode, done.stdout, done.stderr) == (2, b"", b"")


def test_main__leaves_stdout_as_it_was(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
    monkeypatch.setattr(sys, "stdout", stream)
    assert main(["--version"]) == 0
    assert stream.errors == "strict"
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert main(["--version"]) == 0


def test_cli__writes_to_stdout_in_one_place():
    """``write`` names stdout where it fails; ``row`` also escapes what data may say."""
    for path in sorted(Path(minitower.cli.__file__).parent.glob("*.py")):
        calls = [n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Call)]
        prints = [call for call in calls if getattr(call.func, "id", "") == "print"]
        assert len(prints) == (path.name == "terminal.py"), f"{path}: say, row or write"
