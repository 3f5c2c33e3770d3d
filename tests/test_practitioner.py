"""The practitioner of `benchmarks/practitioner.py`: every command, at tiny size."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "practitioner.py"


@pytest.fixture(scope="module")
def printed():
    command = [sys.executable, str(SCRIPT), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_practitioner__prints_the_recall_of_each_day(printed):
    table = [line.split() for line in printed.splitlines()]
    head = ["day", "users", "with", "a", "list", "minitower", "popular", "possible"]
    days = table[table.index(head) + 1 :][:2]
    assert [row[0] for row in days] == ["3", "4"]
    for _, users, listed, *recalls in days:
        assert int(users) > 20
        assert 0.8 < float(listed) <= 1
        mine, popular, possible = map(float, recalls)
        assert 0 < mine < possible
        assert 0 < popular < possible


def test_practitioner__prints_the_time_of_each_command(printed):
    names = [line.rsplit(maxsplit=3)[0].strip() for line in printed.splitlines() if line.strip()]
    commands = names[names.index("command  runs  median,") + 1 :]
    served = ["serve, one request"] if find_spec("starlette") and find_spec("uvicorn") else []
    tuned = ["tune"] if find_spec("optuna") else []
    assert commands == [
        "inspect", *tuned, "train", "recall --all-users", "update --full",
        "update --incremental", "recall one user", *served, "store rollback",
    ]  # fmt: skip


def test_practitioner__serves(printed):
    for package in ("starlette", "uvicorn"):
        pytest.importorskip(package, reason="not installed: pip install '.[serve]'")
    assert "serve, one request" in printed


def test_practitioner__refuses_too_few_days():
    command = [sys.executable, str(SCRIPT), "--quick", "--days", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert "--days 2: give at least 3" in done.stderr
