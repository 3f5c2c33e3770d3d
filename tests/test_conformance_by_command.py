"""A check through a command: the same report as for a function, and one line for what is wrong."""

import sys

import numpy as np
import pytest
from programs import ANY, HINGE

from minitower.conformance import FORMULAS, check
from minitower.conformance.by_command import check_command
from minitower.conformance.child import Child


@pytest.fixture
def checked(tmp_path):
    """Check a command: the lines that HINGE goes on with."""

    def checked(lines, **options):
        path = tmp_path / "mine.py"
        path.write_text(f"{HINGE}\n{lines}\n")
        with Child([sys.executable, str(path)], 60.0) as child:
            return check_command(child, **options)

    return checked


def failures(report):
    return {result.case.name: result.failure for result in report.failed}


def test_a_right_command(checked):
    report = checked("serve()")
    assert str(report) == "triplet_hinge   6 cases   all passed   (command, float64)"
    assert checked("serve()", formula="triplet_hinge", dtype="float32").passed


def test_a_mistake_has_the_name_that_it_has_in_python(checked):
    def wrong(positive, negative, margin):
        leads = positive - negative + margin
        active = (leads > 0) / len(leads)
        return leads.clip(0).mean(), (active, -active)

    report, expected = (
        checked("serve(loss=lambda **x: hinge(**x, sign=-1))"),
        check(wrong, formula="triplet_hinge"),
    )
    assert failures(report) == failures(expected) != {}
    assert report.mistake.name == expected.mistake.name == "positive and negative exchanged"


def test_inputs_are_named_and_fixed(checked):
    words = "serve(loss=lambda pos, neg, sign, margin: hinge(pos, neg, margin, sign))"
    given = {"pos": "positive", "neg": "negative", "sign": 1}
    assert checked(words, given=given).passed
    assert checked(words, given=given | {"sign": -1}).mistake is not None
    assert "raised" not in str(checked(words, given=given | {"margin": 0.5}))
    assert checked(words, given=given | {"margin": 0.5}).passed
    with pytest.raises(ValueError, match="positive is an array"):
        checked("serve()", given={"positive": 1})


def test_a_command_without_gradients_says_so(checked):
    alone = "serve(lambda case, x: {'id': case, 'outputs': {'loss': x['loss']}}"
    report = checked(f"{alone}, gradients=False)")
    assert (report.passed, report.how) == (True, "command, float64, without gradients")
    report = checked(f"{alone})")
    assert set(failures(report).values()) == {
        "returned no d_positive, expected loss, d_positive, d_negative; a command without "
        'gradients says "gradients": false in its first line'
    }
    report = checked(f"{alone}, loss=lambda **x: hinge(**x, sign=-1), gradients=False)")
    assert "positive and negative exchanged" in report.mistake.name


def test_one_case_that_dies_leaves_the_others_alone(checked):
    report = checked("""
def dies(case, outputs):
    if case.endswith("/one"):
        print("Assertion `n > 1' failed", file=sys.stderr)
        sys.exit(134)
    return {"id": case, "outputs": outputs}
serve(dies)""")
    assert failures(report) == {
        "one": "ended with status 134 before it printed a line; the last line of its stderr: "
        '"Assertion `n > 1\' failed"'
    }
    assert report.unusable == f"triplet_hinge, case one: {failures(report)['one']}"


@pytest.mark.parametrize("answer, message", [
    ("{'id': case, 'outputs': {**x, 'd_positive': x['d_positive'] + [0]}}",
     "returned d_positive of shape (6,), expected (5,), the shape of positive"),
    ("{'id': case, 'outputs': {**x, 'd_positive': [[1], 2]}}",
     "returned a list of 2 as d_positive, expected numbers"),
    ("{'id': case, 'outputs': {'d_positive': [], 'd_negative': []}}",
     "returned no loss, expected loss, d_positive, d_negative"),
    ("{'id': case, 'outputs': {**x, 'loss': [1, 2]}}",
     "returned loss of shape (2,), expected one number"),
    ("{'id': case, 'outputs': {**x, 'loss': 'NaN'}}", "returned NaN in loss"),
    ("{'id': case, 'outputs': {**x, 'loss': 10**400}}",
     "returned an int as loss, expected numbers"),
    ("{'id': 'triplet_hinge/other', 'outputs': x}",
     "answered for 'triplet_hinge/other', expected triplet_hinge/plain"),
    ("'hello'", "printed '\"hello\"', expected JSON like "
     '{"id": "triplet_hinge/plain", "outputs": {}}'),
    ("{'id': case, 'error': 'no triples'}", "raised 'no triples'"),
])  # fmt: skip
def test_an_answer_that_is_none(checked, answer, message):
    report = checked(f"serve(lambda case, x: {answer})")
    assert len(report.failed) == 6
    assert report.unusable == f"triplet_hinge, case plain: {message}"


def test_an_infinite_loss_is_compared(checked):
    report = checked("serve(lambda case, x: {'id': case, 'outputs': {**x, 'loss': 'Infinity'}})")
    assert report.failed[0].failure == "loss off by inf"


def test_what_comes_after_the_last_case_fails_it(checked):
    assert failures(checked("serve(); say('bye')")) == {
        "reversed": "printed more than one line a case: '\"bye\"'"
    }
    assert failures(checked("serve(); sys.exit(1)")) == {
        "reversed": "ended with status 1 after its last answer"
    }


class Impatient(Child):
    """A child that may take its time for the first line alone."""

    def ask(self, line):
        answer = super().ask(line)
        self.timeout = 0.5
        return answer


def test_a_command_that_is_silent_is_asked_once(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(f"{HINGE}\nserve(lambda case, x: __import__('time').sleep(600))")
    with Impatient([sys.executable, str(path)], 60.0) as child:
        first, *rest = failures(check_command(child)).values()
    assert first == "printed no line within 0.5 s; flush stdout after each line"
    assert set(rest) == {f"not run, as the command {first}"}


@pytest.mark.parametrize("lines, options, message", [
    ("print('usage: mine FILE')", {}, r"mine.py: printed 'usage: mine FILE', expected JSON like"),
    ("", {}, "mine.py: ended with status 0 before it printed a line"),
    ("serve()", {"formula": "info_nce"}, "mine.py: implements 'triplet_hinge', expected info_nce"),
    ("serve(formula='hinge')", {}, "no formula 'hinge'; there are in_batch_softmax, "),
    ("serve()", {"formula": "hinge"}, "no formula 'hinge'; there are in_batch_softmax, "),
    ("serve()", {"dtype": "float16"}, "no dtype 'float16'"),
    ("serve()", {"allow": ["all"]}, "no choice 'all'"),
])  # fmt: skip
def test_a_command_that_is_not_checked(checked, lines, options, message):
    with pytest.raises(ValueError, match=message):
        checked(lines, **options)


@pytest.mark.parametrize("formula", [
    "in_batch_softmax_masked", "listwise_softmax", "recall", "power_law", "cross_batch_softmax",
    "learned_temperature",
])  # fmt: skip
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_kind_of_input_and_output_survives(checked, formula, dtype):
    """Integers, booleans, matrices, empty arrays, results that are arrays."""
    report = checked(ANY, formula=formula, dtype=dtype)
    assert report.passed, report
    assert len(report.cases) == len(FORMULAS[formula].cases)


def test_a_choice_is_allowed(checked):
    lines = ANY.replace("    outputs = {", "    right = {").replace(
        "    say({", "    zero = case.name == 'zero_vectors'\n"
        "    outputs = {k: (np.array(x) * 1e12 if zero else np.array(x)).tolist()\n"
        "               for k, x in right.items()}\n    say({",
    )  # fmt: skip
    assert list(failures(checked(lines, formula="info_nce"))) == ["zero_vectors"]
    assert checked(lines, formula="info_nce", allow=["zero_vectors"]).passed


SAMPLER = """
import random
hello = json.loads(sys.stdin.readline())
say({"protocol": 1, "formula": "sampler"})
for line in sys.stdin:
    request = json.loads(line)
    p, size, seed = (request["inputs"][name] for name in ("p", "size", "seed"))
    rng = random.Random(seed)
    ids = rng.choices(range(len(p)), weights=WEIGHTS, k=size)
    say({"id": request["id"], "outputs": {"ids": ids}})
"""


def test_a_sampler(checked):
    new_seeds = "seeds = set()\n" + SAMPLER.replace(
        "    rng =", "    assert seed not in seeds\n    seeds.add(seed)\n    rng ="
    )
    assert checked(new_seeds.replace("WEIGHTS", "p")).passed
    report = checked(SAMPLER.replace("WEIGHTS", "None"), formula="sampler")
    assert report.mistake.name == "uniform draws"
    wrong = checked(SAMPLER.replace("WEIGHTS", "p").replace('"ids":', '"draws":'))
    assert wrong.unusable == "sampler, case two_items: returned draws, expected ids, or ids, log_q"


def test_a_sampler_with_log_q(checked):
    lines = SAMPLER.replace("WEIGHTS", "p").replace(
        '{"ids": ids}', '{"ids": ids, "log_q": [LOG(p[i]) for i in ids]}'
    )
    assert checked(f"import math\n{lines}".replace("LOG", "math.log")).passed
    assert checked(lines.replace("LOG", "")).mistake.name == "q returned instead of log q"


def test_a_formula_without_gradients():
    formula = FORMULAS["in_batch_softmax"]
    alone = formula.without_gradients()
    case = alone.cases[0]
    assert (alone.gradients, formula.gradients) == ((), ("d_users", "d_items"))
    assert list(alone.outputs(case)) == ["loss"]
    assert np.array_equal(alone.outputs(case)["loss"], formula.outputs(case)["loss"])
