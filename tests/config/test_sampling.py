import pytest

from morphpipe.config.sampling import ADVERSARIAL, DIFFUSION, FLOW, Sampling
from morphpipe.transport.times import evaluations


@pytest.mark.parametrize("path", [FLOW, DIFFUSION, ADVERSARIAL])
def test_samplers_suit_their_generators(path):
    assert Sampling().sampler_for(path) in path.samplers
    for name in path.samplers:
        assert Sampling(sampler=name).unsuited_to(path) is None


@pytest.mark.parametrize("sampler", sorted({*FLOW.samplers} - {"euler-maruyama"}))
def test_solvers_of_the_ode_take_any_grid(sampler):
    for grid in ({"grid": "shifted", "shift": 0.5}, {"grid": "shifted"}, {"grid": "edm"}):
        assert Sampling(sampler=sampler, **grid).unsuited_to(FLOW) is None


@pytest.mark.parametrize(
    ("settings", "path", "key"),
    [
        ({"sampler": "heun"}, DIFFUSION, "sampling.sampler"),
        ({"sampler": "ddpm"}, FLOW, "sampling.sampler"),
        ({"sampler": "one-pass"}, FLOW, "sampling.sampler"),
        ({"sampler": "heun"}, ADVERSARIAL, "sampling.sampler"),
        ({"steps": 3}, ADVERSARIAL, "sampling.steps"),
        ({"grid": "edm"}, ADVERSARIAL, "sampling.grid"),
        ({"guidance": {"scale": 2.0}}, ADVERSARIAL, "sampling.guidance"),
        ({"last_correction": True}, ADVERSARIAL, "sampling.last_correction"),
        ({"grid": "shifted"}, DIFFUSION, "sampling.grid"),
        ({"sampler": "dpm++", "grid": "edm"}, DIFFUSION, "sampling.grid"),
        ({"last_correction": True}, DIFFUSION, "sampling.last_correction"),
        ({"guidance": {"scale": 2.0, "high": 0.7}}, DIFFUSION, "sampling.guidance"),
        ({"sampler": "euler-maruyama", "grid": "edm"}, FLOW, "sampling.grid"),
        ({"sampler": "euler", "last_correction": True}, FLOW, "sampling.last_correction"),
    ],
)
def test_settings_without_effect_are_named(settings, path, key):
    said = Sampling.model_validate(settings).unsuited_to(path)
    assert said is not None
    assert said.startswith(key)


def test_defaults_of_a_flow_and_of_a_diffusion():
    chosen = lambda path, **given: (  # noqa: E731
        Sampling(**given).sampler_for(path),
        Sampling(**given).steps_for(path),
    )
    assert chosen(FLOW) == ("adams2", 12)
    assert chosen(FLOW, sampler="heun") == ("heun", 12)
    assert chosen(FLOW, sampler="euler-maruyama") == ("euler-maruyama", 50)
    assert chosen(FLOW, steps=7) == ("adams2", 7)
    assert chosen(DIFFUSION) == ("ddpm", 50)
    assert chosen(DIFFUSION, sampler="euler") == ("euler", 50)
    assert chosen(ADVERSARIAL) == ("one-pass", 1)
    assert evaluations(Sampling(), ADVERSARIAL) == 1


def test_settings_survive_the_way_to_a_job():
    for settings in (Sampling(), Sampling(sampler="heun", grid="shifted", last_correction=True)):
        assert Sampling.model_validate_json(settings.model_dump_json()) == settings
