import itertools

import pytest
import torch

from morphpipe.config.sampling import DIFFUSION, FLOW, Guidance, Sampling
from morphpipe.core.errors import ConfigError
from morphpipe.transport.diffusion import denoise
from morphpipe.transport.guidance import guided
from morphpipe.transport.samplers import euler_maruyama
from morphpipe.transport.solve import invert_flow, sample_flow
from morphpipe.transport.times import evaluations, time_grid


def counted(settings, path):
    """How often networks are evaluated, counted by networks that do nothing else."""
    calls = []

    def network(x, time):
        calls.append(time[0].item())
        return torch.zeros_like(x)

    guidance = settings.guidance
    field = guided(
        network,
        lambda x, time: network(x, time),
        scale=guidance.scale,
        interval=(guidance.low, guidance.high) if guidance.limited else None,
    )
    noise = lambda step: torch.zeros(2, 3)  # noqa: E731
    if path is DIFFUSION:
        sampler, steps = settings.sampler_for(path), settings.steps_for(path)
        denoise(field, noise, sampler=sampler, steps=steps)
    else:
        sample_flow(field, noise, settings)
    return len(calls)


@pytest.mark.parametrize(
    ("path", "sampler"), [(path, name) for path in (FLOW, DIFFUSION) for name in path.samplers]
)
@pytest.mark.parametrize("guidance", [Guidance(), Guidance(scale=2.0)], ids=["plain", "guided"])
def test_evaluations_are_those_that_are_made(path, sampler, guidance):
    for steps in (2, 10):
        settings = Sampling(sampler=sampler, steps=steps, guidance=guidance)
        assert evaluations(settings, path) == counted(settings, path)


@pytest.mark.parametrize("sampler", FLOW.samplers)
def test_guide_is_counted_inside_its_interval_alone(sampler):
    guidance = Guidance(scale=2.0, low=0.2, high=0.7)
    for steps in (5, 10, 20):
        settings = Sampling(sampler=sampler, steps=steps, guidance=guidance)
        found = evaluations(settings, FLOW)
        assert found == counted(settings, FLOW)
        plain = evaluations(settings.model_copy(update={"guidance": Guidance()}), FLOW)
        assert plain < found < 2 * plain


def test_costs_by_hand():
    cost = lambda **settings: evaluations(Sampling(**settings), FLOW)  # noqa: E731
    assert cost() == 12
    assert cost(sampler="euler-maruyama") == 50
    assert cost(sampler="heun", steps=6) == 11
    assert cost(sampler="heun", steps=6, last_correction=True) == 12
    assert cost(sampler="adams4", steps=6, guidance={"scale": 2.0}) == 12
    # Of the times 1, 0.75, 0.5, 0.25 the ends of the interval count as inside.
    inside = {"scale": 2.0, "low": 0.25, "high": 0.5}
    assert cost(sampler="euler", steps=4, guidance=inside) == 6


def test_grids_are_those_that_are_named():
    base = {"sampler": "euler", "steps": 2}
    assert time_grid(Sampling(**base), 2) == [1, 0.5, 0]
    assert time_grid(Sampling(**base, grid="shifted"), 2) == [1, 0.75, 0]
    assert time_grid(Sampling(**base, grid="shifted", shift=1 / 3), 2) == pytest.approx(
        [1, 0.25, 0]
    )
    assert time_grid(Sampling(**base, grid="edm"), 2)[1] == pytest.approx(0.002 / 1.002)


def test_euler_maruyama_is_repas_sampler():
    noise = torch.randn(50, 2, 3, generator=torch.Generator().manual_seed(0)).__getitem__
    velocity = lambda x, t: torch.sin(x) + t[:, None]  # noqa: E731
    found = sample_flow(velocity, noise, Sampling(sampler="euler-maruyama"))
    assert torch.equal(found, euler_maruyama(velocity, noise))


REVERSIBLE = {"sampler": FLOW.reversible, "last_correction": True}


def data_of(gaussian):
    noise = torch.randn(64, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    # The flow keeps quantiles: x_0 = m + s x_1.
    return gaussian.mean + gaussian.deviation * noise, noise


@pytest.mark.parametrize("grid", ["uniform", "shifted", "edm"])
def test_data_lead_back_to_the_noise_that_they_came_from(gaussian, grid):
    data, noise = data_of(gaussian)
    errors = [
        (invert_flow(gaussian.velocity, data, Sampling(**REVERSIBLE, steps=n, grid=grid)) - noise)
        .abs().max().item()
        for n in (40, 80)
    ]  # fmt: skip
    assert errors[1] < 0.01
    # The first step of the grid edm stays as long as it is, and so does its small error.
    assert errors[0] / errors[1] > (1.5 if grid == "edm" else 3.5)


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("heun", 2)])
def test_there_and_back_again_errs_by_the_order_of_the_method(gaussian, method, order):
    data, _ = data_of(gaussian)
    errors = []
    for steps in (20, 40, 80):
        settings = Sampling(sampler=method, steps=steps, last_correction=method == "heun")
        noise = invert_flow(gaussian.velocity, data, settings)
        back = sample_flow(gaussian.velocity, lambda _, x=noise: x, settings)
        errors.append((back - data).abs().max().item())
    for longer, shorter in itertools.pairwise(errors):
        assert longer / shorter > 0.85 * 2**order
    assert errors[-1] < (0.3 if order == 1 else 0.005)


@pytest.mark.parametrize("sampler", ["euler-maruyama", "dpm++", "unipc"])
def test_samplers_that_cannot_be_gone_back_are_named(gaussian, sampler):
    with pytest.raises(ConfigError, match="cannot be gone back"):
        invert_flow(gaussian.velocity, data_of(gaussian)[0], Sampling(sampler=sampler))
