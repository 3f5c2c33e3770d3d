"""What the front page of the formulas says about them."""

import ast
import re
from pathlib import Path

from minitower import formulas

PACKAGE = Path(formulas.__file__).parent.parent
FILES = {path.stem: path for path in (PACKAGE / "formulas").glob("*.py") if path.stem != "__init__"}


def names(text):
    return re.findall(r"\w+", text)


def reference_only(page):
    return set(names(re.search(r"checker: (.*?)\.", page, re.DOTALL)[1]))


def uses(tree):
    """The names that a file imports from the formulas, or reads from one of their modules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and "minitower.formulas" in (node.module or ""):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", None) in FILES:
            yield node.attr


def test_the_page_lists_every_file_once():
    steps = re.findall(r"^\d+\. ([\w, ]+):", formulas.__doc__, re.MULTILINE)
    listed = [name for step in steps for name in names(step)] + [
        "blocked",
        "arguments",
        "arrays",
        "threads",
        "blas",
    ]
    assert sorted(listed) == sorted(FILES)


def test_what_is_for_reference_only_exists_and_is_used_by_no_other_file():
    listed = reference_only(formulas.__doc__)
    public = {
        node.name
        for path in FILES.values()
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef))
    }
    assert listed <= public
    for path in PACKAGE.rglob("*.py"):
        if path.parent.name != "conformance":
            found = set(uses(ast.parse(path.read_text("utf-8")))) & listed
            if path.stem in FILES:
                found.discard(path.stem)  # the file uniformity has a function of its name
            assert not found, f"{path} uses {sorted(found)}"
