"""minitower check --command, as a user runs it."""

import json
import shlex
import sys
from xml.etree import ElementTree

import pytest
from programs import HINGE

RIGHT = "triplet_hinge   6 cases   all passed   (command, float64)\n"
SAID = "checked as triplet_hinge: the command says so\n"


@pytest.fixture
def command(tmp_path):
    """The words of a command: the lines that HINGE goes on with."""

    def command(lines):
        path = tmp_path / "mine.py"
        path.write_text(f"{HINGE}\n{lines}\n")
        return shlex.join([sys.executable, str(path)])

    return command


def test_a_right_command_exits_0(run, command):
    mine = command("print('a remark', file=sys.stderr); serve()")
    assert run("check", "--command", mine) == (0, RIGHT, SAID)
    assert run("check", "--command", mine, "--formula", "triplet_hinge") == (0, RIGHT, "")
    single = run("check", "--command", mine, "--dtype", "float32")
    assert single == (0, RIGHT.replace("float64", "float32"), SAID)


def test_a_wrong_command_exits_1_and_its_stderr_is_shown(run, command):
    mine = command("print('a\\nremark', file=sys.stderr); "
                   "serve(loss=lambda **x: hinge(**x, sign=-1))")  # fmt: skip
    status, out, err = run("check", "--command", mine, "--formula", "triplet_hinge")
    assert status == 1
    assert 'matches the known mistake "positive and negative exchanged"' in out
    assert err.splitlines() == [
        "stderr of the command: a", "stderr of the command: remark",
        f"minitower: error: {mine} is not triplet_hinge",
    ]  # fmt: skip


def test_reports_and_options(run, command, tmp_path):
    mine = command("serve(loss=lambda p, negative, margin, sign: hinge(p, negative, margin, sign))")
    status, out, _ = run("check", "--command", mine, "--with", "p=positive", "sign=-1", "--json",
                         "--junit", tmp_path / "report.xml")  # fmt: skip
    assert (status, json.loads(out)["mistake"]["name"]) == (1, "positive and negative exchanged")
    suite = ElementTree.parse(tmp_path / "report.xml").getroot()[0]
    assert suite[0].get("classname") == mine
    assert run("check", "--command", mine, "--with", "p=positive", "sign=1", "--allow",
               "zero_vectors")[0] == 0  # fmt: skip


def test_what_cannot_be_compared_exits_2_with_one_line(run, command, tmp_path):
    mine = command("serve(lambda case, x: {'id': case, 'error': 'no triples'})")
    status, out, err = run("check", "--command", mine, "--formula", "triplet_hinge",
                           "--junit", tmp_path / "report.xml")  # fmt: skip
    assert (status, "every case" in out) == (2, True)
    assert err == "minitower: error: triplet_hinge, case plain: raised 'no triples'\n"
    assert ElementTree.parse(tmp_path / "report.xml").getroot()[0].get("errors") == "6"


def test_a_timeout(run, command):
    mine = command("serve(lambda case, x: __import__('time').sleep(600))")
    status, _, err = run("check", "--command", mine, "--formula", "triplet_hinge", "--timeout", 8)
    assert (status, err) == (
        2, "minitower: error: triplet_hinge, case plain: printed no line within 8 s; "
        "flush stdout after each line\n",
    )  # fmt: skip
    assert run("check", "--command", mine, "--timeout", "0")[0] == 2


def test_a_command_that_says_no_hello_shows_its_stderr(run, command):
    mine = command("raise SystemExit('bad flag')")
    status, out, err = run("check", "--command", mine)
    assert (status, out) == (2, "")
    assert err.splitlines() == [
        "stderr of the command: bad flag",
        f"minitower: error: {mine}: ended with status 1 before it printed a line; "
        "the last line of its stderr: 'bad flag'",
    ]


@pytest.mark.parametrize("words, message", [
    (["--command", "./no-such-program -x"], "--command ./no-such-program: No such file"),
    (["--command", "."], "--command .: Permission denied"),
    (["--command", ""], "--command: expected a program and its arguments"),
    (["--command", "mine 'x"], "--command mine 'x: No closing quotation"),
    (["mine.py:f", "--command", "./mine"], "check: mine.py:f does not fit --command"),
    (["--command", "./mine", "--framework", "torch"], "--framework torch does not fit --command"),
    (["--command", "./mine", "--formula", "hinge"], "no formula 'hinge'"),
])  # fmt: skip
def test_usage_errors_exit_2_with_one_line(run, words, message):
    status, out, err = run("check", *words)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message in err
