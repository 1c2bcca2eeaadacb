import pytest

from morphpipe.config.sampling import SAMPLERS, Sampling, is_flow


def test_samplers_suit_their_kinds_of_generators():
    for kind, names in SAMPLERS.items():
        assert Sampling().sampler_for(kind) in names
        for name in names:
            assert Sampling(sampler=name).unsuited_to(kind) is None
    assert is_flow("sit")
    assert not is_flow("unet")


@pytest.mark.parametrize("sampler", sorted({*SAMPLERS["sit"]} - {"euler-maruyama"}))
def test_solvers_of_the_ode_take_any_grid(sampler):
    for grid in ({"grid": "shifted", "shift": 0.5}, {"grid": "shifted"}, {"grid": "edm"}):
        assert Sampling(sampler=sampler, **grid).unsuited_to("sit") is None


@pytest.mark.parametrize(
    ("settings", "kind", "key"),
    [
        ({"sampler": "heun"}, "unet", "sampling.sampler"),
        ({"sampler": "ddpm"}, "sit", "sampling.sampler"),
        ({"grid": "shifted"}, "unet", "sampling.grid"),
        ({"sampler": "dpm++", "grid": "edm"}, "unet", "sampling.grid"),
        ({"last_correction": True}, "unet", "sampling.last_correction"),
        ({"guidance": {"scale": 2.0, "high": 0.7}}, "unet", "sampling.guidance"),
        ({"sampler": "euler-maruyama", "grid": "edm"}, "sit", "sampling.grid"),
        ({"sampler": "euler", "last_correction": True}, "sit", "sampling.last_correction"),
    ],
)
def test_settings_without_effect_are_named(settings, kind, key):
    said = Sampling.model_validate(settings).unsuited_to(kind)
    assert said is not None
    assert said.startswith(key)


def test_defaults_of_a_flow_and_of_a_diffusion():
    chosen = lambda kind, **given: (  # noqa: E731
        Sampling(**given).sampler_for(kind),
        Sampling(**given).steps_for(kind),
    )
    for flow in ("sit", "flow_unet"):
        assert chosen(flow) == ("adams2", 12)
        assert chosen(flow, sampler="heun") == ("heun", 12)
        assert chosen(flow, sampler="euler-maruyama") == ("euler-maruyama", 50)
        assert chosen(flow, steps=7) == ("adams2", 7)
    assert chosen("unet") == ("ddpm", 50)
    assert chosen("unet", sampler="euler") == ("euler", 50)


def test_settings_survive_the_way_to_a_job():
    for settings in (Sampling(), Sampling(sampler="heun", grid="shifted", last_correction=True)):
        assert Sampling.model_validate_json(settings.model_dump_json()) == settings
