"""The house rules, held by reading the source."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import minitower
from minitower import api

PACKAGE = Path(minitower.__file__).parent
FLOORS = [
    "formulas", "conformance", "data", "towers", "search", "evaluation", "training", "store",
    "updating", "scale", "lab", "cli",
]  # fmt: skip
LEAVES = {"minitower.data.errors", "minitower.data.files"}
"""Files below all floors but the formulas: they import nothing of the package but each other."""
CORE = {"numpy", "scipy", "minitower"}
FILES = sorted(PACKAGE.rglob("*.py"))
names = lambda path: path.relative_to(PACKAGE).as_posix()


def imports(tree):
    """(module, whether at the top level of the file) of every import below a node."""
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            module = node.module or ""
            yield from ((f"{module}.{alias.name}", id(node) in top) for alias in node.names)


def floor(module):
    """The floor of a module, or None for the front door and what is outside."""
    parts = module.split(".")
    return (
        FLOORS.index(parts[1])
        if parts[0] == "minitower" and parts[1:2] and parts[1] in FLOORS
        else None
    )


def broken_rules(path, source):
    """What a file does that it must not."""
    tree = ast.parse(source)
    here = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    leaf = "minitower." + names(path).removesuffix(".py").replace("/", ".") in LEAVES
    for module, at_top in imports(tree):
        root = module.split(".")[0]
        if here in FLOORS:
            there = floor(module)
            of_leaf = module.rpartition(".")[0] in LEAVES
            if leaf and root == "minitower" and not of_leaf:
                yield f"a leaf imports {module}"
            if there is not None and not of_leaf and there > FLOORS.index(here):
                yield f"{here} imports {module}, which is a floor above"
            if there is None and root == "minitower" and module != "minitower.__version__":
                yield f"{here} imports from the front door"
        if here == "formulas" and root == "minitower" and floor(module) != 0:
            yield f"formulas import {module}"
        if here == "formulas" and root == "hnswlib":
            yield "formulas need numpy and scipy alone"
        if at_top and root not in CORE and root not in sys.stdlib_module_names:
            yield f"{module} is optional: import it where it is used"
        if root in ("pickle", "cPickle", "dill", "joblib", "shelve", "marshal"):
            yield f"{module}: no pickle"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute):
            owner = node.value
            is_random = owner.attr == "random" and isinstance(owner.value, ast.Name)
            if (
                is_random
                and owner.value.id in ("np", "numpy")
                and node.attr
                not in (
                    "Generator",
                    "default_rng",
                    "SeedSequence",
                )
            ):
                yield f"np.random.{node.attr} is global state"
        if (
            isinstance(node, ast.keyword)
            and node.arg == "allow_pickle"
            and node.value.value is not False
        ):
            yield "allow_pickle must be False"


@pytest.mark.parametrize("path", FILES, ids=names)
def test_imports_run_downward_and_nothing_forbidden_is_used(path):
    assert list(broken_rules(path, path.read_text("utf-8"))) == []


@pytest.mark.parametrize(
    "place, source",
    [
        ("data/x.py", "from minitower.towers.layers import dense"),
        ("data/x.py", "def f():\n    import minitower.cli"),
        ("formulas/x.py", "from minitower.data import Table"),
        ("formulas/x.py", "import hnswlib"),
        ("towers/x.py", "from minitower import TwoTower"),
        (
            "conformance/x.py",
            "from minitower.data.errors import DataError, show as see\n"
            "from minitower.data import Table",
        ),
        ("data/errors.py", "from minitower.data.table import Array"),
        ("data/x.py", "import pandas"),
        ("search/x.py", "import hnswlib"),
        ("data/x.py", "try:\n    import pickle\nexcept ImportError:\n    pass"),
        ("data/x.py", "np.random.seed(0)"),
        ("data/x.py", "x = np.random.rand(3)"),
        ("data/x.py", "np.load(p, allow_pickle=True)"),
    ],
)
def test_the_rules_notice(place, source):
    assert list(broken_rules(PACKAGE / place, source))


def test_importing_minitower_imports_no_optional_package():
    """Nothing but what NumPy and SciPy import themselves; hnswlib not before an index needs it."""

    def loaded(modules):
        script = f"import sys, {modules}; print(*sys.modules)"
        run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        return {name.partition(".")[0] for name in run.stdout.split()}

    foreign = loaded("minitower") - loaded("numpy, scipy.sparse") - set(sys.stdlib_module_names)
    assert foreign == {"minitower"}


@pytest.mark.parametrize("command, rooms", [
    (["--help"], {"cli", "data", "formulas"}),
    (["check", "--list"], {"cli", "conformance", "data", "formulas"}),
    (["store", "list", "nowhere"], None),
])  # fmt: skip
def test_a_command_imports_what_it_needs(command, rooms):
    """`check` knows nothing of training, and help nothing of models."""
    script = (
        "import sys; from minitower.cli import main; main(sys.argv[1:]); "
        "print(*sys.modules, file=sys.stderr)"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, *command], capture_output=True, text=True, check=True
    )
    loaded = {name.split(".")[1] for name in run.stderr.split() if name.startswith("minitower.")}
    assert "training" not in loaded if rooms is None else loaded == rooms


def test_the_front_door_has_every_public_name_and_every_room():
    assert minitower.__all__ == sorted(api.__all__)
    for name in api.__all__:
        assert getattr(minitower, name) is getattr(api, name), name
        assert name in dir(minitower)
    assert minitower.towers.two_tower.TwoTower is minitower.TwoTower
    assert not hasattr(minitower, "nonsense")
    assert not hasattr(minitower, "__nonsense__")


@pytest.mark.parametrize("name, rooms", [
    ("TwoTower", {"data", "formulas", "towers"}),
    ("Trainer", {"data", "evaluation", "formulas", "search", "towers", "training"}),
])  # fmt: skip
def test_a_public_name_imports_what_it_needs(name, rooms):
    """A program that trains imports no store and no updates."""
    script = f"import sys, minitower; minitower.{name}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {found.split(".")[1] for found in run.stdout.split() if found[:10] == "minitower."}
    assert loaded == rooms


@pytest.mark.parametrize("path", FILES, ids=names)
def test_a_file_is_one_idea_of_at_most_300_lines(path):
    assert len(path.read_text("utf-8").splitlines()) <= 300
