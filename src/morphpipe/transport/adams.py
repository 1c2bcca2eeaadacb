"""Adams–Bashforth methods on non-uniform grids.

Hairer, Nørsett and Wanner, "Solving Ordinary Differential Equations I", section III.5: the
derivatives at the last k times are interpolated by a polynomial, which is integrated over the
step.
"""

from collections.abc import Sequence

import numpy as np
from numpy.polynomial import Polynomial


def adams_bashforth_weights(times: Sequence[float], following: float) -> list[float]:
    """Weights w_j of the derivatives in the step x' = x + (following - times[0]) sum_j w_j v_j.

    w_j is the integral of the Lagrange polynomial of the j-th time over the step, divided by the
    length of the step. The weights sum to 1. On equal steps they are the classical 3/2, -1/2;
    23/12, -16/12, 5/12; 55/24, -59/24, 37/24, -9/24.

    Parameters
    ----------
    times
        Distinct times of the derivatives, latest first, as many as the order; the step starts at
        times[0].
    following
        End of the step.
    """
    # Relative to the start and length of the step, numbers are of order 1 on any grid.
    nodes = (np.asarray(times, np.float64) - times[0]) / (following - times[0])
    weights = []
    for number, node in enumerate(nodes):
        others = np.delete(nodes, number)
        polynomial = Polynomial([1.0])
        for other in others:
            polynomial *= Polynomial([-other, 1.0]) / (node - other)
        weights.append(float(polynomial.integ()(1.0)))
    return weights
