"""The lines of the protocol: each thing a command may say wrong is one clear line."""

import math

import pytest
from programs import BAD_ANSWERS, BAD_WELCOMES, NO_ANSWERS

from minitower.conformance.child import TimedOut
from minitower.conformance.formula import Unusable
from minitower.conformance.protocol import Session

WELCOME = '{"protocol": 1, "formula": "triplet_hinge"}'


class Script:
    """Stands for a child: answers what a list says. An exception in it is raised."""

    def __init__(self, *answers):
        self.answers, self.asked, self.running, self.starts = list(answers), [], False, 0

    def start(self):
        self.running = True
        self.starts += 1

    def ask(self, line):
        assert self.running
        self.asked.append(line)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            self.running = False
            raise answer
        return answer

    def kill(self):
        self.running = False


def test_hello_and_welcome():
    child = Script(WELCOME)
    session = Session(child, None, "float32")
    assert child.asked == ['{"protocol": 1, "formula": null, "dtype": "float32"}']
    assert (session.formula, session.gradients) == ("triplet_hinge", True)
    without = Session(Script(WELCOME[:-1] + ', "gradients": false}'), "triplet_hinge", "float64")
    assert without.gradients is False


OF_ANOTHER = ('{"protocol": 1, "formula": "info_nce"}', "implements 'info_nce', expected triplet")


@pytest.mark.parametrize("line, message", [*BAD_WELCOMES, OF_ANOTHER])
def test_a_welcome_that_is_none(line, message):
    with pytest.raises(Unusable) as caught:
        Session(Script(line), "triplet_hinge", "float64")
    assert message in str(caught.value)


def test_a_request_and_its_answer():
    child = Script(WELCOME, '{"id": "f/a", "outputs": {"loss": 1, "d_x": [[0.5, -2], []]}}')
    session = Session(child, None, "float64")
    assert session.ask("f/a", {"x": [0.1]}) == {"loss": 1, "d_x": [[0.5, -2], []]}
    assert child.asked[1] == '{"id": "f/a", "inputs": {"x": [0.1]}}'


def test_numbers_that_are_not_finite():
    numbers = '["NaN", "Infinity", "-Infinity", null, NaN, 1e999]'
    session = Session(Script(WELCOME, f'{{"id": "f", "outputs": {{"x": {numbers}}}}}'), None, "f")
    nan, inf, minus, null, python, far = session.ask("f", {})["x"]
    assert all(map(math.isnan, (nan, null, python)))
    assert (inf, minus, far) == (math.inf, -math.inf, math.inf)


@pytest.mark.parametrize("answer, message, starts", [
    *((line, message, 2) for line, message in NO_ANSWERS),
    *((line, message, 1) for line, message in BAD_ANSWERS),
    ('{"id": "f/b", "outputs": {}}', "answered for 'f/b', expected f/a", 2),
    ('{"id": "f/a", "error": "no\\nmemory"}', "raised 'no memory'", 1),
    (Unusable("ended with status 1"), "ended with status 1", 2),
])  # fmt: skip
def test_what_is_wrong_in_one_case_leaves_the_next_case_alone(answer, message, starts):
    """A line that does not answer its case makes a new process, as the next line may be late."""
    right = '{"id": "f/b", "outputs": {"loss": 2}}'
    child = Script(WELCOME, answer, *[WELCOME] * (starts - 1), right)
    session = Session(child, "triplet_hinge", "float64")
    with pytest.raises(Unusable) as caught:
        session.ask("f/a", {})
    assert message in str(caught.value)
    assert session.ask("f/b", {}) == {"loss": 2}
    assert child.starts == starts


def test_after_a_timeout_nothing_is_asked():
    child = Script(WELCOME, TimedOut("printed no line within 5 s"))
    session = Session(child, None, "float64")
    with pytest.raises(TimedOut):
        session.ask("f/a", {})
    with pytest.raises(Unusable, match="not run, as the command printed no line within 5 s"):
        session.ask("f/b", {})
    assert child.starts == 1
