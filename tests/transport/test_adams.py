import numpy as np
import pytest
from scipy.interpolate import lagrange

from morphpipe.transport.adams import adams_bashforth_weights

# Hairer, Nørsett and Wanner, table III.1.1.
CLASSICAL = {
    1: [1],
    2: [3 / 2, -1 / 2],
    3: [23 / 12, -16 / 12, 5 / 12],
    4: [55 / 24, -59 / 24, 37 / 24, -9 / 24],
}


@pytest.mark.parametrize("order", CLASSICAL)
@pytest.mark.parametrize("step", [0.1, -0.02])
def test_equal_steps_have_the_classical_weights(order, step):
    times = [0.7 - step * k for k in range(order)]
    weights = adams_bashforth_weights(times, 0.7 + step)
    assert weights == pytest.approx(CLASSICAL[order], abs=1e-12)


@pytest.mark.parametrize("order", CLASSICAL)
def test_any_steps_integrate_polynomials_exactly(order):
    times, following = [0.3, 0.5, 0.93, 1.0][:order], 0.05
    weights = adams_bashforth_weights(times, following)
    for power in range(order):
        found = (following - 0.3) * np.dot(weights, np.array(times) ** power)
        exact = (following ** (power + 1) - 0.3 ** (power + 1)) / (power + 1)
        assert found == pytest.approx(exact, abs=1e-13)


def test_weights_are_those_of_scipys_interpolating_polynomial():
    times, following, values = [0.2, 0.6, 0.7, 1.0], 0.0, np.array([1.0, -2.0, 0.5, 3.0])
    integral = lagrange(times, values).integ()
    exact = integral(following) - integral(0.2)
    found = (following - 0.2) * np.dot(adams_bashforth_weights(times, following), values)
    assert found == pytest.approx(exact)


def test_steps_of_very_unequal_length_keep_their_precision():
    times, following = [0.002, 0.03, 0.4, 1.0], 0.0
    weights = adams_bashforth_weights(times, following)
    assert sum(weights) == pytest.approx(1, abs=1e-12)
    assert np.dot(weights, np.array(times) ** 3) * -0.002 == pytest.approx(-(0.002**4) / 4)
