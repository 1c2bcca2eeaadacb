"""One's own cells under a treatment, by the verb."""

import re
import zipfile

import numpy as np
import pandas as pd
import pytest
import torch

from morphpipe.autoencoders.load import load_autoencoder
from morphpipe.autoencoders.pixels import save_pixels
from morphpipe.config.conditions import RandomCondition
from morphpipe.config.experiments import Training
from morphpipe.config.generators import CellFlux, SiT, UNet
from morphpipe.generators.registry import build_generator
from morphpipe.generators.unet_folder import save_unet
from morphpipe.perturbations.condition_table import build
from morphpipe.perturbations.vocabulary import Vocabulary
from morphpipe.tables.archive import read_fields
from morphpipe.tables.checkpoint_state import CheckpointState
from morphpipe.tables.field_reader import read_images
from morphpipe.training.checkpoint import save_checkpoint
from morphpipe.training.ema import ExponentialMovingAverage
from morphpipe.training.settings import TrainingSettings

SIT = SiT(kind="sit", architecture="SiT-test/2")
CELLFLUX = CellFlux(kind="cellflux", architecture="CellFlux-test")
VOCABULARY = Vocabulary(
    ("cyclohexamide", "vehicle"), ("HUVEC", "U2OS"), ("compound", "none"), ("vehicle",)
)
EMBEDDED = pd.DataFrame({
    "perturbation": ["vehicle", "cyclohexamide", "cyclohexamide"],
    "control": ["negative", "none", "none"],
    "concentration": [np.nan, 1.0, 15.0], "gene": None, "smiles": None,
})  # fmt: skip


@pytest.fixture(autouse=True)
def in_its_own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def checkpoint(tmp_path):
    """Save a network of random weights as a checkpoint, and its autoencoder: the pixels."""
    save_pixels(tmp_path / "autoencoder", 1)

    def save(settings=SIT, name="checkpoint", conditions=None, shape=(2, 16, 16)):
        torch.manual_seed(0)
        width = None if conditions is None else conditions.width
        network = build_generator(settings, VOCABULARY, shape, condition_width=width)
        for parameter in network.parameters():
            parameter.data += 0.05 * torch.randn_like(parameter)
        of_training = TrainingSettings(
            "tiny", 0, "channels", "pixels", ("DNA", "ER"), settings,
            Training(steps=8, slices=1, precision="fp32"),
        )  # fmt: skip
        made_by = load_autoencoder(tmp_path / "autoencoder", "channels").fingerprint()
        save_checkpoint(
            tmp_path / name,
            CheckpointState(8, "id", of_training.to_dict(), shape, made_by),
            network,
            ExponentialMovingAverage(network, 0.9),
            [torch.optim.AdamW(network.parameters())],
            notes={"vocabulary.json": VOCABULARY.to_json()},
        )
        if conditions is not None:
            conditions.write(tmp_path / name / "conditions.parquet")
        return tmp_path / name

    return save


@pytest.fixture
def cells(make_fields, make_row, tmp_path):
    """Four of one's own fields, of which three are controls."""
    names = [("c0", "DMSO"), ("t0", "cyclohexamide"), ("c1", "DMSO"), ("c2", "DMSO")]
    rows = [
        make_row(name, perturbation=label, control="none" if name == "t0" else "negative")
        for name, label in names
    ]
    return make_fields(tmp_path / "cells.zip", 4, rows=rows)


def perturb(morphpipe, folder, *options, fields="cells.zip", to="cyclohexamide"):
    return morphpipe(
        "perturb", fields, "--perturbation", to, "--checkpoint", folder,
        "--autoencoder", "autoencoder", "--output", "out", "--steps", 4, *options,
    )  # fmt: skip


@pytest.mark.parametrize("settings", [SIT, CELLFLUX], ids=["noise", "images"])
def test_controls_go_in_and_pairs_come_out(morphpipe, checkpoint, cells, tmp_path, settings):
    ended = perturb(morphpipe, checkpoint(settings))
    assert ended.code == 0, ended.err
    assert "3 start fields; mean difference" in ended.out
    assert "'DMSO' were given the generator's label 'vehicle'" in ended.out
    made = read_fields(tmp_path / "out" / "images.zip")
    keys = made.keys().set_index("field_id")
    assert set(keys["origin"]) == {"generated"}
    assert "start fields of cells.zip" in made.manifest.source
    for suffix, label in (("cyclohexamide", "cyclohexamide"), ("reconstructed", "vehicle")):
        rows = keys.loc[[f"c{i}_{suffix}" for i in range(3)]]
        assert rows["start_field"].tolist() == ["c0", "c1", "c2"]
        assert set(rows["perturbation"]) == {label}
        assert set(rows["control"]) == {"negative" if label == "vehicle" else "none"}
    assert len(made) == 6
    assert read_images(made).shape == (6, 2, 16, 16)
    page = (tmp_path / "out" / "index.html").read_text()
    # Three rows of four pictures, and the channels of the first field.
    assert page.count("data:image/jpeg;base64,") == 3 * 4 + 3 * 2
    assert "What not to believe" in page
    assert "cells.zip" in page
    assert not re.search(r'(?:src|href)="(?!data:)', page)


def test_the_same_input_gives_the_same_images(morphpipe, checkpoint, cells, tmp_path):
    folder = checkpoint(CELLFLUX)

    def images(*options):
        assert perturb(morphpipe, folder, *options).code == 0
        return read_images(read_fields(tmp_path / "out" / "images.zip"))

    first = images()
    np.testing.assert_array_equal(images(), first)
    assert (images("--sampling-seed", 1) != first).any()
    # In batches of one, rounding alone may differ.
    made = read_fields(tmp_path / "out" / "images.zip").field_ids
    by_one = images("--batch-size", 1)
    order = [read_fields(tmp_path / "out" / "images.zip").field_ids.index(name) for name in made]
    assert np.abs(by_one[order].astype(int) - first).max() <= 1


def test_fields_are_chosen(morphpipe, checkpoint, cells, tmp_path):
    folder = checkpoint()

    def starts(*options):
        ended = perturb(morphpipe, folder, *options)
        assert ended.code == 0, ended.err
        return sorted(set(read_fields(tmp_path / "out" / "images.zip").keys()["start_field"]))

    assert starts("--images", 2) == ["c0", "c1"]
    assert starts("--field", "c2", "--field", "t0") == ["c2", "t0"]
    assert starts("--all", "--images", 3) == ["c0", "c1", "t0"]


def test_concentrations_are_told_apart_where_the_generator_does(
    morphpipe, checkpoint, cells, tmp_path
):
    appended = RandomCondition(kind="random", width=8, seed=0, concentration="appended")
    conditions = build(EMBEDDED, appended, None)
    folder = checkpoint(SIT.model_copy(update={"condition": "c"}), conditions=conditions)
    ended = perturb(morphpipe, folder, "--concentration", 15)
    assert ended.code == 0, ended.err
    keys = read_fields(tmp_path / "out" / "images.zip").keys()
    assert set(keys.loc[keys["control"] == "none", "concentration"]) == {15}
    assert "c0_cyclohexamide-15-uM" in set(keys["field_id"])
    assert "cyclohexamide, 15 uM" in (tmp_path / "out" / "index.html").read_text()
    missing = perturb(morphpipe, folder, "--concentration", 2)
    assert missing.code == 1
    assert "it has embeddings at 1, 15 uM" in missing.err
    # Where none is learnt, none is claimed.
    ended = perturb(morphpipe, checkpoint(name="other"), "--concentration", 15)
    assert "no difference between concentrations" in ended.out
    assert read_fields(tmp_path / "out" / "images.zip").keys()["concentration"].isna().all()


def test_a_u_net_of_others_goes_back_by_ddim(morphpipe, make_fields, make_row, tmp_path):
    rows = [make_row(f"f{i}", perturbation="vehicle") for i in range(2)]
    make_fields(tmp_path / "rgb.zip", 2, names=("red", "green", "blue"), rows=rows)
    save_pixels(tmp_path / "autoencoder", 1)
    settings = UNet(kind="unet", architecture="SD-test", condition="c")
    conditions = build(EMBEDDED, RandomCondition(kind="random", width=8, seed=0), None)
    conditions.write(tmp_path / "conditions.parquet")
    network = build_generator(settings, VOCABULARY, (3, 16, 16), condition_width=8)
    save_unet(tmp_path / "unet", network)
    ended = perturb(
        morphpipe, tmp_path / "unet", "--embeddings", "conditions.parquet", fields="rgb.zip"
    )
    assert ended.code == 0, ended.err
    assert "4 steps of ddim" in (tmp_path / "out" / "index.html").read_text()
    without = perturb(morphpipe, tmp_path / "unet", fields="rgb.zip")
    assert "pass it with --embeddings" in without.err


@pytest.mark.parametrize(
    ("options", "to", "said"),
    [
        ((), "cyclohexane", "'cyclohexane' is unknown to the generator"),
        (("--cell-type", "HeLa"), "cyclohexamide", "cell type 'HeLa' is unknown"),
        (("--start-perturbation", "x"), "cyclohexamide", "'x', which is unknown"),
        (("--field", "c9"), "cyclohexamide", "has the field_id 'c9'"),
    ],
)
def test_what_is_unknown_is_a_sentence(morphpipe, checkpoint, cells, tmp_path, options, to, said):
    ended = perturb(morphpipe, checkpoint(), *options, to=to)
    assert ended.code == 1
    assert said in ended.err
    assert not (tmp_path / "out").exists()


def test_images_that_do_not_fit_are_a_sentence(
    morphpipe, checkpoint, make_fields, make_row, tmp_path
):
    folder = checkpoint()
    make_fields(tmp_path / "treated.zip", 2, rows=[make_row(f"t{i}", control="none") for i in "01"])
    make_fields(tmp_path / "stains.zip", 2, names=("DNA", "Golgi"))
    make_fields(tmp_path / "deep.zip", 2, bit_depth=16)
    for name, said in (
        ("treated.zip", "None of the 2 fields is a negative control"),
        ("stains.zip", "expects the channels DNA, ER"),
        ("deep.zip", "16 bits"),
    ):
        ended = perturb(morphpipe, folder, fields=name)
        assert ended.code == 1, name
        assert said in ended.err
        assert "Traceback" not in ended.err
    blind = checkpoint(SIT.model_copy(update={"labels": ()}), name="blind")
    make_fields(tmp_path / "cells.zip", 2)
    assert "nothing to change" in perturb(morphpipe, blind).err


def test_what_stands_there_is_left(morphpipe, checkpoint, cells, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    ended = perturb(morphpipe, checkpoint())
    assert ended.code == 1
    assert "already exists" in ended.err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["notes.txt"]


def test_the_archive_can_be_looked_into(morphpipe, checkpoint, cells, tmp_path):
    assert perturb(morphpipe, checkpoint(), to="cyclohexamide").code == 0
    with zipfile.ZipFile(tmp_path / "out" / "images.zip") as archive:
        assert "c0_cyclohexamide/DNA.png" in archive.namelist()
