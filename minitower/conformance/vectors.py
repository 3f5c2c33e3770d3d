"""The golden vectors as files, for implementations in any language. Chapter 17."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from minitower.conformance.formula import CHOICES, TOLERANCE, Case, Formula, errors
from minitower.conformance.mistakes import MISTAKES
from minitower.conformance.registry import FORMULAS
from minitower.data.files import new_file

VERSION = "4.0.0"
"""Semantic version of the set.

The first number grows when an expected number or the layout of the files changes. The second grows
when formulas or cases are added, the third when only words change.
"""

SCHEMAS = ("vectors.schema.json", "protocol.schema.json")
"""JSON Schemas in the folder ``schemas``: of vectors.json, and of ``check --command``."""

CHANGES = """\
* 4.0.0: a JSON Schema of vectors.json, which names it. A case says which documented choice it is
  about; a formula lists its known mistakes, with their fixes. No number has changed.
* 3.0.0: the version is a string; a case has an id, and names the mistakes that it exposes. New
  formulas: in_batch_softmax_plain, binary_cross_entropy, listwise_softmax_log_q,
  triplet_logistic_many, triplet_hinge_many. New cases: rarest, unusual_ids, far_below
  and seventeen of all formulas on batches, zero_weights, one_row_all_masked, long_rows.
* 2: in_batch_softmax_log_sum.
* 1: the first set.
"""

_README = """\
# Golden vectors of two-tower retrieval, version {version}

Inputs, results and gradients of {count} formulas, to check an implementation against in any
language. `vectors.json` holds everything, in the form of `vectors.schema.json`; `vectors.npz` the
same numbers for NumPy. They were computed by `minitower vectors`, in float64; all inputs are exact
in float32 as well.

## vectors.json

```
$schema      the file vectors.schema.json
version      a string; refuse one whose first number you do not know
tolerance    float64, float32: how far a number may be off
choices      by name: what a right implementation may do otherwise, in words
formulas     a list, each with
  name, summary, math, reference
  result       the name of what is returned beside the gradients: "loss", "scores", ...
  arguments    a list in order, each with
    name, meaning
    shape      axis letters, "(n,d)" is n rows of d numbers; "()" is a plain number
    kind       "float", "int" or "bool"
    gradient   whether the gradient with respect to it is expected
  mistakes     the known mistakes, a list, each with
    name, fix
  cases        a list, each with
    id         "formula/case", unique in the file
    name, why
    choice     the name of the choice that the case is about, or null
    exposes    the names of the known mistakes that fail here
    inputs     by name of argument: numbers, lists, or lists of lists (rows)
    expected   by name: the result, and "d_" + argument for each gradient, of its shape
```

An axis may have length 0: then the list is empty. A sum over nothing is 0, and its exponentials add
nothing to a sum of exponentials: a row without negatives has loss 0.

## How to check

For each case of a formula call your implementation with the inputs. A number is right when

    |yours - expected| <= tolerance * max(1, |expected|)

with the tolerance of your precision, {float64:g} or {float32:g}. NaN and infinity are never right:
nothing that is expected is. A gradient is that of the result, a single number; no case lies on a
kink. Gradients are checked even where your framework derives them: masks, detached values and
clipping show there first.

In outline:

    for formula in vectors.formulas:
        for case in formula.cases:
            outputs = yours[formula.name](case.inputs in the order of formula.arguments)
            for name, value in case.expected:
                for each pair (got, want) in (outputs[name], value):
                    assert |got - want| <= tolerance * max(1, |want|)

A case about a choice may fail in an implementation that makes the other choice, if you say so.

Which mistake is it? One that every failing case exposes, and that no passing case exposes.
`minitower check` finds it. To let it run your program, whatever its language, answer JSON lines on
stdin with JSON lines on stdout: `minitower check --command './mine'`. The lines have the form of
`protocol.schema.json`:

```
you read     {{"protocol": 1, "formula": "triplet_hinge", "dtype": "float64"}}
you print    {{"protocol": 1, "formula": "triplet_hinge"}}
you read     {{"id": "triplet_hinge/one", "inputs": {{"positive": [0.375], ...}}}}
you print    {{"id": "triplet_hinge/one", "outputs": {{"loss": 0.046875, "d_positive": [-1], ...}}}}
```

and so on until stdin ends. Print each line at once, without a buffer, and nothing else on stdout.

## vectors.npz

The arrays "formula/case/inputs/argument" and "formula/case/expected/name"; nothing is pickled.

## Changes

{changes}
## The formulas

{formulas}
"""


def as_json() -> dict[str, Any]:
    """All golden vectors, as vectors.json has them."""
    return {
        "$schema": SCHEMAS[0],
        "version": VERSION,
        "tolerance": TOLERANCE,
        "choices": CHOICES,
        "formulas": [_formula(formula) for formula in FORMULAS.values()],
    }


_DESCRIBED = ("name", "summary", "math", "reference", "result")


def _formula(formula: Formula) -> dict[str, Any]:
    return {
        **{name: getattr(formula, name) for name in _DESCRIBED},
        "arguments": [vars(argument) for argument in formula.arguments],
        "mistakes": [
            {"name": mistake.name, "fix": mistake.fix} for mistake in MISTAKES[formula.name]
        ],
        "cases": [
            {
                "id": f"{formula.name}/{case.name}",
                "name": case.name,
                "why": case.why,
                "choice": case.choice or None,
                "exposes": exposed(formula, case),
                "inputs": {name: np.asarray(x).tolist() for name, x in case.inputs.items()},
                "expected": {name: x.tolist() for name, x in formula.outputs(case).items()},
            }
            for case in formula.cases
        ],
    }


def exposed(formula: Formula, case: Case) -> list[str]:
    """The names of the known mistakes that return something else than the formula in a case.

    >>> hinge = FORMULAS["triplet_hinge"]
    >>> exposed(hinge, hinge.cases[4])[:2]           # every positive leads by far
    ['positive and negative exchanged', 'hinge on the wrong side']
    """
    right, tolerance = formula.outputs(case), TOLERANCE["float64"]
    return [
        mistake.name
        for mistake in MISTAKES[formula.name]
        if max(errors(formula.outputs(case, mistake.compute), right).values()) > tolerance
    ]


def write_vectors(folder: Path) -> Path:
    """Write vectors.json, vectors.npz, the schemas and README.md to a folder.

    The folder is made if it is not there. No file gets its name before all of them are on the
    disk. So an error leaves the folder as it was.

    Raises:
        DataError: a file cannot be written; names the file.
        OSError: the folder cannot be made.
    """
    content = as_json()
    vectors = json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False)
    arrays: dict[str, Any] = {
        f"{formula['name']}/{case['name']}/{part}/{name}": np.asarray(x)
        for formula in content["formulas"]
        for case in formula["cases"]
        for part in ("inputs", "expected")
        for name, x in case[part].items()
    }
    formulas = "\n\n".join(f"### {f.name}\n\n```\n{describe(f)}\n```" for f in FORMULAS.values())
    readme = _README.format(
        version=VERSION, count=len(FORMULAS), changes=CHANGES, formulas=formulas, **TOLERANCE
    )
    missing = [part for part in (folder, *folder.parents) if not part.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _write_together({
            folder / "README.md": lambda file: file.write(readme.encode()),
            folder / "vectors.json": lambda file: file.write(f"{vectors}\n".encode()),
            folder / "vectors.npz": lambda file: np.savez(file, **arrays),
            **{folder / name: _writer(schema(name)) for name in SCHEMAS},
        })  # fmt: skip
    except BaseException:
        for part in missing:
            part.rmdir()
        raise
    return folder


def schema(name: str) -> str:
    """The text of a JSON Schema, one of :data:`SCHEMAS`."""
    return (files("minitower.conformance") / "schemas" / name).read_text("utf-8")


def _writer(text: str) -> Callable[[BinaryIO], object]:
    return lambda file: file.write(text.encode())


def _write_together(files: dict[Path, Callable[[BinaryIO], object]]) -> None:
    """Write all files, then rename all of them, the first one last."""
    with ExitStack() as renames:
        for path, write in files.items():
            file = renames.enter_context(new_file(path))
            write(file)
            file.flush()


def describe(formula: Formula) -> str:
    """A formula in words: what it is, its arguments and what it returns.

    >>> from minitower.conformance import FORMULAS
    >>> print(describe(FORMULAS["pointwise_squared"]))
    pointwise_squared: the score itself should be the label
    <BLANKLINE>
      loss = mean_i (scores_i - labels_i)^2
    <BLANKLINE>
      scores (n)   scores of the pairs; has a gradient
      labels (n)   +1 for clicked pairs, -1 for drawn ones
    <BLANKLINE>
      returns loss, d_scores
      reference: lecture, section 2.2 (pointwise training)
    """
    heads = [f"{a.name} {a.shape}" if a.shape != "()" else a.name for a in formula.arguments]
    width = max(map(len, heads))
    arguments = [
        f"  {head:{width}}   {a.meaning}{'; has a gradient' if a.gradient else ''}"
        f"{'' if a.kind == 'float' else f' ({a.kind})'}"
        for head, a in zip(heads, formula.arguments, strict=True)
    ]
    return "\n".join([
        f"{formula.name}: {formula.summary}",
        "",
        *(f"  {line}" for line in formula.math.split(",  ")),
        "",
        *arguments,
        "",
        f"  returns {', '.join((formula.result, *formula.gradients))}",
        f"  reference: {formula.reference}",
    ])  # fmt: skip
