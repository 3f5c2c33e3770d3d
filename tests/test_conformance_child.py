"""A process that answers lines: what it does wrong is one clear line, and it never outlives us."""

import os
import sys

import pytest

from minitower.conformance import child as module
from minitower.conformance.child import Child, TimedOut, shown
from minitower.conformance.formula import Unusable


def python(source, timeout=60.0):
    """A child that runs a Python program."""
    return Child([sys.executable, "-c", source], timeout)


ECHO = "import sys\nfor line in sys.stdin: print(line, end='', flush=True)"


def test_lines_are_answered_until_the_end():
    with python(ECHO) as child:
        child.start()
        assert [child.ask("one"), child.ask("zwei, 茶")] == ["one", "zwei, 茶"]
        child.end()
        assert not child.running


def test_a_line_longer_than_a_pipe_holds():
    with python(ECHO) as child:
        child.start()
        assert child.ask("x" * 1_000_000) == "x" * 1_000_000


@pytest.mark.parametrize("source, message", [
    ("", "ended with status 0 before it printed a line"),
    ("raise SystemExit(3)", "ended with status 3 before it printed a line"),
    ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
     "was killed by SIGSEGV before it printed a line"),
    ("print('no newline', end='')", "ended with status 0 before it printed a line"),
    ("import sys; print('out of\\nmemory', file=sys.stderr); sys.exit(1)",
     "ended with status 1 before it printed a line; the last line of its stderr: 'memory'"),
])  # fmt: skip
def test_a_process_that_dies(source, message):
    with python(source) as child:
        child.start()
        with pytest.raises(Unusable) as caught:
            child.ask("hello")
        assert str(caught.value) == message
        assert not child.running


@pytest.mark.parametrize("source", [
    "import time; time.sleep(600)",
    "import time; buffered = open(1, 'w'); print('x', file=buffered); time.sleep(600)",
    "import subprocess; subprocess.run(['sleep', '600'])",
])  # fmt: skip
def test_a_process_that_is_silent_is_killed_with_what_it_started(source):
    with python(source, timeout=0.5) as child:
        child.start()
        with pytest.raises(TimedOut, match=r"printed no line within 0.5 s; flush stdout after"):
            child.ask("hello")
        assert not child.running


def test_a_process_that_reads_nothing():
    with python("import time; time.sleep(600)", timeout=0.5) as child:
        child.start()
        with pytest.raises(TimedOut):
            child.ask("x" * 1_000_000)


def test_a_process_that_closes_stdout_and_goes_on():
    source = "import os, sys, time; print(sys.stdin.readline(), flush=True); os.close(1)"
    with python(f"{source}; time.sleep(600)") as child:
        child.start()
        child.ask("hello")
        assert child.ask("the line that readline kept") == ""
        child.timeout = 2
        with pytest.raises(Unusable, match="closed stdout before it printed a line"):
            child.ask("hello")


def test_a_line_without_end(monkeypatch):
    monkeypatch.setattr(module, "LONGEST_LINE", 1000)
    source = "import sys\nwhile True: sys.stdout.write('x' * 1000)"
    with python(source) as child:
        child.start()
        with pytest.raises(Unusable, match="a line of more than 1,000 bytes"):
            child.ask("hello")
        assert not child.running


@pytest.mark.parametrize("last, message", [
    ("print('bye')", "printed more than one line a case: 'bye'"),
    ("sys.exit(23)", "ended with status 23 after its last answer"),
    ("import time; time.sleep(600)", "did not end after its last answer within 1 s"),
])  # fmt: skip
def test_an_end_that_is_none(last, message):
    with python(f"{ECHO}\n{last}") as child:
        child.start()
        child.ask("hello")
        child.timeout = 1 if "sleep" in last else 60
        with pytest.raises(Unusable, match=message):
            child.end()
        assert not child.running


def test_it_is_killed_where_the_block_ends():
    with python(ECHO) as child:
        child.start()
        pid = child._process.pid
        child.start()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        pid = child._process.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize("dies", [False, True])
def test_what_it_started_is_killed_too(tmp_path, dies):
    """A grandchild holds a pipe open, and would write into it later, but never does."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    late = f"import time; file = open({str(pipe)!r}, 'w'); time.sleep(30); file.write('late')"
    source = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {late!r}], stdout=2)"
    with python(source if dies else f"{source}\n{ECHO}") as child:
        child.start()
        with pipe.open() as reader:
            if dies:
                with pytest.raises(Unusable, match="ended with status 0"):
                    child.ask("hello")
            child.kill()
            assert reader.read() == ""


def test_stderr_is_kept_over_a_new_start():
    source = (
        "import sys; print('x' * 3000, flush=True, file=sys.stderr); print('one', file=sys.stderr)"
    )
    with python(f"{source}\n{ECHO}") as child:
        for _ in range(2):
            child.start()
            child.ask("hello")
            child.kill()
        text = child.stderr()
        assert len(text) < module.STDERR_SHOWN
        assert text.endswith("x\none")
        assert child.stderr() == text


def test_a_program_that_is_missing():
    with Child(["./no-such-program"], 1) as child, pytest.raises(FileNotFoundError):
        child.start()
    assert str(child) == "./no-such-program"


def test_shown__is_one_short_line():
    assert shown(" a\n b ") == "'a b'"
    assert len(shown("x" * 1000)) == 82
