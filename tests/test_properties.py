"""Every property that the docstring of a formula lists has a test of its name."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FORMULAS = sorted((ROOT / "minitower" / "formulas").glob("*.py"))


def definitions(path):
    tree = ast.parse(path.read_text("utf-8"))
    return [x for x in ast.walk(tree) if isinstance(x, (ast.FunctionDef, ast.ClassDef))]


def snake(name):
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def promises(path):
    """(function or class, property) of every list of properties in a file."""
    for definition in definitions(path):
        listed = re.search(r"Properties: ((?:\w+,\s+)*\w+)", ast.get_docstring(definition) or "")
        for name in re.findall(r"\w+", listed[1]) if listed else ():
            yield snake(definition.name), name


def unproven(path, tests):
    """The promises without a test of their name, of that function or of a group with it."""
    groups = {snake(definition.name) for definition in definitions(path)}
    proven = [test.removeprefix("test_").split("__") for test in tests]
    kept = lambda owner, name: any(
        name in names and (owner.startswith(of) or of not in groups) for of, *names in proven
    )
    return [promise for promise in promises(path) if not kept(*promise)]


@pytest.mark.parametrize("path", FORMULAS, ids=lambda path: path.stem)
def test_every_property_has_a_test_of_its_name(path):
    tests = ROOT / "tests" / f"test_{path.stem}.py"
    names = [test.name for test in definitions(tests)] if tests.exists() else []
    assert unproven(path, names) == []


def test_a_property_without_a_test_is_noticed():
    pairwise = next(path for path in FORMULAS if path.stem == "pairwise")
    tests = ["test_triplet_hinge__equals_naive", "test_pairwise__linear_in_weights"]
    missing = unproven(pairwise, tests)
    assert ("triplet_hinge", "equals_naive") not in missing
    assert ("triplet_logistic", "linear_in_weights") not in missing
    assert {("triplet_logistic", "equals_naive"), ("triplet_hinge", "is_a_mean")} <= set(missing)
    assert len([pair for path in FORMULAS for pair in promises(path)]) > 250
