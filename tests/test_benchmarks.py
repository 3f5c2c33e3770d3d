"""Every benchmark runs, at tiny size, as a person would start it."""

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from picture_differences import differences

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def run(script, *arguments):
    command = [sys.executable, str(BENCHMARKS / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


EXTRAS = {"torch": "peers", "starlette": "serve", "pyarrow": "streams"}


@pytest.mark.parametrize("command, needs, phrases", [
    ("train_step.py softmax --quick", ("torch",), ("three products",)),
    ("train_step.py step --quick", ("torch",), ("fastest torch", "matrix products")),
    ("train_step.py epoch --quick", (), ("the same bits on both", "two over one")),
    ("train_step.py history --quick", (), ("over without",)),
    ("train_step.py tables --quick", (), ("ratio",)),
    ("train_step.py memory --quick", (), ("GB at the peak",)),
    ("spectral_start.py --quick", (), ("MB at the peak",)),
    ("spectral_start.py --recall --quick", (), ("rounds", "tiny")),
    ("sampling.py --quick", (), ("known rejected", "choice takes")),
    ("import_time.py --quick", (), ("minitower adds",)),
    ("self_supervised.py --quick", (), ("complementary", "Mutual information")),
    ("trips.py", (), ("update --incremental, one click",)),
    ("updates.py --quick", (), ("(append + update) / (training + copies)", "what to publish")),
    ("update_faults.py --quick", (), ("the same bits as undisturbed",)),
    ("store.py --quick", (), ("open over hash and load", "recall without what was met")),
    ("store_faults.py kill --quick", (), ("before or after",)),
    ("store_faults.py damage --quick", (), ("refused by name",)),
    ("store_faults.py forge --quick", (), ("never another error",)),
    ("store_faults.py reload --quick", (), ("failed or mixed",)),
    ("lists.py --quick", ("pyarrow",), (".csv", ".jsonl", ".parquet", "over floor")),
    ("service.py --quick", ("starlette",), ("p99, ms", "requests while versions")),
])  # fmt: skip
def test_benchmark__runs_and_prints_its_figures(command, needs, phrases):
    for package in needs:
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install '.[{EXTRAS[package]}]'")
    printed = run(*command.split())
    assert all(phrase in printed for phrase in phrases)


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


def test_plain_tables():
    assert "csv.reader alone" in run("plain_tables.py", "--quick")


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
    real_data("ml-100k")
    assert "unseen, over EASE" in run("history.py", "--quick")


def test_convergence():
    printed = run("convergence.py", "--quick")
    assert printed.count("calibrated") == 2


def test_convergence__draws_the_figure_of_the_book(tmp_path):
    run("convergence.py", "--figure", str(tmp_path / "again.svg"))
    committed = BENCHMARKS.parent / "docs" / "figures" / "convergence.svg"
    old, new = (path.read_text("utf-8") for path in (committed, tmp_path / "again.svg"))
    assert differences(old, new, pixels=0.2, words=0.01) == []
    assert "calibrated" in new
