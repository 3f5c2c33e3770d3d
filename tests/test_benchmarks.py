"""Every benchmark runs, at tiny size, as a person would start it."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def run(script, *arguments):
    command = [sys.executable, str(BENCHMARKS / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("part", ["softmax", "step", "tables", "memory"])
def test_train_step(part):
    if part in ("softmax", "step") and find_spec("torch") is None:
        pytest.skip("PyTorch is not installed: pip install '.[peers]'")
    printed = run("train_step.py", part, "--quick")
    assert {
        "softmax": "three products",
        "step": "fastest torch",
        "tables": "ratio",
        "memory": "GB at the peak",
    }[part] in printed


def test_import_time():
    assert "minitower adds" in run("import_time.py", "--quick")


def test_features(real_data):
    real_data("ml-100k")
    assert "new users" in run("features.py", "ml-100k", "--quick")


def test_accuracy(real_data):
    real_data("ml-1m-split")
    assert "valid recall@20" in run("accuracy.py", "--quick")


def test_convergence():
    printed = run("convergence.py", "--quick")
    assert printed.count("calibrated") == 2


def test_convergence__draws_the_same_figure_again(tmp_path):
    pytest.importorskip("matplotlib", reason="not installed: pip install '.[cli]'")
    figures = [tmp_path / "1.svg", tmp_path / "2.svg"]
    for figure in figures:
        run("convergence.py", "--quick", "--figure", str(figure))
    first, second = (figure.read_bytes() for figure in figures)
    assert first == second
    assert b"calibrated" in first
