"""The space of a search is data: what it may hold, and what is refused in one line."""

import re
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.data import DataError
from minitower.data.job_file import toml
from minitower.data.option_values import read_options
from minitower.training.named import OBJECTIVES
from minitower.training.recipe import read_recipe
from minitower.training.search_space import SPACE, Choices, Range, default_space, read_space, start
from minitower.training.tune import KNOWN


def options(**said):
    return read_options(KNOWN, {}, ("options", said))


def test_read_space__ranges_and_lists():
    space = read_space(
        {
            "temperature": {"low": 0.1, "high": 1, "log": True},
            "dim": {"low": 8, "high": 64},
            "hidden": [[], [64, 32], "16"],
            "optimizer": ["adam", "adagrad"],
            "residual": [True, False],
        },
        KNOWN,
    )
    assert space == {
        "temperature": Range(0.1, 1.0, True),
        "dim": Range(8, 64),
        "hidden": Choices(("", "64,32", "16")),
        "optimizer": Choices(("adam", "adagrad")),
        "residual": Choices((True, False)),
    }
    assert isinstance(space["temperature"].high, float)


def test_read_space__what_it_writes_it_reads():
    table = {name: values for name, values in SPACE.items() if name in KNOWN}
    space = read_space(table, KNOWN)
    written = {name: part.to_json() for name, part in space.items()}
    assert read_space(tomllib.loads(toml(written)), KNOWN) == space


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "space: expected a table of options to search"),
        ([1], "space: expected a table"),
        ({"tempo": [1]}, "space: 'tempo' is no option that can be searched"),
        ({"seed": [1, 2]}, "space: 'seed' is no option that can be searched"),
        ({"metric": ["recall@5"]}, "space: 'metric' is no option"),
        ({"dim": []}, "space: dim: the list of values is empty"),
        ({"dim": [8, 0]}, "space: dim: expected an integer from 1 to 4,096, got 0"),
        ({"dim": [8, "8"]}, "space: dim: '8' is listed twice"),
        ({"hidden": ["64", [64]]}, "space: hidden: '64' is listed twice"),
        ({"dim": 8}, "space: dim: expected a list of values, or a table"),
        ({"dim": {"low": 8}}, "space: dim: expected a list of values, or a table"),
        ({"dim": {"low": 8, "high": 9, "step": 2}}, "space: dim: expected a list"),
        ({"dim": {"low": 8, "high": 9.5}}, "space: dim: high: expected an integer"),
        ({"dim": {"low": 9, "high": 8}}, "space: dim: low must be below high, got 9 and 8"),
        ({"dim": {"low": 8, "high": 9, "log": 1}}, "space: dim: log: expected true or false"),
        ({"alpha": {"low": 0, "high": 1, "log": True}}, "alpha: a logarithm needs low above 0"),
        ({"temperature": {"low": 0, "high": 1}}, "temperature: low: expected a number from"),
        ({"optimizer": {"low": 0, "high": 1}}, "space: optimizer: has no range"),
        ({"hidden": {"low": 1, "high": 4}}, "space: hidden: has no range"),
        ({"negatives": ["uniform:x"]}, "space: negatives: expected none, uniform:K"),
    ],
)
def test_read_space__refuses(table, message):
    with pytest.raises(DataError, match=re.escape(message)):
        read_space(table, KNOWN)


@given(st.floats(0.001, 10), st.floats(1.001, 1000), st.floats(0, 1))
def test_range__uses_four_digits_within_its_bounds(low, factor, at):
    part = Range(low, low * factor)
    value = min(low + at * (part.high - low), part.high)
    used = part.used(value)
    assert low <= used <= part.high
    assert used in (low, part.high) or float(f"{used:.4g}") == used
    assert used == pytest.approx(value, rel=1e-3)
    assert part.used(used) == used


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_default_space__has_what_the_objective_takes(objective):
    """Every value makes a recipe, and nothing that the objective ignores is searched."""
    base = options(objective=objective)
    space = default_space(base)
    assert ("temperature" in space) == (objective not in ("pointwise-squared", "pairwise-hinge"))
    assert {"learning_rate", "dim", "hidden", "negatives"} <= space.keys()
    for value in space["negatives"].values:
        made = base.but(negatives=value)
        assert made.make(read_recipe, made).negatives == value


def test_default_space__leaves_out_what_is_fixed():
    assert default_space(options()).keys() - default_space(options(dim=8)).keys() == {"dim"}
    everything = {name: KNOWN[name].default for name in SPACE if name in KNOWN}
    with pytest.raises(DataError, match="every option of the default space is fixed"):
        default_space(options(**everything | {"hidden": [], "negatives": "none"}))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_start__the_first_trial_is_the_default_of_every_objective(objective):
    base = options(objective=objective)
    space = default_space(base)
    now = start(space, base)
    assert now.keys() == space.keys()
    first = base.but(**{name: base.known[name].read(value) for name, value in now.items()})
    assert {name: first[name] for name in first if name != "negatives"} == {
        name: base[name] for name in base if name != "negatives"
    }
    recipes = [made.make(read_recipe, made) for made in (first, base)]
    assert recipes[0].to_json() == recipes[1].to_json()


def test_start__no_history_is_a_choice_and_the_first_one():
    space = read_space({"history": ["50", "none", "50:others"]}, KNOWN)
    assert start(space, options()) == {"history": "none"}
    assert start(space, options(history=50)) == {"history": "50"}


def test_start__is_what_the_options_have_now():
    space = default_space(options())
    now = start(space, options())
    assert now["temperature"] == KNOWN["temperature"].default
    assert now["hidden"] == "128"
    assert now["negatives"] == "none"
    assert now.keys() == SPACE.keys(), "the first trial takes every default"
    assert start({"dim": Range(8, 16), "residual": Choices((False,))}, options()) == {
        "residual": False
    }
