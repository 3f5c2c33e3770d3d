"""Options from flags and files, and what is made of them."""

from typing import Annotated

import pytest

from minitower.data import DataError
from minitower.data.option_values import read_options, written
from minitower.data.options import Option, check_options, declared


class Ball:
    def __init__(
        self,
        radius: Annotated[float, Option("radius", above=0)] = 1.0,
        color: Annotated[str | None, Option("color")] = None,
        weight: float = 2.0,
    ) -> None:
        if color == "plaid":
            raise ValueError("no ball is plaid")
        self.radius, self.color, self.weight = radius, color, weight
        check_options(self)


KNOWN = {**declared(Ball), "seed": Option("seed", 0, type=int, default=0)}


def test_read_options__flags_win_over_the_first_file_that_says_it():
    files = [("job", {"radius": 3, "color": "red"}), ("notes", {"color": "blue", "seed": 5})]
    options = read_options(KNOWN, {"radius": "2", "other": "?"}, *files)
    assert dict(options) == {"radius": 2.0, "color": "red", "seed": 5}
    assert dict(read_options(KNOWN, {})) == {"radius": 1.0, "color": None, "seed": 0}


@pytest.mark.parametrize("typed, table, message", [
    ({"radius": "0"}, {}, "--radius: expected a number above 0, got '0'"),
    ({}, {"radius": "x"}, "job.toml: radius: expected a number above 0, got 'x'"),
    ({}, {"raduis": 1}, "job.toml: unknown key 'raduis'; did you mean 'radius'? known: radius, "),
    ({}, {"mass": 1}, "job.toml: unknown key 'mass'; known: radius, color, seed"),
])  # fmt: skip
def test_read_options__names_the_place(typed, table, message):
    with pytest.raises(DataError) as error:
        read_options(KNOWN, typed, ("job.toml", table))
    assert str(error.value).startswith(message)


def test_make__takes_its_own_options():
    options = read_options(KNOWN, {"radius": "2"})
    ball = options.make(Ball, weight=9.0)
    assert (ball.radius, ball.color, ball.weight) == (2.0, None, 9.0)
    assert options.but(color="red").make(Ball).color == "red"
    assert options.make(Ball, color="blue").color == "blue"
    with pytest.raises(DataError, match="no ball is plaid"):
        options.but(color="plaid").make(Ball)


def test_written__is_what_makes_it_again():
    ball = Ball(2.5, "red")
    again = read_options(KNOWN, {}, ("notes", written(ball))).make(Ball)
    assert (again.radius, again.color) == (2.5, "red")
    assert written(Ball()) == {"radius": 1.0}


def test_check_options__names_the_parameter():
    with pytest.raises(ValueError, match=r"^radius must be a number above 0, got -1$"):
        Ball(-1)
