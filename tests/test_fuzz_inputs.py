"""The fuzzer of inputs reports what is planted, makes the same cases again, and finds nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FUZZER = Path(__file__).parent.parent / "benchmarks" / "fuzz_inputs"

PLANTED = """
import json, os, sys, tempfile, time
from pathlib import Path

sys.path.insert(0, sys.argv[1])
import numpy as np
import process, world
import minitower.cli
from case import Case
from minitower.data import DataError

place = Path(tempfile.mkdtemp())
valid, work = place / "world", place / "work"
valid.mkdir()
world.build(valid)


def fail(error):
    def step():
        raise error

    return step


def damage(then):
    def step():
        then()
        raise DataError("dim must be positive, got -1")

    return step


def call(step, **more):
    return Case("python", "planted", (step,), ("dim",), ("atomic", "store"), **more)


def command(says="", prints="", status=2, raises=None, **more):
    def main(argv):
        if raises:
            raise raises
        sys.stdout.write(prints)
        sys.stderr.write(says)
        return status

    minitower.cli.main = main
    argv = more.pop("argv", ("list", "x"))
    return Case("flags", "planted", (argv,), ("--dim", "dim"), ("atomic",), **more)


good = "dim must be positive, got -1"
ok = f"minitower: error: {good}\\n"
inter = Path("atomic/data.inter")
cases = {
    "right": lambda: call(fail(DataError(good))),
    "accepted": lambda: call(lambda: None),
    "KeyError": lambda: call(fail(KeyError("dim"))),
    "RecursionError": lambda: call(fail(RecursionError("dim"))),
    "UnicodeEncodeError": lambda: call(lambda: "\\ud800".encode()),
    "TypeError": lambda: call(fail(TypeError("dim"))),
    "TypeError of a wrong type": lambda: call(fail(TypeError("dim")), wrong_type=True),
    "hang": lambda: call(lambda: time.sleep(60)),
    "deaf hang": lambda: call(deaf),
    "memory": lambda: call(lambda: np.ones(140_000_000), seconds=60.0),
    "guard": lambda: call(lambda: np.ones(1 << 34)),
    "long": lambda: call(fail(ValueError("dim" + " x" * 300))),
    "lines": lambda: call(fail(ValueError("dim\\nis wrong"))),
    "control": lambda: call(fail(ValueError("dim is \\x1b[31m"))),
    "place": lambda: call(fail(DataError("dimension must be positive"))),
    "stdout": lambda: call(lambda: print("dim")),
    "died": lambda: call(lambda: os.kill(os.getpid(), 11)),
    "changed": lambda: call(damage(lambda: inter.write_text("x"))),
    "gone": lambda: call(damage(inter.unlink)),
    "left": lambda: call(damage(lambda: Path("half").write_text("x"))),
    "store": lambda: call(lambda: Path("store/CURRENT").write_text("x")),
    "litter": lambda: call(lambda: Path(".out.tmp").write_text("x")),
    "command right": lambda: command(ok),
    "command traceback": lambda: command(raises=IndexError("dim")),
    "command status": lambda: command(ok, status=3),
    "command silent": lambda: command("dim is wrong\\n"),
    "command long": lambda: command(f"minitower: error: dim {'x' * 500}\\n"),
    "command lines": lambda: command(ok + "and more\\x07\\n"),
    "command place": lambda: command("minitower: error: it is wrong\\n"),
    "command stdout": lambda: command(ok, prints="half a table\\n"),
    "command fields": lambda: command(prints="1\\t0.5\\ta\\nname\\n", status=0,
        argv=("recall", "x")),
    "command escape": lambda: command(prints="1\\t0.5\\t\\x1b[2J\\n", status=0,
            argv=("recall", "x")),
    "command refused": lambda: command(ok, accepted=True),
    "command full": lambda: command(prints="a table\\n", status=0, stdout="full"),
}


def deaf():
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass


found = {}
names = list(cases)
limit = 1.0
for done in process.run_all(enumerate(cases.values()), valid, work, 2, limit):
    found[names[done.number]] = [failure.what for failure in done.outcome.failures]
print(json.dumps(found))
"""

EXPECTED = {
    "right": [],
    "accepted": [],
    "KeyError": ["KeyError"],
    "RecursionError": ["RecursionError"],
    "UnicodeEncodeError": ["UnicodeEncodeError"],
    "TypeError": ["TypeError"],
    "TypeError of a wrong type": [],
    "hang": ["hang"],
    "deaf hang": ["hang, killed"],
    "memory": ["more than 1 GB"],
    "guard": ["MemoryError"],
    "long": ["long message"],
    "lines": ["message of 2 lines"],
    "control": ["control characters in message"],
    "place": ["no place named"],
    "stdout": ["stdout of a call"],
    "died": ["died of signal 11"],
    "changed": ["input changed"],
    "gone": ["input gone"],
    "left": ["file left behind"],
    "store": ["the store no longer opens"],
    "litter": ["file left behind"],
    "command right": [],
    "command traceback": ["IndexError"],
    "command status": ["status 3"],
    "command silent": ["no error line"],
    "command long": ["long message"],
    "command lines": ["control characters in remark", "message of 2 lines"],
    "command place": ["no place named"],
    "command stdout": ["stdout of a refusal"],
    "command fields": ["recall: not three fields in a line"],
    "command escape": ["control characters on stdout"],
    "command refused": ["valid input refused"],
    "command full": ["OSError at exit"],
}


def run(*arguments, status=0):
    command = [sys.executable, str(FUZZER), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    script = tmp_path_factory.mktemp("planted") / "planted.py"
    script.write_text(PLANTED)
    command = [sys.executable, str(script), str(FUZZER)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", EXPECTED)
def test_what_is_planted_is_reported(planted, name):
    assert planted[name] == EXPECTED[name]


def test_every_plant_has_an_expectation(planted):
    assert planted.keys() == EXPECTED.keys()


def test_a_short_run_finds_nothing():
    printed = run("--cases", 200)
    assert printed.startswith("seed 1\n")
    assert printed.endswith("every invariant held\n")


@pytest.mark.parametrize("kind", ["files", "flags", "toml", "python", "store"])
def test_a_case_is_a_function_of_seed_and_number(kind):
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import runpy\n"
        "main = runpy.run_path(sys.argv[1] + '/__main__.py')\n"
        "wanted = [n for n in range(400) if main['kind_of'](5, n) == sys.argv[2]][:30]\n"
        "import json; print(json.dumps([main['made'](5, n).what for n in wanted]))\n"
    )
    command = [sys.executable, "-c", script, str(FUZZER), kind]
    first, second = (
        subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)
    )
    assert first == second
    assert len(set(json.loads(first))) > 10


def test_a_case_is_replayed_by_its_number():
    printed = run("--seed", 5, "--case", -1)
    assert "valid: train" in printed
    assert "$ minitower 'train' 'atomic'" in printed
    assert "[status 0]" in printed
