"""The version stands in one place, and no command asks the installer for it."""

import importlib.metadata
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import minitower
from minitower.cli import main

PACKAGE = Path(minitower.__file__).parent
PROJECT = Path(__file__).parent.parent / "pyproject.toml"
NOTHING_INSTALLED = """
import importlib.metadata, runpy, sys
def nothing(cls, name):
    raise importlib.metadata.PackageNotFoundError(name)
importlib.metadata.Distribution.from_name = classmethod(nothing)
sys.argv[0] = "minitower"
runpy.run_module("minitower", run_name="__main__")
"""


@pytest.mark.parametrize("arguments, told", [
    (["--version"], f"{minitower.__version__}\n"), (["check", "--list"], "sampler")
])  # fmt: skip
def test_a_source_tree_runs_without_being_installed(tmp_path, arguments, told):
    shutil.copytree(PACKAGE, tmp_path / "minitower")
    command = [sys.executable, "-c", NOTHING_INSTALLED, *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120,
                          env={"PYTHONPATH": str(tmp_path)})  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert told in done.stdout


def test_the_demo_runs_without_being_installed(tmp_path, monkeypatch, capsys):
    def nothing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    (tmp_path / "train.txt").write_text("".join(f"{u} {u % 7} {u % 5 + 7}\n" for u in range(30)))
    (tmp_path / "test.txt").write_text("".join(f"{u} {u % 3 + 3}\n" for u in range(30)))
    monkeypatch.setattr(importlib.metadata.Distribution, "from_name", nothing)
    flags = ["--dim", "4", "--hidden", "", "--epochs", "1"]
    assert main(["demo", "--data", str(tmp_path), "--no-report", *flags]) == 0
    assert "Recall@10" in capsys.readouterr().out


def test_the_version_stands_once():
    project = tomllib.loads(PROJECT.read_text("utf-8"))
    assert "version" not in project["project"]
    assert project["project"]["dynamic"] == ["version"]
    path = PROJECT.parent / project["tool"]["hatch"]["version"]["path"]
    assert path == PROJECT.parent / "minitower" / "__init__.py"
    literal = re.compile(rf"""["']{re.escape(minitower.__version__)}["']""")
    files = [*path.parent.rglob("*.py"), PROJECT]
    assert [file for file in files if literal.search(file.read_text("utf-8"))] == [path]
