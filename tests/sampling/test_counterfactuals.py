"""The cells of an image under a treatment."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from morphpipe.autoencoders.pixels import Pixels
from morphpipe.config.conditions import ConstantCondition, RandomCondition
from morphpipe.config.experiments import Training
from morphpipe.config.generators import CellFlux, SiT, UNet
from morphpipe.core.errors import ConfigError, DataError
from morphpipe.generators.registry import build_generator
from morphpipe.perturbations.condition_table import build
from morphpipe.perturbations.vocabulary import Vocabulary
from morphpipe.sampling.counterfactuals import (
    check_channels,
    counterfactual_sampling,
    counterfactuals,
    ignores_concentration,
    own_labels,
    start_fields,
    treated_labels,
)
from morphpipe.sampling.load import TrainedGenerator
from morphpipe.training.settings import TrainingSettings

VOCABULARY = Vocabulary(
    ("drug", "vehicle"), ("HUVEC", "U2OS"), ("compound", "none"), ("vehicle",), ("b1",)
)
SIT = SiT(kind="sit", architecture="SiT-test/2")
CELLFLUX = CellFlux(kind="cellflux", architecture="CellFlux-test")
UNET = UNet(kind="unet", architecture="SD-test")
PIXELS = Pixels("channels", 1)


def trained(settings=SIT, channels=2, conditions=None):
    torch.manual_seed(0)
    shape = (channels, 16, 16)
    width = None if conditions is None else conditions.width
    network = build_generator(settings, VOCABULARY, shape, condition_width=width)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    of_training = TrainingSettings(
        "tiny", 0, "channels", "pixels", ("DNA", "ER", "mito", "RNA")[:channels], settings,
        Training(steps=8, slices=1, precision="fp32"),
    )  # fmt: skip
    return TrainedGenerator(network.eval(), VOCABULARY, of_training, 8, shape, "a" * 64, conditions)


def rows_of(make_row, number=3, **columns):
    names = {"perturbation": "vehicle"} | columns
    return [make_row(f"f{i}", **names) for i in range(number)]


@pytest.fixture
def fields(make_fields, make_row, tmp_path):
    return make_fields(tmp_path / "a.zip", 3, rows=rows_of(make_row))[0]


def run(generator, images, manifest, keys, steps=8, guidance=1.0, **options):
    own = own_labels(keys, generator)
    return counterfactuals(
        images, manifest, generator, PIXELS, own, treated_labels(own, generator, "drug"),
        counterfactual_sampling(generator, steps, guidance), **options,
    )  # fmt: skip


def distance(one, other):
    return np.abs(one.astype(float) - other).mean()


@pytest.mark.parametrize(("settings", "channels"), [(SIT, 2), (UNET, 4)])
def test_under_its_own_label_an_image_comes_back(
    make_fields, make_row, tmp_path, settings, channels
):
    names = ("DNA", "ER", "mito", "RNA")[:channels]
    fields, images = make_fields(tmp_path / "b.zip", 3, names=names, rows=rows_of(make_row))
    generator = trained(settings, channels)
    short, made = (run(generator, images, fields.manifest, fields.keys(), steps=n) for n in (2, 50))
    np.testing.assert_array_equal(made.start, images)
    np.testing.assert_array_equal(made.encoded, images)
    # More steps lose less; a network of random weights is rougher than a trained one.
    lost = distance(made.reconstructed, images)
    assert lost < 1
    assert lost <= distance(short.reconstructed, images)
    assert distance(made.treated, images) > 2 * lost


def test_guidance_changes_the_treated_image_alone(make_fields, make_row, tmp_path):
    fields, images = make_fields(tmp_path / "b.zip", 2, rows=rows_of(make_row, 2))
    plain, guided = (
        run(trained(), images, fields.manifest, fields.keys(), guidance=scale) for scale in (1, 3)
    )
    np.testing.assert_array_equal(plain.reconstructed, guided.reconstructed)
    assert distance(plain.treated, guided.treated) > 0.1


def test_a_family_that_starts_from_images_takes_them_as_its_start(make_fields, make_row, tmp_path):
    fields, images = make_fields(tmp_path / "b.zip", 2, rows=rows_of(make_row, 2))
    generator = trained(CELLFLUX)
    made, again, other = (
        run(generator, images, fields.manifest, fields.keys(), steps=2, sampling_seed=seed)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(made.treated, again.treated)
    # Noise is added to the start.
    assert distance(made.treated, other.treated) > 1
    assert distance(made.treated, made.reconstructed) > 0
    turned = run(generator, images[::-1].copy(), fields.manifest, fields.keys(), steps=2)
    assert distance(made.treated, turned.treated) > 1


def test_the_settings_are_those_of_the_family():
    flow = counterfactual_sampling(trained(), None, 1.5)
    assert (flow.sampler, flow.steps, flow.last_correction) == ("heun", 25, True)
    assert flow.guidance.scale == 1.5
    assert counterfactual_sampling(trained(UNET, 4), None, 1.0).sampler == "ddim"
    from_images = counterfactual_sampling(trained(CELLFLUX), 6, 1.0)
    assert (from_images.sampler, from_images.steps) == (None, 6)


def test_negative_controls_are_taken_unless_others_are_asked_for(make_fields, make_row, tmp_path):
    rows = [make_row("c0"), make_row("t0", control="none", perturbation="drug"), make_row("c1")]
    fields, _ = make_fields(tmp_path / "b.zip", 3, rows=rows)
    assert start_fields(fields).field_ids == ["c0", "c1"]
    assert start_fields(fields, most=1).field_ids == ["c0"]
    assert start_fields(fields, every=True).field_ids == ["c0", "t0", "c1"]
    assert start_fields(fields, field_ids=["t0"]).field_ids == ["t0"]
    with pytest.raises(DataError, match="None of the 1 fields is a negative control"):
        start_fields(fields.take([1]))


def test_images_that_the_generator_cannot_take_are_a_sentence(make_manifest):
    settings, other = trained().settings, make_manifest(("DNA", "Golgi"))
    check_channels(make_manifest(), settings)
    with pytest.raises(DataError, match="tiny expects the channels DNA, ER in this order"):
        check_channels(other, settings)
    with pytest.raises(DataError, match="16 bits"):
        check_channels(make_manifest(bit_depth=16), settings)
    # An RGB network of others does not say which stains it saw.
    check_channels(other, replace(settings, image_mode="rgb", channels=("red", "green", "blue")))
    with pytest.raises(DataError, match="expects the channels"):
        check_channels(other, replace(settings, image_mode="rgb"))


def test_labels_are_the_fields_own(fields):
    keys = fields.keys().assign(batch=["b1", "b9", None], concentration=[0.0, np.nan, 2.0])
    own = own_labels(keys, trained())
    assert own["perturbation"].tolist() == ["vehicle"] * 3
    assert own["control"].tolist() == ["negative"] * 3
    assert own["batch"].tolist()[:2] == ["b1", "b9"]
    assert own["batch"].isna().tolist() == [False, False, True]
    assert own["start_field"].tolist() == ["f0", "f1", "f2"]
    wanted = treated_labels(own, trained(), "drug", 15)
    assert wanted["perturbation_kind"].tolist() == ["compound"] * 3
    assert set(wanted["concentration"]) == {15}
    pd.testing.assert_series_equal(wanted["batch"], own["batch"])
    assert set(own_labels(keys, trained(), cell_type="U2OS")["cell_type"]) == {"U2OS"}


def test_a_control_of_another_name_is_the_generator_s_control(fields):
    keys = fields.keys().assign(perturbation="DMSO")
    assert set(own_labels(keys, trained())["perturbation"]) == {"vehicle"}
    treated = keys.assign(control="none", perturbation="drugs")
    with pytest.raises(DataError, match=r"'drugs', which is unknown .*, 'drug' for instance"):
        own_labels(treated, trained())
    named = own_labels(treated, trained(), perturbation="drug")
    assert set(named["perturbation"]) == {"drug"}


def test_unknown_labels_are_a_sentence(fields):
    generator = trained()
    own = own_labels(fields.keys(), generator)
    with pytest.raises(DataError, match="'cyclohexamide' is unknown to the generator"):
        treated_labels(own, generator, "cyclohexamide")
    wrong = own_labels(fields.keys(), generator, cell_type="HeLa")
    with pytest.raises(DataError, match="cell type 'HeLa' is unknown"):
        treated_labels(wrong, generator, "drug")


def test_where_nothing_would_change_is_a_sentence(fields):
    blind = trained(SIT.model_copy(update={"labels": ()}))
    own = own_labels(fields.keys(), blind)
    with pytest.raises(ConfigError, match="not conditioned on the perturbation"):
        treated_labels(own, blind, "drug")
    keys = pd.DataFrame({
        "perturbation": ["vehicle", "drug"], "control": ["negative", "none"],
        "concentration": np.nan, "gene": None, "smiles": None,
    })  # fmt: skip
    alike = trained(conditions=build(keys, ConstantCondition(kind="constant"), None))
    with pytest.raises(ConfigError, match="same embedding for 'drug'"):
        treated_labels(own_labels(fields.keys(), alike), alike, "drug")


def test_concentrations_are_those_of_the_embeddings(fields):
    keys = pd.DataFrame({
        "perturbation": ["vehicle", "drug", "drug"], "control": ["negative", "none", "none"],
        "concentration": [np.nan, 1.0, 15.0], "gene": None, "smiles": None,
    })  # fmt: skip
    appended = RandomCondition(kind="random", width=8, seed=0, concentration="appended")
    generator = trained(conditions=build(keys, appended, None))
    assert not ignores_concentration(generator)
    assert ignores_concentration(trained())
    # 0 of the vehicle is none.
    own = own_labels(fields.keys().assign(concentration=0.0), generator)
    assert own["concentration"].isna().all()
    low, high = (treated_labels(own, generator, "drug", dose) for dose in (1, 15))
    embeddings = [generator.condition(plan).embedding for plan in (low, high)]
    assert not torch.equal(*embeddings)
    with pytest.raises(DataError, match="it has embeddings at 1, 15 uM"):
        treated_labels(own, generator, "drug")
