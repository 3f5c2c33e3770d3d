"""--threads: which commands have it, what it sets, and that results do not depend on it."""

import os
import subprocess
import sys

import numpy as np
import pytest

from minitower.cli import MODULES
from minitower.cli import arguments as flag
from minitower.formulas import blas, threads
from minitower.store.model_files import load_model

ALL = {command for commands in MODULES.values() for command in commands}


@pytest.fixture(autouse=True)
def _one_thread_after():
    yield
    threads.use_threads(1)


@pytest.fixture
def clicks(tmp_path):
    rng = np.random.default_rng(0)
    rows = [f"{u},{i},{t}" for t, (u, i) in enumerate(rng.integers(0, (40, 60), (1200, 2)))]
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "interactions.csv").write_text("\n".join(["user_id,item_id,timestamp", *rows]) + "\n")
    return folder


def test_threads__which_commands_have_the_flag(run):
    assert flag.THREADED < ALL
    having = {command for command in ALL if "--threads N" in run(command, "--help")[1]}
    assert having == flag.THREADED
    assert ALL - having == {"inspect", "store", "index-bench", "check", "vectors"}


@pytest.mark.parametrize("value", ["0", "257", "two", "1.5", ""])
def test_threads__refuses(run, value):
    status, out, err = run("similar", "store", "1", "--threads", value)
    assert (status, out) == (2, "")
    assert err.startswith("minitower: error: argument --threads: expected an integer from 1 to 256")


@pytest.mark.parametrize("cores, default", [(1, 1), (3, 3), (64, 4)])
def test_threads__the_default_is_the_available_cores_up_to_four(run, monkeypatch, cores, default):
    monkeypatch.setattr(flag, "available_cores", lambda: cores)
    run("similar", "no store", "1")
    assert threads.threads() == default
    run("similar", "no store", "1", "--threads", "7")
    assert threads.threads() == 7


def test_threads__of_the_process():
    assert 1 <= flag.available_cores() <= (os.cpu_count() or 1)


def test_train__has_the_same_bits_on_any_number_of_threads(run, clicks, tmp_path):
    models = []
    for n in (1, 2, 4):
        out = tmp_path / f"model{n}"
        options = ["--dim", 8, "--hidden", "8", "--epochs", 2, "--batch-size", 600]
        status, _, err = run("train", clicks, "--out", out, "--threads", n, *options)
        assert status == 0, err
        assert threads.threads() == n
        models.append(load_model(out).parameters)
    assert models[0].keys() == models[1].keys() == models[2].keys()
    for name, array in models[0].items():
        assert array.tobytes() == models[1][name].tobytes() == models[2][name].tobytes(), name


def test_the_command_sets_the_variables_of_blas_before_numpy_is_imported():
    source = (
        "import os, sys; from minitower.__main__ import run; early = 'numpy' in sys.modules\n"
        "sys.argv = ['minitower', 'vectors']; run()\n"
        f"print(early, 'numpy' in sys.modules, *(os.environ.get(n) for n in {blas.VARIABLES}))"
    )
    environment = {k: v for k, v in os.environ.items() if k not in blas.VARIABLES}
    found = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, env=environment, check=True
    )
    assert found.stdout.split() == ["False", "True", "1", "1", "1"]
