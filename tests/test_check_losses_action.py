"""The GitHub Action of chapter 17: it is well formed, and its commands do what they say."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

yaml = pytest.importorskip("yaml", reason="not installed: pip install pyyaml")
if shutil.which("bash") is None:
    pytest.skip("bash is not installed", allow_module_level=True)

DOCS = Path(__file__).parent.parent / "docs"
ACTION = yaml.safe_load((DOCS / "check-losses.yml").read_text("utf-8"))
STEPS = {step.get("name", step.get("uses")): step for step in ACTION["jobs"]["check"]["steps"]}

LOSSES = """
import numpy as np

def softmax_loss(users, items, log_q, temperature):
    logits = users @ items.T / temperature {sign} log_q
    logits -= logits.max(axis=1, keepdims=True)
    n, log_total = len(users), np.log(np.exp(logits).sum(axis=1))
    d_scores = (np.exp(logits - log_total[:, None]) - np.eye(n)) / (n * temperature)
    return (log_total - logits.diagonal()).mean(), (d_scores @ items, d_scores.T @ users)
"""


@pytest.fixture
def shell(tmp_path):
    """Runs the commands of a step as GitHub does, with a gh that writes down what it is given."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, script in {
        "minitower": f'exec {sys.executable} -m minitower "$@"',
        "gh": 'echo "$@" > ../gh.txt; cat >> ../gh.txt',
    }.items():
        path = programs / name
        path.write_text(f"#!/usr/bin/env bash\n{script}\n")
        path.chmod(0o755)
    project = tmp_path / "project"
    project.mkdir()
    summary = tmp_path / "summary.md"
    root = str(DOCS.parent)
    environment = {
        **os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": root,
        "GITHUB_STEP_SUMMARY": str(summary), "PULL_REQUEST": "https://github.com/me/mine/pull/7",
    }  # fmt: skip

    def run(name):
        command = ["bash", "-e", "-c", STEPS[name]["run"]]
        done = subprocess.run(
            command, cwd=project, env=environment, capture_output=True, text=True, timeout=120
        )
        return done.returncode, done.stdout + done.stderr

    run.project, run.summary, run.comment = project, summary, tmp_path / "gh.txt"
    return run


def test_action__is_one_that_github_reads():
    """YAML reads the key `on` as true; each step has commands or an action with its version."""
    assert set(ACTION) == {"name", True, "permissions", "jobs"}
    assert ACTION[True] == ["push", "pull_request"]
    assert ACTION["permissions"] == {"contents": "read", "pull-requests": "write"}
    for step in ACTION["jobs"]["check"]["steps"]:
        assert ("run" in step) != ("uses" in step)
        if "uses" in step:
            assert "@v" in step["uses"]
        assert set(step) <= {"name", "uses", "with", "run", "if", "env"}


def test_action__shows_and_keeps_the_reports_whatever_the_check_says():
    for name in ("Show the tables on the page of the run", "Keep the reports and the badge"):
        assert STEPS[name]["if"] == "always()"
    assert "failure()" in STEPS["Comment on the pull request"]["if"]
    assert "pull_request" in STEPS["Comment on the pull request"]["if"]


def test_action__installs_the_package():
    assert STEPS["Install"]["run"].split()[:3] == ["pip", "install", "minitower"]


def test_action__of_a_wrong_loss(shell):
    (shell.project / "my_losses.py").write_text(LOSSES.format(sign="+"))
    status, printed = shell("Check")
    assert status == 1
    assert "log q added instead of subtracted" in printed
    reports = shell.project / STEPS["Keep the reports and the badge"]["with"]["path"]
    assert {path.suffix for path in reports.iterdir()} == {".xml", ".md", ".svg"}
    suite = ElementTree.parse(reports / "softmax_loss.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("14", "12")
    badge = ElementTree.parse(reports / "softmax_loss.svg").getroot()
    assert badge.get("aria-label") == "in_batch_softmax: 12 of 14 cases fail"
    assert shell("Show the tables on the page of the run") == (0, "")
    assert "✗ 12 of 14 cases fail" in shell.summary.read_text("utf-8")
    assert shell("Comment on the pull request") == (0, "")
    comment = shell.comment.read_text("utf-8")
    assert comment.startswith("pr comment https://github.com/me/mine/pull/7 --body-file -\n")
    assert "log q added instead of subtracted" in comment


def test_action__of_a_right_loss(shell):
    (shell.project / "my_losses.py").write_text(LOSSES.format(sign="-"))
    assert shell("Check")[0] == 0
    shell("Show the tables on the page of the run")
    assert "✓ all cases pass" in shell.summary.read_text("utf-8")


def test_action__of_a_loss_that_cannot_be_compared(shell):
    source = "def softmax_loss(users, items, log_q, temperature):\n    1 / 0\n"
    (shell.project / "my_losses.py").write_text(source)
    assert shell("Check")[0] == 2
    assert shell("Show the tables on the page of the run")[0] == 0
    assert "ZeroDivisionError" in shell.summary.read_text("utf-8")
