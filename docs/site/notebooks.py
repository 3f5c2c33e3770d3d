"""Chapters as notebooks: the same Markdown, with each example as a cell and what it prints below.

A cell ends where an example prints. The outputs are those of the page, which the tests compare
with what the code prints; a notebook that is run again makes its own.
"""

from __future__ import annotations

import base64
import doctest
import json
import re
from pathlib import Path
from typing import Any

Cell = dict[str, Any]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
IMAGE = re.compile(r"!\[([^]]*)\]\(([^)]*?([^/)]+\.svg))\)")
LINK = re.compile(r"(?<!!)\[([^]]*)\]\((?!https?://|attachment:)[^)]*\)")


def code_cell(source: str, want: str = "", *, raises: bool = False) -> Cell:
    """A cell of code, with what it prints. One that raises does not stop a run of all cells."""
    output = {"output_type": "stream", "name": "stdout", "text": want}
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {"tags": ["raises-exception"]} if raises else {},
        "outputs": [output] if want else [],
        "source": source.strip("\n"),
    }


def example_cells(text: str) -> list[Cell]:
    """The cells of a block of examples: each ends with one that prints.

    >>> [(cell["source"], cell["outputs"]) for cell in example_cells(">>> x = 1\\n>>> y = 2\\n")]
    [('x = 1\\ny = 2', [])]
    """
    cells, waiting = [], ""
    for example in doctest.DocTestParser().get_examples(text):
        waiting += example.source
        if example.want:
            want = example.want.replace("<BLANKLINE>", "")
            cells.append(code_cell(waiting, want, raises=example.exc_msg is not None))
            waiting = ""
    return [*cells, code_cell(waiting)] if waiting else cells


def text_cell(text: str, folder: Path) -> Cell:
    """A cell of prose: pictures go along inside it, links to other pages lose their target."""
    attachments = {
        file: {"image/svg+xml": base64.b64encode((folder / path).read_bytes()).decode("ascii")}
        for _, path, file in IMAGE.findall(text)
    }
    text = LINK.sub(r"\1", IMAGE.sub(r"![\1](attachment:\3)", text))
    cell: Cell = {"cell_type": "markdown", "metadata": {}, "source": text.strip("\n")}
    return {**cell, "attachments": attachments} if attachments else cell


def cells(text: str, folder: Path) -> list[Cell]:
    """The cells of a page: examples are code, all else is prose.

    A block without a prompt is an illustration, but on the page that shows a file whole.
    """
    found, prose = [], ""
    is_file = text.startswith("# 0. ")
    at = 0
    for block in FENCE.finditer(text):
        language, body = block.groups()
        prose += text[at : block.start()]
        at = block.end()
        if language == "python" and (is_file or ">>>" in body):
            found += [text_cell(prose, folder)] if prose.strip() else []
            found += example_cells(body) if ">>>" in body else [code_cell(body)]
            prose = ""
        else:
            prose += f"$$\n{body}$$" if language == "math" else block[0]
    prose += text[at:]
    return [*found, text_cell(prose, folder)] if prose.strip() else found


def notebook(text: str, folder: Path) -> dict[str, Any] | None:
    """The notebook of a page, in nbformat 4.5; None for a page without code."""
    made = cells(text, folder)
    if not any(cell["cell_type"] == "code" for cell in made):
        return None
    for i, cell in enumerate(made):
        cell["id"] = f"cell-{i}"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def write(page: Path) -> bool:
    """Write the notebook of a page beside it; return whether there is one."""
    made = notebook(page.read_text("utf-8"), page.parent)
    if made is None:
        return False
    text = json.dumps(made, ensure_ascii=False, indent=1) + "\n"
    page.with_suffix(".ipynb").write_text(text, "utf-8")
    return True
