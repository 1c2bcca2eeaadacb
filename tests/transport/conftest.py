from dataclasses import dataclass

import pytest
import torch
from torch import Tensor


@dataclass
class Gaussian:
    """Data N(mean, diag(deviation^2)), whose path to noise is known in closed form."""

    mean: Tensor
    deviation: Tensor

    def moments(self, time: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of x_t, [N, 3] each."""
        t = time[:, None]
        return (1 - t) * self.mean, (1 - t) ** 2 * self.deviation**2 + t**2

    def velocity(self, x: Tensor, time: Tensor) -> Tensor:
        """E[eps - x | x_t] by the regression of one Gaussian on another."""
        t = time[:, None]
        mean, variance = self.moments(time)
        slope = (t - (1 - t) * self.deviation**2) / variance
        return -self.mean + slope * (x - mean)


@pytest.fixture
def gaussian() -> Gaussian:
    return Gaussian(
        torch.tensor([0.5, -2.0, 1.0], dtype=torch.float64),
        torch.tensor([0.3, 1.0, 1.7], dtype=torch.float64),
    )
