import pytest
import torch

from morphpipe.core.errors import ConfigError
from morphpipe.transport.guidance import guided
from morphpipe.transport.interpolant import score_from_velocity


class Counted:
    def __init__(self, function):
        self.function, self.calls = function, 0

    def __call__(self, x, t):
        self.calls += 1
        return self.function(x, t)


def test_scale_one_is_off():
    velocity = lambda x, t: x  # noqa: E731
    null = Counted(lambda x, t: -x)
    assert guided(velocity, null, scale=1.0) is velocity


def test_inside_the_interval_only():
    null = Counted(lambda x, t: torch.ones_like(x))
    velocity = guided(lambda x, t: 3 * torch.ones_like(x), null, scale=2.0, interval=(0.2, 0.6))
    x = torch.zeros(4, 2)
    result = velocity(x, torch.tensor([0.1, 0.2, 0.6, 0.7]))
    assert result[:, 0].tolist() == [3, 5, 5, 3]
    assert null.calls == 1
    assert velocity(x, torch.full((4,), 0.9))[0, 0] == 3
    assert null.calls == 1


def test_guiding_the_velocity_is_guiding_the_drift():
    x, a, b = torch.randn(3, 5, 4, dtype=torch.float64)
    t = torch.linspace(0.1, 1, 5, dtype=torch.float64)

    def drift(v):
        return v - t[:, None] * score_from_velocity(x, v, t)

    velocity = guided(lambda x, t: a, lambda x, t: b, scale=1.7)(x, t)
    torch.testing.assert_close(drift(velocity), drift(b) + 1.7 * (drift(a) - drift(b)))


def test_interval_outside_of_time_is_an_error():
    with pytest.raises(ConfigError, match="interval"):
        guided(lambda x, t: x, lambda x, t: x, scale=2.0, interval=(0.8, 0.2))


def test_a_weaker_guide_is_extrapolated_from(gaussian):
    """Karras et al. 2024, equation 3: the guide at scale 0, the generator at 1, beyond it above."""
    x, t = torch.randn(5, 3, dtype=torch.float64), torch.full((5,), 0.6, dtype=torch.float64)
    weaker = lambda x, t: 0.7 * gaussian.velocity(x, t) + 0.1  # noqa: E731
    own, guide = gaussian.velocity(x, t), weaker(x, t)
    for scale in (0.0, 0.5, 2.0):
        found = guided(gaussian.velocity, weaker, scale=scale)(x, t)
        torch.testing.assert_close(found, (1 - scale) * guide + scale * own)
    torch.testing.assert_close(
        guided(gaussian.velocity, weaker, scale=2.0)(x, t) - own, own - guide
    )
