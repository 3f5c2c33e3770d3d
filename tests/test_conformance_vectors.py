"""The golden vectors on disk, read back with nothing but what every language has."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minitower.conformance import FORMULAS, MISTAKES, VERSION, describe, write_vectors
from minitower.conformance.formula import TOLERANCE
from minitower.conformance.vectors import SCHEMAS, schema
from minitower.data import DataError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_vectors(tmp_path_factory.mktemp("golden") / "deep" / "vectors")


@pytest.fixture(scope="module")
def content(folder):
    with (folder / "vectors.json").open(encoding="utf-8") as file:
        return json.load(file)


def shape_of(value):
    """The lengths of nested lists, outermost first; every row as long as the next."""
    if not isinstance(value, list):
        return ()
    inner = {shape_of(entry) for entry in value}
    assert len(inner) <= 1, "ragged"
    return (len(value), *(inner.pop() if inner else ()))


def numbers(value):
    return [x for entry in value for x in numbers(entry)] if isinstance(value, list) else [value]


def test_names_belong_together(content):
    """What a schema cannot say: test_conformance_schemas.py validates the rest."""
    assert content["version"] == VERSION
    assert content["tolerance"] == TOLERANCE
    for formula in content["formulas"]:
        names = [argument["name"] for argument in formula["arguments"]]
        learned = ["d_" + a["name"] for a in formula["arguments"] if a["gradient"]]
        mistakes = {mistake["name"] for mistake in formula["mistakes"]}
        for case in formula["cases"]:
            assert case["id"] == f"{formula['name']}/{case['name']}"
            assert sorted(case["inputs"]) == sorted(names)
            assert list(case["expected"]) == [formula["result"], *learned]
            assert set(case["exposes"]) <= mistakes
            assert case["choice"] is None or case["choice"] in content["choices"]
        assert len(formula["mistakes"]) == len(mistakes) > 0
    ids = [case["id"] for formula in content["formulas"] for case in formula["cases"]]
    assert len(ids) == len(set(ids))


def test_cases_of_zero_vectors_are_a_choice_where_vectors_are_scaled(content):
    marked = {case["id"] for f in content["formulas"] for case in f["cases"] if case["choice"]}
    scaled = ("in_batch_softmax_cosine", "info_nce", "info_nce_symmetric", "cosine")
    assert marked == {f"{name}/zero_vectors" for name in scaled}


def test_the_readme_lists_every_field(folder, content):
    """Every key of vectors.json stands at the start of a line, or behind other keys."""
    layout = (folder / "README.md").read_text("utf-8").partition("```")[2].partition("```")[0]
    starts = re.findall(r"^ *([$\w]+(?:, \w+)*)(?: {2,}.*)?$", layout, re.MULTILINE)
    words = {word for start in starts for word in start.split(", ")}
    formula = content["formulas"][0]
    for level in (content, formula, formula["arguments"][0], formula["mistakes"][0],
                  formula["cases"][0]):  # fmt: skip
        assert set(level) <= words


def test_the_schemas_lie_beside_the_vectors(folder, content):
    assert (folder / content["$schema"]).is_file()
    for name in SCHEMAS:
        assert json.loads((folder / name).read_text("utf-8")) == json.loads(schema(name))


def by_name(content, name):
    return next(formula for formula in content["formulas"] if formula["name"] == name)


def close(got, want):
    return abs(got - want) <= 1e-9 * max(1, abs(want))


def log_sum_exp(values):
    top = max(values)
    return top + math.log(sum(math.exp(x - top) for x in values))


def test_the_words_suffice__a_zero_vector_of_info_nce(content):
    """Its cosine is 0 and has no gradient."""
    formula = by_name(content, "info_nce")
    assert "the cosine of a zero vector is 0, without gradient" in formula["math"]
    case = next(case for case in formula["cases"] if case["name"] == "zero_vectors")
    first, second, t = (case["inputs"][name] for name in ("first", "second", "temperature"))

    def cosine(a, b):
        norms = math.hypot(*a) * math.hypot(*b)
        return sum(map(float.__mul__, a, b)) / norms if norms else 0.0

    z = [[cosine(a, b) / t for b in second] for a in first]
    loss = sum(log_sum_exp(row) - row[i] for i, row in enumerate(z)) / len(z)
    assert close(loss, case["expected"]["loss"])
    zero = [i for i, row in enumerate(first) if not any(row)]
    assert zero
    assert all(not any(case["expected"]["d_first"][i]) for i in zero)


def test_the_words_suffice__n_i_and_empty_sums(content):
    """n_i is how many rows have another id. A row without any has loss 0."""
    formula = by_name(content, "calibrated_softmax")
    assert "n_i = how many j have ids_j != ids_i" in formula["math"]
    alone = 0
    for case in formula["cases"]:
        users, items, log_q, ids, t = (case["inputs"][a["name"]] for a in formula["arguments"])
        scores = [[sum(map(float.__mul__, u, v)) / t for v in items] for u in users]
        loss = 0.0
        for i, row in enumerate(scores):
            others = [j for j in range(len(ids)) if ids[j] != ids[i]]
            z = [row[i]]
            for j in others:
                q_i = math.exp(log_q[i])
                z.append(row[j] - (math.log(len(others)) + log_q[j] - math.log1p(-q_i)))
            alone += not others
            loss += (log_sum_exp(z) - z[0]) / len(users)
        assert close(loss, case["expected"]["loss"]), case["id"]
    assert alone > 1


def test_the_words_suffice__k_of_mrr(content):
    """A first hit behind rank k counts 0; users without positives are not in the mean."""
    formula = by_name(content, "mrr")
    assert "0 without a hit in ranks 1..k" in formula["math"]
    behind = 0
    for case in formula["cases"]:
        hits, positives, k = (case["inputs"][a["name"]] for a in formula["arguments"])
        found = [
            next((1 / (rank + 1) for rank, hit in enumerate(row[:k]) if hit), 0.0)
            for row, count in zip(hits, positives, strict=True)
            if count
        ]
        behind += any(True in row[k:] and True not in row[:k] for row in hits)
        assert close(sum(found) / len(found), case["expected"]["value"]), case["id"]
    assert behind, "no case tells whether k counts"


def test_every_known_mistake_is_exposed_by_a_case_of_its_formula(content):
    for formula in content["formulas"]:
        exposed = {name for case in formula["cases"] for name in case["exposes"]}
        assert exposed == {mistake.name for mistake in MISTAKES[formula["name"]]}
        everywhere = {name for name in exposed
                      if all(name in case["exposes"] for case in formula["cases"])}  # fmt: skip
        assert exposed != everywhere, "a case that exposes all says nothing"


def test_shapes_fit_the_axis_letters(content):
    for formula in content["formulas"]:
        for case in formula["cases"]:
            axes = {}
            for argument in formula["arguments"]:
                value = case["inputs"][argument["name"]]
                letters = re.findall(r"[^(),]+", argument["shape"])
                shape = shape_of(value)
                assert len(shape) == len(letters) or 0 in shape, (formula["name"], argument)
                for letter, length in zip(letters, shape, strict=False):
                    assert axes.setdefault(letter, length) == length, (formula["name"], letter)
                kind = {"float": float, "int": int, "bool": bool}[argument["kind"]]
                assert all(type(x) is kind for x in numbers(value))
                if argument["gradient"]:
                    assert shape_of(case["expected"]["d_" + argument["name"]]) == shape
            if "n+b" in axes:
                assert axes["n+b"] == axes["n"] + axes.get("b", 0)


def test_a_reader_of_json_alone_can_check_an_implementation(content):
    """In-batch softmax in plain Python, as the README's outline says."""
    from math import exp, log

    formula = next(f for f in content["formulas"] if f["name"] == "in_batch_softmax")
    for case in formula["cases"]:
        users, items, log_q, t = (case["inputs"][a["name"]] for a in formula["arguments"])
        n, d = len(users), len(users[0])
        loss, d_users = 0.0, [[0.0] * d for _ in users]
        d_items = [[0.0] * d for _ in users]
        for i in range(n):
            z = [sum(map(float.__mul__, users[i], items[j])) / t - log_q[j] for j in range(n)]
            top = max(z)
            total = sum(exp(x - top) for x in z)
            loss += (top + log(total) - z[i]) / n
            for j in range(n):
                g = (exp(z[j] - top) / total - (i == j)) / (n * t)
                for c in range(d):
                    d_users[i][c] += g * items[j][c]
                    d_items[j][c] += g * users[i][c]
        outputs = {"loss": loss, "d_users": d_users, "d_items": d_items}
        for name, want in case["expected"].items():
            for got, expected in zip(numbers(outputs[name]), numbers(want), strict=True):
                assert abs(got - expected) <= 1e-9 * max(1, abs(expected)), (case["name"], name)


def test_numbers_survive_the_file(content):
    for formula in content["formulas"]:
        known = FORMULAS[formula["name"]]
        for case, stored in zip(known.cases, formula["cases"], strict=True):
            for name, expected in known.outputs(case).items():
                assert np.array_equal(np.array(stored["expected"][name]).ravel(), expected.ravel())


def test_npz_holds_the_same(folder, content):
    with np.load(folder / "vectors.npz", allow_pickle=False) as arrays:
        keys = set()
        for formula in content["formulas"]:
            for case in formula["cases"]:
                for part in ("inputs", "expected"):
                    for name, value in case[part].items():
                        key = f"{formula['name']}/{case['name']}/{part}/{name}"
                        keys.add(key)
                        assert arrays[key].tolist() == value
        assert set(arrays.files) == keys


def test_readme_names_every_formula_and_the_rule(folder):
    readme = (folder / "README.md").read_text("utf-8")
    assert f"version {VERSION}" in readme
    assert f"* {VERSION}: " in readme
    assert "|yours - expected| <= tolerance * max(1, |expected|)" in readme
    for formula in FORMULAS.values():
        assert describe(formula) in readme


def test_writing_twice_changes_nothing(folder, tmp_path):
    again = write_vectors(tmp_path)
    for name in ("vectors.json", "README.md"):
        assert (again / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.999])
def test_full_disk__the_folder_is_as_it_was(folder, tmp_path, share):
    """Of three files none is replaced unless all of them can be; the error names a file."""
    largest = max(path.stat().st_size for path in folder.iterdir())
    limit = int(largest * share)
    script = (
        f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}));"
        "import sys; from minitower.cli import main; sys.exit(main())"
    )
    old = tmp_path / "old"
    old.mkdir()
    (old / "vectors.json").write_text("an earlier version")
    for out, before in ((old, ["vectors.json"]), (tmp_path / "new" / "deep", None)):
        command = [sys.executable, "-c", script, "vectors", "--out", str(out)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stdout) == (2, "")
        assert re.fullmatch(rf"minitower: error: {out}/\S+: cannot be written: .+\n", done.stderr)
        found = sorted(path.name for path in out.iterdir()) if out.exists() else None
        assert found == before
    assert (old / "vectors.json").read_text() == "an earlier version"
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_rename_fails__each_file_is_whole_and_the_readme_comes_last(
    folder, tmp_path, monkeypatch, n
):
    old = {path.name: b"old" for path in folder.iterdir()}
    for name, content in old.items():
        (tmp_path / name).write_bytes(content)
    left, replace = [n], Path.replace

    def faulty(path, target):
        left[0] -= 1
        if not left[0]:
            raise OSError(28, "No space left on device")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", faulty)
    with pytest.raises(DataError, match="cannot be written: No space left on device"):
        write_vectors(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(old)
    assert (tmp_path / "README.md").read_bytes() == b"old"
    new = [path for path in tmp_path.iterdir() if path.read_bytes() != b"old"]
    assert len(new) == n - 1
    for path in new:
        assert path.stat().st_size == (folder / path.name).stat().st_size
