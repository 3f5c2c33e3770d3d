"""The JSON Schemas: what the package writes is valid, and what is wrong is refused."""

import copy
import json
import re
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from programs import ANY, BAD_ANSWERS, BAD_WELCOMES, HINGE, NO_ANSWERS

from minitower.conformance import FORMULAS, VERSION, vectors
from minitower.conformance.by_command import check_command
from minitower.conformance.child import Child
from minitower.conformance.protocol import PROTOCOL

SCHEMAS = {name: json.loads(vectors.schema(name)) for name in vectors.SCHEMAS}
OF_VECTORS, OF_PROTOCOL = (
    jsonschema.Draft202012Validator(schema) for schema in SCHEMAS.values()
)  # fmt: skip


def of_line(kind):
    """The validator of one kind of line."""
    return OF_PROTOCOL.evolve(schema={**SCHEMAS["protocol.schema.json"], "anyOf": [
        {"$ref": f"#/$defs/{kind}"}]})  # fmt: skip


def subschemas(schema):
    """Every object below a schema."""
    if isinstance(schema, dict):
        yield schema
        for value in schema.values():
            yield from subschemas(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from subschemas(value)


@pytest.fixture(scope="module")
def content():
    return json.loads(json.dumps(vectors.as_json()))


@pytest.mark.parametrize("name", vectors.SCHEMAS)
def test_a_schema_is_one_and_is_strict(name):
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])
    objects = [s for s in subschemas(SCHEMAS[name]) if s.get("type") == "object"]
    assert objects
    for schema in objects:
        assert "additionalProperties" in schema
        assert schema["additionalProperties"] is False or "properties" not in schema
        optional = set(schema.get("properties", ())) - set(schema.get("required", ()))
        assert optional <= {"gradients"}


def test_the_schemas_are_of_these_versions():
    assert SCHEMAS["vectors.schema.json"]["$id"].endswith(f":{VERSION.partition('.')[0]}")
    assert SCHEMAS["protocol.schema.json"]["$id"].endswith(f":{PROTOCOL}")


def test_the_vectors_are_valid(content):
    OF_VECTORS.validate(content)


def removed(*path):
    def change(content):
        for key in path[:-1]:
            content = content[key]
        del content[path[-1]]

    return change


def put(value, *path):
    def change(content):
        for key in path[:-1]:
            content = content[key]
        content[path[-1]] = value

    return change


CASE = ("formulas", 0, "cases", 0)
PLANTS = {
    "no id": removed(*CASE, "id"),
    "an id of the case alone": put("plain", *CASE, "id"),
    "no exposed mistakes": removed(*CASE, "exposes"),
    "an exposed mistake twice": put(["a", "a"], *CASE, "exposes"),
    "a choice that is empty": put("", *CASE, "choice"),
    "a case of more": put(1, *CASE, "size"),
    "no cases": put([], "formulas", 0, "cases"),
    "a number as a string": put("0.5", *CASE, "inputs", "temperature"),
    "NaN as null": put(None, *CASE, "expected", "loss"),
    "numbers and booleans": put([1.0, True], *CASE, "inputs", "log_q"),
    "a boolean as a result": put(True, *CASE, "expected", "loss"),
    "three axes": put([[[1.0]]], *CASE, "inputs", "users"),
    "no expected numbers": put({}, *CASE, "expected"),
    "a kind of numbers": put("double", "formulas", 0, "arguments", 0, "kind"),
    "a shape without parentheses": put("n,d", "formulas", 0, "arguments", 0, "shape"),
    "no gradient": removed("formulas", 0, "arguments", 0, "gradient"),
    "a mistake without a fix": removed("formulas", 0, "mistakes", 0, "fix"),
    "a formula of more": put("", "formulas", 0, "comment"),
    "an older version": put("3.0.0", "version"),
    "a version that is a number": put(4, "version"),
    "no tolerance of float32": removed("tolerance", "float32"),
    "no schema": removed("$schema"),
    "no choices": removed("choices"),
    "more beside the formulas": put([], "samplers"),
}


@pytest.mark.parametrize("plant", PLANTS)
def test_vectors_that_are_wrong_are_refused(content, plant):
    wrong = copy.deepcopy(content)
    PLANTS[plant](wrong)
    assert wrong != content
    assert not OF_VECTORS.is_valid(wrong)


class Recorder(Child):
    """A child whose lines are kept."""

    def __init__(self, *given):
        super().__init__(*given)
        self.lines = []

    def ask(self, line):
        answer = super().ask(line)
        self.lines += [line, answer]
        return answer


@pytest.mark.parametrize("formula", ["in_batch_softmax", "listwise_softmax", "cross_batch_softmax"])
def test_the_lines_of_a_check_are_valid(tmp_path, formula):
    """What the checker says, and what a right command answers."""
    path = tmp_path / "mine.py"
    path.write_text(HINGE + ANY)
    given = {"reduction": "mean", "verbose": False, "seed": None}
    with Recorder([sys.executable, str(path)], 60.0) as child:
        assert check_command(child, formula=formula, given=given).passed
    hello, welcome, *rest = map(json.loads, child.lines)
    of_line("hello").validate(hello)
    of_line("welcome").validate(welcome)
    assert len(rest) == 2 * len(FORMULAS[formula].cases)
    for request, answer in zip(rest[::2], rest[1::2], strict=True):
        of_line("request").validate(request)
        of_line("answer").validate(answer)
        assert request["inputs"].items() >= given.items()
        assert not of_line("request").is_valid(answer)
        assert not of_line("answer").is_valid(request)
    for line in child.lines:
        OF_PROTOCOL.validate(json.loads(line))


@pytest.mark.parametrize("message", [
    {"id": "f/a", "outputs": {"loss": 1, "d_x": [[1.5, "NaN"], [None, "-Infinity"]]}},
    {"id": "f/a", "error": "no memory"},
])  # fmt: skip
def test_an_answer_that_is_valid(message):
    of_line("answer").validate(message)


def parsed(line):
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return line


@pytest.mark.parametrize("line", [line for line, _ in BAD_WELCOMES])
def test_a_welcome_that_the_checker_refuses_is_not_valid(line):
    assert not of_line("welcome").is_valid(parsed(line))


@pytest.mark.parametrize("line", [line for line, _ in [*NO_ANSWERS, *BAD_ANSWERS]])
def test_an_answer_that_the_checker_refuses_is_not_valid(line):
    assert not of_line("answer").is_valid(parsed(line))


def test_the_messages_of_the_chapter_are_valid_and_right():
    """The table of the protocol: each row is a valid line, and the answer passes its case."""
    page = Path(__file__).parent.parent / "docs" / "17-is-your-loss-right.md"
    rows = re.findall(
        r"^\| (\w+) \| (?:checker|program) \| `(\{.*\})`", page.read_text("utf-8"), re.M
    )
    messages = {kind: json.loads(message) for kind, message in rows}
    for kind, message in messages.items():
        of_line("answer" if kind == "or" else kind).validate(message)
    assert list(messages) == ["hello", "welcome", "request", "answer", "or"]
    request, formula = messages["request"], FORMULAS["triplet_hinge"]
    case = next(case for case in formula.cases if request["id"].endswith(f"/{case.name}"))
    assert request["inputs"] == {name: np.array(x).tolist() for name, x in case.inputs.items()}
    right = {name: x.tolist() for name, x in formula.outputs(case).items()}
    assert messages["answer"]["outputs"] == right
