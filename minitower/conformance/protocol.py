"""The protocol of ``minitower check --command``: JSON lines with an implementation in any language.

``schemas/protocol.schema.json`` has the form of every line. First the checker says hello, and the
command answers with the formula that it implements. Then each case is a request and an answer.

    hello    {"protocol": 1, "formula": "triplet_hinge", "dtype": "float64"}
    welcome  {"protocol": 1, "formula": "triplet_hinge"}
    request  {"id": "triplet_hinge/one", "inputs": {"positive": [0.375], ...}}
    answer   {"id": "triplet_hinge/one", "outputs": {"loss": 0.046875, "d_positive": [-1.0], ...}}
    answer   {"id": "triplet_hinge/one", "error": "margin is not supported"}

Chapter 17.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from minitower.conformance.child import Child, TimedOut, shown
from minitower.conformance.formula import Unusable

PROTOCOL = 1
"""Version of the protocol. A command answers with the same number."""

_NOT_FINITE: Mapping[str | None, float] = {
    "NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf"),
    None: float("nan"),  # as JSON.stringify writes NaN
}  # fmt: skip


class Session:
    """A command that has said which formula it implements, and answers its cases.

    A process that dies or breaks the protocol is started again for the next case. After an answer
    that took too long nothing more is asked.

    Args:
        formula: name of the formula that is asked of the command, or None: the command says it.
        dtype: the precision that is asked of it.

    Attributes:
        formula: name of the formula that the command implements.
        gradients: whether it returns the gradients, too.

    Raises:
        Unusable: the command answers no hello.
        OSError: the command cannot be run.
    """

    def __init__(self, child: Child, formula: str | None, dtype: str) -> None:
        self._child, self._timed_out = child, ""
        self._hello = {"protocol": PROTOCOL, "formula": formula, "dtype": dtype}
        self.formula, self.gradients = self._greeted()

    def ask(self, case: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Ask for the outputs of a case: by name, numbers and nested lists of numbers.

        Raises:
            Unusable: no outputs came back. Says why.
        """
        if self._timed_out:
            raise Unusable(f"not run, as the command {self._timed_out}")
        if not self._child.running:
            self.formula, self.gradients = self._greeted()
        request = json.dumps({"id": case, "inputs": inputs}, allow_nan=False)
        try:
            answer = _object(self._child.ask(request), {"id": case, "outputs": {}})
            if answer.get("id") != case:
                raise Unusable(f"answered for {shown(str(answer.get('id')))}, expected {case}")
        except TimedOut as late:
            self._timed_out = str(late)
            raise
        except Unusable:
            self._child.kill()
            raise
        return _outputs(answer)

    def end(self) -> None:
        """End the command.

        Raises:
            Unusable: it does not end as it should.
        """
        if self._child.running:
            self._child.end()

    def _greeted(self) -> tuple[str, bool]:
        """Start the command and say hello: the formula it implements, and whether gradients too."""
        self._child.start()
        asked = self._hello["formula"]
        answer = _object(
            self._child.ask(json.dumps(self._hello)),
            {"protocol": PROTOCOL, "formula": asked or "triplet_hinge"},
        )
        _refuse_unknown(answer, "protocol", "formula", "gradients")
        for key, kind in (("protocol", int), ("formula", str), ("gradients", bool)):
            if type(answer.get(key, True)) is not kind:
                raise Unusable(f"its first line has no {key}: {shown(json.dumps(answer))}")
        if answer["protocol"] != PROTOCOL:
            raise Unusable(
                f"speaks version {answer['protocol']} of the protocol, expected {PROTOCOL}"
            )
        if asked not in (None, answer["formula"]):
            raise Unusable(f"implements {shown(answer['formula'])}, expected {asked}")
        return answer["formula"], answer.get("gradients", True)


def _object(line: str, example: Mapping[str, Any]) -> dict[str, Any]:
    """A line of JSON as an object."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise Unusable(f"printed {shown(line)}, expected JSON like {json.dumps(example)}")
    return message


def _refuse_unknown(message: Mapping[str, Any], *fields: str) -> None:
    """Refuse a line with a field that the protocol does not have."""
    for field in message:
        if field not in fields:
            raise Unusable(f"its line has {shown(field)}, expected {', '.join(fields)}")


def _outputs(answer: dict[str, Any]) -> dict[str, Any]:
    """The outputs of an answer, by name."""
    outputs, error = answer.get("outputs"), answer.get("error")
    if isinstance(error, str) and "outputs" not in answer:
        _refuse_unknown(answer, "id", "error")
        raise Unusable(f"raised {shown(error)}")
    if not isinstance(outputs, dict):
        raise Unusable(f"its answer has neither outputs nor an error, but {', '.join(answer)}")
    _refuse_unknown(answer, "id", "outputs")
    return {name: _numbers(name, value) for name, value in outputs.items()}


def _numbers(name: str, x: Any) -> Any:
    """A number, or nested lists of numbers. NaN and infinity have names in JSON."""
    if isinstance(x, list):
        return [_numbers(name, entry) for entry in x]
    if isinstance(x, int | float) and not isinstance(x, bool):
        return x
    if (x is None or isinstance(x, str)) and x in _NOT_FINITE:
        return _NOT_FINITE[x]
    raise Unusable(
        f'returned {shown(json.dumps(x))} in {name}, expected a number, or "NaN", "Infinity"'
    )
