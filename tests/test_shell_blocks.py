"""Shell lines of the README and the book: each is run here, or stands below with its reason."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from minitower.cli import build_parser, main

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ELSEWHERE = {
    "pip install": "installs; .ci/run installs the README's two and every extra",
    "python -m minitower.nano": "20 seconds; .ci/run runs it from the wheel",
    "python benchmarks/": "minutes; test_benchmarks runs each script at tiny size",
    "MINITOWER_DATA=": "hours on real data",
    "minitower demo": "needs data of the reader; test_benchmarks holds the jobs",
    "minitower tune": "takes its budget of 20 minutes; test_cli_tune",
    "minitower train --job": "of a job that was edited, or written by tune; test_job_file",
    "minitower train gowalla-split": "needs data of the reader",
    "minitower train ml-100k/ --index faiss": "needs Faiss; test_recommender",
    "minitower publish": "needs Faiss, ScaNN or Milvus; test_cli_indexes",
    "MILVUS_TOKEN": "needs a server",
    "minitower index-bench": "a process for each index; test_cli_indexes",
    "minitower serve": "does not end; test_service",
    "OPENBLAS_NUM_THREADS=1 minitower serve": "does not end; test_service",
    "python -m http.server": "does not end; test_site",
    "curl": "needs the service; test_service",
    "minitower check --command": "needs a compiler or Node.js; test_examples",
    "minitower check my_losses": "needs PyTorch; test_peers_losses",
    "minitower check port.py": "needs PyTorch; test_peers_port",
    "minitower check mine.py:draw": "thousands of draws; test_conformance_samplers",
    "minitower update store clicks/ --full": "a whole store by day; test_train_full_update",
    "minitower update store clicks/ --incremental --every": "does not end; test_cli_update",
    "minitower update model": "needs clicks; test_cli_update",
    "minitower evaluate": "needs newer clicks; test_newer_data",
    "minitower inspect": "needs tables of the reader; test_layouts",
    "minitower recall store --users": "needs lists of the reader; test_cli_recall",
    "minitower recall store --all-users": "needs pyarrow; test_cli_recall",
    "minitower recall model --all-users": "needs pyarrow; test_cli_recall",
    "minitower similar store": "of a shop with named items; test_cli_recall",
    "minitower store list": "of a store with a history; test_cli_store",
    "minitower store show store": "of a store with a history; test_cli_store",
    "minitower store rollback": "of a store with a history; test_cli_store",
    "minitower store prune": "of a store with a history; test_cli_store",
    "minitower store verify": "of a store with a history; test_cli_store",
    "cc -O2": "needs a compiler; test_examples",
    "cp -r": "copies a backup of the reader",
    "mv": "copies a backup of the reader",
    "30 2 * * *": "a line of crontab",
    "set -e": "the head of a script",
}
"""How a line begins -> why it does not run here, and where something does."""


def lines():
    """(page, command) of every line of every block, in order."""
    for page in PAGES:
        for block in re.findall(
            r"^```(?:sh|console)\n(.*?)^```", page.read_text("utf-8"), re.M | re.S
        ):
            for line in block.replace("\\\n", " ").splitlines():
                command = re.sub(r"\s+#.*|^#.*", "", line).removeprefix("$ ").strip()
                if command:
                    yield page.name, command


LINES = list(lines())
beginning = lambda line: next((head for head in ELSEWHERE if line.startswith(head)), None)
HERE = [(page, line) for page, line in LINES if beginning(line) is None]


def argv(line):
    return shlex.split(line)[1:]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with what the lines name: a small ml-100k, in its own layout."""
    folder = tmp_path_factory.mktemp("shell")
    rng = np.random.default_rng(0)
    (folder / "ml-100k").mkdir()
    clicks = {(user, item) for user, item in rng.integers(1, 151, (4000, 2)).tolist()}
    rows = (f"{u}\t{i}\t{rng.integers(3, 6)}\t{at}\n" for at, (u, i) in enumerate(sorted(clicks)))
    people = (f"{u}|{20 + u % 9}|{'MF'[u % 2]}|writer|85711\n" for u in range(1, 151))
    genres = lambda i: "|".join("01"[g in (i % 3, i % 7)] for g in range(19))
    films = (f"{i}|Film {i} (1995)|01-Jan-1995|||{genres(i)}\n" for i in range(1, 151))
    for name, lines in {"data": rows, "user": people, "item": films}.items():
        (folder / "ml-100k" / f"u.{name}").write_text("".join(lines))
    return folder


def write_right_answer(target, formula):
    """mine.py of a reader whose answer is right."""
    name = target.partition(":")[2]
    Path("mine.py").write_text(
        "from minitower.conformance import FORMULAS\n\n"
        f"formula = FORMULAS['{formula}']\n\n"
        f"def {name}(*arguments):\n"
        "    result, *gradients = formula.compute(*arguments)\n"
        "    return (result, *gradients) if formula.gradients else result\n"
    )


def test_the_lines_of_the_blocks_run_in_order(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    failed = []
    for page, line in HERE:
        words = argv(line)
        if words[0] == "check" and "--formula" in words:
            write_right_answer(words[1], words[words.index("--formula") + 1])
        if words[0] == "train":
            shutil.rmtree("model", ignore_errors=True)
        if main(words):
            failed.append((page, line, capsys.readouterr().err))
    assert failed == [], failed


def test_every_reason_is_of_a_line_that_is_there():
    unused = [head for head in ELSEWHERE if not any(line.startswith(head) for _, line in LINES)]
    assert unused == []
    named = {name for why in ELSEWHERE.values() for name in re.findall(r"test_\w+", why)}
    assert [name for name in named if not (ROOT / "tests" / f"{name}.py").exists()] == []
    assert len(HERE) >= 25
    assert all(line.startswith("minitower ") for _, line in HERE)


@pytest.mark.parametrize("line", sorted({line for _, line in LINES if beginning(line)}))
def test_a_line_that_runs_elsewhere_has_flags_that_exist(line):
    for part in line.split("&&"):
        _, found, command = f" {part}".partition(" minitower ")
        words = shlex.split(command)
        words = words[: words.index(">")] if ">" in words else words
        if found and "install" not in part and " -m " not in part:
            build_parser(words[0]).parse_args(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_says_what_it_is(page):
    fences = re.findall(r"^```(.*)$", page.read_text("utf-8"), re.M)
    assert len(fences) % 2 == 0
    assert {*fences[::2]} <= {"python", "sh", "console", "math", "text", "toml"}
    assert {*fences[1::2]} <= {""}
