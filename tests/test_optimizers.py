"""Each rule against a loop, and the law that a step moves only what it used."""

import inspect
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from minitower.towers.layers import RowGradient
from minitower.towers.optimizers import SGD, Adagrad, Adam, RowWiseAdagrad, RowWiseAdam

EVERY = [
    lambda: SGD(0.1),
    lambda: Adagrad(0.1, start=0.1),
    lambda: RowWiseAdagrad(0.1),
    lambda: Adam(0.1),
    lambda: RowWiseAdam(0.1, count="global"),
]
steps = st.lists(
    st.tuples(
        st.sets(st.integers(0, 3), min_size=1).map(sorted),
        arrays(float, (4, 2), elements=st.floats(-3, 3)),
    ),
    min_size=1,
    max_size=6,
)


def run(optimizer, updates):
    """Apply updates to some rows of a table of ones."""
    parameters = {"t": np.ones((4, 2))}
    for rows, values in updates:
        optimizer.update(parameters, {"t": RowGradient(np.array(rows), values[rows])})
    return parameters["t"]


@given(steps)
def test_sgd__equals_naive(updates):
    table = np.ones((4, 2))
    for rows, values in updates:
        for r in rows:
            table[r] -= 0.1 * values[r]
    assert run(SGD(0.1), updates) == pytest.approx(table, abs=1e-13)


@pytest.mark.parametrize("per_row", [False, True])
@given(updates=steps, start=st.sampled_from([0.0, 0.1]))
def test_adagrad__equals_naive(per_row, updates, start):
    table, total = np.ones((4, 2)), np.full((4, 2), start)
    for rows, values in updates:
        for r in rows:
            total[r] += (values[r] ** 2).mean() if per_row else values[r] ** 2
            table[r] -= 0.1 * values[r] / (np.sqrt(total[r]) + 1e-10)
    make = RowWiseAdagrad if per_row else Adagrad
    assert run(make(0.1, start=start), updates) == pytest.approx(table, abs=1e-10)


@pytest.mark.parametrize("count", ["row", "global"])
@pytest.mark.parametrize("per_row", [False, True])
@given(updates=steps)
def test_adam__equals_naive(per_row, count, updates):
    table, first, second = np.ones((4, 2)), np.zeros((4, 2)), np.zeros((4, 2))
    times = np.zeros(4)
    for t, (rows, values) in enumerate(updates, start=1):
        for r in rows:
            times[r] += 1
            k = times[r] if count == "row" else t
            square = (values[r] ** 2).mean() if per_row else values[r] ** 2
            first[r] = 0.9 * first[r] + 0.1 * values[r]
            second[r] = 0.999 * second[r] + 0.001 * square
            root = np.sqrt(second[r] / (1 - 0.999**k))
            table[r] -= 0.1 * first[r] / (1 - 0.9**k) / (root + 1e-8)
    make = RowWiseAdam if per_row else Adam
    assert run(make(0.1, count=count), updates) == pytest.approx(table, abs=1e-9)


@pytest.mark.parametrize("make", EVERY)
@given(updates=steps)
def test_every_optimizer__leaves_other_rows_and_their_state_alone(make, updates):
    optimizer = make()
    before = run(optimizer, updates)
    kept = {name: array.copy() for name, array in optimizer.state.items()}
    parameters = {"t": before.copy()}
    optimizer.update(parameters, {"t": RowGradient(np.array([1]), np.ones((1, 2)))})
    others = [0, 2, 3]
    assert np.array_equal(parameters["t"][others], before[others])
    assert not np.array_equal(parameters["t"][1], before[1])
    for name, array in optimizer.state.items():
        assert np.array_equal(array[others], kept[name][others])


@pytest.mark.parametrize("make", EVERY)
@given(values=arrays(float, (4, 2), elements=st.floats(-3, 3)))
def test_every_optimizer__all_rows_are_the_dense_gradient(make, values):
    some, whole = {"t": np.ones((4, 2))}, {"t": np.ones((4, 2))}
    for parameters, gradient in (
        (some, RowGradient(np.arange(4), values)),
        (whole, values),
    ):
        optimizer = make()
        for _ in range(3):
            optimizer.update(parameters, {"t": gradient})
    assert np.array_equal(some["t"], whole["t"])


@pytest.mark.parametrize("make", EVERY)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_optimizer__keeps_the_precision_and_the_arrays(make, dtype):
    """In place: whoever holds the array sees it move."""
    held = np.ones((3, 2), dtype)
    parameters, optimizer = {"t": held, "b": np.ones(2, dtype)}, make()
    gradients = {"t": RowGradient(np.array([0]), np.ones((1, 2), dtype)), "b": np.ones(2, dtype)}
    optimizer.update(parameters, gradients)
    assert parameters["t"] is held
    assert held.dtype == parameters["b"].dtype == dtype
    assert (held[0] < 1).all()
    assert (parameters["b"] < 1).all()
    assert all(array.dtype == dtype for array in optimizer.state.values())


@given(arrays(float, 3, elements=st.floats(0.01, 9) | st.floats(-9, -0.01)))
def test_first_step_is_rate_times_sign(gradient):
    for make in (lambda: Adagrad(0.1), lambda: Adam(0.1)):
        parameters = {"b": np.zeros(3)}
        make().update(parameters, {"b": gradient})
        assert parameters["b"] == pytest.approx(-0.1 * np.sign(gradient), rel=1e-5)


@given(arrays(float, (1, 4), elements=st.floats(0.01, 9)))
def test_row_wise_adagrad__first_step_keeps_direction_and_has_length_rate_root_d(gradient):
    parameters = {"t": np.zeros((1, 4))}
    RowWiseAdagrad(0.1).update(parameters, {"t": gradient})
    step = -parameters["t"][0]
    assert np.linalg.norm(step) == pytest.approx(0.1 * math.sqrt(4))
    assert step / np.linalg.norm(step) == pytest.approx(gradient[0] / np.linalg.norm(gradient))


def test_adagrad__constant_gradient_steps_shrink_as_one_over_root_t():
    parameters, optimizer = {"b": np.zeros(1)}, Adagrad(0.1)
    for _ in range(50):
        optimizer.update(parameters, {"b": np.array([-7.0])})
    assert parameters["b"] == pytest.approx(0.1 * sum(1 / math.sqrt(t) for t in range(1, 51)))


@pytest.mark.parametrize("steps_before, about", [(0, 1.0), (9, 0.48), (999_999, 3.16)])
def test_adam__global_count_makes_a_late_row_leap(steps_before, about):
    """A row first touched at step t moves by rate (1-b1) sqrt(1-b2^t) / ((1-b1^t) sqrt(1-b2))."""
    t = steps_before + 1
    leap = 0.1 * math.sqrt(1 - 0.999**t) / ((1 - 0.9**t) * math.sqrt(0.001))
    assert leap == pytest.approx(about, abs=5e-3)
    for count, expected in (("global", leap), ("row", 1.0)):
        optimizer = Adam(0.1, count=count)
        optimizer.step = steps_before
        parameters = {"t": np.zeros((1, 1))}
        optimizer.update(parameters, {"t": RowGradient(np.array([0]), np.ones((1, 1)))})
        assert -parameters["t"][0, 0] == pytest.approx(0.1 * expected, rel=1e-6)


def test_schedule_is_asked_with_the_step():
    parameters, optimizer = {"b": np.zeros(1)}, SGD(lambda step: 10.0**-step)
    for _ in range(3):
        optimizer.update(parameters, {"b": np.ones(1)})
    assert parameters["b"] == pytest.approx(-1.11)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: SGD(0), "learning rate must be positive and finite"),
        (lambda: SGD(math.inf), "learning rate must be positive and finite"),
        (lambda: Adam(1e300), r"learning rate must be from 0 to 1e\+06, got 1e\+300"),
        (lambda: Adagrad(start=1e300), "below 1e38"),
        (lambda: Adagrad(epsilon=1e300), "below 1e38"),
        (lambda: Adam(epsilon=1e300), "below 1e38"),
        (lambda: Adam(0.1, betas=(1.0, 0.9)), "betas"),
        (lambda: Adam(0.1, count="rows"), "count"),
        (lambda: Adam(0.1, epsilon=0), "epsilon"),
        (lambda: Adagrad(0.1, start=-1), "start"),
    ],
)
def test_optimizers__refuse(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("make", EVERY)
@given(before=steps, after=steps)
def test_extended__goes_on_as_if_the_rows_had_always_been_there(make, before, after):
    def go_on(optimizer, parameters, updates):
        for rows, values in updates:
            gradient = RowGradient(np.array(rows), values[rows])
            optimizer.update(parameters, {"t": gradient, "w": values, "b": values[0]})

    def small(rows):
        return {"t": np.ones((rows, 2)), "w": np.ones((4, 2)), "b": np.ones(2)}

    early = [(rows, values) for rows, values in before if rows[-1] < 2] or [([0], np.ones((4, 2)))]
    expected, always = small(4), make()
    go_on(always, expected, early + after)
    table, optimizer = small(2), make()
    go_on(optimizer, table, early)
    larger = table | {"t": np.concatenate([table["t"], np.ones((2, 2))])}
    state = {key: kept.copy() for key, kept in optimizer.state.items()}
    extended = optimizer.extended(larger)
    go_on(extended, larger, after)
    for name in expected:
        np.testing.assert_array_equal(larger[name], expected[name])
    assert extended.step == always.step
    assert optimizer.step == len(early)
    assert all(np.array_equal(optimizer.state[key], kept) for key, kept in state.items())


def trained(optimizer):
    """Parameters, a table and a vector, after two steps that moved both; a third has not moved."""
    parameters = {name: np.ones(shape) for name, shape in (("t", (4, 2)), ("v", 3), ("w", 5))}
    for _ in range(2):
        rows = RowGradient(np.array([1, 3]), np.array([[1.0, -2.0], [0.5, 0.0]]))
        optimizer.update(parameters, {"t": rows, "v": np.array([1.0, -1.0, 0.0])})
    return parameters


@pytest.mark.parametrize("make", EVERY)
def test_check_state__what_training_leaves_is_accepted(make):
    optimizer = make()
    parameters = trained(optimizer)
    optimizer.check_state(parameters)
    optimizer.extended({**parameters, "t": np.ones((9, 2))}).check_state(
        {**parameters, "t": np.ones((9, 2))}
    )


DAMAGES = {
    "no parameter": (lambda state, key: state | {f"x{key}": state[key]}, "state of no parameter"),
    "no slot": (lambda state, key: state | {f"{key}s": state[key]}, "state of no parameter"),
    "no name": (lambda state, key: state | {"x": state[key]}, "state of no parameter"),
    "shape": (lambda state, key: state | {key: state[key][..., None]}, "expected float64"),
    "length": (lambda state, key: state | {key: state[key][:0]}, "expected float64"),
    "type": (lambda state, key: state | {key: state[key].astype("f4")}, "got float32"),
    "NaN": (lambda state, key: state | {key: state[key] * np.nan}, "not all numbers are finite"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("make", EVERY[1:])
def test_check_state__names_what_is_damaged(make, damage):
    change, message = DAMAGES[damage]
    optimizer = make()
    parameters = trained(optimizer)
    whole = optimizer.state
    for key in whole:
        optimizer.state = change(whole, key)
        with pytest.raises(ValueError, match=f"^'(x|x?{key}s?)'.*{message}"):
            optimizer.check_state(parameters)


@pytest.mark.parametrize("make", EVERY[1:])
def test_check_state__negative_numbers_and_missing_slots(make):
    optimizer = make()
    parameters = trained(optimizer)
    whole = optimizer.state
    for key in whole:
        optimizer.state = whole | {key: -whole[key] - 1}
        if key.endswith("/first"):
            optimizer.check_state(parameters)
            continue
        with pytest.raises(ValueError, match=f"'{key}': not all numbers are at least 0"):
            optimizer.check_state(parameters)
    alone = make()
    for key in whole:
        alone.state = {k: v for k, v in whole.items() if k != key}
        if len(alone.layout) == 1:
            alone.check_state(parameters)
        else:
            with pytest.raises(ValueError, match=f"'{key}' is missing from the state"):
                alone.check_state(parameters)


def test_check_state__sgd_keeps_nothing():
    optimizer = SGD(0.1)
    optimizer.state = {"t/square": np.ones((4, 2))}
    with pytest.raises(ValueError, match="'t/square' is the state of no parameter"):
        optimizer.check_state({"t": np.ones((4, 2))})


@pytest.mark.parametrize("make", EVERY)
def test_settings__are_every_argument_but_the_rate(make):
    optimizer = make()
    settings = json.loads(json.dumps(optimizer.settings))
    assert {"rate", *settings} == {"rate", *inspect.signature(type(optimizer)).parameters}
    again = type(optimizer)(0.1)
    again.configure(settings)
    assert again.settings == optimizer.settings
