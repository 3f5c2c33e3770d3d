"""Every benchmark runs, at tiny size, as a person would start it."""

import shutil
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


@pytest.mark.parametrize("part", ["softmax", "step", "history", "tables", "memory"])
def test_train_step(part):
    if part in ("softmax", "step") and find_spec("torch") is None:
        pytest.skip("PyTorch is not installed: pip install '.[peers]'")
    printed = run("train_step.py", part, "--quick")
    assert {
        "softmax": "three products",
        "step": "fastest torch",
        "history": "over without",
        "tables": "ratio",
        "memory": "GB at the peak",
    }[part] in printed


def test_sampling():
    printed = run("sampling.py", "--quick")
    assert "known rejected" in printed
    assert "choice takes" in printed


def test_import_time():
    assert "minitower adds" in run("import_time.py", "--quick")


def test_self_supervised():
    printed = run("self_supervised.py", "--quick")
    assert "complementary" in printed
    assert "Mutual information" in printed


def test_trips():
    printed = run("trips.py")
    assert "update --incremental, one click" in printed


def test_same_answers__finds_a_planted_difference(tmp_path, monkeypatch):
    monkeypatch.delenv("MINITOWER_DATA", raising=False)
    package = BENCHMARKS.parent / "minitower"
    for side in ("old", "new"):
        shutil.copytree(package, tmp_path / side / "minitower")
    script = ("same_answers.py", str(tmp_path / "old"), str(tmp_path / "new"), "--only", "sgd")
    assert ", 0 are not" in run(*script)
    optimizers = tmp_path / "new" / "minitower" / "towers" / "optimizers.py"
    source = optimizers.read_text("utf-8")
    assert source.count("self.step += 1\n") == 1
    source = source.replace("self.step += 1\n", "self.step += 1\n        rate *= 1 + 1e-6\n")
    optimizers.write_text(source, "utf-8")
    command = [sys.executable, str(BENCHMARKS / script[0]), *script[1:]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert "parameter user.user_id.embedding: differs by at most" in done.stdout


def test_updates():
    printed = run("updates.py", "--quick")
    assert "(append + update) / (training + copies)" in printed
    assert "what to publish" in printed


def test_update_faults():
    assert "the same bits as undisturbed" in run("update_faults.py", "--quick")


def test_store():
    printed = run("store.py", "--quick")
    assert "open over hash and load" in printed
    assert "recall without what was met" in printed


@pytest.mark.parametrize("part", ["kill", "damage", "forge", "reload"])
def test_store_faults(part):
    ends = {
        "kill": "before or after",
        "damage": "refused by name",
        "forge": "never another error",
        "reload": "failed or mixed",
    }
    assert run("store_faults.py", part, "--quick").endswith(f"{ends[part]}\n")


def test_vector_indexes():
    for package, extra in (("faiss", "faiss"), ("scann", "scann"), ("pymilvus", "milvus")):
        if find_spec(package) is None:
            pytest.skip(f"not installed: pip install '.[{extra}]'")
    printed = run("vector_indexes.py", "--quick")
    assert all(name in printed for name in ("hnsw", "faiss-ivfpq", "scann", "milvus-lite"))


def test_choosing():
    pytest.importorskip("matplotlib", reason="not installed: pip install '.[cli]'")
    printed = run("choosing.py", "--quick")
    assert [line.split(" | ")[0] for line in printed.splitlines()[:4]] == [
        "| index", "| ---", "| exact", "| hnsw"
    ]  # fmt: skip
    assert "299 items of 64 numbers" in printed


def test_streams():
    for package in ("pyarrow", "google_crc32c"):
        pytest.importorskip(package, reason="not installed: pip install '.[streams]'")
    printed = run("streams.py", "--quick")
    assert all(part in printed for part in (".jsonl", ".csv", ".parquet", ".tfrecord", "window"))


def test_many_workers():
    for package in ("dask", "pymilvus", "milvus_lite"):
        pytest.importorskip(package, reason="not installed: pip install '.[dask,milvus]'")
    printed = run("many_workers.py", "--quick")
    assert "GB of a worker" in printed
    assert "to Milvus Lite" in printed


def test_features(real_data):
    real_data("ml-100k")
    assert "new users" in run("features.py", "ml-100k", "--quick")


def test_history(real_data):
    assert "unseen, over EASE" in run("history.py", "--quick")


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
