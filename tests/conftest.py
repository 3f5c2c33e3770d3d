"""Hypothesis profiles, the door to the real data sets, and a command that runs in the process."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from minitower.cli import main

settings.register_profile("dev", max_examples=25, deadline=None)
settings.register_profile("ci", max_examples=100, deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    """The folder of a real data set inside the folder that MINITOWER_DATA names, or a skip."""

    def folder(name: str) -> Path:
        root = os.environ.get("MINITOWER_DATA")
        if not root:
            pytest.skip(f"MINITOWER_DATA is not set, {name} is needed")
        if not (Path(root) / name).is_dir():
            pytest.skip(f"MINITOWER_DATA has no {name}")
        return Path(root) / name

    return folder


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a command: the exit status, stdout and stderr. An exception fails the test."""

    def command(*arguments: object) -> tuple[int, str, str]:
        status = main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return command


@pytest.fixture(scope="session")
def built_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site, built by the command of docs/README.md; a warning fails it."""
    folder = tmp_path_factory.mktemp("site")
    script = Path(__file__).parent.parent / "docs" / "site"
    command = [sys.executable, str(script), "--out", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(folder / "site")]
    return folder / "site"
