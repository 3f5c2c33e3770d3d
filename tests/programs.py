"""Programs that `minitower check --command` runs, and lines that it refuses."""

HINGE = """
import json, sys

def hinge(positive, negative, margin, sign=1):
    n = len(positive)
    leads = [sign * (q - p) + margin for p, q in zip(positive, negative)]
    active = [float(lead > 0) / n for lead in leads]
    loss = sum(max(0, lead) for lead in leads) / n
    return {"loss": loss, "d_positive": [-sign * a for a in active],
            "d_negative": [sign * a for a in active]}

def say(message):
    print(json.dumps(message), flush=True)

def serve(answer=lambda case, outputs: {"id": case, "outputs": outputs}, loss=hinge, **welcome):
    hello = json.loads(sys.stdin.readline())
    say({"protocol": 1, "formula": "triplet_hinge", **welcome})
    for line in sys.stdin:
        request = json.loads(line)
        say(answer(request["id"], loss(**request["inputs"])))
"""
"""The start of a program in Python. It goes on with serve(...)."""

ANY = """
hello = json.loads(sys.stdin.readline())
say({"protocol": 1, "formula": hello["formula"]})
from minitower.conformance import FORMULAS
import numpy as np
formula = FORMULAS[hello["formula"]]
cases = {f"{formula.name}/{case.name}": case for case in formula.cases}
for line in sys.stdin:
    request = json.loads(line)
    case = cases[request["id"]]
    for name, x in case.inputs.items():
        assert np.array_equal(np.ravel(request["inputs"][name]), np.ravel(x)), name
    outputs = {name: x.tolist() for name, x in formula.outputs(case).items()}
    say({"id": request["id"], "outputs": outputs})
"""
"""Behind HINGE: every formula, right."""

BAD_WELCOMES = [
    ("", "printed '', expected JSON like"),
    ("usage: mine FILE", "printed 'usage: mine FILE', expected JSON like"),
    ("[1]", "printed '[1]', expected JSON like"),
    ("[" * 100_000, "expected JSON like"),
    ("{}", "its first line has no protocol: '{}'"),
    ('{"protocol": true, "formula": "x"}', "its first line has no protocol"),
    ('{"protocol": 1}', "its first line has no formula"),
    ('{"protocol": 1, "formula": "x", "gradients": 0}', "its first line has no gradients"),
    ('{"protocol": 1, "formula": "x", "dtype": "float64"}',
     "its line has 'dtype', expected protocol, formula, gradients"),
    ('{"protocol": 2, "formula": "triplet_hinge"}', "speaks version 2 of the protocol, expected 1"),
]  # fmt: skip
"""First lines of a command, and what the checker says of them."""

NO_ANSWERS = [
    ("loss 0.5", 'printed \'loss 0.5\', expected JSON like {"id": "f/a", '),
    ('{"id": "f/a", "outputs": {"loss": nan}}', "printed "),
    ('{"outputs": {}}', "answered for 'None', expected f/a"),
]
BAD_ANSWERS = [
    ('{"id": "f/a", "loss": 1}', "its answer has neither outputs nor an error, but id, loss"),
    ('{"id": "f/a", "error": 1}', "its answer has neither outputs nor an error, but id, error"),
    ('{"id": "f/a", "error": "x", "outputs": {}}', "its line has 'error', expected id, outputs"),
    ('{"id": "f/a", "outputs": {}, "ms": 3}', "its line has 'ms', expected id, outputs"),
    ('{"id": "f/a", "error": "x", "ms": 3}', "its line has 'ms', expected id, error"),
    ('{"id": "f/a", "outputs": {"loss": "nan"}}', "returned '\"nan\"' in loss, expected a number"),
    ('{"id": "f/a", "outputs": {"loss": true}}', "returned 'true' in loss, expected a number"),
    ('{"id": "f/a", "outputs": {"loss": {"a": 1}}}', "in loss, expected a number"),
]
"""Answers to the case f/a, and what the checker says of them."""
