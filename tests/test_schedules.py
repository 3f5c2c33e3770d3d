"""Schedules: their ends, their means, and that an epoch keeps its rates."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.towers.schedules import EpochSchedule, cosine_decay, warmup

decays = st.sampled_from(["linear", "cosine"])
finals = st.floats(0.01, 1)


def shares(schedule, steps, epochs=None):
    """(epochs, steps) the share of the rate in each step."""
    numbers = range(1, (epochs or schedule.epochs) + 1)
    each = [[schedule.of_step(e, s, steps) for s in range(1, steps + 1)] for e in numbers]
    return np.array(each)


def test_schedules__ends_and_middles():
    assert [cosine_decay(2, 4, floor=0.5)(t) for t in (0, 2, 4, 8)] == pytest.approx([2, 1.5, 1, 1])
    assert warmup(2.0, 0)(0) == 2.0


@given(decays, finals, st.integers(1, 9), st.integers(1, 30))
def test_epoch_schedule__mean_of_a_decay_is_the_middle_of_its_ends(decay, final, epochs, steps):
    """Exactly, however many steps an epoch has: each curve is symmetric about its middle."""
    schedule = EpochSchedule(decay, epochs, final=final)
    assert shares(schedule, steps).mean() == pytest.approx((1 + final) / 2, abs=1e-12)


@given(st.integers(1, 5), st.integers(1, 30))
def test_epoch_schedule__mean_of_the_warmup_is_half(epochs, steps):
    schedule = EpochSchedule(epochs=epochs, warmup=epochs)
    rising = shares(schedule, steps, epochs)
    assert rising.mean() == pytest.approx(0.5, abs=1e-12)
    assert rising.min() > 0, "no step is lost at a rate of 0"
    assert schedule.of_step(epochs + 1, 1, steps) == 1.0


@given(decays, finals, st.integers(2, 9), st.floats(0, 1.9), st.integers(1, 20))
def test_epoch_schedule__rises_then_falls_to_its_last_share(decay, final, epochs, rise, steps):
    schedule = EpochSchedule(decay, epochs, rise, final)
    flat = shares(schedule, steps).ravel()
    top = flat.argmax()
    assert (np.diff(flat[: top + 1]) >= 0).all()
    assert (np.diff(flat[top:]) <= 1e-15).all()
    assert ((flat > 0) & (flat <= 1)).all()
    assert schedule(rise) == 1.0
    assert schedule(epochs) == schedule(epochs + 5) == pytest.approx(final, abs=1e-15)


@given(st.integers(1, 9), finals, st.integers(1, 20), st.integers(1, 20))
def test_epoch_schedule__an_epoch_keeps_its_rates_if_it_has_more_steps(epochs, final, few, many):
    """Of a linear decay, the mean of each epoch exactly."""
    schedule = EpochSchedule("linear", epochs, final=final)
    one, other = (shares(schedule, steps).mean(axis=1) for steps in (few, many))
    assert one == pytest.approx(other, abs=1e-12)


def test_epoch_schedule__constant_changes_nothing():
    assert EpochSchedule().is_constant
    assert not EpochSchedule(warmup=1).is_constant
    assert not EpochSchedule("linear").is_constant
    assert (shares(EpochSchedule(epochs=3), 7) == 1.0).all()


@pytest.mark.parametrize("options, message", [
    ({"decay": "step"}, "decay"),
    ({"epochs": 0}, "epochs"),
    ({"warmup": -1}, "warmup"),
    ({"final": 0}, "final"),
    ({"final": 1.5}, "final"),
    ({"decay": "cosine", "epochs": 3, "warmup": 3}, "warmup_epochs must be below the 3 epochs"),
])  # fmt: skip
def test_epoch_schedule__refuses(options, message):
    with pytest.raises(ValueError, match=message):
        EpochSchedule(**options)


@pytest.mark.parametrize("make", [warmup, cosine_decay])
@pytest.mark.parametrize("rate", [0, -1, 1.1e6, np.inf])
def test_rates_of_schedules_have_the_domain_of_all_rates(make, rate):
    with pytest.raises(ValueError, match=r"^rate must be"):
        make(rate, 10)
