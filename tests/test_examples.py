"""The examples of chapter 17 in other languages: right as they are, and a mistake gets its name."""

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"
COMPILER = shutil.which("cc")


@pytest.fixture(params=[
    pytest.param("in_batch_softmax.js", marks=pytest.mark.skipif(
        shutil.which("node") is None, reason="needs Node.js, such as Debian's nodejs")),
    pytest.param("in_batch_softmax.c", marks=pytest.mark.skipif(
        COMPILER is None, reason="needs a C compiler, such as Debian's gcc")),
])  # fmt: skip
def command(request, tmp_path):
    """Make the command of an example, in which some text is replaced."""

    def command(*changes):
        source = (EXAMPLES / request.param).read_text("utf-8")
        for before, after in changes:
            assert before in source
            source = source.replace(before, after)
        path = tmp_path / request.param
        path.write_text(source)
        if path.suffix == ".js":
            return shlex.join(["node", str(path)])
        strict = ["-std=c11", "-Wall", "-Wextra", "-pedantic", "-Werror", "-O2"]
        subprocess.run(
            [COMPILER, *strict, "-o", str(path.with_suffix("")), str(path), "-lm"], check=True
        )
        return str(path.with_suffix(""))

    return command


def test_the_example_is_right(run, command):
    status, out, err = run("check", "--command", command())
    assert (status, out, err) == (
        0, "in_batch_softmax   14 cases   all passed   (command, float64)\n",
        "checked as in_batch_softmax: the command says so\n",
    )  # fmt: skip


@pytest.mark.parametrize("changes, name", [
    ([("/ temperature - log_q[j]", "/ temperature + log_q[j]")],
     "log q added instead of subtracted"),
    ([(") / n;", ");"), ("/ (n * temperature)", "/ temperature")], "sum instead of mean"),
    ([("/ temperature - log_q[j]", "/ temperature - 0 * log_q[j]")],
     "log q left out"),
])  # fmt: skip
def test_a_mistake_gets_its_name(run, command, changes, name):
    status, out, _ = run("check", "--command", command(*changes))
    assert status == 1
    assert f'matches the known mistake "{name}' in out


def test_a_loss_that_is_not_finite(run, command):
    """NaN and infinity have names in JSON, which both examples write."""
    shift = [("top)", "0)"), ("(top + ", "(")]
    status, out, _ = run("check", "--command", command(*shift))
    assert status in (1, 2)
    assert "NaN" in out or "off by inf" in out
    assert "expected JSON" not in out
