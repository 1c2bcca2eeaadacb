import zipfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from diffusers.models import AutoencoderKL

from morphpipe.autoencoders.autoencoder import KLAutoencoder
from morphpipe.autoencoders.load import load_autoencoder
from morphpipe.autoencoders.training import save_autoencoder
from morphpipe.config.conditions import ConstantCondition, RandomCondition
from morphpipe.config.experiments import Training
from morphpipe.config.fidelity import Fidelity
from morphpipe.config.generators import FlowUNet, SiT, UNet
from morphpipe.config.sampling import FLOW, Guidance, Sampling
from morphpipe.core.errors import ConfigError, DataError, StorageError
from morphpipe.generators.registry import build_generator
from morphpipe.perturbations.condition_table import build
from morphpipe.perturbations.vocabulary import Vocabulary
from morphpipe.sampling import generate as module
from morphpipe.sampling.generate import (
    generate,
    generated_manifest,
    manifest_without_data,
    sample_latents,
)
from morphpipe.sampling.load import (
    TrainedGenerator,
    load_generator,
    load_guide,
    load_with_autoencoder,
)
from morphpipe.sampling.plan import sampling_plan
from morphpipe.tables.archive import read_fields
from morphpipe.tables.checkpoint_state import CheckpointState
from morphpipe.tables.field_reader import read_images
from morphpipe.training.checkpoint import save_checkpoint
from morphpipe.training.ema import ExponentialMovingAverage
from morphpipe.training.settings import TrainingSettings

VOCABULARY = Vocabulary(("control", "p1"), ("HUVEC", "U2OS"), ("none", "sirna"), ("control",))
SHAPE = (4, 8, 8)
SETTINGS = Sampling(steps=4, batch_size=3, per_condition=1)


def _settings(precision="fp32"):
    return TrainingSettings(
        "tiny",
        5,
        "channels",
        "small",
        ("DNA", "ER"),
        SiT(kind="sit", architecture="SiT-test/2"),
        Training(steps=8, slices=1, precision=precision),
    )


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(0)
    network = build_generator(_settings().generator, VOCABULARY, SHAPE)
    with torch.no_grad():
        # adaLN-Zero begins with a velocity of zero, whatever the condition.
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return TrainedGenerator(network.eval(), VOCABULARY, _settings(), 8, SHAPE, "a" * 64)


@pytest.fixture(scope="module")
def autoencoder():
    torch.manual_seed(1)
    model = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8),
        latent_channels=2,
        norm_num_groups=4,
    ).eval()
    return KLAutoencoder(model, "channels", torch.zeros(2), torch.ones(2))


@pytest.fixture
def plan():
    return pd.DataFrame(
        {
            "sample_index": np.arange(7),
            "image": np.arange(7),
            "index_in_condition": [0, 0, 1, 0, 0, 1, 1],
            "concentration": np.nan,
            "cell_type": ["HUVEC", "U2OS"] * 3 + ["HUVEC"],
            "perturbation": ["control"] * 3 + ["p1"] * 4,
            "perturbation_kind": ["none"] * 3 + ["sirna"] * 4,
            "control": ["negative"] * 3 + ["none"] * 4,
        }
    )


@pytest.fixture
def run(trained, autoencoder, plan, make_manifest, tmp_path):
    def run(
        name="a.zip", *, generator=trained, autoencoder=autoencoder, plan=plan, seed=0, **options
    ):
        options = {"settings": SETTINGS} | options
        generate(
            generator,
            autoencoder,
            plan,
            options.pop("settings"),
            dataset="screen",
            sampling_seed=seed,
            manifest=generated_manifest(make_manifest(), generator.settings),
            path=tmp_path / name,
            work=tmp_path / "work",
            **options,
        )
        return tmp_path / name

    return run


def _break_after(monkeypatch, batches):
    """Let decoding fail after so many batches; gives the list of the batches' sizes."""
    real, decoded = KLAutoencoder.decode, []

    def decode(self, latents, channels):
        if len(decoded) == batches:
            raise KeyboardInterrupt
        decoded.append(len(latents))
        return real(self, latents, channels)

    monkeypatch.setattr(KLAutoencoder, "decode", decode)
    return decoded


def test_samples_of_a_convolutional_flow_depend_on_condition_and_index_alone(plan):
    settings = replace(
        _settings(), generator=FlowUNet(kind="flow_unet", architecture="FlowUNet-test")
    )
    torch.manual_seed(0)
    network = build_generator(settings.generator, VOCABULARY, SHAPE)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    generator = TrainedGenerator(network.eval(), VOCABULARY, settings, 8, SHAPE, "a" * 64)
    guided = Sampling(sampler="heun", steps=3, guidance=Guidance(scale=1.5))
    together = sample_latents(generator, plan, guided, 0)
    one_by_one = [sample_latents(generator, plan.iloc[[i]], guided, 0) for i in range(len(plan))]
    torch.testing.assert_close(together, torch.cat(one_by_one), atol=1e-4, rtol=1e-4)
    other = sample_latents(generator, plan.assign(perturbation="p1"), guided, 0)
    assert not torch.allclose(together[:3], other[:3], atol=1e-2)


def test_archive_is_that_of_real_images(run, plan, tmp_path):
    fields = read_fields(run())
    keys = fields.keys()
    assert keys["field_id"].tolist() == [f"tiny_t5_s0_{i:07d}" for i in range(7)]
    assert set(keys["origin"]) == {"generated"}
    for column in ("cell_type", "perturbation", "control", "perturbation_kind", "sample_index"):
        assert keys[column].tolist() == plan[column].tolist()
    assert set(keys["training_seed"]) == {5}
    assert keys[["batch", "plate", "well", "site"]].isna().all().all()
    assert read_images(fields).shape == (7, 2, 16, 16)
    assert "experiment tiny" in fields.manifest.source
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["lock"]


def test_samples_do_not_depend_on_the_batch(trained, plan):
    whole = sample_latents(trained, plan, SETTINGS, 3)
    assert whole.shape == (7, *SHAPE)
    for size in (1, 2, 5):
        parts = [
            sample_latents(trained, plan.iloc[i : i + size], SETTINGS, 3) for i in range(0, 7, size)
        ]
        torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-4, atol=1e-5)
    assert torch.equal(sample_latents(trained, plan, SETTINGS, 3), whole)


@pytest.mark.parametrize("sampler", FLOW.samplers)
def test_samples_follow_seed_index_and_condition(trained, plan, sampler):
    settings = SETTINGS.model_copy(update={"sampler": sampler})
    one = sample_latents(trained, plan, settings, 0)
    assert torch.isfinite(one).all()
    assert not torch.allclose(sample_latents(trained, plan, settings, 1), one)
    assert not torch.allclose(one[0], one[2])
    other = plan.assign(perturbation="p1")
    changed = sample_latents(trained, other, settings, 0)
    assert not torch.allclose(changed[0], one[0])
    torch.testing.assert_close(changed[6], one[6])


@pytest.fixture(scope="module")
def told():
    """A U-Net that is told the perturbations by embeddings, one of a perturbation unseen."""
    fields = pd.DataFrame(
        {
            "perturbation": ["control", "p1"],
            "control": ["negative", "none"],
            "concentration": np.nan,
            "gene": None,
            "smiles": None,
        }
    )
    condition = RandomCondition(kind="random", width=6, extra=["unseen"])
    conditions = build(fields, condition, None)
    settings = replace(
        _settings(),
        image_mode="rgb",
        generator=UNet(kind="unet", architecture="SD-test", condition="codes"),
    )
    torch.manual_seed(0)
    network = build_generator(settings.generator, VOCABULARY, SHAPE, condition_width=6)
    return TrainedGenerator(network.eval(), VOCABULARY, settings, 8, SHAPE, "a" * 64, conditions)


@pytest.mark.parametrize("sampler", [None, "ddim", "dpm++", "euler", "pndm"])
def test_unet_samples_follow_seed_index_and_embedding(told, plan, sampler):
    settings = SETTINGS.model_copy(update={"sampler": sampler})
    one = sample_latents(told, plan, settings, 0)
    assert torch.isfinite(one).all()
    parts = [sample_latents(told, plan.iloc[i : i + 3], settings, 0) for i in range(0, 7, 3)]
    torch.testing.assert_close(torch.cat(parts), one, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(sample_latents(told, plan, settings, 1), one)
    unseen = sample_latents(told, plan.assign(perturbation="unseen"), settings, 0)
    assert not torch.allclose(unseen, one)


def test_what_has_no_embedding_is_not_generated(told, plan):
    with pytest.raises(DataError, match=r"p9.*not in the table"):
        sample_latents(told, plan.assign(perturbation="p9"), SETTINGS, 0)


def test_released_code_begins_the_noise_anew_for_every_perturbation(trained, plan):
    settings = replace(trained.settings, fidelity=Fidelity(sampling_noise="released_code"))
    same = plan.assign(perturbation="p1", cell_type="HUVEC")
    latents = sample_latents(replace(trained, settings=settings), same, SETTINGS, 0)
    # index_in_condition is 0, 0, 1, 0, 0, 1, 1: equal noise and condition give equal latents.
    torch.testing.assert_close(latents[0], latents[3], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(latents[0], latents[2])
    own = sample_latents(trained, same, SETTINGS, 0)
    assert not torch.allclose(own[0], own[3])


def test_one_set_is_generated_once_for_all_perturbations(told, run, tmp_path):
    fields = pd.DataFrame(
        {
            "perturbation": ["control", "p1", "unseen"],
            "control": ["negative", "none", "none"],
            "perturbation_kind": ["none", "sirna", "sirna"],
            "cell_type": "HUVEC",
            "concentration": np.nan,
            "gene": None,
            "smiles": None,
        }
    )
    constant = build(fields, ConstantCondition(kind="constant", width=6), None)
    planes = replace(told.settings, image_mode="channels")
    told = replace(told, settings=planes)
    baseline = replace(told, conditions=constant)
    settings = SETTINGS.model_copy(update={"one_set": True, "per_condition": 2, "batch_size": 2})
    plan = sampling_plan(fields, settings, constant)
    found = read_fields(run(generator=baseline, plan=plan, settings=settings))
    keys, images = found.keys(), read_images(found)
    assert keys["perturbation"].tolist() == ["control", "p1", "unseen"] * 2
    assert keys["field_id"].is_unique
    for first in (0, 3):
        assert (images[first : first + 3] == images[first]).all()
    assert (images[0] != images[3]).any()
    # Each is stored once.
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert len(archive.namelist()) == 2 * len(found.manifest.channels) + 1
    with pytest.raises(ConfigError, match="condition differs between perturbations"):
        run(generator=told, plan=plan, settings=settings)


def test_guidance_of_one_is_off(trained, plan):
    plain = sample_latents(trained, plan, SETTINGS, 0)
    for scale, same in ((1.0, True), (3.0, False)):
        settings = SETTINGS.model_copy(update={"guidance": Guidance(scale=scale)})
        assert torch.allclose(sample_latents(trained, plan, settings, 0), plain) == same


@pytest.fixture(scope="module")
def weaker(trained):
    """An earlier checkpoint of the same training."""
    torch.manual_seed(1)
    network = build_generator(_settings().generator, VOCABULARY, SHAPE)
    weights = trained.network.state_dict()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(weights[name] + 0.02 * torch.randn_like(parameter))
    return replace(trained, network=network.eval(), step=4, checksum="c" * 64)


def test_autoguidance_leads_away_from_the_guide(trained, weaker, plan):
    def sample(scale, guide, generator=trained):
        settings = Sampling(sampler="heun", steps=4, guidance=Guidance(scale=scale))
        return sample_latents(generator, plan, settings, 0, guide)

    plain = sample(1.0, None)
    torch.testing.assert_close(sample(3.0, trained), plain, rtol=1e-4, atol=1e-5)
    # At scale 0 the guide alone is sampled, with the condition.
    torch.testing.assert_close(sample(0.0, weaker), sample(1.0, None, weaker))
    # One step of Euler is linear in the velocity.
    one = Sampling(sampler="euler", steps=1, guidance=Guidance(scale=3.0))
    alone = one.model_copy(update={"guidance": Guidance()})
    own, guide = (sample_latents(g, plan, alone, 0) for g in (trained, weaker))
    found = sample_latents(trained, plan, one, 0, weaker)
    torch.testing.assert_close(found, guide + 3 * (own - guide), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found, sample_latents(trained, plan, one, 0))  # classifier-free
    parts = [sample_latents(trained, plan.iloc[i : i + 2], one, 0, weaker) for i in range(0, 7, 2)]
    torch.testing.assert_close(torch.cat(parts), found, rtol=1e-4, atol=1e-4)


def test_settings_that_do_not_suit_stop_before_the_first_image(run, weaker, monkeypatch):
    decoded = _break_after(monkeypatch, -1)
    for settings, guide, message in (
        ({"sampler": "ddpm"}, None, "sampling.sampler is 'ddpm'"),
        ({"sampler": "euler-maruyama", "grid": "edm"}, None, "sampling.grid is 'edm'"),
        ({"guidance": Guidance(scale=2.0, guide=0)}, None, "give the checkpoint .* with --guide"),
        ({}, weaker, "guidance scale is 1"),
    ):
        with pytest.raises(ConfigError, match=message):
            run(settings=SETTINGS.model_copy(update=settings), guide=guide)
    assert decoded == []


def test_guide_is_an_earlier_checkpoint_of_the_training(trained, tmp_path):
    network = trained.network

    def save(name, step, settings):
        save_checkpoint(
            tmp_path / name,
            CheckpointState(step, "id", settings.to_dict(), SHAPE),
            network,
            ExponentialMovingAverage(network, 0.9),
            [torch.optim.AdamW(network.parameters())],
            notes={"vocabulary.json": VOCABULARY.to_json()},
        )
        return tmp_path / name

    settings = replace(_settings(), training=Training(steps=8, slices=4, precision="fp32"))
    last = load_generator(save("last", 8, settings), SHAPE)
    assert load_guide(save("slice-1", 4, settings), last, 1).step == 4
    assert load_guide(tmp_path / "slice-1", last).step == 4
    with pytest.raises(ConfigError, match="is of step 4, but is to be of step 2"):
        load_guide(tmp_path / "slice-1", last, 0)
    with pytest.raises(ConfigError, match="is of step 8, but is to be earlier than 8"):
        load_guide(tmp_path / "last", last)
    for change in ({"seed": 6}, {"experiment": "other"}):
        other = save(f"other-{next(iter(change))}", 4, replace(settings, **change))
        with pytest.raises(ConfigError, match="earlier checkpoint of that training"):
            load_guide(other, last)


def test_killed_run_goes_on_to_the_same_bytes(run, monkeypatch):
    run("whole.zip")
    with monkeypatch.context() as patch:
        _break_after(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            run("a.zip")
    decoded = _break_after(monkeypatch, -1)
    path = run("a.zip")
    assert decoded == [1]  # two batches of three were there already
    np.testing.assert_array_equal(
        read_images(read_fields(path)), read_images(read_fields(path.with_name("whole.zip")))
    )


def test_batches_left_behind_give_the_same_archive(run, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(module.shutil, "rmtree", lambda *a, **k: None)
        path = run()
    whole = path.read_bytes()
    path.unlink()
    decoded = _break_after(monkeypatch, -1)
    assert run().read_bytes() == whole
    assert decoded == []


def test_damaged_batch_is_made_again(run, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setattr(module.shutil, "rmtree", lambda *a, **k: None)
        whole = run().read_bytes()
    first, second, _ = sorted((tmp_path / "work").glob("*/batch-*"))
    content = bytearray(first.read_bytes())
    content[len(content) // 2] ^= 1
    first.write_bytes(content)
    second.write_bytes(second.read_bytes()[:-200])
    (tmp_path / "a.zip").unlink()
    decoded = _break_after(monkeypatch, -1)
    assert run().read_bytes() == whole
    assert decoded == [3, 3]


def test_full_disk_is_named_and_costs_one_batch(run, monkeypatch, small_disk, tmp_path):
    whole = run().read_bytes()
    (tmp_path / "a.zip").unlink()
    (tmp_path / "work").rename(tmp_path / "before")
    (tmp_path / "work").symlink_to(small_disk.folder)
    real, made = module.sample_latents, []

    def sample(*arguments):
        made.append(arguments)
        if len(made) == 2:
            small_disk.fill()
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(module, "sample_latents", sample)
        with pytest.raises(StorageError, match=r"batch-00000003\.npz cannot .*: the disk is full"):
            run()
    assert not (tmp_path / "a.zip").exists()
    small_disk.make_room()
    decoded = _break_after(monkeypatch, -1)
    assert run().read_bytes() == whole
    assert decoded == [3, 1]


HOLD = """
    import sys, time
    from morphpipe.core.folder_lock import only_user

    with only_user(sys.argv[1]):
        print("held", flush=True)
        time.sleep(60)
"""


def test_two_jobs_do_not_share_a_folder(run, run_python, monkeypatch, tmp_path):
    other = run_python(HOLD, tmp_path / "work")
    assert other.stdout.readline() == "held\n"
    monkeypatch.setattr("morphpipe.core.folder_lock.PATIENCE", 0)
    with pytest.raises(DataError, match=f"work is in use by process {other.pid} on"):
        run()
    assert not (tmp_path / "a.zip").exists()
    other.kill()
    other.wait()
    assert run().exists()


@pytest.mark.parametrize("change", ["weights", "autoencoder", "seed", "plan", "steps", "guide"])
def test_batches_of_another_run_are_not_taken(
    run, trained, weaker, autoencoder, plan, monkeypatch, change
):
    guided = SETTINGS.model_copy(update={"guidance": Guidance(scale=2.0)})
    with monkeypatch.context() as patch:
        _break_after(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            run(settings=guided if change == "guide" else SETTINGS)
    options = {
        "weights": {"generator": replace(trained, checksum="b" * 64)},
        "autoencoder": {"autoencoder": replace(autoencoder, std=torch.full((2,), 2.0))},
        "seed": {"seed": 1},
        "plan": {"plan": plan.assign(cell_type="U2OS")},
        "guide": {"settings": guided, "guide": weaker},
        "steps": {"settings": SETTINGS.model_copy(update={"steps": 5})},
    }[change]
    decoded = _break_after(monkeypatch, -1)
    run(**options)
    assert decoded == [3, 3, 1]


@pytest.mark.parametrize(
    ("column", "message"),
    [("perturbation", "perturbation 'zz' is unknown"), ("cell_type", "cell type 'zz' is unknown")],
)
def test_unknown_conditions_stop_before_the_first_image(run, plan, monkeypatch, column, message):
    decoded = _break_after(monkeypatch, -1)
    plan.loc[6, column] = "zz"
    with pytest.raises(DataError, match=message):
        run(plan=plan)
    assert decoded == []


def test_names_that_no_archive_takes_stop_before_the_first_image(run, plan, trained, monkeypatch):
    decoded = _break_after(monkeypatch, 99)
    names = ("all", "p1")
    generator = replace(trained, vocabulary=replace(VOCABULARY, perturbations=names))
    plan = plan.replace({"perturbation": {"control": "all"}})
    with pytest.raises(DataError, match="'all' cannot be generated, since metric tables"):
        run(generator=generator, plan=plan)
    assert decoded == []


def test_latents_that_are_not_finite_leave_no_archive(run, trained, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "sample_latents", lambda *a: torch.full((3, *SHAPE), float("nan")))
    with pytest.raises(DataError, match="generator tiny gave latents that are not finite"):
        run()
    assert not (tmp_path / "a.zip").exists()


def test_averaged_weights_are_loaded_and_checked(trained, tmp_path):
    network = trained.network
    average = ExponentialMovingAverage(network, 0.9)
    save_checkpoint(
        tmp_path / "c",
        CheckpointState(8, "id", _settings().to_dict(), SHAPE),
        network,
        average,
        [torch.optim.AdamW(network.parameters())],
        notes={"vocabulary.json": VOCABULARY.to_json()},
    )
    loaded = load_generator(tmp_path / "c", SHAPE)
    assert loaded.vocabulary == VOCABULARY
    assert (loaded.step, loaded.settings) == (8, _settings())
    for name, parameter in loaded.network.named_parameters():
        assert torch.equal(parameter, average.state_dict()[name])
        assert not parameter.requires_grad
    with pytest.raises(DataError, match=r"does not fit latents of shape \(6, 8, 8\)"):
        load_generator(tmp_path / "c", (6, 8, 8))


@pytest.fixture
def checkpoint(trained, autoencoder, tmp_path):
    """Save a checkpoint, and two autoencoders of one shape of which the first made its latents."""
    for name in ("autoencoder", "other"):
        save_autoencoder(autoencoder.model, tmp_path / name)
        with torch.no_grad():
            next(autoencoder.model.parameters()).add_(0.1 if name == "autoencoder" else -0.1)
    made_by = load_autoencoder(tmp_path / "autoencoder", "channels").fingerprint()

    def save(name="checkpoint", step=8, made_by=made_by):
        save_checkpoint(
            tmp_path / name,
            CheckpointState(step, "id", _settings().to_dict(), SHAPE, made_by),
            trained.network,
            ExponentialMovingAverage(trained.network, 0.9),
            [torch.optim.AdamW(trained.network.parameters())],
            notes={"vocabulary.json": VOCABULARY.to_json()},
        )
        return tmp_path / name

    return save


def test_generator_and_autoencoder_are_of_one_training(checkpoint, tmp_path):
    folder = checkpoint()
    load_with_autoencoder(folder, tmp_path / "autoencoder", finished=True)
    for autoencoder, factor in (("other", None), ("autoencoder", 0.5)):
        with pytest.raises(DataError, match="trained on latents of another autoencoder") as caught:
            load_with_autoencoder(folder, tmp_path / autoencoder, scaling_factor=factor)
        assert str(folder) in str(caught.value)
        assert str(tmp_path / autoencoder) in str(caught.value)
    # Of a checkpoint that does not say so, as older ones, nothing is known.
    load_with_autoencoder(checkpoint("older", made_by=None), tmp_path / "other")


def test_an_earlier_slice_is_not_taken_for_the_last(checkpoint, tmp_path):
    folder = checkpoint(step=4)
    with pytest.raises(DataError, match=r"is of step 4, but its training ends at 8"):
        load_with_autoencoder(folder, tmp_path / "autoencoder", finished=True)
    assert load_with_autoencoder(folder, tmp_path / "autoencoder")[0].step == 4


def test_manifests(make_manifest):
    settings = replace(_settings(), image_mode="rgb")
    assert generated_manifest(make_manifest(), settings).names == ("red", "green", "blue")
    assert generated_manifest(make_manifest(bit_depth=16), _settings()).bit_depth == 8
    assert manifest_without_data(_settings()).names == ("DNA", "ER")
