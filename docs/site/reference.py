"""The reference: pages of the public names, and of the formulas beside their code."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

from minitower import api, formulas

GROUPS = {
    "data": "Data",
    "towers": "Towers and optimizers",
    "training": "Training",
    "evaluation": "Evaluation",
    "search": "Search",
    "store": "The store",
    "updating": "Updates",
    "scale": "Scale",
    "formulas": "Threads",
}
"""The packages of the public names, in the order of a job, with the titles of their pages."""
HELPERS = ("arguments", "arrays", "blas", "threads")
"""Modules of the formulas that hold no formula."""
TRACE = Path(__file__).parents[2] / "docs" / "19-formulas-of-the-lecture.md"


def groups() -> dict[str, list[str]]:
    """The public names of each package, as minitower/api.py imports them."""
    found: dict[str, list[str]] = {name: [] for name in GROUPS}
    for node in ast.parse(inspect.getsource(api)).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            found[node.module.split(".")[1]] += [alias.name for alias in node.names]
    return {name: sorted(names, key=str.lower) for name, names in found.items()}


def first_line(thing: Any) -> str:
    """The first line of a docstring, without the marks of Sphinx."""
    line = (inspect.getdoc(thing) or "").partition("\n\n")[0].replace("\n", " ")
    return re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"`\1`", line).replace("``", "`")


def directive(thing: Any) -> str:
    """What Sphinx documents a public name with."""
    if inspect.isclass(thing):
        return "autoclass"
    return "autofunction" if inspect.isfunction(thing) else "autodata"


def signature(thing: Any, *, beside_code: bool) -> str:
    """The arguments of a function or a class, with short types; without types beside the code.

    >>> signature(api.load_model, beside_code=False)
    '(folder: str | Path, version: int | None = None) -> TwoTower'
    >>> signature(api.load_model, beside_code=True)
    '(folder, version=None)'
    """
    found = inspect.signature(thing)
    arguments = [argument.replace(annotation=inspect.Parameter.empty if beside_code else
                                  short_type(argument.annotation))
                 for argument in found.parameters.values() if argument.name != "self"]  # fmt: skip
    returned = short_type(found.return_annotation)
    if beside_code or inspect.isclass(thing):
        returned = inspect.Signature.empty
    text = str(found.replace(parameters=arguments, return_annotation=returned))
    text = re.sub(r"<(?:function|class) '?(?:[\w.]+\.)?(\w+)'?(?: at 0x\w+)?>", r"\1", text)
    return re.sub(r"(: |-> )'([^']*)'", r"\1\2", text)


ARRAY = re.compile(r"ndarray\[tuple\[Any, \.\.\.\], dtype\[(?:\w+\[Any\]|Any)\]\]")
ANNOTATED = re.compile(r"Annotated\[((?:[^,\[]|\[[^\]]*\])+), .*\)\]")


def short_type(annotation: Any) -> Any:
    """A type as the source writes it: aliases by name, no modules, no notes of an option.

    >>> short_type("Annotated[float, Option('weight of log q', 0, 1)] | None")
    'float | None'
    """
    if annotation is inspect.Parameter.empty:
        return annotation
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    text = re.sub(r"\b(?:\w+\.)+(\w+)", r"\1", ANNOTATED.sub(r"\1", text))
    return ARRAY.sub("Array", text).replace("'", '"')


def public_page(title: str, names: list[str]) -> str:
    """The reference of the public names of one package."""
    lines = [f"# {title}", "", "```{eval-rst}"]
    for public in names:
        kind = directive(getattr(api, public))
        lines += [f".. {kind}:: minitower.{public}"]
        lines += ["   :members:"] if kind == "autoclass" else []
        lines += [""]
    return "\n".join([*lines, "```", ""])


def modules() -> list[ModuleType]:
    """The modules that hold formulas."""
    names = [info.name for info in pkgutil.iter_modules(formulas.__path__)]
    return [importlib.import_module(f"{formulas.__name__}.{name}") for name in names
            if name not in HELPERS]  # fmt: skip


def public_functions(module: ModuleType) -> list[str]:
    """The public functions and classes that a module defines, in the order of the file."""
    tree = ast.parse(inspect.getsource(module))
    found = (node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef))
    return [node.name for node in found if not node.name.startswith("_")]


def code(thing: Any) -> str:
    """The source of a function or a class without its docstring, which stands beside it."""
    source = textwrap.dedent(inspect.getsource(thing))
    node = ast.parse(source).body[0]
    lines = source.splitlines()
    if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
        quoted = node.body[0]
        del lines[quoted.lineno - 1 : quoted.end_lineno]
    return "\n".join(lines).strip("\n")


def traced() -> dict[str, list[tuple[str, str]]]:
    """{function: (formula, link to the chapter) ...}, as chapter 19 lists them."""
    found: dict[str, list[tuple[str, str]]] = {}
    for line in TRACE.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        links = [cell for cell in cells if re.fullmatch(r"\[\d+\]\(.*\)", cell)]
        names = re.findall(r"`(formulas\.[\w.]+)`", line)
        for name in names if links else ():
            formula = cells[cells.index(links[0]) - 1]
            link = links[0].replace("](", "](../../docs/")
            found.setdefault(f"minitower.{name}", []).append((formula, link))
    return found


def formulas_page(module: ModuleType, lecture: dict[str, list[tuple[str, str]]]) -> str:
    """One module: its prose, then each formula, its prose and its code."""
    short = module.__name__.rpartition(".")[2]
    lines = [
        "---",
        "hide-toc: true",
        "---",
        f"# {short}",
        "",
        "```{eval-rst}",
        f".. automodule:: {module.__name__}",
        "```",
        "",
    ]
    for name in public_functions(module):
        thing = getattr(module, name)
        lines += [f"## {name}", ""]
        for formula, chapter in lecture.get(f"{module.__name__}.{name}", ()):
            lines += [f"* {formula} (chapter {chapter})"]
        kind = directive(thing)
        members = ["         :members:"] if kind == "autoclass" else []
        lines += [
            "",
            "```{eval-rst}",
            ".. container:: side-by-side",
            "",
            "   .. container:: prose",
            "",
            f"      .. {kind}:: {module.__name__}.{name}",
            *members,
            "",
            "   .. code-block:: python",
            "",
            textwrap.indent(code(thing), "      "),
            "```",
            "",
        ]
    return "\n".join(lines)


def write(source: Path) -> tuple[list[str], list[str]]:
    """Write the pages; return the names of those of the public face, and of the formulas."""
    folder = source / "reference"
    (folder / "formulas").mkdir(parents=True)
    index = ["# Reference", "", "The public names: `import minitower as mt`.", ""]
    for name, public in groups().items():
        title = GROUPS[name]
        (folder / f"{name}.md").write_text(public_page(title, public), "utf-8")
        index += [f"## [{title}]({name}.md)", "", "| name | what it is |", "|---|---|"]
        index += [f"| {{py:obj}}`~minitower.{one}` | {first_line(getattr(api, one))} |"
                  for one in public]  # fmt: skip
        index += [""]
    (folder / "index.md").write_text("\n".join(index), "utf-8")
    side = ["# Formulas side by side", "", "Formula, code and prose of `minitower.formulas`.", ""]
    side += ["| module | what it holds |", "|---|---|"]
    lecture = traced()
    for module in modules():
        short = module.__name__.rpartition(".")[2]
        page = formulas_page(module, lecture)
        (folder / "formulas" / f"{short}.md").write_text(page, "utf-8")
        side += [f"| [{short}]({short}.md) | {first_line(module)} |"]
    (folder / "formulas" / "index.md").write_text("\n".join([*side, ""]), "utf-8")
    names = [module.__name__.rpartition(".")[2] for module in modules()]
    return (
        ["reference/index", *(f"reference/{name}" for name in GROUPS)],
        ["reference/formulas/index", *(f"reference/formulas/{name}" for name in names)],
    )
